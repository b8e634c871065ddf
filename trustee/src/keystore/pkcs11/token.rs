//! Finding one token, opening sessions with it and logging in.

use std::sync::Arc;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error as LibraryError, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::TokenSelector;
use super::module::Module;
use crate::keystore::{KeystoreError, KeystoreKind, Operation, PinTries};

/// What a token says of itself.
#[derive(Clone, Debug)]
pub(super) struct TokenFacts {
    pub(super) label: String,
    pub(super) serial: String,
    pub(super) manufacturer: String,
    pub(super) software: bool,
}

impl TokenFacts {
    pub(super) fn kind(&self) -> KeystoreKind {
        KeystoreKind::Token {
            label: self.label.clone(),
            serial: self.serial.clone(),
            manufacturer: self.manufacturer.clone(),
            software: self.software,
        }
    }
}

/// Two sessions with a token. The anchor does nothing but keep the login, which ends with a process's last session;
/// the other one works, and may be left in the middle of something by a failed call.
pub(super) struct Live {
    module: Arc<Module>,
    generation: u64,
    anchor: Option<Session>,
    work: Option<Session>,
}

impl Live {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Runs one call or a few on the working session, while no re-start can happen.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Session) -> Result<T, KeystoreError>) -> Result<T, KeystoreError> {
        let (_, _open) = self.module.enter(Some(self.generation))?;
        match &self.work {
            Some(session) => act(session),
            None => Err(KeystoreError::ModuleRestarting),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // After a re-start these numbers may be somebody else's sessions: then nothing is closed.
        if let Ok((_, _open)) = self.module.enter(Some(self.generation)) {
            for session in [self.work.take(), self.anchor.take()].into_iter().flatten() {
                // A session that cannot be closed is gone already.
                drop(session.close());
            }
        }
    }
}

/// Finds the token, checks that it will do, opens sessions and logs in.
pub(super) fn connect(
    module: &Arc<Module>,
    wanted: &TokenSelector,
    pin: &AuthPin,
    allow_software: bool,
) -> Result<(Live, TokenFacts), KeystoreError> {
    let (library, open) = module.enter(None)?;
    let (slot, info) = find(library, wanted)?;
    let facts = TokenFacts {
        label: info.label().to_owned(),
        serial: info.serial_number().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        software: is_software(info.manufacturer_id(), info.model()),
    };
    if facts.software && !allow_software {
        return Err(KeystoreError::SoftwareToken {
            label: facts.label,
            manufacturer: facts.manufacturer,
            model: info.model().to_owned(),
        });
    }
    check_mechanisms(library, slot, &facts.label)?;

    let session = || {
        // Not closed on drop: `Live` closes them, and only while their numbers are theirs.
        library
            .open_rw_session_no_drop(slot)
            .map_err(|source| KeystoreError::Token { operation: Operation::OpenSession, source })
    };
    let mut live = Live { module: Arc::clone(module), generation: open.generation(), anchor: None, work: None };
    let entered = session().and_then(|anchor| {
        let outcome = log_in(library, slot, &info, live.anchor.insert(anchor), pin);
        outcome.and_then(|()| session()).map(|work| live.work = Some(work))
    });
    // `Live` passes the gate itself when it is dropped.
    drop(open);
    entered.map(|()| (live, facts))
}

fn find(library: &Pkcs11, wanted: &TokenSelector) -> Result<(Slot, TokenInfo), KeystoreError> {
    let failed = |source| KeystoreError::Token { operation: Operation::FindToken, source };
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for slot in library.get_slots_with_initialized_token().map_err(failed)? {
        // A slot that cannot be asked now is as good as empty.
        let Ok(info) = library.get_token_info(slot) else { continue };
        seen.push(info.label().to_owned());
        let matches = match wanted {
            TokenSelector::Label(label) => info.label() == label,
            TokenSelector::Serial(serial) => info.serial_number() == serial,
        };
        if matches {
            found.push((slot, info));
        }
    }
    let count = found.len();
    match found.pop() {
        Some(only) if count == 1 => Ok(only),
        Some(_) => Err(KeystoreError::TokenAmbiguous { wanted: wanted.clone(), count }),
        None => Err(KeystoreError::TokenNotFound { wanted: wanted.clone(), seen }),
    }
}

/// Names by which software tokens go. A list of the known ones: it cannot find one that calls itself something else.
fn is_software(manufacturer: &str, model: &str) -> bool {
    const NAMES: [&str; 8] =
        ["softhsm", "kryoptic", "soft token", "software", "simulator", "emulator", "mozilla", "opencryptoki"];
    [manufacturer, model].iter().any(|said| {
        let said = said.to_lowercase();
        NAMES.iter().any(|name| said.contains(name))
    })
}

fn check_mechanisms(library: &Pkcs11, slot: Slot, label: &str) -> Result<(), KeystoreError> {
    let offered = library
        .get_mechanism_list(slot)
        .map_err(|source| KeystoreError::Token { operation: Operation::FindToken, source })?;
    for (wanted, mechanism) in [(MechanismType::EDDSA, "CKM_EDDSA"), (MechanismType::AES_GCM, "CKM_AES_GCM")] {
        if !offered.contains(&wanted) {
            return Err(KeystoreError::Incapable { label: label.to_owned(), mechanism });
        }
    }
    Ok(())
}

/// Sends the PIN, once. A daemon that is re-started over and over with a wrong PIN must not lock the token, so the last
/// try is left to a person. (K03)
fn log_in(
    library: &Pkcs11,
    slot: Slot,
    info: &TokenInfo,
    session: &Session,
    pin: &AuthPin,
) -> Result<(), KeystoreError> {
    if info.user_pin_locked() {
        return Err(KeystoreError::PinLocked);
    }
    if info.user_pin_final_try() {
        return Err(KeystoreError::PinLastTry);
    }
    match session.login(UserType::User, Some(pin)) {
        // The login belongs to the process: another keystore of it may hold one.
        Ok(()) | Err(LibraryError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(LibraryError::Pkcs11(RvError::PinLocked, _)) => Err(KeystoreError::PinLocked),
        Err(LibraryError::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired,
            _,
        )) => {
            let tries = match library.get_token_info(slot) {
                Ok(info) if info.user_pin_locked() => return Err(KeystoreError::PinLocked),
                Ok(info) if info.user_pin_final_try() => PinTries::Last,
                Ok(info) if info.user_pin_count_low() => PinTries::Low,
                _ => PinTries::Unknown,
            };
            Err(KeystoreError::PinRejected { tries })
        }
        Err(source) => Err(KeystoreError::Token { operation: Operation::LogIn, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::is_software;

    #[test]
    fn known_software_tokens_are_recognised_by_what_they_say() {
        assert!(is_software("SoftHSM project", "SoftHSM v2"));
        assert!(is_software("Kryoptic Project", "v1"));
        assert!(is_software("Kryoptic", "FIPS-140-3 v1"));
        assert!(is_software("Mozilla Foundation", "NSS 3"));
        assert!(!is_software("Yubico (www.yubico.com)", "YubiHSM"));
        assert!(!is_software("Nitrokey", "HSM 2"));
    }
}
