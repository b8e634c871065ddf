//! The voter: encrypt, prove, sign, cast, keep the receipt, prove inclusion.
