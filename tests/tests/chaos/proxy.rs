//! A TCP proxy that misbehaves on command: between any two of our processes, each direction on its own.
//!
//! What is not reproducible in it is the operating system's scheduling; everything that the proxy decides by itself
//! (jitter) comes from its seed.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

#[cfg(test)]
mod tests;

/// Bytes that are read at a time.
const CHUNK: usize = 16 << 10;
/// Chunks under way in one direction of one connection.
const CHUNKS_MAX: usize = 64;
/// A drip comes so often.
const DRIP: Duration = Duration::from_millis(20);
/// How long reaching the server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From whoever has connected.
    ToServer,
    /// Back.
    ToClient,
}

/// What happens to bytes that go one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    /// They arrive so much later.
    pub(crate) latency: Duration,
    /// And by up to so much more, in their order.
    pub(crate) jitter: Duration,
    /// No more than so many in a second.
    pub(crate) bytes_per_second: Option<u64>,
    /// They are taken and never arrive. A connection that has lost bytes is reset when this ends.
    pub(crate) blackhole: bool,
    /// After so many of them the connection is reset.
    pub(crate) cut_after: Option<u64>,
}

/// What happens to whoever connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Door {
    /// Is led to the server.
    #[default]
    Open,
    /// Is reset.
    Reset,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Orders {
    to_server: Weather,
    to_client: Weather,
    door: Door,
    /// Each connection goes to the next.
    targets: Vec<SocketAddr>,
    /// Times that all connections were reset.
    resets: u64,
    /// Times that all connections were half-closed.
    ends_to_server: u64,
    ends_to_client: u64,
}

impl Orders {
    fn weather(&self, direction: Direction) -> Weather {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    fn ends(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToServer => self.ends_to_server,
            Direction::ToClient => self.ends_to_client,
        }
    }
}

/// What went through a proxy.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    fn of(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// See the [module](self). Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.reset_all();
    }
}

