//! Both groups: all seeds over the toy group, and a tenth of them over the real curves.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

/// Runs `simulate-toy`, which Cargo builds first where that is needed, with this program's own arguments but `--both`.
///
/// # Errors
/// Its exit code where it is not 0, or 2 where it could not be run.
pub fn toy() -> Result<(), ExitCode> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toy/Cargo.toml");
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let own = std::env::args().skip(1).filter(|argument| argument != "--both");
    let status = Command::new(cargo)
        .args(["run", "--release", "--locked", "--quiet", "--package", "simulate-toy", "--manifest-path"])
        .arg(&manifest)
        .arg("--")
        .args(own)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            Err(ExitCode::from(code))
        }
        Err(error) => {
            eprintln!("{}: simulate-toy could not be built and run: {error}", manifest.display());
            Err(ExitCode::from(2))
        }
    }
}

/// The seeds that the real curves get: the first tenth, at least one.
#[must_use]
pub fn tenth(from: u64, to: u64) -> u64 {
    from + (to.saturating_sub(from) / 10).max(1)
}
