//! Board against journal with every trustee; every lane to every trustee, and the co-signatures back.

use super::{ShardNode, place, trustee_keys};
use crate::{
    disk::DiskTrouble,
    ground::Ground,
    policy::{Audience, LogPiece, Said},
    wire::{Message, Node, Packet, Refusal},
};
use protocol::{
    board::Stage,
    ids::{LaneIndex, TrusteeIndex},
    log::SignedCheckpoint,
};
use std::sync::Arc;

/// How long an answer is waited for.
const CALL_MS: u64 = 2500;
/// How often a trustee is asked when nothing is new.
const EXCHANGE_MS: u64 = 1000;
/// How often in an election in which nothing is owed any more.
const FINISHED_MS: u64 = 4000;
/// No trustee is called more often than this.
const PAUSE_MS: u64 = 5;
/// After a failure, at first.
const BACKOFF_MS: u64 = 200;
/// After many.
const BACKOFF_MAX_MS: u64 = 2000;
/// Envelopes of one call.
const ENVELOPES_MAX: usize = 512;
/// Ballots of one call.
const BALLOTS_MAX: u64 = 1024;
/// How often an idle lane is looked at.
const LOOK_AGAIN_MS: u64 = 500;
/// After a refusal: the trustee waits for something on the board.
const REFUSED_MS: u64 = 150;

/// The loop over one trustee's board and journal.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// The trustee has the board up to here.
    pushed: u64,
    /// We have its journal up to here.
    taken: u64,
    asked_before: bool,
    /// Call, deadline, board length then, envelopes in it.
    under_way: Option<(u64, u64, u64, u64)>,
    roll_under_way: Option<(u64, u64)>,
    next_at: u64,
    backoff: u64,
    seen: u64,
    pub(super) followed: Vec<u64>,
    needs_roll: bool,
    whole: bool,
}

impl Link {
    pub(super) fn due_at(&self) -> u64 {
        let calls = [self.under_way.map(|call| call.1), self.roll_under_way.map(|call| call.1)];
        let calls = calls.into_iter().flatten().min();
        if self.under_way.is_some() { calls.unwrap_or(u64::MAX) } else { self.next_at.min(calls.unwrap_or(u64::MAX)) }
    }
    pub(super) fn has_whole_journal(&self) -> bool {
        self.whole
    }
    fn fails(&mut self, now: u64) {
        self.under_way = None;
        self.backoff = (self.backoff * 2).clamp(BACKOFF_MS, BACKOFF_MAX_MS);
        self.next_at = now + self.backoff;
    }
}

/// The loop over one trustee's copy of one lane.
#[derive(Debug)]
pub(super) struct FollowLink {
    trustee: TrusteeIndex,
    lane: LaneIndex,
    cursor: Option<u64>,
    cosigned: Option<u64>,
    under_way: Option<(u64, u64, Arc<SignedCheckpoint>)>,
    next_at: u64,
    backoff: u64,
    aim: u64,
}

impl FollowLink {
    pub(super) fn new(trustee: TrusteeIndex, lane: LaneIndex) -> Self {
        Self { trustee, lane, cursor: None, cosigned: None, under_way: None, next_at: 0, backoff: 0, aim: u64::MAX }
    }
    pub(super) fn due_at(&self) -> u64 {
        self.under_way.as_ref().map_or(self.next_at, |call| call.1)
    }
    fn wants(&self, size: u64) -> bool {
        self.cursor.is_none_or(|cursor| cursor < size) || self.cosigned.is_none_or(|cosigned| cosigned < size)
    }
}

impl ShardNode {
    /// Whoever is to be called is called.
    pub(super) fn relay(&mut self, ground: &mut Ground) {
        if let Some(mut policy) = self.policy.take() {
            let say = self.with_liar(ground, |liar| policy.unprompted(liar));
            self.policy = Some(policy);
            ground.conspiracy.seen.extend(say.iter().map(|said| said.envelope.clone()));
            self.offers.extend(say);
        }
        for index in ground.setup.manifest.trustee_indices() {
            self.call_trustee(ground, index);
        }
        let process = self.process.as_mut().expect("it runs");
        if process.lanes.is_empty() || self.rebuild.is_some() {
            for link in &mut process.follows {
                link.next_at = ground.now + LOOK_AGAIN_MS;
            }
            return;
        }
        for at in 0..process.follows.len() {
            self.call_follow(ground, at);
        }
    }

    /// What may be shown to a trustee, and how much of it there is.
    fn view_len(&mut self, ground: &mut Ground, to: TrusteeIndex) -> u64 {
        let Some(mut policy) = self.policy.take() else {
            return self.process.as_ref().expect("it runs").published.len() as u64;
        };
        let at = place(to);
        let mut new = Vec::new();
        if let Some(view) = self.views.get_mut(at) {
            let offered = self.offers.get(view.offered..).unwrap_or(&[]);
            let visible = |said: &&Said| match &said.to {
                Audience::All => true,
                Audience::Only(some) => some.contains(&to),
            };
            new = offered.iter().filter(visible).map(|said| said.envelope.clone()).collect();
            view.offered = self.offers.len();
        }
        if !new.is_empty() {
            let shown = self.with_liar(ground, |liar| policy.show_board(liar, to, new));
            if let Some(view) = self.views.get_mut(at) {
                view.shown.extend(shown);
            }
        }
        self.policy = Some(policy);
        self.views.get(at).map_or(0, |view| view.shown.len() as u64)
    }

