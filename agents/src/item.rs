//! Items: what arrives, seen through types. Views only; bytes stay in the inbox.

use bytemuck::AnyBitPattern;
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{CHANNEL, ItemHeader, NO_TOPIC, item};
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::input::{FILE_NAME_ALIGN, FileHeader};
use wasm_engine_abi::tensor::TensorList;

use crate::handles::{Model, Seq, Topic};
use crate::host::status;

/// The way a message came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Sent to this agent's address.
    Direct,
    /// Published on a topic.
    Topic(Topic),
    /// Cast to a channel: the sequence of this agent's last accepted [`join`](crate::Host::join)
    /// of it.
    Channel(Seq),
}

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// From an agent.
    Message {
        /// Its address.
        from: AgentId,
        /// Its own sequence number of the call.
        from_seq: Seq,
        /// The way it came.
        via: Via,
    },
    /// From a source.
    Input {
        /// The source's number.
        source: u64,
        /// The source's sequence number.
        source_seq: u64,
        /// The topic it was published on.
        topic: Topic,
    },
    /// Answer to `infer` or `infer_tensors`; the payload is the output row or the list of tensors
    /// if `result` is ok, with [`Status::Mismatch`] what differs in words, else empty.
    Reply {
        /// The call it answers.
        request: Seq,
        /// The model asked.
        model: Model,
        /// Whether the model answered.
        result: Result<(), Status>,
    },
    /// Answer to another call.
    Outcome {
        /// The call it answers.
        request: Seq,
        /// The agent it is about: the new one for `spawn`.
        about: AgentId,
        /// What became of it.
        result: Result<(), Status>,
    },
    /// A timer.
    Timer {
        /// The call that set it.
        request: Seq,
        /// The tag given to it.
        tag: u64,
    },
    /// The first item after a restart from a save point: the state is that behind a turn of this
    /// tick, and what it waited for will not come.
    Restarted {
        /// Tick of the save point.
        saved_tick: u64,
    },
    /// A kind that this SDK does not know: ignore it.
    Unknown(u32),
}

/// A part of a file: what a source of kind `files` with `head_bytes` or `tail_bytes` gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilePart<'a> {
    /// Its name without folders, as the system has it: mostly UTF-8.
    pub name: &'a [u8],
    /// Bytes of the whole file.
    pub len: u64,
    /// Its first bytes.
    pub head: &'a [u8],
    /// Its last bytes; in a short file they are among the first ones too.
    pub tail: &'a [u8],
}

/// One item with its payload.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    header: ItemHeader,
    payload: &'a [u8],
}

impl<'a> Item<'a> {
    /// An item as the kernel would deliver it, for tests; `header.len` is ignored.
    #[must_use]
    pub const fn new(header: ItemHeader, payload: &'a [u8]) -> Self {
        Self { header, payload }
    }

