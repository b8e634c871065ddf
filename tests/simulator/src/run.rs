//! One seed, one run, one outcome.

use protocol::{board::Stage, evidence::Wrong, signed::Sender};
use std::collections::BTreeSet;

use crate::{
    coverage::Coverage,
    profile::Profile,
    setup::Setup,
    watch::Violation,
    world::{Cast, Ending, World},
};

/// What became of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Seed.
    pub seed: u64,
    /// Profile that it was given.
    pub profile: &'static str,
    /// How it ended.
    pub ending: Result<Ending, Violation>,
    /// Hash over all events. (I22)
    pub hash: [u8; 32],
    /// Messages.
    pub events: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// What happened in it.
    pub coverage: Coverage,
    /// Who is named in the evidence of some honest party, and what for.
    pub blamed: BTreeSet<(Sender, Wrong)>,
    /// Where the home shard stands at the end.
    pub stage: Option<Stage>,
    /// Who had not said what was waited for, by the shard's board.
    pub awaiting: Vec<String>,
    /// The last lines, if they were kept.
    pub log: Vec<String>,
}

/// How a run is to be made.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Profile; else it is drawn.
    pub profile: Option<Profile>,
    /// Who lies; else it is drawn.
    pub cast: Option<Cast>,
    /// Keep the events as text.
    pub keep_lines: bool,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, settings: &Settings) -> Outcome {
    let profile = settings.profile.or_else(|| Profile::named("mixed", seed)).unwrap_or_default();
    let mut world = World::new(Setup::new(seed, profile), settings.cast.clone(), settings.keep_lines);
    let ending = world.run();
    let (blamed, stage) = (world.blamed(), world.shard.stage());
    let awaiting = world.shard.process.as_ref().map_or_else(Vec::new, |process| {
        process.board.awaiting().into_iter().map(|awaited| format!("{}: {}", awaited.who, awaited.what)).collect()
    });
    let ground = &mut world.ground;
    for situation in std::mem::take(&mut ground.watch.situations) {
        ground.coverage.sometimes(situation);
    }
    Outcome {
        seed,
        profile: profile.name,
        ending,
        hash: ground.trace.hash(),
        events: ground.trace.events(),
        virtual_ms: ground.now,
        coverage: ground.coverage.clone(),
        blamed,
        stage,
        awaiting,
        log: ground.trace.tail(usize::MAX),
    }
}
