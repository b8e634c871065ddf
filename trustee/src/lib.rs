//! A keeper of one share of an election key: a daemon that is called by the coordinator's shards, believes none of
//! them, and promises nothing that is not on its disk first.

pub mod chain;
pub mod circle;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decision;
pub mod directory;
pub mod election;
pub mod init;
pub mod keystore;
pub mod refused;
pub mod service;
pub mod store;
pub mod view;
