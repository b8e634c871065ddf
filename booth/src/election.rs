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
    pin::SpkiPin,
    pki::Roots,
    tls::Trust,
};
use std::{fmt, sync::Arc};
use tokio::sync::Mutex;
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

/// One server, connected to when it is first needed, and again when that failed. Clones share the connection.
#[derive(Clone)]
pub struct Server {
    /// `host:port`.
    pub address: String,
    trust: Trust,
    channel: Arc<Mutex<Option<Channel>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Server {
    /// A shard's public listener. Nothing is tried yet.
    #[must_use]
    pub fn new(address: &str, trust: Trust) -> Self {
        Self { address: address.to_owned(), trust, channel: Arc::default() }
    }

    async fn channel(&self) -> Result<Channel, ConnectTrouble> {
        let mut channel = self.channel.lock().await;
        if let Some(channel) = &*channel {
            return Ok(channel.clone());
        }
        let made = connect_public(&self.address, &self.trust, &Limits::default()).await?;
        Ok(channel.insert(made).clone())
    }

    /// The public record's client.
    ///
    /// # Errors
    /// No connection, or another server than trusted.
    pub async fn record(&self) -> Result<PublicRecordClient<Channel>, ElectionTrouble> {
        let limits = Limits::default();
        Ok(PublicRecordClient::new(self.channel().await?)
            .max_decoding_message_size(limits.message_in_bytes_max)
            .max_encoding_message_size(limits.message_out_bytes_max))
    }

    /// The casting client.
    ///
    /// # Errors
    /// No connection, or another server than trusted.
    pub async fn voting(&self) -> Result<VotingClient<Channel>, ElectionTrouble> {
        let limits = Limits::default();
        Ok(VotingClient::new(self.channel().await?)
            .max_decoding_message_size(limits.message_in_bytes_max)
            .max_encoding_message_size(limits.message_out_bytes_max))
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

    /// The other shards of the manifest, which take ballots too. They are known by the manifest's pins, or by `roots`.
    #[must_use]
    pub fn alternatives(&self, address: &str, roots: Option<&Roots>) -> Vec<Server> {
        let others = self.manifest.shards.iter().filter(|shard| shard.public_address != address);
        let trust = |pin| roots.map_or(Trust::Pin(SpkiPin::from_bytes(pin)), |roots| Trust::Roots(roots.clone()));
        others.map(|shard| Server::new(&shard.public_address, trust(shard.tls_pin))).collect()
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
    let reply = server.record().await?.get_manifest(request).await?.into_inner();
    let manifest = Manifest::open(&reply.manifest)?;
    let got = manifest.id();
    if got != id {
        return Err(ElectionTrouble::WrongElection { expected: id, got });
    }
    Ok(Arc::new(manifest))
}

/// A board as it is read from a server, page by page, folded here: what does not verify is left out, and proven wrongs are
/// noted.
#[derive(Debug, Clone)]
pub struct BoardReader {
    board: Board,
    from: u64,
}

impl BoardReader {
    /// An empty one.
    #[must_use]
    pub fn new(manifest: Arc<Manifest>) -> Self {
        Self { board: Board::new(manifest), from: 0 }
    }

    /// What was read so far.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// [`ElectionTrouble`]; what was read before stays.
    pub async fn advance(&mut self, server: &Server) -> Result<(), ElectionTrouble> {
        let mut client = server.record().await?;
        let election_id = self.board.election().0.to_vec();
        let mut begun_again = false;
        loop {
            let request = GetBoardRequest { election_id: election_id.clone(), from: self.from };
            let page = client.get_board(request).await?.into_inner();
            if page.total > ENVELOPES_MAX {
                return Err(ElectionTrouble::TooMuch { got: page.total, max: ENVELOPES_MAX });
            }
            if page.total < self.from && !begun_again {
                // Another store than before. What was folded stays: envelopes do not cease to hold.
                self.from = 0;
                begun_again = true;
                continue;
            }
            for bytes in &page.envelopes {
                match self.board.check(&Envelope::from_bytes(bytes)?) {
                    Verdict::Valid(checked) => self.board.absorb(checked),
                    Verdict::Fault(evidence) => {
                        self.board.record_evidence(evidence);
                    }
                    Verdict::Moot(_) => {}
                }
            }
            self.from = self.from.saturating_add(page.envelopes.len() as u64);
            if page.envelopes.is_empty() || self.from >= page.total {
                return Ok(());
            }
        }
    }
}

/// The whole board. (B13)
///
/// # Errors
/// [`ElectionTrouble`].
pub async fn fetch_board(server: &Server, manifest: Arc<Manifest>) -> Result<Board, ElectionTrouble> {
    let mut reader = BoardReader::new(manifest);
    reader.advance(server).await?;
    Ok(reader.board)
}
