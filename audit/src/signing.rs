//! Joint signatures that stand on the board: the sum of the shares. (P-SIG, FROST of RFC 9591)

use crate::{
    ceremony::Keys,
    group::{edwards_prime, multiply_edwards, reduce, scalar, signed},
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

/// The signature that the shares of an attempt add up to, if all are there and it is the group's signature on `message`.
pub(crate) fn aggregated(
    record: &Record,
    keys: &Keys,
    purpose: u16,
    attempt: u32,
    signers: &[u16],
    message: &[u8],
) -> Option<[u8; 64]> {
    let slot =
        |tag, index| Slot { tag, number: attempt, topic: purpose, sender: Sender { role: Role::Trustee, index } };
    let mut commitments = Vec::new();
    let mut encoded = Vec::new();
    for index in signers {
        let Body::SignCommitment { hiding, binding } = &record.said(slot(51, *index))?.body else { return None };
        commitments.push((*index, *hiding, *binding));
        encoded.extend(Scalar::from(*index).to_bytes());
        encoded.extend(hiding);
        encoded.extend(binding);
    }
    let package = package_hash(purpose, attempt, message, &commitments);
    let (message_hash, list_hash) = (hash("msg", &[message]), hash("com", &[&encoded]));
    // > R = sum D_i + rho_i E_i, z = sum z_i
    let (mut scalars, mut points): (Vec<Scalar>, Vec<EdwardsPoint>) = (Vec::new(), Vec::new());
    let mut z = Scalar::ZERO;
    for (index, hiding, binding) in &commitments {
        let identifier = Scalar::from(*index).to_bytes();
        let rho = reduce(&hash("rho", &[&keys.signing_key, &message_hash, &list_hash, &identifier]));
        points.extend([edwards_prime(hiding)?, edwards_prime(binding)?]);
        scalars.extend([Scalar::ONE, rho]);
        let Body::SignShare { package: named, share } = &record.said(slot(52, *index))?.body else { return None };
        if *named != package {
            return None;
        }
        z += scalar(share)?;
    }
    let r = multiply_edwards(&scalars, &points).compress().to_bytes();
    let mut signature = [0; 64];
    for (to, from) in signature.iter_mut().zip(r.iter().chain(z.as_bytes())) {
        *to = *from;
    }
    signed(&keys.signing_key, message, &signature).then_some(signature)
}
