//! Keys in an encrypted file: **for trials**. While the daemon runs, all three keys are in its memory.
//!
//! The file has a fixed length and exactly one form; every number is big-endian:
//!
//! ```text
//! 0    16  "conclave-keyfile"
//! 16    2  format version, 1
//! 18    4  Argon2id memory, KiB
//! 22    4  Argon2id passes
//! 26    4  Argon2id lanes
//! 30   32  salt
//! 62   12  IV
//! 74  112  AES-256-GCM(Argon2id(passphrase, salt), IV, identity || tls || seal), associated data = bytes 0..74
//! 186  32  SHA-256 of bytes 0..186
//! ```
//!
//! The checksum tells a damaged file from a wrong passphrase; it protects nothing.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::secret::refuse_exposed;
use super::{
    Damage, ExpectedKeys, IV_BYTES, KeyRole, Keystore, KeystoreError, KeystoreKind, PROBE_CONTEXT, PROBE_MESSAGE,
    SEAL_OVERHEAD_BYTES, Secret, check_context, check_message, check_plaintext, split_sealed, verified,
};

/// The fewest bytes of a passphrase.
pub const PASSPHRASE_BYTES_MIN: usize = 12;

const MAGIC: &[u8; 16] = b"conclave-keyfile";
const VERSION: u16 = 1;
const SALT_BYTES: usize = 32;
const KEYS_BYTES: usize = 96;
const HEADER_BYTES: usize = 74;
const BODY_BYTES: usize = HEADER_BYTES + KEYS_BYTES + 16;
const FILE_BYTES: usize = BODY_BYTES + 32;

/// How much work a guess at the passphrase costs (Argon2id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PassphraseCost {
    /// RFC 9106's choice where memory is limited: 64 MiB, 3 passes, 4 lanes.
    pub const STANDARD: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Next to no protection; quick. For tests, where the passphrase is no secret.
    pub const LIGHT_FOR_TESTS: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };

    /// A cost of one's own choice.
    ///
    /// # Errors
    /// [`KeystoreError::CostOutOfRange`]: a file asking for more could stop the daemon from starting.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, KeystoreError> {
        let cost = Self { memory_kib, passes, lanes };
        match cost.out_of_range() {
            None => Ok(cost),
            Some((parameter, min, max, got)) => Err(KeystoreError::CostOutOfRange { parameter, min, max, got }),
        }
    }

    fn out_of_range(self) -> Option<(&'static str, u32, u32, u32)> {
        // Argon2 itself needs 8 KiB for each lane: the least memory here covers the most lanes.
        [
            ("memory in KiB", 64, 1024 * 1024, self.memory_kib),
            ("number of passes", 1, 64, self.passes),
            ("number of lanes", 1, 8, self.lanes),
        ]
        .into_iter()
        .find(|(_, min, max, got)| got < min || got > max)
    }

    fn derive(self, passphrase: &Secret, salt: &[u8; SALT_BYTES]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let out_of_range = || KeystoreError::CostOutOfRange {
            parameter: "memory in KiB",
            min: 64,
            max: 1024 * 1024,
            got: self.memory_kib,
        };
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| out_of_range())?;
        let mut key = Zeroizing::new([0_u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose().as_bytes(), salt, key.as_mut_slice())
            .map_err(|_| out_of_range())?;
        Ok(key)
    }
}

/// A trustee's keys, read from an encrypted file into memory.
pub struct FileKeystore {
    identity: SigningKey,
    tls: SigningKey,
    seal: Zeroizing<[u8; 32]>,
    cost: PassphraseCost,
}

impl fmt::Debug for FileKeystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeystore").field("keys", &"redacted").field("cost", &self.cost).finish()
    }
}

