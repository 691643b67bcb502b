//! How much of what inboxes hold may have come by one topic (SEMANTICS C2.13).

use wasm_engine_setup::{Setup, TopicSetup};

use crate::codec::{CheckpointError, ensure};
use crate::payloads::blocks;

/// Queued items that make room for a new one, and their payload blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replaced {
    pub(crate) items: u32,
    pub(crate) blocks: u32,
}

/// What inboxes hold of one topic, and may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TopicQuota {
    items: u32,
    blocks: u32,
    items_max: u32,
    blocks_max: u32,
}

/// What inboxes hold by topic; nothing is counted where no topic has a quota.
#[derive(Debug, Default)]
pub(crate) struct TopicQuotas {
    /// By handle.
    topics: Vec<TopicQuota>,
}

impl TopicQuotas {
    pub(crate) fn new(setup: &Setup) -> Self {
        if !setup.topics.iter().any(TopicSetup::has_quota) {
            return Self::default();
        }
        let quota = |topic: &TopicSetup| TopicQuota {
            items: 0,
            blocks: 0,
            items_max: topic.messages_held_max.unwrap_or(u32::MAX),
            blocks_max: topic.payload_bytes_held_max.map_or(u32::MAX, blocks),
        };
        Self { topics: setup.topics.iter().map(quota).collect() }
    }

    /// Whether a payload of `len` bytes fits the quota of its topic once `replaced`, which is of
    /// the same, is gone.
    #[inline]
    pub(crate) fn fits(&self, topic: u32, len: u32, replaced: Replaced) -> bool {
        let Some(quota) = self.topics.get(topic as usize) else { return true };
        quota.items - replaced.items < quota.items_max
            && blocks(len) <= quota.blocks_max.saturating_sub(quota.blocks - replaced.blocks)
    }

    /// An inbox holds one more of a topic, or of none.
    #[inline]
    pub(crate) fn add(&mut self, topic: u32, blocks: u32) {
        if let Some(quota) = self.topics.get_mut(topic as usize) {
            quota.items += 1;
            quota.blocks += blocks;
        }
    }

    /// One of them is released.
    #[inline]
    pub(crate) fn release(&mut self, topic: u32, blocks: u32) {
        if let Some(quota) = self.topics.get_mut(topic as usize) {
            quota.items -= 1;
            quota.blocks -= blocks;
        }
    }

    /// After a checkpoint was read: whether what was counted keeps to the quotas.
    pub(crate) fn check(&self) -> Result<(), CheckpointError> {
        let kept = |of: &TopicQuota| of.items <= of.items_max && of.blocks <= of.blocks_max;
        ensure(self.topics.iter().all(kept), "inboxes hold more of a topic than its quota")
    }
}
