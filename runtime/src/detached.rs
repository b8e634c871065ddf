//! Work that a caller cannot stop by hanging up. (threat N12)
//!
//! tonic drops a handler's future when its caller cancels, at whatever `await` it stands. A change of state that must be
//! whole or not at all runs here.

use std::future::Future;

use tokio::task::JoinError;

/// Runs `work` to its end in a task of its own, and waits for it: dropping this future does not stop it.
///
/// A panic inside `work` is handed on to the caller. On the runtime's own shutdown the process stops
/// ([`crate::fail_stop`]): half-done work must not be taken for done.
pub async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(output) => output,
        Err(trouble) => hand_on(trouble),
    }
}

fn hand_on<T>(trouble: JoinError) -> T {
    match trouble.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(trouble) => crate::fail_stop(format_args!("detached work was stopped half-way: {trouble}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_its_caller_hangs_up() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut call = Box::pin(run(async move {
            gone.await.unwrap();
            done.send("committed").unwrap();
        }));
        // Started, then dropped at its await, as tonic does.
        tokio::select! {
            biased;
            () = &mut call => panic!("not told to go yet"),
            () = tokio::task::yield_now() => {}
        }
        drop(call);
        go.send(()).unwrap();
        assert_eq!(ended.await, Ok("committed"));
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller() {
        let call = tokio::spawn(run(async { panic!("poison") }));
        assert!(call.await.unwrap_err().is_panic());
    }
}
