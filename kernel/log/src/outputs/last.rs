//! The last message of each output topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::line::payload_value;

/// The last message of each output topic, for the result document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LastOutputs {
    by_topic: BTreeMap<u32, Vec<u8>>,
}

impl LastOutputs {
    /// Remembers a message on the topic of this handle.
    pub fn note(&mut self, topic: u32, payload: &[u8]) {
        let last = self.by_topic.entry(topic).or_default();
        last.clear();
        last.extend_from_slice(payload);
    }

    /// By topic name; `name` gives the name of a handle.
    #[must_use]
    pub fn by_name<'n>(&self, name: impl Fn(u32) -> &'n str) -> BTreeMap<String, Value> {
        let named =
            |(topic, payload): (&u32, &Vec<u8>)| (name(*topic).to_owned(), payload_value(payload));
        self.by_topic.iter().map(named).collect()
    }
}
