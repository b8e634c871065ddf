//! A keystore on a thread of its own: a bounded queue, and a deadline for each call. (K02, K11)
//!
//! One thread owns the token's sessions and its login state, so no two calls can race for them. A token that hangs
//! holds up that thread and nobody else: callers get [`KeystoreError::TimedOut`], then [`KeystoreError::Busy`].

use core::fmt;
use core::time::Duration;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rand_core::CryptoRngCore;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{Keystore, KeystoreError, KeystoreKind, Operation, PublicKey};

/// How much may wait for a keystore, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleLimits {
    /// Calls that may wait; the next one gets [`KeystoreError::Busy`].
    pub waiting_max: usize,
    /// How long a call may take, its time in the queue included.
    pub deadline: Duration,
}

impl Default for HandleLimits {
    /// 64 calls, 10 seconds: a token that re-starts has time to come back.
    fn default() -> Self {
        Self { waiting_max: 64, deadline: Duration::from_secs(10) }
    }
}

/// A keystore that may be asked from any thread or task. Cheap to clone; the thread ends with the last one.
#[derive(Clone)]
pub struct KeystoreHandle {
    shared: Arc<Shared>,
    deadline: Duration,
}

struct Shared {
    kind: KeystoreKind,
    identity_public: [u8; 32],
    tls_public: [u8; 32],
    place: Place,
}

enum Place {
    Thread { queue: SyncSender<Job>, waiting_max: usize },
    Caller(Mutex<Desk>),
}

/// What does the work: the keystore and the randomness for its seals.
struct Desk {
    keystore: Box<dyn Keystore>,
    rng: Box<dyn CryptoRngCore + Send>,
}

enum Request {
    SignIdentity(Vec<u8>),
    SignTls(Vec<u8>),
    Seal { context: Vec<u8>, plaintext: Zeroizing<Vec<u8>> },
    Unseal { context: Vec<u8>, sealed: Vec<u8> },
    Random,
    Health,
}

enum Answer {
    Signature([u8; 64]),
    Sealed(Vec<u8>),
    Opened(Zeroizing<Vec<u8>>),
    Drawn(Zeroizing<[u8; 32]>),
    Healthy,
}

type Outcome = Result<Answer, KeystoreError>;

struct Job {
    request: Request,
    deadline: Duration,
    /// Nothing if that is beyond all clocks.
    expires: Option<Instant>,
    reply: Reply,
}

enum Reply {
    Task(oneshot::Sender<Outcome>),
    Thread(SyncSender<Outcome>),
}

impl fmt::Debug for KeystoreHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeystoreHandle")
            .field("kind", &self.shared.kind)
            .field("identity", &PublicKey(self.shared.identity_public))
            .finish_non_exhaustive()
    }
}

impl KeystoreHandle {
    /// Moves a keystore onto a thread of its own. `rng` gives the IVs of its seals.
    ///
    /// # Errors
    /// [`KeystoreError::Stopped`] if the system gives no thread.
    pub fn spawn(
        keystore: Box<dyn Keystore>,
        rng: Box<dyn CryptoRngCore + Send>,
        limits: HandleLimits,
    ) -> Result<Self, KeystoreError> {
        // A queue of none would refuse every call that finds the thread at work.
        let waiting_max = limits.waiting_max.max(1);
        let (queue, jobs) = mpsc::sync_channel::<Job>(waiting_max);
        let handle = |desk: &Desk| Shared {
            kind: desk.keystore.describe(),
            identity_public: desk.keystore.identity_public(),
            tls_public: desk.keystore.tls_public(),
            place: Place::Thread { queue, waiting_max },
        };
        let mut desk = Desk { keystore, rng };
        let shared = Arc::new(handle(&desk));
        std::thread::Builder::new()
            .name("keystore".to_owned())
            .spawn(move || {
                for Job { request, deadline, expires, reply } in jobs {
                    // Nobody waits any more: a token that was away must not work off a queue of stale wishes.
                    if expires.is_some_and(|expires| Instant::now() >= expires) {
                        let operation = request.operation();
                        reply.send(Err(KeystoreError::TimedOut { operation, after: deadline }));
                    } else if reply.is_wanted() {
                        reply.send(desk.perform(request));
                    }
                }
            })
            .map_err(|_| KeystoreError::Stopped)?;
        Ok(Self { shared, deadline: limits.deadline })
    }

