//! The misbehaviour that seeds draw from. Each has its own file's story, and a test that names who is blamed for it.

use crate::policy::{CoordinatorPolicy, TrusteePolicy};

mod examples;

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

/// All trustee policies, in the order in which seeds number them: append, never insert.
pub const TRUSTEES: &[TrusteeEntry] = &[
    TrusteeEntry { name: "silent", make: || Box::new(examples::Silent), stops_ceremony: true },
    TrusteeEntry {
        name: "equivocating-proposer",
        make: || Box::new(examples::EquivocatingProposer),
        stops_ceremony: false,
    },
];

/// All coordinator policies, in the order in which seeds number them: append, never insert.
pub const COORDINATORS: &[CoordinatorEntry] =
    &[CoordinatorEntry { name: "two-boards", make: || Box::<examples::TwoBoards>::default() }];
