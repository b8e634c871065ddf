//! What is known of one election outside of its actor: published by the actor, read by everybody.
//!
//! Nothing in here decides anything. The board's envelopes are here after they are durable, never before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use actix::Addr;
use proto::v1;
use protocol::ballot::BallotForm;
use protocol::board::Stage;
use protocol::encoding::Hash;
use protocol::ids::{ElectionId, LaneIndex, ShardIndex, TrusteeIndex};
use protocol::manifest::Manifest;
use protocol::roll::Roll;
use runtime::pin::SpkiPin;
use tokio::sync::watch;

use crate::actors::intake::LaneActor;
use crate::lane::Lane;
use crate::trouble::Troubles;

/// Whether ballots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Before the trustees have opened the election.
    NotOpen,
    /// Now.
    Open,
    /// After the trustees have closed it.
    Closed,
}

/// What the election's actor publishes about the board.
#[derive(Debug, Clone)]
pub struct View {
    /// Where the election stands.
    pub stage: Stage,
    /// Whether ballots are taken.
    pub gate: Gate,
    /// Who is waited for.
    pub awaiting: Vec<(String, String)>,
    /// Canonical key certificate; empty until certified.
    pub key_certificate: Vec<u8>,
    /// Its digest.
    pub key_digest: Option<Hash>,
    /// Certified.
    pub vote_set: Option<Hash>,
    /// Digest of the result.
    pub result: Option<Hash>,
    /// Kind, signature, slot.
    pub anchors: Vec<(&'static str, [u8; 64], u64)>,
    /// When each stage was first seen.
    pub times: Vec<(String, u64)>,
    /// Of the key ceremony.
    pub attempt: u32,
    /// Of the agreement.
    pub round: u32,
}

/// What is known of a trustee.
#[derive(Debug, Clone, Default)]
pub struct TrusteeView {
    /// The last call was answered.
    pub reachable: bool,
    /// Leaves followed, one per lane.
    pub followed: Vec<u64>,
    /// In its own words.
    pub waiting: String,
    /// Why the last call failed.
    pub error: String,
    /// Its software.
    pub build: String,
    /// Where its keys are.
    pub keystore: String,
}

/// One election that this shard runs.
#[derive(Debug)]
pub struct Election {
    /// Id.
    pub id: ElectionId,
    /// In the store.
    pub key: i64,
    /// Fixed.
    pub manifest: Arc<Manifest>,
    /// Canonical.
    pub manifest_bytes: Vec<u8>,
    /// Identity of the board.
    pub epoch: u64,
    /// This shard in the manifest.
    pub me: ShardIndex,
    /// By topic.
    pub troubles: Troubles,
    /// Rejected since the election began.
    pub rejected: AtomicU64,
    /// One per lane.
    pub lanes: Vec<Arc<Lane>>,
    /// Where ballots go in, once the keys are certified and the roll is here.
    pub intake: OnceLock<Vec<Addr<LaneActor>>>,
    /// What ballots are judged against.
    pub form: OnceLock<Arc<BallotForm>>,
    /// The voter roll.
    pub roll: OnceLock<Arc<Roll>>,
    /// Its bytes, for whoever needs them.
    pub roll_bytes: OnceLock<Arc<Vec<u8>>>,
    board: RwLock<Vec<Arc<[u8]>>>,
    grown: watch::Sender<usize>,
    view: watch::Sender<Arc<View>>,
    trustees: Mutex<Vec<TrusteeView>>,
    /// The part of the roll that an official has sent so far.
    arriving: Mutex<Vec<u8>>,
}

impl Election {
    /// At the beginning of a process.
    #[must_use]
    pub fn new(key: i64, epoch: u64, me: ShardIndex, manifest: Arc<Manifest>, manifest_bytes: Vec<u8>) -> Self {
        let view = View {
            stage: Stage::Created,
            gate: Gate::NotOpen,
            awaiting: Vec::new(),
            key_certificate: Vec::new(),
            key_digest: None,
            vote_set: None,
            result: None,
            anchors: Vec::new(),
            times: Vec::new(),
            attempt: 0,
            round: 0,
        };
        let id = manifest.id();
        let lanes = (0..manifest.lanes).map(|lane| Arc::new(Lane::new(&manifest, id, LaneIndex(lane)))).collect();
        let trustees = vec![TrusteeView::default(); manifest.trustees.len()];
        Self {
            id,
            key,
            manifest,
            manifest_bytes,
            epoch,
            me,
            troubles: Troubles::default(),
            rejected: AtomicU64::new(0),
            lanes,
            intake: OnceLock::new(),
            form: OnceLock::new(),
            roll: OnceLock::new(),
            roll_bytes: OnceLock::new(),
            board: RwLock::new(Vec::new()),
            grown: watch::Sender::new(0),
            view: watch::Sender::new(Arc::new(view)),
            trustees: Mutex::new(trustees),
            arriving: Mutex::new(Vec::new()),
        }
    }

