//! Delivery: limits, and what happens at a full inbox (SEMANTICS C2, C4).

use wasm_engine_abi::{
    calls::Status,
    frame::{ItemHeader, item},
    page::event,
};

use crate::environment::Environment;
use crate::inbox::{Item, ItemId};
use crate::payloads::{PayloadId, blocks};
use crate::state::Core;
use crate::stats::Stats;
use crate::topic_quotas::Replaced;
use wasm_engine_setup::Policy;

/// Queued items gone through in search of room that count as one more delivery tried.
const SEARCHED_PER_TRY: u32 = 16;

/// What became of one message at its receivers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliveries {
    pub(crate) delivered: u32,
    pub(crate) refused: u32,
    /// [`Status::Ok`] if nobody refused it.
    pub(crate) first_refusal: Status,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { delivered: 0, refused: 0, first_refusal: Status::Ok }
    }
}

impl Deliveries {
    /// One receiver has been tried.
    #[inline]
    pub(crate) fn add(&mut self, status: Status) {
        self.add_many(status, 1);
    }

    #[inline]
    fn add_many(&mut self, status: Status, count: u32) {
        if status == Status::Ok {
            self.delivered += count;
            return;
        }
        self.refused += count;
        if self.first_refusal == Status::Ok {
            self.first_refusal = status;
        }
    }

    /// Nobody further of `all` receivers is tried; gives how many they are.
    pub(crate) fn add_untried(&mut self, all: usize, stats: &mut Stats) -> u32 {
        let untried = (all as u32).saturating_sub(self.delivered + self.refused);
        stats.refused += u64::from(untried);
        self.add_many(Status::KernelFull, untried);
        untried
    }
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
        let status = self.try_delivery(receiver, new, policy, env);
        self.stats.refused += u64::from(status != Status::Ok);
        status
    }

    /// Whether the microstep has tried all the deliveries that it may (C2): what one costs, be it
    /// accepted or not, is bounded, and so is the commit.
    #[inline]
    pub(crate) fn tries_used_up(&self) -> bool {
        self.deliveries >= self.setup.limits.deliveries_per_microstep_max
    }

    #[inline]
    fn try_delivery(
        &mut self,
        receiver: u32,
        new: Item,
        policy: Policy,
        env: &mut impl Environment,
    ) -> Status {
        if self.tries_used_up() {
            return Status::KernelFull;
        }
        self.deliveries += 1;
        let ItemHeader { len, topic, .. } = new.header;
        if self.agents.at(receiver).item_bytes_max().is_some_and(|max| len > max) {
            return Status::TooLong;
        }
        let replaced = match policy {
            Policy::Refuse | Policy::DropNewest => Replaced::default(),
            Policy::DropOldest | Policy::LatestOnly => self.replaced(receiver, &new, policy),
        };
        let status = self.room(receiver, (topic, len), replaced);
        match status {
            Status::Ok => {
                if replaced.items > 0 {
                    let queued = |item: &Item| of_topic(item, topic);
                    self.drop_items(receiver, replaced.items, queued, env, Self::dropped);
                }
                self.accept(receiver, new);
                Status::Ok
            }
            Status::InboxFull if policy == Policy::DropNewest => {
                self.dropped(receiver, &new.header);
                Status::Ok
            }
            _ => status,
        }
    }

    /// An item is dropped by its topic's policy.
    fn dropped(&mut self, receiver: u32, header: &ItemHeader) {
        self.stats.dropped += 1;
        let receiver = self.agents.id(receiver).to_bits();
        self.chain.event_of_two(event::DROPPED, receiver, header.from_seq, header.from);
    }

    /// What `new` replaces under a policy that drops what is queued, if it is accepted: under
    /// `latest_only` all of its topic, under `drop_oldest` as few, oldest first, as its inbox
    /// needs. Nothing is dropped for an item that is then refused (C4).
    fn replaced(&mut self, receiver: u32, new: &Item, policy: Policy) -> Replaced {
        let inbox = &self.agents.at(receiver).inbox;
        let mut queued = inbox.iter(&self.items);
        let (mut replaced, mut searched) = (Replaced::default(), 0);
        let enough = |replaced| {
            policy == Policy::DropOldest && self.inbox_fits(receiver, new.header.len, replaced)
        };
        while !enough(replaced) {
            let Some(item) = queued.next() else { break };
            searched += 1;
            if of_topic(item, new.header.topic) {
                replaced.items += 1;
                replaced.blocks += blocks(item.header.len);
            }
        }
        self.deliveries = self.deliveries.saturating_add(searched / SEARCHED_PER_TRY);
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

    /// Whether a payload of `len` bytes that comes by `topic` fits every limit once `replaced` is
    /// gone (C2).
    #[inline]
    fn room(&self, receiver: u32, (topic, len): (u32, u32), replaced: Replaced) -> Status {
        if !self.inbox_fits(receiver, len, replaced) {
            return Status::InboxFull;
        }
        if !self.topic_quotas.fits(topic, len, replaced) {
            return Status::TopicFull;
        }
        let limits = &self.setup.limits;
        let blocks_held = self.held_blocks - replaced.blocks + blocks(len);
        if self.held_items - replaced.items >= limits.messages_held_max
            || blocks_held > blocks(limits.payload_bytes_held_max)
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
        self.topic_quotas.add(new.header.topic, blocks_new);
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

    /// Releases the first `max` queued items for which `matches` holds, oldest first; gives how
    /// many they were. `each` gets the header of every one.
    pub(crate) fn drop_items(
        &mut self,
        receiver: u32,
        max: u32,
        matches: impl Fn(&Item) -> bool,
        env: &mut impl Environment,
        mut each: impl FnMut(&mut Self, u32, &ItemHeader),
    ) -> u32 {
        let mut taken = std::mem::take(&mut self.taken);
        self.agents.at_mut(receiver).inbox.take(&mut self.items, max, matches, &mut taken);
        for &id in &taken {
            let header = self.items.get(id).header;
            self.release_item(receiver, id, env);
            each(self, receiver, &header);
        }
        let count = taken.len() as u32;
        taken.clear();
        self.taken = taken;
        count
    }

    /// Agent `index` was initialised: its inbox takes payloads of this length. What came before
    /// it said so and is longer becomes dead letters (C2).
    pub(crate) fn set_item_bytes_max(&mut self, index: u32, max: u32, env: &mut impl Environment) {
        self.agents.at_mut(index).set_item_bytes_max(max);
        let dropped =
            self.drop_items(index, u32::MAX, |item| item.header.len > max, env, |_, _, _| ());
        if dropped > 0 {
            self.stats.dead_letters += u64::from(dropped);
            let id = self.agents.id(index).to_bits();
            self.chain.event(event::DEAD_LETTERS, id, dropped.into());
        }
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
            self.topic_quotas.release(item.header.topic, charged);
        }
        if item.answers {
            agent.answers_used = agent.answers_used.saturating_sub(1);
        }
        // A reply of an open was reserved by its request; one made at commit is a refusal.
        if item.header.kind == item::REPLY && item.header.microstep == 0 {
            // The versions that a name can mean are equal in it.
            let model = self.models.of_handle(item.header.topic);
            self.requests.end(self.reply_bytes(model));
        }
        self.payloads.release(item.payload, env);
    }
}
