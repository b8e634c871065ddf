//! Anything at any time, by a seed.

use super::{Daemon, Direction, Duration, Election, House, Instant, Outcome, Pace, Weather, mixed, thread, weather};

/// What the storm does next, and until when what it did lasts.
struct Storm {
    state: u64,
    calm_until: Instant,
    /// Done again when it is over.
    over: Option<(Instant, Act)>,
    acts: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    KillShard(usize),
    KillTrustee(usize),
    StopShard(usize),
    StopTrustee(usize),
    BlackHole(usize, Direction),
    Drip(usize),
    Slow,
    ResetAll,
    HalfClose(Direction),
    Cut(usize),
    NoLedger,
    PowerCut,
}

impl Storm {
    fn new(seed: u64) -> Self {
        // Off the sequence from which the seed itself may have been drawn.
        let state = mixed(seed ^ 0x7374_6f72_6d00);
        Self { state, calm_until: Instant::now(), over: None, acts: Vec::new() }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.state = mixed(self.state);
        usize::try_from(self.state % below as u64).unwrap()
    }

    fn next(&mut self) -> Act {
        let (shard, trustee) = (self.draw(2), self.draw(4));
        let direction = if self.draw(2) == 0 { Direction::ToServer } else { Direction::ToClient };
        match self.draw(13) {
            0 => Act::KillShard(shard),
            1 | 2 => Act::KillTrustee(trustee),
            3 => Act::StopShard(shard),
            4 => Act::StopTrustee(trustee),
            5 => Act::BlackHole(trustee, direction),
            6 => Act::Drip(trustee),
            7 => Act::Slow,
            8 => Act::ResetAll,
            9 => Act::HalfClose(direction),
            10 => Act::Cut(trustee),
            11 => Act::NoLedger,
            _ => Act::PowerCut,
        }
    }

    /// To be called often.
    fn blow(&mut self, house: &mut House) {
        let now = Instant::now();
        if let Some((until, act)) = self.over {
            if now >= until {
                self.over = None;
                subside(house, act);
                self.calm_until = now + Duration::from_millis(200 + self.draw(800) as u64);
            }
        } else if now >= self.calm_until {
            let act = self.next();
            self.acts.push(format!("{act:?}"));
            rise(house, act);
            self.over = Some((now + Duration::from_millis(100 + self.draw(1900) as u64), act));
        }
    }

    fn end(&mut self, house: &mut House) {
        if let Some((_, act)) = self.over.take() {
            subside(house, act);
        }
    }
}

fn rise(house: &mut House, act: Act) {
    let black_hole = Weather { blackhole: true, ..Weather::default() };
    match act {
        Act::KillShard(shard) => house.shards[shard].kill(),
        Act::KillTrustee(trustee) => house.trustees[trustee].kill(),
        Act::StopShard(shard) => house.shards[shard].stop(),
        Act::StopTrustee(trustee) => house.trustees[trustee].stop(),
        Act::BlackHole(trustee, direction) => house.to_trustees[trustee].set(direction, black_hole),
        Act::Drip(trustee) => house.to_trustees[trustee].set_both(weather(0, 0, Some(5000), false)),
        Act::Slow => house.weather(weather(30, 60, None, false)),
        Act::ResetAll => house.network().for_each(|proxy| proxy.reset_all()),
        Act::HalfClose(direction) => house.network().for_each(|proxy| proxy.half_close(direction)),
        Act::Cut(trustee) => {
            let cut = Weather { cut_after: Some(9000), ..Weather::default() };
            house.to_trustees[trustee].set_both(cut);
            house.to_shards.iter().for_each(|proxy| proxy.set_both(cut));
        }
        Act::NoLedger => house.to_ledger.set_both(black_hole),
        Act::PowerCut => house.shards.iter().chain(&house.trustees).for_each(Daemon::kill),
    }
}

fn subside(house: &mut House, act: Act) {
    match act {
        Act::KillShard(shard) => house.shards[shard].start(),
        Act::KillTrustee(trustee) => house.trustees[trustee].start(),
        Act::StopShard(shard) => house.shards[shard].go_on(),
        Act::StopTrustee(trustee) => house.trustees[trustee].go_on(),
        Act::PowerCut => house.shards.iter_mut().chain(&mut house.trustees).for_each(Daemon::start),
        _ => house.network().for_each(|proxy| proxy.heal()),
    }
}

/// One thing after another goes wrong, for a short while each, from the announcement to the last anchor.
pub(crate) fn storm(house: &mut House, seed: u64) {
    let mut storm = Storm::new(seed);
    let outcome = through(house, seed, &mut storm);
    super::nobody_is_blamed(&outcome);
    println!("  {} acts: {}", storm.acts.len(), storm.acts.join(" "));
    assert!(!storm.acts.is_empty());
}

fn through(house: &mut House, seed: u64, storm: &mut Storm) -> Outcome {
    let (voters, home) = (60 + storm.draw(200), storm.draw(2));
    let election: Election = house.announce("storm", voters, home, seed);
    house.accept(&election);
    let mut blow = |house: &mut House| storm.blow(house);
    house.run_while(&election, "keys", &["--until", "certified"], &mut blow);
    storm.end(house);
    house.fund(&election);
    let mut blow = |house: &mut House| storm.blow(house);
    house.run_while(&election, "keys", &["--until", "ready"], &mut blow);
    house.run_while(&election, "open", &[], &mut blow);
    let pace = Pace {
        pause: Duration::from_millis(150),
        call: Duration::from_secs(3),
        patience: Duration::from_secs(100),
        ..Pace::default()
    };
    // Ballots can only be made with the board at hand.
    storm.end(house);
    house.shards.iter().for_each(Daemon::ready);
    let (crowd, ballots, casting) = house.begin_casting(&election, pace);
    while !casting.is_over() {
        storm.blow(house);
        thread::sleep(Duration::from_millis(25));
    }
    assert_eq!(casting.finish(), [], "ballots without a certain answer");
    storm.end(house);
    house.heal();
    house.cast_more(&election, &crowd, &ballots);
    for command in ["close", "tally", "anchor"] {
        house.run_while(&election, command, &[], |house| storm.blow(house));
    }
    storm.end(house);
    house.heal();
    house.judge(&election)
}
