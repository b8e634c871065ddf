//! Anchors found again, by anybody, from the group's address alone.

use serde_json::json;
use solana_client::rpc_request::RpcRequest;

use super::{
    AnchorError, Ledger, Rpc,
    answers::Listed,
    submit::{final_transaction, signed_by},
};
use crate::{
    intent::MemoMessage,
    text::{address_text, parse_signature, signature_text},
};

/// An address with more transactions than this is not searched.
const TRANSACTIONS_MAX: usize = 10_000;
/// What an RPC gives at once.
const PAGE: usize = 1_000;

/// A final anchor: the chain's own bytes, with a valid signature of the group over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAnchor {
    /// The transaction's signature.
    pub signature: [u8; 64],
    /// The slot that holds it.
    pub slot: u64,
    /// Signer, nonce account, nonce and statement, decoded from [`Self::message`].
    pub memo: MemoMessage,
    /// The signed bytes.
    pub message: Vec<u8>,
}

impl Ledger {
    /// All final anchors that the group signed, oldest first. Checks every signature itself, so that an RPC can
    /// leave anchors out but not invent one; with a second RPC, both must know the same.
    ///
    /// # Errors
    /// [`AnchorError::RpcsDisagree`], [`AnchorError::TooMany`]; what a call can fail with.
    pub async fn find_anchors(&self, group: &[u8; 32]) -> Result<Vec<FoundAnchor>, AnchorError> {
        self.check_cluster().await?;
        let found = anchors_at(&self.first, group).await?;
        if let Some(second) = &self.second
            && anchors_at(second, group).await? != found
        {
            return Err(self.disagree(second, "the anchors of the group"));
        }
        Ok(found)
    }

    /// One final anchor by its signature, or `None` if the transaction is no anchor or failed on the chain.
    ///
    /// # Errors
    /// [`AnchorError::NotFound`] if there is no such transaction; [`AnchorError::Mismatch`] if the RPC shows
    /// one that this signature does not sign; [`AnchorError::RpcsDisagree`].
    pub async fn read_anchor(&self, signature: &[u8; 64]) -> Result<Option<FoundAnchor>, AnchorError> {
        self.check_cluster().await?;
        let text = signature_text(signature);
        let anchor = read(&self.first, &text).await?;
        if let Some(second) = &self.second
            && read(second, &text).await? != anchor
        {
            return Err(self.disagree(second, "the transaction"));
        }
        Ok(anchor)
    }

    fn disagree(&self, second: &Rpc, what: &'static str) -> AnchorError {
        AnchorError::RpcsDisagree { first: self.first.name.clone(), second: second.name.clone(), what }
    }
}

async fn anchors_at(rpc: &Rpc, group: &[u8; 32]) -> Result<Vec<FoundAnchor>, AnchorError> {
    let (mut signatures, mut seen, mut before) = (Vec::new(), 0_usize, None::<String>);
    loop {
        let mut options = json!({ "limit": PAGE, "commitment": "finalized" });
        if let (Some(before), Some(options)) = (before.take(), options.as_object_mut()) {
            options.insert("before".into(), before.into());
        }
        let request = RpcRequest::GetSignaturesForAddress;
        let page: Vec<Listed> = rpc.call(request, json!([address_text(group), options])).await?;
        let last_page = page.len() < PAGE;
        seen = seen.saturating_add(page.len());
        before = page.last().map(|listed| listed.signature.clone());
        signatures.extend(page.into_iter().filter(|listed| listed.err.is_none()).map(|listed| listed.signature));
        if seen > TRANSACTIONS_MAX {
            return Err(AnchorError::TooMany { address: address_text(group), max: TRANSACTIONS_MAX });
        }
        if last_page {
            break;
        }
    }
    let mut anchors = Vec::new();
    for signature in signatures.iter().rev() {
        if let Some(anchor) = read(rpc, signature).await?
            && anchor.memo.group == *group
        {
            anchors.push(anchor);
        }
    }
    Ok(anchors)
}

/// A final transaction, judged: `None` if it is something else than an anchor (a payment, say).
async fn read(rpc: &Rpc, signature: &str) -> Result<Option<FoundAnchor>, AnchorError> {
    let mismatch = |what| AnchorError::Mismatch { url: rpc.name.clone(), signature: signature.into(), what };
    let Ok(expected) = parse_signature(signature) else {
        return Err(AnchorError::BadAnswer { url: rpc.name.clone(), method: "getSignaturesForAddress".into() });
    };
    let Some(landed) = final_transaction(rpc, signature).await? else {
        return Err(AnchorError::NotFound { url: rpc.name.clone(), signature: signature.into() });
    };
    let wire = landed.wire().ok_or_else(|| mismatch("the encoding"))?;
    if landed.error().is_some() {
        return Ok(None);
    }
    let Some((head, message)) = wire.split_at_checked(65) else { return Err(mismatch("the length")) };
    let Ok(memo) = MemoMessage::decode(message) else { return Ok(None) };
    if head.first() != Some(&1) || head.get(1..) != Some(expected.as_slice()) {
        return Err(mismatch("the signature"));
    }
    if !signed_by(&memo.group, message, &expected) {
        return Err(mismatch("the message under the signature"));
    }
    Ok(Some(FoundAnchor { signature: expected, slot: landed.slot, memo, message: message.to_vec() }))
}
