//! What the group signed for the chain: messages rebuilt, read, and their signatures checked. (P-SIG-1, P-ANC)

use crate::{
    ceremony::Keys,
    group::signed,
    messages::{Body, PURPOSES, Role, Sender, Slot},
    record::Record,
    report::{Finding, finding, must},
    signing::is_bad_share,
    stages::statement,
    wire::{Hash, hex},
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

const SYSTEM: [u8; 32] = [0; 32];
const LAMPORTS_MAX: u64 = 10_000_000;

/// An address as Solana's own have it.
fn known(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    let _ = bs58::decode(text).onto(&mut out);
    out
}

pub(crate) fn memo_program() -> [u8; 32] {
    known("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
}

/// The older program of the same kind; a memo under it would be a statement of the group as well.
pub(crate) fn memo_program_1() -> [u8; 32] {
    known("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
}

/// One instruction: program, accounts, data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) program: [u8; 32],
    pub(crate) accounts: Vec<[u8; 32]>,
    pub(crate) data: Vec<u8>,
}

/// A transaction's message. Addresses that a version 0 message looks up elsewhere are not known here, and stand as zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Signers, writable ones first; the first pays.
    pub(crate) signers: Vec<[u8; 32]>,
    pub(crate) read_only: (u8, u8),
    pub(crate) keys: Vec<[u8; 32]>,
    pub(crate) blockhash: Hash,
    pub(crate) instructions: Vec<Instruction>,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn key(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }
    /// Solana's compact-u16, in its one shortest form.
    fn count(&mut self) -> Option<usize> {
        let mut value = 0_usize;
        for (place, shift) in [(0, 0), (1, 7), (2, 14)] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = place == 0 || byte != 0;
                return (shortest && value <= usize::from(u16::MAX)).then_some(value);
            }
        }
        None
    }
}

impl Message {
    /// Reads a message, legacy or version 0, to its last byte.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Bytes(bytes);
        let mut first = input.byte()?;
        let versioned = first & 0x80 != 0;
        if versioned {
            if first != 0x80 {
                return None;
            }
            first = input.byte()?;
        }
        let signers = usize::from(first);
        let read_only = (input.byte()?, input.byte()?);
        let count = input.count()?;
        let keys: Option<Vec<[u8; 32]>> = (0..count).map(|_| input.key()).collect();
        let keys = keys?;
        let blockhash = input.key()?;
        let count = input.count()?;
        let mut raw = Vec::new();
        for _ in 0..count {
            let program = input.byte()?;
            let length = input.count()?;
            let accounts = input.take(length)?;
            let length = input.count()?;
            raw.push((program, accounts, input.take(length)?));
        }
        if versioned {
            for _ in 0..input.count()? {
                input.key()?;
                for _ in 0..2 {
                    let length = input.count()?;
                    input.take(length)?;
                }
            }
        }
        if !input.0.is_empty() || signers == 0 {
            return None;
        }
        let key = |at: &u8| match keys.get(usize::from(*at)) {
            Some(key) => Some(*key),
            None => versioned.then_some([0; 32]),
        };
        let instructions: Option<Vec<Instruction>> = raw
            .into_iter()
            .map(|(program, accounts, data)| {
                let accounts: Option<Vec<[u8; 32]>> = accounts.iter().map(key).collect();
                // A program is never looked up elsewhere.
                let program = *keys.get(usize::from(program))?;
                Some(Instruction { program, accounts: accounts?, data: data.to_vec() })
            })
            .collect();
        let signers = keys.get(..signers)?.to_vec();
        Some(Self { signers, read_only, keys, blockhash, instructions: instructions? })
    }

    /// The statements in it.
    pub(crate) fn memos(&self) -> impl Iterator<Item = String> {
        let programs = [memo_program(), memo_program_1()];
        self.instructions
            .iter()
            .filter(move |instruction| programs.contains(&instruction.program))
            .map(|instruction| String::from_utf8_lossy(&instruction.data).into_owned())
    }
}

/// P-ANC-2.
fn nonce_seed(election: &Hash) -> String {
    format!("conclave-{}", hex(election.get(..8).unwrap_or(&[])))
}

fn nonce_account(group: &[u8; 32], seed: &str) -> [u8; 32] {
    Sha256::new().chain_update(group).chain_update(seed).chain_update(SYSTEM).finalize().into()
}