    /// Does every call on the caller's own thread, with no deadline. For simulation, where time is not real and
    /// a second thread would make a run differ from its replay; not for a token.
    #[must_use]
    pub fn in_place(keystore: Box<dyn Keystore>, rng: Box<dyn CryptoRngCore + Send>) -> Self {
        Self {
            shared: Arc::new(Shared {
                kind: keystore.describe(),
                identity_public: keystore.identity_public(),
                tls_public: keystore.tls_public(),
                place: Place::Caller(Mutex::new(Desk { keystore, rng })),
            }),
            deadline: Duration::MAX,
        }
    }

    /// The same keystore, for callers that wait for another time.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), deadline }
    }

    /// Where the keys are.
    #[must_use]
    pub fn describe(&self) -> &KeystoreKind {
        &self.shared.kind
    }

    /// The public half of the identity key.
    #[must_use]
    pub fn identity_public(&self) -> [u8; 32] {
        self.shared.identity_public
    }

    /// The public half of the TLS key.
    #[must_use]
    pub fn tls_public(&self) -> [u8; 32] {
        self.shared.tls_public
    }

    /// Signs with the identity key.
    ///
    /// # Errors
    /// Those of [`Keystore::sign_identity`], [`KeystoreError::TimedOut`], [`KeystoreError::Busy`],
    /// [`KeystoreError::Stopped`]. So do all calls below.
    pub async fn sign_identity(&self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.ask(Request::SignIdentity(message.to_vec())).await?.signature()
    }

    /// Signs with the TLS key.
    ///
    /// # Errors
    /// As [`KeystoreHandle::sign_identity`].
    pub async fn sign_tls(&self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.ask(Request::SignTls(message.to_vec())).await?.signature()
    }

    /// Seals `plaintext` under `context`.
    ///
    /// # Errors
    /// Those of [`Keystore::seal`], and as [`KeystoreHandle::sign_identity`].
    pub async fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        self.ask(Request::seal(context, plaintext)).await?.sealed()
    }

    /// Opens what [`KeystoreHandle::seal`] made.
    ///
    /// # Errors
    /// Those of [`Keystore::unseal`], and as [`KeystoreHandle::sign_identity`].
    pub async fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        self.ask(Request::unseal(context, sealed)).await?.opened()
    }

    /// Randomness of the keystore's own.
    ///
    /// # Errors
    /// Those of [`Keystore::random`], and as [`KeystoreHandle::sign_identity`].
    pub async fn random(&self) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        self.ask(Request::Random).await?.drawn()
    }

    /// Proves that the keystore works.
    ///
    /// # Errors
    /// Those of [`Keystore::health`], and as [`KeystoreHandle::sign_identity`].
    pub async fn health(&self) -> Result<(), KeystoreError> {
        self.ask(Request::Health).await.map(drop)
    }

    /// [`KeystoreHandle::sign_identity`] for a thread that may block.
    ///
    /// # Errors
    /// As [`KeystoreHandle::sign_identity`].
    pub fn sign_identity_blocking(&self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.ask_blocking(Request::SignIdentity(message.to_vec()))?.signature()
    }

    /// [`KeystoreHandle::sign_tls`] for a thread that may block, such as one in a TLS handshake.
    ///
    /// # Errors
    /// As [`KeystoreHandle::sign_identity`].
    pub fn sign_tls_blocking(&self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.ask_blocking(Request::SignTls(message.to_vec()))?.signature()
    }

    /// [`KeystoreHandle::seal`] for a thread that may block.
    ///
    /// # Errors
    /// As [`KeystoreHandle::seal`].
    pub fn seal_blocking(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        self.ask_blocking(Request::seal(context, plaintext))?.sealed()
    }

    /// [`KeystoreHandle::unseal`] for a thread that may block.
    ///
    /// # Errors
    /// As [`KeystoreHandle::unseal`].
    pub fn unseal_blocking(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        self.ask_blocking(Request::unseal(context, sealed))?.opened()
    }

    /// [`KeystoreHandle::health`] for a thread that may block.
    ///
    /// # Errors
    /// As [`KeystoreHandle::health`].
    pub fn health_blocking(&self) -> Result<(), KeystoreError> {
        self.ask_blocking(Request::Health).map(drop)
    }

    async fn ask(&self, request: Request) -> Outcome {
        let operation = request.operation();
        match &self.shared.place {
            Place::Caller(desk) => desk.lock().unwrap_or_else(PoisonError::into_inner).perform(request),
            Place::Thread { queue, waiting_max } => {
                let (reply, answer) = oneshot::channel();
                enqueue(queue, *waiting_max, self.deadline, request, Reply::Task(reply))?;
                match tokio::time::timeout(self.deadline, answer).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(KeystoreError::Stopped),
                    Err(_) => Err(KeystoreError::TimedOut { operation, after: self.deadline }),
                }
            }
        }
    }

    /// Waits on a channel of the standard library: unlike tokio's it may be waited on inside a runtime, which is
    /// where rustls asks for signatures.
    fn ask_blocking(&self, request: Request) -> Outcome {
        let operation = request.operation();
        match &self.shared.place {
            Place::Caller(desk) => desk.lock().unwrap_or_else(PoisonError::into_inner).perform(request),
            Place::Thread { queue, waiting_max } => {
                let (reply, answer) = mpsc::sync_channel(1);
                enqueue(queue, *waiting_max, self.deadline, request, Reply::Thread(reply))?;
                match answer.recv_timeout(self.deadline) {
                    Ok(outcome) => outcome,
                    Err(RecvTimeoutError::Timeout) => Err(KeystoreError::TimedOut { operation, after: self.deadline }),
                    Err(RecvTimeoutError::Disconnected) => Err(KeystoreError::Stopped),
                }
            }
        }
    }
}

