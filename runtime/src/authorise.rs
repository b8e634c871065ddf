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
