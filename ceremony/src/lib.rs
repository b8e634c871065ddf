//! The official's hand: creates, runs, watches and exports an election.
