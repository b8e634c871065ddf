//! Keeping a process's memory to itself: no core dumps, no tracing by others, nothing swapped out. (K12)

use std::io;

/// What could not be done, for the log.
#[derive(Debug, thiserror::Error)]
pub enum SecrecyTrouble {
    /// Core dumps.
    #[error("core dumps and tracing could not be switched off: {0}")]
    Dumps(io::Error),
    /// Locking, where the system would let this process do it only in part.
    #[error(
        "memory is not locked and may be swapped out: the limit is {limit} bytes; set LimitMEMLOCK=infinity, or run without swap"
    )]
    Unlocked {
        /// The soft limit of locked memory.
        limit: u64,
    },
    /// Locking.
    #[error("memory could not be locked and may be swapped out: {0}")]
    Lock(io::Error),
    /// Another system.
    #[error("core dumps and swapping are left as they are: this is known for Linux only")]
    Unsupported,
}

/// Forbids core dumps and tracing of this process, and locks its memory if it may lock all that it will ever have. What does
/// not work is given back for the log: a trustee without it still runs.
#[cfg(target_os = "linux")]
#[must_use]
pub fn keep_memory_private() -> Vec<SecrecyTrouble> {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

    let mut troubles = Vec::new();
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let forbidden =
        setrlimit(Resource::Core, no_core).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = forbidden {
        troubles.push(SecrecyTrouble::Dumps(error.into()));
    }
    // Under a limit, locking would succeed now and an allocation fail later.
    match getrlimit(Resource::Memlock).current {
        Some(limit) => troubles.push(SecrecyTrouble::Unlocked { limit }),
        None => {
            let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
            if let Err(error) = mlockall(flags) {
                troubles.push(SecrecyTrouble::Lock(error.into()));
            }
        }
    }
    troubles
}

/// As for Linux; elsewhere nothing is done.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn keep_memory_private() -> Vec<SecrecyTrouble> {
    vec![SecrecyTrouble::Unsupported]
}