    fn call_trustee(&mut self, ground: &mut Ground, to: TrusteeIndex) {
        let total = self.view_len(ground, to);
        let now = ground.now;
        let lies = self.policy.is_some();
        let process = self.process.as_mut().expect("it runs");
        let at = place(to);
        let link = &mut process.links[at];
        if let Some((_, deadline)) = link.roll_under_way
            && deadline <= now
        {
            link.roll_under_way = None;
        }
        if let Some((_, deadline, ..)) = link.under_way {
            if deadline > now {
                return;
            }
            ground.coverage.sometimes("an answer was lost and asked for again");
            link.fails(now);
        }
        let grown = total > link.seen && link.backoff == 0;
        if link.next_at > now && !grown {
            return;
        }
        link.seen = total;
        let shown = if lies { self.views.get(at).map_or(&[][..], |view| &view.shown) } else { &process.published };
        let from = usize::try_from(link.pushed).unwrap_or(usize::MAX);
        let envelopes: Vec<_> = if link.asked_before {
            shown.get(from..).unwrap_or(&[]).iter().take(ENVELOPES_MAX).cloned().collect()
        } else {
            Vec::new()
        };
        let call = process.calls + 1;
        process.calls = call;
        link.under_way = Some((call, now + CALL_MS, total, envelopes.len() as u64));
        let (first, journal_from) = (link.pushed, link.taken);
        let length = shown.len() as u64;
        let message = Message::Exchange { epoch: self.epoch, first, envelopes, journal_from, length };
        let trustee = Node::Trustee(to.0);
        if link.needs_roll && link.roll_under_way.is_none() {
            process.calls += 1;
            link.roll_under_way = Some((process.calls, now + CALL_MS));
            let call = process.calls;
            ground.send(Packet { from: Node::Shard, to: trustee, call, message: Message::Roll });
        }
        ground.send(Packet { from: Node::Shard, to: trustee, call, message });
    }

    /// A trustee has answered.
    pub(super) fn exchanged(&mut self, ground: &mut Ground, packet: Packet) -> Result<(), DiskTrouble> {
        let Node::Trustee(index) = packet.from else { return Ok(()) };
        let now = ground.now;
        let process = self.process.as_mut().expect("it runs");
        let Some(link) = process.links.get_mut(usize::from(index).saturating_sub(1)) else { return Ok(()) };
        let Message::Exchanged { board_next, needs_roll, journal_first, journal, journal_len, followed, wake_ms } =
            packet.message
        else {
            if link.roll_under_way.is_some_and(|(call, _)| call == packet.call) {
                (link.roll_under_way, link.needs_roll) = (None, false);
            }
            return Ok(());
        };
        // An answer to a call that was given up is of no use.
        let Some((_, _, total, count)) = link.under_way.filter(|call| call.0 == packet.call) else { return Ok(()) };
        link.under_way = None;
        link.backoff = 0;
        let was_asked = std::mem::replace(&mut link.asked_before, true);
        link.followed = followed;
        link.needs_roll = needs_roll;
        let before = link.pushed;
        link.pushed = board_next.min(total);
        let moved = link.pushed > before || count == 0;
        let mut more = (link.pushed < total && moved) || !was_asked;
        if journal_len < link.taken {
            // From its beginning: what it repeats is known, what it contradicts is evidence.
            link.taken = 0;
            more = true;
        } else if journal_first == link.taken && !journal.is_empty() {
            let count = journal.len() as u64;
            match self.take(ground, journal) {
                Ok(()) => {
                    let process = self.process.as_mut().expect("it runs");
                    process.links[usize::from(index) - 1].taken += count;
                    more = true;
                }
                Err(DiskTrouble::Full) => {}
                Err(DiskTrouble::Died) => return Err(DiskTrouble::Died),
            }
        }
        let process = self.process.as_mut().expect("it runs");
        let link = &mut process.links[usize::from(index) - 1];
        link.whole = link.taken >= journal_len;
        let over = matches!(process.board.stage(), Stage::Complete | Stage::Stopped);
        let pause = match (more, over, wake_ms) {
            (true, ..) => PAUSE_MS,
            (_, true, _) => FINISHED_MS,
            (_, _, 0) => EXCHANGE_MS,
            (_, _, wish) => u64::from(wish).clamp(PAUSE_MS, EXCHANGE_MS),
        };
        process.links[usize::from(index) - 1].next_at = now + pause;
        Ok(())
    }

