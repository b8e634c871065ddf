//! The one canonical encoding, and the one list of hash labels. (P-ENC)
//!
//! Integers are big-endian and of fixed width; byte strings and lists carry a `u32` length; fixed arrays carry
//! none. A value has exactly one encoding and a decoder refuses every other: trailing bytes, a flag that is not
//! 0 or 1, a length over its bound. Protobuf only ever carries these bytes; nothing else is hashed or signed.

use alloc::{string::String, vec::Vec};
use sha2::{Digest as _, Sha256, Sha512};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// The largest value that any decoder of this crate is given, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Domain labels. Every hash of the protocol starts with one of these and no two uses share one. (P-ENC-3)
pub mod label {
    /// Election identity: the hash of the canonical manifest.
    pub const ELECTION: &str = "election-id";
    /// What an identity key signs: an envelope.
    pub const ENVELOPE: &str = "envelope";
    /// The id of an envelope.
    pub const ENVELOPE_ID: &str = "envelope-id";
    /// What a trustee agrees to before it makes keys.
    pub const CEREMONY_TERMS: &str = "ceremony-terms";
    /// Sub-seeds of one trustee's attempt at a key ceremony.
    pub const CEREMONY_SEED: &str = "ceremony-seed";
    /// What a complaint and its opening are about.
    pub const CEREMONY_DISPUTE: &str = "ceremony-dispute";
    /// Commitment to round-1 packages of the key ceremony.
    pub const CEREMONY_COMMIT: &str = "ceremony-commit";
    /// The whole transcript of a key ceremony.
    pub const CEREMONY_TRANSCRIPT: &str = "ceremony-transcript";
    /// Context of a sealed key-ceremony share.
    pub const CEREMONY_SHARE: &str = "ceremony-share";
    /// The key certificate.
    pub const KEY_CERTIFICATE: &str = "key-certificate";
    /// The rehearsal's ciphertext and statement.
    pub const REHEARSAL: &str = "rehearsal";
    /// Generators of the ballot proof.
    pub const GENERATOR: &str = "generator";
    /// First challenges of the ballot proof.
    pub const BALLOT_CHALLENGE_1: &str = "ballot-challenge-1";
    /// Last challenge of the ballot proof.
    pub const BALLOT_CHALLENGE_2: &str = "ballot-challenge-2";
    /// What a credential signs.
    pub const BALLOT: &str = "ballot";
    /// Weights of a batch verification (seeded with the batch, and fresh entropy).
    pub const BATCH: &str = "batch-weights";
    /// Proof that a partial decryption is right.
    pub const DECRYPTION: &str = "decryption-proof";
    /// Weights that fold many equalities into one.
    pub const DECRYPTION_FOLD: &str = "decryption-fold";
    /// Nonce of the proof that a partial decryption is right: hashed from the secret, fresh entropy and the statement.
    pub const DECRYPTION_NONCE: &str = "decryption-nonce";
    /// The counted set of one lane.
    pub const COUNTED: &str = "counted-set";
    /// The aggregate ciphertexts.
    pub const AGGREGATE: &str = "aggregate";
    /// A vote set.
    pub const VOTE_SET: &str = "vote-set";
    /// Input of the lots.
    pub const LOTS: &str = "lots";
    /// Base of the beacon that breaks ties.
    pub const BEACON: &str = "beacon";
    /// The result.
    pub const RESULT: &str = "result";
    /// What a joint signature is about, whatever the chain's nonce is.
    pub const SIGNING_CONTENT: &str = "signing-content";
    /// The message and the commitments that a signature share is made for.
    pub const SIGNING_PACKAGE: &str = "signing-package";
    /// The voter roll.
    pub const ROLL: &str = "voter-roll";
    /// A receipt.
    pub const RECEIPT: &str = "receipt";
    /// A rejected ballot.
    pub const REJECTION: &str = "rejection";
}

/// `SHA-256("conclave/v1/" || label || 0x00 || body)`. (P-ENC-4)
#[must_use]
pub fn digest(label: &str, body: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"conclave/v1/");
    hash.update(label.as_bytes());
    hash.update([0]);
    hash.update(body);
    hash.finalize().into()
}

