//! Items and inboxes: one list per agent, nodes from one pool (SEMANTICS A2).
//!
//! The nodes of all inboxes lie in one slab that grows to what the run needs and is then reused,
//! so the tick path does not allocate.

use wasm_engine_abi::frame::{ItemHeader, item};

use crate::payloads::PayloadId;

const NONE: u32 = u32::MAX;

/// Handle of an item in the pool.
pub(crate) type ItemId = u32;

/// One item, queued or in a planned turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) header: ItemHeader,
    pub(crate) payload: PayloadId,
    /// It holds one of its receiver's pending-call slots until it is received (A4).
    pub(crate) answers: bool,
    next: ItemId,
}

impl Item {
    #[inline]
    pub(crate) fn new(header: ItemHeader, payload: PayloadId, answers: bool) -> Self {
        Self { header, payload, answers, next: NONE }
    }

    /// Whether the inbox limits count it: messages and inputs do, answers have slots reserved.
    #[inline]
    pub(crate) fn counted(&self) -> bool {
        is_counted(self.header.kind)
    }
}

/// Whether the limits of inboxes count items of this kind.
#[inline]
pub(crate) fn is_counted(kind: u32) -> bool {
    matches!(kind, item::MESSAGE | item::INPUT)
}

/// The pool of all items.
#[derive(Debug, Default)]
pub(crate) struct Items {
    nodes: Vec<Item>,
    free: Vec<ItemId>,
}

impl Items {
    #[inline]
    pub(crate) fn add(&mut self, item: Item) -> ItemId {
        match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = item;
                id
            }
            None => {
                self.nodes.push(item);
                (self.nodes.len() - 1) as ItemId
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: ItemId) -> &Item {
        &self.nodes[id as usize]
    }

    /// Returns the node to the pool; the item itself is the caller's to account for.
    #[inline]
    pub(crate) fn remove(&mut self, id: ItemId) -> Item {
        self.free.push(id);
        self.nodes[id as usize]
    }
}

/// The queue of one agent. `items` and `blocks` count what the limits charge, from acceptance
/// until release, and so include the items of a turn under way (C2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inbox {
    head: ItemId,
    tail: ItemId,
    pub(crate) items: u32,
    pub(crate) blocks: u32,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, items: 0, blocks: 0 }
    }
}

impl Inbox {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    #[inline]
    pub(crate) fn push_back(&mut self, id: ItemId, pool: &mut Items) {
        pool.nodes[id as usize].next = NONE;
        match self.tail {
            NONE => self.head = id,
            tail => pool.nodes[tail as usize].next = id,
        }
        self.tail = id;
    }

    #[inline]
    pub(crate) fn push_front(&mut self, id: ItemId, pool: &mut Items) {
        pool.nodes[id as usize].next = self.head;
        self.head = id;
        if self.tail == NONE {
            self.tail = id;
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self, pool: &Items) -> Option<ItemId> {
        if self.head == NONE {
            return None;
        }
        let id = self.head;
        self.head = pool.nodes[id as usize].next;
        if self.head == NONE {
            self.tail = NONE;
        }
        Some(id)
    }

    /// The queued items, oldest first.
    pub(crate) fn iter<'a>(&self, pool: &'a Items) -> impl Iterator<Item = &'a Item> + use<'a> {
        let node = |at: ItemId| pool.nodes.get(at as usize);
        std::iter::successors(node(self.head), move |item| node(item.next))
    }

    /// Unlinks the first `max` items for which `matches` holds, oldest first, in one pass.
    pub(crate) fn take(
        &mut self,
        pool: &mut Items,
        max: u32,
        matches: impl Fn(&Item) -> bool,
        into: &mut Vec<ItemId>,
    ) {
        let (mut before, mut at, mut left) = (NONE, self.head, max);
        while at != NONE && left > 0 {
            let next = pool.nodes[at as usize].next;
            if !matches(&pool.nodes[at as usize]) {
                (before, at) = (at, next);
                continue;
            }
            match before {
                NONE => self.head = next,
                before => pool.nodes[before as usize].next = next,
            }
            if self.tail == at {
                self.tail = before;
            }
            into.push(at);
            left -= 1;
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(seq: u64) -> Item {
        let header = ItemHeader { kind: item::MESSAGE, from_seq: seq, ..ItemHeader::default() };
        Item::new(header, 0, false)
    }

    fn drain(inbox: &mut Inbox, pool: &mut Items) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Some(id) = inbox.pop_front(pool) {
            seqs.push(pool.remove(id).header.from_seq);
        }
        seqs
    }

    #[test]
    fn a2_1_an_inbox_keeps_order_through_both_ends_and_the_middle() {
        let (mut pool, mut inbox) = (Items::default(), Inbox::default());
        for seq in 1..=4 {
            let id = pool.add(item(seq));
            inbox.push_back(id, &mut pool);
        }
        let front = pool.add(item(0));
        inbox.push_front(front, &mut pool);
        let mut taken = Vec::new();
        inbox.take(&mut pool, 2, |item| item.header.from_seq.is_multiple_of(2), &mut taken);
        inbox.take(&mut pool, 9, |item| item.header.from_seq == 4, &mut taken);
        let seqs: Vec<_> = taken.into_iter().map(|id| pool.remove(id).header.from_seq).collect();
        assert_eq!(seqs, [0, 2, 4]);
        let id = pool.add(item(5));
        inbox.push_back(id, &mut pool);
        assert_eq!(drain(&mut inbox, &mut pool), [1, 3, 5]);
        assert!(inbox.is_empty());
    }
}
