//! Who calls, as the connection proved it. Never a field of a message.

use std::net::SocketAddr;

use tonic::Request;

use crate::authorise::PUBLIC_ROLE;
use crate::pin::SpkiPin;
use crate::tls::{Peer, Peers};

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A peer, by the key that it proved to have in the handshake, and that is still pinned.
    Pinned {
        /// The key.
        pin: SpkiPin,
        /// Whose it is.
        peer: Peer,
    },
    /// Anybody: a caller of the public listener, or one whose pin was taken away since it connected.
    Anonymous,
}

impl Caller {
    /// The role that the table of [`crate::authorise`] knows.
    #[must_use]
    pub fn role(&self) -> &str {
        match self {
            Self::Pinned { peer, .. } => peer.role.as_str(),
            Self::Anonymous => PUBLIC_ROLE,
        }
    }

    /// The peer, if it is one.
    #[must_use]
    pub const fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Pinned { peer, .. } => Some(peer),
            Self::Anonymous => None,
        }
    }
}

/// What is known of a connection. tonic puts it into the extensions of each of its requests.
#[derive(Clone, Debug)]
pub struct Connection {
    remote: SocketAddr,
    pin: Option<SpkiPin>,
    peers: Option<Peers>,
}

impl Connection {
    pub(crate) const fn new(remote: SocketAddr, pin: Option<SpkiPin>, peers: Option<Peers>) -> Self {
        Self { remote, pin, peers }
    }

    /// Where it comes from: for the log only, an address proves nothing.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Who it is, by the pins of now: a pin that was taken away counts at once, on open connections too.
    #[must_use]
    pub fn caller(&self) -> Caller {
        let (Some(pin), Some(peers)) = (self.pin, &self.peers) else {
            return Caller::Anonymous;
        };
        match peers.peer(&pin) {
            Some(peer) => Caller::Pinned { pin, peer },
            None => Caller::Anonymous,
        }
    }
}

/// Who makes this call.
///
/// Behind [`crate::authorise::Authorise`] it is the caller that was authorised, even if the pins changed since.
pub fn caller<T>(request: &Request<T>) -> Caller {
    let extensions = request.extensions();
    extensions
        .get::<Caller>()
        .cloned()
        .or_else(|| extensions.get::<Connection>().map(Connection::caller))
        .unwrap_or(Caller::Anonymous)
}
