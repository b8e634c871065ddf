use solana_transaction::Transaction;

use super::*;
use crate::text::parse_address;

const GROUP: [u8; 32] = [0x11; 32];
const NONCE: [u8; 32] = [0x22; 32];
const SEED: &str = "conclave";

fn memo(text: &str) -> AnchorIntent {
    AnchorIntent::Memo { group: GROUP, seed: SEED.into(), nonce: NONCE, text: text.into() }
}

fn create() -> AnchorIntent {
    AnchorIntent::CreateNonce { group: GROUP, seed: SEED.into(), lamports: 1_447_680, recent_blockhash: NONCE }
}

fn address(text: &str) -> [u8; 32] {
    parse_address(text).unwrap()
}

/// A memo message put together from the format's description, by no code of Solana's.
fn memo_by_hand(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 3, 5]; // one signer, who is writable; three read-only others; five accounts
    bytes.extend(GROUP);
    bytes.extend(nonce_address(&GROUP, SEED).unwrap());
    bytes.extend(address("11111111111111111111111111111111"));
    bytes.extend(address("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"));
    bytes.extend(address("SysvarRecentB1ockHashes11111111111111111111"));
    bytes.extend(NONCE);
    bytes.push(2); // two instructions
    bytes.extend([2, 3, 1, 4, 0, 4, 4, 0, 0, 0]); // system program; nonce, variable, group; 4 bytes: AdvanceNonceAccount
    bytes.extend([3, 1, 0]); // memo program; signed by the group
    let length = text.len();
    if length < 128 {
        bytes.push(length as u8);
    } else {
        bytes.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
    }
    bytes.extend(text);
    bytes
}

#[test]
fn a_memo_message_is_the_bytes_of_the_format() {
    for length in [1, 2, 127, 128, 129, 566] {
        let text = "x".repeat(length);
        assert_eq!(memo(&text).message().unwrap(), memo_by_hand(text.as_bytes()), "{length} bytes of text");
    }
}

#[test]
fn a_nonce_account_is_made_by_the_bytes_of_the_format() {
    let nonce_account = nonce_address(&GROUP, SEED).unwrap();
    let mut bytes = vec![1, 0, 3, 5];
    bytes.extend(GROUP);
    bytes.extend(nonce_account);
    bytes.extend([0; 32]);
    bytes.extend(address("SysvarRecentB1ockHashes11111111111111111111"));
    bytes.extend(address("SysvarRent111111111111111111111111111111111"));
    bytes.extend(NONCE);
    bytes.push(2);
    let mut data = vec![3, 0, 0, 0]; // CreateAccountWithSeed: base, seed, lamports, space, owner
    data.extend(GROUP);
    data.extend(8_u64.to_le_bytes());
    data.extend(SEED.as_bytes());
    data.extend(1_447_680_u64.to_le_bytes());
    data.extend(80_u64.to_le_bytes());
    data.extend([0; 32]);
    bytes.extend([2, 2, 0, 1, data.len() as u8]);
    bytes.extend(data);
    let mut data = vec![6, 0, 0, 0]; // InitializeNonceAccount: authority
    data.extend(GROUP);
    bytes.extend([2, 3, 1, 3, 4, data.len() as u8]);
    bytes.extend(data);
    assert_eq!(create().message().unwrap(), bytes);
}

#[test]
fn the_nonce_address_is_solanas() {
    // `solana address create-with-seed`: SHA-256(base, seed, owner).
    let by_hand = solana_sha256(&[&GROUP, SEED.as_bytes(), &[0; 32]]);
    assert_eq!(nonce_address(&GROUP, SEED).unwrap(), by_hand);
}

