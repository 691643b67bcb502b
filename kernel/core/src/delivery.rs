//! Delivery: limits, and what happens at a full inbox (SEMANTICS C2, C4).

use wasm_engine_abi::{
    calls::Status,
    frame::{ItemHeader, item},
};

use crate::environment::Environment;
use crate::inbox::{Item, ItemId};
use crate::payloads::{PayloadId, blocks};
use crate::state::Core;
use crate::tick_digest::event;
use wasm_engine_setup::Policy;

/// Queued items that make room for a new one, and their payload blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Replaced {
    items: u32,
    blocks: u32,
}

/// Whether a policy of `topic` may drop this item.
#[inline]
fn of_topic(item: &Item, topic: u32) -> bool {
    item.counted() && item.header.topic == topic
}

impl Core {
    /// Delivers a counted item to the inbox of `receiver` within the limits, under the policy of
    /// the topic it came by. [`Status::Ok`] or why not; a drop by policy is no refusal, but is
    /// counted and digested here (C4).
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        receiver: u32,
        new: Item,
        policy: Policy,
        env: &mut impl Environment,
    ) -> Status {
        let replaced = match policy {
            Policy::Refuse | Policy::DropNewest => Replaced::default(),
            Policy::DropOldest | Policy::LatestOnly => self.replaced(receiver, &new, policy),
        };
        let status = self.room(receiver, new.header.len, replaced);
        match status {
            Status::Ok => {
                for _ in 0..replaced.items {
                    self.drop_queued(receiver, new.header.topic, env);
                }
                self.accept(receiver, new);
            }
            Status::InboxFull if policy == Policy::DropNewest => {
                self.stats.dropped += 1;
                self.chain.event(event::DROPPED, u64::from(receiver), new.header.from_seq);
                return Status::Ok;
            }
            _ => self.stats.refused += 1,
        }
        status
    }

    /// What `new` replaces under a policy that drops what is queued, if it is accepted: under
    /// `latest_only` all of its topic, under `drop_oldest` as few, oldest first, as its inbox
    /// needs. Nothing is dropped for an item that is then refused (C4).
    fn replaced(&self, receiver: u32, new: &Item, policy: Policy) -> Replaced {
        let inbox = &self.agents.at(receiver).inbox;
        let mut queued = inbox.iter(&self.items).filter(|item| of_topic(item, new.header.topic));
        let mut replaced = Replaced::default();
        let enough = |replaced| {
            policy == Policy::DropOldest && self.inbox_fits(receiver, new.header.len, replaced)
        };
        while !enough(replaced) {
            let Some(item) = queued.next() else { break };
            replaced.items += 1;
            replaced.blocks += blocks(item.header.len);
        }
        replaced
    }

    /// Whether a payload of `len` bytes fits the inbox once `replaced` is gone from it.
    #[inline]
    fn inbox_fits(&self, receiver: u32, len: u32, replaced: Replaced) -> bool {
        let limits = &self.setup.limits;
        let inbox = &self.agents.at(receiver).inbox;
        inbox.items - replaced.items < limits.inbox_items_max
            && inbox.blocks - replaced.blocks + blocks(len) <= blocks(limits.inbox_bytes_max)
    }

    /// Whether a payload of `len` bytes fits every limit once `replaced` is gone (C2).
    #[inline]
    fn room(&self, receiver: u32, len: u32, replaced: Replaced) -> Status {
        if !self.inbox_fits(receiver, len, replaced) {
            return Status::InboxFull;
        }
        let limits = &self.setup.limits;
        let blocks_held = self.held_blocks - replaced.blocks + blocks(len);
        if self.held_items - replaced.items >= limits.messages_held_max
            || blocks_held > blocks(limits.payload_bytes_held_max)
            || self.deliveries >= limits.deliveries_per_microstep_max
        {
            return Status::KernelFull;
        }
        Status::Ok
    }

    #[inline]
    fn accept(&mut self, receiver: u32, new: Item) {
        let blocks_new = blocks(new.header.len);
        self.chain.trace.detail(|| {
            let to = self.agents.id(receiver).to_bits();
            let what = u64::from(new.header.topic) << 32 | u64::from(new.header.len);
            let input = new.header.kind == item::INPUT;
            let kind = if input { event::INPUT } else { event::DELIVERED };
            (kind, to, new.header.from, what)
        });
        self.held_items += 1;
        self.held_blocks += blocks_new;
        self.deliveries += 1;
        self.stats.messages += 1;
        self.payloads.refer(new.payload);
        let id = self.items.add(new);
        let inbox = &mut self.agents.at_mut(receiver).inbox;
        inbox.items += 1;
        inbox.blocks += blocks_new;
        inbox.push_back(id, &mut self.items);
        self.mark_dirty(receiver);
        self.make_runnable(receiver);
    }

    /// Drops the oldest queued item of `topic`.
    fn drop_queued(&mut self, receiver: u32, topic: u32, env: &mut impl Environment) {
        let inbox = &mut self.agents.at_mut(receiver).inbox;
        let matches = |item: &Item| of_topic(item, topic);
        let Some(id) = inbox.take_first(&mut self.items, matches) else { return };
        let from_seq = self.items.get(id).header.from_seq;
        self.release_item(receiver, id, env);
        self.stats.dropped += 1;
        self.chain.event(event::DROPPED, u64::from(receiver), from_seq);
    }

    /// Puts an answer (reply, outcome or timer) into its receiver's inbox, where a position is
    /// reserved for it (A2, A4).
    pub(crate) fn push_answer(&mut self, receiver: u32, header: ItemHeader, payload: PayloadId) {
        debug_assert!(matches!(header.kind, item::REPLY | item::OUTCOME | item::TIMER));
        self.payloads.refer(payload);
        let id = self.items.add(Item::new(header, payload, true));
        self.agents.at_mut(receiver).inbox.push_back(id, &mut self.items);
        self.make_runnable(receiver);
    }

    /// Gives back everything an item of `receiver` was charged.
    #[inline]
    pub(crate) fn release_item(&mut self, receiver: u32, id: ItemId, env: &mut impl Environment) {
        let item = self.items.remove(id);
        let agent = self.agents.at_mut(receiver);
        if item.counted() {
            let charged = blocks(item.header.len);
            agent.inbox.items -= 1;
            agent.inbox.blocks -= charged;
            self.held_items -= 1;
            self.held_blocks -= charged;
        }
        if item.answers {
            agent.answers_used = agent.answers_used.saturating_sub(1);
        }
        // A reply of an open was reserved by its request; one made at commit is a refusal.
        if item.header.kind == item::REPLY && item.header.microstep == 0 {
            self.requests.count -= 1;
        }
        self.payloads.release(item.payload, env);
    }
}
