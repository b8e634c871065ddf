//! A keeper of one share of an election key.
