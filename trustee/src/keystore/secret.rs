//! PINs and passphrases: read from a file or an inherited descriptor, never from an argument or the environment,
//! where other processes can see them. (K03)

use core::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeystoreError;

const SECRET_BYTES_MAX: usize = 1024;

/// Where to read a PIN or passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that nobody else may read; a trailing line end is not part of the secret.
    File(PathBuf),
    /// An open descriptor that the daemon inherited. It can be read once.
    Descriptor(u32),
}

/// A PIN or passphrase in memory: wiped when dropped, never shown.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret that is in memory already.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`KeystoreError::Exposed`] if a file's mode lets others read it, [`KeystoreError::SecretUnusable`] if it is
    /// empty, too long, several lines or not text, [`KeystoreError::File`] if it cannot be read.
    pub fn read(&self) -> Result<Secret, KeystoreError> {
        let path = match self {
            SecretSource::File(path) => path.clone(),
            SecretSource::Descriptor(number) => PathBuf::from(format!("/dev/fd/{number}")),
        };
        let trouble = |action| {
            let path = path.clone();
            move |source| KeystoreError::File { action, path, source }
        };
        let mut file = File::open(&path).map_err(trouble("open"))?;
        if let SecretSource::File(_) = self {
            refuse_exposed(&path, &file)?;
        }
        // One byte more than allowed, so that a longer secret is refused instead of cut. The buffer never grows:
        // growing would leave a copy behind.
        let mut buffer = Zeroizing::new(vec![0_u8; SECRET_BYTES_MAX + 3]);
        let mut filled = 0_usize;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest).map_err(trouble("read"))? {
                0 => break,
                count => filled = filled.saturating_add(count),
            }
        }
        self.parse(buffer.get(..filled).unwrap_or_default())
    }

    fn parse(&self, bytes: &[u8]) -> Result<Secret, KeystoreError> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let usable = !line.is_empty()
            && line.len() <= SECRET_BYTES_MAX
            && !line.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0));
        match core::str::from_utf8(line) {
            Ok(text) if usable => Ok(Secret::new(text.to_owned())),
            _ => Err(KeystoreError::SecretUnusable { source_name: self.to_string(), max: SECRET_BYTES_MAX }),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(path) => path.display().fmt(f),
            SecretSource::Descriptor(number) => write!(f, "descriptor {number}"),
        }
    }
}

/// Refuses a regular file that its group or the world may touch. A pipe has no such bits worth reading.
pub(super) fn refuse_exposed(path: &Path, file: &File) -> Result<(), KeystoreError> {
    let metadata =
        file.metadata().map_err(|source| KeystoreError::File { action: "inspect", path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.file_type().is_fifo() && mode & 0o077 != 0 {
        return Err(KeystoreError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8], mode: u32) -> (tempfile::TempDir, SecretSource) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, SecretSource::File(path))
    }

    #[test]
    fn a_line_end_is_not_part_of_the_secret() {
        for content in ["1234", "1234\n", "1234\r\n"] {
            let (_folder, source) = written(content.as_bytes(), 0o600);
            assert_eq!(source.read().unwrap().expose(), "1234");
        }
    }

    #[test]
    fn a_secret_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660] {
            let (_folder, source) = written(b"1234", mode);
            let refused = source.read().unwrap_err();
            assert!(matches!(refused, KeystoreError::Exposed { mode: got, .. } if got == mode), "{refused}");
        }
    }

    #[test]
    fn an_unusable_secret_is_refused_and_not_shown() {
        let long = vec![b'7'; SECRET_BYTES_MAX + 1];
        for content in [&b""[..], b"\n", b"12\n34", b"\xff\xfe", b"12\0", &long] {
            let (_folder, source) = written(content, 0o600);
            let refused = source.read().unwrap_err();
            assert!(matches!(refused, KeystoreError::SecretUnusable { .. }), "{refused}");
        }
        assert_eq!(format!("{:?}", Secret::new("1234".to_owned())), "Secret(redacted)");
        let (_folder, longest) = written(&long[1..], 0o600);
        assert_eq!(longest.read().unwrap().expose().len(), SECRET_BYTES_MAX);
    }

    #[test]
    fn an_inherited_descriptor_is_read_whatever_its_mode() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"1234\n").unwrap();
        drop(writer);
        let source = SecretSource::Descriptor(reader.as_raw_fd().try_into().unwrap());
        assert_eq!(source.read().unwrap().expose(), "1234");
    }

    #[test]
    fn a_missing_secret_file_is_named() {
        let refused = SecretSource::File(PathBuf::from("/nonexistent/pin")).read().unwrap_err();
        assert!(refused.to_string().contains("/nonexistent/pin"), "{refused}");
    }
}
