//! The two rounds and what comes after them, over the library. (P-SIG-3, P-SIG-4, P-SIG-6)

use super::{
    locks::{CommitPermit, SignPermit},
    messages::{Purpose, SignCommitment, SignRequest, SignShare},
};
use crate::{
    encoding::{Hash, Writer, digest, label},
    evidence::Wrong,
    ids::{Attempt, TrusteeIndex},
};
use alloc::{collections::BTreeMap, vec::Vec};
use frost_ed25519::{
    CheaterDetection, Identifier, SigningPackage, VerifyingKey, aggregate_custom,
    keys::{KeyPackage, PublicKeyPackage, VerifyingShare},
    round1::{NonceCommitment, SigningCommitments, SigningNonces},
    round2::SignatureShare,
};
use rand_core::CryptoRngCore;

/// FROST's identifier of a trustee: the manifest's index. `None` for 0.
#[must_use]
pub fn identifier(trustee: TrusteeIndex) -> Option<Identifier> {
    Identifier::try_from(trustee.0).ok()
}

/// The public signing keys of a key certificate, decoded once.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    bytes: [u8; 32],
    strict: ed25519_dalek::VerifyingKey,
    package: PublicKeyPackage,
    threshold: u16,
}

/// Why bytes are not a group's signing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The group key is not canonical, not of prime order, or the identity.
    #[error("the group's signing key is not a canonical Ed25519 key of prime order")]
    GroupKey,
    /// A trustee's verifying share is not.
    #[error("the verifying share of trustee {0} is not a canonical Ed25519 point of prime order")]
    Share(TrusteeIndex),
    /// Threshold and number of shares do not fit.
    #[error("{threshold} of {shares} is no threshold; at least 2, at most the number of shares")]
    Threshold {
        /// `s`.
        threshold: u16,
        /// `n`.
        shares: usize,
    },
}

impl SigningKeys {
    /// Decodes a certificate's group key and verifying shares (trustee 1 first). Refuses what is not canonical or not of
    /// prime order, so that every verifier agrees on every signature.
    ///
    /// # Errors
    /// [`KeyRefusal`].
    pub fn new(signing_key: &[u8; 32], signing_shares: &[[u8; 32]], threshold: u16) -> Result<Self, KeyRefusal> {
        let shares = signing_shares.len();
        if threshold < 2 || usize::from(threshold) > shares || shares > crate::manifest::bounds::TRUSTEES_MAX {
            return Err(KeyRefusal::Threshold { threshold, shares });
        }
        let key = VerifyingKey::deserialize(signing_key).map_err(|_| KeyRefusal::GroupKey)?;
        let strict = ed25519_dalek::VerifyingKey::from_bytes(signing_key).map_err(|_| KeyRefusal::GroupKey)?;
        if strict.is_weak() || !key.serialize().is_ok_and(|again| again == signing_key) {
            return Err(KeyRefusal::GroupKey);
        }
        let mut verifying_shares = BTreeMap::new();
        for (index, bytes) in (1..).map(TrusteeIndex).zip(signing_shares) {
            let share = VerifyingShare::deserialize(bytes).map_err(|_| KeyRefusal::Share(index))?;
            if !share.serialize().is_ok_and(|again| again == bytes) {
                return Err(KeyRefusal::Share(index));
            }
            verifying_shares.insert(identifier(index).ok_or(KeyRefusal::Share(index))?, share);
        }
        let package = PublicKeyPackage::new(verifying_shares, key, Some(threshold));
        Ok(Self { bytes: *signing_key, strict, package, threshold })
    }

    /// The group key: the payer's address on chain.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.bytes
    }
    /// How many sign: `s`.
    #[must_use]
    pub fn threshold(&self) -> u16 {
        self.threshold
    }
    /// Whether this is the group's signature: plain Ed25519, strict.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.strict.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

/// The secret of one signer for one attempt. Not `Clone`, not encodable, wiped when dropped: [`sign`] takes it by value,
/// so that the compiler refuses a second use.
///
/// ```compile_fail
/// fn twice(nonce: protocol::signing::SigningNonce) -> [protocol::signing::SigningNonce; 2] {
///     [nonce.clone(), nonce]
/// }
/// ```
pub struct SigningNonce {
    secret: SigningNonces,
    commitment: SignCommitment,
}

impl SigningNonce {
    /// What for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.commitment.purpose
    }
    /// Attempt.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.commitment.attempt
    }
}

