//! Events of a running kernel, one by one, with what was lost between them.
//!
//! A [`Follower`] goes through the trace ring of one run. It begins with what the ring still holds,
//! never waits for the kernel and never holds it up; the kernel overwrites what was not read in time,
//! and the follower is told how much that was. Each look is bounded; a damaged ring can make a
//! follower lose for ever, so who loops counts losses without an event between.
//!
//! What this does not do: it follows no second run of the name, and it does not sleep: the caller
//! looks again when it likes.

use core::fmt::Write as _;

use bytemuck::Zeroable;
use serde_json::{Map, Value};
use wasm_engine_abi::frame::fault;
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::page::event::{self, Detail};
use wasm_engine_abi::page::{TraceEvent, stall};
use wasm_engine_shm::broadcast::{BroadcastReader, Next, Overtaken};
use wasm_engine_shm::mem::ReadMem;

use crate::source::Names;

/// What the JSON documents are.
pub const TYPE: &str = "wasm-engine/event/1";

/// What a follower finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// An event.
    Event {
        /// Its number, from 0.
        number: u64,
        /// The event.
        event: TraceEvent,
    },
    /// Events that were overwritten before they were read.
    Lost {
        /// How many.
        events: u64,
        /// Why.
        why: Why,
    },
}

/// Why events were not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// They were gone when the follower began.
    Earlier,
    /// The follower came too late: look more often, or make the ring larger.
    Polling,
    /// The kernel overtook the follower while it copied.
    Reading,
}

impl Why {
    /// In one word.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Earlier => "earlier",
            Self::Polling => "polling",
            Self::Reading => "reading",
        }
    }
}

/// Goes through the events of one run.
#[derive(Debug)]
pub struct Follower {
    reader: BroadcastReader<ReadMem>,
    /// Events that were gone when it began, until that is said.
    earlier: u64,
}

/// Of the oldest events in the ring, the part that is left to a writer that runs.
const SPARE_PARTS: u64 = 16;

impl Follower {
    /// Begins with the oldest event that is there; of a run that goes on, a little behind it, for the
    /// oldest is the next to be overwritten.
    pub(crate) fn new(mut reader: BroadcastReader<ReadMem>, goes_on: bool) -> Self {
        reader.skip_to_oldest(if goes_on { reader.slots() / SPARE_PARTS } else { 0 });
        Self { earlier: reader.position(), reader }
    }

    /// Events that the ring holds.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.reader.slots()
    }

    /// Events sent so far; [`Follower::passed`] of them are behind this follower.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.reader.sent()
    }

    /// Events read or lost.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.reader.position() - self.earlier
    }

    /// The next event or loss; `None` if there is nothing new.
    pub fn look(&mut self) -> Option<Seen> {
        match std::mem::take(&mut self.earlier) {
            0 => {}
            events => return Some(Seen::Lost { events, why: Why::Earlier }),
        }
        let mut event = TraceEvent::zeroed();
        match self.reader.next(bytemuck::bytes_of_mut(&mut event)) {
            Next::Empty => None,
            Next::Message { number, .. } => Some(Seen::Event { number, event }),
            Next::Overrun { lost, during, .. } => {
                let why = match during {
                    Overtaken::Polling => Why::Polling,
                    Overtaken::Reading => Why::Reading,
                };
                Some(Seen::Lost { events: lost, why })
            }
        }
    }
}

