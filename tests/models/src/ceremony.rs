//! The outcome of the key ceremony (`protocol::board`, `protocol::ceremony`), as a transition system. (P-DKG-6 to P-DKG-8)
//!
//! What happens within an attempt is folded into two facts: a trustee confirms the keys as it saw them, or gives the attempt
//! up. Why it gives up is the adversary's choice; so is which of two versions of its messages the liar shows to whom. A
//! lying coordinator shows any message that was ever said to anybody at any time, and official's requests for the next
//! attempt come whenever it pleases.
//!
//! [`Rules::stuck`] asks: if everybody now sees everything and the liar behaves from now on, do all get one key?

/// Trustees, at most.
pub const TRUSTEES: usize = 4;
/// Attempts, at most.
pub const ATTEMPTS: usize = 3;

/// Which of the liar's messages were seen. Without a liar there is only [`Version::One`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they have no meaning beyond that")]
pub enum Version {
    One,
    Other,
}

/// Keys: attempt and version.
pub type Key = (usize, Version);

/// Which of several certified keys counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// As shipped: the one whose rehearsal all have signed, and until then the highest. (P-DKG-7)
    Rehearsed,
    /// Always the highest.
    Highest,
}

/// Sizes and rules of one model. All rules but the shipped ones are wrong, and a model must say so.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Trustees.
    pub n: usize,
    /// The one that lies, if any.
    pub liar: Option<usize>,
    /// Attempts.
    pub attempts: usize,
    /// Confirmations that certify. As shipped: all.
    pub needed: usize,
    /// Which key counts.
    pub rule: KeyRule,
    /// Whether a trustee signs in the rehearsal of one key only. (P-SIG-5)
    pub locked: bool,
    /// Whether a trustee may give up what it has confirmed. As shipped: no.
    pub retracts: bool,
}

/// One honest trustee.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Trustee {
    /// The attempt that it is in.
    pub attempt: usize,
    /// What it has confirmed.
    pub confirmed: [Option<Version>; ATTEMPTS],
    /// What it has given up.
    pub gave_up: [bool; ATTEMPTS],
    /// What is certified on its board.
    pub certified: [Option<Version>; ATTEMPTS],
    /// The keys whose rehearsal it has signed.
    pub rehearsed: Vec<Key>,
    /// The key whose rehearsal it has seen signed by all.
    pub accepted: Option<Key>,
}

/// Everything; the liar's entry stays as it was.
pub type State = [Trustee; TRUSTEES];

/// One step of an honest trustee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "who, and what")]
pub enum Step {
    /// Says that the keys of its attempt are good.
    Confirm { who: usize, version: Version },
    /// Complains about its attempt, or abandons it.
    GiveUp { who: usize },
    /// Sees that its attempt is given up, and that the next is asked for.
    Next { who: usize },
    /// Sees all confirmations that a certificate needs.
    Certify { who: usize, key: Key },
    /// Signs in the rehearsal of the key that counts for it.
    Rehearse { who: usize, key: Key },
    /// Sees everybody's part of a rehearsal.
    Accept { who: usize, key: Key },
}

impl Trustee {
    fn is_without_key(&self) -> bool {
        self.certified.iter().all(Option::is_none)
    }

    /// The key that counts for it.
    #[must_use]
    pub fn key(&self, rule: KeyRule) -> Option<Key> {
        let highest = (0..ATTEMPTS).rev().find_map(|attempt| Some((attempt, self.certified[attempt]?)));
        if rule == KeyRule::Rehearsed { self.accepted.or(highest) } else { highest }
    }
}

impl Rules {
    /// Trustees that keep to the rules.
    pub fn honest(&self) -> impl Iterator<Item = usize> + use<> {
        let liar = self.liar;
        (0..self.n).filter(move |who| Some(*who) != liar)
    }

