//! Envelopes and everything that is said in them, taken apart. (P-ENV, tags of `docs/protocol.md`)

use crate::{
    group::signed,
    manifest::Manifest,
    report::{Finding, finding},
    wire::{Hash, INNER_MAX, MESSAGE_MAX, Reader, TEXT_MAX, digest},
};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Trustee,
    Shard,
    Official,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sender {
    pub(crate) role: Role,
    pub(crate) index: u16,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Trustee => "trustee",
            Role::Shard => "shard",
            Role::Official => "official",
        };
        write!(f, "{role} {}", self.index)
    }
}

impl Sender {
    fn read(input: &mut Reader<'_>) -> Result<Self, Finding> {
        let role = match input.u8()? {
            1 => Role::Trustee,
            2 => Role::Shard,
            3 => Role::Official,
            other => return Err(input.bad("a sender, 1 to 3", other.to_string())),
        };
        Ok(Self { role, index: input.u16()? })
    }
    fn key(self, manifest: &Manifest) -> Option<&[u8; 32]> {
        let party = match self.role {
            Role::Trustee => manifest.trustee(self.index),
            Role::Shard => manifest.shard(self.index),
            Role::Official => manifest.official(self.index),
        };
        party.map(|party| &party.identity)
    }
}

/// The end of a lane: size, root.
pub(crate) type LaneEnd = (u64, Hash);

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Announce,
    Accept,
    Refuse,
    Terms {
        digest: Hash,
        sealing_key: [u8; 32],
        lot_key: [u8; 32],
    },
    Commit {
        commitment: Hash,
    },
    Reveal {
        signing: Vec<[u8; 32]>,
        signing_proof: [u8; 64],
        election: Vec<[u8; 32]>,
        election_proof: [u8; 64],
    },
    Shares {
        shares: Vec<(u16, Vec<u8>)>,
    },
    Complaint {
        against: u16,
        about: Hash,
    },
    Opening {
        to: u16,
        seed: [u8; 32],
        plaintext: [u8; 64],
        about: Hash,
    },
    Confirm {
        transcript: Hash,
        certificate: Hash,
    },
    Abandon,
    NextAttempt,
    Rehearsal {
        partial: [u8; 32],
        proof: [u8; 64],
    },
    /// Open request, open, close request, close: by tag.
    Stage {
        key_certificate: Hash,
    },
    Sealed {
        lanes: Vec<LaneEnd>,
    },
    /// The value in its bytes: what is hashed.
    Proposal {
        value: Vec<u8>,
        valid_round: Option<u32>,
    },
    /// Prevote or precommit: by tag.
    Vote {
        value: Option<Hash>,
    },
    Lot {
        vote_set: Hash,
        output: [u8; 32],
        proof: [u8; 64],
    },
    Partials {
        vote_set: Hash,
        points: Vec<[u8; 32]>,
        proof: [u8; 64],
    },
    SignRequest {
        signers: Vec<u16>,
        nonce: Hash,
        lamports: u64,
    },
    SignCommitment {
        hiding: [u8; 32],
        binding: [u8; 32],
    },
    SignShare {
        package: Hash,
        share: [u8; 32],
    },
    SignAbort,
    Anchored {
        attempt: u32,
        signature: [u8; 64],
        slot: u64,
        message: Vec<u8>,
    },
}

/// Purposes of joint signatures: tag, name.
pub(crate) const PURPOSES: [(u16, &str); 5] =
    [(1, "rehearsal"), (2, "create-nonce"), (3, "key"), (4, "vote-set"), (5, "result")];

fn purpose(input: &mut Reader<'_>) -> Result<u16, Finding> {
    match u16::from(input.u8()?) {
        tag @ 1..=5 => Ok(tag),
        other => Err(input.bad("a purpose, 1 to 5", other.to_string())),
    }
}

fn lane_end(input: &mut Reader<'_>) -> Result<LaneEnd, Finding> {
    Ok((input.u64()?, input.array()?))
}

/// Skips over a vote set.
fn vote_set(input: &mut Reader<'_>) -> Result<(), Finding> {
    input.take(32)?;
    input.list(INNER_MAX, lane_end)?;
    input.take(16)?;
    input.list(INNER_MAX, Reader::u64)?;
    input.take(64)?;
    Ok(())
}

fn vouch(input: &mut Reader<'_>) -> Result<(u16, [u8; 64]), Finding> {
    Ok((input.u16()?, input.array()?))
}

