//! With an RPC the anchors are looked up: a made-up node answers, honestly and not.

use crate::{folder::Files, support::World};
use audit::{Options, Outcome, Report, Verdict};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use protocol::{
    manifest::{Quorums, Revote},
    signing::messages::Purpose,
};
use serde_json::{Value, json};
use solana_anchor::{AnchorIntent, address_text, signature_text};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::LazyLock,
};

static ELECTION: LazyLock<(World, Files)> = LazyLock::new(|| {
    let mut world = World::new(Quorums::default_for(4), 4, 4, Revote::Last, 80);
    world.hold();
    let files = Files::of(&world);
    (world, files)
});

/// What a node knows: transactions by signature, with their slots.
#[derive(Clone)]
struct Node {
    genesis: [u8; 32],
    transactions: BTreeMap<String, (u64, Vec<u8>)>,
    failed: bool,
}

impl Node {
    fn honest() -> Self {
        let board = &ELECTION.0.board;
        let anchored = Purpose::ALL.into_iter().filter_map(|purpose| board.anchored(purpose));
        let transactions = anchored
            .map(|anchored| {
                let wire = solana_anchor::transaction(&anchored.message.0, &anchored.signature);
                (signature_text(&anchored.signature), (anchored.slot, wire))
            })
            .collect();
        Self { genesis: [1; 32], transactions, failed: false }
    }

    fn answer(&self, request: &Value) -> Value {
        match request["method"].as_str().unwrap() {
            "getGenesisHash" => address_text(&self.genesis).into(),
            "getTransaction" => match self.transactions.get(request["params"][0].as_str().unwrap()) {
                Some((slot, wire)) => {
                    let error = if self.failed { json!({ "InstructionError": [0, "x"] }) } else { Value::Null };
                    json!({ "slot": slot, "transaction": [STANDARD.encode(wire), "base64"], "meta": { "err": error } })
                }
                None => Value::Null,
            },
            "getSignaturesForAddress" => {
                self.transactions.keys().map(|signature| json!({ "signature": signature, "err": null })).collect()
            }
            other => panic!("{other}"),
        }
    }

    /// Verifies the record with this node as RPC.
    fn verify(self) -> Report {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let request: Value = serde_json::from_slice(&body).unwrap();
                let body = json!({ "jsonrpc": "2.0", "id": 1, "result": self.answer(&request) }).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        ELECTION.1.write(folder.path());
        audit::verify(folder.path(), &Options { rpc: Some(url) })
    }
}

fn refused(node: Node, word: &str) {
    let report = node.verify();
    let (check, finding) = report.failure.clone().unwrap();
    assert_eq!((report.verdict, check), (Verdict::Invalid, 17), "{}", report.to_text());
    let said = format!("{} {}", finding.expected, finding.found);
    assert!(said.contains(word), "{said}");
}

#[test]
fn anchors_that_a_node_shows_as_final_are_found() {
    let report = Node::honest().verify();
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.to_text());
    assert_eq!(report.checks.last().unwrap().outcome, Outcome::Passed);
}

#[test]
fn another_chain_is_refused() {
    refused(Node { genesis: [2; 32], ..Node::honest() }, "genesis");
}

#[test]
fn an_anchor_that_is_not_there_failed_or_has_other_bytes_or_another_slot_is_refused() {
    let first = signature_text(&ELECTION.0.board.anchored(Purpose::AnchorResult).unwrap().signature);
    let mut node = Node::honest();
    node.transactions.remove(&first);
    refused(node, "final");
    refused(Node { failed: true, ..Node::honest() }, "final");
    for at in [0, 1, 70, 200] {
        let mut node = Node::honest();
        node.transactions.get_mut(&first).unwrap().1[at] ^= 1;
        refused(node, "bytes");
    }
    let mut node = Node::honest();
    node.transactions.get_mut(&first).unwrap().0 += 1;
    refused(node, "slot");
}

#[test]
fn another_statement_of_the_group_is_refused_and_one_of_somebody_else_is_not() {
    let group = ELECTION.0.board.key_certificate().unwrap().signing_key;
    let memo = |group, text: String| {
        let intent = AnchorIntent::Memo { group, seed: "conclave".into(), nonce: [5; 32], text };
        solana_anchor::transaction(&intent.message().unwrap(), &[9; 64])
    };
    let election = ELECTION.0.board.election();
    let lie = format!("conclave/v1 key {election} {}", "0".repeat(64));
    let mut node = Node::honest();
    node.transactions.insert(signature_text(&[9; 64]), (9, memo(group, lie.clone())));
    refused(node, "no other statement");
    for (signer, text) in [([7; 32], lie), (group, "thank you".into())] {
        let mut node = Node::honest();
        node.transactions.insert(signature_text(&[9; 64]), (9, memo(signer, text)));
        assert_eq!(node.verify().verdict, Verdict::Valid);
    }
}

#[test]
fn a_node_that_cannot_be_reached_is_a_failure_and_not_a_pass() {
    let folder = tempfile::tempdir().unwrap();
    ELECTION.1.write(folder.path());
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = audit::verify(folder.path(), &Options { rpc: Some(format!("http://{nowhere}")) });
    assert_eq!((report.verdict, report.failure.unwrap().0), (Verdict::Invalid, 17));
}
