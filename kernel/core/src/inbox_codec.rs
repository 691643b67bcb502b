//! Inboxes and their payloads as the bytes of a checkpoint (SEMANTICS L8).
//!
//! ```text
//!  inbox   = items | item ...
//!  item    = header 64 | its payload: 0 none, n + 1 the n-th of the checkpoint;
//!                        the first item with the next number is followed by the bytes
//! ```
//! Where items and payloads lie is physical: they are numbered in the order in which they are met,
//! so a message to many has its bytes once, and equal states have equal bytes.

use wasm_engine_abi::frame::{ItemHeader, item};

use crate::{
    agents::Agents,
    codec::{CheckpointError, Coded as _, Reader, ensure, put_count},
    environment::PayloadStore,
    inbox::{Inbox, Item, Items},
    payloads::{NO_PAYLOAD, PayloadId, Payloads, blocks},
};

/// Appends the inboxes of all slots.
pub(crate) fn put_inboxes(
    agents: &Agents,
    items: &Items,
    payloads: &Payloads,
    store: &mut impl PayloadStore,
    into: &mut Vec<u8>,
) {
    // By handle of the payload, one more than its number; 0 if it was not met.
    let (mut numbers, mut met) = (vec![0_u32; payloads.handles()], 0_u32);
    for index in 0..agents.len() as u32 {
        let inbox = &agents.at(index).inbox;
        put_count(inbox.iter(items).count(), into);
        for item in inbox.iter(items) {
            item.header.put(into);
            let Some(payload) = payloads.get(item.payload) else {
                0_u32.put(into);
                continue;
            };
            let number = &mut numbers[item.payload as usize];
            if *number == 0 {
                met += 1;
                *number = met;
                met.put(into);
                store.read(payload.location, payload.epoch, payload.len, into);
            } else {
                number.put(into);
            }
        }
    }
}

/// An item that was read, and the number of its payload.
type ReadItem = (ItemHeader, Option<u32>);

/// Inboxes that were read and checked, by slot.
#[derive(Debug)]
pub(crate) struct ReadInboxes<'a> {
    inboxes: Vec<Vec<ReadItem>>,
    payloads: Vec<&'a [u8]>,
}

/// What inboxes hold of what limits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    /// Messages and inputs.
    pub(crate) items: u64,
    /// Their payload blocks.
    pub(crate) blocks: u64,
}

impl<'a> ReadInboxes<'a> {
    /// Reads the inboxes of so many slots.
    pub(crate) fn take(slots: usize, from: &mut Reader<'a>) -> Result<Self, CheckpointError> {
        let mut read = Self { inboxes: Vec::new(), payloads: Vec::new() };
        for _ in 0..slots {
            let items = (0..from.count()?).map(|_| read.item(from));
            let items = items.collect::<Result<_, _>>()?;
            read.inboxes.push(items);
        }
        Ok(read)
    }

    fn item(&mut self, from: &mut Reader<'a>) -> Result<ReadItem, CheckpointError> {
        let header = ItemHeader::take(from)?;
        let known = matches!(
            header.kind,
            item::MESSAGE
                | item::INPUT
                | item::REPLY
                | item::OUTCOME
                | item::TIMER
                | item::RESTARTED
        );
        ensure(known, "an item is of no kind")?;
        let number = u32::take(from)?.checked_sub(1);
        ensure(number.is_some() == (header.len > 0), "an item has another payload")?;
        let Some(number) = number else { return Ok((header, None)) };
        if number as usize == self.payloads.len() {
            self.payloads.push(from.bytes(header.len as usize)?);
        }
        let payload = self.payloads.get(number as usize);
        let fits = payload.is_some_and(|bytes| bytes.len() == header.len as usize);
        ensure(fits, "an item has another payload")?;
        Ok((header, Some(number)))
    }

    /// All items.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &ItemHeader> {
        self.inboxes.iter().flatten().map(|(header, _)| header)
    }

    /// What they hold.
    pub(crate) fn held(&self) -> Held {
        let mut held = Held::default();
        for header in self.headers().filter(|header| counted(header)) {
            held.items += 1;
            held.blocks += u64::from(blocks(header.len));
        }
        held
    }

    /// Fills the inboxes of `agents`, which are empty.
    pub(crate) fn fill(
        self,
        agents: &mut Agents,
        items: &mut Items,
        payloads: &mut Payloads,
        store: &mut impl PayloadStore,
    ) {
        let mut keep = |bytes: &[u8]| {
            let location = store.keep(bytes);
            payloads.add_kept(location, 0, bytes.len() as u32)
        };
        let handles: Vec<PayloadId> = self.payloads.iter().map(|bytes| keep(bytes)).collect();
        for (index, inbox) in (0..).zip(self.inboxes) {
            for (header, number) in inbox {
                let payload = number.map_or(NO_PAYLOAD, |number| handles[number as usize]);
                payloads.refer(payload);
                let counts = counted(&header);
                // What begins an incarnation answers no call.
                let answers = !counts && header.kind != item::RESTARTED;
                let id = items.add(Item::new(header, payload, answers));
                let own: &mut Inbox = &mut agents.at_mut(index).inbox;
                if counts {
                    own.items += 1;
                    own.blocks += blocks(header.len);
                }
                own.push_back(id, items);
            }
        }
    }
}

/// Whether the inbox limits count an item with this header.
fn counted(header: &ItemHeader) -> bool {
    Item::new(*header, NO_PAYLOAD, false).counted()
}
