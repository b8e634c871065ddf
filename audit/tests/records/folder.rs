//! A record as a folder: written, changed in single places, summed up again.

use crate::support::World;
use ed25519_dalek::Signer as _;
use protocol::{
    encoding::{Canonical, Hash},
    ids::{IdentityKey, LaneIndex, ShardIndex, TimeMs},
    log::{Checkpoint, Cosignature, Rejection, SignedCheckpoint, leaf_hash, origin},
    signing::messages::Purpose,
    tally::{ContestResult, ElectionResult},
};
use std::{collections::BTreeMap, fs, path::Path};

/// Files by name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A magic line and entries with their lengths.
pub(crate) fn listed(magic: &str, entries: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = magic.as_bytes().to_vec();
    for entry in entries {
        out.extend(u32::try_from(entry.len()).unwrap().to_be_bytes());
        out.extend(entry);
    }
    out
}

/// In the order of a record.
pub(crate) fn sorted(entries: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort();
    entries
}

/// The entries of such a file.
pub(crate) fn entries(magic: &str, file: &[u8]) -> Vec<Vec<u8>> {
    let mut left = file.strip_prefix(magic.as_bytes()).unwrap();
    let mut out = Vec::new();
    while !left.is_empty() {
        let (length, rest) = left.split_first_chunk::<4>().unwrap();
        let (entry, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        out.push(entry.to_vec());
        left = rest;
    }
    out
}

pub(crate) fn checkpoint(world: &World, lane: u16, size: u64, root: Hash, cosigners: usize) -> String {
    let origin = origin(&world.manifest.id(), LaneIndex(lane));
    let checkpoint = Checkpoint { origin, size: protocol::ids::LogSize(size), root };
    let shard = &world.shards[0];
    let signature = shard.sign(&checkpoint.note_message()).to_bytes();
    let identity = IdentityKey(shard.verifying_key().to_bytes());
    let mut signed = SignedCheckpoint::by_log(checkpoint.clone(), &identity, &signature).unwrap();
    for trustee in world.trustees.iter().take(cosigners) {
        let time_s = 1_763_700_000;
        let signature = trustee.sign(&checkpoint.cosignature_message(time_s)).to_bytes();
        let identity = IdentityKey(trustee.verifying_key().to_bytes());
        signed = signed.with_cosignature(&identity, &Cosignature { time_s, signature }).unwrap();
    }
    signed.to_string()
}

pub(crate) fn rejection(world: &World, code: u16) -> Vec<u8> {
    let mut rejection = Rejection {
        election: world.manifest.id(),
        ballot: leaf_hash(b"no ballot"),
        code,
        shard: ShardIndex(2),
        time: TimeMs(5),
        signature: [0; 64],
    };
    rejection.signature = world.shards[1].sign(&rejection.message()).to_bytes();
    rejection.to_bytes()
}

impl Files {
    pub(crate) fn of(world: &World) -> Self {
        let mut files = BTreeMap::new();
        files.insert("manifest.bin".into(), world.manifest.to_bytes());
        files.insert("roll.bin".into(), world.roll.to_bytes());
        let board = world.board.envelopes().map(Canonical::to_bytes);
        files.insert("board.bin".into(), listed("conclave-board-1\n", board));
        for (lane, log) in world.logs.iter().enumerate() {
            files.insert(format!("lanes/{lane}.log"), listed("conclave-lane-1\n", log.clone()));
            let own = &world.lanes[lane];
            let w = world.manifest.quorums.w.into();
            let text = checkpoint(world, lane as u16, own.size().0, own.root(), w);
            files.insert(format!("lanes/{lane}.checkpoint"), text.into_bytes());
        }
        let rejections = sorted([rejection(world, 103), rejection(world, 9)]);
        files.insert("rejections.bin".into(), listed("conclave-rejections-1\n", rejections));
        let evidence = sorted(world.board.evidence().iter().map(Canonical::to_bytes));
        files.insert("evidence.bin".into(), listed("conclave-evidence-1\n", evidence));
        files.insert("versions.json".into(), b"{\n  \"conclave\": \"0.1.0\"\n}\n".to_vec());
        let mut files = Self(files);
        files.0.insert("summary.json".into(), files.summary(world));
        files
    }

    fn summary(&self, world: &World) -> Vec<u8> {
        let board = &world.board;
        let result = board.result().unwrap();
        let anchors: Vec<_> = Purpose::ALL
            .into_iter()
            .filter_map(|purpose| board.anchored(purpose))
            .map(|anchored| {
                let signature = solana_anchor::signature_text(&anchored.signature);
                serde_json::json!({ "kind": anchored.purpose.name(), "signature": signature, "slot": anchored.slot })
            })
            .collect();
        let lanes: Vec<_> = world
            .lanes
            .iter()
            .map(|lane| serde_json::json!({ "root": hex(&lane.root()), "size": lane.size().0 }))
            .collect();
        let contests: Vec<_> = world
            .manifest
            .contests
            .iter()
            .zip(&result.contests)
            .map(|(contest, outcome)| contest_value(contest, outcome))
            .collect();
        let ElectionResult { voters, weight_total, logged, counted, .. } = result;
        let value = serde_json::json!({
            "anchors": anchors, "contests": contests, "counted": counted, "election_id": board.election().to_string(),
            "evidence": board.evidence().len(), "files": {}, "key_certificate":
            hex(&board.key_certificate().unwrap().digest()), "lanes": lanes, "logged": logged,
            "rejected": entries("conclave-rejections-1\n", &self.0["rejections.bin"]).len(),
            "result": hex(&result.digest()), "title": world.manifest.title, "vote_set": hex(&board.vote_set().unwrap()),
            "voters": voters, "weight_total": weight_total,
        });
        self.with_digests(value)
    }

    fn with_digests(&self, mut summary: serde_json::Value) -> Vec<u8> {
        use sha2::Digest as _;
        let digests: serde_json::Map<_, _> = self
            .0
            .iter()
            .filter(|(name, _)| *name != "summary.json")
            .map(|(name, bytes)| (name.clone(), hex(&sha2::Sha256::digest(bytes)).into()))
            .collect();
        summary["files"] = digests.into();
        let mut out = serde_json::to_vec_pretty(&summary).unwrap();
        out.push(b'\n');
        out
    }

    /// A liar who changes a file also changes its digest in the summary.
    pub(crate) fn sum_up(&mut self) {
        if let Ok(summary) = serde_json::from_slice(&self.0["summary.json"]) {
            let again = self.with_digests(summary);
            self.0.insert("summary.json".into(), again);
        }
    }

    pub(crate) fn write(&self, folder: &Path) {
        fs::create_dir_all(folder.join("lanes")).unwrap();
        for (name, bytes) in &self.0 {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    pub(crate) fn verify(&self) -> audit::Report {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        audit::verify(folder.path(), &audit::Options::default())
    }
}

fn contest_value(contest: &protocol::manifest::Contest, outcome: &ContestResult) -> serde_json::Value {
    let texts = |options: &[protocol::ids::OptionIndex]| -> Vec<String> {
        options.iter().map(|option| contest.options[usize::from(option.0)].clone()).collect()
    };
    let totals: serde_json::Map<_, _> =
        contest.options.iter().cloned().zip(outcome.totals.iter().map(|total| (*total).into())).collect();
    let tie = outcome.tie.as_ref().map(|tie| {
        serde_json::json!({ "seats": tie.seats, "options": texts(&tie.options), "lots": tie.lots.as_deref().map(texts) })
    });
    serde_json::json!({
        "id": contest.id, "title": contest.title, "totals": totals, "weight": outcome.weight.0, "blank": outcome.blank,
        "winners": texts(&outcome.winners), "tie": tie,
    })
}
