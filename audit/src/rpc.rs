//! The chain, asked: are the anchors there, final, and does the group say nothing else? (P-ANC-4)

use crate::{
    chain::{Anchor, Message, purpose_name},
    report::{Finding, finding, must},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::Duration;

/// Answers are at most this long.
const ANSWER_MAX: u64 = 16 << 20;
/// An address with more transactions than this is not searched.
const TRANSACTIONS_MAX: usize = 10_000;
const PAGE: usize = 1000;

struct Node<'a> {
    agent: ureq::Agent,
    url: &'a str,
}

impl Node<'_> {
    fn call(&self, method: &str, params: &Value) -> Result<Value, Finding> {
        let failed = |why: String| finding(format!("an answer of {} to {method}", self.url), why);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = self.agent.post(self.url).header("content-type", "application/json");
        let mut answer = request.send(body).map_err(|error| failed(error.to_string()))?;
        let bytes = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
        let bytes = bytes.map_err(|error| failed(error.to_string()))?;
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        match answer.get_mut("result").map(Value::take) {
            Some(result) => Ok(result),
            None => Err(failed(answer.get("error").map_or_else(|| "no result".into(), Value::to_string))),
        }
    }

    /// A final transaction that did not fail: slot and bytes.
    fn transaction(&self, signature: &str) -> Result<Option<(u64, Vec<u8>)>, Finding> {
        let options = json!({ "encoding": "base64", "commitment": "finalized", "maxSupportedTransactionVersion": 0 });
        let found = self.call("getTransaction", &json!([signature, options]))?;
        if found.is_null() {
            return Ok(None);
        }
        let bytes = found.pointer("/transaction/0").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
        let (Some(slot), Some(bytes)) = (found.get("slot").and_then(Value::as_u64), bytes) else {
            return Err(finding(format!("transaction {signature}"), "an answer without slot or bytes"));
        };
        let failed = found.pointer("/meta/err").is_some_and(|error| !error.is_null());
        Ok((!failed).then_some((slot, bytes)))
    }

    /// Signatures of all final transactions that name an address and did not fail.
    fn signatures(&self, address: &str) -> Result<Vec<String>, Finding> {
        let mut out = Vec::new();
        let (mut seen, mut before) = (0_usize, None::<String>);
        loop {
            let mut options = json!({ "limit": PAGE, "commitment": "finalized" });
            if let (Some(before), Some(options)) = (before.take(), options.as_object_mut()) {
                options.insert("before".into(), before.into());
            }
            let page = self.call("getSignaturesForAddress", &json!([address, options]))?;
            let page = page.as_array().map_or(&[][..], Vec::as_slice);
            for listed in page {
                let Some(signature) = listed.get("signature").and_then(Value::as_str) else {
                    return Err(finding("a list of signatures", "an entry without one"));
                };
                before = Some(signature.to_owned());
                if listed.get("err").is_none_or(Value::is_null) {
                    out.push(signature.to_owned());
                }
            }
            seen = seen.saturating_add(page.len());
            must(seen <= TRANSACTIONS_MAX, || format!("at most {TRANSACTIONS_MAX} transactions"), || seen.to_string())?;
            if page.len() < PAGE {
                return Ok(out);
            }
        }
    }
}

/// What the chain is asked about.
pub(crate) struct Question<'a> {
    pub(crate) url: &'a str,
    pub(crate) genesis: &'a [u8; 32],
    pub(crate) group: &'a [u8; 32],
    pub(crate) anchors: &'a [Anchor],
    pub(crate) texts: &'a [(u16, String)],
}

impl Question<'_> {
    pub(crate) fn ask(&self) -> Result<((), String), Finding> {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build();
        let node = Node { agent: config.into(), url: self.url };
        let expected = bs58::encode(self.genesis).into_string();
        let genesis = node.call("getGenesisHash", &json!([]))?;
        must(
            genesis.as_str() == Some(&expected),
            || format!("the chain of genesis hash {expected}"),
            || genesis.to_string(),
        )?;
        for anchor in self.anchors {
            let name = purpose_name(anchor.purpose);
            let signature = bs58::encode(anchor.signature).into_string();
            let Some((slot, wire)) = node.transaction(&signature)? else {
                return Err(finding(format!("anchor {name}, {signature}, final on the chain"), "no such transaction"));
            };
            let same = wire.split_at_checked(65).is_some_and(|(head, message)| {
                head.first() == Some(&1) && head.get(1..) == Some(&anchor.signature) && message == anchor.message
            });
            must(same, || format!("anchor {name} with the record's bytes"), || "others".into())?;
            must(slot == anchor.slot, || format!("anchor {name} in slot {}", anchor.slot), || slot.to_string())?;
        }
        let address = bs58::encode(self.group).into_string();
        let signatures = node.signatures(&address)?;
        for signature in &signatures {
            self.nothing_else(&node, signature)?;
        }
        Ok((
            (),
            format!("{} anchors found final, {} transactions of the group seen", self.anchors.len(), signatures.len()),
        ))
    }

    /// No statement of this protocol that the group signed and the record does not have.
    fn nothing_else(&self, node: &Node<'_>, signature: &str) -> Result<(), Finding> {
        let Some((_, wire)) = node.transaction(signature)? else { return Ok(()) };
        // One signature is all that the group's transactions have; with more, others signed as well.
        let count = usize::from(wire.first().copied().unwrap_or(0));
        let head = count.saturating_mul(64).saturating_add(1);
        let message = wire.get(head..).filter(|_| count < 128).and_then(Message::parse);
        let Some(message) = message else {
            return Err(finding(format!("transaction {signature} that can be read"), "other bytes"));
        };
        if !message.signers.contains(self.group) {
            return Ok(());
        }
        for memo in message.memos().filter(|memo| memo.starts_with("conclave/")) {
            let known = self.texts.iter().any(|(_, text)| *text == memo);
            must(
                known,
                || "no other statement of the group on the chain".into(),
                || format!("{memo:?} in {signature}"),
            )?;
        }
        Ok(())
    }
}