    /// Takes the item at the start of `bytes`; nothing if they are too few.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(size_of::<ItemHeader>())?;
        let header: ItemHeader = bytemuck::pod_read_unaligned(head);
        let payload = rest.get(..header.len as usize)?;
        Some(Self { header, payload })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let ItemHeader { kind, from, from_seq, topic, code, request, .. } = self.header;
        let request = Seq::from_raw(request);
        let result = status(code);
        match kind {
            item::MESSAGE => Kind::Message {
                from: AgentId::from_bits(from),
                from_seq: Seq::from_raw(from_seq),
                via: match topic {
                    NO_TOPIC => Via::Direct,
                    CHANNEL => Via::Channel(request),
                    topic => Via::Topic(Topic::from_raw(topic)),
                },
            },
            item::INPUT => {
                Kind::Input { source: from, source_seq: from_seq, topic: Topic::from_raw(topic) }
            }
            item::REPLY => Kind::Reply { request, model: Model::from_raw(topic), result },
            item::OUTCOME => Kind::Outcome { request, about: AgentId::from_bits(from), result },
            item::TIMER => Kind::Timer { request, tag: from_seq },
            item::RESTARTED => Kind::Restarted { saved_tick: from_seq },
            other => Kind::Unknown(other),
        }
    }

    /// The topic by which a message or an input came; none for everything else.
    #[must_use]
    pub fn topic(&self) -> Option<Topic> {
        let ItemHeader { kind, topic, .. } = self.header;
        let carries = matches!(kind, item::MESSAGE | item::INPUT);
        (carries && topic != NO_TOPIC && topic != CHANNEL).then(|| Topic::from_raw(topic))
    }

    pub(crate) const fn header(&self) -> &ItemHeader {
        &self.header
    }

    /// The payload.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload as one plain value; nothing if its length is not exactly that of `T`.
    ///
    /// Numbers are little-endian, as everywhere in the contract.
    #[must_use]
    pub fn payload_as<T: AnyBitPattern>(&self) -> Option<T> {
        bytemuck::try_pod_read_unaligned(self.payload).ok()
    }

    /// The payload as text, if it is UTF-8.
    #[must_use]
    pub fn payload_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.payload).ok()
    }

    /// The payload as `i16`s, whatever its alignment; an odd last byte is left out.
    pub fn i16s(&self) -> impl ExactSizeIterator<Item = i16> + use<'a> {
        let (values, _rest) = self.payload.as_chunks();
        values.iter().map(|bytes| i16::from_le_bytes(*bytes))
    }

    /// The payload as `f32`s, whatever its alignment; a rest of less than 4 bytes is left out.
    pub fn f32s(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        let (values, _rest) = self.payload.as_chunks();
        values.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// The payload as `f64`s, whatever its alignment; a rest of less than 8 bytes is left out.
    pub fn f64s(&self) -> impl ExactSizeIterator<Item = f64> + use<'a> {
        let (values, _rest) = self.payload.as_chunks();
        values.iter().map(|bytes| f64::from_le_bytes(*bytes))
    }

    /// The payload as a list of tensors, such as the reply to `infer_tensors`; nothing if it is
    /// none. Elements lie in the inbox as their types want them, so views are free.
    #[must_use]
    pub fn tensors(&self) -> Option<TensorList<'a>> {
        TensorList::parse(self.payload).ok()
    }

    /// The payload as a part of a file; nothing if it is not exactly one.
    #[must_use]
    pub fn file(&self) -> Option<FilePart<'a>> {
        let (header, rest) = self.payload.split_at_checked(size_of::<FileHeader>())?;
        let FileHeader { len, head, tail, name, zero } = bytemuck::pod_read_unaligned(header);
        let name = usize::try_from(name).ok()?;
        let (padded, rest) =
            rest.split_at_checked(name.checked_next_multiple_of(FILE_NAME_ALIGN)?)?;
        let (name, padding) = padded.split_at_checked(name)?;
        let (head, tail_bytes) = rest.split_at_checked(usize::try_from(head).ok()?)?;
        let whole = tail_bytes.len() as u64 == u64::from(tail)
            && [head.len(), tail_bytes.len()].iter().all(|part| *part as u64 <= len);
        let good = whole && zero == 0 && padding.iter().all(|byte| *byte == 0);
        good.then_some(FilePart { name, len, head, tail: tail_bytes })
    }

    /// Tick in which it was committed, or opened.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.header.tick
    }

    /// Microstep in which it was committed; 0 at open.
    #[must_use]
    pub const fn microstep(&self) -> u32 {
        self.header.microstep
    }

    /// Trace id: that of its cause.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.header.trace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_from_the_header() {
        let from = AgentId::new(7, 1).to_bits();
        let base = ItemHeader { from, from_seq: 3, request: 9, ..ItemHeader::default() };
        let kind =
            |kind, topic, code| Item::new(ItemHeader { kind, topic, code, ..base }, &[]).kind();
        let message =
            |via| Kind::Message { from: AgentId::new(7, 1), from_seq: Seq::from_raw(3), via };
        assert_eq!(kind(item::MESSAGE, NO_TOPIC, 0), message(Via::Direct));
        assert_eq!(kind(item::MESSAGE, CHANNEL, 0), message(Via::Channel(Seq::from_raw(9))));
        assert_eq!(kind(item::MESSAGE, 4, 0), message(Via::Topic(Topic::from_raw(4))));
        let (request, model) = (Seq::from_raw(9), Model::from_raw(2));
        let result = Err(Status::ModelFailed);
        assert_eq!(kind(item::REPLY, 2, -12), Kind::Reply { request, model, result });
        assert_eq!(kind(item::TIMER, NO_TOPIC, 0), Kind::Timer { request, tag: 3 });
        assert_eq!(kind(item::RESTARTED, NO_TOPIC, 0), Kind::Restarted { saved_tick: 3 });
        assert_eq!(kind(99, 0, 0), Kind::Unknown(99));
    }

    #[test]
    fn only_messages_and_inputs_have_a_topic() {
        let topic = |kind, topic| {
            Item::new(ItemHeader { kind, topic, ..ItemHeader::default() }, &[]).topic()
        };
        assert_eq!(topic(item::INPUT, 5), Some(Topic::from_raw(5)));
        assert_eq!(topic(item::MESSAGE, NO_TOPIC), None);
        assert_eq!(topic(item::MESSAGE, CHANNEL), None);
        assert_eq!(topic(item::REPLY, 5), None);
    }

    #[test]
    fn payloads_are_read_unaligned_and_never_beyond_their_end() {
        let mut bytes = [0u8; 1 + 64 + 12];
        let header = ItemHeader { kind: item::INPUT, len: 12, ..ItemHeader::default() };
        bytes[1..65].copy_from_slice(bytemuck::bytes_of(&header));
        for (slot, value) in bytes[65..].chunks_exact_mut(4).zip([1.5f32, -2.0, 3.25]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        let item = Item::parse(&bytes[1..]).expect("whole");
        assert!(item.f32s().eq([1.5, -2.0, 3.25]));
        assert_eq!(item.f64s().len(), 1);
        assert!(item.i16s().eq([0, 0x3fc0, 0, -0x4000, 0, 0x4050]));
        assert_eq!(item.payload_as::<[f32; 3]>(), Some([1.5, -2.0, 3.25]));
        assert_eq!(item.payload_as::<[f32; 2]>(), None);
        assert!(Item::parse(&bytes[1..76]).is_none());
        assert!(Item::parse(&bytes[1..60]).is_none());
    }

    #[test]
    fn a_part_of_a_file_is_read_whole_or_not_at_all() {
        let header = FileHeader { len: 10, head: 4, tail: 2, name: 5, zero: 0 };
        let mut bytes = [0u8; 38];
        bytes[..24].copy_from_slice(bytemuck::bytes_of(&header));
        bytes[24..].copy_from_slice(b"b.bin\x00\x00\x00012389");
        let part = |bytes: &[u8]| {
            let item = Item::new(ItemHeader { kind: item::INPUT, ..ItemHeader::default() }, bytes);
            item.file().map(|part| (part.name.len(), part.len, part.head.len(), part.tail.len()))
        };
        let item = Item::new(ItemHeader::default(), &bytes);
        let expected = FilePart { name: b"b.bin", len: 10, head: b"0123", tail: b"89" };
        assert_eq!(item.file(), Some(expected));
        for cut in 0..bytes.len() {
            assert_eq!(part(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(part(&[bytes.as_slice(), &[0]].concat()), None, "there is more");
        for (at, byte) in [(0, 3), (8, 5), (12, 9), (16, 255), (19, 255), (20, 1), (30, 1)] {
            let mut other = bytes;
            other[at] = byte;
            assert_eq!(part(&other), None, "byte {at}");
        }
        let empty = FileHeader { name: 0, ..FileHeader::default() };
        assert_eq!(part(bytemuck::bytes_of(&empty)), Some((0, 0, 0, 0)));
    }
}