/// What the message of a purpose has to be, by its parts.
fn expected(purpose: u16, group: &[u8; 32], seed: &str, request: (&Hash, u64), text: &str) -> Message {
    let (blockhash, lamports) = request;
    let nonce = nonce_account(group, seed);
    let recent = known("SysvarRecentB1ockHashes11111111111111111111");
    let rent = known("SysvarRent111111111111111111111111111111111");
    let (keys, instructions) = if purpose == 2 {
        // CreateAccountWithSeed: base, seed, lamports, space, owner. Numbers of Solana are little-endian.
        let mut create = 3_u32.to_le_bytes().to_vec();
        create.extend(group);
        create.extend((seed.len() as u64).to_le_bytes());
        create.extend(seed.as_bytes());
        create.extend(lamports.to_le_bytes());
        create.extend(80_u64.to_le_bytes());
        create.extend(SYSTEM);
        let mut initialize = 6_u32.to_le_bytes().to_vec();
        initialize.extend(group);
        (
            vec![*group, nonce, SYSTEM, recent, rent],
            vec![
                Instruction { program: SYSTEM, accounts: vec![*group, nonce], data: create },
                Instruction { program: SYSTEM, accounts: vec![nonce, recent, rent], data: initialize },
            ],
        )
    } else {
        let memo = memo_program();
        let advance = 4_u32.to_le_bytes().to_vec();
        (
            vec![*group, nonce, SYSTEM, memo, recent],
            vec![
                Instruction { program: SYSTEM, accounts: vec![nonce, recent, *group], data: advance },
                Instruction { program: memo, accounts: vec![*group], data: text.as_bytes().to_vec() },
            ],
        )
    };
    Message { signers: vec![*group], read_only: (0, 3), keys, blockhash: *blockhash, instructions }
}

impl Message {
    /// The bytes of a legacy message. `None` for what is none of ours.
    fn to_bytes(&self) -> Option<Vec<u8>> {
        // Lists of ours are short: one byte of Solana's compact-u16 counts up to 127.
        let count = |length: usize| u8::try_from(length).ok().filter(|count| *count < 0x80);
        let place = |key: &[u8; 32]| u8::try_from(self.keys.iter().position(|other| other == key)?).ok();
        let mut out = vec![count(self.signers.len())?, self.read_only.0, self.read_only.1, count(self.keys.len())?];
        out.extend(self.keys.iter().flatten());
        out.extend(self.blockhash);
        out.push(count(self.instructions.len())?);
        for instruction in &self.instructions {
            out.extend([place(&instruction.program)?, count(instruction.accounts.len())?]);
            for account in &instruction.accounts {
                out.push(place(account)?);
            }
            // Data may be longer than 127 bytes.
            let length = u16::try_from(instruction.data.len()).ok().filter(|length| *length < 0x4000)?;
            let [high, low] = (length << 1).to_be_bytes();
            match high {
                0 => out.push(low >> 1),
                high => out.extend([low >> 1 | 0x80, high]),
            }
            out.extend(&instruction.data);
        }
        Some(out)
    }
}

/// Signature shares on the board that do not hold, in the order of their slots: signer, purpose, attempt. (P-SIG-6.2)
pub(crate) fn bad_shares(record: &Record, keys: &Keys, vote_set: &Hash, result: &Hash) -> Vec<(u16, u16, u32)> {
    let manifest = &record.manifest;
    let seed = nonce_seed(&manifest.election);
    let texts = texts(&manifest.election, &keys.digest, vote_set, result);
    let mut bad = Vec::new();
    for envelope in record.kind(50) {
        let Body::SignRequest { signers, nonce, lamports } = &envelope.body else { continue };
        let place = (envelope.slot.topic, envelope.slot.number);
        let text = texts.iter().find(|(of, _)| *of == place.0).map_or("", |(_, text)| text.as_str());
        let message = match place.0 {
            1 => Some(statement(keys)),
            purpose => expected(purpose, &keys.signing_key, &seed, (nonce, *lamports), text).to_bytes(),
        };
        let Some(message) = message else { continue };
        let holds_not = |index: &u16| is_bad_share(record, keys, place, signers, &message, *index) == Some(true);
        bad.extend(signers.iter().copied().filter(holds_not).map(|index| (index, place.0, place.1)));
    }
    bad
}

