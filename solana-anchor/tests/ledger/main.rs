//! Anchors by a FROST group on a real (local) ledger, and every refusal on the way.
//!
//! Needs the ledger's binary; `scripts/test.sh` builds it and runs these tests.
#![cfg(feature = "rpc")]
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, like the test")]

mod support;

use std::time::{Duration, Instant};

use solana_anchor::{
    AnchorError, AnchorIntent, Deadlines, Landed, Ledger, LedgerConfig, Progress, address_text, nonce_address,
    signature_text, transaction,
};
use support::{Group, LedgerProcess, LyingRpc};

const SEED: &str = "anchors";

fn connect(urls: &[&str], genesis: Option<[u8; 32]>, seconds: u64) -> Ledger {
    let deadlines = Deadlines { call: Duration::from_secs(10), finalize: Duration::from_secs(seconds) };
    Ledger::new(&LedgerConfig { urls: urls.iter().map(|url| (*url).to_owned()).collect(), genesis, deadlines }).unwrap()
}

/// Funds the group and makes its nonce account.
async fn open(ledger: &Ledger, group: &Group) {
    ledger.request_airdrop(&group.address(), 1_000_000_000).await.unwrap();
    assert_eq!(ledger.nonce_value(&group.address(), SEED).await, Ok(None));
    let intent = AnchorIntent::CreateNonce {
        group: group.address(),
        seed: SEED.into(),
        lamports: ledger.nonce_rent().await.unwrap(),
        recent_blockhash: ledger.latest_blockhash().await.unwrap(),
    };
    let signature = group.sign(&intent.message().unwrap());
    ledger.submit_and_finalize(&intent, &signature, |_| {}).await.unwrap();
}

async fn memo(ledger: &Ledger, group: &Group, text: &str) -> (AnchorIntent, [u8; 64]) {
    let nonce = ledger.nonce_value(&group.address(), SEED).await.unwrap().unwrap();
    let intent = AnchorIntent::Memo { group: group.address(), seed: SEED.into(), nonce, text: text.into() };
    let signature = group.sign(&intent.message().unwrap());
    (intent, signature)
}

