//! A host for unit tests: it takes every call, answers as the kernel would in the simple case, and
//! remembers it. Not on wasm32.
//!
//! What it is not: it has no quotas, delivers nothing and checks no rights. A test that needs a
//! refusal asks for it with [`refuse`](Host::refuse); one that needs a reply makes the item.
//!
//! ```
//! use wasm_engine_agent::recording::Call;
//! use wasm_engine_agent::{Host, Status};
//!
//! let mut host = Host::recording();
//! let topic = host.topic("alarm/JFK").unwrap();
//! host.refuse("publish", Status::Busy);
//! assert_eq!(host.publish(topic, b"first"), Err(Status::Busy));
//! let seq = host.publish(topic, b"second").unwrap();
//! let calls = host.take();
//! assert_eq!(calls[0].seq, seq);
//! let second = Call::Publish { topic: "alarm/JFK".into(), payload: b"second".into() };
//! assert_eq!(calls[0].call, second);
//! ```

use std::vec::Vec;

use wasm_engine_abi::calls::Status;

use crate::handles::{Model, Topic};
use crate::host::Host;
use crate::recorder::Raw;
pub use crate::recorder::{Call, Recorded};

impl Host {
    /// A recording host that knows every topic and model by the first mention of its name.
    #[must_use]
    pub fn recording() -> Self {
        Self { raw: Raw::default() }
    }

    /// A recording host that knows these topics and models, by handles in this order, and no
    /// others.
    #[must_use]
    pub fn recording_with(topics: &[&str], models: &[&str]) -> Self {
        Self { raw: Raw::knowing(topics, models) }
    }

    /// The calls accepted since the last `take`, in order.
    pub fn take(&mut self) -> Vec<Recorded> {
        self.raw.take()
    }

    /// Refuses the next call of this name (as in the table of calls) with `status`. Several wait
    /// in order.
    pub fn refuse(&mut self, call: &'static str, status: Status) {
        self.raw.refuse(call, status);
    }

    /// Sets the current tick.
    pub fn set_tick(&mut self, tick: u64) {
        self.raw.set_tick(tick);
    }

    /// The name behind a topic's handle.
    #[must_use]
    pub fn topic_name(&self, topic: Topic) -> Option<&str> {
        self.raw.topic_name(topic)
    }

    /// The name behind a model's handle.
    #[must_use]
    pub fn model_name(&self, model: Model) -> Option<&str> {
        self.raw.model_name(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_not() {
        let mut host = Host::recording_with(&["a", "b"], &["m"]);
        assert_eq!(host.topic("b").map(Topic::raw), Ok(1));
        assert_eq!(host.topic("c"), Err(Status::Unknown));
        assert_eq!(host.model("x"), Err(Status::Unknown));
        assert_eq!(host.publish(Topic::from_raw(2), b""), Err(Status::Unknown));
        assert_eq!(host.timer(0, 1), Err(Status::Invalid));
        assert!(host.take().is_empty());
    }

    #[test]
    fn a_pattern_subscribes_to_what_it_matches() {
        let mut host = Host::recording_with(&["a", "b/1", "c", "b/2", "b/2/x"], &[]);
        let last = host.next_topic("b/*", Some(Topic::from_raw(1)));
        assert_eq!(last, Ok(Some(Topic::from_raw(3))));
        assert_eq!(host.next_topic("b/*", last.ok().flatten()), Ok(None));
        assert_eq!(host.subscribe_all("b//*"), Err(Status::Invalid));
        assert_eq!(host.subscribe_all("d/**"), Ok(0));
        assert_eq!(host.subscribe_all("b/**"), Ok(3));
        let topics = host.take().into_iter().map(|recorded| recorded.call);
        let expected = ["b/1", "b/2", "b/2/x"].map(|topic| Call::Subscribe { topic: topic.into() });
        assert!(topics.eq(expected));
    }

    #[test]
    fn only_accepted_calls_take_a_number() {
        let mut host = Host::recording();
        host.refuse("join", Status::Quota);
        assert_eq!(host.join("c"), Err(Status::Quota));
        assert_eq!(host.join("c").map(crate::Seq::raw), Ok(0));
        assert_eq!(host.log(crate::Level::Info, "hello"), Ok(()));
        assert_eq!(host.leave("c").map(crate::Seq::raw), Ok(2));
        assert_eq!(host.take().len(), 3);
    }
}
