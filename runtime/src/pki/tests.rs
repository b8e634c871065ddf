use super::*;
use crate::key::FileKey;
use crate::pin::SpkiPin;

const NOW_S: u64 = 1_795_000_000;

fn key() -> Arc<FileKey> {
    Arc::new(FileKey::generate(&mut OsEntropy))
}

fn authority() -> Authority {
    Authority::create(key(), "test authority", Validity::days(NOW_S, 10)).unwrap()
}

fn entity(public_key: [u8; 32]) -> EndEntity {
    EndEntity {
        public_key,
        name: "shard-a".to_owned(),
        sans: vec!["shard-a.example".to_owned(), "127.0.0.1".to_owned()],
        validity: Validity::days(NOW_S, 5),
    }
}

fn sans(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn the_pin_of_a_certificate_is_that_of_its_key_whoever_signed_it() {
    let key = key();
    let issued = authority().issue(&entity(key.public_key())).unwrap();
    let validity = Validity::days(NOW_S, 1);
    let own = self_signed(key.clone(), "x", &[], validity).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&own).unwrap();
    use sha2::Digest as _;
    let by_hand: [u8; 32] = sha2::Sha256::digest(parsed.public_key().raw).into();
    assert_eq!(SpkiPin::of_certificate(&issued), Ok(key.pin()));
    assert_eq!(SpkiPin::of_certificate(&own), Ok(key.pin()));
    assert_eq!(key.pin(), SpkiPin::from_bytes(by_hand));
}

#[test]
fn a_cut_certificate_has_no_pin() {
    let issued = authority().issue(&entity(key().public_key())).unwrap();
    for end in 0..issued.len() {
        assert!(SpkiPin::of_certificate(&issued[..end]).is_err(), "{end}");
    }
    let longer = [issued.as_ref(), &[0]].concat();
    assert!(SpkiPin::of_certificate(&longer).is_err());
}

#[test]
fn an_issued_certificate_is_accepted_for_its_names_and_dates_only() {
    let authority = authority();
    let roots = authority.roots().unwrap();
    let chain = [authority.issue(&entity(key().public_key())).unwrap()];
    check_chain(&chain, &roots, None, NOW_S).unwrap();
    check_chain(&chain, &roots, Some("shard-a.example"), NOW_S).unwrap();
    check_chain(&chain, &roots, Some("127.0.0.1"), NOW_S).unwrap();
    let refused = |name, now_s| check_chain(&chain, &roots, name, now_s).unwrap_err();
    for name in ["shard-b.example", "127.0.0.2", "not a name"] {
        let refusal = refused(Some(name), NOW_S);
        assert!(matches!(refusal, ChainRefusal::OtherName { .. }), "{refusal}");
    }
    for now_s in [NOW_S - 3601, NOW_S + 5 * 86_400 + 1] {
        let refusal = refused(None, now_s);
        assert!(matches!(refusal, ChainRefusal::NotTrusted { .. }), "{refusal}");
    }
}

#[test]
fn the_certificate_of_another_authority_is_refused() {
    let chain = [authority().issue(&entity(key().public_key())).unwrap()];
    let roots = authority().roots().unwrap();
    let refusal = check_chain(&chain, &roots, None, NOW_S).unwrap_err();
    assert!(matches!(refusal, ChainRefusal::NotTrusted { .. }), "{refusal}");
    let refusal = check_chain(&[], &roots, None, NOW_S).unwrap_err();
    assert!(matches!(refusal, ChainRefusal::Empty));
}

#[test]
fn a_peer_cannot_sign_certificates_for_others() {
    let authority = authority();
    let peer = key();
    let certificate = authority.issue(&entity(peer.public_key())).unwrap();
    let refusal = Authority::load(&certificate_to_pem(&certificate), peer.clone());
    assert!(matches!(refusal, Err(PkiTrouble::NotAnAuthority)));
    // The same with force: the peer's key and name as an issuer.
    let issuer = Issuer::from_ca_cert_der(&certificate, Key::new(peer).unwrap()).unwrap();
    let forging = Authority { certificate: certificate.clone(), issuer };
    let forged = forging.issue(&entity(key().public_key())).unwrap();
    let roots = authority.roots().unwrap();
    let refusal = check_chain(&[forged, certificate], &roots, None, NOW_S).unwrap_err();
    assert!(matches!(refusal, ChainRefusal::NotTrusted { .. }), "{refusal}");
}

#[test]
fn an_authority_says_that_there_is_none_below_it_and_an_end_entity_that_it_is_none() {
    // rustls does not read a root's path length; others do.
    let authority = authority();
    let (_, root) = x509_parser::parse_x509_certificate(authority.certificate()).unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap().value;
    assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
    let issued = authority.issue(&entity(key().public_key())).unwrap();
    let (_, end_entity) = x509_parser::parse_x509_certificate(&issued).unwrap();
    assert!(!end_entity.basic_constraints().unwrap().unwrap().value.ca);
    assert!(!end_entity.key_usage().unwrap().unwrap().value.key_cert_sign());
}