/// The three statements that may be anchored. (P-ANC-1)
pub(crate) fn texts(election: &Hash, certificate: &Hash, vote_set: &Hash, result: &Hash) -> [(u16, String); 3] {
    let [election, certificate, vote_set, result] = [election, certificate, vote_set, result].map(|hash| hex(hash));
    [
        (3, format!("conclave/v1 key {election} {certificate}")),
        (4, format!("conclave/v1 votes {election} {vote_set}")),
        (5, format!("conclave/v1 result {election} {vote_set} {result}")),
    ]
}

/// An anchor as the record has it.
pub(crate) struct Anchor {
    pub(crate) purpose: u16,
    pub(crate) signature: [u8; 64],
    pub(crate) slot: u64,
    pub(crate) message: Vec<u8>,
}

pub(crate) fn purpose_name(purpose: u16) -> &'static str {
    PURPOSES.iter().find(|(tag, _)| *tag == purpose).map_or("?", |(_, name)| name)
}

/// Each anchor is the group's signature on exactly the message that its purpose has.
pub(crate) fn judge(
    record: &Record,
    keys: &Keys,
    vote_set: &Hash,
    result: &Hash,
) -> Result<(Vec<Anchor>, String), Finding> {
    let manifest = &record.manifest;
    let seed = nonce_seed(&manifest.election);
    let group = &keys.signing_key;
    let texts = texts(&manifest.election, &keys.digest, vote_set, result);
    let (mut anchors, mut nonces) = (Vec::new(), BTreeSet::new());
    if record.kind(54).any(|envelope| envelope.slot.topic == 1) {
        return Err(finding("no anchor of the rehearsal", "one"));
    }
    for purpose in 2..=5_u16 {
        let name = purpose_name(purpose);
        let home = Sender { role: Role::Shard, index: manifest.home };
        let said = record.said(Slot { tag: 54, number: 0, topic: purpose, sender: home });
        let Some(Body::Anchored { attempt, signature, slot, message }) = said.map(|envelope| &envelope.body) else {
            return Err(finding(format!("an anchor ({name})"), "none"));
        };
        let asked = record.said(Slot { tag: 50, number: *attempt, topic: purpose, sender: home });
        let Some(Body::SignRequest { signers, nonce, lamports }) = asked.map(|envelope| &envelope.body) else {
            return Err(finding(format!("the request that anchor {name} answers, attempt {attempt}"), "none"));
        };
        let ascending = signers.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let known = signers.iter().all(|index| (1..=manifest.n()).contains(index));
        let rent = if purpose == 2 { *lamports <= LAMPORTS_MAX } else { *lamports == 0 };
        must(
            ascending && known && signers.len() == usize::from(manifest.s) && rent,
            || format!("a request ({name}) to {} trustees, ascending, for no more than rent", manifest.s),
            || format!("signers {signers:?}, {lamports} lamports"),
        )?;
        let text = texts.iter().find(|(of, _)| *of == purpose).map_or("", |(_, text)| text.as_str());
        let expected = expected(purpose, group, &seed, (nonce, *lamports), text);
        let found = Message::parse(message);
        must(
            found.as_ref() == Some(&expected),
            || format!("anchor {name}: {}", words(&expected)),
            || found.as_ref().map_or("no message of Solana's".into(), words),
        )?;
        must(
            message.first().is_some_and(|byte| byte & 0x80 == 0),
            || format!("anchor {name}: a legacy message"),
            || "another version".into(),
        )?;
        must(
            signed(group, message, signature),
            || format!("anchor {name}: a signature of the group's key"),
            || "one that does not hold".into(),
        )?;
        must(nonces.insert(*nonce), || "a nonce of its own for each anchor".into(), || format!("{name}: a used one"))?;
        anchors.push(Anchor { purpose, signature: *signature, slot: *slot, message: message.clone() });
    }
    let address = bs58::encode(group).into_string();
    let detail = format!("{} anchors of {address}", anchors.len());
    Ok((anchors, detail))
}

fn words(message: &Message) -> String {
    let address = |key: &[u8; 32]| bs58::encode(key).into_string();
    let signers: Vec<String> = message.signers.iter().map(address).collect();
    let instructions: Vec<String> = message
        .instructions
        .iter()
        .map(|instruction| {
            let program = address(&instruction.program);
            let data = String::from_utf8_lossy(&instruction.data);
            format!("{program} on {} accounts {:?}", instruction.accounts.len(), data)
        })
        .collect();
    format!("signed by {signers:?}, nonce {}, {}", address(&message.blockhash), instructions.join("; "))
}
