//! The notary: a statement onto the chain, and found again.