/// `SHA-512("conclave/v1/" || label || 0x00 || body)`: 64 bytes, to be reduced to a scalar. (P-ENC-5)
#[must_use]
pub fn wide_digest(label: &str, body: &[u8]) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update(b"conclave/v1/");
    hash.update(label.as_bytes());
    hash.update([0]);
    hash.update(body);
    hash.finalize().into()
}

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended early.
    #[error("the input ends early: {wanted} more bytes wanted, {left} left")]
    Short {
        /// Bytes asked for.
        wanted: usize,
        /// Bytes left.
        left: usize,
    },
    /// Bytes follow the value.
    #[error("{left} bytes follow the value")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A length is over its bound.
    #[error("{what} has length {got}, at most {max} is allowed")]
    TooLong {
        /// Field.
        what: &'static str,
        /// Length found.
        got: usize,
        /// Bound.
        max: usize,
    },
    /// A list or array has another length than the protocol fixes.
    #[error("{what} has length {got}, exactly {expected} is expected")]
    WrongLength {
        /// Field.
        what: &'static str,
        /// Length found.
        got: usize,
        /// Length wanted.
        expected: usize,
    },
    /// A tag or flag has no meaning.
    #[error("{what} has the unknown tag {got}")]
    UnknownTag {
        /// Field.
        what: &'static str,
        /// Tag found.
        got: u32,
    },
    /// A value is outside its range.
    #[error("{what} is out of range: {got}")]
    OutOfRange {
        /// Field.
        what: &'static str,
        /// Value found.
        got: u64,
    },
    /// A point or scalar is not canonical, or the identity where that is refused.
    #[error("{what} is not a canonical group element or scalar")]
    NotCanonical {
        /// Field.
        what: &'static str,
    },
    /// Text is not UTF-8 or holds control characters.
    #[error("{what} is not clean text")]
    Text {
        /// Field.
        what: &'static str,
    },
    /// Elements are not in strictly ascending order.
    #[error("{what} is not in strictly ascending order")]
    Order {
        /// Field.
        what: &'static str,
    },
}

/// A value with exactly one encoding. (P-ENC-1)
pub trait Canonical: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Writer);
    /// Reads one value.
    ///
    /// # Errors
    /// [`DecodeError`] on anything that [`Canonical::write`] would not have produced.
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The encoding.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    /// The value, if `bytes` is its encoding and nothing else.
    ///
    /// # Errors
    /// [`DecodeError`] as [`Canonical::read`], and on trailing bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong { what: "message", got: bytes.len(), max: MESSAGE_BYTES_MAX });
        }
        let mut input = Reader::new(bytes);
        let value = Self::read(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

/// Collects an encoding.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
    /// What was written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }
    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }
    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }
    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }
    /// A flag: one byte, 0 or 1.
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }
    /// A fixed array: no length.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
    /// A length: `u32`. Values over `u32::MAX` cannot arise from bounded inputs and are written saturated, which no
    /// decoder accepts.
    pub fn len(&mut self, len: usize) -> &mut Self {
        self.u32(u32::try_from(len).unwrap_or(u32::MAX))
    }
    /// A byte string: length, bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.len(bytes.len()).raw(bytes)
    }
    /// Text: as a byte string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }
    /// A nested value.
    pub fn value<T: Canonical>(&mut self, value: &T) -> &mut Self {
        value.write(self);
        self
    }
    /// A list: count, elements.
    pub fn list<T: Canonical>(&mut self, items: &[T]) -> &mut Self {
        self.len(items.len());
        for item in items {
            item.write(self);
        }
        self
    }
    /// An optional value: flag, then the value if there is one.
    pub fn option<T: Canonical>(&mut self, item: Option<&T>) -> &mut Self {
        self.flag(item.is_some());
        if let Some(item) = item {
            item.write(self);
        }
        self
    }
}

