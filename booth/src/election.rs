//! An election as a voter's device sees it: fetched from a server, believed only as far as it proves itself.

use proto::v1::{
    ElectionRequest, GetBoardRequest, public_record_client::PublicRecordClient, voting_client::VotingClient,
};
use protocol::{
    ballot::BallotForm,
    ballot_box,
    board::Board,
    encoding::{Canonical as _, DecodeError},
    evidence::Verdict,
    ids::ElectionId,
    log::NoteKey,
    manifest::{Manifest, ManifestRefusal},
    signed::Envelope,
};
use runtime::{
    connect::{ConnectTrouble, connect_public},
    limits::Limits,
    tls::Trust,
};
use std::sync::Arc;
use tonic::transport::Channel;

/// Envelopes that a server may make us read before the key is certified.
const ENVELOPES_MAX: u64 = 50_000;

/// Why an election cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ElectionTrouble {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectTrouble),
    /// The server answered with an error.
    #[error("the server answered: {0}; nothing was recorded")]
    Server(#[from] Box<tonic::Status>),
    /// The server's manifest is none.
    #[error("the server's manifest is refused: {0}")]
    Manifest(#[from] ManifestRefusal),
    /// The server's manifest is another election's. (B13)
    #[error("asked for election {expected}, the server has {got}: do not vote here")]
    WrongElection {
        /// Asked for.
        expected: ElectionId,
        /// Of the manifest that was sent.
        got: ElectionId,
    },
    /// Something on the board is no envelope.
    #[error("the server's board is not readable: {0}")]
    Board(#[from] DecodeError),
    /// Too much.
    #[error("the server's board has {got} messages, at most {max} are read")]
    TooMuch {
        /// Stated.
        got: u64,
        /// Bound.
        max: u64,
    },
    /// No certified key yet.
    #[error("the trustees have not certified a key for this election yet: come back when it is open")]
    NoKey,
}

impl From<tonic::Status> for ElectionTrouble {
    fn from(status: tonic::Status) -> Self {
        Self::Server(Box::new(status))
    }
}

/// A connection to one server.
#[derive(Debug, Clone)]
pub struct Server {
    /// `host:port`.
    pub address: String,
    channel: Channel,
}

impl Server {
    /// Connects to a shard's public listener.
    ///
    /// # Errors
    /// No connection, or another server than trusted.
    pub async fn connect(address: &str, trust: &Trust) -> Result<Self, ConnectTrouble> {
        let channel = connect_public(address, trust, &Limits::default()).await?;
        Ok(Self { address: address.to_owned(), channel })
    }

    /// The public record's client.
    #[must_use]
    pub fn record(&self) -> PublicRecordClient<Channel> {
        let limits = Limits::default();
        PublicRecordClient::new(self.channel.clone())
            .max_decoding_message_size(limits.message_in_bytes_max)
            .max_encoding_message_size(limits.message_out_bytes_max)
    }

    /// The casting client.
    #[must_use]
    pub fn voting(&self) -> VotingClient<Channel> {
        let limits = Limits::default();
        VotingClient::new(self.channel.clone())
            .max_decoding_message_size(limits.message_in_bytes_max)
            .max_encoding_message_size(limits.message_out_bytes_max)
    }
}

/// An election whose manifest hashes to its id and whose key all its trustees certified.
#[derive(Debug, Clone)]
pub struct Election {
    /// Id.
    pub id: ElectionId,
    /// Manifest.
    pub manifest: Arc<Manifest>,
    /// What ballots are made for.
    pub form: Arc<BallotForm>,
    /// Hex digest of the key certificate.
    pub key_certificate: String,
}

impl Election {
    /// Fetches and checks.
    ///
    /// # Errors
    /// [`ElectionTrouble`].
    pub async fn fetch(server: &Server, id: ElectionId) -> Result<Self, ElectionTrouble> {
        let manifest = fetch_manifest(server, id).await?;
        let board = fetch_board(server, manifest.clone()).await?;
        let certificate = board.key_certificate().ok_or(ElectionTrouble::NoKey)?;
        let form = ballot_box::form(&manifest, certificate.election_key).map_err(|_| ElectionTrouble::NoKey)?;
        let key_certificate = hex::encode(certificate.digest());
        Ok(Self { id, manifest, form: Arc::new(form), key_certificate })
    }

    /// The keys under which a lane's checkpoints are signed.
    #[must_use]
    pub fn note_keys(&self, lane: protocol::ids::LaneIndex) -> Vec<NoteKey> {
        note_keys(&self.manifest, lane)
    }
}

/// The keys under which a lane's checkpoints are signed: every shard's, every trustee's.
#[must_use]
pub fn note_keys(manifest: &Manifest, lane: protocol::ids::LaneIndex) -> Vec<NoteKey> {
    let origin = protocol::log::origin(&manifest.id(), lane);
    let shards = manifest.shards.iter().filter_map(|shard| NoteKey::log(&origin, shard.identity).ok());
    shards.chain(manifest.trustees.iter().map(|trustee| NoteKey::cosigner(trustee.identity))).collect()
}

/// The manifest that hashes to `id`.
///
/// # Errors
/// [`ElectionTrouble`].
pub async fn fetch_manifest(server: &Server, id: ElectionId) -> Result<Arc<Manifest>, ElectionTrouble> {
    let request = ElectionRequest { election_id: id.0.to_vec() };
    let reply = server.record().get_manifest(request).await?.into_inner();
    let manifest = Manifest::open(&reply.manifest)?;
    let got = manifest.id();
    if got != id {
        return Err(ElectionTrouble::WrongElection { expected: id, got });
    }
    Ok(Arc::new(manifest))
}

/// The whole board, folded: what does not verify is left out, and proven wrongs are noted.
///
/// # Errors
/// [`ElectionTrouble`].
pub async fn fetch_board(server: &Server, manifest: Arc<Manifest>) -> Result<Board, ElectionTrouble> {
    let id = manifest.id();
    let mut board = Board::new(manifest);
    let mut from = 0;
    let mut client = server.record();
    loop {
        let page = client.get_board(GetBoardRequest { election_id: id.0.to_vec(), from }).await?.into_inner();
        if page.total > ENVELOPES_MAX {
            return Err(ElectionTrouble::TooMuch { got: page.total, max: ENVELOPES_MAX });
        }
        for bytes in &page.envelopes {
            match board.check(&Envelope::from_bytes(bytes)?) {
                Verdict::Valid(checked) => board.absorb(checked),
                Verdict::Fault(evidence) => {
                    board.record_evidence(evidence);
                }
                Verdict::Moot(_) => {}
            }
        }
        from = from.saturating_add(page.envelopes.len() as u64);
        if page.envelopes.is_empty() || from >= page.total {
            return Ok(board);
        }
    }
}
