//! Files that survive a crash, files that are private, files that are not endless.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand_core::RngCore;
use thiserror::Error;

use crate::entropy::OsEntropy;

/// What went wrong with a file.
#[derive(Debug, Error)]
pub enum FileTrouble {
    /// The operating system said no.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// More bytes than the reader is prepared to hold.
    #[error("{path} has more than {max} bytes; this cannot be the right file", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        max: u64,
    },
    /// Others on this machine can read or change it.
    #[error("{path} has mode {got:o}, expected {expected:o} or less; run chmod {expected:o} on it", path = path.display())]
    NotPrivate {
        /// The file or directory.
        path: PathBuf,
        /// The widest mode that is accepted.
        expected: u32,
        /// The mode it has.
        got: u32,
    },
    /// Something is there already, and it is not to be replaced.
    #[error("{path} exists and is not overwritten; move it away if it is not wanted", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

impl FileTrouble {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Replaces a file's content: after a crash the file holds all of the old bytes or all of the new ones.
///
/// A temporary file in the same directory, fsync, rename, fsync of the directory. An existing file keeps its mode; a
/// new one gets 0644 less the umask.
///
/// # Errors
/// Any failure, fsync's too: whoever promised something on the strength of this file has to treat it as a crash.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileTrouble> {
    let mode = fs::metadata(path).map_or(0o644, |metadata| metadata.mode() & 0o777);
    replace(path, bytes, mode)
}

/// [`write_atomic`] for secrets: the file's mode is 0600, before the first byte is in it.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileTrouble> {
    replace(path, bytes, 0o600)
}

/// Writes a secret that must not be there yet: mode 0600, durable, never over another file.
///
/// # Errors
/// [`FileTrouble::Exists`], or as [`write_atomic`].
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), FileTrouble> {
    let temporary = write_temporary(path, bytes, 0o600)?;
    // A hard link fails if the name is taken, and a rename would not.
    let linked = fs::hard_link(&temporary, path);
    remove_quietly(&temporary);
    match linked {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileTrouble::Exists { path: path.to_owned() })
        }
        Err(error) => Err(FileTrouble::io("create", path)(error)),
    }
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// A file that cannot be read or is larger.
pub fn read_limited(path: &Path, max: u64) -> Result<Vec<u8>, FileTrouble> {
    read_open(open(path)?, path, max)
}

/// Reads a secret of at most `max` bytes, from a file that only its owner can read and change.
///
/// # Errors
/// [`FileTrouble::NotPrivate`], or as [`read_limited`].
pub fn read_private(path: &Path, max: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, FileTrouble> {
    let file = open(path)?;
    // The open file is asked, not the name: the name may mean another file by now.
    let metadata = file.metadata().map_err(FileTrouble::io("look at", path))?;
    require_mode(path, metadata.mode(), 0o600)?;
    read_open(file, path, max).map(zeroize::Zeroizing::new)
}

/// Makes a directory, and those above it, that only its owner can enter. An existing one must be so already.
///
/// # Errors
/// [`FileTrouble::NotPrivate`], or what the operating system says.
pub fn create_private_dir(path: &Path) -> Result<(), FileTrouble> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileTrouble::io("create directory", path))?;
    check_private_dir(path)
}

/// Checks that only its owner can enter a directory.
///
/// # Errors
/// [`FileTrouble::NotPrivate`], or what the operating system says.
pub fn check_private_dir(path: &Path) -> Result<(), FileTrouble> {
    let metadata = fs::metadata(path).map_err(FileTrouble::io("look at", path))?;
    require_mode(path, metadata.mode(), 0o700)
}

fn require_mode(path: &Path, mode: u32, expected: u32) -> Result<(), FileTrouble> {
    let got = mode & 0o777;
    if got & !expected != 0 {
        return Err(FileTrouble::NotPrivate { path: path.to_owned(), expected, got });
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, FileTrouble> {
    File::open(path).map_err(FileTrouble::io("open", path))
}

fn read_open(file: File, path: &Path, max: u64) -> Result<Vec<u8>, FileTrouble> {
    let mut bytes = Vec::new();
    let read = file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(FileTrouble::io("read", path))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > max {
        return Err(FileTrouble::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileTrouble> {
    let temporary = write_temporary(path, bytes, mode)?;
    if let Err(error) = fs::rename(&temporary, path) {
        remove_quietly(&temporary);
        return Err(FileTrouble::io("replace", path)(error));
    }
    sync_directory(path)
}

/// A synced file beside `path`, with a name that nobody else uses.
fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf, FileTrouble> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.tmp", OsEntropy.next_u64()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        // The umask may have taken bits away from what the old file had.
        if mode != 0o644 {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if let Err(error) = written {
        remove_quietly(&temporary);
        return Err(FileTrouble::io("write", path)(error));
    }
    Ok(temporary)
}

fn sync_directory(path: &Path) -> Result<(), FileTrouble> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FileTrouble::io("sync the directory of", path))
}

/// Best effort: the temporary file is of no meaning to anybody, and the error that counts is on its way already.
fn remove_quietly(path: &Path) {
    drop(fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_all_and_leaves_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        write_atomic(&path, b"a longer first content").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(read_limited(&path, 6).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["state"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::create_dir(&path).unwrap();
        let trouble = write_atomic(&path, b"x").unwrap_err();
        assert!(matches!(trouble, FileTrouble::Io { action: "replace", .. }));
        assert_eq!(names(directory.path()), ["state"]);
    }

    #[test]
    fn one_byte_too_many_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("big");
        write_atomic(&path, &[0; 11]).unwrap();
        let trouble = read_limited(&path, 10).unwrap_err();
        assert!(matches!(trouble, FileTrouble::TooLarge { max: 10, .. }));
    }

    #[test]
    fn a_secret_is_private_from_its_first_byte_and_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        create_private(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let trouble = create_private(&path, b"two").unwrap_err();
        assert!(matches!(trouble, FileTrouble::Exists { .. }));
        assert_eq!(read_private(&path, 9).unwrap().as_slice(), b"one");
        assert_eq!(names(directory.path()), ["secret"]);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        create_private(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let trouble = read_private(&path, 9).unwrap_err();
        assert!(matches!(trouble, FileTrouble::NotPrivate { expected: 0o600, got: 0o640, .. }));
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        create_private_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        let trouble = create_private_dir(&path).unwrap_err();
        assert!(matches!(trouble, FileTrouble::NotPrivate { got: 0o750, .. }));
    }
}
