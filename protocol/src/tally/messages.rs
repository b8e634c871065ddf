//! What is said in the tally. (P-TAL; tags 40 to 49)

use crate::encoding::{Hash, message};
use alloc::vec::Vec;

message! {
    /// A trustee's partial decryption of every sum, with one proof for all of them. (P-TAL-1)
    Partials {
        /// Hash of the certified vote set.
        vote_set: Hash,
        /// `x_i * A` for every contest and option in order; identity allowed where `A` is the identity.
        points: Vec<[u8; 32]>,
        /// Batched Chaum-Pedersen proof: challenge, response.
        proof: [u8; 64],
    }
}