impl Body {
    /// The body with the number and the topic of its slot.
    fn read(tag: u16, input: &mut Reader<'_>) -> Result<(Self, u32, u16), Finding> {
        let none = |body| Ok((body, 0, 0));
        // All ceremony messages begin with their attempt.
        let attempt = if (10..=19).contains(&tag) { input.u32()? } else { 0 };
        let made = |body| Ok((body, attempt, 0));
        match tag {
            1 => none(Self::Announce),
            2 => none(Self::Accept),
            3 => {
                input.text(TEXT_MAX)?;
                none(Self::Refuse)
            }
            10 => made(Self::Terms { digest: input.array()?, sealing_key: input.array()?, lot_key: input.array()? }),
            11 => made(Self::Commit { commitment: input.array()? }),
            12 => {
                let (signing, signing_proof) = (input.list(INNER_MAX, Reader::array)?, input.array()?);
                let (election, election_proof) = (input.list(INNER_MAX, Reader::array)?, input.array()?);
                // Blinds the commitment; it is in the bytes that are hashed.
                input.take(32)?;
                made(Self::Reveal { signing, signing_proof, election, election_proof })
            }
            13 => {
                let share = |input: &mut Reader<'_>| Ok((input.u16()?, input.bytes(INNER_MAX)?.to_vec()));
                made(Self::Shares { shares: input.list(INNER_MAX, share)? })
            }
            14 => {
                let against = input.u16()?;
                match input.u8()? {
                    1..=3 => {}
                    other => return Err(input.bad("a flaw, 1 to 3", other.to_string())),
                }
                Ok((Self::Complaint { against, about: input.array()? }, attempt, against))
            }
            15 => {
                let to = input.u16()?;
                let (seed, plaintext, about) = (input.array()?, input.array()?, input.array()?);
                Ok((Self::Opening { to, seed, plaintext, about }, attempt, to))
            }
            16 => made(Self::Confirm { transcript: input.array()?, certificate: input.array()? }),
            17 => {
                input.text(TEXT_MAX)?;
                made(Self::Abandon)
            }
            18 => made(Self::NextAttempt),
            19 => made(Self::Rehearsal { partial: input.array()?, proof: input.array()? }),
            20..=23 => none(Self::Stage { key_certificate: input.array()? }),
            24 => none(Self::Sealed { lanes: input.list(INNER_MAX, lane_end)? }),
            30..=33 => Self::read_agreement(tag, input),
            40 => none(Self::Partials {
                vote_set: input.array()?,
                points: input.list(INNER_MAX, Reader::array)?,
                proof: input.array()?,
            }),
            50..=54 => Self::read_signing(tag, input),
            other => Err(input.bad("a known message type", other.to_string())),
        }
    }

    fn read_agreement(tag: u16, input: &mut Reader<'_>) -> Result<(Self, u32, u16), Finding> {
        match tag {
            30 => {
                let round = input.u32()?;
                let start = input.at();
                vote_set(input)?;
                let value = input.since(start).to_vec();
                let valid_round = input.option(Reader::u32)?;
                input.list(INNER_MAX, vouch)?;
                Ok((Self::Proposal { value, valid_round }, round, 0))
            }
            31 | 32 => {
                let round = input.u32()?;
                Ok((Self::Vote { value: input.option(Reader::array)? }, round, 0))
            }
            _ => Ok((Self::Lot { vote_set: input.array()?, output: input.array()?, proof: input.array()? }, 0, 0)),
        }
    }

    fn read_signing(tag: u16, input: &mut Reader<'_>) -> Result<(Self, u32, u16), Finding> {
        let (topic, attempt) = (purpose(input)?, input.u32()?);
        let body = match tag {
            50 => Self::SignRequest {
                signers: input.list(INNER_MAX, Reader::u16)?,
                nonce: input.array()?,
                lamports: input.u64()?,
            },
            51 => Self::SignCommitment { hiding: input.array()?, binding: input.array()? },
            52 => Self::SignShare { package: input.array()?, share: input.array()? },
            53 => {
                input.text(TEXT_MAX)?;
                Self::SignAbort
            }
            _ => {
                let (signature, slot) = (input.array()?, input.u64()?);
                let message = input.bytes(INNER_MAX)?.to_vec();
                // One anchor for a purpose, whatever the attempt.
                return Ok((Self::Anchored { attempt, signature, slot, message }, 0, topic));
            }
        };
        Ok((body, attempt, topic))
    }
}

/// The place that a body fills; one for each. (P-ENV-4)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) tag: u16,
    pub(crate) number: u32,
    pub(crate) topic: u16,
    pub(crate) sender: Sender,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tag, number, topic, sender } = self;
        write!(f, "message type {tag}, number {number}, topic {topic}, of {sender}")
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) election: Hash,
    pub(crate) slot: Slot,
    pub(crate) body: Body,
    /// Election, sender, tag, fields: what is signed, without the label.
    signed: Vec<u8>,
    signature: [u8; 64],
}

/// Election 32, sender 3, tag 2.
const FIELDS_AT: usize = 37;

