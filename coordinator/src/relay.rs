//! The loops that talk to trustees: one for each trustee of an election (board and journal), one for each trustee and
//! lane (log and co-signatures). A loop has one call under way, waits for news or a tick, and backs off on errors.

use std::sync::Arc;

use actix::Addr;
use protocol::ids::TrusteeIndex;

use crate::actors::Deps;
use crate::actors::election::ElectionActor;
use crate::election::Election;

mod exchange;
mod follow;
mod link;

pub use link::{Link, LinkTrouble};

/// Starts the loops of the board.
pub fn exchange_all(deps: &Arc<Deps>, election: &Arc<Election>, actor: &Addr<ElectionActor>) {
    for trustee in election.manifest.trustee_indices() {
        let Some(link) = link(deps, election, trustee) else { continue };
        let (deps, election, actor) = (Arc::clone(deps), Arc::clone(election), actor.clone());
        deps.pool.handle().clone().spawn(exchange::run(deps, election, actor, link));
    }
}

/// Starts the loops of the log.
pub fn follow_all(deps: &Arc<Deps>, election: &Arc<Election>) {
    for trustee in election.manifest.trustee_indices() {
        for lane in &election.lanes {
            let Some(link) = link(deps, election, trustee) else { continue };
            let (deps, election, lane) = (Arc::clone(deps), Arc::clone(election), Arc::clone(lane));
            deps.pool.handle().clone().spawn(follow::run(deps, election, lane, link));
        }
    }
}

fn link(deps: &Arc<Deps>, election: &Election, trustee: TrusteeIndex) -> Option<Link> {
    election.manifest.trustee(trustee).map(|entry| Link::new(Arc::clone(deps), trustee, entry))
}
