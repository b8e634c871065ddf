//! Keys in a PKCS#11 token: made inside it, never outside it.
//!
//! A token is found by its label or serial number, never by its slot, which changes with the weather. Before it is
//! used, the attributes of its keys are checked ([`PolicyFlaw`](super::PolicyFlaw), K04), its public keys are compared
//! with the pinned ones (K08), and a token that is only software is refused unless it is wanted (K09).
//!
//! When the token goes away (K01): open new sessions; then re-start the module (`C_Finalize`, `C_Initialize`) with
//! growing pauses, a bounded number of times; then [`KeystoreError::Unavailable`]. The next call begins again. Whatever
//! comes back is checked as at the first opening, and must be the same token with the same keys. The PIN is sent again
//! only because this token took it before; refused once, it is never sent again (K03).
//!
//! The PIN stays in memory, for that. `SOFTHSM2_CONF` and its like must be in the daemon's environment before the
//! first token is opened.

mod keys;
mod module;
mod token;

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::error::{Error as LibraryError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::types::AuthPin;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use self::keys::KeySet;
use self::module::Module;
use self::token::{Live, TokenFacts};
use super::{
    ExpectedKeys, IV_BYTES, KeyRole, Keystore, KeystoreError, KeystoreKind, Operation, PROBE_CONTEXT, PROBE_MESSAGE,
    PinTries, SEAL_OVERHEAD_BYTES, SecretSource, check_context, check_message, check_plaintext, split_sealed, verified,
};

/// Which token, and how to get into it.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// The token.
    pub token: TokenSelector,
    /// Where its user PIN is read.
    pub pin: SecretSource,
    /// Whether a token that is only software will do. For trials.
    pub allow_software_token: bool,
    /// How hard to try when the token goes away.
    pub recovery: Recovery,
}

/// What names a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSelector {
    /// Its label.
    Label(String),
    /// Its serial number.
    Serial(String),
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSelector::Label(label) => write!(f, "label {label:?}"),
            TokenSelector::Serial(serial) => write!(f, "serial number {serial:?}"),
        }
    }
}

/// How hard to try when the token goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Attempts at one call: the first, one with new sessions, the others each after a re-start of the module.
    pub attempts_max: u32,
    /// The pause before the first re-start; it doubles with each.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Recovery {
    /// Six attempts within about a second and a half.
    fn default() -> Self {
        Self { attempts_max: 6, pause_first: Duration::from_millis(100), pause_max: Duration::from_millis(800) }
    }
}

impl Recovery {
    /// The pause before attempt `attempt` (the first is 1). New sessions cost nothing and wait for nothing.
    fn pause(self, attempt: u32) -> Duration {
        match attempt.checked_sub(3) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.pause_first.saturating_mul(factor).min(self.pause_max)
            }
        }
    }
}

/// Makes the three keys inside a token that has none of them, and opens it.
///
/// # Errors
/// [`KeystoreError::KeyExists`] if any of them is there: keys are never overwritten. Otherwise as [`open`].
pub fn create(config: &TokenConfig) -> Result<TokenKeystore, KeystoreError> {
    let (module, pin) = prepare(config)?;
    let (live, facts) = token::connect(&module, &config.token, &pin, config.allow_software_token)?;
    live.with(|session| keys::generate(session, &facts.label))?;
    drop(live);
    TokenKeystore::open(module, pin, config, &ExpectedKeys::default())
}

/// Opens a token whose keys exist, checks them, and proves that they work.
///
/// # Errors
/// About the token: [`KeystoreError::ModuleUnusable`], [`KeystoreError::TokenNotFound`],
/// [`KeystoreError::TokenAmbiguous`], [`KeystoreError::SoftwareToken`], [`KeystoreError::Incapable`]. About the PIN:
/// [`KeystoreError::PinRejected`], [`KeystoreError::PinLastTry`], [`KeystoreError::PinLocked`]. About the keys:
/// [`KeystoreError::KeyMissing`], [`KeystoreError::KeyAmbiguous`], [`KeystoreError::Policy`],
/// [`KeystoreError::WrongKey`], [`KeystoreError::SignatureFaulty`]. Nothing is tried twice.
pub fn open(config: &TokenConfig, expected: &ExpectedKeys) -> Result<TokenKeystore, KeystoreError> {
    let (module, pin) = prepare(config)?;
    TokenKeystore::open(module, pin, config, expected)
}

