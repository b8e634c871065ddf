//! A new home shard with the old keys and an empty store: it asks every trustee for its journal and its copy of the log,
//! and says nothing itself before it knows what was said in its name.

use super::{Record, ShardNode};
use crate::{
    disk::DiskTrouble,
    ground::Ground,
    wire::{Message, Node, Packet},
};
use protocol::ids::{LaneIndex, TrusteeIndex};
use std::{collections::BTreeMap, sync::Arc};

/// How long it waits for those who do not answer.
const PATIENCE_MS: u64 = 9000;
/// How often it asks.
const ASK_MS: u64 = 700;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    until: Option<u64>,
    ask_at: u64,
    logs: BTreeMap<(TrusteeIndex, LaneIndex), Vec<Arc<[u8]>>>,
}

impl ShardNode {
    /// The trustees are asked for their logs from now on.
    pub fn begin_rebuild(&mut self) {
        self.rebuild = Some(Rebuild::default());
    }

    /// Asks, waits, and in the end takes over what most trustees have. `true`: not done yet.
    pub(super) fn rebuilding(&mut self, ground: &mut Ground) -> Result<bool, DiskTrouble> {
        let Some(rebuild) = &mut self.rebuild else { return Ok(false) };
        let now = ground.now;
        let until = *rebuild.until.get_or_insert(now + PATIENCE_MS);
        let process = self.process.as_mut().expect("it runs");
        let heard_all = process.links.iter().all(super::relay::Link::has_whole_journal);
        let lanes = ground.setup.manifest.lanes;
        let wanted = usize::from(ground.setup.n()) * usize::from(lanes);
        if process.lanes.is_empty() {
            // Without keys there is no log.
            if heard_all || now >= until {
                self.rebuild = None;
                return Ok(false);
            }
            return Ok(true);
        }
        if !(heard_all && rebuild.logs.len() == wanted) && now < until {
            if rebuild.ask_at <= now {
                rebuild.ask_at = now + ASK_MS;
                let mut calls = Vec::new();
                for trustee in ground.setup.manifest.trustee_indices() {
                    for lane in (0..lanes).map(LaneIndex) {
                        if !rebuild.logs.contains_key(&(trustee, lane)) {
                            calls.push((trustee, lane));
                        }
                    }
                }
                for (trustee, lane) in calls {
                    let call = process.call();
                    let message = Message::GetLog { lane, from: 0 };
                    ground.send(Packet { from: Node::Shard, to: Node::Trustee(trustee.0), call, message });
                }
            }
            return Ok(true);
        }
        let logs = self.rebuild.take().unwrap_or_default().logs;
        for lane in (0..lanes).map(LaneIndex) {
            let copies: Vec<&Vec<Arc<[u8]>>> =
                logs.iter().filter(|((_, of), _)| *of == lane).map(|(_, log)| log).collect();
            // The copy that agrees with most others, and of those the longest.
            let agree = |one: &Vec<Arc<[u8]>>| {
                let prefix = |other: &&&Vec<Arc<[u8]>>| one.starts_with(other);
                copies.iter().filter(prefix).count()
            };
            let best = copies.iter().max_by_key(|log| (agree(log), log.len()));
            let Some(mut best) = best.map(|log| (*log).clone()).filter(|log| !log.is_empty()) else { continue };
            let process = self.process.as_mut().expect("it runs");
            if let Some(certificate) = process.board.certificate()
                && let Some(end) = certificate.value.lanes.get(usize::from(lane.0))
            {
                best.truncate(usize::try_from(end.size.0).unwrap_or(usize::MAX));
            }
            self.disk.commit(ground, Record::Ballots(lane, best.clone()))?;
            let process = self.process.as_mut().expect("it runs");
            for bytes in &best {
                if !process.put(ground, lane, bytes) {
                    break;
                }
            }
            process.lanes[usize::from(lane.0)].checkpoint_at = Some(now + 1);
        }
        let process = self.process.as_mut().expect("it runs");
        process.changed = true;
        Ok(false)
    }

    /// A trustee has sent its copy of a lane.
    pub(super) fn log_page(&mut self, packet: Packet) {
        let Node::Trustee(index) = packet.from else { return };
        let Message::LogPage { lane, ballots, .. } = packet.message else { return };
        if let Some(rebuild) = &mut self.rebuild {
            rebuild.logs.insert((TrusteeIndex(index), lane), ballots);
        }
    }
}