impl Proxy {
    /// Listens on a port of its own and leads to `target`. In the runtime of `handle`.
    ///
    /// # Errors
    /// No port.
    pub(crate) fn start(handle: &Handle, target: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let orders = Orders {
            to_server: Weather::default(),
            to_client: Weather::default(),
            door: Door::Open,
            targets: vec![target],
            resets: 0,
            ends_to_server: 0,
            ends_to_client: 0,
        };
        let (orders, seen) = watch::channel(orders);
        let counters = Arc::new(Counters::default());
        let _inside = handle.enter();
        let task = handle.spawn(accept(TcpListener::from_std(listener)?, seen, Arc::clone(&counters), seed));
        Ok(Self { address, orders, counters, task })
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, on old and new connections.
    pub(crate) fn set(&self, direction: Direction, weather: Weather) {
        self.orders.send_modify(|orders| match direction {
            Direction::ToServer => orders.to_server = weather,
            Direction::ToClient => orders.to_client = weather,
        });
    }

    /// [`Proxy::set`] both ways.
    pub(crate) fn set_both(&self, weather: Weather) {
        self.set(Direction::ToServer, weather);
        self.set(Direction::ToClient, weather);
    }

    /// What happens to new connections.
    pub(crate) fn set_door(&self, door: Door) {
        self.orders.send_modify(|orders| orders.door = door);
    }

    /// Each new connection goes to the next of these.
    pub(crate) fn set_targets(&self, targets: Vec<SocketAddr>) {
        self.orders.send_modify(|orders| orders.targets = targets);
    }

    /// All connections end at once, on both sides, with a reset.
    pub(crate) fn reset_all(&self) {
        self.orders.send_modify(|orders| orders.resets = orders.resets.wrapping_add(1));
    }

    /// In one direction nothing more comes on the connections that there are: their receivers see the end of the stream,
    /// while the other direction goes on.
    pub(crate) fn half_close(&self, direction: Direction) {
        self.orders.send_modify(|orders| match direction {
            Direction::ToServer => orders.ends_to_server = orders.ends_to_server.wrapping_add(1),
            Direction::ToClient => orders.ends_to_client = orders.ends_to_client.wrapping_add(1),
        });
    }

    /// Good weather, an open door.
    pub(crate) fn heal(&self) {
        self.orders.send_modify(|orders| {
            orders.to_server = Weather::default();
            orders.to_client = Weather::default();
            orders.door = Door::Open;
        });
    }

    /// Connections that were taken so far.
    #[must_use]
    pub(crate) fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Bytes that have arrived in one direction so far.
    #[must_use]
    pub(crate) fn arrived(&self, direction: Direction) -> u64 {
        self.counters.of(direction).load(Ordering::Relaxed)
    }

    /// Bytes that were swallowed so far.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.counters.lost.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, mut seen: watch::Receiver<Orders>, counters: Arc<Counters>, seed: u64) {
    loop {
        // Too many open files, say: whoever wants to connect waits.
        let Ok((client, _)) = listener.accept().await else {
            sleep(DRIP).await;
            continue;
        };
        let number = counters.connections.fetch_add(1, Ordering::Relaxed);
        let (door, target) = {
            let orders = seen.borrow_and_update();
            let at = usize::try_from(number).unwrap_or(0).checked_rem(orders.targets.len());
            (orders.door, at.and_then(|at| orders.targets.get(at)).copied())
        };
        let (Door::Open, Some(target)) = (door, target) else {
            end(client);
            continue;
        };
        let (seen, counters) = (seen.clone(), Arc::clone(&counters));
        let seed = mixed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        tokio::spawn(connection(client, target, seen, counters, seed));
    }
}

/// With a reset.
fn end(stream: TcpStream) {
    // A connection that is gone already needs no reset.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn connection(
    mut client: TcpStream,
    target: SocketAddr,
    seen: watch::Receiver<Orders>,
    counters: Arc<Counters>,
    seed: u64,
) {
    let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(target)).await;
    let Ok(Ok(mut server)) = connecting else { return end(client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let clean = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let way = |direction, seed| Way {
            direction,
            seen: seen.clone(),
            counters: Arc::clone(&counters),
            random: Mutex::new(mixed(seed)),
            broken: AtomicBool::new(false),
        };
        let (out, back) = (way(Direction::ToServer, seed), way(Direction::ToClient, !seed));
        tokio::select! {
            (one, other) = async { tokio::join!(out.carry(from_client, to_server), back.carry(from_server, to_client)) } => {
                one == End::Stream && other == End::Stream
            }
            () = reset(seen.clone()) => false,
            () = broken(&out, &back) => false,
        }
    };
    if !clean {
        end(client);
        end(server);
    }
}

/// Ends when all connections are to be reset.
async fn reset(mut seen: watch::Receiver<Orders>) {
    let before = seen.borrow().resets;
    // An error: the proxy is gone.
    let _ = seen.wait_for(|orders| orders.resets != before).await;
}

/// Ends when one of the directions has broken, so that the other does not wait for ever.
async fn broken(one: &Way, other: &Way) {
    loop {
        sleep(DRIP).await;
        if one.has_broken() || other.has_broken() {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The sender has nothing more to say, and was heard to the end.
    Stream,
    /// Cut.
    Broken,
}

/// One direction of one connection.
#[derive(Debug)]
struct Way {
    direction: Direction,
    seen: watch::Receiver<Orders>,
    counters: Arc<Counters>,
    /// State of the jitter.
    random: Mutex<u64>,
    broken: AtomicBool,
}

impl Way {
    fn weather(&self) -> Weather {
        self.seen.borrow().weather(self.direction)
    }

    fn has_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn breaks(&self) -> End {
        self.broken.store(true, Ordering::Relaxed);
        End::Broken
    }

    fn delay(&self, weather: &Weather) -> Duration {
        let mut state = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        *state = mixed(*state);
        let span = u64::try_from(weather.jitter.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        weather.latency.saturating_add(Duration::from_micros(state.checked_rem(span).unwrap_or(0)))
    }

    /// Carries bytes until the stream ends or is cut.
    async fn carry(&self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> End {
        let (queue, waiting) = mpsc::channel(CHUNKS_MAX);
        let (_, end) = tokio::join!(self.read(from, queue), self.write(to, waiting));
        end
    }

    async fn read(&self, mut from: ReadHalf<'_>, queue: mpsc::Sender<(Instant, Vec<u8>)>) {
        let mut last = Instant::now();
        let mut seen = self.seen.clone();
        let ends = seen.borrow_and_update().ends(self.direction);
        let mut swallowed = false;
        let mut total = 0_u64;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                changed = seen.changed() => {
                    let orders = seen.borrow_and_update();
                    if changed.is_err() || (swallowed && !orders.weather(self.direction).blackhole) {
                        self.breaks();
                        return;
                    }
                    if orders.ends(self.direction) != ends {
                        return;
                    }
                    continue;
                }
            };
            let count = match read {
                Ok(0) => return,
                Ok(count) => count,
                Err(_) => {
                    self.breaks();
                    return;
                }
            };
            let weather = self.weather();
            let mut bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if weather.blackhole {
                self.counters.lost.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                swallowed = true;
                continue;
            }
            let mut cut = false;
            if let Some(most) = weather.cut_after {
                let rest = usize::try_from(most.saturating_sub(total)).unwrap_or(usize::MAX);
                cut = rest <= bytes.len();
                bytes.truncate(rest);
            }
            total = total.saturating_add(bytes.len() as u64);
            last = last.max(Instant::now() + self.delay(&weather));
            if queue.send((last, bytes)).await.is_err() {
                return;
            }
            if cut {
                // What came before arrives.
                sleep_until(last + DRIP).await;
                self.breaks();
                return;
            }
        }
    }

    async fn write(&self, mut to: WriteHalf<'_>, mut waiting: mpsc::Receiver<(Instant, Vec<u8>)>) -> End {
        while let Some((when, bytes)) = waiting.recv().await {
            sleep_until(when).await;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let rate = self.weather().bytes_per_second;
                let most = rate.map_or(usize::MAX, |rate| {
                    let drip = u128::from(rate).saturating_mul(DRIP.as_millis()) / 1000;
                    usize::try_from(drip).unwrap_or(usize::MAX).max(1)
                });
                let (now, later) = rest.split_at(most.min(rest.len()));
                if to.write_all(now).await.is_err() {
                    return self.breaks();
                }
                self.counters.of(self.direction).fetch_add(now.len() as u64, Ordering::Relaxed);
                rest = later;
                if rate.is_some() {
                    sleep(DRIP).await;
                }
            }
        }
        if self.has_broken() {
            return End::Broken;
        }
        // The receiver learns that nothing more comes.
        match to.shutdown().await {
            Ok(()) => End::Stream,
            Err(_) => self.breaks(),
        }
    }
}

/// One step of splitmix64.
pub(crate) fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