fn prepare(config: &TokenConfig) -> Result<(Arc<Module>, AuthPin), KeystoreError> {
    let pin = config.pin.read()?;
    let module = module::load(&config.module)?;
    Ok((module, AuthPin::from(pin.expose().to_owned())))
}

/// A trustee's keys in a token. Its `Debug` shows the token, never the PIN.
pub struct TokenKeystore {
    module: Arc<Module>,
    facts: TokenFacts,
    pin: AuthPin,
    recovery: Recovery,
    identity: [u8; 32],
    tls: [u8; 32],
    /// Nothing while the token is away.
    live: Option<Connection>,
    refused: Option<PinRefusal>,
}

struct Connection {
    live: Live,
    keys: KeySet,
}

#[derive(Clone, Copy)]
enum PinRefusal {
    Rejected(PinTries),
    Locked,
    LastTry,
}

impl fmt::Debug for TokenKeystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeystore").field("token", &self.facts).finish_non_exhaustive()
    }
}

impl TokenKeystore {
    fn open(
        module: Arc<Module>,
        pin: AuthPin,
        config: &TokenConfig,
        expected: &ExpectedKeys,
    ) -> Result<Self, KeystoreError> {
        let (live, facts) = token::connect(&module, &config.token, &pin, config.allow_software_token)?;
        let keys = live.with(|session| keys::find(session, &facts.label))?;
        expected.check(keys.identity_public, keys.tls_public)?;
        let connection = Connection { live, keys };
        // The public key is an object of its own: only a signature shows that the private one belongs to it.
        connection.prove()?;
        Ok(Self {
            module,
            identity: connection.keys.identity_public,
            tls: connection.keys.tls_public,
            facts,
            pin,
            recovery: config.recovery,
            live: Some(connection),
            refused: None,
        })
    }

    /// Runs `act` on the token, bringing the token back as often as the recovery allows.
    fn perform<T>(
        &mut self,
        operation: Operation,
        mut act: impl FnMut(&Connection) -> Result<T, KeystoreError>,
    ) -> Result<T, KeystoreError> {
        if let Some(refusal) = self.refused {
            return Err(refusal.into());
        }
        let mut attempts: u32 = 1;
        loop {
            let trouble = match self.attempt(&mut act) {
                Err(trouble) if is_loss(&trouble) => trouble,
                settled => return settled,
            };
            // Sessions that have failed once are not used again.
            let lost = self.live.take().map(|connection| connection.live.generation());
            if attempts >= self.recovery.attempts_max {
                return Err(KeystoreError::Unavailable { operation, attempts, source: Box::new(trouble) });
            }
            attempts = attempts.saturating_add(1);
            if attempts >= 3 {
                let pause = self.recovery.pause(attempts);
                std::thread::sleep(pause);
                self.module.restart(lost, pause);
            }
        }
    }

    fn attempt<T>(
        &mut self,
        act: &mut impl FnMut(&Connection) -> Result<T, KeystoreError>,
    ) -> Result<T, KeystoreError> {
        let connection = match self.live.take() {
            Some(connection) => connection,
            None => self.reconnect()?,
        };
        act(self.live.insert(connection))
    }

    /// Everything that was checked at the first opening is checked again.
    fn reconnect(&mut self) -> Result<Connection, KeystoreError> {
        let wanted = TokenSelector::Serial(self.facts.serial.clone());
        // Software was allowed when this keystore was opened, or it would not be here.
        let connected = token::connect(&self.module, &wanted, &self.pin, true);
        if let Err(error) = &connected {
            self.refused = PinRefusal::of(error);
        }
        let (live, facts) = connected?;
        let keys = live.with(|session| keys::find(session, &facts.label))?;
        let pinned = ExpectedKeys { identity: Some(self.identity), tls: Some(self.tls) };
        pinned.check(keys.identity_public, keys.tls_public)?;
        let connection = Connection { live, keys };
        connection.prove()?;
        Ok(connection)
    }
}

impl Keystore for TokenKeystore {
    fn describe(&self) -> KeystoreKind {
        self.facts.kind()
    }