#[test]
fn an_authority_reads_back_and_goes_on_issuing() {
    let key_of_authority = key();
    let validity = Validity::days(NOW_S, 10);
    let made = Authority::create(key_of_authority.clone(), "ca", validity).unwrap();
    let read = Authority::load(&made.certificate_pem(), key_of_authority).unwrap();
    let chain = [read.issue(&entity(key().public_key())).unwrap()];
    check_chain(&chain, &made.roots().unwrap(), None, NOW_S).unwrap();
    let refusal = Authority::load(&made.certificate_pem(), key());
    assert!(matches!(refusal, Err(PkiTrouble::KeyMismatch { .. })));
}

#[test]
fn no_two_certificates_of_an_authority_have_one_serial_number() {
    let authority = authority();
    let what = entity(key().public_key());
    let serials = [(); 2].map(|()| {
        let issued = authority.issue(&what).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued).unwrap();
        parsed.tbs_certificate.raw_serial().to_vec()
    });
    assert_ne!(serials[0], serials[1]);
    assert!(serials.iter().all(|serial| serial.len() == 16));
}

#[test]
fn only_the_key_is_taken_from_a_request() {
    let key = key();
    let pem = request(key.clone(), "I am the authority", &sans("evil.example")).unwrap();
    assert_eq!(public_key_of_request(&pem).unwrap(), key.public_key());
    let what = entity(public_key_of_request(&pem).unwrap());
    let issued = authority().issue(&what).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=shard-a");
    assert!(!parsed.is_ca());
}

#[test]
fn a_request_without_proof_of_the_key_is_refused() {
    let pem = request(key(), "x", &[]).unwrap();
    let der = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    // The name is inside what is signed; the last byte is inside the signature.
    for place in [der.len() - 1, der.len() - 70] {
        let mut forged = der.clone();
        forged[place] ^= 1;
        let body = certificate_to_pem(&forged.into()).replace("CERTIFICATE", "CERTIFICATE REQUEST");
        let refusal = public_key_of_request(&body).unwrap_err();
        assert!(matches!(refusal, PkiTrouble::Request), "{refusal}");
    }
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::default();
    let p256 = params.serialize_request(&other).unwrap().pem().unwrap();
    assert!(matches!(public_key_of_request(&p256), Err(PkiTrouble::Request)));
}

#[test]
fn certificates_read_back_from_pem_in_their_order() {
    let authority = authority();
    let issued = authority.issue(&entity(key().public_key())).unwrap();
    let pem = certificate_to_pem(&issued) + &authority.certificate_pem();
    let chain = chain_from_pem(&pem).unwrap();
    assert_eq!(chain, [issued, authority.certificate().clone()]);
}

#[test]
fn damaged_pem_is_refused_by_kind() {
    let good = authority().certificate_pem();
    assert!(matches!(chain_from_pem(""), Err(PkiTrouble::NoCertificate)));
    let cut = good.replace("-----END CERTIFICATE-----", "");
    assert!(matches!(chain_from_pem(&cut), Err(PkiTrouble::Pem { .. })));
    let text = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    assert!(matches!(chain_from_pem(text), Err(PkiTrouble::Certificate(_))));
    assert!(matches!(Roots::from_pem(text), Err(PkiTrouble::Certificate(_))));
}

#[test]
fn what_a_certificate_cannot_say_is_refused() {
    let validity = Validity { not_before_s: 2, not_after_s: 1 };
    let refusal = self_signed(key(), "x", &[], validity).unwrap_err();
    assert!(matches!(refusal, PkiTrouble::Validity { .. }));
    let validity = Validity { not_before_s: 0, not_after_s: u64::MAX };
    let refusal = self_signed(key(), "x", &[], validity).unwrap_err();
    assert!(matches!(refusal, PkiTrouble::Validity { .. }));
    for san in ["", "two words", "käse.example", "a..b"] {
        let refusal = self_signed(key(), "x", &sans(san), Validity::days(NOW_S, 1)).unwrap_err();
        assert!(matches!(refusal, PkiTrouble::Name { .. }), "{san}");
    }
}

struct Unplugged;

impl RemoteSigner for Unplugged {
    fn public_key(&self) -> [u8; 32] {
        [1; 32]
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignerTrouble> {
        let source = "token removed".into();
        Err(SignerTrouble::Unavailable { source })
    }
}

#[test]
fn a_signer_that_fails_is_named_as_the_cause() {
    let validity = Validity::days(NOW_S, 1);
    let refusal = self_signed(Arc::new(Unplugged), "x", &[], validity).unwrap_err();
    assert!(matches!(refusal, PkiTrouble::Signer(SignerTrouble::Unavailable { .. })));
}