/// Takes an encoding apart.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }
    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.left.len()
    }
    /// Nothing may be left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.left.is_empty() || bug!(TrailingBytesAccepted) {
            Ok(())
        } else {
            Err(DecodeError::Trailing { left: self.left.len() })
        }
    }
    /// `count` bytes as they are.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.left.split_at_checked(count) else {
            return Err(DecodeError::Short { wanted: count, left: self.left.len() });
        };
        self.left = tail;
        Ok(head)
    }
    /// A fixed array.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }
    /// Two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }
    /// Four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }
    /// Eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }
    /// A flag.
    ///
    /// # Errors
    /// Anything but 0 and 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            got => Err(DecodeError::UnknownTag { what, got: got.into() }),
        }
    }
    /// A length of at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`].
    pub fn len(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let got = self.u32()? as usize;
        if got > max && !bug!(LengthUnbounded) { Err(DecodeError::TooLong { what, got, max }) } else { Ok(got) }
    }
    /// A byte string of at most `max` bytes.
    ///
    /// # Errors
    /// Too long, or short input.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.len(what, max)?;
        self.take(len)
    }
    /// Text of at most `max` bytes: UTF-8 without control characters other than line feed.
    ///
    /// # Errors
    /// Too long, or not clean.
    pub fn text(&mut self, what: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(what, max)?;
        let text = core::str::from_utf8(bytes).map_err(|_| DecodeError::Text { what })?;
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(DecodeError::Text { what });
        }
        Ok(text.into())
    }
    /// A nested value.
    ///
    /// # Errors
    /// As the value's decoder.
    pub fn value<T: Canonical>(&mut self) -> Result<T, DecodeError> {
        T::read(self)
    }
    /// A list of at most `max` elements. Nothing is allocated before the elements are there.
    ///
    /// # Errors
    /// Too long, or an element's error.
    pub fn list<T: Canonical>(&mut self, what: &'static str, max: usize) -> Result<Vec<T>, DecodeError> {
        let len = self.len(what, max)?;
        let mut out = Vec::new();
        for _ in 0..len {
            out.push(T::read(self)?);
        }
        Ok(out)
    }
    /// An optional value.
    ///
    /// # Errors
    /// A bad flag, or the value's error.
    pub fn option<T: Canonical>(&mut self, what: &'static str) -> Result<Option<T>, DecodeError> {
        if self.flag(what)? { T::read(self).map(Some) } else { Ok(None) }
    }
}

impl Canonical for Hash {
    fn write(&self, out: &mut Writer) {
        out.raw(self);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array()
    }
}

impl Canonical for u64 {
    fn write(&self, out: &mut Writer) {
        out.u64(*self);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.u64()
    }
}

/// Lists inside messages hold at most this many elements.
pub const LIST_MAX: usize = 1 << 16;
/// Byte strings inside messages hold at most this many bytes.
pub const BYTES_MAX: usize = 1 << 16;
/// Texts inside messages hold at most this many bytes.
pub const TEXT_MAX: usize = 2000;

/// A byte string of at most [`BYTES_MAX`] bytes inside a message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl core::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl Canonical for Bytes {
    fn write(&self, out: &mut Writer) {
        out.bytes(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.bytes("bytes", BYTES_MAX).map(|bytes| Self(bytes.to_vec()))
    }
}

impl Canonical for String {
    fn write(&self, out: &mut Writer) {
        out.text(self);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.text("text", TEXT_MAX)
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn write(&self, out: &mut Writer) {
        out.list(self);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.list("list", LIST_MAX)
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn write(&self, out: &mut Writer) {
        out.option(self.as_ref());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.option("option")
    }
}

impl Canonical for [u8; 64] {
    fn write(&self, out: &mut Writer) {
        out.raw(self);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array()
    }
}

/// A struct whose encoding is its fields in the order in which they are declared.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind),* }
        impl $crate::encoding::Canonical for $name {
            #[allow(unused_variables, reason = "a message may have no field")]
            fn write(&self, out: &mut $crate::encoding::Writer) {
                $(out.value(&self.$field);)*
            }
            #[allow(unused_variables, reason = "a message may have no field")]
            fn read(input: &mut $crate::encoding::Reader<'_>) -> Result<Self, $crate::encoding::DecodeError> {
                Ok(Self { $($field: input.value()?),* })
            }
        }
    };
}
pub(crate) use message;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(u64::from_bytes(&[0; 9]), Err(DecodeError::Trailing { left: 1 }));
        assert_eq!(u64::from_bytes(&[0; 7]), Err(DecodeError::Short { wanted: 8, left: 7 }));
    }

    #[test]
    fn a_flag_is_zero_or_one() {
        assert_eq!(Reader::new(&[2]).flag("x"), Err(DecodeError::UnknownTag { what: "x", got: 2 }));
    }

    #[test]
    fn a_length_over_its_bound_is_refused_before_it_is_read() {
        let bytes = [0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Reader::new(&bytes).bytes("x", 10), Err(DecodeError::TooLong { .. })));
    }

    #[test]
    fn labels_separate() {
        assert_ne!(digest(label::BALLOT, b"x"), digest(label::RESULT, b"x"));
    }
}
