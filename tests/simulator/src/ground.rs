//! The ground that all nodes of a run stand on: virtual time, one source of chance, the network, the memo of verified
//! ballots, and those who watch.

use crate::{
    Dice,
    coverage::Coverage,
    liar::Conspiracy,
    memo::Memo,
    setup::Setup,
    trace::Trace,
    watch::Watch,
    wire::Network,
    wire::{Node, Packet},
};
use protocol::board::Stage;
use rand_core::SeedableRng as _;
use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

/// Something that is going to happen.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message arrives.
    Arrives(Packet),
    /// A node's timer; `life` tells timers of dead processes.
    Timer {
        /// Whose.
        node: Node,
        /// Which of its lives.
        life: u32,
        /// Which of its timers.
        timer: u32,
    },
    /// A dead process starts again.
    Starts(Node),
    /// Chance may strike.
    Mischief,
    /// The faults are over.
    Heals,
}

#[derive(Debug)]
struct Due {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    /// The earliest is the greatest; at one time, first come, first served.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// See the [module](self).
pub struct Ground {
    /// The election.
    pub setup: Arc<Setup>,
    /// Virtual milliseconds.
    pub now: u64,
    /// Whether faults still happen.
    pub faulty: bool,
    /// Where the election stands, as the home shard sees it.
    pub stage: Stage,
    /// All chance.
    pub dice: Dice,
    /// The network.
    pub network: Network,
    /// Verified ballots.
    pub memo: Memo,
    /// Counters.
    pub coverage: Coverage,
    /// Events.
    pub trace: Trace,
    /// What the liars know together.
    pub conspiracy: Conspiracy,
    /// Invariants.
    pub watch: Watch,
    queue: BinaryHeap<Due>,
    order: u64,
}

impl Ground {
    /// At time 0.
    #[must_use]
    pub fn new(setup: Arc<Setup>, keep_lines: bool) -> Self {
        Self {
            now: 0,
            faulty: false,
            stage: Stage::Created,
            dice: Dice::seed_from_u64(setup.seed),
            network: Network::default(),
            memo: Memo::default(),
            coverage: Coverage::default(),
            trace: Trace::new(keep_lines),
            conspiracy: Conspiracy::default(),
            watch: Watch::new(setup.clone()),
            queue: BinaryHeap::new(),
            order: 0,
            setup,
        }
    }

    /// Puts an event on the agenda.
    pub fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Due { at, order: self.order, event });
    }

    /// Puts a timer on the agenda.
    pub fn timer(&mut self, after: u64, node: Node, life: u32, timer: u32) {
        self.at(self.now + after, Event::Timer { node, life, timer });
    }

    /// The next event; time goes on to it.
    pub fn happens_next(&mut self) -> Option<Event> {
        let due = self.queue.pop()?;
        self.now = due.at.max(self.now);
        Some(due.event)
    }
}
