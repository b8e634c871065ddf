//! One seed, one run, one outcome.

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
        log: ground.trace.tail(usize::MAX),
    }
}