fn enqueue(
    queue: &SyncSender<Job>,
    waiting_max: usize,
    deadline: Duration,
    request: Request,
    reply: Reply,
) -> Result<(), KeystoreError> {
    let expires = Instant::now().checked_add(deadline);
    queue.try_send(Job { request, deadline, expires, reply }).map_err(|refused| match refused {
        TrySendError::Full(_) => KeystoreError::Busy { waiting_max },
        TrySendError::Disconnected(_) => KeystoreError::Stopped,
    })
}

impl Desk {
    fn perform(&mut self, request: Request) -> Outcome {
        match request {
            Request::SignIdentity(message) => self.keystore.sign_identity(&message).map(Answer::Signature),
            Request::SignTls(message) => self.keystore.sign_tls(&message).map(Answer::Signature),
            Request::Seal { context, plaintext } => {
                self.keystore.seal(&context, &plaintext, self.rng.as_mut()).map(Answer::Sealed)
            }
            Request::Unseal { context, sealed } => self.keystore.unseal(&context, &sealed).map(Answer::Opened),
            Request::Random => self.keystore.random().map(Answer::Drawn),
            Request::Health => self.keystore.health().map(|()| Answer::Healthy),
        }
    }
}

impl Request {
    fn seal(context: &[u8], plaintext: &[u8]) -> Self {
        Request::Seal { context: context.to_vec(), plaintext: Zeroizing::new(plaintext.to_vec()) }
    }

    fn unseal(context: &[u8], sealed: &[u8]) -> Self {
        Request::Unseal { context: context.to_vec(), sealed: sealed.to_vec() }
    }

    fn operation(&self) -> Operation {
        match self {
            Request::SignIdentity(_) => Operation::SignIdentity,
            Request::SignTls(_) => Operation::SignTls,
            Request::Seal { .. } => Operation::Seal,
            Request::Unseal { .. } => Operation::Unseal,
            Request::Random => Operation::Random,
            Request::Health => Operation::Health,
        }
    }
}

// Each request has one kind of answer; another one would be a mistake in `Desk::perform`, and is reported as if the
// thread had gone.
impl Answer {
    fn signature(self) -> Result<[u8; 64], KeystoreError> {
        if let Answer::Signature(signature) = self { Ok(signature) } else { Err(KeystoreError::Stopped) }
    }

    fn sealed(self) -> Result<Vec<u8>, KeystoreError> {
        if let Answer::Sealed(sealed) = self { Ok(sealed) } else { Err(KeystoreError::Stopped) }
    }

    fn drawn(self) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        if let Answer::Drawn(drawn) = self { Ok(drawn) } else { Err(KeystoreError::Stopped) }
    }

    fn opened(self) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        if let Answer::Opened(plaintext) = self { Ok(plaintext) } else { Err(KeystoreError::Stopped) }
    }
}

impl Reply {
    fn is_wanted(&self) -> bool {
        match self {
            Reply::Task(sender) => !sender.is_closed(),
            Reply::Thread(_) => true, // the expiry says
        }
    }

    fn send(self, outcome: Outcome) {
        // A caller who has given up is not told: there is nobody to tell. What was sealed or signed for them is
        // harmless, and dropped.
        match self {
            Reply::Task(sender) => drop(sender.send(outcome)),
            Reply::Thread(sender) => drop(sender.try_send(outcome)),
        }
    }
}
