//! Known-bad variants of this crate's guards, each behind a switch. **For tests only; the feature `bugs` is in no binary.**
//!
//! A guard counts when a test trips it. Every [`Bug`] here weakens one guard in a way that somebody in the field really
//! shipped, or that a reviewer would not see; `docs/testing.md` says which simulator invariant or which test finds it. The
//! switch is one word at the guard, `bug!(Name)`: the constant `false` where the feature is off.
//!
//! The switch belongs to a thread ([`set`]), so that simulated elections beside each other do not disturb each other. A
//! process whose environment says `CONCLAVE_BUG=name` has that bug in every thread that says nothing else: so the
//! ordinary test suite can be asked whether it finds it.

use core::cell::Cell;
use std::sync::OnceLock;

/// Whether a guard is to be left out now.
macro_rules! bug {
    ($name:ident) => {
        $crate::bugs::is($crate::bugs::Bug::$name)
    };
}

macro_rules! bugs {
    ($($name:ident = $what:literal, $precedent:literal;)*) => {
        /// A guard left out, or done wrongly.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $what] #[doc = ""] #[doc = concat!("Precedent: ", $precedent, ".")] $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As in `CONCLAVE_BUG` and in `docs/testing.md`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
            /// What is wrong with it.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
            /// Where something like it was seen, or which row of the threat list it breaks.
            #[must_use]
            pub fn precedent(self) -> &'static str {
                match self { $(Self::$name => $precedent),* }
            }
        }
    };
}

