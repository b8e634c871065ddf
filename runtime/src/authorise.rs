//! Who may call what: an explicit table of method by role. What is not in it is refused. (threat N01)

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use crate::serve::{Caller, Connection};

/// The role of callers whom nobody knows: voters and the public.
pub const PUBLIC_ROLE: &str = "public";

/// The methods of tonic's health service.
pub const HEALTH_METHODS: &[&str] = &["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

/// The methods of tonic's reflection service, in both of its versions.
pub const REFLECTION_METHODS: &[&str] = &[
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Which roles may call which method. Methods are full paths: `/conclave.v1.Trustee/Exchange`. No patterns: every method
/// that can be called is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    /// A table in which nothing is allowed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets these roles call a method, besides those that may already.
    #[must_use]
    pub fn allow(mut self, method: &str, roles: &[&str]) -> Self {
        let row = self.rows.entry(method.to_owned()).or_default();
        row.extend(roles.iter().map(|&role| role.to_owned()));
        self
    }

    /// [`Self::allow`] for several methods: `allow_all(HEALTH_METHODS, &["shard", "public"])`.
    #[must_use]
    pub fn allow_all(self, methods: &[&str], roles: &[&str]) -> Self {
        methods.iter().fold(self, |table, method| table.allow(method, roles))
    }

    /// Whether a role may call a method.
    #[must_use]
    pub fn allows(&self, method: &str, role: &str) -> bool {
        self.rows.get(method).is_some_and(|roles| roles.contains(role))
    }

    /// The methods that anybody may call at all, in order: for a test that compares them with the services' own.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }
}

/// The layer that asks the table, before any handler: `limits.server().layer(Authorise::new(table))`.
#[derive(Clone, Debug)]
pub struct Authorise {
    table: Arc<Table>,
}

impl Authorise {
    /// Asks this table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table: Arc::new(table) }
    }
}

impl<S> Layer<S> for Authorise {
    type Service = Authorised<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorised { inner, table: Arc::clone(&self.table) }
    }
}

/// A service behind [`Authorise`].
#[derive(Clone, Debug)]
pub struct Authorised<S> {
    inner: S,
    table: Arc<Table>,
}

impl<S, B, R> Service<Request<B>> for Authorised<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future, Response<R>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let connection = request.extensions().get::<Connection>();
        let caller = connection.map_or(Caller::Anonymous, Connection::caller);
        let method = request.uri().path();
        if !self.table.allows(method, caller.role()) {
            let peer = caller.peer().map(|peer| peer.id.to_string());
            tracing::info!(method, role = caller.role(), peer, "call refused");
            let status = Status::permission_denied(format!(
                "PERMISSION_DENIED: the role {:?} may not call {method}",
                caller.role()
            ));
            return Answer::Refused(Some(status.into_http()));
        }
        // The handler sees who was authorised, not who the connection belongs to a moment later.
        request.extensions_mut().insert(caller);
        Answer::Passed(Box::pin(self.inner.call(request)))
    }
}

/// The handler's answer, or the refusal.
pub enum Answer<F, T> {
    /// The handler was asked.
    Passed(Pin<Box<F>>),
    /// The handler was not asked. Empty once the refusal is handed out.
    Refused(Option<T>),
}

/// The handler's future is boxed and the refusal is a value: nothing in here is pinned in place.
impl<F, T> Unpin for Answer<F, T> {}

impl<F, T, E> Future for Answer<F, T>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Passed(future) => future.as_mut().poll(context),
            Self::Refused(refusal) => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(refusal)),
                None => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::ServiceExt;

    use super::*;
    use crate::pin::SpkiPin;
    use crate::serve::caller;
    use crate::tls::{Peer, Peers};

    const ROLES: [&str; 4] = ["trustee", "shard", "official", PUBLIC_ROLE];
    const METHODS: [&str; 4] = ["/a.A/One", "/a.A/Two", "/a.B/One", "/a.B/Two"];

    fn table() -> Table {
        Table::new()
            .allow("/a.A/One", &["trustee", "shard"])
            .allow_all(&["/a.A/Two", "/a.B/One"], &["official"])
            .allow("/a.A/Two", &[PUBLIC_ROLE])
    }

    /// A connection of somebody in this role, and the list in which it is pinned.
    fn connection(role: &str) -> (Connection, Peers) {
        let remote = ([127, 0, 0, 1], 1).into();
        let pin = SpkiPin::from_bytes([1; 32]);
        let peers = Peers::new([(pin, Peer::new("somebody", role))]).unwrap();
        let connection = match role {
            PUBLIC_ROLE => Connection::new(remote, None, None),
            _ => Connection::new(remote, Some(pin), Some(peers.clone())),
        };
        (connection, peers)
    }

    /// What becomes of one call, and whether the handler saw it.
    async fn call(table: Table, connection: Option<Connection>, path: &str) -> (Option<tonic::Code>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let role = connection.as_ref().map_or(PUBLIC_ROLE.to_owned(), |known| known.caller().role().to_owned());
        let handler = tower::service_fn(move |request: Request<()>| {
            counter.fetch_add(1, Ordering::SeqCst);
            assert_eq!(caller(&tonic::Request::from_http(request)).role(), role);
            async { Ok::<_, Infallible>(Response::new(())) }
        });
        let mut request = Request::new(());
        *request.uri_mut() = path.parse().unwrap();
        if let Some(connection) = connection {
            request.extensions_mut().insert(connection);
        }
        let answer = Authorise::new(table).layer(handler).oneshot(request).await.unwrap();
        let code = answer.extensions().get::<Status>().map(Status::code);
        (code, asked.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn every_role_reaches_exactly_the_handlers_of_its_row() {
        let expected = [
            ("/a.A/One", "trustee"),
            ("/a.A/One", "shard"),
            ("/a.A/Two", "official"),
            ("/a.A/Two", PUBLIC_ROLE),
            ("/a.B/One", "official"),
        ];
        for method in METHODS {
            for role in ROLES {
                let answer = call(table(), Some(connection(role).0), method).await;
                let reached = expected.contains(&(method, role));
                let wanted = if reached { (None, 1) } else { (Some(tonic::Code::PermissionDenied), 0) };
                assert_eq!(answer, wanted, "{method} {role}");
            }
        }
    }

    #[tokio::test]
    async fn no_other_spelling_of_a_method_is_that_method() {
        for path in ["/", "/a.a/two", "/a.A/Two/", "//a.A/Two", "/a.A/%54wo", "/a.A/Two/../One", "/a.A", "/x.X/New"] {
            let (code, asked) = call(table(), None, path).await;
            assert_eq!((code, asked), (Some(tonic::Code::PermissionDenied), 0), "{path}");
        }
    }

    #[tokio::test]
    async fn a_request_of_no_known_connection_is_the_publics() {
        assert_eq!(call(table(), None, "/a.A/Two").await, (None, 1));
        assert_eq!(call(table(), None, "/a.A/One").await, (Some(tonic::Code::PermissionDenied), 0));
    }

    #[tokio::test]
    async fn a_peer_whose_pin_was_taken_away_is_the_public_from_then_on() {
        let (connection, peers) = connection("trustee");
        assert_eq!(call(table(), Some(connection.clone()), "/a.A/One").await, (None, 1));
        peers.replace([]).unwrap();
        assert_eq!(call(table(), Some(connection), "/a.A/One").await, (Some(tonic::Code::PermissionDenied), 0));
    }
}
