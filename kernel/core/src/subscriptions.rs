//! Topics and channels: who gets what is said there (SEMANTICS C2).

use std::collections::BTreeMap;

/// Who subscribes to what, in the order of subscription.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    topics: Vec<Vec<u32>>,
    channels: BTreeMap<u64, Vec<u32>>,
}

impl Subscriptions {
    pub(crate) fn new(topics: usize) -> Self {
        Self { topics: vec![Vec::new(); topics], channels: BTreeMap::new() }
    }

    #[inline]
    pub(crate) fn subscribers(&self, topic: u32) -> usize {
        self.topics[topic as usize].len()
    }

    #[inline]
    pub(crate) fn subscriber(&self, topic: u32, at: usize) -> u32 {
        self.topics[topic as usize][at]
    }

    pub(crate) fn subscribe(&mut self, topic: u32, agent: u32) {
        self.topics[topic as usize].push(agent);
    }

    pub(crate) fn unsubscribe(&mut self, topic: u32, agent: u32) {
        self.topics[topic as usize].retain(|&other| other != agent);
    }

    pub(crate) fn members(&self, channel: u64) -> usize {
        self.channels.get(&channel).map_or(0, Vec::len)
    }

    pub(crate) fn member(&self, channel: u64, at: usize) -> u32 {
        self.channels[&channel][at]
    }

    pub(crate) fn join(&mut self, channel: u64, agent: u32) {
        self.channels.entry(channel).or_default().push(agent);
    }

    pub(crate) fn leave(&mut self, channel: u64, agent: u32) {
        if let Some(members) = self.channels.get_mut(&channel) {
            members.retain(|&other| other != agent);
            if members.is_empty() {
                self.channels.remove(&channel);
            }
        }
    }
}
