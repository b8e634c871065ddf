//! The home shard of an election, and the board as it is read from there.

use crate::project::{Project, ProjectTrouble, Stored};
use booth::election::{BoardReader, ElectionTrouble, Server};
use proto::v1::{
    CreateElectionRequest, ElectionRequest, HelloRequest, RollChunk, Status, SubmitRequest,
    official_client::OfficialClient,
};
use protocol::{
    board::Board,
    encoding::Canonical as _,
    signed::{Body, Draft, Sender},
};
use runtime::{
    connect::{ConnectTrouble, connect},
    limits::Limits,
    pin::SpkiPin,
    tls::Trust,
};
use tonic::{Code, transport::Channel};

/// Bytes of the roll in one call.
const ROLL_CHUNK_BYTES: usize = 1 << 20;

/// Why the home shard did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HomeTrouble {
    /// Something of this project.
    #[error(transparent)]
    Project(#[from] ProjectTrouble),
    /// No connection.
    #[error("{shard}: {source}")]
    Connect {
        /// Who.
        shard: String,
        /// What.
        source: Box<ConnectTrouble>,
    },
    /// The shard refused, or failed.
    #[error("{shard} answered: {} ({:?})", .status.message(), .status.code())]
    Answer {
        /// Who.
        shard: String,
        /// What.
        status: Box<tonic::Status>,
    },
    /// Another version.
    #[error("{shard} speaks wire version {got} ({build}), this is {expected}: use programs of one release")]
    Version {
        /// Who.
        shard: String,
        /// Ours.
        expected: u32,
        /// Theirs.
        got: u32,
        /// Theirs.
        build: String,
    },
    /// The public record.
    #[error(transparent)]
    Record(#[from] ElectionTrouble),
    /// The shard took the roll and says that it is not complete.
    #[error("{shard} has {got} of {expected} bytes of the voter roll and says that it is not complete: run this again")]
    Roll {
        /// Who.
        shard: String,
        /// Sent.
        expected: u64,
        /// There.
        got: u64,
    },
}

impl HomeTrouble {
    /// Whether the same may go well a moment later: the shard is away, busy, or restarting.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Connect { source, .. } => connection_passes(source),
            Self::Answer { status, .. } => answer_passes(status),
            Self::Record(trouble) => passes(trouble),
            Self::Project(_) | Self::Version { .. } | Self::Roll { .. } => false,
        }
    }
}

/// As [`HomeTrouble::passes`].
pub(crate) fn passes(trouble: &ElectionTrouble) -> bool {
    match trouble {
        ElectionTrouble::Connect(source) => connection_passes(source),
        ElectionTrouble::Server(status) => answer_passes(status),
        _ => false,
    }
}

fn connection_passes(trouble: &ConnectTrouble) -> bool {
    matches!(
        trouble,
        ConnectTrouble::Unreachable { .. } | ConnectTrouble::TooSlow { .. } | ConnectTrouble::Broken { .. }
    )
}

fn answer_passes(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted
            | Code::Unknown
    )
}

/// The home shard of one election, as this official reaches it.
pub struct Home<'a> {
    project: &'a Project,
    /// The election.
    pub stored: Stored,
    name: String,
    address: String,
    pin: SpkiPin,
    channel: Option<Channel>,
    /// Its public listener.
    pub server: Server,
    reader: BoardReader,
}

impl<'a> Home<'a> {
    /// Knows where it is; nothing is tried yet.
    ///
    /// # Errors
    /// The project's settings.
    pub fn new(project: &'a Project, stored: Stored) -> Result<Self, HomeTrouble> {
        // A validated manifest has its home shard.
        let (name, address, public, pin) = stored.manifest.home_shard().map_or_else(Default::default, |shard| {
            (shard.name.clone(), shard.address.clone(), shard.public_address.clone(), shard.tls_pin)
        });
        let pin = SpkiPin::from_bytes(pin);
        let trust = project.public_roots()?.map_or(Trust::Pin(pin), Trust::Roots);
        let reader = BoardReader::new(stored.manifest.clone());
        Ok(Self { project, name, address, pin, channel: None, server: Server::new(&public, trust), reader, stored })
    }

