//! Bytes taken apart, and the hashes of P-ENC. Nothing here allocates before the bytes are there.

use crate::report::{Finding, finding};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) type Hash = [u8; 32];

/// The longest byte string and the longest list inside a message. (P-ENC-2)
pub(crate) const INNER_MAX: usize = 1 << 16;
/// The longest text of a message.
pub(crate) const TEXT_MAX: usize = 2000;
/// The longest message.
pub(crate) const MESSAGE_MAX: usize = 4 << 20;

/// Reads canonical bytes front to back. (P-ENC-1)
pub(crate) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
    /// What is being read, for findings.
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, all: &'a [u8]) -> Self {
        Self { all, at: 0, what }
    }
    pub(crate) fn at(&self) -> usize {
        self.at
    }
    /// The bytes that were read since `start`.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.all.get(start..self.at).unwrap_or(&[])
    }
    pub(crate) fn left(&self) -> usize {
        self.all.len().saturating_sub(self.at)
    }
    pub(crate) fn bad(&self, expected: impl Into<String>, found: impl Into<String>) -> Finding {
        finding(format!("{}, byte {}: {}", self.what, self.at, expected.into()), found.into())
    }
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Finding> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.all.len());
        let Some(end) = end else {
            return Err(self.bad(format!("{count} more bytes"), format!("{} bytes", self.left())));
        };
        let bytes = self.all.get(self.at..end).unwrap_or(&[]);
        self.at = end;
        Ok(bytes)
    }
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Finding> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
    pub(crate) fn u8(&mut self) -> Result<u8, Finding> {
        self.array().map(|[byte]| byte)
    }
    pub(crate) fn u16(&mut self) -> Result<u16, Finding> {
        self.array().map(u16::from_be_bytes)
    }
    pub(crate) fn u32(&mut self) -> Result<u32, Finding> {
        self.array().map(u32::from_be_bytes)
    }
    pub(crate) fn u64(&mut self) -> Result<u64, Finding> {
        self.array().map(u64::from_be_bytes)
    }
    pub(crate) fn flag(&mut self) -> Result<bool, Finding> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.bad("a flag, 0 or 1", other.to_string())),
        }
    }
    pub(crate) fn length(&mut self, max: usize) -> Result<usize, Finding> {
        let got = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if got <= max { Ok(got) } else { Err(self.bad(format!("a length of at most {max}"), got.to_string())) }
    }
    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], Finding> {
        let length = self.length(max)?;
        self.take(length)
    }
    pub(crate) fn text(&mut self, max: usize) -> Result<String, Finding> {
        let bytes = self.bytes(max)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n') => Ok(text.to_owned()),
            _ => Err(self.bad("UTF-8 text without control characters", "other bytes")),
        }
    }
    pub(crate) fn list<T>(
        &mut self,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Finding>,
    ) -> Result<Vec<T>, Finding> {
        let length = self.length(max)?;
        let mut out = Vec::new();
        for _ in 0..length {
            out.push(item(self)?);
        }
        Ok(out)
    }
    pub(crate) fn option<T>(
        &mut self,
        item: impl FnOnce(&mut Self) -> Result<T, Finding>,
    ) -> Result<Option<T>, Finding> {
        if self.flag()? { item(self).map(Some) } else { Ok(None) }
    }
    pub(crate) fn end(&self) -> Result<(), Finding> {
        if self.left() == 0 { Ok(()) } else { Err(self.bad("the end", format!("{} more bytes", self.left()))) }
    }
}

/// Entries of a file: a magic line, then a `u32` length and the bytes of each. Offsets into the file.
pub(crate) fn entries(
    what: &'static str,
    magic: &[u8],
    file: &[u8],
    max: usize,
) -> Result<Vec<std::ops::Range<usize>>, Finding> {
    let mut input = Reader::new(what, file);
    let head = file.get(..magic.len());
    if head != Some(magic) {
        return Err(input.bad("the line that begins this kind of file", "other bytes"));
    }
    input.take(magic.len())?;
    let mut out = Vec::new();
    while input.left() > 0 {
        let length = input.length(max)?;
        let start = input.at();
        input.take(length)?;
        out.push(start..input.at());
    }
    Ok(out)
}

/// `SHA-256("conclave/v1/" || label || 0x00 || parts)`. (P-ENC-4)
pub(crate) fn digest(label: &str, parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"conclave/v1/");
    hash.update(label);
    hash.update([0]);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The same with SHA-512. (P-ENC-5)
pub(crate) fn wide(label: &str, parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update(b"conclave/v1/");
    hash.update(label);
    hash.update([0]);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// A length as it stands before texts, byte strings and lists. Lengths here come from bounded inputs.
pub(crate) fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
