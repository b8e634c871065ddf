//! HTTP/2 abuse, frame by frame. (threat N06)

use std::sync::Arc;
use std::time::Duration;

use runtime::limits::Limits;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `:method POST`, `:scheme http`, `:path /`, `:authority x`, in HPACK without a dynamic table.
const REQUEST: &[u8] = &[0x83, 0x86, 0x84, 0x01, 0x01, b'x'];

async fn attacker(server: &TestServer) -> TlsStream<TcpStream> {
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
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// Sends all of it and reads until the end: whether a GOAWAY with an error came, and its error code.
async fn goaway_after(stream: TlsStream<TcpStream>, bytes: Vec<u8>) -> Option<u32> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let send = tokio::spawn(async move {
        // The server may close before it has read everything.
        drop(writer.write_all(&bytes).await);
        drop(writer.flush().await);
        writer
    });
    let read = async {
        loop {
            let mut header = [0; 9];
            if reader.read_exact(&mut header).await.is_err() {
                return None;
            }
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; length as usize];
            if reader.read_exact(&mut payload).await.is_err() {
                return None;
            }
            if header[3] == GOAWAY {
                let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                if code != 0 {
                    return Some(code);
                }
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(20), read).await;
    send.abort();
    code.unwrap()
}

const ENHANCE_YOUR_CALM: u32 = 11;

async fn still_serves(server: &TestServer) {
    let trust = runtime::tls::Trust::Pin(server.identity.pin());
    let address = server.address.to_string();
    let channel = runtime::connect::connect_public(&address, &trust, &Limits::default()).await.unwrap();
    check(&channel).await.unwrap();
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let server = TestServer::public(identity(), &Limits::default()).await;
    let stream = attacker(&server).await;
    let mut flood = Vec::new();
    for number in 0..20_000_u32 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_HEADERS, stream, REQUEST));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    assert_eq!(goaway_after(stream, flood).await, Some(ENHANCE_YOUR_CALM));
    still_serves(&server).await;
}

#[tokio::test]
async fn endless_continuation_ends_the_connection() {
    let server = TestServer::public(identity(), &Limits::default()).await;
    let stream = attacker(&server).await;
    let mut flood = frame(HEADERS, END_STREAM, 1, REQUEST);
    // A header of 1,000 bytes in each, without an end: `x: aaa...`, literal, not indexed.
    let mut header = vec![0x00, 0x01, b'x', 0x7f, 0xe9, 0x06];
    header.extend([b'a'; 1000]);
    for _ in 0..2000 {
        flood.extend(frame(CONTINUATION, 0, 1, &header));
    }
    let code = goaway_after(stream, flood).await;
    assert!(code.is_some(), "the connection was kept or cut without a reason");
    still_serves(&server).await;
}

#[tokio::test]
async fn streams_that_only_cause_errors_end_the_connection() {
    let server = TestServer::public(identity(), &Limits::default()).await;
    let stream = attacker(&server).await;
    let mut flood = Vec::new();
    for number in 0..20_000_u32 {
        let stream = 2 * number + 1;
        // HTTP/2 forbids the header `connection`: a stream error, for which the server has to send a reset.
        let malformed = [REQUEST, b"\x00\x0aconnection\x01x"].concat();
        flood.extend(frame(HEADERS, END_HEADERS, stream, &malformed));
    }
    assert_eq!(goaway_after(stream, flood).await, Some(ENHANCE_YOUR_CALM));
    still_serves(&server).await;
}
