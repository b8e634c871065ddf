//! Who gets in and who does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use runtime::clock::now_s;
use runtime::connect::{ConnectTrouble, connect, connect_public};
use runtime::key::{FileKey, RemoteSigner, SignerTrouble};
use runtime::limits::Limits;
use runtime::pki::Validity;
use runtime::selftest::{SelfTestFailure, requires_client_certificate};
use runtime::tls::{Identity, IdentityRefusal, Peer, Trust};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn a_pinned_peer_is_served() {
    let peer = identity();
    let server = TestServer::internal(&shard(&peer)).await;
    check(&server.connect(&peer).await).await.unwrap();
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let server = TestServer::internal(&shard(&identity())).await;
    let trust = Trust::Pin(server.identity.pin());
    let address = server.address.to_string();
    let limits = Limits::default();
    let channel = connect_public(&address, &trust, &limits).await.unwrap();
    assert_never_served(&channel).await;
}

#[tokio::test]
async fn an_unpinned_certificate_is_refused_although_the_authority_signed_it() {
    let authority = authority();
    let roots = authority.roots().unwrap();
    let (peer, stranger) = (issued(&authority), issued(&authority));
    let limits = Limits::default();
    let server = TestServer::internal_with(identity(), &shard(&peer), Some(&roots), &limits).await;
    assert_never_served(&server.connect(&stranger).await).await;
    check(&server.connect(&peer).await).await.unwrap();
}

#[tokio::test]
async fn a_pinned_key_is_refused_with_a_certificate_that_the_authority_did_not_sign() {
    let roots = authority().roots().unwrap();
    let peer = identity();
    let limits = Limits::default();
    let server = TestServer::internal_with(identity(), &shard(&peer), Some(&roots), &limits).await;
    assert_never_served(&server.connect(&peer).await).await;
}

#[tokio::test]
async fn a_server_with_another_key_is_refused_by_both_pins() {
    let peer = identity();
    let server = TestServer::internal(&shard(&peer)).await;
    let expected = identity().pin();
    let address = server.address.to_string();
    let trouble = connect(&address, expected, &peer, &Limits::default()).await.unwrap_err();
    let ConnectTrouble::Identity { refusal, .. } = trouble else {
        panic!("{trouble:?}");
    };
    let got = server.identity.pin();
    assert_eq!(refusal, IdentityRefusal::WrongPin { expected, got });
}

#[tokio::test]
async fn a_client_certificate_outside_of_its_dates_is_refused() {
    let now = now_s();
    for (not_before_s, not_after_s) in [(now - 100, now - 10), (now + 100, now + 200)] {
        let peer = identity_valid(Validity { not_before_s, not_after_s });
        let server = TestServer::internal(&shard(&peer)).await;
        assert_never_served(&server.connect(&peer).await).await;
    }
}

#[tokio::test]
async fn a_server_certificate_outside_of_its_dates_is_refused() {
    let now = now_s();
    let peer = identity();
    let server_valid = async |not_before_s, not_after_s| {
        let identity = identity_valid(Validity { not_before_s, not_after_s });
        let limits = Limits::default();
        let server = TestServer::internal_with(identity, &shard(&peer), None, &limits).await;
        let address = server.address.to_string();
        connect(&address, server.identity.pin(), &peer, &limits).await.unwrap_err()
    };
    let expired = server_valid(now - 100, now - 10).await;
    assert!(
        matches!(expired, ConnectTrouble::Identity { refusal: IdentityRefusal::Expired { .. }, .. }),
        "{expired:?}"
    );
    let early = server_valid(now + 100, now + 200).await;
    assert!(
        matches!(early, ConnectTrouble::Identity { refusal: IdentityRefusal::NotYetValid { .. }, .. }),
        "{early:?}"
    );
}

/// A client of plain rustls, with what is asked for wrong about it.
async fn raw_client(
    server: &TestServer,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> Result<(), rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.identity.chain()[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::IpAddress(server.address.ip().into());
    let talk = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        stream.read_u8().await
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), talk).await;
    match answer.unwrap() {
        Ok(_) => Ok(()),
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => Err(rustls::Error::clone(error)),
            None => Err(rustls::Error::General(error.to_string())),
        },
    }
}