/// Makes three new keys and writes them to `path`, readable by its owner alone.
///
/// # Errors
/// [`KeystoreError::KeyExists`] if there is a file already; it is never overwritten.
/// [`KeystoreError::PassphraseTooShort`]; [`KeystoreError::File`] if it cannot be written durably.
pub fn create(
    path: &Path,
    passphrase: &Secret,
    cost: PassphraseCost,
    rng: &mut dyn CryptoRngCore,
) -> Result<FileKeystore, KeystoreError> {
    let got = passphrase.expose().len();
    if got < PASSPHRASE_BYTES_MIN {
        return Err(KeystoreError::PassphraseTooShort { min: PASSPHRASE_BYTES_MIN, got });
    }
    if path.exists() {
        return Err(exists(path));
    }
    let mut keys = Zeroizing::new([0_u8; KEYS_BYTES]);
    rng.fill_bytes(keys.as_mut_slice());
    let mut salt = [0_u8; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    let mut iv = [0_u8; IV_BYTES];
    rng.fill_bytes(&mut iv);

    let image = encode(&keys, passphrase, Header { cost, salt, iv })?;
    write_new(path, &image)?;
    Ok(FileKeystore::from_keys(&keys, cost))
}

/// Reads the keys from `path` and checks them against the pinned ones.
///
/// # Errors
/// [`KeystoreError::PassphraseRejected`], [`KeystoreError::Damaged`], [`KeystoreError::Exposed`],
/// [`KeystoreError::WrongKey`], [`KeystoreError::File`].
pub fn open(path: &Path, passphrase: &Secret, expected: &ExpectedKeys) -> Result<FileKeystore, KeystoreError> {
    let image = read_all(path)?;
    let damaged = |damage| KeystoreError::Damaged { path: path.to_owned(), damage };
    let (header, aad, ciphertext) = decode(&image).map_err(damaged)?;
    let key = header.cost.derive(passphrase, &header.salt)?;
    let cipher = Aes256Gcm::new(key.as_slice().into());
    let opened = cipher
        .decrypt(Nonce::from_slice(&header.iv), Payload { msg: ciphertext, aad })
        .map(Zeroizing::new)
        .map_err(|_| KeystoreError::PassphraseRejected { path: path.to_owned() })?;
    let keys: Zeroizing<[u8; KEYS_BYTES]> = Zeroizing::new(
        opened
            .as_slice()
            .try_into()
            .map_err(|_| damaged(Damage::Length { expected: FILE_BYTES as u64, got: image.len() as u64 }))?,
    );
    let keystore = FileKeystore::from_keys(&keys, header.cost);
    expected.check(keystore.identity_public(), keystore.tls_public())?;
    Ok(keystore)
}

impl FileKeystore {
    fn from_keys(keys: &[u8; KEYS_BYTES], cost: PassphraseCost) -> Self {
        let mut parts = Zeroizing::new([[0_u8; 32]; 3]);
        for (part, chunk) in parts.iter_mut().zip(keys.chunks_exact(32)) {
            part.copy_from_slice(chunk);
        }
        let [identity, tls, seal] = &*parts;
        Self {
            identity: SigningKey::from_bytes(identity),
            tls: SigningKey::from_bytes(tls),
            seal: Zeroizing::new(*seal),
            cost,
        }
    }

    /// What a guess at this file's passphrase costs. The daemon warns of anything below the standard.
    #[must_use]
    pub fn cost(&self) -> PassphraseCost {
        self.cost
    }

    fn sign(&self, role: KeyRole, key: &SigningKey, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        check_message(message)?;
        let signature = key.sign(message).to_bytes();
        verified(role, &key.verifying_key().to_bytes(), message, &signature)
    }

    fn seal_with_iv(&self, context: &[u8], plaintext: &[u8], iv: [u8; IV_BYTES]) -> Result<Vec<u8>, KeystoreError> {
        check_context(context)?;
        check_plaintext(plaintext)?;
        let ciphertext = Aes256Gcm::new(self.seal.as_slice().into())
            .encrypt(Nonce::from_slice(&iv), Payload { msg: plaintext, aad: context })
            .map_err(|_| KeystoreError::SealBroken)?;
        let mut sealed = Vec::with_capacity(plaintext.len().saturating_add(SEAL_OVERHEAD_BYTES));
        sealed.extend_from_slice(&iv);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }
}

impl Keystore for FileKeystore {
    fn describe(&self) -> KeystoreKind {
        KeystoreKind::File
    }

    fn identity_public(&self) -> [u8; 32] {
        self.identity.verifying_key().to_bytes()
    }

    fn tls_public(&self) -> [u8; 32] {
        self.tls.verifying_key().to_bytes()
    }

    fn sign_identity(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.sign(KeyRole::Identity, &self.identity, message)
    }

    fn sign_tls(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.sign(KeyRole::Tls, &self.tls, message)
    }

    fn seal(
        &mut self,
        context: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, KeystoreError> {
        let mut iv = [0_u8; IV_BYTES];
        rng.fill_bytes(&mut iv);
        self.seal_with_iv(context, plaintext, iv)
    }

    fn unseal(&mut self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        check_context(context)?;
        let (iv, ciphertext) = split_sealed(sealed)?;
        Aes256Gcm::new(self.seal.as_slice().into())
            .decrypt(Nonce::from_slice(&iv), Payload { msg: ciphertext, aad: context })
            .map(Zeroizing::new)
            .map_err(|_| KeystoreError::SealBroken)
    }

    fn random(&mut self) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        Ok(Zeroizing::default())
    }

    fn health(&mut self) -> Result<(), KeystoreError> {
        self.sign_identity(PROBE_MESSAGE)?;
        self.sign_tls(PROBE_MESSAGE)?;
        // One fixed IV, one fixed plaintext: always the same ciphertext, so nothing is learned from repeating it.
        let sealed = self.seal_with_iv(PROBE_CONTEXT, PROBE_MESSAGE, [0; IV_BYTES])?;
        match self.unseal(PROBE_CONTEXT, &sealed)?.as_slice() == PROBE_MESSAGE {
            true => Ok(()),
            false => Err(KeystoreError::SealBroken),
        }
    }
}

struct Header {
    cost: PassphraseCost,
    salt: [u8; SALT_BYTES],
    iv: [u8; IV_BYTES],
}

fn encode(keys: &Zeroizing<[u8; KEYS_BYTES]>, passphrase: &Secret, header: Header) -> Result<Vec<u8>, KeystoreError> {
    let Header { cost, salt, iv } = header;
    let mut image = Vec::with_capacity(FILE_BYTES);
    image.extend_from_slice(MAGIC);
    image.extend_from_slice(&VERSION.to_be_bytes());
    image.extend_from_slice(&cost.memory_kib.to_be_bytes());
    image.extend_from_slice(&cost.passes.to_be_bytes());
    image.extend_from_slice(&cost.lanes.to_be_bytes());
    image.extend_from_slice(&salt);
    image.extend_from_slice(&iv);
    let key = cost.derive(passphrase, &salt)?;
    let ciphertext = Aes256Gcm::new(key.as_slice().into())
        .encrypt(Nonce::from_slice(&iv), Payload { msg: keys.as_slice(), aad: &image })
        .map_err(|_| KeystoreError::SealBroken)?;
    image.extend_from_slice(&ciphertext);
    let checksum = Sha256::digest(&image);
    image.extend_from_slice(&checksum);
    Ok(image)
}

/// Reads the header; returns it with the bytes that the seal covers and the sealed bytes.
fn decode(image: &[u8]) -> Result<(Header, &[u8], &[u8]), Damage> {
    let mut rest = image;
    if take::<16>(&mut rest) != Some(*MAGIC) {
        return Err(Damage::NotAKeystore);
    }
    let wrong_length = || Damage::Length { expected: FILE_BYTES as u64, got: image.len() as u64 };
    let version = take(&mut rest).map(u16::from_be_bytes).ok_or_else(wrong_length)?;
    if version != VERSION {
        return Err(Damage::Version { expected: VERSION, got: version });
    }
    if image.len() != FILE_BYTES {
        return Err(wrong_length());
    }
    let (body, checksum) = image.split_at_checked(BODY_BYTES).ok_or_else(wrong_length)?;
    if Sha256::digest(body).as_slice() != checksum {
        return Err(Damage::Checksum);
    }
    let mut number = || take(&mut rest).map(u32::from_be_bytes).ok_or_else(wrong_length);
    let cost = PassphraseCost { memory_kib: number()?, passes: number()?, lanes: number()? };
    if let Some((parameter, min, max, got)) = cost.out_of_range() {
        return Err(Damage::Cost { parameter, min, max, got });
    }
    let salt = take(&mut rest).ok_or_else(wrong_length)?;
    let iv = take(&mut rest).ok_or_else(wrong_length)?;
    let (aad, ciphertext) = body.split_at_checked(HEADER_BYTES).ok_or_else(wrong_length)?;
    Ok((Header { cost, salt, iv }, aad, ciphertext))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn read_all(path: &Path) -> Result<Vec<u8>, KeystoreError> {
    let trouble = |action| move |source| KeystoreError::File { action, path: path.to_owned(), source };
    let file = File::open(path).map_err(trouble("open"))?;
    refuse_exposed(path, &file)?;
    let mut image = Vec::with_capacity(FILE_BYTES);
    // One byte more than allowed is enough to know that it is too long.
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut image).map_err(trouble("read"))?;
    Ok(image)
}

/// Writes a file that is either whole or not there, and never replaces one.
fn write_new(path: &Path, image: &[u8]) -> Result<(), KeystoreError> {
    let trouble = |action| move |source| KeystoreError::File { action, path: path.to_owned(), source };
    let mut draft_name = path.as_os_str().to_owned();
    draft_name.push(".draft");
    let draft_path = PathBuf::from(draft_name);
    // A draft left by a crash holds keys that nobody has ever used.
    match std::fs::remove_file(&draft_path) {
        Err(source) if source.kind() != ErrorKind::NotFound => return Err(trouble("clear the draft of")(source)),
        _ => {}
    }
    let mut draft =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft_path).map_err(trouble("create"))?;
    draft.write_all(image).and_then(|()| draft.sync_all()).map_err(trouble("write"))?;
    // Unlike a rename, a link fails where a file is already.
    let linked = std::fs::hard_link(&draft_path, path);
    std::fs::remove_file(&draft_path).map_err(trouble("clear the draft of"))?;
    linked.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => trouble("create")(source),
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(trouble("make durable"))
}

fn exists(path: &Path) -> KeystoreError {
    KeystoreError::KeyExists { role: KeyRole::Identity, place: path.display().to_string() }
}
