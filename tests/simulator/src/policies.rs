//! The misbehaviour that seeds draw from. Each has its own file's story, and a test that names who is blamed for it.

use crate::policy::{CoordinatorPolicy, TrusteePolicy};
use ceremony::BentReveal;
use coordinators::Says;
use protocol::signed::Body;
use saying::{Also, Instead, Mute, TwoFaced};

mod ceremony;
mod coordinators;
mod examples;
mod noise;
mod saying;
mod signing;
mod voting;

/// A named trustee policy.
pub struct TrusteeEntry {
    /// As the policy calls itself.
    pub name: &'static str,
    /// A fresh one.
    pub make: fn() -> Box<dyn TrusteePolicy>,
    /// Whether an election can never be opened while this trustee behaves so: every trustee is needed until then.
    pub stops_ceremony: bool,
}

/// A named coordinator policy.
pub struct CoordinatorEntry {
    /// As the policy calls itself.
    pub name: &'static str,
    /// A fresh one.
    pub make: fn() -> Box<dyn CoordinatorPolicy>,
}

const fn harmless(name: &'static str, make: fn() -> Box<dyn TrusteePolicy>) -> TrusteeEntry {
    TrusteeEntry { name, make, stops_ceremony: false }
}

const fn stopping(name: &'static str, make: fn() -> Box<dyn TrusteePolicy>) -> TrusteeEntry {
    TrusteeEntry { name, make, stops_ceremony: true }
}

const fn coordinator(name: &'static str, make: fn() -> Box<dyn CoordinatorPolicy>) -> CoordinatorEntry {
    CoordinatorEntry { name, make }
}

/// A policy that says something else; `openly` if its core is to know.
macro_rules! instead {
    (openly $entry:ident $name:literal, $lie:path) => {
        $entry($name, || Box::new(Instead { name: $name, knows: true, lie: $lie }))
    };
    ($entry:ident $name:literal, $lie:path) => {
        $entry($name, || Box::new(Instead { name: $name, knows: false, lie: $lie }))
    };
}

/// A policy that says more.
macro_rules! also {
    ($name:literal, $more:path) => {
        harmless($name, || Box::new(Also { name: $name, more: $more }))
    };
}

/// A policy that says less.
macro_rules! mute {
    ($name:literal, $about:expr) => {
        harmless($name, || Box::new(Mute { name: $name, about: $about }))
    };
}

/// A policy that commits to bad packages.
macro_rules! bent_reveal {
    ($name:literal, $bend:expr) => {
        harmless($name, || Box::new(BentReveal { name: $name, bend: $bend }))
    };
}

/// A coordinator that says something else than its chair owes.
macro_rules! says {
    ($name:literal, $to_all:literal, $lie:path) => {
        coordinator($name, || Box::new(Says { name: $name, to_all: $to_all, lie: $lie }))
    };
}

