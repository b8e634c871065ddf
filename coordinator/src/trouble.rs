//! What a person should look at, by topic: said once, taken back when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The troubles of one election.
#[derive(Debug, Default)]
pub struct Troubles {
    by_topic: Mutex<BTreeMap<String, String>>,
}

impl Troubles {
    /// There is trouble with this topic, in plain language. Logged when it is new.
    pub fn set(&self, topic: impl Into<String>, text: impl Into<String>) {
        let (topic, text) = (topic.into(), text.into());
        let mut all = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&topic) != Some(&text) {
            tracing::warn!(topic, text, "trouble");
            all.insert(topic, text);
        }
    }

    /// It is over.
    pub fn clear(&self, topic: &str) {
        let mut all = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        if all.remove(topic).is_some() {
            tracing::info!(topic, "trouble is over");
        }
    }

    /// All of them.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.by_topic.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
