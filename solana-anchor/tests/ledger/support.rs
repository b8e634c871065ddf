//! A FROST group of 3-of-4, a local ledger as a process, and an RPC server that lies.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::Engine as _;
use frost_ed25519 as frost;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use solana_anchor::{DEVNET_GENESIS, signature_text};

/// Three of four keepers of one Ed25519 key.
pub(crate) struct Group {
    keepers: BTreeMap<frost::Identifier, frost::keys::KeyPackage>,
    public: frost::keys::PublicKeyPackage,
}

impl Group {
    pub(crate) fn generate(seed: u64) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        let (shares, public) =
            frost::keys::generate_with_dealer(4, 3, frost::keys::IdentifierList::Default, rng).unwrap();
        let keepers = shares.into_iter().map(|(id, share)| (id, share.try_into().unwrap())).collect();
        Self { keepers, public }
    }

    pub(crate) fn address(&self) -> [u8; 32] {
        self.public.verifying_key().serialize().unwrap().try_into().unwrap()
    }

    /// Three keepers sign.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        // Nonces by message: two messages must never share them, tests must be repeatable.
        let mut rng = ChaCha20Rng::from_seed(<sha2::Sha256 as sha2::Digest>::digest(message).into());
        let chosen: Vec<_> = self.keepers.iter().skip(1).collect();
        let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
        for (id, keeper) in &chosen {
            let (nonce, commitment) = frost::round1::commit(keeper.signing_share(), &mut rng);
            nonces.insert(**id, nonce);
            commitments.insert(**id, commitment);
        }
        let package = frost::SigningPackage::new(commitments, message);
        let shares = chosen
            .iter()
            .map(|(id, keeper)| (**id, frost::round2::sign(&package, &nonces[id], keeper).unwrap()))
            .collect();
        let signature = frost::aggregate(&package, &shares, &self.public).unwrap();
        signature.serialize().unwrap().try_into().unwrap()
    }
}

/// The local ledger, 50 ms slots, killed when dropped.
pub(crate) struct LedgerProcess {
    child: Child,
    data: tempfile::TempDir,
    pub(crate) url: String,
}

impl LedgerProcess {
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (child, url) = launch(data.path());
        Self { child, data, url }
    }

    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
        (self.child, self.url) = launch(self.data.path());
    }

    pub(crate) fn resident_kib(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: ?");
        line.split_whitespace().nth(1).unwrap_or("?").to_owned()
    }

    pub(crate) fn post(&self, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn send_raw(&self, wire: &[u8], options: &str) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(wire);
        self.post(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["{text}",{options}]}}"#))
    }
}

impl Drop for LedgerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the binary is of another workspace: only the caller knows where it is")]
fn binary() -> String {
    std::env::var("CONCLAVE_LEDGER_BIN")
        .expect("CONCLAVE_LEDGER_BIN must name the ledger's binary: scripts/devnet/ledger.sh --build prints it")
}

fn launch(data: &std::path::Path) -> (Child, String) {
    let mut child = Command::new(binary())
        .args(["--rpc-port", "0", "--ws-port", "0", "--slot-ms", "50", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the ledger starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("ready rpc=").expect("the ledger says that it is ready").to_owned();
    (child, url)
}

/// An RPC server that knows one transaction, and says whatever it was told to.
pub(crate) struct LyingRpc {
    pub(crate) url: String,
}

impl LyingRpc {
    /// Every transaction asked for is `wire`, final in `slot`.
    pub(crate) fn start(wire: Vec<u8>, slot: u64) -> Self {
        Self::start_at(wire, slot, r#"{"slot":7,"err":null,"confirmationStatus":"finalized"}"#)
    }

    /// As `start`, with another status of the signature.
    pub(crate) fn start_at(wire: Vec<u8>, slot: u64, status: &'static str) -> Self {
        let listed = signature_text(&wire[1..65].try_into().unwrap());
        let blob = base64::engine::general_purpose::STANDARD.encode(wire);
        Self::serve(move |request| {
            let result = if request.contains("getGenesisHash") {
                format!("\"{DEVNET_GENESIS}\"")
            } else if request.contains("getSignatureStatuses") {
                format!(r#"{{"context":{{"slot":9}},"value":[{status}]}}"#)
            } else if request.contains("getSignaturesForAddress") {
                format!(r#"[{{"signature":"{listed}","slot":{slot},"err":null,"memo":null,"blockTime":null}}]"#)
            } else if request.contains("getBalance") {
                r#"{"context":{"slot":9},"value":1000000000}"#.to_owned()
            } else if request.contains("getMinimumBalance") {
                "890880".to_owned()
            } else if request.contains("getTransaction") {
                format!(r#"{{"slot":{slot},"transaction":["{blob}","base64"],"meta":{{"err":null}},"blockTime":null}}"#)
            } else {
                "null".to_owned()
            };
            (200, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#))
        })
    }

    /// Every answer is the same.
    pub(crate) fn start_raw(status: u16, body: String) -> Self {
        Self::serve(move |_| (status, body.clone()))
    }

    fn serve(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer_one(stream, &answer);
            }
        });
        Self { url }
    }
}

fn answer_one(mut stream: TcpStream, answer: &impl Fn(&str) -> (u16, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, text) = answer(&String::from_utf8_lossy(&body));
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}
