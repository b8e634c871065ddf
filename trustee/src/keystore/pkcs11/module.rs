//! PKCS#11 modules: each loaded and initialised once for the whole process.
//!
//! `C_Initialize` and `C_Finalize` act on the process, not on a caller. So a module lives in a process-wide table, calls
//! hold its gate open, and a re-start waits for them and closes it. Each re-start begins a new generation: session
//! handles of an older one are never used again and never closed, since the module may have given the same numbers to
//! somebody else.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as LibraryError, RvError};

use crate::keystore::KeystoreError;

static MODULES: OnceLock<Mutex<BTreeMap<PathBuf, Arc<Module>>>> = OnceLock::new();

/// How often a re-start looks whether the calls in progress have ended.
const GATE_POLL: Duration = Duration::from_millis(10);
/// How long a re-start waits for the calls in progress, at least.
const GATE_WAIT: Duration = Duration::from_millis(200);

/// One loaded module.
pub(super) struct Module {
    library: Pkcs11,
    gate: RwLock<Gate>,
}

pub(super) struct Gate {
    generation: u64,
    initialised: bool,
}

/// Loads and initialises the module, or finds it loaded.
pub(super) fn load(path: &Path) -> Result<Arc<Module>, KeystoreError> {
    let unusable = |source| KeystoreError::ModuleUnusable { path: path.to_owned(), source };
    // Two paths to one library are one module.
    let path_real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let table = MODULES.get_or_init(Mutex::default);
    let mut modules = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(&path_real) {
        return Ok(Arc::clone(module));
    }
    let library = Pkcs11::new(&path_real).map_err(unusable)?;
    initialise(&library).map_err(unusable)?;
    let module = Arc::new(Module { library, gate: RwLock::new(Gate { generation: 0, initialised: true }) });
    modules.insert(path_real, Arc::clone(&module));
    Ok(module)
}

fn initialise(library: &Pkcs11) -> Result<(), LibraryError> {
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(LibraryError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        outcome => outcome,
    }
}

impl Module {
    /// The library, and the gate held open for as long as the guard lives. With `generation`, only if there was no
    /// re-start since.
    pub(super) fn enter(&self, generation: Option<u64>) -> Result<(&Pkcs11, RwLockReadGuard<'_, Gate>), KeystoreError> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let current = generation.is_none_or(|generation| generation == gate.generation);
        if current && gate.initialised { Ok((&self.library, gate)) } else { Err(KeystoreError::ModuleRestarting) }
    }

    /// Finalises the module and initialises it again, unless that has happened since generation `lost`. Waits for calls
    /// in progress for a bounded time; if one hangs, nothing happens and the caller's next attempt will say so.
    pub(super) fn restart(&self, lost: Option<u64>, patience: Duration) {
        let looks = patience.max(GATE_WAIT).as_millis() / GATE_POLL.as_millis();
        for _ in 0..looks {
            let mut gate = match self.gate.try_write() {
                Ok(gate) => gate,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(GATE_POLL);
                    continue;
                }
            };
            if lost.is_some_and(|lost| lost != gate.generation) && gate.initialised {
                return;
            }
            // Both outcomes are found out by the next attempt; a module that is not running can still be started.
            drop(self.library.clone().finalize());
            gate.generation = gate.generation.wrapping_add(1);
            gate.initialised = initialise(&self.library).is_ok();
            return;
        }
    }
}

impl Gate {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}
