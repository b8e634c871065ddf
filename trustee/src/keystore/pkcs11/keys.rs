//! The three keys in the token: how they are made, and what is demanded of them. (K04)
//!
//! The same rules are written down twice, once as templates for [`generate`] and once as demands for [`find`]: keys may
//! have been made by the maker's tool, or changed since.

use cryptoki::error::{Error as LibraryError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::keystore::{KeyRole, KeystoreError, Operation, PolicyFlaw};

/// Handles of the keys, which are dear to find, and their public halves.
#[derive(Clone, Copy)]
pub(super) struct KeySet {
    pub(super) identity: ObjectHandle,
    pub(super) identity_public: [u8; 32],
    pub(super) tls: ObjectHandle,
    pub(super) tls_public: [u8; 32],
    pub(super) seal: ObjectHandle,
}

/// id-Ed25519, 1.3.101.112 (RFC 8410).
const CURVE_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// "edwards25519" as a PrintableString, which older tokens want.
const CURVE_NAME: &[u8] = b"\x13\x0cedwards25519";
const SEAL_KEY_BYTES: u64 = 32;

/// Makes the three keys. If one cannot be made, those made before it are destroyed, so that a second try is not in the
/// way of the first.
pub(super) fn generate(session: &Session, token: &str) -> Result<(), KeystoreError> {
    for role in KeyRole::ALL {
        if !labelled(session, role, None)?.is_empty() {
            return Err(KeystoreError::KeyExists { role, place: token.to_owned() });
        }
    }
    let mut made = Vec::new();
    for role in KeyRole::ALL {
        let outcome = match role {
            KeyRole::Identity | KeyRole::Tls => generate_pair(session, role).map(|(public, private)| {
                made.extend([public, private]);
            }),
            KeyRole::Seal => session.generate_key(&Mechanism::AesKeyGen, &seal_template()).map(|key| made.push(key)),
        };
        if let Err(source) = outcome {
            for key in made {
                // The error that matters is the first one.
                drop(session.destroy_object(key));
            }
            return Err(KeystoreError::Token { operation: Operation::GenerateKeys, source });
        }
    }
    Ok(())
}

fn generate_pair(session: &Session, role: KeyRole) -> Result<(ObjectHandle, ObjectHandle), LibraryError> {
    let by_oid = generate_pair_on(session, role, CURVE_OID);
    match by_oid {
        Err(LibraryError::Pkcs11(
            RvError::CurveNotSupported
            | RvError::AttributeValueInvalid
            | RvError::DomainParamsInvalid
            | RvError::TemplateInconsistent,
            _,
        )) => generate_pair_on(session, role, CURVE_NAME),
        settled => settled,
    }
}

fn generate_pair_on(
    session: &Session,
    role: KeyRole,
    curve: &[u8],
) -> Result<(ObjectHandle, ObjectHandle), LibraryError> {
    let name = role.label().as_bytes().to_vec();
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Modifiable(false),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::EcParams(curve.to_vec()),
        Attribute::Label(name.clone()),
        Attribute::Id(name.clone()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Modifiable(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Label(name.clone()),
        Attribute::Id(name),
    ];
    session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
}

fn seal_template() -> [Attribute; 16] {
    let name = KeyRole::Seal.label().as_bytes().to_vec();
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(SEAL_KEY_BYTES.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Modifiable(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Label(name.clone()),
        Attribute::Id(name),
    ]
}

/// Finds the three keys and refuses any that is not as it must be.
pub(super) fn find(session: &Session, token: &str) -> Result<KeySet, KeystoreError> {
    let identity = only(session, KeyRole::Identity, ObjectClass::PRIVATE_KEY, token)?;
    check(session, KeyRole::Identity, identity, KeyType::EC_EDWARDS, SIGNING_DEMANDS)?;
    let tls = only(session, KeyRole::Tls, ObjectClass::PRIVATE_KEY, token)?;
    check(session, KeyRole::Tls, tls, KeyType::EC_EDWARDS, SIGNING_DEMANDS)?;
    let seal = only(session, KeyRole::Seal, ObjectClass::SECRET_KEY, token)?;
    check(session, KeyRole::Seal, seal, KeyType::AES, SEALING_DEMANDS)?;
    check_seal_length(session, seal)?;
    Ok(KeySet {
        identity,
        identity_public: public_half(session, KeyRole::Identity, token)?,
        tls,
        tls_public: public_half(session, KeyRole::Tls, token)?,
        seal,
    })
}

fn only(session: &Session, role: KeyRole, class: ObjectClass, token: &str) -> Result<ObjectHandle, KeystoreError> {
    let mut found = labelled(session, role, Some(class))?;
    let count = found.len();
    match found.pop() {
        Some(only) if count == 1 => Ok(only),
        Some(_) => Err(KeystoreError::KeyAmbiguous { role, token: token.to_owned(), count }),
        None => Err(KeystoreError::KeyMissing { role, token: token.to_owned() }),
    }
}

fn labelled(session: &Session, role: KeyRole, class: Option<ObjectClass>) -> Result<Vec<ObjectHandle>, KeystoreError> {
    let mut template = vec![Attribute::Token(true), Attribute::Label(role.label().as_bytes().to_vec())];
    template.extend(class.map(Attribute::Class));
    session.find_objects(&template).map_err(find_failed)
}

/// What an attribute must be. `silence` says whether a token may be silent about it.
struct Demand {
    attribute: AttributeType,
    name: &'static str,
    expected: bool,
    silence: bool,
}

const fn must(attribute: AttributeType, name: &'static str, expected: bool) -> Demand {
    Demand { attribute, name, expected, silence: false }
}

const fn must_if_known(attribute: AttributeType, name: &'static str, expected: bool) -> Demand {
    Demand { attribute, name, expected, silence: true }
}

// SoftHSM makes keys with CKA_SIGN_RECOVER unless told not to.
// CKA_MODIFIABLE is false so that wrapping or decrypting cannot be switched on later by whoever learns the PIN.
const SIGNING_DEMANDS: &[Demand] = &[
    must(AttributeType::Private, "CKA_PRIVATE", true),
    must(AttributeType::Sensitive, "CKA_SENSITIVE", true),
    must(AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", true),
    must(AttributeType::Extractable, "CKA_EXTRACTABLE", false),
    must(AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE", true),
    must(AttributeType::Local, "CKA_LOCAL", true),
    must(AttributeType::Modifiable, "CKA_MODIFIABLE", false),
    must(AttributeType::Sign, "CKA_SIGN", true),
    must_if_known(AttributeType::SignRecover, "CKA_SIGN_RECOVER", false),
    must(AttributeType::Decrypt, "CKA_DECRYPT", false),
    must(AttributeType::Unwrap, "CKA_UNWRAP", false),
    must_if_known(AttributeType::Derive, "CKA_DERIVE", false),
];

// A key that both wraps and decrypts gives away whatever it wraps (Clulow); this one wraps nothing.
const SEALING_DEMANDS: &[Demand] = &[
    must(AttributeType::Private, "CKA_PRIVATE", true),
    must(AttributeType::Sensitive, "CKA_SENSITIVE", true),
    must(AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", true),
    must(AttributeType::Extractable, "CKA_EXTRACTABLE", false),
    must(AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE", true),
    must(AttributeType::Local, "CKA_LOCAL", true),
    must(AttributeType::Modifiable, "CKA_MODIFIABLE", false),
    must(AttributeType::Encrypt, "CKA_ENCRYPT", true),
    must(AttributeType::Decrypt, "CKA_DECRYPT", true),
    must(AttributeType::Wrap, "CKA_WRAP", false),
    must(AttributeType::Unwrap, "CKA_UNWRAP", false),
    must_if_known(AttributeType::Sign, "CKA_SIGN", false),
    must_if_known(AttributeType::Derive, "CKA_DERIVE", false),
];

fn check(
    session: &Session,
    role: KeyRole,
    key: ObjectHandle,
    key_type: KeyType,
    demands: &[Demand],
) -> Result<(), KeystoreError> {
    let refuse = |flaw| Err(KeystoreError::Policy { role, flaw });
    let types = session.get_attributes(key, &[AttributeType::KeyType]).map_err(find_failed)?;
    if types != [Attribute::KeyType(key_type)] {
        return refuse(PolicyFlaw::WrongType);
    }
    for &Demand { attribute, name, expected, silence } in demands {
        // One at a time: some tokens answer nothing at all if one attribute of many is unknown to them.
        let got = match session.get_attributes(key, &[attribute]) {
            Ok(answer) => answer.first().and_then(truth),
            Err(LibraryError::Pkcs11(RvError::AttributeTypeInvalid, _)) => None,
            Err(source) => return Err(find_failed(source)),
        };
        match got {
            Some(got) if got != expected => return refuse(PolicyFlaw::Attribute { name, expected, got }),
            None if !silence => return refuse(PolicyFlaw::Unreported { name }),
            _ => {}
        }
    }
    Ok(())
}

fn truth(attribute: &Attribute) -> Option<bool> {
    match attribute {
        Attribute::Private(truth)
        | Attribute::Sensitive(truth)
        | Attribute::AlwaysSensitive(truth)
        | Attribute::Extractable(truth)
        | Attribute::NeverExtractable(truth)
        | Attribute::Local(truth)
        | Attribute::Modifiable(truth)
        | Attribute::Sign(truth)
        | Attribute::SignRecover(truth)
        | Attribute::Encrypt(truth)
        | Attribute::Decrypt(truth)
        | Attribute::Wrap(truth)
        | Attribute::Unwrap(truth)
        | Attribute::Derive(truth) => Some(*truth),
        _ => None,
    }
}

fn check_seal_length(session: &Session, key: ObjectHandle) -> Result<(), KeystoreError> {
    let length = session.get_attributes(key, &[AttributeType::ValueLen]).map_err(find_failed)?;
    if length == [Attribute::ValueLen(SEAL_KEY_BYTES.into())] {
        Ok(())
    } else {
        Err(KeystoreError::Policy { role: KeyRole::Seal, flaw: PolicyFlaw::WrongType })
    }
}

fn public_half(session: &Session, role: KeyRole, token: &str) -> Result<[u8; 32], KeystoreError> {
    let key = only(session, role, ObjectClass::PUBLIC_KEY, token)?;
    let answer =
        session.get_attributes(key, &[AttributeType::EcParams, AttributeType::EcPoint]).map_err(find_failed)?;
    let mut curve_known = false;
    let mut public = None;
    for attribute in answer {
        match attribute {
            Attribute::EcParams(curve) => curve_known = curve == CURVE_OID || curve == CURVE_NAME,
            Attribute::EcPoint(point) => public = public_key(&point),
            _ => {}
        }
    }
    if !curve_known {
        return Err(KeystoreError::Policy { role, flaw: PolicyFlaw::WrongType });
    }
    public.ok_or(KeystoreError::Policy { role, flaw: PolicyFlaw::PublicKeyMalformed })
}

/// `CKA_EC_POINT` of an Edwards key: an OCTET STRING by the standard, the bare 32 bytes in some tokens.
fn public_key(point: &[u8]) -> Option<[u8; 32]> {
    let bare = if point.len() == 34 { point.strip_prefix(&[0x04, 0x20])? } else { point };
    bare.try_into().ok()
}

fn find_failed(source: LibraryError) -> KeystoreError {
    KeystoreError::Token { operation: Operation::FindKeys, source }
}

#[cfg(test)]
mod tests {
    use super::public_key;

    #[test]
    fn a_public_key_is_read_in_both_spellings_and_no_other() {
        let bare = [7_u8; 32];
        let mut wrapped = vec![0x04, 0x20];
        wrapped.extend_from_slice(&bare);
        assert_eq!(public_key(&bare), Some(bare));
        assert_eq!(public_key(&wrapped), Some(bare));
        assert_eq!(public_key(&bare[1..]), None);
        assert_eq!(public_key(&wrapped[..33]), None);
        wrapped[0] = 0x03;
        assert_eq!(public_key(&wrapped), None);
    }
}
