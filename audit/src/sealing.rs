//! A disputed share, sealed again from its opening: HPKE base mode, the ephemeral key derived from the seed. (P-DKG-4, P-DKG-5.2)

use hpke::{
    Deserializable as _, OpModeS, Serializable as _, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256,
    single_shot_seal,
};

type Kem = X25519HkdfSha256;

/// Gives the library the one seed that it asks for.
struct Seed([u8; 32]);

impl hpke::rand_core::RngCore for Seed {
    fn next_u32(&mut self) -> u32 {
        0
    }
    fn next_u64(&mut self) -> u64 {
        0
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(self.0) {
            *to = from;
        }
    }
}

impl hpke::rand_core::CryptoRng for Seed {}

/// Encapsulated key, ciphertext, tag; `None` if nothing can be sealed to this key.
pub(crate) fn seal(to: &[u8; 32], info: &[u8], seed: &[u8; 32], plaintext: &[u8; 64]) -> Option<Vec<u8>> {
    let to = <Kem as hpke::Kem>::PublicKey::from_bytes(to).ok()?;
    let (key, sealed) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(
        &OpModeS::Base,
        &to,
        info,
        plaintext,
        b"",
        &mut Seed(*seed),
    )
    .ok()?;
    let mut out = key.to_bytes().to_vec();
    out.extend(sealed);
    Some(out)
}
