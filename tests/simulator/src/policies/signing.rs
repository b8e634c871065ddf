//! Lies in joint signatures. The rehearsal needs everybody, so all behave in it.

use super::saying::bent;
use crate::{
    liar::Liar,
    policy::{Speech, TrusteePolicy},
};
use protocol::{
    signed::{Body, Envelope},
    signing::messages::{Purpose, SignAbort, SignCommitment, SignShare},
};
use std::sync::Arc;

/// Says nothing once it has committed.
pub(super) fn no_share(body: &Body) -> bool {
    matches!(body, Body::SignShare(share) if share.purpose != Purpose::Rehearsal)
}

/// Does not even commit.
pub(super) fn no_commitment(body: &Body) -> bool {
    matches!(body, Body::SignCommitment(commitment) if commitment.purpose != Purpose::Rehearsal)
}

/// A share that does not verify.
pub(super) fn bad_share(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignShare(share) = body else { return None };
    (share.purpose != Purpose::Rehearsal).then(|| SignShare { share: bent(share.share), ..share.clone() }.into())
}

/// A share that claims to be for another package.
pub(super) fn other_package(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignShare(share) = body else { return None };
    (share.purpose != Purpose::Rehearsal).then(|| SignShare { package: bent(share.package), ..share.clone() }.into())
}

/// Aborts every attempt, as after a restart.
pub(super) fn aborts(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignCommitment(SignCommitment { purpose, attempt, .. }) = body else { return None };
    let reason = "the nonce was burned by a restart".into();
    (*purpose != Purpose::Rehearsal).then(|| SignAbort { purpose: *purpose, attempt: *attempt, reason }.into())
}

/// Aborts after it has committed.
pub(super) fn aborts_late(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignShare(SignShare { purpose, attempt, .. }) = body else { return None };
    let reason = "the nonce was burned by a restart".into();
    (*purpose != Purpose::Rehearsal).then(|| SignAbort { purpose: *purpose, attempt: *attempt, reason }.into())
}

/// Commits to the same nonces again and again.
#[derive(Default)]
pub(super) struct SameNonces {
    used: Option<([u8; 32], [u8; 32])>,
}

impl TrusteePolicy for SameNonces {
    fn name(&self) -> &'static str {
        "same-nonces"
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let Body::SignCommitment(commitment) = body else { return Speech::truth(truth) };
        let (hiding, binding) = *self.used.get_or_insert((commitment.hiding, commitment.binding));
        let same = SignCommitment { hiding, binding, ..commitment.clone() };
        if same == *commitment { Speech::truth(truth) } else { Speech::instead(truth, liar.sign(same.into())) }
    }
}