async fn anchor(ledger: &Ledger, group: &Group, text: &str) -> Landed {
    let (intent, signature) = memo(ledger, group, text).await;
    let (mut steps, started) = (Vec::new(), Instant::now());
    let landed = ledger.submit_and_finalize(&intent, &signature, |step| steps.push(step)).await.unwrap();
    println!("\"{text}\" final and read back after {:.2} s", started.elapsed().as_secs_f64());
    assert_eq!(steps.first(), Some(&Progress::Sent));
    assert_eq!(steps.last(), Some(&Progress::ReadBack));
    landed
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn a_group_anchors_twice_and_anybody_finds_both() {
    let process = LedgerProcess::start();
    // The same node twice: the second RPC is asked, too, and agrees.
    let ledger = connect(&[&process.url, &process.url], None, 60);
    let genesis = ledger.check_cluster().await.unwrap();
    let group = Group::generate(1);
    open(&ledger, &group).await;
    let first = anchor(&ledger, &group, "conclave v1 vote-set 0123").await;
    let second = anchor(&ledger, &group, &"r".repeat(566)).await;
    assert!(first.slot < second.slot);

    let stranger = connect(&[&process.url], Some(genesis), 60);
    let found = stranger.find_anchors(&group.address()).await.unwrap();
    let seen: Vec<_> = found.iter().map(|anchor| (anchor.signature, anchor.slot, anchor.memo.text.as_str())).collect();
    let long = "r".repeat(566);
    assert_eq!(
        seen,
        [(first.signature, first.slot, "conclave v1 vote-set 0123"), (second.signature, second.slot, &*long)]
    );
    assert_eq!(found[0].memo.nonce_account, nonce_address(&group.address(), SEED).unwrap());
    assert_eq!(stranger.read_anchor(&first.signature).await.unwrap().as_ref(), Some(&found[0]));
    assert_eq!(stranger.find_anchors(&Group::generate(2).address()).await, Ok(Vec::new()));
    println!("ledger process: {} KiB resident", process.resident_kib());
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn what_has_landed_is_found_and_not_sent_again() {
    let process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 60);
    let group = Group::generate(3);
    open(&ledger, &group).await;
    let (intent, signature) = memo(&ledger, &group, "once").await;
    let landed = ledger.submit_and_finalize(&intent, &signature, |_| {}).await.unwrap();
    let balance = ledger.balance(&group.address()).await.unwrap();
    let again = ledger.submit_and_finalize(&intent, &signature, |_| {}).await.unwrap();
    assert_eq!(again, landed);
    assert_eq!(ledger.balance(&group.address()).await.unwrap(), balance, "no second fee");
    assert_eq!(ledger.find_anchors(&group.address()).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn a_spent_nonce_is_named_and_lands_nothing() {
    let process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 30);
    let group = Group::generate(4);
    open(&ledger, &group).await;
    // Two statements signed under one nonce: one of them can land.
    let (intent, signature) = memo(&ledger, &group, "one").await;
    let (other, other_signature) = memo(&ledger, &group, "two").await;
    ledger.submit_and_finalize(&intent, &signature, |_| {}).await.unwrap();
    let (AnchorIntent::Memo { nonce, .. }, now) = (&other, ledger.nonce_value(&group.address(), SEED).await) else {
        panic!("not a memo")
    };
    let refused = ledger.submit_and_finalize(&other, &other_signature, |_| {}).await;
    let got = address_text(&now.unwrap().unwrap());
    assert_eq!(refused, Err(AnchorError::NonceSpent { expected: address_text(nonce), got }));
    assert_eq!(ledger.find_anchors(&group.address()).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn an_expired_blockhash_is_named() {
    let process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 30);
    let group = Group::generate(5);
    ledger.request_airdrop(&group.address(), 1_000_000_000).await.unwrap();
    let lamports = ledger.nonce_rent().await.unwrap();
    let intent =
        AnchorIntent::CreateNonce { group: group.address(), seed: SEED.into(), lamports, recent_blockhash: [7; 32] };
    let signature = group.sign(&intent.message().unwrap());
    assert_eq!(ledger.submit_and_finalize(&intent, &signature, |_| {}).await, Err(AnchorError::BlockhashExpired));
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn a_nonce_account_is_made_once() {
    let process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 30);
    let group = Group::generate(6);
    open(&ledger, &group).await;
    let lamports = ledger.nonce_rent().await.unwrap();
    let recent_blockhash = ledger.latest_blockhash().await.unwrap();
    let intent = AnchorIntent::CreateNonce { group: group.address(), seed: SEED.into(), lamports, recent_blockhash };
    let signature = group.sign(&intent.message().unwrap());
    let refused = ledger.submit_and_finalize(&intent, &signature, |_| {}).await;
    assert!(matches!(refused, Err(AnchorError::NotAccepted { .. })), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn the_wrong_cluster_an_empty_purse_and_a_forged_signature_are_refused() {
    let process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 30);
    let genesis = ledger.check_cluster().await.unwrap();
    let group = Group::generate(7);
    let intent =
        AnchorIntent::Memo { group: group.address(), seed: SEED.into(), nonce: [1; 32], text: "unpaid".into() };
    let signature = group.sign(&intent.message().unwrap());

    let elsewhere = connect(&[&process.url], Some([9; 32]), 30);
    let wrong = AnchorError::WrongCluster {
        url: process.url.clone(),
        expected: address_text(&[9; 32]),
        got: address_text(&genesis),
    };
    assert_eq!(elsewhere.submit_and_finalize(&intent, &signature, |_| {}).await, Err(wrong.clone()));
    assert_eq!(elsewhere.find_anchors(&group.address()).await, Err(wrong));

    let unfunded = ledger.submit_and_finalize(&intent, &signature, |_| {}).await;
    let expected = AnchorError::Unfunded { address: address_text(&group.address()), have: 0, need: 5_000 + 890_880 };
    assert_eq!(unfunded, Err(expected));

    let mut forged = signature;
    forged[0] ^= 1;
    let refused = ledger.submit_and_finalize(&intent, &forged, |_| {}).await;
    assert_eq!(refused, Err(AnchorError::BadSignature { group: address_text(&group.address()) }));
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn the_ledger_keeps_anchors_and_identity_over_kill_9() {
    let mut process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 60);
    let genesis = ledger.check_cluster().await.unwrap();
    let group = Group::generate(8);
    open(&ledger, &group).await;
    let landed = anchor(&ledger, &group, "before").await;
    process.kill_and_restart();
    let ledger = connect(&[&process.url], Some(genesis), 60);
    assert_eq!(ledger.find_anchors(&group.address()).await.unwrap()[0].signature, landed.signature);
    anchor(&ledger, &group, "after").await;
    assert_eq!(ledger.find_anchors(&group.address()).await.unwrap().len(), 2);
}

#[tokio::test]
#[ignore = "needs the ledger binary: scripts/test.sh runs it"]
async fn the_local_ledger_checks_signatures_whatever_it_is_asked() {
    let process = LedgerProcess::start();
    let ledger = connect(&[&process.url], None, 60);
    let group = Group::generate(9);
    open(&ledger, &group).await;
    let (intent, mut signature) = memo(&ledger, &group, "forged").await;
    signature[1] ^= 1;
    let wire = transaction(&intent.message().unwrap(), &signature);
    process.send_raw(&wire, r#"{"encoding":"base64","skipPreflight":true,"skipSigVerify":true}"#);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ledger.find_anchors(&group.address()).await.unwrap(), []);
    let status = process.post(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"getSignatureStatuses","params":[["{}"]]}}"#,
        signature_text(&signature)
    ));
    assert!(status.contains("[null]") || status.contains("SignatureFailure"), "{status}");
    let cheat = process.post(r#"{"jsonrpc":"2.0","id":1,"method":"surfnet_timeTravel","params":[{"absoluteSlot":9}]}"#);
    assert!(cheat.contains("disabled"), "{cheat}");
}

#[tokio::test]
async fn an_address_where_nothing_listens_is_unreachable() {
    let ledger = connect(&["http://127.0.0.1:1"], None, 5);
    let error = ledger.check_cluster().await.unwrap_err();
    let AnchorError::Unreachable { url, method, reason } = error else { panic!("{error}") };
    assert_eq!((url.as_str(), method.as_str()), ("http://127.0.0.1:1", "getGenesisHash"));
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn addresses_that_are_no_rpc_are_refused() {
    let open = |urls: &[&str]| {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Ledger::new(&LedgerConfig { urls, ..LedgerConfig::default() }).map(drop)
    };
    assert!(matches!(open(&["ftp://host"]), Err(AnchorError::Url { .. })));
    assert!(matches!(open(&["nonsense"]), Err(AnchorError::Url { .. })));
    assert_eq!(open(&[]), Err(AnchorError::UrlCount { expected: "1 or 2", got: 0 }));
    assert!(matches!(open(&["http://a", "http://b", "http://c"]), Err(AnchorError::UrlCount { got: 3, .. })));
}

#[tokio::test]
async fn a_key_in_the_address_is_in_no_error() {
    let ledger = connect(&["http://user:secret@127.0.0.1:1/path-key/?api-key=hidden"], None, 5);
    let text = format!("{:?}", ledger.check_cluster().await.unwrap_err());
    assert!(!text.contains("secret") && !text.contains("hidden") && !text.contains("path-key"), "{text}");
}

#[tokio::test]
async fn an_rpc_that_shows_another_message_is_caught() {
    let group = Group::generate(10);
    let said = |text: &str| AnchorIntent::Memo {
        group: group.address(),
        seed: SEED.into(),
        nonce: [5; 32],
        text: text.into(),
    };
    let (intent, other) = (said("truth"), said("lie").message().unwrap());
    let signature = group.sign(&intent.message().unwrap());
    let honest = LyingRpc::start(transaction(&intent.message().unwrap(), &signature), 7);
    let ledger = connect(&[&honest.url], None, 5);
    assert_eq!(ledger.submit_and_finalize(&intent, &signature, |_| {}).await, Ok(Landed { signature, slot: 7 }));

    // The bytes of another statement under the right signature.
    let liar = LyingRpc::start(transaction(&other, &signature), 7);
    let ledger = connect(&[&liar.url], None, 5);
    let name = || signature_text(&signature);
    let caught = ledger.submit_and_finalize(&intent, &signature, |_| {}).await;
    assert_eq!(caught, Err(AnchorError::Mismatch { url: liar.url.clone(), signature: name(), what: "the bytes" }));
    let caught = ledger.read_anchor(&signature).await;
    let what = "the message under the signature";
    assert_eq!(caught, Err(AnchorError::Mismatch { url: liar.url.clone(), signature: name(), what }));

    // The right bytes from the first RPC, others from the second; or another slot.
    let ledger = connect(&[&honest.url, &liar.url], None, 5);
    let caught = ledger.submit_and_finalize(&intent, &signature, |_| {}).await;
    assert_eq!(caught, Err(AnchorError::Mismatch { url: liar.url.clone(), signature: name(), what: "the bytes" }));
    let elsewhere = LyingRpc::start(transaction(&intent.message().unwrap(), &signature), 8);
    let ledger = connect(&[&honest.url, &elsewhere.url], None, 5);
    let caught = ledger.submit_and_finalize(&intent, &signature, |_| {}).await;
    assert!(matches!(caught, Err(AnchorError::RpcsDisagree { .. })), "{caught:?}");
    assert!(matches!(ledger.read_anchor(&signature).await, Err(AnchorError::RpcsDisagree { .. })));
}

#[tokio::test]
async fn what_is_not_final_in_time_and_what_has_failed_are_told_apart() {
    let group = Group::generate(12);
    let intent = AnchorIntent::Memo { group: group.address(), seed: SEED.into(), nonce: [5; 32], text: "slow".into() };
    let signature = group.sign(&intent.message().unwrap());
    let wire = transaction(&intent.message().unwrap(), &signature);
    let outcome = async |status| {
        let rpc = LyingRpc::start_at(wire.clone(), 7, status);
        let ledger = connect(&[&rpc.url], None, 1);
        let intent = intent.clone();
        // Spawned: a server's task must be able to do the same.
        tokio::spawn(async move { ledger.submit_and_finalize(&intent, &signature, |_| {}).await }).await.unwrap()
    };
    let name = signature_text(&signature);
    let late = |seen| Err(AnchorError::NotFinal { signature: name.clone(), seconds: 1, seen });
    assert_eq!(outcome(r#"{"slot":7,"err":null,"confirmationStatus":"processed"}"#).await, late("processed"));
    assert_eq!(outcome(r#"{"slot":7,"err":null,"confirmationStatus":"confirmed"}"#).await, late("confirmed"));
    // In a block that may be dropped, a failure is not the end of it.
    assert_eq!(outcome(r#"{"slot":7,"err":"X","confirmationStatus":"processed"}"#).await, late("not sent"));
    assert_eq!(outcome("null").await, late("sent"));
    let failed = AnchorError::LandedWithError { signature: name.clone(), slot: 7, reason: r#""X""#.into() };
    assert_eq!(outcome(r#"{"slot":7,"err":"X","confirmationStatus":"confirmed"}"#).await, Err(failed.clone()));
    assert_eq!(outcome(r#"{"slot":7,"err":"X","confirmationStatus":"finalized"}"#).await, Err(failed));
}

#[tokio::test]
async fn an_rpc_that_invents_an_anchor_is_caught() {
    let group = Group::generate(11);
    let intent =
        AnchorIntent::Memo { group: group.address(), seed: SEED.into(), nonce: [5; 32], text: "invented".into() };
    let invented = [0x42; 64];
    let liar = LyingRpc::start(transaction(&intent.message().unwrap(), &invented), 7);
    let ledger = connect(&[&liar.url], None, 5);
    let caught = ledger.find_anchors(&group.address()).await;
    assert!(matches!(caught, Err(AnchorError::Mismatch { what: "the message under the signature", .. })), "{caught:?}");
}

#[tokio::test]
async fn answers_that_make_no_sense_or_never_end_are_refused() {
    for (answer, reachable) in [("{}", true), (r#"{"result":5}"#, true), ("nonsense", true), ("", false)] {
        let ledger = connect(&[&LyingRpc::start_raw(200, answer.into()).url], None, 2);
        let error = ledger.check_cluster().await.unwrap_err();
        let expected = if reachable {
            matches!(error, AnchorError::BadAnswer { .. })
        } else {
            matches!(error, AnchorError::BadAnswer { .. } | AnchorError::Unreachable { .. })
        };
        assert!(expected, "{answer}: {error:?}");
    }
    // A status on which the stock client panics, and a redirect that must not be followed.
    for status in [304, 302, 500] {
        let ledger = connect(&[&LyingRpc::start_raw(status, String::new()).url], None, 2);
        let error = ledger.check_cluster().await.unwrap_err();
        assert!(matches!(error, AnchorError::Unreachable { .. }), "{status}: {error:?}");
    }
    let ledger = connect(&[&LyingRpc::start_raw(200, format!("\"{}\"", "x".repeat(5 << 20))).url], None, 2);
    let error = ledger.check_cluster().await.unwrap_err();
    assert!(matches!(&error, AnchorError::Unreachable { reason, .. } if reason.contains("longer than")), "{error:?}");
}