    fn versions(&self) -> &'static [Version] {
        if self.liar.is_some() { &[Version::One, Version::Other] } else { &[Version::One] }
    }

    /// How many confirm a key: the liar confirms whatever it pleases.
    fn confirmations(&self, state: &State, (attempt, version): Key) -> usize {
        let honest = self.honest().filter(|who| state[*who].confirmed[attempt] == Some(version)).count();
        honest + usize::from(self.liar.is_some())
    }

    /// Whether all have signed in the rehearsal of a key: the liar does whenever it pleases.
    fn is_rehearsed(&self, state: &State, key: Key) -> bool {
        self.honest().all(|who| state[who].rehearsed.contains(&key))
    }

    fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let versions = self.versions();
        (0..self.attempts).flat_map(move |attempt| versions.iter().map(move |version| (attempt, *version)))
    }

    /// Every step that can be taken.
    #[must_use]
    pub fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for who in self.honest() {
            let me = &state[who];
            let attempt = me.attempt;
            if me.is_without_key() && !me.gave_up[attempt] {
                // Everybody's shares of this attempt are needed first.
                let shared = self.honest().all(|other| state[other].attempt >= attempt);
                if me.confirmed[attempt].is_none() && shared {
                    steps.extend(self.versions().iter().map(|version| Step::Confirm { who, version: *version }));
                }
                if me.confirmed[attempt].is_none() || self.retracts {
                    steps.push(Step::GiveUp { who });
                }
            }
            let given_up = self.liar.is_some() || self.honest().any(|other| state[other].gave_up[attempt]);
            if me.is_without_key() && attempt + 1 < self.attempts && given_up {
                steps.push(Step::Next { who });
            }
            for key in self.keys() {
                if me.certified[key.0].is_none() && self.confirmations(state, key) >= self.needed {
                    steps.push(Step::Certify { who, key });
                }
                if me.accepted.is_none() && me.certified[key.0] == Some(key.1) && self.is_rehearsed(state, key) {
                    steps.push(Step::Accept { who, key });
                }
            }
            if let Some(key) = me.key(self.rule)
                && me.confirmed[key.0] == Some(key.1)
                && !me.rehearsed.contains(&key)
                && (me.rehearsed.is_empty() || !self.locked)
            {
                steps.push(Step::Rehearse { who, key });
            }
        }
        steps
    }

    /// The state after a step.
    #[must_use]
    pub fn after(&self, state: &State, step: Step) -> State {
        let mut next = state.clone();
        match step {
            Step::Confirm { who, version } => {
                let me = &mut next[who];
                me.confirmed[me.attempt] = Some(version);
            }
            Step::GiveUp { who } => {
                let me = &mut next[who];
                me.gave_up[me.attempt] = true;
            }
            Step::Next { who } => next[who].attempt += 1,
            Step::Certify { who, key: (attempt, version) } => next[who].certified[attempt] = Some(version),
            Step::Rehearse { who, key } => next[who].rehearsed.push(key),
            Step::Accept { who, key } => next[who].accepted = Some(key),
        }
        next
    }

    /// Whether the liar has confirmed an attempt that nobody else gave up and that somebody saw given up: its own words, or a
    /// flaw in its messages, prove it to everybody. (Wrong 11 and those of P-DKG-3)
    #[must_use]
    pub fn proven(&self, state: &State) -> bool {
        (0..self.attempts).any(|attempt| {
            let certified = self.honest().any(|who| state[who].certified[attempt].is_some());
            let left = self.honest().any(|who| state[who].attempt > attempt);
            let by_honest = self.honest().any(|who| state[who].gave_up[attempt]);
            self.liar.is_some() && certified && left && !by_honest
        })
    }

    /// Whether there will be no key that all can use, though everybody sees everything from now on and the liar behaves.
    #[must_use]
    pub fn stuck(&self, state: &State) -> bool {
        let rehearsed = self.keys().find(|key| self.is_rehearsed(state, *key));
        if let (Some(_), KeyRule::Rehearsed) = (rehearsed, self.rule) {
            return false;
        }
        let certified = self.keys().filter(|(attempt, version)| {
            let seen = self.honest().any(|who| state[who].certified[*attempt] == Some(*version));
            let last = self.honest().all(|who| state[who].attempt <= *attempt);
            seen || last && self.confirmations(state, (*attempt, *version)) >= self.needed
        });
        // Without a certificate there can be one: the attempt that the last are in goes on, or another follows.
        let Some(key) = certified.max() else { return false };
        self.honest().any(|who| {
            let me = &state[who];
            let free = !self.locked || me.rehearsed.is_empty() || me.rehearsed.contains(&key);
            me.confirmed[key.0] != Some(key.1) || !free
        })
    }
}
