//! Joint signatures that stand on the board: the sum of the shares. (P-SIG, FROST of RFC 9591)

use crate::{
    ceremony::Keys,
    group::{edwards_base, edwards_prime, lagrange, multiply_edwards, reduce, scalar, signed},
    messages::{Body, Role, Sender, Slot},
    record::Record,
    wire::{Hash, digest, length},
};
use curve25519_dalek::{edwards::EdwardsPoint, scalar::Scalar};
use sha2::{Digest as _, Sha512};

const CONTEXT: &str = "FROST-ED25519-SHA512-v1";

fn hash(tag: &str, parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update(CONTEXT);
    hash.update(tag);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// P-SIG-4.1: what a share is made for.
fn package_hash(purpose: u16, attempt: u32, message: &[u8], commitments: &[(u16, [u8; 32], [u8; 32])]) -> Hash {
    let mut body = Vec::new();
    body.extend(length(message.len()));
    body.extend(message);
    body.extend(length(commitments.len()));
    for (index, hiding, binding) in commitments {
        body.extend(index.to_be_bytes());
        body.push(u8::try_from(purpose).unwrap_or(0));
        body.extend(attempt.to_be_bytes());
        body.extend(hiding);
        body.extend(binding);
    }
    digest("signing-package", &[&body])
}

/// One attempt: who was asked, what they committed to, and what follows from that.
struct Package {
    /// Signer, its two points, its binding factor.
    parts: Vec<(u16, EdwardsPoint, EdwardsPoint, Scalar)>,
    hash: Hash,
}

fn share_slot(tag: u16, purpose: u16, attempt: u32, index: u16) -> Slot {
    Slot { tag, number: attempt, topic: purpose, sender: Sender { role: Role::Trustee, index } }
}

impl Package {
    /// `None` unless all signers have committed to points.
    fn of(
        record: &Record,
        keys: &Keys,
        (purpose, attempt): (u16, u32),
        signers: &[u16],
        message: &[u8],
    ) -> Option<Self> {
        let mut commitments = Vec::new();
        let mut encoded = Vec::new();
        for index in signers {
            let said = record.said(share_slot(51, purpose, attempt, *index))?;
            let Body::SignCommitment { hiding, binding } = &said.body else { return None };
            commitments.push((*index, *hiding, *binding));
            encoded.extend(Scalar::from(*index).to_bytes());
            encoded.extend(hiding);
            encoded.extend(binding);
        }
        let (message_hash, list_hash) = (hash("msg", &[message]), hash("com", &[&encoded]));
        let mut parts = Vec::new();
        for (index, hiding, binding) in &commitments {
            let identifier = Scalar::from(*index).to_bytes();
            let rho = reduce(&hash("rho", &[&keys.signing_key, &message_hash, &list_hash, &identifier]));
            parts.push((*index, edwards_prime(hiding)?, edwards_prime(binding)?, rho));
        }
        Some(Self { parts, hash: package_hash(purpose, attempt, message, &commitments) })
    }

    /// > R = sum D_i + rho_i E_i
    fn commitment(&self) -> EdwardsPoint {
        let scalars: Vec<Scalar> = self.parts.iter().flat_map(|(_, _, _, rho)| [Scalar::ONE, *rho]).collect();
        let points: Vec<EdwardsPoint> = self.parts.iter().flat_map(|(_, d, e, _)| [*d, *e]).collect();
        multiply_edwards(&scalars, &points)
    }
}

/// Whether the share of one signer does not hold for the package that it names. `None` if it names another one, or if the
/// attempt has no package. (P-SIG-6.1)
pub(crate) fn is_bad_share(
    record: &Record,
    keys: &Keys,
    place: (u16, u32),
    signers: &[u16],
    message: &[u8],
    of: u16,
) -> Option<bool> {
    let package = Package::of(record, keys, place, signers, message)?;
    let Body::SignShare { package: named, share } = &record.said(share_slot(52, place.0, place.1, of))?.body else {
        return None;
    };
    if *named != package.hash {
        return None;
    }
    let Some(z) = scalar(share) else { return Some(true) };
    let (_, d, e, rho) = package.parts.iter().find(|(index, ..)| *index == of)?;
    let r = package.commitment().compress().to_bytes();
    let challenge: [u8; 64] =
        Sha512::new().chain_update(r).chain_update(keys.signing_key).chain_update(message).finalize().into();
    let verifying = keys.signing_shares.get(usize::from(of).checked_sub(1)?)?;
    // > z_i B = D_i + rho_i E_i + c lambda_i Y_i
    let factor = reduce(&challenge) * lagrange(of, signers);
    Some(edwards_base(&z) != multiply_edwards(&[Scalar::ONE, *rho, factor], &[*d, *e, *verifying]))
}

/// The signature that the shares of an attempt add up to, if all are there and it is the group's signature on `message`.
pub(crate) fn aggregated(
    record: &Record,
    keys: &Keys,
    purpose: u16,
    attempt: u32,
    signers: &[u16],
    message: &[u8],
) -> Option<[u8; 64]> {
    let package = Package::of(record, keys, (purpose, attempt), signers, message)?;
    let mut z = Scalar::ZERO;
    for index in signers {
        let said = record.said(share_slot(52, purpose, attempt, *index))?;
        let Body::SignShare { package: named, share } = &said.body else { return None };
        if *named != package.hash {
            return None;
        }
        z += scalar(share)?;
    }
    let r = package.commitment().compress().to_bytes();
    let mut signature = [0; 64];
    for (to, from) in signature.iter_mut().zip(r.iter().chain(z.as_bytes())) {
        *to = *from;
    }
    signed(&keys.signing_key, message, &signature).then_some(signature)
}
