//! A keeper of one share of an election key.

pub mod keystore;
