//! Where a token test happens: a folder with SoftHSM tokens and a process of its own.
//!
//! A PKCS#11 module is initialised once for a process and reads `SOFTHSM2_CONF` then, and a test cannot set that for
//! itself. So each token test starts itself again as a child with the environment it needs; no two share a token.

use std::path::{Path, PathBuf};
use std::process::Command;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use trustee::keystore::SecretSource;
use trustee::keystore::pkcs11::{Recovery, TokenConfig, TokenSelector};

const FOLDER: &str = "CONCLAVE_TOKEN_TEST_FOLDER";

pub(crate) struct Place {
    folder: PathBuf,
}

/// Runs `body` in a child process with a token called `main`.
pub(crate) fn in_child(name: &str, body: fn(&Place)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        body(&Place { folder: folder.into() });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place { folder: folder.path().to_owned() };
    place.make_token("main");
    let module = place.module();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env("SOFTHSM2_CONF", folder.path().join("tokens/softhsm2.conf"))
        .env("SHIM_MODULE", module)
        .env("SHIM_DIR", folder.path())
        .output()
        .unwrap();
    let shown = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && shown.contains("1 passed"), "{name} failed in its own process:\n{shown}");
}

impl Place {
    /// Makes a token. Only before the module is loaded: it looks for tokens when it starts.
    pub(crate) fn make_token(&self, label: &str) {
        let output = Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/softhsm.sh"))
            .arg(self.path("tokens"))
            .arg(label)
            .arg(self.path("pin"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(self.path("module"), String::from_utf8(output.stdout).unwrap().trim()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn module(&self) -> PathBuf {
        std::fs::read_to_string(self.path("module")).unwrap().into()
    }

    pub(crate) fn pin(&self) -> String {
        std::fs::read_to_string(self.path("pin")).unwrap()
    }

    pub(crate) fn config(&self, label: &str) -> TokenConfig {
        TokenConfig {
            module: self.module(),
            token: TokenSelector::Label(label.to_owned()),
            pin: SecretSource::File(self.path("pin")),
            allow_software_token: true,
            recovery: Recovery::default(),
        }
    }

    /// The same through a module that fails on demand (see shim.c).
    pub(crate) fn shimmed(&self, label: &str) -> TokenConfig {
        let module = self.path("shim.so");
        if !module.exists() {
            let output = Command::new("cc")
                .args(["-shared", "-fPIC", "-w", "-o"])
                .arg(&module)
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystore/shim.c"))
                .arg("-ldl")
                .output()
                .expect("the test needs a C compiler called cc");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        TokenConfig { module, ..self.config(label) }
    }

    /// Makes the shimmed call `name` fail: see shim.c.
    pub(crate) fn fault(&self, name: &str, how: &str) {
        std::fs::write(self.path(name), how).unwrap();
    }

    pub(crate) fn heal(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// How often the shimmed call `name` was made.
    pub(crate) fn calls(&self, name: &str) -> usize {
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|line| *line == name).count()
    }

    /// Writes a PIN file with other content.
    pub(crate) fn other_pin(&self, pin: &str) -> SecretSource {
        let path = self.path("other-pin");
        std::fs::copy(self.path("pin"), &path).unwrap(); // keeps the mode
        std::fs::write(&path, pin).unwrap();
        SecretSource::File(path)
    }
}

pub(crate) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([7; 32])
}

pub(crate) fn verifies(public: [u8; 32], message: &[u8], signature: [u8; 64]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(&public)
        .unwrap()
        .verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature))
        .is_ok()
}