    fn call_follow(&mut self, ground: &mut Ground, at: usize) {
        let now = ground.now;
        let process = self.process.as_mut().expect("it runs");
        let link = &mut process.follows[at];
        let lane = &mut process.lanes[usize::from(link.lane.0)];
        if let Some((_, deadline, _)) = &link.under_way {
            if *deadline > now {
                return;
            }
            link.under_way = None;
            link.cursor = None;
            link.backoff = (link.backoff * 2).clamp(BACKOFF_MS, BACKOFF_MAX_MS);
            link.next_at = now + link.backoff;
        }
        let aim = lane.target.as_ref().map_or(0, |target| target.checkpoint().size.0);
        let moved = link.aim != aim && link.backoff == 0;
        if link.next_at > now && !moved {
            return;
        }
        link.aim = aim;
        lane.move_target(now);
        let Some(target) = lane.target.clone().filter(|target| link.wants(target.checkpoint().size.0)) else {
            link.next_at = now + LOOK_AGAIN_MS;
            return;
        };
        let size = target.checkpoint().size.0;
        let trustee = link.trustee;
        let known = process.links[place(trustee)].followed.get(usize::from(link.lane.0)).copied().unwrap_or(0);
        let first = link.cursor.unwrap_or(known);
        let is_end = lane.end.is_some_and(|end| end.0 == size);
        if first > size && !is_end {
            if first > lane.size() {
                lane.blocked = true;
            }
            link.next_at = now + LOOK_AGAIN_MS;
            return;
        }
        let first = first.min(size);
        let mut ballots = Vec::new();
        if link.cursor.is_some() && first < size {
            let count = usize::try_from((size - first).min(BALLOTS_MAX)).unwrap_or(0);
            let from = usize::try_from(first).unwrap_or(usize::MAX);
            ballots = lane.log.get(from..).unwrap_or(&[]).iter().take(count).cloned().collect();
        }
        let whole = first + ballots.len() as u64 == size && link.cursor.is_some();
        let mut piece = LogPiece { first, ballots, checkpoint: whole.then(|| target.clone()) };
        let index = link.lane;
        if let Some(mut policy) = self.policy.take() {
            piece = self.with_liar(ground, |liar| policy.show_log(liar, trustee, index, first, piece));
            self.policy = Some(policy);
        }
        let process = self.process.as_mut().expect("it runs");
        let call = process.call();
        process.follows[at].under_way = Some((call, now + CALL_MS, target));
        let message = Message::Follow { lane: index, piece };
        ground.send(Packet { from: Node::Shard, to: Node::Trustee(trustee.0), call, message });
    }

    /// A trustee has answered about a lane.
    pub(super) fn followed(&mut self, ground: &mut Ground, packet: Packet) -> Result<(), DiskTrouble> {
        let Message::Followed { next, cosigned, refusal, .. } = packet.message else { return Ok(()) };
        let (now, keys) = (ground.now, trustee_keys(ground));
        let quorum = ground.setup.manifest.quorums.w;
        let process = self.process.as_mut().expect("it runs");
        let found = process.follows.iter_mut().find(|link| {
            Node::Trustee(link.trustee.0) == packet.from
                && link.under_way.as_ref().is_some_and(|(call, ..)| *call == packet.call)
        });
        let Some(link) = found else { return Ok(()) };
        let Some((_, _, target)) = link.under_way.take() else { return Ok(()) };
        let lane = &mut process.lanes[usize::from(link.lane.0)];
        link.backoff = 0;
        let moved = link.cursor != Some(next);
        link.cursor = Some(next);
        if moved {
            lane.progressed(&target, now);
        }
        let size = target.checkpoint().size.0;
        if next > size && cosigned.is_none() {
            if next > lane.size() {
                lane.blocked = true;
            }
            link.next_at = now + LOOK_AGAIN_MS;
            return Ok(());
        }
        let answered = cosigned.is_some();
        let mut stored = None;
        if let Some(cosignature) = cosigned {
            match lane.cosigned(link.trustee, &keys, &target, cosignature, quorum, now) {
                Ok(confirmed) => {
                    link.cosigned = Some(size);
                    stored = confirmed.map(|note| (link.lane, note));
                }
                Err(()) => {
                    link.next_at = now + LOOK_AGAIN_MS;
                    return Ok(());
                }
            }
        }
        let pause = match (refusal, moved, answered) {
            (_, true, _) | (Refusal::None, _, true) => PAUSE_MS,
            _ => REFUSED_MS,
        };
        link.next_at = now + pause;
        if let Some((lane, note)) = stored {
            ground.watch.finalised(lane, note.checkpoint().size, note.checkpoint().root);
            // Not stored: the next one will be, and co-signatures can be asked for again.
            if self.disk.commit(ground, super::Record::Final(lane, Box::new(note))) == Err(DiskTrouble::Died) {
                return Err(DiskTrouble::Died);
            }
        }
        Ok(())
    }
}