    async fn client(&mut self) -> Result<OfficialClient<Channel>, HomeTrouble> {
        let limits = Limits::default();
        let client = |channel| {
            OfficialClient::new(channel)
                .max_decoding_message_size(limits.message_in_bytes_max)
                .max_encoding_message_size(limits.message_out_bytes_max)
        };
        if let Some(channel) = &self.channel {
            return Ok(client(channel.clone()));
        }
        let identity = self.project.tls_identity()?;
        let made = connect(&self.address, self.pin, &identity, &limits).await;
        let channel =
            made.map_err(|source| HomeTrouble::Connect { shard: self.name.clone(), source: Box::new(source) })?;
        let mut client = client(channel.clone());
        let build = format!("ceremony {}", env!("CARGO_PKG_VERSION"));
        let hello = client.hello(HelloRequest { version: proto::WIRE_VERSION, build }).await;
        let hello = hello.map_err(|status| self.answer(status))?.into_inner();
        if hello.version != proto::WIRE_VERSION {
            return Err(HomeTrouble::Version {
                shard: self.name.clone(),
                expected: proto::WIRE_VERSION,
                got: hello.version,
                build: hello.build,
            });
        }
        self.channel = Some(channel);
        Ok(client)
    }

    fn answer(&self, status: tonic::Status) -> HomeTrouble {
        HomeTrouble::Answer { shard: self.name.clone(), status: Box::new(status) }
    }

    /// Signs and posts a statement of this official.
    ///
    /// # Errors
    /// [`HomeTrouble`].
    pub async fn submit(&mut self, body: Body) -> Result<(), HomeTrouble> {
        let envelope = self.envelope(body)?;
        let reply = self.client().await?.submit(SubmitRequest { envelope }).await;
        reply.map(|_| ()).map_err(|status| self.answer(status))
    }

    fn envelope(&self, body: Body) -> Result<Vec<u8>, HomeTrouble> {
        let index = self.project.official_index(&self.stored.manifest)?;
        let draft = Draft { election: self.stored.id, sender: Sender::Official(index), body };
        let signature = self.project.sign(&draft.message())?;
        Ok(draft.sign(signature).to_bytes())
    }

    /// Announces the election. `true` if it was there already.
    ///
    /// # Errors
    /// [`HomeTrouble`].
    pub async fn create(&mut self) -> Result<bool, HomeTrouble> {
        let announce = self.envelope(protocol::signed::Announce {}.into())?;
        let request = CreateElectionRequest { manifest: self.stored.manifest.to_bytes(), announce };
        let reply = self.client().await?.create_election(request).await;
        reply.map(|reply| reply.into_inner().existed).map_err(|status| self.answer(status))
    }

    /// Hands over the voter roll; goes on where it was left.
    ///
    /// # Errors
    /// [`HomeTrouble`].
    pub async fn put_roll(&mut self, roll: &[u8], mut sent: impl FnMut(u64)) -> Result<(), HomeTrouble> {
        let total = roll.len() as u64;
        let mut offset = 0;
        loop {
            let rest = roll.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
            let bytes = rest.get(..ROLL_CHUNK_BYTES.min(rest.len())).unwrap_or_default().to_vec();
            let last = bytes.len() == rest.len();
            let chunk = RollChunk { election_id: self.stored.id.0.to_vec(), offset, bytes, total };
            let reply = self.client().await?.put_roll(chunk).await;
            let reply = reply.map_err(|status| self.answer(status))?.into_inner();
            sent(reply.received);
            if reply.complete {
                return Ok(());
            }
            if last || reply.received <= offset {
                return Err(HomeTrouble::Roll { shard: self.name.clone(), expected: total, got: reply.received });
            }
            offset = reply.received;
        }
    }

    /// What the shard says of the election.
    ///
    /// # Errors
    /// [`HomeTrouble`].
    pub async fn status(&mut self) -> Result<Status, HomeTrouble> {
        let request = ElectionRequest { election_id: self.stored.id.0.to_vec() };
        let reply = self.client().await?.get_status(request).await;
        reply.map(tonic::Response::into_inner).map_err(|status| self.answer(status))
    }

    /// The board up to now, folded here.
    ///
    /// # Errors
    /// [`HomeTrouble`].
    pub async fn board(&mut self) -> Result<&Board, HomeTrouble> {
        self.reader.advance(&self.server).await?;
        Ok(self.reader.board())
    }
}