#[cfg(test)]
impl SigningNonce {
    /// With given secrets, for published vectors.
    pub(super) fn from_secrets(purpose: Purpose, attempt: Attempt, hiding: &[u8; 32], binding: &[u8; 32]) -> Self {
        type Nonce = frost_core::round1::Nonce<frost_ed25519::Ed25519Sha512>;
        let nonce = |bytes: &[u8; 32]| Nonce::deserialize(bytes).unwrap();
        let secret = SigningNonces::from_nonces(nonce(hiding), nonce(binding));
        let bytes = |commitment: &NonceCommitment| commitment.serialize().unwrap().try_into().unwrap();
        let public = *secret.commitments();
        let commitment =
            SignCommitment { purpose, attempt, hiding: bytes(public.hiding()), binding: bytes(public.binding()) };
        Self { secret, commitment }
    }
    pub(super) fn commitment(&self) -> &SignCommitment {
        &self.commitment
    }
}

impl core::fmt::Debug for SigningNonce {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningNonce({}, attempt {}, redacted)", self.purpose().name(), self.attempt())
    }
}

/// Why a signer does not sign. The nonce is gone in every case: abort the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningRefusal {
    /// The permit is for another purpose or attempt than the nonce.
    #[error("the permit is for another purpose or attempt than the nonce; abort this attempt")]
    OtherPermit,
    /// The request is for another purpose or attempt than the nonce.
    #[error("the request is for another purpose or attempt than the nonce; abort this attempt")]
    OtherRequest,
    /// The commitments are not exactly the signers' of the request.
    #[error("the commitments are not those of exactly the requested signers; abort this attempt")]
    OtherSigners,
    /// A commitment belongs to another purpose or attempt.
    #[error("the commitment of trustee {0} is for another purpose or attempt; abort this attempt")]
    StrayCommitment(TrusteeIndex),
    /// The own commitment is missing or was changed.
    #[error("the own commitment is not in the package unchanged; somebody replaced it, abort this attempt")]
    OwnCommitment,
    /// Somebody's commitment is not two canonical points of prime order.
    #[error("the commitment of trustee {0} is not two canonical points; abort this attempt")]
    BadCommitment(TrusteeIndex),
    /// The library refuses: too few commitments, or a key package of another group.
    #[error("the key share and the commitments do not fit together: check the threshold and the key certificate")]
    Library,
}

/// First round: fresh nonces, hedged by the library with the key share against a bad source of entropy. (P-SIG-3)
///
/// Journal the commitment before it is sent, then tell [`super::SignerLocks::committed`].
///
/// # Errors
/// [`SigningRefusal::Library`], which only a broken source of entropy can cause.
pub fn commit(
    key: &KeyPackage,
    permit: CommitPermit,
    rng: &mut dyn CryptoRngCore,
) -> Result<(SigningNonce, SignCommitment), SigningRefusal> {
    let (purpose, attempt) = permit.spend();
    let mut rng = rng;
    let (secret, public) = frost_ed25519::round1::commit(key.signing_share(), &mut rng);
    let bytes = |commitment: &NonceCommitment| -> Result<[u8; 32], SigningRefusal> {
        let bytes = commitment.serialize().map_err(|_| SigningRefusal::Library)?;
        bytes.try_into().map_err(|_| SigningRefusal::Library)
    };
    let commitment =
        SignCommitment { purpose, attempt, hiding: bytes(public.hiding())?, binding: bytes(public.binding())? };
    Ok((SigningNonce { secret, commitment: commitment.clone() }, commitment))
}

