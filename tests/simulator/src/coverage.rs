//! What has happened in a run: faults by name, rare situations by name. A run in which a fault point never fires or a
//! situation never comes up has proved nothing about it, and says so.

use std::collections::BTreeMap;

/// How often each named thing happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Fault points.
    pub faults: BTreeMap<&'static str, u64>,
    /// Situations.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Policies that were at work.
    pub policies: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// A fault was injected.
    pub fn fault(&mut self, name: &'static str) {
        debug_assert!(FAULTS.contains(&name), "{name} is not on the list of faults");
        *self.faults.entry(name).or_default() += 1;
    }
    /// A situation came up.
    pub fn sometimes(&mut self, name: &'static str) {
        debug_assert!(SOMETIMES.contains(&name) || RARE.contains(&name), "{name} is not on the list of situations");
        *self.sometimes.entry(name).or_default() += 1;
    }
    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.faults, &other.faults),
            (&mut self.sometimes, &other.sometimes),
            (&mut self.policies, &other.policies),
        ];
        for (into, from) in pairs {
            for (name, count) in from {
                *into.entry(name).or_default() += count;
            }
        }
    }
    /// Fault points that fired less than `least` times.
    #[must_use]
    pub fn rare_faults(&self, least: u64) -> Vec<(&'static str, u64)> {
        let count = |name: &&'static str| (*name, self.faults.get(*name).copied().unwrap_or(0));
        FAULTS.iter().map(count).filter(|(_, count)| *count < least).collect()
    }
    /// Situations that never came up.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        SOMETIMES.iter().copied().filter(|name| !self.sometimes.contains_key(name)).collect()
    }
}

macro_rules! stages {
    ($prefix:literal, $stage:expr) => {
        match $stage {
            protocol::board::Stage::Created => concat!($prefix, ".created"),
            protocol::board::Stage::KeyCeremony => concat!($prefix, ".key-ceremony"),
            protocol::board::Stage::Rehearsal => concat!($prefix, ".rehearsal"),
            protocol::board::Stage::Ready => concat!($prefix, ".ready"),
            protocol::board::Stage::Open => concat!($prefix, ".open"),
            protocol::board::Stage::Closing | protocol::board::Stage::Agreement => concat!($prefix, ".agreement"),
            protocol::board::Stage::Tally => concat!($prefix, ".tally"),
            protocol::board::Stage::Anchoring => concat!($prefix, ".anchoring"),
            protocol::board::Stage::Complete | protocol::board::Stage::Stopped => concat!($prefix, ".over"),
        }
    };
}

/// The fault point of a trustee's crash in a stage.
#[must_use]
pub fn trustee_crash(stage: protocol::board::Stage) -> &'static str {
    stages!("crash.trustee", stage)
}
/// The fault point of the shard's crash in a stage.
#[must_use]
pub fn shard_crash(stage: protocol::board::Stage) -> &'static str {
    stages!("crash.shard", stage)
}

/// All fault points.
pub const FAULTS: &[&str] = &[
    "net.exchange-lost",
    "net.exchange-answer-lost",
    "net.follow-lost",
    "net.follow-answer-lost",
    "net.cast-lost",
    "net.cast-answer-lost",
    "net.official-lost",
    "net.chain-lost",
    "net.chain-answer-lost",
    "net.proof-lost",
    "net.roll-lost",
    "net.duplicated",
    "net.duplicated-answer",
    "net.slow",
    "net.overtaken",
    "net.cut-to-trustee",
    "net.cut-from-trustee",
    "net.cut-both",
    "net.cut-shard",
    "net.healed",
    "disk.trustee.died-before-write",
    "disk.trustee.died-after-write",
    "disk.trustee.torn-write",
    "disk.trustee.full",
    "disk.trustee.fsync-error",
    "disk.shard.died-before-write",
    "disk.shard.died-after-write",
    "disk.shard.torn-write",
    "disk.shard.full",
    "disk.shard.fsync-error",
    "disk.restored",
    "disk.cloned",
    "token.lost",
    "token.back",
    "token.refused-seal",
    "token.refused-signature",
    "token.refused-cosignature",
    "chain.false-expiry",
    "chain.landed-but-reported-lost",
    "chain.never-sent",
    "chain.stale-nonce",
    "chain.nonce-denied",
    "chain.nonce-invented",
    "chain.forged-landing",
    "chain.fork",
    "chain.silent",
    "chain.slow",
    "chain.blockhash-expired",
    "chain.wrong-slot",
    "crash.trustee.created",
    "crash.trustee.key-ceremony",
    "crash.trustee.rehearsal",
    "crash.trustee.ready",
    "crash.trustee.open",
    "crash.trustee.agreement",
    "crash.trustee.tally",
    "crash.trustee.anchoring",
    "crash.shard.created",
    "crash.shard.key-ceremony",
    "crash.shard.rehearsal",
    "crash.shard.ready",
    "crash.shard.open",
    "crash.shard.agreement",
    "crash.shard.tally",
    "crash.shard.anchoring",
    "crash.all-trustees",
    "clock.trustee-behind",
    "clock.trustee-ahead",
    "voter.again",
    "voter.revote",
    "voter.rubbish",
    "voter.bent",
    "voter.stolen",
    "voter.copied",
    "voter.other-style",
    "voter.stranger",
    "voter.late",
];

/// All situations that must come up in a gate run.
pub const SOMETIMES: &[&str] = &[
    "election complete",
    "second agreement round",
    "third agreement round",
    "lock kept over a round",
    "proposal of what was prevoted before",
    "culprit excluded from signing",
    "signing attempt repeated",
    "complaint opened",
    "second attempt of the key ceremony",
    "a trustee restarted during the key ceremony",
    "a trustee restarted during the agreement",
    "the shard restarted during voting",
    "nonces burned by a restart",
    "a twin was found out",
    "a restored folder was found out",
    "receipt final",
    "late ballot refused",
    "revote counted",
    "second vote refused",
    "copied ballot refused",
    "stranger refused",
    "same ballot, same receipt",
    "nonce expired",
    "a lost landing was found again",
    "evidence recorded",
    "a fork of the log was refused",
    "a bad leaf was refused",
    "the vote set was certified in a later round",
    "a stand-by decrypted",
    "an empty lane",
    "an answer was lost and asked for again",
    "a torn record was dropped",
    "stopped by a refusal",
    "the coordinator was replaced",
];

/// Situations that are counted, and may be too rare for a gate run.
pub const RARE: &[&str] = &[
    "a shorter vote set was refused",
    "a trustee was left with another log",
    "the home shard's log was longer than what was certified",
    "too few ballots for a tally",
];