#[tokio::test]
async fn tls_1_2_is_refused_by_both_listeners() {
    let limits = Limits::default();
    let internal = TestServer::internal(&shard(&identity())).await;
    let public = TestServer::public(identity(), &limits).await;
    for server in [&internal, &public] {
        let error = raw_client(server, &rustls::version::TLS12, &[b"h2"]).await;
        assert_eq!(error, Err(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)));
    }
    // The same client is served with 1.3, so that it was the version.
    let served = raw_client(&public, &rustls::version::TLS13, &[b"h2"]).await;
    assert_eq!(served, Ok(()));
}

#[tokio::test]
async fn a_client_that_does_not_ask_for_http2_is_not_served() {
    let public = TestServer::public(identity(), &Limits::default()).await;
    for alpn in [&[][..], &[b"http/1.1".as_slice()]] {
        let refused = raw_client(&public, &rustls::version::TLS13, alpn).await;
        assert!(refused.is_err(), "{alpn:?}");
    }
}

#[tokio::test]
async fn a_new_pin_counts_for_new_connections_and_a_removed_one_at_once() {
    let (old, new) = (identity(), identity());
    let peers = shard(&old);
    let server = TestServer::internal(&peers).await;
    let open = server.connect(&old).await;
    check(&open).await.unwrap();
    assert_never_served(&server.connect(&new).await).await;

    peers.replace([(new.pin(), Peer::new("shard-a", "shard"))]).unwrap();
    check(&server.connect(&new).await).await.unwrap();
    assert_never_served(&server.connect(&old).await).await;
    let status = check(&open).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

/// A token that works until it is pulled out, or starts to sign with another key.
struct Token {
    key: FileKey,
    pulled: AtomicBool,
    swapped: Option<FileKey>,
}

impl RemoteSigner for Token {
    fn public_key(&self) -> [u8; 32] {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerTrouble> {
        match (self.pulled.load(Ordering::SeqCst), &self.swapped) {
            (false, _) => self.key.sign(message),
            (true, Some(other)) => other.sign(message),
            (true, None) => Err(SignerTrouble::Unavailable { source: "CKR_DEVICE_REMOVED".into() }),
        }
    }
}

fn token(swapped: Option<FileKey>) -> (Arc<Token>, Identity) {
    let token = Arc::new(Token {
        key: FileKey::generate(&mut runtime::entropy::OsEntropy),
        pulled: AtomicBool::new(false),
        swapped,
    });
    (token.clone(), identity_of(token, year()))
}

#[tokio::test]
async fn a_client_whose_token_fails_gets_an_error_that_says_so() {
    let (token, peer) = token(None);
    let server = TestServer::internal(&shard(&peer)).await;
    check(&server.connect(&peer).await).await.unwrap();
    token.pulled.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let address = server.address.to_string();
    let trouble = connect(&address, server.identity.pin(), &peer, &Limits::default()).await.unwrap_err();
    assert!(matches!(trouble, ConnectTrouble::Signer { .. }), "{trouble:?}");
    assert!(trouble.to_string().contains("token"), "{trouble}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_server_whose_token_fails_refuses_and_serves_again_when_it_is_back() {
    let (token, identity) = token(None);
    let peer = self::identity();
    let limits = Limits::default();
    let server = TestServer::internal_with(identity, &shard(&peer), None, &limits).await;
    token.pulled.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let address = server.address.to_string();
    let trouble = connect(&address, server.identity.pin(), &peer, &limits).await.unwrap_err();
    assert!(matches!(trouble, ConnectTrouble::Handshake { .. }), "{trouble:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    token.pulled.store(false, Ordering::SeqCst);
    check(&server.connect(&peer).await).await.unwrap();
}

#[tokio::test]
async fn a_peers_certificate_is_worth_nothing_without_its_key() {
    let (thief, peer) = token(Some(FileKey::generate(&mut runtime::entropy::OsEntropy)));
    let server = TestServer::internal(&shard(&peer)).await;
    check(&server.connect(&peer).await).await.unwrap();
    thief.pulled.store(true, Ordering::SeqCst);
    assert_never_served(&server.connect(&peer).await).await;
}

#[tokio::test]
async fn an_identity_needs_the_key_of_its_certificate() {
    let key = key();
    let certificate = issue(&authority(), &key);
    assert!(Identity::new(vec![certificate], self::key()).is_err());
    assert!(Identity::new(vec![], key).is_err());
}

#[tokio::test]
async fn the_self_test_tells_the_internal_from_the_public_listener() {
    let limits = Limits::default();
    let internal = TestServer::internal(&shard(&identity())).await;
    requires_client_certificate(internal.address).await.unwrap();
    let public = TestServer::public(identity(), &limits).await;
    let failure = requires_client_certificate(public.address).await.unwrap_err();
    assert!(matches!(failure, SelfTestFailure::LetIn { .. }), "{failure:?}");
}

#[tokio::test]
async fn the_self_test_does_not_pass_where_nobody_listens() {
    let closed = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let failure = requires_client_certificate(address).await.unwrap_err();
    assert!(matches!(failure, SelfTestFailure::Io { .. }), "{failure:?}");
}

#[tokio::test]
async fn the_public_knows_the_server_by_its_pin_or_by_root_and_name() {
    let authority = authority();
    let roots = Trust::Roots(authority.roots().unwrap());
    let limits = Limits::default();
    let server = TestServer::public(issued(&authority), &limits).await;
    let port = server.address.port();
    let address = format!("127.0.0.1:{port}");
    for trust in [&roots, &Trust::Pin(server.identity.pin())] {
        let channel = connect_public(&address, trust, &limits).await.unwrap();
        check(&channel).await.unwrap();
    }
    // Same server, same root, a name that is not in its certificate.
    let other_name = connect_public(&format!("localhost:{port}"), &roots, &limits).await;
    let other_root = Trust::Roots(self::authority().roots().unwrap());
    let other_root = connect_public(&address, &other_root, &limits).await;
    for trouble in [other_name, other_root] {
        let trouble = trouble.unwrap_err();
        assert!(matches!(trouble, ConnectTrouble::NotTrusted { .. }), "{trouble:?}");
    }
}

#[tokio::test]
async fn a_web_authoritys_p256_certificate_serves_the_public() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let identity = Identity::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap();
    let limits = Limits::default();
    let server = TestServer::public(identity, &limits).await;
    let trust = Trust::Pin(server.identity.pin());
    let address = server.address.to_string();
    let channel = connect_public(&address, &trust, &limits).await.unwrap();
    check(&channel).await.unwrap();
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    assert!(Identity::from_pem(&certificate.pem(), &other.serialize_pem()).is_err());
}

#[tokio::test]
async fn troubles_of_connecting_are_told_apart() {
    let (peer, limits) = (identity(), Limits::default());
    for address in ["", "nowhere", "127.0.0.1", "127.0.0.1:http", ":1"] {
        let trouble = connect(address, peer.pin(), &peer, &limits).await.unwrap_err();
        assert!(matches!(trouble, ConnectTrouble::Address { .. }), "{address}: {trouble:?}");
    }
    let silent = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let hurried = Limits { connect_timeout: Duration::from_millis(200), ..Limits::default() };
    let began = Instant::now();
    let trouble = connect(&address, peer.pin(), &peer, &hurried).await.unwrap_err();
    assert!(matches!(trouble, ConnectTrouble::TooSlow { limit_ms: 200, .. }), "{trouble:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(silent);
    let trouble = connect(&address, peer.pin(), &peer, &limits).await.unwrap_err();
    assert!(matches!(trouble, ConnectTrouble::Unreachable { .. }), "{trouble:?}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_http2_is_told_from_one_that_does() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let pin = Trust::Pin(runtime::pin::SpkiPin::of_certificate(certificate.der()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await
    });
    let trouble = connect_public(&address, &pin, &Limits::default()).await.unwrap_err();
    assert!(matches!(trouble, ConnectTrouble::NotHttp2 { .. }), "{trouble:?}");
    drop(serving.await);
}