/// Second round: the share. The nonce is consumed, whatever comes of it. (P-SIG-4)
///
/// The caller has rebuilt `message` from its own certified data. Journal the share before it is sent, then tell
/// [`super::SignerLocks::answered`].
///
/// # Errors
/// [`SigningRefusal`]: the attempt must be aborted.
pub fn sign(
    nonce: SigningNonce,
    permit: SignPermit,
    key: &KeyPackage,
    request: &SignRequest,
    message: &[u8],
    commitments: &BTreeMap<TrusteeIndex, &SignCommitment>,
) -> Result<SignShare, SigningRefusal> {
    let SigningNonce { secret, commitment: own } = nonce;
    let place = (own.purpose, own.attempt);
    if permit.spend() != place {
        return Err(SigningRefusal::OtherPermit);
    }
    if (request.purpose, request.attempt) != place {
        return Err(SigningRefusal::OtherRequest);
    }
    if !request.signers.iter().eq(commitments.keys()) {
        return Err(SigningRefusal::OtherSigners);
    }
    if let Some((stray, _)) = commitments.iter().find(|(_, c)| (c.purpose, c.attempt) != place) {
        return Err(SigningRefusal::StrayCommitment(*stray));
    }
    let mine = commitments.iter().find(|(index, _)| identifier(**index).as_ref() == Some(key.identifier()));
    if mine.is_none_or(|(_, commitment)| **commitment != own) && !bug!(OwnCommitmentReplaced) {
        return Err(SigningRefusal::OwnCommitment);
    }
    let package = signing_package(message, commitments).map_err(SigningRefusal::BadCommitment)?;
    let share = frost_ed25519::round2::sign(&package, &secret, key).map_err(|_| SigningRefusal::Library)?;
    let share = share.serialize().try_into().map_err(|_| SigningRefusal::Library)?;
    let (purpose, attempt) = place;
    Ok(SignShare { purpose, attempt, package: package_hash(message, commitments), share })
}

/// What a share is made for: the message and every commitment. (P-SIG-4.1)
#[must_use]
pub fn package_hash(message: &[u8], commitments: &BTreeMap<TrusteeIndex, &SignCommitment>) -> Hash {
    let mut out = Writer::new();
    out.bytes(message).len(commitments.len());
    for (index, commitment) in commitments {
        out.value(index).value(*commitment);
    }
    digest(label::SIGNING_PACKAGE, out.as_bytes())
}

/// Whether a commitment is two canonical points of prime order. (P-SIG-3.1)
///
/// # Errors
/// [`Wrong::PointInvalid`].
pub fn check_commitment(commitment: &SignCommitment) -> Result<(), Wrong> {
    frost_commitment(commitment).map(|_| ()).ok_or(Wrong::PointInvalid)
}

/// Why a share is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareRefusal {
    /// Not among the signers, or without a verifying share.
    #[error("trustee {0} is not a signer of this attempt")]
    NotASigner(TrusteeIndex),
    /// It was made for another message or other commitments than are seen here. Nobody's proven fault: somebody showed
    /// the signer other envelopes, which are evidence where they are found.
    #[error("the share was made for another package than the one seen here; compare the signer's envelopes with these")]
    OtherPackage {
        /// As computed here.
        expected: Hash,
        /// In the share.
        got: Hash,
    },
    /// Another signer's commitment cannot be decoded.
    #[error("the commitment of trustee {0} is not two canonical points; nobody can sign this package")]
    BadCommitment(TrusteeIndex),
    /// The sender's provable wrong.
    #[error("the signer {0}")]
    Wrong(Wrong),
}

impl ShareRefusal {
    /// What it proves against the sender of the share, if anything.
    #[must_use]
    pub fn wrong(&self) -> Option<Wrong> {
        match self {
            Self::Wrong(wrong) => Some(*wrong),
            Self::NotASigner(_) | Self::OtherPackage { .. } | Self::BadCommitment(_) => None,
        }
    }
}

/// Checks one share by its signer's verifying share. (P-SIG-6.1)
///
/// # Errors
/// [`ShareRefusal`]; only [`ShareRefusal::Wrong`] is held against the signer.
pub fn verify_share(
    keys: &SigningKeys,
    from: TrusteeIndex,
    message: &[u8],
    commitments: &BTreeMap<TrusteeIndex, &SignCommitment>,
    share: &SignShare,
) -> Result<(), ShareRefusal> {
    let id = identifier(from).filter(|_| commitments.contains_key(&from)).ok_or(ShareRefusal::NotASigner(from))?;
    let verifying = keys.package.verifying_shares().get(&id).ok_or(ShareRefusal::NotASigner(from))?;
    let expected = package_hash(message, commitments);
    if share.package != expected && !bug!(PackageUnbound) {
        return Err(ShareRefusal::OtherPackage { expected, got: share.package });
    }
    let package = signing_package(message, commitments).map_err(ShareRefusal::BadCommitment)?;
    let scalar = SignatureShare::deserialize(&share.share).map_err(|_| ShareRefusal::Wrong(Wrong::PointInvalid))?;
    frost_core::verify_signature_share(id, verifying, &scalar, &package, keys.package.verifying_key())
        .map_err(|_| ShareRefusal::Wrong(Wrong::BadSignatureShare))
}