    /// Publishes envelopes that are durable now.
    pub fn publish(&self, envelopes: impl IntoIterator<Item = Arc<[u8]>>) {
        let mut board = self.board.write().unwrap_or_else(PoisonError::into_inner);
        board.extend(envelopes);
        self.grown.send_replace(board.len());
    }

    /// Envelopes from a place on: as many as fit, and how many there are in all.
    #[must_use]
    pub fn board_from(&self, from: u64, count_max: usize, bytes_max: usize) -> (Vec<Arc<[u8]>>, u64) {
        let board = self.board.read().unwrap_or_else(PoisonError::into_inner);
        let rest = usize::try_from(from).ok().and_then(|from| board.get(from..)).unwrap_or(&[]);
        let mut bytes = 0_usize;
        let fitting = rest.iter().take(count_max).take_while(|envelope| {
            bytes = bytes.saturating_add(envelope.len());
            // At least one, or nothing would ever move.
            bytes <= bytes_max || bytes == envelope.len()
        });
        (fitting.cloned().collect(), board.len() as u64)
    }

    /// Length of the board, as it grows.
    #[must_use]
    pub fn grown(&self) -> watch::Receiver<usize> {
        self.grown.subscribe()
    }

    /// What the actor last published.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Publishes what the board amounts to.
    pub fn set_view(&self, view: View) {
        self.view.send_replace(Arc::new(view));
    }

    /// Changes what is known of a trustee.
    pub fn note_trustee(&self, trustee: TrusteeIndex, change: impl FnOnce(&mut TrusteeView)) {
        let mut all = self.trustees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = usize::from(trustee.0).checked_sub(1).and_then(|at| all.get_mut(at)) {
            change(view);
        }
    }

    /// What is known of the trustees.
    #[must_use]
    pub fn trustees(&self) -> Vec<TrusteeView> {
        self.trustees.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn arriving(&self) -> MutexGuard<'_, Vec<u8>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece of the roll. Gives how much of it is here; a piece that does not follow on is to be sent again.
    #[must_use]
    pub fn receive_roll(&self, offset: u64, bytes: &[u8]) -> u64 {
        let mut arriving = self.arriving();
        if arriving.len() as u64 == offset {
            arriving.extend_from_slice(bytes);
        }
        arriving.len() as u64
    }

    /// All that has arrived.
    #[must_use]
    pub fn received_roll(&self) -> Vec<u8> {
        self.arriving().clone()
    }

    /// It was wrong, or is stored.
    pub fn drop_received_roll(&self) {
        *self.arriving() = Vec::new();
    }

    /// Whether this key is one of the election's officials'.
    #[must_use]
    pub fn is_official(&self, pin: &SpkiPin) -> bool {
        self.manifest.officials.iter().any(|official| official.tls_pin == *pin.as_bytes())
    }

    /// For whoever asks.
    #[must_use]
    pub fn status(&self) -> v1::Status {
        let view = self.view();
        let hex_of = |hash: &Option<Hash>| hash.map(hex::encode).unwrap_or_default();
        let trustees =
            self.trustees().into_iter().zip(&self.manifest.trustees).map(|(known, entry)| v1::TrusteeStatus {
                name: entry.name.clone(),
                reachable: known.reachable,
                followed: known.followed,
                waiting: known.waiting,
                error: known.error,
                build: known.build,
                keystore: known.keystore,
            });
        let awaiting = view.awaiting.iter().map(|(who, what)| v1::Awaited { who: who.clone(), what: what.clone() });
        let anchors = view.anchors.iter().map(|(kind, signature, slot)| v1::AnchorStatus {
            kind: (*kind).to_owned(),
            signature: signature.to_vec(),
            slot: *slot,
            finalized: true,
        });
        let times = view.times.iter().map(|(stage, time_ms)| v1::StageTime { stage: stage.clone(), time_ms: *time_ms });
        v1::Status {
            election_id: self.id.0.to_vec(),
            title: self.manifest.title.clone(),
            stage: view.stage.name().to_owned(),
            awaiting: awaiting.collect(),
            logged: self.lanes.iter().map(|lane| lane.size()).sum(),
            rejected: self.rejected.load(Ordering::Relaxed),
            final_size: self.lanes.iter().map(|lane| lane.final_size()).sum(),
            trustees: trustees.collect(),
            anchors: anchors.collect(),
            key_certificate: hex_of(&view.key_digest),
            vote_set: hex_of(&view.vote_set),
            result: hex_of(&view.result),
            times: times.collect(),
            troubles: self.troubles.texts(),
            attempt: view.attempt,
            round: view.round,
        }
    }
}
