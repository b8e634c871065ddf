//! Sizes and quorums, and the rules between them. (P-QUO)

/// Sizes and quorums of an election with `n` trustees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    /// Trustees that may lie.
    pub f: u16,
    /// Further trustees that may merely be gone.
    pub c: u16,
    /// Shares that decrypt.
    pub t: u16,
    /// Shares that sign on chain.
    pub s: u16,
    /// Signatures that certify a vote set.
    pub q: u16,
    /// Co-signatures that make a checkpoint, and so a receipt, final.
    pub w: u16,
    /// Whether "at most one aggregate is ever opened" rests on the vote-set certificate alone. Has to be set where
    /// `2t <= n + f`.
    pub one_aggregate_by_certificate: bool,
}

/// Which rule of P-QUO the quorums break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the symbols of the rule, which the message spells out")]
pub enum QuorumRefusal {
    /// P-QUO-1
    #[error(
        "q = {q}: two certified vote sets could share no honest trustee; q >= {min} is needed for n = {n}, f = {f}"
    )]
    CertificateUnsafe { q: u16, min: u16, n: u16, f: u16 },
    /// P-QUO-2
    #[error("q = {q}: {f} lying trustees could stop agreement for ever; q <= {max} is needed for n = {n}")]
    CertificateStuck { q: u16, max: u16, n: u16, f: u16 },
    /// P-QUO-3
    #[error("n = {n} trustees cannot stand f = {f} liars: n >= {min} is needed")]
    TooFewTrustees { n: u16, f: u16, min: u16 },
    /// P-QUO-4
    #[error("w = {w}: the log could be shown differently to different people; w >= {min} is needed")]
    CheckpointSplit { w: u16, min: u16 },
    /// P-QUO-5
    #[error("w + q = {sum}: a final receipt could be left out of a certified set; more than n + f = {bound} is needed")]
    ReceiptUnsafe { sum: u32, bound: u32 },
    /// P-QUO-6
    #[error(
        "w = {w} of n = {n} trustees: no checkpoint could become final with {f} of them gone; w <= {max} is needed"
    )]
    CheckpointStuck { w: u16, n: u16, f: u16, max: u16 },
    /// P-QUO-7
    #[error("{symbol} = {got}: {f} lying trustees could act alone; {symbol} >= {min} is needed")]
    ThresholdTooLow { symbol: &'static str, got: u16, min: u16, f: u16 },
    /// P-QUO-8
    #[error(
        "{symbol} = {got}: with {f} lying and {c} absent trustees it is never reached; {symbol} <= {max} is needed"
    )]
    ThresholdTooHigh { symbol: &'static str, got: u16, max: u16, f: u16, c: u16 },
    /// P-QUO-9
    #[error(
        "t = {t}: two different aggregates could both be opened if certificates failed; 2t > n + f = {bound} is needed, \
         or set one_aggregate = \"certificate\" explicitly"
    )]
    TwoAggregates { t: u16, bound: u32 },
    /// P-QUO-10
    #[error(
        "s = {s}: two different anchors could both be signed; 2s > n + f = {bound} is needed, or set one_aggregate = \"certificate\" explicitly"
    )]
    TwoAnchors { s: u16, bound: u32 },
    /// P-QUO-11
    #[error("n = {n} trustees: FROST needs at least 2 of 2; use n >= 2 and thresholds >= 2")]
    NoThreshold { n: u16 },
}

impl Quorums {
    /// `n = 3f + 1` (or the largest `f` below), `t = s = q = w`, no further crashes.
    #[must_use]
    pub fn default_for(n: u16) -> Self {
        let f = n.saturating_sub(1) / 3;
        let q = majority(n, f);
        Self { f, c: 0, t: q, s: q, q, w: q, one_aggregate_by_certificate: false }
    }

    /// Checks every rule for `n` trustees.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self, n: u16) -> Result<(), QuorumRefusal> {
        let Self { f, c, t, s, q, w, one_aggregate_by_certificate } = *self;
        if n < 2 || t < 2 || s < 2 {
            return Err(QuorumRefusal::NoThreshold { n });
        }
        let at_least = u32::from(f).saturating_mul(3).saturating_add(1);
        if u32::from(n) < at_least && f > 0 {
            let min = u16::try_from(at_least).unwrap_or(u16::MAX);
            return Err(QuorumRefusal::TooFewTrustees { n, f, min });
        }
        let live = n.saturating_sub(f);
        let min = majority(n, f);
        if q < min {
            return Err(QuorumRefusal::CertificateUnsafe { q, min, n, f });
        }
        if q > live {
            return Err(QuorumRefusal::CertificateStuck { q, max: live, n, f });
        }
        if w < min {
            return Err(QuorumRefusal::CheckpointSplit { w, min });
        }
        if w > live {
            return Err(QuorumRefusal::CheckpointStuck { w, n, f, max: live });
        }
        let bound = u32::from(n).saturating_add(f.into());
        let sum = u32::from(w).saturating_add(q.into());
        if sum <= bound {
            return Err(QuorumRefusal::ReceiptUnsafe { sum, bound });
        }
        let max = live.saturating_sub(c);
        for (symbol, got) in [("t", t), ("s", s)] {
            if got <= f {
                return Err(QuorumRefusal::ThresholdTooLow { symbol, got, min: f.saturating_add(1), f });
            }
            if got > max {
                return Err(QuorumRefusal::ThresholdTooHigh { symbol, got, max, f, c });
            }
        }
        if !one_aggregate_by_certificate {
            if u32::from(t).saturating_mul(2) <= bound {
                return Err(QuorumRefusal::TwoAggregates { t, bound });
            }
            if u32::from(s).saturating_mul(2) <= bound {
                return Err(QuorumRefusal::TwoAnchors { s, bound });
            }
        }
        Ok(())
    }
}

/// `floor((n + f) / 2) + 1`: any two sets of this size share an honest trustee.
fn majority(n: u16, f: u16) -> u16 {
    let half = u32::from(n).saturating_add(f.into()) / 2;
    u16::try_from(half.saturating_add(1)).unwrap_or(u16::MAX)
}