/// Why shares do not add up to a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateRefusal {
    /// Not one share and one verifying key for each commitment, or fewer than the threshold.
    #[error("the shares are not those of exactly the signers, or fewer than the threshold")]
    Incomplete,
    /// Shares, or commitments, that are provably wrong.
    #[error("{} signers sent what does not verify; begin the next attempt without them", culprits.len())]
    Culprits {
        /// Whose, ascending.
        culprits: Vec<TrusteeIndex>,
    },
    /// Shares for another package than this one.
    #[error("{} signers answered another package than the one seen here", strayed.len())]
    OtherPackage {
        /// Whose, ascending.
        strayed: Vec<TrusteeIndex>,
    },
    /// Every share holds and the whole does not. Cannot be.
    #[error("the signature does not hold though every share does: this is a defect of this program")]
    Defect,
}

impl AggregateRefusal {
    /// Whom the next attempt leaves out for a provable wrong.
    #[must_use]
    pub fn culprits(&self) -> &[TrusteeIndex] {
        match self {
            Self::Culprits { culprits } => culprits,
            Self::Incomplete | Self::OtherPackage { .. } | Self::Defect => &[],
        }
    }
}

/// Adds the shares up. What comes out has been verified as a plain, strict Ed25519 signature. (P-SIG-6)
///
/// # Errors
/// [`AggregateRefusal`], naming every culprit.
pub fn aggregate(
    keys: &SigningKeys,
    message: &[u8],
    commitments: &BTreeMap<TrusteeIndex, &SignCommitment>,
    shares: &BTreeMap<TrusteeIndex, &SignShare>,
) -> Result<[u8; 64], AggregateRefusal> {
    if commitments.len() < usize::from(keys.threshold) || !commitments.keys().eq(shares.keys()) {
        return Err(AggregateRefusal::Incomplete);
    }
    let expected = package_hash(message, commitments);
    let strayed: Vec<TrusteeIndex> =
        shares.iter().filter(|(_, share)| share.package != expected).map(|(index, _)| *index).collect();
    if !strayed.is_empty() && !bug!(PackageUnbound) {
        return Err(AggregateRefusal::OtherPackage { strayed });
    }
    let named = |index: &TrusteeIndex| AggregateRefusal::Culprits { culprits: [*index].into() };
    let package = signing_package(message, commitments).map_err(|index| named(&index))?;
    let mut scalars = BTreeMap::new();
    for (index, share) in shares {
        let scalar = SignatureShare::deserialize(&share.share).map_err(|_| named(index))?;
        scalars.insert(identifier(*index).ok_or(AggregateRefusal::Incomplete)?, scalar);
    }
    let signature = match aggregate_custom(&package, &scalars, &keys.package, CheaterDetection::AllCheaters) {
        Ok(signature) => signature,
        Err(error) => {
            let guilty = error.culprits();
            let culprits: Vec<TrusteeIndex> = shares
                .keys()
                .filter(|index| identifier(**index).is_some_and(|id| guilty.contains(&id)))
                .copied()
                .collect();
            let refusal = if culprits.is_empty() {
                AggregateRefusal::Incomplete
            } else {
                AggregateRefusal::Culprits { culprits }
            };
            return Err(refusal);
        }
    };
    let bytes: [u8; 64] =
        signature.serialize().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(AggregateRefusal::Defect)?;
    if keys.verify(message, &bytes) { Ok(bytes) } else { Err(AggregateRefusal::Defect) }
}

/// The library's package; the error is whose commitment does not decode.
fn signing_package(
    message: &[u8],
    commitments: &BTreeMap<TrusteeIndex, &SignCommitment>,
) -> Result<SigningPackage, TrusteeIndex> {
    let mut decoded = BTreeMap::new();
    for (index, commitment) in commitments {
        let id = identifier(*index).ok_or(*index)?;
        decoded.insert(id, frost_commitment(commitment).ok_or(*index)?);
    }
    Ok(SigningPackage::new(decoded, message))
}

/// The library refuses the identity and points that are not of prime order; that leaves one encoding for each point.
fn frost_commitment(commitment: &SignCommitment) -> Option<SigningCommitments> {
    let hiding = NonceCommitment::deserialize(&commitment.hiding).ok()?;
    let binding = NonceCommitment::deserialize(&commitment.binding).ok()?;
    Some(SigningCommitments::new(hiding, binding))
}
