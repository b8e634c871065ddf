//! Bounds on everything that a peer or a stranger can make a process hold. (threats N06, N07, N08, N09)

use std::time::Duration;

use tonic::transport::{Endpoint, Server};
use tower::layer::util::{Identity, Stack};

mod budget;

pub use budget::{Budget, Budgeted, Holding};

/// Lets this process open as many files and connections as the system allows it, and warns if two full listeners could still
/// use them all up.
#[cfg(target_os = "linux")]
pub fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
    let wanted = Limits::default().connections_max.saturating_mul(2).saturating_add(256) as u64;
    if let Some(files) = getrlimit(Resource::Nofile).current
        && files < wanted
    {
        tracing::warn!(
            files,
            wanted,
            "few open files are allowed: strangers could take them all for a while; set LimitNOFILE"
        );
    }
}

/// As for Linux; elsewhere nothing is done.
#[cfg(not(target_os = "linux"))]
pub fn allow_open_files() {}

/// Bounds for a listener and for the connections that a process makes. [`Limits::default`] says what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message that is taken, in bytes. Default 8 MiB. Applied by [`crate::with_message_limits!`] and
    /// [`crate::with_client_message_limits!`].
    pub message_in_bytes_max: usize,
    /// Largest message that a server sends, in bytes. Default 8 MiB. Applied by [`crate::with_message_limits!`].
    pub message_out_bytes_max: usize,
    /// Request bytes that a server holds at a time, over all calls of all connections; a call that would exceed it is
    /// answered `RESOURCE_EXHAUSTED` ("TRY_LATER"). Default 128 MiB.
    pub request_bytes_in_flight_max: usize,
    /// Connections of one listener at a time; more are closed at once, the caller comes back. Default 1,024.
    pub connections_max: usize,
    /// TLS handshakes of one listener at a time: strangers can take these places only, and only for
    /// [`Self::handshake_timeout`]. Default 128.
    pub handshakes_max: usize,
    /// How long a TLS handshake may take. Default 5 s.
    pub handshake_timeout: Duration,
    /// How long a connection may be silent. A live one answers keep-alive pings, so that this ends the half-open ones and
    /// those that never spoke HTTP/2. Default 60 s; longer than keep-alive interval plus time-out.
    pub idle_timeout: Duration,
    /// Calls on one connection at a time, as HTTP/2 announces it. Default 128.
    pub streams_per_connection_max: u32,
    /// Handlers at work for one connection; more calls are answered UNAVAILABLE at once. Default 128.
    pub handlers_per_connection_max: usize,
    /// Streams that a peer opened and reset before they were looked at (rapid reset). Default 32.
    pub pending_reset_streams_max: usize,
    /// Resets that a peer's errors made this side send, before the connection is ended. Default 128.
    pub error_resets_max: usize,
    /// Size of all headers of a call, in bytes (CONTINUATION floods). Default 16 KiB.
    pub header_list_bytes_max: u32,
    /// Pause between keep-alive pings, also while no call is under way. Default 20 s.
    pub keepalive_interval: Duration,
    /// How long a keep-alive ping may stay without answer. Default 10 s.
    pub keepalive_timeout: Duration,
    /// How long a call may take until its answer begins. Default 60 s. A stream may go on after that.
    pub request_timeout: Duration,
    /// How long connecting may take: TCP, TLS and the first HTTP/2 frames together. Default 5 s.
    pub connect_timeout: Duration,
    /// After a shutdown request: how long calls under way may go on before their connections are cut. Default 10 s.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_in_bytes_max: 8 * 1024 * 1024,
            message_out_bytes_max: 8 * 1024 * 1024,
            request_bytes_in_flight_max: 128 * 1024 * 1024,
            connections_max: 1024,
            handshakes_max: 128,
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            streams_per_connection_max: 128,
            handlers_per_connection_max: 128,
            pending_reset_streams_max: 32,
            error_resets_max: 128,
            header_list_bytes_max: 16 * 1024,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// A server with these bounds. Message sizes belong to each service: [`crate::with_message_limits!`].
    #[must_use]
    pub fn server(&self) -> Server<Stack<Budget, Identity>> {
        Server::builder()
            .accept_http1(false)
            .max_concurrent_streams(self.streams_per_connection_max)
            .concurrency_limit_per_connection(self.handlers_per_connection_max)
            .load_shed(true)
            .http2_max_pending_accept_reset_streams(Some(self.pending_reset_streams_max))
            .http2_max_local_error_reset_streams(Some(self.error_resets_max))
            .http2_max_header_list_size(self.header_list_bytes_max)
            .http2_keepalive_interval(Some(self.keepalive_interval))
            .http2_keepalive_timeout(Some(self.keepalive_timeout))
            .timeout(self.request_timeout)
            .layer(Budget::new(self.request_bytes_in_flight_max, self.message_in_bytes_max))
    }

    /// A client's endpoint with these bounds.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
            .connect_timeout(self.connect_timeout)
            .timeout(self.request_timeout)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(self.header_list_bytes_max)
            .http2_max_local_error_reset_streams(self.error_resets_max)
    }
}

/// Applies the message sizes of a [`Limits`] to a generated tonic *server*, which has no trait for it:
/// `with_message_limits!(TrusteeServer::new(handler), limits)`. A request or an answer that is larger is answered
/// `OUT_OF_RANGE` ("message length too large"), and the connection lives.
#[macro_export]
macro_rules! with_message_limits {
    ($server:expr, $limits:expr) => {{
        let limits: &$crate::limits::Limits = &$limits;
        $server
            .max_decoding_message_size(limits.message_in_bytes_max)
            .max_encoding_message_size(limits.message_out_bytes_max)
    }};
}

/// Applies the size of incoming messages to a generated tonic *client*. What it sends is bounded by the server's answer
/// `OUT_OF_RANGE`: tonic turns a client's own bound into a reset stream and a nameless `INTERNAL`.
#[macro_export]
macro_rules! with_client_message_limits {
    ($client:expr, $limits:expr) => {{
        let limits: &$crate::limits::Limits = &$limits;
        $client.max_decoding_message_size(limits.message_in_bytes_max)
    }};
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum.map_or(Some(300), |most| Some(most.min(300))), maximum })
            .unwrap();
        super::allow_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
