//! Elections that other shards of the circle run: found by asking, remembered, reached over mTLS.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::v1::public_record_client::PublicRecordClient;
use proto::v1::shard_client::ShardClient;
use proto::v1::{ElectionSummary, HelloRequest, ListElectionsRequest};
use protocol::ids::ElectionId;
use runtime::connect::connect;
use runtime::pin::SpkiPin;
use runtime::with_client_message_limits;
use tonic::Status;
use tonic::transport::Channel;

use crate::actors::Deps;

/// The circle is not asked more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ANSWER_IN: Duration = Duration::from_secs(5);
/// Elections of others that are remembered.
const KNOWN_MAX: usize = 10_000;

/// Another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pin: SpkiPin,
    address: String,
}

impl Peer {
    /// A connection to it, new or known.
    pub(super) async fn channel(&self, deps: &Deps, remotes: &Remotes) -> Result<Channel, Status> {
        if let Some(channel) = remotes.state().channels.get(&self.pin) {
            return Ok(channel.clone());
        }
        let channel = connect(&self.address, self.pin, &deps.identity, &deps.limits)
            .await
            .map_err(|trouble| Status::unavailable(format!("the shard that runs this election: {trouble}")))?;
        remotes.state().channels.insert(self.pin, channel.clone());
        Ok(channel)
    }

    /// After an error: begin with a new connection.
    pub(super) fn forget(&self, remotes: &Remotes) {
        remotes.state().channels.remove(&self.pin);
    }
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<ElectionId, (Peer, ElectionSummary)>,
    channels: BTreeMap<SpkiPin, Channel>,
    asked: Option<Instant>,
}

/// What is known of the other shards' elections.
#[derive(Debug, Default)]
pub struct Remotes {
    state: Mutex<State>,
    asking: tokio::sync::Mutex<()>,
}

impl Remotes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn find(&self, deps: &Deps, own: SpkiPin, id: &ElectionId) -> Option<Peer> {
        let look = || self.state().known.get(id).map(|(peer, _)| peer.clone());
        if let Some(peer) = look() {
            return Some(peer);
        }
        self.ask(deps, own).await;
        look()
    }

    /// The elections of the others, as of a second ago.
    pub(super) async fn all(&self, deps: &Deps, own: SpkiPin) -> Vec<ElectionSummary> {
        self.ask(deps, own).await;
        self.state().known.values().map(|(_, summary)| summary.clone()).collect()
    }

    async fn ask(&self, deps: &Deps, own: SpkiPin) {
        let _one_at_a_time = self.asking.lock().await;
        if self.state().asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
            return;
        }
        let others = deps.circle.shards().into_iter().filter(|(pin, _)| *pin != own);
        let answers = others.map(|(pin, member)| async move {
            let peer = Peer { pin, address: member.address };
            let answer = tokio::time::timeout(ANSWER_IN, self.list(deps, &peer)).await;
            (peer, answer.ok().and_then(Result::ok).unwrap_or_default())
        });
        let answers = futures::future::join_all(answers).await;
        let mut state = self.state();
        state.asked = Some(Instant::now());
        for (peer, summaries) in answers {
            for summary in summaries {
                let Ok(id) = proto::fixed("election_id", &summary.election_id).map(ElectionId) else { continue };
                if state.known.len() < KNOWN_MAX || state.known.contains_key(&id) {
                    state.known.insert(id, (peer.clone(), summary));
                }
            }
        }
    }

    async fn list(&self, deps: &Deps, peer: &Peer) -> Result<Vec<ElectionSummary>, Status> {
        let channel = peer.channel(deps, self).await?;
        let hello = HelloRequest { version: proto::WIRE_VERSION, build: runtime::version::BUILD.to_owned() };
        let hello = with_client_message_limits!(ShardClient::new(channel.clone()), deps.limits).hello(hello).await?;
        if hello.get_ref().version != proto::WIRE_VERSION {
            return Err(Status::failed_precondition("VERSION_UNSUPPORTED"));
        }
        let mut client = with_client_message_limits!(PublicRecordClient::new(channel), deps.limits);
        Ok(client.list_elections(ListElectionsRequest {}).await?.into_inner().elections)
    }
}
