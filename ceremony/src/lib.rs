//! The official's hand: creates, runs, watches and exports an election. No state but a project folder.
//!
//! Everything here may be run again at any point: what is done is found done. What a shard says is used to show progress;
//! whatever is signed or exported rests on the board's own envelopes, folded here.

pub mod cli;
pub mod demo;
pub mod election_file;
pub mod enrolment;
pub mod home;
pub mod project;
pub mod record;
pub mod roll_file;
pub mod stages;
pub mod tell;
