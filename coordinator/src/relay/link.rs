//! The connection to one trustee, with the Hello that begins it.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::trustee_client::TrusteeClient;
use proto::v1::{HelloReply, HelloRequest};
use protocol::ids::TrusteeIndex;
use protocol::manifest::TrusteeEntry;
use runtime::connect::{ConnectTrouble, connect};
use runtime::pin::SpkiPin;
use runtime::with_client_message_limits;
use thiserror::Error;
use tonic::Status;
use tonic::transport::Channel;

use crate::actors::Deps;

/// How long one call may take.
pub(super) const CALL: Duration = Duration::from_secs(30);

/// Why a trustee cannot be talked to now.
#[derive(Debug, Error)]
pub enum LinkTrouble {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectTrouble),
    /// No answer, or an error.
    #[error("{}", .0.message())]
    Call(Box<Status>),
    /// No answer in time.
    #[error("no answer within {} s", CALL.as_secs())]
    Silent,
    /// It speaks another version.
    #[error("VERSION_UNSUPPORTED: it speaks wire version {got}, this shard {expected}")]
    Version {
        /// Ours.
        expected: u32,
        /// Theirs.
        got: u32,
    },
}

impl From<Status> for LinkTrouble {
    fn from(status: Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// See the [module](self).
pub struct Link {
    deps: Arc<Deps>,
    /// Whom.
    pub trustee: TrusteeIndex,
    address: String,
    pin: SpkiPin,
    client: Option<TrusteeClient<Channel>>,
}

impl Link {
    pub(super) fn new(deps: Arc<Deps>, trustee: TrusteeIndex, entry: &TrusteeEntry) -> Self {
        let pin = SpkiPin::from_bytes(entry.tls_pin);
        Self { deps, trustee, address: entry.address.clone(), pin, client: None }
    }

    /// A client on a connection that has said Hello. What was said is given when the connection is new.
    ///
    /// # Errors
    /// [`LinkTrouble`].
    pub async fn client(&mut self) -> Result<(TrusteeClient<Channel>, Option<HelloReply>), LinkTrouble> {
        if let Some(client) = &self.client {
            return Ok((client.clone(), None));
        }
        let channel = connect(&self.address, self.pin, &self.deps.identity, &self.deps.limits).await?;
        let mut client = with_client_message_limits!(TrusteeClient::new(channel), self.deps.limits);
        let version = proto::WIRE_VERSION;
        let hello = HelloRequest { version, build: runtime::version::BUILD.to_owned() };
        let reply = in_time(client.hello(hello)).await?.into_inner();
        if reply.version != version {
            return Err(LinkTrouble::Version { expected: version, got: reply.version });
        }
        self.client = Some(client.clone());
        Ok((client, Some(reply)))
    }

    /// After an error: begin with a new connection.
    pub fn drop_connection(&mut self) {
        self.client = None;
    }
}

/// A call with its deadline.
pub(super) async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, LinkTrouble> {
    match tokio::time::timeout(CALL, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(LinkTrouble::Silent),
    }
}
