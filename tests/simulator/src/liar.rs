//! What a liar has in its hands.

use crate::Dice;
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    board::{Board, Transactions},
    ceremony::{AttemptSeed, KeyShares, Participant},
    ids::{Attempt, TimeMs, TrusteeIndex},
    log::{Checkpoint, Cosignature, SignedCheckpoint},
    manifest::Manifest,
    roll::Roll,
    signed::{Body, Draft, Envelope, Sender},
};
use std::{collections::BTreeMap, sync::Arc};

/// What all liars of a run share: they conspire.
#[derive(Debug, Default)]
pub struct Conspiracy {
    /// Identity keys of the lying trustees.
    pub trustees: BTreeMap<TrusteeIndex, SigningKey>,
    /// The home shard's identity key, where the coordinator lies.
    pub shard: Option<SigningKey>,
    /// The seeds of the lying trustees, by attempt.
    pub seeds: BTreeMap<(TrusteeIndex, Attempt), [u8; 32]>,
    /// Every statement that any of them has seen, in order, also what no board took.
    pub seen: Vec<Arc<Envelope>>,
}

/// One liar, at one moment.
pub struct Liar<'a> {
    /// Which trustee it is; the coordinator is none.
    pub me: Option<TrusteeIndex>,
    /// Virtual time.
    pub now: TimeMs,
    /// Seeded like everything.
    pub rng: &'a mut Dice,
    /// The manifest.
    pub manifest: &'a Arc<Manifest>,
    /// The voter roll.
    pub roll: &'a Arc<Roll>,
    /// The board of its correct core.
    pub board: &'a Board,
    /// What the liars know together.
    pub conspiracy: &'a Conspiracy,
    /// Builds the chain's transactions.
    pub tx: &'a dyn Transactions,
}

impl Liar<'_> {
    /// Signs as somebody who lies; `None` for whose key it does not have.
    #[must_use]
    pub fn sign_as(&self, sender: Sender, body: Body) -> Option<Arc<Envelope>> {
        let key = match sender {
            Sender::Trustee(index) => self.conspiracy.trustees.get(&index)?,
            Sender::Shard(index) if index == self.manifest.home => self.conspiracy.shard.as_ref()?,
            Sender::Shard(_) | Sender::Official(_) => return None,
        };
        let draft = Draft { election: self.board.election(), sender, body };
        let signature = key.sign(&draft.message()).to_bytes();
        Some(Arc::new(draft.sign(signature)))
    }

    /// Signs as itself.
    ///
    /// # Panics
    /// Never: whoever lies has its own key.
    #[must_use]
    pub fn sign(&self, body: Body) -> Arc<Envelope> {
        let me = self.me.map_or(Sender::Shard(self.manifest.home), Sender::Trustee);
        self.sign_as(me, body).expect("a liar has its own key")
    }

    /// Who lies too, itself included.
    pub fn liars(&self) -> impl Iterator<Item = TrusteeIndex> {
        self.conspiracy.trustees.keys().copied()
    }

    /// Who does not lie.
    pub fn honest(&self) -> impl Iterator<Item = TrusteeIndex> {
        self.manifest.trustee_indices().filter(|index| !self.conspiracy.trustees.contains_key(index))
    }

    /// The seed of a lying trustee's attempt.
    #[must_use]
    pub fn participant(&self, trustee: TrusteeIndex, attempt: Attempt) -> Option<Participant> {
        let seed = self.conspiracy.seeds.get(&(trustee, attempt))?;
        Participant::new(trustee, &AttemptSeed::new(*seed), self.manifest, attempt).ok()
    }

    /// A lying trustee's shares of the certified keys.
    #[must_use]
    pub fn shares(&self, trustee: TrusteeIndex) -> Option<KeyShares> {
        let attempt = self.board.key_certificate()?.attempt;
        self.participant(trustee, attempt)?.key_shares(&self.board.ceremony(attempt)).ok()
    }

    /// Signs a checkpoint as the log, where the coordinator lies.
    #[must_use]
    pub fn checkpoint(&self, checkpoint: Checkpoint) -> Option<Arc<SignedCheckpoint>> {
        let key = self.conspiracy.shard.as_ref()?;
        let identity = protocol::ids::IdentityKey(key.verifying_key().to_bytes());
        let signature = key.sign(&checkpoint.note_message()).to_bytes();
        SignedCheckpoint::by_log(checkpoint, &identity, &signature).ok().map(Arc::new)
    }

    /// Co-signs a checkpoint as a lying trustee.
    #[must_use]
    pub fn cosignature(&self, trustee: TrusteeIndex, checkpoint: &Checkpoint) -> Option<Cosignature> {
        let key = self.conspiracy.trustees.get(&trustee)?;
        let time_s = self.now.0 / 1000;
        let signature = key.sign(&checkpoint.cosignature_message(time_s)).to_bytes();
        Some(Cosignature { time_s, signature })
    }
}
