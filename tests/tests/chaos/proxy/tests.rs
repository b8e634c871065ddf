use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use tokio::runtime::Runtime;

use super::*;

/// A proxy before a server that sends back what it gets, and ends when the client does.
fn before_an_echo() -> (Runtime, Proxy) {
    before(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
        let _ = stream.write_all(b"bye");
    })
}

fn before(serve: fn(TcpStream)) -> (Runtime, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || serve(stream)))));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = Proxy::start(runtime.handle(), target, 7).unwrap();
    (runtime, proxy)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends and gets the same back.
fn echo(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let begun = std::time::Instant::now();
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
    begun.elapsed()
}

fn silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let read = stream.read(&mut [0; 16]);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    matches!(read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn is_reset(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(stream.read_to_end(&mut rest), Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn in_good_weather_everything_arrives_unchanged() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..200_000_u32).map(|at| mixed(at.into()).to_be_bytes()[0]).collect();
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    let echoed = back.strip_suffix(b"bye").expect("the end of the stream is passed on");
    assert!(echoed == sent);
    assert_eq!((proxy.connections(), proxy.lost()), (1, 0));
    assert_eq!(proxy.arrived(Direction::ToServer), 200_000);
}

#[test]
fn latency_delays_each_direction_on_its_own() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    echo(&mut stream, b"warm");
    let late = |ms| Weather { latency: Duration::from_millis(ms), ..Weather::default() };
    proxy.set(Direction::ToServer, late(150));
    let one = echo(&mut stream, b"there");
    assert!(one >= Duration::from_millis(150), "{one:?}");
    proxy.set_both(late(150));
    let both = echo(&mut stream, b"and back");
    assert!(both >= Duration::from_millis(300), "{both:?}");
}

#[test]
fn jitter_is_that_of_the_seed_and_keeps_the_order() {
    let way = |seed| Way {
        direction: Direction::ToServer,
        seen: watch::channel(orders()).1,
        counters: Arc::default(),
        random: Mutex::new(seed),
        broken: AtomicBool::new(false),
    };
    let weather = Weather { jitter: Duration::from_millis(50), ..Weather::default() };
    let delays = |seed| {
        let way = way(seed);
        (0..20).map(|_| way.delay(&weather)).collect::<Vec<_>>()
    };
    assert_eq!(delays(5), delays(5));
    assert_ne!(delays(5), delays(6));
    assert!(delays(5).iter().all(|delay| *delay <= weather.jitter));

    let (_runtime, proxy) = before_an_echo();
    proxy.set_both(weather);
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..40).collect();
    for byte in &sent {
        stream.write_all(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, sent);
}

fn orders() -> Orders {
    let weather = Weather::default();
    let (resets, ends_to_server, ends_to_client) = (0, 0, 0);
    let door = Door::Open;
    Orders { to_server: weather, to_client: weather, door, targets: Vec::new(), resets, ends_to_server, ends_to_client }
}

#[test]
fn a_reset_ends_old_connections_and_new_ones_come_through() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    echo(&mut stream, b"hello");
    proxy.reset_all();
    assert!(is_reset(&mut stream));
    echo(&mut connect(&proxy), b"again");
}

#[test]
fn a_shut_door_resets_whoever_comes() {
    let (_runtime, proxy) = before_an_echo();
    proxy.set_door(Door::Reset);
    let mut stream = connect(&proxy);
    let refused = stream.write_all(b"x").is_err() || stream.read(&mut [0; 1]).is_err();
    assert!(refused);
    proxy.heal();
    echo(&mut connect(&proxy), b"again");
}

#[test]
fn a_half_closed_connection_ends_one_way_only() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    echo(&mut stream, b"hello");
    proxy.half_close(Direction::ToServer);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"bye", "the server has seen the end, and still could answer");

    // Somebody who says something whether or not anybody listens.
    let (_runtime, proxy) = before(|mut stream| {
        let mut heard = Vec::new();
        let _ = stream.write_all(b"first");
        let _ = stream.read_to_end(&mut heard);
    });
    let mut stream = connect(&proxy);
    let mut first = [0; 5];
    stream.read_exact(&mut first).unwrap();
    proxy.half_close(Direction::ToClient);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing more comes to the client");
    stream.write_all(b"still here").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let begun = std::time::Instant::now();
    while proxy.arrived(Direction::ToServer) < 10 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the client is heard no more");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_blackhole_swallows_one_way_and_what_lost_bytes_is_reset_after_it() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    echo(&mut stream, b"hello");
    proxy.set(Direction::ToClient, Weather { blackhole: true, ..Weather::default() });
    stream.write_all(b"anybody?").unwrap();
    assert!(silent(&mut stream));
    assert_eq!(proxy.arrived(Direction::ToServer), 13, "the other way is open");
    assert_eq!(proxy.lost(), 8);
    let mut stranger = connect(&proxy);
    stranger.write_all(b"me too").unwrap();
    assert!(silent(&mut stranger), "connecting works, being answered does not");
    proxy.heal();
    assert!(is_reset(&mut stream));
    assert!(is_reset(&mut stranger));
    echo(&mut connect(&proxy), b"again");
}

#[test]
fn a_slow_drip_is_no_faster_than_it_says() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    proxy.set(Direction::ToServer, Weather { bytes_per_second: Some(1000), ..Weather::default() });
    let took = echo(&mut stream, &[9; 500]);
    assert!(took >= Duration::from_millis(450), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_through() {
    let (_runtime, proxy) = before_an_echo();
    let mut stream = connect(&proxy);
    proxy.set(Direction::ToServer, Weather { cut_after: Some(10), ..Weather::default() });
    stream.write_all(&[1; 25]).unwrap();
    assert!(is_reset(&mut stream));
    assert_eq!(proxy.arrived(Direction::ToServer), 10);
}

#[test]
fn connections_go_round_the_targets() {
    let (_runtime, proxy) = before(|mut stream| drop(stream.write_all(b"a")));
    let (_other, second) = before(|mut stream| drop(stream.write_all(b"b")));
    let one = proxy.orders.borrow().targets[0];
    proxy.set_targets(vec![one, second.address()]);
    let said = || {
        let mut said = [0; 1];
        connect(&proxy).read_exact(&mut said).unwrap();
        said[0]
    };
    assert_eq!([said(), said(), said(), said()], *b"abab");
}