/// All trustee policies, in the order in which seeds number them: append, never insert.
pub const TRUSTEES: &[TrusteeEntry] = &[
    stopping("silent", || Box::new(examples::Silent)),
    harmless("equivocating-proposer", || Box::new(examples::EquivocatingProposer)),
    // Manifest and key ceremony.
    also!("accepts-and-refuses", ceremony::accepts_and_refuses),
    instead!(openly harmless "other-terms", ceremony::other_terms),
    instead!(openly harmless "broken-commitment", ceremony::other_reveal),
    bent_reveal!("short-commitment", |reveal| reveal.election_commitments.truncate(1)),
    bent_reveal!("bad-point", |reveal| reveal.election_commitments.fill([0xff; 32])),
    bent_reveal!("no-knowledge", |reveal| reveal.signing_proof = saying::bent(reveal.signing_proof)),
    harmless("copied-commitment", || Box::new(ceremony::Copycat)),
    harmless("bad-share", || Box::new(ceremony::BadShare { opens: true, posted: None })),
    harmless("bad-share-unopened", || Box::new(ceremony::BadShare { opens: false, posted: None })),
    instead!(openly harmless "missing-share", ceremony::missing_share),
    instead!(openly harmless "false-complaint", ceremony::false_complaint),
    instead!(openly harmless "other-certificate", ceremony::other_certificate),
    instead!(openly harmless "other-transcript", ceremony::other_transcript),
    harmless("confirms-and-abandons", || Box::new(ceremony::ConfirmsAndAbandons)),
    instead!(openly harmless "abandons-once", ceremony::abandons_once),
    instead!(openly stopping "abandons-always", ceremony::abandons_always),
    instead!(stopping "wrong-rehearsal", ceremony::wrong_rehearsal),
    harmless("hesitant", || Box::<ceremony::Hesitant>::default()),
    // Opening, closing, agreement.
    also!("too-early", voting::too_early),
    instead!(harmless "opens-another", voting::opens_another),
    mute!("silent-proposer", |body| matches!(body, Body::Proposal(_))),
    mute!("silent-voter", |body| matches!(body, Body::Prevote(_) | Body::Precommit(_))),
    instead!(harmless "forged-count", voting::forged_count),
    instead!(harmless "forged-aggregate", voting::forged_aggregate),
    instead!(harmless "unjustified-proposal", voting::unjustified),
    instead!(harmless "votes-for-nothing", voting::nothing),
    instead!(harmless "votes-for-another", voting::another),
    harmless("two-faced-votes", || Box::new(TwoFaced { name: "two-faced-votes", other: voting::nothing })),
    harmless("premature-precommit", || Box::<voting::Premature>::default()),
    harmless("votes-ahead", || Box::<voting::Ahead>::default()),
    harmless("planted-votes", || Box::<voting::Planted>::default()),
    // Lots and tally.
    mute!("no-lot", |body| matches!(body, Body::Lot(_))),
    instead!(harmless "bad-lot", voting::bad_lot),
    instead!(harmless "other-lot", voting::other_lot),
    instead!(harmless "stolen-lot", voting::stolen_lot),
    also!("two-lots", voting::two_lots),
    mute!("no-partials", |body| matches!(body, Body::Partials(_))),
    instead!(harmless "wrong-partials", voting::wrong_partials),
    instead!(harmless "other-partials", voting::other_partials),
    // Joint signatures.
    mute!("silent-signer", signing::no_share),
    mute!("never-commits", signing::no_commitment),
    instead!(harmless "bad-signature-share", signing::bad_share),
    instead!(harmless "other-package", signing::other_package),
    instead!(harmless "aborts-signatures", signing::aborts),
    instead!(harmless "aborts-after-committing", signing::aborts_late),
    harmless("same-nonces", || Box::<signing::SameNonces>::default()),
    // The wire and the log.
    harmless("forged-envelopes", || Box::<noise::Forger>::default()),
    harmless("cross-election", || Box::<noise::CrossElection>::default()),
    harmless("flood", || Box::<noise::Flood>::default()),
    harmless("replays", || Box::new(noise::Replays)),
    harmless("withholds-others", || Box::new(noise::Withholds)),
    harmless("sluggish", || Box::<noise::Sluggish>::default()),
    harmless("cosigns-nothing", || Box::new(noise::Cosigner(noise::Cosigns::Nothing))),
    harmless("cosigns-anything", || Box::new(noise::Cosigner(noise::Cosigns::Anything))),
    harmless("cosigns-rubbish", || Box::new(noise::Cosigner(noise::Cosigns::Rubbish))),
    harmless("claims-more-leaves", || Box::new(noise::Claims { more: true })),
    harmless("claims-no-leaves", || Box::new(noise::Claims { more: false })),
];

/// All coordinator policies, in the order in which seeds number them: append, never insert.
pub const COORDINATORS: &[CoordinatorEntry] = &[
    coordinator("two-boards", || Box::<examples::TwoBoards>::default()),
    coordinator("loses-statements", || Box::new(coordinators::Loses)),
    coordinator("delays-statements", || Box::<coordinators::Delays>::default()),
    coordinator("starves-one", || Box::new(coordinators::Starves)),
    coordinator("ignores-one", || Box::new(coordinators::Ignores)),
    coordinator("impersonates", || Box::<coordinators::Impersonates>::default()),
    coordinator("forked-log", || Box::<coordinators::Fork>::default()),
    coordinator("rewound-log", || Box::<coordinators::Rewinds>::default()),
    coordinator("stuffed-log", || Box::new(coordinators::Stuffs)),
    coordinator("receipts-without-entries", || Box::new(coordinators::EmptyReceipts)),
    coordinator("drops-ballots", || Box::new(coordinators::Censors)),
    coordinator("answers-nobody", || Box::new(coordinators::Denies { silent: true })),
    coordinator("denies-recording", || Box::new(coordinators::Denies { silent: false })),
    coordinator("proofs-of-others", || Box::<coordinators::OthersProofs>::default()),
    says!("two-ends", false, coordinators::one_less),
    says!("false-end", true, coordinators::false_end),
    says!("empty-end", true, coordinators::empty_end),
    says!("two-requests", false, coordinators::other_nonce),
    says!("greedy-requests", true, coordinators::greedy),
    says!("too-few-signers", true, coordinators::too_few),
    coordinator("false-anchors", || Box::<coordinators::FalseAnchors>::default()),
];