    fn identity_public(&self) -> [u8; 32] {
        self.identity
    }

    fn tls_public(&self) -> [u8; 32] {
        self.tls
    }

    fn sign_identity(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        check_message(message)?;
        self.perform(Operation::SignIdentity, |connection| connection.sign(KeyRole::Identity, message))
    }

    fn sign_tls(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        check_message(message)?;
        self.perform(Operation::SignTls, |connection| connection.sign(KeyRole::Tls, message))
    }

    fn seal(
        &mut self,
        context: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, KeystoreError> {
        check_context(context)?;
        check_plaintext(plaintext)?;
        self.perform(Operation::Seal, |connection| {
            let mut iv = [0_u8; IV_BYTES];
            rng.fill_bytes(&mut iv);
            connection.stir(&mut iv)?;
            connection.seal(context, plaintext, iv)
        })
    }

    fn unseal(&mut self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        check_context(context)?;
        let (iv, ciphertext) = split_sealed(sealed)?;
        self.perform(Operation::Unseal, |connection| connection.unseal(context, ciphertext, iv))
    }

    fn random(&mut self) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        self.perform(Operation::Random, |connection| {
            let mut drawn = Zeroizing::new([0; 32]);
            connection.draw(Operation::Random, drawn.as_mut_slice())?;
            Ok(drawn)
        })
    }

    fn health(&mut self) -> Result<(), KeystoreError> {
        self.perform(Operation::Health, Connection::prove)
    }
}

impl Connection {
    fn sign(&self, role: KeyRole, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        let (operation, key, public) = match role {
            KeyRole::Tls => (Operation::SignTls, self.keys.tls, &self.keys.tls_public),
            _ => (Operation::SignIdentity, self.keys.identity, &self.keys.identity_public),
        };
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = self.live.with(|session| {
            session.sign(&mechanism, key, message).map_err(|source| KeystoreError::Token { operation, source })
        })?;
        verified(role, public, message, &signature)
    }

    /// Mixes the token's randomness into ours, so that neither a cloned machine nor a poor token repeats an IV. (K13)
    fn stir(&self, iv: &mut [u8; IV_BYTES]) -> Result<(), KeystoreError> {
        let mut stirring = [0_u8; IV_BYTES];
        self.draw(Operation::Seal, &mut stirring)?;
        iv.iter_mut().zip(stirring).for_each(|(ours, theirs)| *ours ^= theirs);
        Ok(())
    }

    /// Randomness of the token; what was there stays if it has none to give, for ours is good alone.
    fn draw(&self, operation: Operation, out: &mut [u8]) -> Result<(), KeystoreError> {
        let drawn = self.live.with(|session| Ok(session.generate_random_slice(out)))?;
        match drawn {
            Ok(()) | Err(LibraryError::Pkcs11(RvError::RandomNoRng | RvError::FunctionNotSupported, _)) => Ok(()),
            Err(source) => Err(KeystoreError::Token { operation, source }),
        }
    }