/// What is found as one JSON document on one line, without a line end.
#[must_use]
pub fn document(seen: &Seen, names: &Names) -> String {
    let mut map = Map::new();
    map.insert("$type".into(), TYPE.into());
    match seen {
        Seen::Lost { events, why } => {
            map.insert("lost".into(), (*events).into());
            map.insert("why".into(), why.text().into());
        }
        Seen::Event { number, event } => {
            map.insert("number".into(), (*number).into());
            map.insert("time_ns".into(), event.time_ns.into());
            map.insert("tick".into(), event.tick.into());
            map.insert("microstep".into(), event.microstep.into());
            map.insert("event".into(), event::text(event.kind).into());
            for (key, value) in details(event, names) {
                let value = match value {
                    Shown::Number(number) => Value::from(number),
                    Shown::Named { number, name } => {
                        if let Some(name) = name {
                            map.insert(format!("{key}_name"), name.into());
                        }
                        number.into()
                    }
                    Shown::Agent { address, name } => {
                        if let Some(name) = name {
                            map.insert(format!("{key}_name"), name.into());
                        }
                        address.into()
                    }
                    Shown::Text(text) => text.into(),
                };
                map.insert(key.into(), value);
            }
        }
    }
    Value::Object(map).to_string()
}

/// What is found as one line for people, without a line end.
#[must_use]
pub fn line(seen: &Seen, names: &Names) -> String {
    match seen {
        Seen::Lost { events, why } => format!("-- {events} events lost ({})", why.text()),
        Seen::Event { event, .. } => {
            let (s, us) = (event.time_ns / 1_000_000_000, event.time_ns / 1_000 % 1_000_000);
            let (tick, microstep) = (event.tick, event.microstep);
            let mut text = format!("{s:>6}.{us:06} {tick}.{microstep} {}", event::text(event.kind));
            for (key, value) in details(event, names) {
                // Writing to a `String` cannot fail.
                let _ = match value {
                    Shown::Number(number) => write!(text, " {key}={number}"),
                    Shown::Named { number, name } => {
                        write!(text, " {key}={}", name.unwrap_or_else(|| number.to_string()))
                    }
                    Shown::Agent { address, name } => {
                        write!(text, " {key}={}", name.unwrap_or(address))
                    }
                    Shown::Text(shown) => write!(text, " {key}={shown}"),
                };
            }
            text
        }
    }
}

/// A detail as it is shown.
enum Shown {
    Number(u64),
    Named { number: u64, name: Option<String> },
    Agent { address: String, name: Option<String> },
    Text(String),
}

/// Names and values of what an event says; of an unknown kind the bare fields.
fn details(event: &TraceEvent, names: &Names) -> Vec<(&'static str, Shown)> {
    let fields = [event.subject, event.a, event.b];
    let mut shown = Vec::with_capacity(4);
    for (detail, value) in event::details(event.kind).into_iter().zip(fields) {
        match detail {
            Detail::Nothing => {}
            Detail::Agent(key) => shown.push((key, agent(value, names))),
            Detail::Number(key) => shown.push((key, Shown::Number(value))),
            Detail::Pair(upper, lower) => {
                shown.push((upper, Shown::Number(value >> 32)));
                shown.push((lower, Shown::Number(value & u64::from(u32::MAX))));
            }
            Detail::Source(key) => shown.push((key, named(value, &names.sources))),
            Detail::Topic(key, lower) => {
                shown.push((key, named(value >> 32, &names.topics)));
                shown.push((lower, Shown::Number(value & u64::from(u32::MAX))));
            }
            Detail::Fault(key) => {
                let cause = u32::try_from(value).unwrap_or(u32::MAX);
                shown.push((key, Shown::Text(fault::text(cause).into())));
            }
            Detail::Stall(key) => {
                let cause = usize::try_from(value).unwrap_or(usize::MAX);
                shown.push((key, Shown::Text(stall::text(cause).into())));
            }
            Detail::Bits(key) => shown.push((key, Shown::Text(format!("{value:016x}")))),
        }
    }
    shown
}

fn named(number: u64, list: &[String]) -> Shown {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    Shown::Named { number, name: list.get(at).cloned() }
}

fn agent(bits: u64, names: &Names) -> Shown {
    let address = AgentId::from_bits(bits);
    // The first agent of a slot is the configured one.
    let configured =
        (address.generation() == 0).then(|| names.agents.get(address.index() as usize));
    Shown::Agent { address: address.to_string(), name: configured.flatten().cloned() }
}
