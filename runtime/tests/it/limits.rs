//! Bounds, each with somebody who goes beyond it.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::connect::connect;
use runtime::limits::Limits;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::process::{CHILD, is_child};
use crate::support::*;

/// The time until the other side closes, which it has to do within 10 s.
async fn closed_after(mut stream: impl tokio::io::AsyncRead + Unpin) -> Duration {
    let began = Instant::now();
    let mut sink = [0; 256];
    let closed = async { while matches!(stream.read(&mut sink).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    began.elapsed()
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let limits = Limits { handshake_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = TestServer::public(identity(), &limits).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let after = closed_after(tcp).await;
    assert!(after >= Duration::from_millis(250), "{after:?}");
    assert!(after < Duration::from_secs(5), "{after:?}");
}

/// A TLS client that says no more than its handshake.
async fn mute_client(server: &TestServer) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.identity.chain()[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::IpAddress(server.address.ip().into());
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

#[tokio::test]
async fn a_connection_that_never_speaks_is_cut_and_one_that_answers_pings_is_not() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(600),
        keepalive_interval: Duration::from_millis(100),
        keepalive_timeout: Duration::from_secs(5),
        connections_max: 2,
        ..Limits::default()
    };
    let server = TestServer::public(identity(), &limits).await;
    let trust = runtime::tls::Trust::Pin(server.identity.pin());
    let address = server.address.to_string();
    let live = runtime::connect::connect_public(&address, &trust, &Limits::default()).await.unwrap();
    check(&live).await.unwrap();
    let after = closed_after(mute_client(&server).await).await;
    assert!(after >= Duration::from_millis(500), "{after:?}");
    // The live one kept its place all the time: with the second place taken, nobody could come back.
    let _taken = mute_client(&server).await;
    check(&live).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed_and_a_freed_place_is_given_again() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let peer = identity();
    let server = TestServer::internal_with(identity(), &shard(&peer), None, &limits).await;
    let first = server.connect(&peer).await;
    check(&first).await.unwrap();

    let address = server.address.to_string();
    let second = connect(&address, server.identity.pin(), &peer, &limits).await;
    assert!(second.is_err());
    check(&first).await.unwrap();

    drop(first);
    let mut backoff = runtime::backoff::Backoff::new(Duration::from_millis(20), Duration::from_millis(200), 1);
    let third = loop {
        match connect(&address, server.identity.pin(), &peer, &limits).await {
            Ok(channel) => break channel,
            Err(trouble) => {
                assert!(backoff.attempts() < 20, "{trouble:?}");
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    };
    check(&third).await.unwrap();
}

#[tokio::test]
async fn strangers_in_their_handshakes_take_no_place_from_open_connections() {
    let limits = Limits { handshakes_max: 2, handshake_timeout: Duration::from_millis(500), ..Limits::default() };
    let peer = identity();
    let server = TestServer::internal_with(identity(), &shard(&peer), None, &limits).await;
    let open = server.connect(&peer).await;
    check(&open).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..2 {
        slow.push(TcpStream::connect(server.address).await.unwrap());
    }
    // The third stranger is turned away at once, not after the time-out.
    let turned_away = TcpStream::connect(server.address).await.unwrap();
    let after = closed_after(turned_away).await;
    assert!(after < Duration::from_millis(300), "{after:?}");
    check(&open).await.unwrap();
    for stranger in slow {
        closed_after(stranger).await;
    }
    check(&server.connect(&peer).await).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_gets_a_status_and_the_connection_lives() {
    let limits = Limits { message_in_bytes_max: 1000, message_out_bytes_max: 1000, ..Limits::default() };
    let peer = identity();
    let server = TestServer::internal_with(identity(), &shard(&peer), None, &limits).await;
    let channel = server.connect(&peer).await;
    let status = check_named(&channel, "x".repeat(2000)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    // One that fits is looked at: there is no such service.
    let status = check_named(&channel, "x".repeat(900)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");

    let request = HealthCheckRequest { service: "x".repeat(2000) };
    let client = HealthClient::new(channel.clone());
    let mut client = runtime::with_client_message_limits!(client, limits);
    let status = client.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    check(&channel).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_a_status_too() {
    let limits = Limits { message_out_bytes_max: 1, ..Limits::default() };
    let peer = identity();
    let server = TestServer::internal_with(identity(), &shard(&peer), None, &limits).await;
    let channel = server.connect(&peer).await;
    let status = check(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    // And a client that takes less than it is sent.
    let server = TestServer::internal(&shard(&peer)).await;
    let limits = Limits { message_in_bytes_max: 1, ..Limits::default() };
    let client = HealthClient::new(server.connect(&peer).await);
    let mut client = runtime::with_client_message_limits!(client, limits);
    let request = HealthCheckRequest { service: String::new() };
    let status = client.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

#[tokio::test]
async fn all_calls_together_hold_no_more_than_the_budget() {
    let limits = Limits { request_bytes_in_flight_max: 1000, ..Limits::default() };
    let peer = identity();
    let server = TestServer::internal_with(identity(), &shard(&peer), None, &limits).await;
    let channel = server.connect(&peer).await;
    let status = check_named(&channel, "x".repeat(2000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().starts_with("TRY_LATER"), "{status:?}");
    // What each call held is given back: many that fit, one after the other, are all looked at.
    for _ in 0..5 {
        let status = check_named(&channel, "x".repeat(900)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
    }
}

#[tokio::test]
async fn a_shutdown_ends_the_listener_at_once_and_open_streams_after_the_grace() {
    let limits = Limits { shutdown_grace: Duration::from_millis(300), ..Limits::default() };
    let peer = identity();
    let mut server = TestServer::internal_with(identity(), &shard(&peer), None, &limits).await;
    let channel = server.connect(&peer).await;
    let request = HealthCheckRequest { service: String::new() };
    let watch = HealthClient::new(channel.clone()).watch(request).await;
    let mut watch = watch.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());

    let began = Instant::now();
    server.shutdown.request();
    let ended = tokio::time::timeout(Duration::from_secs(5), &mut server.task).await;
    ended.unwrap().unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(250));
    assert!(watch.message().await.is_err());
    TcpStream::connect(server.address).await.unwrap_err();
}

/// The open-files limit belongs to a process: this one runs itself again under a low one.
#[test]
fn running_out_of_open_files_neither_ends_the_accept_loop_nor_makes_it_spin() {
    let own = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --ignored --exact limits::out_of_files"])
        .arg(own)
        .env(CHILD, "yes")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process with few open files"]
async fn out_of_files() {
    if !is_child() {
        return;
    }
    let peer = identity();
    let server = TestServer::internal(&shard(&peer)).await;
    // Kept open: closing it would give two files back.
    let first = server.connect(&peer).await;
    check(&first).await.unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    // One is for this side of the connection; there is none for the other side.
    hoard.pop();
    let before = cpu_ticks_of(&mut hoard);
    let connecting = server.connect(&peer);
    let busy = tokio::time::sleep(Duration::from_secs(2));
    tokio::pin!(connecting);
    tokio::select! {
        _ = &mut connecting => panic!("accepted without an open file to spare"),
        () = busy => {}
    }
    hoard.clear();
    let after = cpu_ticks_of(&mut hoard);
    // 100 ticks are a second of one core: a spinning loop would use all of the two.
    assert!(after - before < 60, "{before} {after}");
    check(&connecting.await).await.unwrap();
    check(&first).await.unwrap();
}

/// User and system time of this process so far, in ticks of 10 ms.
fn cpu_ticks_of(hoard: &mut Vec<std::fs::File>) -> u64 {
    let spare = hoard.pop();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    if spare.is_some() {
        hoard.push(std::fs::File::open("/dev/null").unwrap());
    }
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