    fn seal(&self, context: &[u8], plaintext: &[u8], mut iv: [u8; IV_BYTES]) -> Result<Vec<u8>, KeystoreError> {
        let failed = |source| KeystoreError::Token { operation: Operation::Seal, source };
        let params = GcmParams::new(&mut iv, context, TAG_BITS.into()).map_err(failed)?;
        let mechanism = Mechanism::AesGcm(params);
        let ciphertext =
            self.live.with(|session| session.encrypt(&mechanism, self.keys.seal, plaintext).map_err(failed))?;
        // Some tokens insist on an IV of their own and write it over ours.
        let iv = if let Mechanism::AesGcm(mut params) = mechanism { params.iv().to_vec() } else { Vec::new() };
        let mut sealed = Vec::with_capacity(plaintext.len().saturating_add(SEAL_OVERHEAD_BYTES));
        sealed.extend_from_slice(&iv);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens a sealed value. A token says of a wrong tag what it says of its own failure, so after an unclear error a
    /// known-good value is sealed and opened: if that works, and the value still does not open, the value is broken.
    fn unseal(
        &self,
        context: &[u8],
        ciphertext: &[u8],
        iv: [u8; IV_BYTES],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        match self.open_once(context, ciphertext, iv) {
            Err(error) if may_be_wrong_tag(&error) => self.prove_seal()?,
            settled => return settled,
        }
        match self.open_once(context, ciphertext, iv) {
            Err(error) if may_be_wrong_tag(&error) => Err(KeystoreError::SealBroken),
            settled => settled,
        }
    }

    fn open_once(
        &self,
        context: &[u8],
        ciphertext: &[u8],
        mut iv: [u8; IV_BYTES],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let failed = |source| KeystoreError::Token { operation: Operation::Unseal, source };
        let params = GcmParams::new(&mut iv, context, TAG_BITS.into()).map_err(failed)?;
        let mechanism = Mechanism::AesGcm(params);
        self.live
            .with(|session| session.decrypt(&mechanism, self.keys.seal, ciphertext).map(Zeroizing::new).map_err(failed))
    }

    fn prove_seal(&self) -> Result<(), KeystoreError> {
        // One fixed IV, one fixed plaintext: always the same ciphertext, so nothing is learned from repeating it.
        let sealed = self.seal(PROBE_CONTEXT, PROBE_MESSAGE, [0; IV_BYTES])?;
        let (iv, ciphertext) = split_sealed(&sealed)?;
        match self.open_once(PROBE_CONTEXT, ciphertext, iv)?.as_slice() == PROBE_MESSAGE {
            true => Ok(()),
            false => Err(KeystoreError::SealBroken),
        }
    }

    /// A real signature by both keys and a real seal.
    fn prove(&self) -> Result<(), KeystoreError> {
        self.sign(KeyRole::Identity, PROBE_MESSAGE)?;
        self.sign(KeyRole::Tls, PROBE_MESSAGE)?;
        self.prove_seal()
    }
}

const TAG_BITS: u64 = 128;

impl PinRefusal {
    fn of(error: &KeystoreError) -> Option<Self> {
        match error {
            KeystoreError::PinRejected { tries } => Some(PinRefusal::Rejected(*tries)),
            KeystoreError::PinLocked => Some(PinRefusal::Locked),
            KeystoreError::PinLastTry => Some(PinRefusal::LastTry),
            _ => None,
        }
    }
}

impl From<PinRefusal> for KeystoreError {
    fn from(refusal: PinRefusal) -> Self {
        match refusal {
            PinRefusal::Rejected(tries) => KeystoreError::PinRejected { tries },
            PinRefusal::Locked => KeystoreError::PinLocked,
            PinRefusal::LastTry => KeystoreError::PinLastTry,
        }
    }
}

/// The GCM failures of the tokens that were looked at: SoftHSM says `CKR_GENERAL_ERROR`, others the rest.
fn may_be_wrong_tag(error: &KeystoreError) -> bool {
    matches!(
        error,
        KeystoreError::Token {
            source: LibraryError::Pkcs11(
                RvError::GeneralError
                    | RvError::FunctionFailed
                    | RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::DataInvalid
                    | RvError::SignatureInvalid,
                _,
            ),
            ..
        }
    )
}

/// Whether the token, its sessions or the module went away, so that bringing them back may help. A removed token may
/// open a session and show no keys or mechanisms: that is a loss too.
fn is_loss(error: &KeystoreError) -> bool {
    match error {
        KeystoreError::TokenNotFound { .. }
        | KeystoreError::Incapable { .. }
        | KeystoreError::KeyMissing { .. }
        | KeystoreError::ModuleRestarting => true,
        KeystoreError::Token { source: LibraryError::Pkcs11(code, _), .. } => matches!(
            code,
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::SessionCount
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::OperationActive
                | RvError::OperationNotInitialized
                | RvError::FunctionCanceled
                | RvError::DeviceError
                | RvError::DeviceMemory
                | RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::CryptokiNotInitialized
                | RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::HostMemory
                | RvError::MutexBad
                | RvError::VendorDefined(_)
                | RvError::UnknownErrorCode(_)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_bounded() {
        let recovery = Recovery::default();
        let pauses: Vec<u128> = (1..=8).map(|attempt| recovery.pause(attempt).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 100, 200, 400, 800, 800, 800]);
        assert_eq!(recovery.pause(u32::MAX), recovery.pause_max);
    }
}
