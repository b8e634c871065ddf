//! The shapes that most lies have: another message instead of the right one, one more, or none.

use crate::{
    liar::Liar,
    policy::{Said, Speech, TrusteePolicy},
};
use protocol::{
    ids::TrusteeIndex,
    signed::{Body, Envelope},
};
use std::sync::Arc;

/// Says something else.
pub(super) struct Instead {
    pub(super) name: &'static str,
    /// Whether its core knows what was said; else it believes that it has told the truth.
    pub(super) knows: bool,
    /// What is said instead; `None`: the truth.
    pub(super) lie: fn(&Liar<'_>, &Body) -> Option<Body>,
}

impl TrusteePolicy for Instead {
    fn name(&self) -> &'static str {
        self.name
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        match (self.lie)(liar, body) {
            Some(lie) if self.knows => Speech::other(liar.sign(lie)),
            Some(lie) => Speech::instead(truth, liar.sign(lie)),
            None => Speech::truth(truth),
        }
    }
}

/// Tells the truth, and more.
pub(super) struct Also {
    pub(super) name: &'static str,
    pub(super) more: fn(&Liar<'_>, &Body) -> Vec<Body>,
}

impl TrusteePolicy for Also {
    fn name(&self) -> &'static str {
        self.name
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let mut speech = Speech::truth(truth);
        speech.say.extend((self.more)(liar, body).into_iter().map(|more| Said::all(liar.sign(more))));
        speech
    }
}

/// Does not say some things.
pub(super) struct Mute {
    pub(super) name: &'static str,
    pub(super) about: fn(&Body) -> bool,
}

impl TrusteePolicy for Mute {
    fn name(&self) -> &'static str {
        self.name
    }
    fn speak(&mut self, _liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        if (self.about)(body) { Speech::silence(truth) } else { Speech::truth(truth) }
    }
}

/// Tells the truth to the first half, something else to the others.
pub(super) struct TwoFaced {
    pub(super) name: &'static str,
    pub(super) other: fn(&Liar<'_>, &Body) -> Option<Body>,
}

impl TrusteePolicy for TwoFaced {
    fn name(&self) -> &'static str {
        self.name
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let Some(other) = (self.other)(liar, body) else { return Speech::truth(truth) };
        let other = liar.sign(other);
        let (first, second) = halves(liar);
        let say = vec![Said::only(truth.clone(), first), Said::only(other, second)];
        Speech { keep: Some(truth), say }
    }
}

/// The trustees in two halves.
pub(super) fn halves(liar: &Liar<'_>) -> (Vec<TrusteeIndex>, Vec<TrusteeIndex>) {
    let half = liar.manifest.n() / 2;
    liar.manifest.trustee_indices().partition(|index| index.0 <= half)
}

/// The same with one bit turned.
pub(super) fn bent<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    if let Some(first) = bytes.first_mut() {
        *first ^= 1;
    }
    bytes
}
