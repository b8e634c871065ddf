//! Sealed ballots on disk, written before they are sent: after a crash the same bytes are sent again.
//!
//! A file of `u32` length, voter's name, `u32` length, ballot; big-endian, nothing behind the last one.

use crate::cast::Sealed;
use std::{io, path::Path};

/// A file of sealed ballots is read up to this size.
const FILE_BYTES_MAX: u64 = 8 << 30;

/// Why a file of sealed ballots is not used.
#[derive(Debug, thiserror::Error)]
pub enum SealedTrouble {
    /// The disk.
    #[error(transparent)]
    File(#[from] runtime::files::FileTrouble),
    /// Not such a file, or cut short.
    #[error(
        "{path} is not a whole file of sealed ballots; it is only ever written whole: restore it, or choose another --out folder"
    )]
    Damaged {
        /// Which.
        path: String,
    },
}

/// Writes all of them, durably, at once.
///
/// # Errors
/// The disk's.
pub fn write(path: &Path, ballots: &[Sealed]) -> Result<(), SealedTrouble> {
    let mut out = Vec::new();
    for sealed in ballots {
        for part in [sealed.voter.as_bytes(), &sealed.bytes] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
    }
    Ok(runtime::files::write_atomic(path, &out)?)
}

/// Reads them back.
///
/// # Errors
/// The disk's, or a damaged file.
pub fn read(path: &Path) -> Result<Vec<Sealed>, SealedTrouble> {
    let bytes = runtime::files::read_limited(path, FILE_BYTES_MAX)?;
    parse(&bytes).ok_or_else(|| SealedTrouble::Damaged { path: path.display().to_string() })
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Sealed>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let voter = String::from_utf8(take(&mut bytes)?.to_vec()).ok()?;
        out.push(Sealed { voter, bytes: take(&mut bytes)?.to_vec() });
    }
    Some(out)
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    *bytes = rest;
    Some(part)
}

/// Whether there is such a file.
///
/// # Errors
/// The disk's.
pub fn exists(path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_a_cut_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealed.bin");
        let ballots =
            [Sealed { voter: "ada".into(), bytes: vec![1, 2, 3] }, Sealed { voter: "emmy".into(), bytes: vec![] }];
        write(&path, &ballots).unwrap();
        let again = read(&path).unwrap();
        assert_eq!(again.len(), 2);
        assert_eq!((again[0].voter.as_str(), again[0].bytes.as_slice()), ("ada", &[1, 2, 3][..]));
        let whole = std::fs::read(&path).unwrap();
        for len in 1..whole.len() {
            let cut = parse(&whole[..len]);
            assert!(cut.is_none_or(|cut| cut.len() == 1), "{len} bytes");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(read(&path), Err(SealedTrouble::Damaged { .. })));
    }
}