bugs! {
    WeakBallotChallenge = "The ballot's challenges do not cover its ciphertexts.", "B01, weak Fiat-Shamir: Helios (Bernhard, Pereira, Warinschi 2012), sVote";
    ChallengeWithoutCredential = "The ballot's challenges do not name the voter.", "B02, copied ballots in Helios (Cortier, Smyth 2011)";
    ChallengeWithoutElection = "The ballot's challenges do not name the election.", "B04, missing domain separation (COCKTAIL)";
    BatchWeightsConstant = "A batch is summed with equal weights.", "B14, batch verification without random weights";
    ProductEquationSkipped = "Bits and their sum are not checked: over-votes pass.", "B05, votes that could not be interpreted (Norway 2011)";
    BallotSignatureUnchecked = "A ballot counts whoever signed it.", "C08, added ballots (Helios, Belenios trust split)";
    RepeatedComponentAccepted = "A ballot may repeat a ciphertext in itself.", "B02, B03, ballot independence";
    IdentityPointAccepted = "The identity is decoded as a point.", "D11, B08: identity rule of frost 2.0-rc, Belenios 3.3.0";
    NonCanonicalScalarAccepted = "A scalar over the group order is reduced and taken.", "M09, two encodings of one value";
    TrailingBytesAccepted = "Bytes behind a value are ignored.", "M09, two encodings of one ballot";
    LengthUnbounded = "A length over its bound is taken.", "B12, Swiss Post #53, RUSTSEC-2020-0002";

    StyleOfRollIgnored = "A voter may vote in another area's contests.", "I07, Estonia 2023: ballots disputed on format";
    StrangerAccepted = "A credential that is not on the roll votes as the first voter of it.", "C08, ballots of persons who are not on the roll";
    WeightIgnored = "Every ballot is summed with weight 1.", "I12, rules differ from the specification (T11)";
    RevoteCountsBoth = "A later ballot counts beside the earlier one.", "C01, C09, Estonia: order of revotes";
    SecondVoteTaken = "Where the first ballot counts, a second one replaces it.", "C01, double-vote race";
    CopiedComponentAccepted = "A ballot may repeat a ciphertext of another ballot.", "B02, Cortier, Smyth 2011";
    LaneUnchecked = "A ballot may go into a lane that is not its voter's, and so be counted twice.", "C01, two shards, one voter";

    CommitmentLengthUnchecked = "A commitment vector longer than the threshold is taken.", "D04, Trail of Bits 2024: threshold raised; WSTS #87, #88";
    ProofOfKnowledgeUnchecked = "A key commitment needs no proof of knowledge.", "D06, rogue key: drand (Sigma Prime 2020)";
    RevealNotAsCommitted = "What is revealed need not be what was committed to.", "D07, key bias (Gennaro et al.), Belenios 4.0-dev";
    CopiedCommitmentAccepted = "A copied key commitment with its proof is taken.", "D09, mpc-pitfalls";
    ShareAddressingUnchecked = "Shares may be missing, repeated or misaddressed.", "D05, GHSA-gp6j-vx54-5pmf, tss-lib #149";
    BadShareConfirmed = "A trustee confirms an attempt in which its share is wrong.", "D02, ZF FROST #577; forget-and-forgive";
    CertificateWithoutOne = "n - 1 confirmations make a key certificate.", "D03, resharing split view (Kudelski); ChillDKG";
    TermsUnchecked = "Trustees may make keys under different terms.", "D14, mpc-pitfalls: late session id";
    RouteUnbound = "A sealed share is not bound to election, attempt, sender and recipient.", "D08, D12, CVE-2022-47930; coinbase/kryptology #29";
    ComplaintIgnored = "A complaint does not end the attempt.", "D02, complaints that nobody reads";
    BlameWithoutProof = "Whoever a complaint is about is named, whatever messages it was about.", "D13, bip-frost-dkg #9: framing by tampering";
    FlawlessDespiteProof = "A proven wrong is noted, and the attempt goes on.", "Y03, failed check treated as a time-out (CVE-2023-33242)";
    ThresholdsSwapped = "The thresholds of decryption and of signing are mixed up.", "two thresholds mixed (NEAR: disastrous misconfigurations)";
    RehearsalSkipped = "The election opens with keys that nobody has tried.", "D17, IACR 2025: an unusable share found at the tally";

    QuorumOffByOne = "q - 1 votes are a quorum.", "A01, quorum intersection";
    SignOnce = "A trustee never lets go of its lock, whatever a later quorum shows.", "A02, sign-once deadlocks with n = 4, q = 3";
    NoLock = "A trustee votes in each round as if it had promised nothing.", "A01, A03, amnesia (malachite tests)";
    LockLostAtRestart = "After a restart a trustee has forgotten what it precommitted.", "A03, amnesia after restart (malachite write-ahead log tests)";
    JustificationUnchecked = "A proposal is believed that a quorum prevoted it.", "A01, proof of lock not verified";
    ProposerUnchecked = "Anybody may propose in any round.", "A06, flood of proposals";
    RepeatedSignersCounted = "A signer listed twice counts twice.", "A04, wrong-length and repeated-signer pitfalls";
    ShorterSetAccepted = "A vote set may leave out what this trustee has co-signed.", "A05, I06: a receipted ballot left out";
    VoteSetNotReplayed = "A vote set is voted for without comparing it with the own log.", "A08, etcd #20418: a lagging member signs";
    EquivocationOverwrites = "A second message for a slot replaces the first.", "A01, D01: broadcast done as multicast";
    EnvelopeUnverified = "The signature of an envelope is not checked.", "N01, T05: messages of anybody in anybody's name";
    EnvelopeOfOtherElection = "An envelope of another election is taken.", "D08, CVE-2022-47930: replay across sessions";
    RoleUnchecked = "Anybody may say anything.", "N01, near/mpc #2005: valid certificate acts as anyone";
    OneTrusteeCloses = "One trustee's word closes the election.", "O02, one person closes the wrong election";

    RewindCosigned = "A checkpoint smaller than the own log is co-signed.", "M04, rolled-back witness (C2SP 409 rule)";
    ForkCosigned = "A checkpoint is co-signed without comparing its root with the own tree.", "M03, split view";
    OtherLogCosigned = "A checkpoint of another log is co-signed.", "M08, signature of one kind taken for another";
    CosignedBehindVote = "A checkpoint longer than a vote set voted for is co-signed.", "I06: a receipt becomes final behind the certified end";
    ConsistencyUnchecked = "Any consistency proof is believed.", "M06, vacuous proof loops";
    FinalWithOneLess = "w - 1 co-signatures make a checkpoint final.", "C02, receipt before it is safe";
    LogSignatureNotNeeded = "A checkpoint is final without the log's own signature.", "M08, C2SP: cosignature is not the log's signature";
    LeafLikeNode = "Leaves are hashed as nodes are.", "M01, second preimage (RFC 6962; bitcoinjs/merkle-lib)";
    ReceiptUnbound = "A receipt does not name the ballot that it is for.", "C06, clash attacks (Kuesters, Truderung, Vogt 2012)";

    TallyBeforeClose = "A trustee decrypts while votes are still coming in.", "T09, early tally";
    AggregateNotCertified = "A trustee decrypts the newest sums it has, not the certified ones.", "T01, T02: difference of two aggregates";
    PartialUnverified = "A partial decryption needs no proof.", "T03, Belenios 3.3.0";
    WeakPartialChallenge = "The proof of a partial decryption does not cover what it is about.", "T04, sVote decryption proof";
    OneShareLess = "t - 1 partial decryptions are combined.", "T08, wrong subset";
    LogBoundMissing = "A decrypted sum is taken whatever the counted weight is.", "T07, Norway 2011; denial of service by search";
    LogBoundTooLow = "The last possible value is not found.", "T07, off by one in the bound";
    TieByIndex = "A tie is broken by the order of the options.", "T11, rules differ from the law";
    LotUnbound = "The lots are drawn over the election alone, before the votes are known.", "P-LOT-1, a beacon known too early";
    LotOfAnother = "A lot does not name its trustee: a registered copy of a key draws the other's lot.", "D09, D10: keys copied from somebody else";
    LotUnverified = "A lot needs no proof.", "S03, the order is chosen";
    SmallTallyOpened = "Sums of a handful of ballots are opened.", "T12, unanimous votes revealed";

    NonceRepeats = "An attempt uses the nonces of the attempt before.", "S04, sig-net/mpc #611: unused nonces put back";
    NonceSurvivesRestart = "A nonce is made again after a restart and answered with.", "S01, keep-core #4028, RFC 9591";
    ShareTwice = "An answered attempt is answered again.", "S01, S02, keep #933: the guard never fires";
    OtherContentSigned = "Another content is signed for the same purpose.", "S17, two different anchors";
    UncertifiedAnchored = "What a proposal says is anchored as if it were certified.", "S05, blind signing";
    RentUnbounded = "Any amount is signed away as rent.", "S05, op-signer review: fields nobody looks at";
    PackageUnbound = "A share for another package is held against its signer.", "S10, honest signers blamed";
    OwnCommitmentReplaced = "A signer signs though its own commitment was replaced.", "S10, different packages to different signers";
    ChoiceUsedUp = "Signers who were away are left out for ever: in the end the first by lot is all that is asked.", "S09, V05: this project, seed 32 of the profile restore";
    AbortsForgiven = "A signer that gives up every attempt is asked again every time.", "S09: ROAST, silent signers";
    BadSignerAskedAgain = "Whoever sent a bad signature share is asked again, for ever.", "S07, S09: ROAST; frost 3 culprits";
}

std::thread_local! {
    static CURRENT: Cell<Option<Option<Bug>>> = const { Cell::new(None) };
}

/// Switches a bug on, or all of them off, for this thread.
pub fn set(bug: Option<Bug>) {
    CURRENT.with(|current| current.set(Some(bug)));
}

/// The bug that this thread has.
#[must_use]
pub fn get() -> Option<Bug> {
    CURRENT.with(Cell::get).unwrap_or_else(of_process)
}

/// Whether this thread has this bug.
#[must_use]
pub fn is(bug: Bug) -> bool {
    get() == Some(bug)
}

/// The environment variable that gives a whole process a bug.
pub const VARIABLE: &str = "CONCLAVE_BUG";

#[allow(clippy::disallowed_methods, clippy::panic, reason = "a switch for test processes, in test builds only")]
fn of_process() -> Option<Bug> {
    static BUG: OnceLock<Option<Bug>> = OnceLock::new();
    *BUG.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let bug = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
        // A misspelt name would be a hunt that finds nothing.
        Some(bug.unwrap_or_else(|| panic!("{VARIABLE}={name} is no bug of this list")))
    })
}

#[cfg(test)]
mod tests;
