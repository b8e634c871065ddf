//! What is said about opening, closing and the vote set. (P-VOT, P-AGR; tags 20 to 39)

use crate::{
    encoding::{Hash, message},
    ids::{LogSize, Round, TrusteeIndex, Weight},
};
use alloc::vec::Vec;

message! {
    /// An official asks the trustees to open the election. (P-VOT-1)
    OpenRequest {
        /// The key certificate it opens with.
        key_certificate: Hash,
    }
}

message! {
    /// A trustee agrees to open. `q` of them open the election. (P-VOT-2)
    Open {
        /// The key certificate it opens with.
        key_certificate: Hash,
    }
}

message! {
    /// An official asks the trustees to close the election. (P-VOT-3)
    CloseRequest {
        /// The key certificate of the open election.
        key_certificate: Hash,
    }
}

message! {
    /// A trustee agrees to close. `q` of them close the election. (P-VOT-4)
    Close {
        /// The key certificate of the open election.
        key_certificate: Hash,
    }
}

message! {
    /// The end of one lane's log.
    LaneEnd {
        /// Leaves.
        size: LogSize,
        /// Root at that size.
        root: Hash,
    }
}

message! {
    /// The home shard states where the lanes end, after the close. Trustees follow the log up to here. (P-VOT-5)
    Sealed {
        /// One per lane, in order.
        lanes: Vec<LaneEnd>,
    }
}

impl Sealed {
    /// Whether a vote set has everything that is stated here.
    #[must_use]
    pub fn is_reached_by(&self, value: &VoteSet) -> bool {
        self.lanes.len() == value.lanes.len()
            && self.lanes.iter().zip(&value.lanes).all(|(end, own)| own.size >= end.size)
    }
}

message! {
    /// What trustees agree on. Its hash names it in votes. (P-AGR-1)
    VoteSet {
        /// The key certificate under which the ballots are encrypted.
        key_certificate: Hash,
        /// One per lane, in order.
        lanes: Vec<LaneEnd>,
        /// Ballots in the log.
        logged: u64,
        /// Ballots that count.
        counted: u64,
        /// Sum of the weights of the ballots that count, per contest.
        weights: Vec<Weight>,
        /// Hash over the per-lane bitmaps of counted leaves.
        counted_digest: Hash,
        /// Hash of the aggregate ciphertexts.
        aggregate: Hash,
    }
}

message! {
    /// One trustee's signature under a vote whose body is known from the context.
    Vouch {
        /// Who.
        trustee: TrusteeIndex,
        /// The signature of the vote's envelope.
        signature: [u8; 64],
    }
}

message! {
    /// The round's proposer proposes a vote set. (P-AGR-2)
    Proposal {
        /// Round.
        round: Round,
        /// What to agree on.
        value: VoteSet,
        /// The round in which a quorum prevoted it before, if it is such a one.
        valid_round: Option<Round>,
        /// The prevotes of that quorum, by ascending trustee. Empty where there is no such round. A liar may have shown
        /// different prevotes to different trustees; with these everybody can check what the proposer saw.
        justification: Vec<Vouch>,
    }
}

message! {
    /// First vote of a round. `None` is a vote for nothing. (P-AGR-3)
    Prevote {
        /// Round.
        round: Round,
        /// Hash of the vote set.
        value: Option<Hash>,
    }
}

message! {
    /// Second vote of a round: `q` of these for one value are the vote-set certificate. (P-AGR-4)
    Precommit {
        /// Round.
        round: Round,
        /// Hash of the vote set.
        value: Option<Hash>,
    }
}

message! {
    /// A trustee's lot: a VRF over the certified vote set. (P-LOT-1)
    Lot {
        /// Hash of the certified vote set.
        vote_set: Hash,
        /// schnorrkel VRF pre-output.
        output: [u8; 32],
        /// schnorrkel VRF proof.
        proof: [u8; 64],
    }
}
