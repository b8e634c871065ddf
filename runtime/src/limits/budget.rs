//! One budget for the request bytes that a server holds, over all of its connections.
//!
//! Without it the bounds multiply: connections, times calls per connection, times the size of a message, is more memory
//! than any machine has. A call holds what it has sent until its answer begins.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The layer; [`super::Limits::server`] puts it in.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicUsize>,
    per_call_max: usize,
}

impl Budget {
    /// So many bytes for all calls together, and at most so many counted for each: a decoder holds one message at a time,
    /// so a long stream does not hold all that it ever sent.
    pub(super) fn new(bytes_max: usize, per_call_max: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes_max)), per_call_max }
    }
}

impl<S> Layer<S> for Budget {
    type Service = Budgeted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Budgeted { inner, budget: self.clone() }
    }
}

/// A service behind [`Budget`].
#[derive(Clone, Debug)]
pub struct Budgeted<S> {
    inner: S,
    budget: Budget,
}

impl<S, R> Service<Request<Body>> for Budgeted<S>
where
    S: Service<Request<Body>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Holding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let held = Arc::new(Held { budget: self.budget.clone(), bytes: AtomicUsize::new(0) });
        let counted = request.map(|body| Body::new(Counted { body, held: Arc::clone(&held) }));
        Holding { answer: Box::pin(self.inner.call(counted)), _held: held }
    }
}

/// What one call holds. Given back when neither its body nor its handler is there any more.
#[derive(Debug)]
struct Held {
    budget: Budget,
    bytes: AtomicUsize,
}

impl Held {
    /// Counts more bytes of this call, or says that the budget is spent.
    fn take(&self, bytes: usize) -> bool {
        let before = self.bytes.load(Ordering::Relaxed);
        let more = bytes.min(self.budget.per_call_max.saturating_sub(before));
        let taken =
            self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more)).is_ok();
        if taken {
            self.bytes.fetch_add(more, Ordering::Relaxed);
        }
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.left.fetch_add(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// A request's body whose bytes are counted as they come.
struct Counted {
    body: Body,
    held: Arc<Held>,
}

impl HttpBody for Counted {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && !self.held.take(data.len())
        {
            let status = Status::resource_exhausted("TRY_LATER: too many requests are under way; send it again later");
            return Poll::Ready(Some(Err(status)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The handler's answer, which ends what the call holds.
pub struct Holding<F> {
    answer: Pin<Box<F>>,
    _held: Arc<Held>,
}

impl<F: Future> Future for Holding<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(budget: &Budget) -> Held {
        Held { budget: budget.clone(), bytes: AtomicUsize::new(0) }
    }

    #[test]
    fn calls_share_the_budget_and_give_back_what_they_held() {
        let budget = Budget::new(10, 8);
        let (first, second) = (held(&budget), held(&budget));
        assert!(first.take(6));
        assert!(!second.take(5));
        assert!(second.take(4));
        drop(first);
        assert!(second.take(4));
        drop(second);
        assert_eq!(budget.left.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn a_long_stream_holds_one_message_and_not_all_that_it_sent() {
        let budget = Budget::new(10, 8);
        let stream = held(&budget);
        for _ in 0..100 {
            assert!(stream.take(5));
        }
        assert_eq!(budget.left.load(Ordering::Relaxed), 2);
    }
}