fn solana_sha256(parts: &[&[u8]]) -> [u8; 32] {
    use sha2::Digest as _;
    parts.iter().fold(sha2::Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

#[test]
fn solana_reads_the_transaction_as_one_signature_and_this_message() {
    let message = memo("hello").message().unwrap();
    let wire = transaction(&message, &[9; 64]);
    let read: Transaction = wincode::deserialize(&wire).unwrap();
    assert_eq!(read.signatures.len(), 1);
    assert_eq!(read.signatures[0].as_ref(), [9; 64]);
    assert_eq!(read.message.serialize(), message);
    assert_eq!(read.message.header.num_required_signatures, 1);
}

#[test]
fn the_longest_statement_fits_into_a_packet() {
    let message = memo(&"x".repeat(TEXT_BYTES_MAX)).message().unwrap();
    assert!(transaction(&message, &[0; 64]).len() <= 1232);
}

#[test]
fn every_field_changes_the_bytes() {
    let other = [0x33; 32];
    let text = || "a".to_owned();
    let memos = [
        memo("a"),
        memo("b"),
        AnchorIntent::Memo { group: other, seed: SEED.into(), nonce: NONCE, text: text() },
        AnchorIntent::Memo { group: GROUP, seed: "else".into(), nonce: NONCE, text: text() },
        AnchorIntent::Memo { group: GROUP, seed: SEED.into(), nonce: other, text: text() },
        create(),
        AnchorIntent::CreateNonce { group: other, seed: SEED.into(), lamports: 1_447_680, recent_blockhash: NONCE },
        AnchorIntent::CreateNonce { group: GROUP, seed: "else".into(), lamports: 1_447_680, recent_blockhash: NONCE },
        AnchorIntent::CreateNonce { group: GROUP, seed: SEED.into(), lamports: 1_447_681, recent_blockhash: NONCE },
        AnchorIntent::CreateNonce { group: GROUP, seed: SEED.into(), lamports: 1_447_680, recent_blockhash: other },
    ];
    let mut messages: Vec<_> = memos.iter().map(|intent| intent.message().unwrap()).collect();
    let count = messages.len();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), count);
}

#[test]
fn statements_outside_the_limits_are_refused() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(memo(&long).message(), Err(IntentError::TextTooLong { max: 566, got: 567 }));
    assert_eq!(memo("").message(), Err(IntentError::TextEmpty));
    assert_eq!(memo("a\nb").message(), Err(IntentError::TextNotPrintable { at: 1, got: b'\n' }));
    assert_eq!(memo("ü").message(), Err(IntentError::TextNotPrintable { at: 0, got: 0xc3 }));
}

#[test]
fn seeds_outside_the_limits_are_refused() {
    let with = |seed: &str| {
        AnchorIntent::Memo { group: GROUP, seed: seed.into(), nonce: NONCE, text: "a".into() }.message().map(drop)
    };
    assert_eq!(with(&"s".repeat(32)), Ok(()));
    assert_eq!(with(&"s".repeat(33)), Err(IntentError::SeedLength { max: 32, got: 33 }));
    assert_eq!(with(""), Err(IntentError::SeedLength { max: 32, got: 0 }));
    assert_eq!(with("a\u{7f}"), Err(IntentError::SeedNotPrintable { at: 1, got: 0x7f }));
}

#[test]
fn a_group_key_that_is_an_address_of_solanas_own_is_refused() {
    for text in ["11111111111111111111111111111111", "SysvarRecentB1ockHashes11111111111111111111"] {
        let intent = AnchorIntent::Memo { group: address(text), seed: SEED.into(), nonce: NONCE, text: "a".into() };
        assert_eq!(intent.message(), Err(IntentError::ReservedGroup { group: text.into() }));
    }
}

#[test]
fn a_message_is_read_back_as_it_was_meant() {
    for length in [1, 127, 128, 566] {
        let text = "x".repeat(length);
        let read = MemoMessage::decode(&memo(&text).message().unwrap()).unwrap();
        let nonce_account = nonce_address(&GROUP, SEED).unwrap();
        assert_eq!(read, MemoMessage { group: GROUP, nonce_account, nonce: NONCE, text });
    }
}

#[test]
fn no_other_bytes_are_read_as_an_anchor() {
    let good = memo("a statement").message().unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x80;
        // A changed key or nonce is another anchor, never the same one; anything else is none.
        if let Ok(read) = MemoMessage::decode(&bad) {
            assert_ne!(read, MemoMessage::decode(&good).unwrap(), "byte {at}");
            assert!((4..68).contains(&at) || (164..196).contains(&at), "byte {at} does not matter");
        }
        assert_eq!(MemoMessage::decode(&good[..at]), Err(NotAnAnchor), "cut at {at}");
    }
    let mut longer = good;
    longer.push(b'x');
    assert_eq!(MemoMessage::decode(&longer), Err(NotAnAnchor));
    assert_eq!(MemoMessage::decode(&create().message().unwrap()), Err(NotAnAnchor));
}

#[test]
fn an_intent_is_shown_in_words_and_cannot_redraw_the_screen() {
    let shown = memo("v1 result 42").to_string();
    assert!(shown.contains("v1 result 42") && shown.contains(&address_text(&GROUP)) && shown.contains(SEED));
    assert!(!memo("\u{1b}[2J").to_string().contains('\u{1b}'));
}