impl Envelope {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Finding> {
        let mut input = Reader::new("envelope", bytes);
        if bytes.len() > MESSAGE_MAX {
            return Err(input.bad(format!("at most {MESSAGE_MAX} bytes"), bytes.len().to_string()));
        }
        let envelope = Self::read(&mut input)?;
        input.end()?;
        Ok(envelope)
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, Finding> {
        let start = input.at();
        let election = input.array()?;
        let sender = Sender::read(input)?;
        let tag = input.u16()?;
        let (body, number, topic) = Body::read(tag, input)?;
        let signed = input.since(start).to_vec();
        Ok(Self { election, slot: Slot { tag, number, topic, sender }, body, signed, signature: input.array()? })
    }

    /// The fields of the body in their bytes. There is one encoding, so these are what others hash.
    pub(crate) fn fields(&self) -> &[u8] {
        self.signed.get(FIELDS_AT..).unwrap_or(&[])
    }

    /// Whether both say the same, in whatever signature.
    pub(crate) fn same_statement(&self, other: &Self) -> bool {
        self.signed == other.signed
    }

    /// Election, sender, right to say this, signature. (P-ENV-3)
    pub(crate) fn judge(&self, manifest: &Manifest) -> Result<(), Finding> {
        let slot = self.slot;
        if self.election != manifest.election {
            return Err(finding("envelopes of this election", format!("another election's ({slot})")));
        }
        let role = match slot.tag {
            1 | 18 | 20 | 22 => Role::Official,
            24 | 50 | 54 => Role::Shard,
            _ => Role::Trustee,
        };
        let home = role != Role::Shard || slot.sender.index == manifest.home;
        let Some(key) = slot.sender.key(manifest).filter(|_| slot.sender.role == role && home) else {
            return Err(finding("a sender that may say this", slot.to_string()));
        };
        let mut message = b"conclave/v1/envelope\0".to_vec();
        message.extend_from_slice(&self.signed);
        if signed(key, &message, &self.signature) {
            Ok(())
        } else {
            Err(finding(format!("a signature of {} that holds", slot.sender), format!("one that does not ({slot})")))
        }
    }
}

/// P-AGR-1.
pub(crate) fn vote_set_hash(election: &Hash, value: &[u8]) -> Hash {
    digest("vote-set", &[election, value])
}

/// What a sender is proven to have done; tags as on the wire. (P-EVI)
pub(crate) const WRONGS: [&str; 17] = [
    "equivocation",
    "commitment broken",
    "commitment length",
    "point invalid",
    "proof of knowledge",
    "copied",
    "share addressing",
    "bad share",
    "false complaint",
    "wrong certificate",
    "confirmed and abandoned",
    "bad partial decryption",
    "bad lot",
    "bad signature share",
    "other vote set",
    "amnesia",
    "accepted and refused",
];

pub(crate) struct Evidence {
    pub(crate) accused: Sender,
    /// From 1.
    pub(crate) wrong: u8,
    pub(crate) envelopes: Vec<Envelope>,
}

impl Evidence {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Finding> {
        let mut input = Reader::new("evidence", bytes);
        let accused = Sender::read(&mut input)?;
        let wrong = match input.u8()? {
            tag @ 1..=17 => tag,
            other => return Err(input.bad("a wrong, 1 to 17", other.to_string())),
        };
        let envelopes = input.list(512, Envelope::read)?;
        input.end()?;
        Ok(Self { accused, wrong, envelopes })
    }
    pub(crate) fn name(&self) -> &'static str {
        WRONGS.get(usize::from(self.wrong).saturating_sub(1)).copied().unwrap_or("?")
    }
}

/// A shard's word that a ballot was not taken. (P-LOG-4)
pub(crate) struct Rejection {
    pub(crate) election: Hash,
    pub(crate) code: u16,
    pub(crate) shard: u16,
    message: Vec<u8>,
    signature: [u8; 64],
}

impl Rejection {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Finding> {
        let mut input = Reader::new("rejection", bytes);
        let election = input.array()?;
        input.take(32)?;
        let (code, shard) = (input.u16()?, input.u16()?);
        input.take(8)?;
        let mut message = b"conclave/v1/rejection\0".to_vec();
        message.extend_from_slice(input.since(0));
        let signature = input.array()?;
        input.end()?;
        Ok(Self { election, code, shard, message, signature })
    }

    pub(crate) fn judge(&self, manifest: &Manifest) -> Result<(), Finding> {
        if self.election != manifest.election {
            return Err(finding("rejections of this election", "another election's"));
        }
        let key = manifest.shard(self.shard).map(|shard| &shard.identity);
        if self.code > 0 && key.is_some_and(|key| signed(key, &self.message, &self.signature)) {
            Ok(())
        } else {
            let found = format!("code {} by shard {}", self.code, self.shard);
            Err(finding("a rejection with a reason, signed by a shard of the manifest", found))
        }
    }
}
