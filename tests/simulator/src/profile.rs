//! How hard a life a run is given.

use protocol::board::Stage;

use crate::{
    Dice,
    setup::{below, chance},
};
use rand_core::SeedableRng as _;

/// Rates are per mille, times in virtual milliseconds. Faults end when the healing begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    /// As asked for.
    pub name: &'static str,
    /// Trustees, if not drawn.
    pub trustees: Option<u16>,
    /// Voters, if not drawn.
    pub ballots: Option<u64>,
    /// Voters that do not just vote once.
    pub odd_voters: u64,
    /// In which stage the faults begin.
    pub faults_from: Option<Stage>,
    /// How long they last.
    pub faults_for: u64,
    /// Messages lost.
    pub loss: u64,
    /// Messages delivered twice.
    pub duplicate: u64,
    /// Messages that take long.
    pub slow: u64,
    /// Of each fault tick: a link is cut in one direction.
    pub partition: u64,
    /// Of each fault tick: a process dies.
    pub crash: u64,
    /// Of each write: something is wrong with the disk.
    pub disk: u64,
    /// Of each fault tick: a token's session is lost.
    pub token: u64,
    /// Of each call: the chain's RPC misbehaves.
    pub chain: u64,
    /// Of each run: a trustee's folder is restored from a backup.
    pub restore: u64,
    /// Of each run: a trustee is cloned.
    pub twin: u64,
    /// Of each run: trustees lie, as many as may.
    pub liars: u64,
    /// Of each run: the coordinator lies until the healing.
    pub coordinator: u64,
    /// Of each run: a trustee's operator refuses.
    pub refusal: u64,
}

/// Names that `--profile` takes; `mixed` draws one of the others for each seed.
pub const NAMES: &[&str] =
    &["mixed", "calm", "bench", "net", "crash", "disk", "token", "chain", "liars", "coordinator", "restore", "chaos"];

impl Profile {
    /// The profile of a name; `mixed` is decided by the seed. `None`: no such profile.
    #[must_use]
    pub fn named(name: &str, seed: u64) -> Option<Self> {
        let mut dice = Dice::seed_from_u64(seed ^ 0x00f1_1e00_0000);
        let faults_from = match below(&mut dice, 20) {
            0..=4 => Stage::Created,
            5..=6 => Stage::KeyCeremony,
            7..=8 => Stage::Rehearsal,
            9..=10 => Stage::Ready,
            11..=13 => Stage::Open,
            14..=17 => Stage::Closing,
            18 => Stage::Tally,
            _ => Stage::Anchoring,
        };
        // The chain is asked nothing in the other stages.
        let in_use = if chance(&mut dice, 600) { Stage::KeyCeremony } else { Stage::Closing };
        let faults_for = 2_500 + below(&mut dice, 16_000);
        let calm = Self { name: "calm", odd_voters: 200, ..Self::default() };
        let base = Self { faults_from: Some(faults_from), faults_for, liars: 400, slow: 20, ..calm };
        Some(match name {
            "calm" => calm,
            "bench" => Self { name: "bench", trustees: Some(4), ballots: Some(30), odd_voters: 0, ..calm },
            "net" => Self { name: "net", loss: 60, duplicate: 60, slow: 80, partition: 150, ..base },
            "crash" => Self { name: "crash", loss: 10, crash: 250, disk: 4, ..base },
            "disk" => Self { name: "disk", disk: 30, crash: 60, ..base },
            "token" => Self { name: "token", token: 300, crash: 40, ..base },
            "chain" => Self { name: "chain", faults_from: Some(in_use), chain: 700, loss: 20, crash: 20, ..base },
            "liars" => Self { name: "liars", liars: 1000, loss: 10, ..base },
            "coordinator" => Self { name: "coordinator", coordinator: 1000, liars: 700, loss: 10, crash: 40, ..base },
            "restore" => Self { name: "restore", restore: 600, twin: 600, liars: 0, crash: 60, loss: 10, ..base },
            "chaos" => Self {
                name: "chaos",
                loss: 40,
                duplicate: 40,
                slow: 50,
                partition: 80,
                crash: 120,
                disk: 8,
                token: 100,
                chain: 350,
                liars: 800,
                coordinator: if chance(&mut dice, 250) { 1000 } else { 0 },
                refusal: 10,
                ..base
            },
            "mixed" => {
                let weights =
                    [("calm", 1), ("net", 4), ("crash", 4), ("disk", 3), ("token", 3), ("chain", 6), ("liars", 5)];
                let weights = weights.into_iter().chain([("coordinator", 5), ("restore", 3), ("chaos", 6)]);
                let weights: Vec<(&str, u64)> = weights.collect();
                let mut drawn = below(&mut dice, weights.iter().map(|(_, weight)| weight).sum());
                let found = weights.iter().find(|(_, weight)| {
                    let here = drawn < *weight;
                    drawn = drawn.saturating_sub(*weight);
                    here
                });
                return Self::named(found.map_or("calm", |(name, _)| name), seed);
            }
            _ => return None,
        })
    }
}
