//! Numbers, side by side with peers.
//!
//! - `cargo bench -p benches --bench ballot`: criterion, all sizes.
//! - `cargo run --release -p benches --bin compare`: one ratio, ours to `elastic-elgamal`, on one thread.

pub mod classical;

use curve25519_dalek::ristretto::RistrettoPoint;
use ed25519_dalek::SigningKey;
use elastic_elgamal::{
    Keypair,
    app::{ChoiceParams, EncryptedChoice, SingleChoice},
    group::Ristretto,
};
use protocol::{
    ballot::{BallotForm, ContestRule},
    group::Point,
    ids::{ContestIndex, ElectionId, OptionIndex, StyleIndex},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRngCore, SeedableRng as _};

/// The generator of every run: the same ballots each time.
#[must_use]
pub fn seeded() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(2026)
}

/// Our ballots: one contest, one of `options`.
pub struct Ours {
    /// The form.
    pub form: BallotForm,
    /// Encoded ballots, each by a credential of its own.
    pub ballots: Vec<Vec<u8>>,
}

impl Ours {
    /// `count` ballots of `options` options.
    ///
    /// # Panics
    /// If our own form refuses its own ballots.
    #[must_use]
    pub fn new(options: u16, count: usize) -> Self {
        let mut rng = seeded();
        let key = Point::new(RistrettoPoint::random(&mut rng)).expect("a random point is not the identity");
        let rules = vec![ContestRule { options, min: 1, max: 1 }];
        let form = BallotForm::new(ElectionId([7; 32]), key, rules, vec![vec![ContestIndex(0)]]).expect("a form");
        let ballots = (0..count).map(|_| seal(&form, options, &credential(&mut rng), &mut rng)).collect();
        Self { form, ballots }
    }

    /// The ballots as a batch takes them.
    #[must_use]
    pub fn batch(&self) -> Vec<&[u8]> {
        self.ballots.iter().map(Vec::as_slice).collect()
    }
}

/// A fresh credential.
pub fn credential(rng: &mut dyn CryptoRngCore) -> SigningKey {
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    SigningKey::from_bytes(&secret)
}

/// One ballot with a random choice.
///
/// # Panics
/// If the form refuses a choice that follows its rule.
pub fn seal(form: &BallotForm, options: u16, credential: &SigningKey, rng: &mut dyn CryptoRngCore) -> Vec<u8> {
    let choice = OptionIndex(u16::try_from(rng.next_u32() % u32::from(options)).expect("below options"));
    form.seal(StyleIndex(0), &[vec![choice]], credential, rng).expect("a ballot")
}

/// Ballots of `elastic-elgamal`: single choice, serialised with bincode. They carry no signature and no credential.
pub struct Elastic {
    /// Its parameters.
    pub params: ChoiceParams<Ristretto, SingleChoice>,
    /// Serialised ballots.
    pub ballots: Vec<Vec<u8>>,
}

impl Elastic {
    /// `count` ballots of `options` options.
    ///
    /// # Panics
    /// If a ballot does not serialise.
    #[must_use]
    pub fn new(options: usize, count: usize) -> Self {
        let mut rng = seeded();
        let (receiver, _) = Keypair::<Ristretto>::generate(&mut rng).into_tuple();
        let params = ChoiceParams::single(receiver, options);
        let ballots = (0..count)
            .map(|i| EncryptedChoice::single(&params, i % options, &mut rng))
            .map(|ballot| bincode::serialize(&ballot).expect("a serialised ballot"))
            .collect();
        Self { params, ballots }
    }

    /// Decodes and verifies one ballot.
    #[must_use]
    pub fn decode_and_verify(&self, ballot: &[u8]) -> bool {
        let Ok(ballot) = bincode::deserialize::<EncryptedChoice<Ristretto, SingleChoice>>(ballot) else { return false };
        ballot.verify(&self.params).is_ok()
    }
}
