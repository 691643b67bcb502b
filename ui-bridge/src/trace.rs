//! Events of a running kernel for people and programs: as a line, as a JSON document.

use core::fmt::Write as _;

use serde_json::{Map, Value};
use wasm_engine_abi::frame::{CHANNEL, NO_TOPIC, fault};
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::page::event::{self, Detail};
use wasm_engine_abi::page::{TraceEvent, stall};
use wasm_engine_abi::plain::PlainJson;
use wasm_engine_telemetry::names::Names;
use wasm_engine_telemetry::trace::Followed;

/// What the JSON documents are.
pub const TYPE: &str = "wasm-engine/event/1";

/// What is found as one JSON document on one line, without a line end.
#[must_use]
pub fn document(seen: &Followed, names: &Names) -> String {
    let mut map = Map::new();
    map.insert("$type".into(), TYPE.into());
    match seen {
        Followed::Lost { events, why } => {
            map.insert("lost".into(), (*events).into());
            map.insert("why".into(), why.text().into());
        }
        Followed::Event { number, event } => {
            map.insert("number".into(), (*number).into());
            map.insert("time_ns".into(), event.time_ns.into());
            map.insert("tick".into(), event.tick.into());
            map.insert("microstep".into(), event.microstep.into());
            map.insert("event".into(), event::text(event.kind).into());
            for Shown { key, value, name } in details(event, names) {
                if let Some(name) = name {
                    map.insert(format!("{key}_name"), name.into());
                }
                map.insert(key.into(), value);
            }
        }
    }
    PlainJson(&Value::Object(map).to_string()).to_string()
}

/// What is found as one line for people, without a line end.
#[must_use]
pub fn line(seen: &Followed, names: &Names) -> String {
    match seen {
        Followed::Lost { events, why } => format!("-- {events} events lost ({})", why.text()),
        Followed::Event { event, .. } => {
            let (s, us) = (event.time_ns / 1_000_000_000, event.time_ns / 1_000 % 1_000_000);
            let (tick, microstep) = (event.tick, event.microstep);
            let mut text = format!("{s:>6}.{us:06} {tick}.{microstep} {}", event::text(event.kind));
            for Shown { key, value, name } in details(event, names) {
                // Writing to a `String` cannot fail.
                let _ = match (name, value) {
                    (Some(name), _) => write!(text, " {key}={name}"),
                    // As it is, without the quotation marks of JSON.
                    (None, Value::String(value)) => write!(text, " {key}={value}"),
                    (None, value) => write!(text, " {key}={value}"),
                };
            }
            text
        }
    }
}

/// A detail as it is shown.
struct Shown<'a> {
    key: &'static str,
    value: Value,
    /// What the value is the number or address of, if it is known.
    name: Option<&'a str>,
}

/// What an event says; of an unknown kind the bare fields.
fn details<'a>(event: &TraceEvent, names: &'a Names) -> Vec<Shown<'a>> {
    let fields = [event.subject, event.a, event.b];
    let mut shown = Vec::with_capacity(4);
    let mut show = |key, value, name| shown.push(Shown { key, value, name });
    let at = |list: &'a [String], number| {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        list.get(at).map(String::as_str)
    };
    for (detail, value) in event::details(event.kind).into_iter().zip(fields) {
        let (upper, lower) = (value >> 32, value & u64::from(u32::MAX));
        match detail {
            Detail::Nothing => {}
            Detail::Agent(key) => {
                let address = AgentId::from_bits(value);
                show(key, address.to_string().into(), names.agent(address));
            }
            Detail::Number(key) => show(key, value.into(), None),
            Detail::Pair(first, second) => {
                show(first, upper.into(), None);
                show(second, lower.into(), None);
            }
            Detail::Source(key) => show(key, value.into(), at(&names.sources, value)),
            Detail::Topic(key, second) => {
                let value = match u32::try_from(upper) {
                    Ok(NO_TOPIC) => "none".into(),
                    Ok(CHANNEL) => "channel".into(),
                    _ => upper.into(),
                };
                show(key, value, at(&names.topics, upper));
                show(second, lower.into(), None);
            }
            Detail::Fault(key) => {
                let cause = u32::try_from(value).unwrap_or(u32::MAX);
                show(key, fault::text(cause).into(), None);
            }
            Detail::Stall(key) => {
                let cause = usize::try_from(value).unwrap_or(usize::MAX);
                show(key, stall::text(cause).into(), None);
            }
            Detail::Bits(key) => show(key, format!("{value:016x}").into(), None),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_by_no_topic_names_none() {
        let names = Names { topics: vec!["a".to_owned()], ..Names::default() };
        for (topic, word) in [(NO_TOPIC, "none"), (CHANNEL, "channel"), (0, "a"), (7, "7")] {
            let b = u64::from(topic) << 32 | 3;
            let event = TraceEvent { kind: event::DELIVERED, b, ..TraceEvent::default() };
            let text = line(&Followed::Event { number: 1, event }, &names);
            assert!(text.contains(&format!(" topic={word} ")), "{text}");
        }
    }
}
