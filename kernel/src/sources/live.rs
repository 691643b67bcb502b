//! Live inputs: what a host pushes waits here for the tick that is about to open (SEMANTICS T7.6).
//!
//! ```text
//!  push(stream, payload) -> | payload, whole charge units | payload | ...   free   |  one ring
//!                             oldest                        newest    next
//! ```
//! All memory is taken at the start: a push copies its payload once and allocates nothing. What has
//! no room is refused; nothing is ever overwritten or dropped.
//!
//! It belongs to one thread. It knows no tick: which inputs enter is `ingest.rs`'s.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    config::{InputForm, SourceConfig, SourceKind},
    sources::lines_from::{LinesFrom, LiveWay},
    sources::streams::name_of,
};
use wasm_engine_abi::{
    limits::{AGENTS_MAX, BLOCK_BYTES, blocks},
    record::InputFact,
};

/// What a live source is: part of the configuration, none of it decides a result.
#[derive(Clone, Debug)]
pub(crate) struct LiveShape {
    /// Streams by their keys as configured.
    pub(crate) keys: BTreeMap<String, u32>,
    /// Bytes of the longest payload.
    pub(crate) payload_bytes_max: u32,
    /// Bytes of all that may wait, in whole charge units.
    pub(crate) queue_bytes: u32,
    /// How its inputs come.
    pub(crate) way: LiveWay,
}

/// The name of standard input, in place of a file's.
pub(crate) const STANDARD_INPUT: &str = "-";
/// Bytes of the longest payload of a live source, by default.
const PAYLOAD_BYTES: u32 = 4 << 10;
/// Bytes that may wait in a live source, by default.
const QUEUE_BYTES: u32 = 1 << 20;

impl LiveShape {
    /// The shape of a source, which has been checked, and the names of its streams; an error is a
    /// key and what is wrong with it.
    pub(crate) fn of(
        config: &SourceConfig,
        file: &Path,
    ) -> Result<(Self, Vec<String>), (&'static str, String)> {
        let own = std::slice::from_ref(&config.id);
        let keys = config.keys.as_deref().unwrap_or(own);
        if keys.len() > AGENTS_MAX as usize {
            return Err(("keys", format!("are more than {AGENTS_MAX}; name fewer")));
        }
        let name = |key: &String| match name_of(key) {
            Ok(name) => Ok(name),
            Err(problem) => Err(("keys", format!("holds `{key}`, which {problem}"))),
        };
        let names = keys.iter().map(name).collect::<Result<_, _>>()?;
        let payload_bytes_max = config.payload_bytes_max.unwrap_or(PAYLOAD_BYTES);
        let queue_bytes = config.queue_bytes.unwrap_or(QUEUE_BYTES);
        let least = blocks(payload_bytes_max).max(1) * BLOCK_BYTES;
        if queue_bytes < least {
            let problem = format!(
                "is {queue_bytes}, and one input may take {least}; raise it or lower \
                 payload_bytes_max"
            );
            return Err(("queue_bytes", problem));
        }
        let keys = keys.iter().cloned().zip(0..).collect();
        let way = way_of(config, file);
        Ok((Self { keys, payload_bytes_max, queue_bytes, way }, names))
    }

    /// Whether a host pushes into it.
    pub(crate) fn is_pushed(&self) -> bool {
        matches!(self.way, LiveWay::Pushed)
    }
}

/// How the inputs of a source come, `file` being the resolved path of its file or socket.
fn way_of(config: &SourceConfig, file: &Path) -> LiveWay {
    let socket = config.socket.as_ref().map(|_| file.to_owned());
    if config.kind() == Some(SourceKind::Feeder) {
        return LiveWay::Feeder(socket);
    }
    let named = config.file.as_ref().filter(|name| name.as_os_str() != STANDARD_INPUT);
    let lines = LinesFrom {
        file: named.map(|_| file.to_owned()),
        member: config.key.clone(),
        form: config.payload.unwrap_or(InputForm::Json),
    };
    match (socket, &config.file) {
        (Some(socket), _) => LiveWay::Socket(socket, lines),
        (None, Some(_)) => LiveWay::Lines(lines),
        (None, None) => LiveWay::Pushed,
    }
}

/// Why an input was not taken. The run goes on, and the source stands as before.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushRefusal {
    /// Too much waits already.
    #[error(
        "source `{source_id}` is full: {waiting} inputs wait for a tick; execute ticks, or raise \
         source.{source_id}.queue_bytes"
    )]
    Full {
        /// Id of the source.
        source_id: String,
        /// Inputs that wait.
        waiting: u64,
    },
    /// The payload is longer than the source takes.
    #[error(
        "an input of {bytes} bytes is longer than source.{source_id}.payload_bytes_max, which is \
         {max}"
    )]
    TooLarge {
        /// Id of the source.
        source_id: String,
        /// Bytes of the payload.
        bytes: u64,
        /// Bytes that it may have.
        max: u32,
    },
    /// The configuration has no such live source.
    #[error(
        "there is no live source `{source_id}` into which a host pushes; name one of kind \
         \"live\" without file and socket"
    )]
    UnknownSource {
        /// The id that was given.
        source_id: String,
    },
    /// The source has no such key.
    #[error("source `{source_id}` has no key `{key}`; name one of source.{source_id}.keys")]
    UnknownKey {
        /// Id of the source.
        source_id: String,
        /// The key that was given.
        key: String,
    },
    /// The source, or the kernel, was closed.
    #[error("source `{source_id}` is closed; it takes no more inputs")]
    Closed {
        /// Id of the source.
        source_id: String,
    },
    /// This process is a fork of the one that started the kernel.
    #[error(
        "this process was forked from the one that started the kernel, whose threads and memory it \
         does not have; start another kernel here"
    )]
    Forked,
}

/// An input that waits.
#[derive(Clone, Copy, Debug)]
struct WaitingInput {
    /// Where its payload begins.
    at: usize,
    len: u32,
    topic: u32,
    seq: u64,
}

/// Where a live source stands behind a tick. What waited then is in no log, and comes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LiveStand {
    /// The source.
    pub(crate) source: u64,
    /// Sequence number behind the last input that entered.
    pub(crate) entered: u64,
    /// How many before it are lost.
    pub(crate) gap: u64,
}

/// The inputs of one live source that wait.
#[derive(Debug)]
pub(crate) struct LiveQueue {
    id: String,
    /// Number of the source in the setup.
    /// Where it stands behind what has entered.
    stand: LiveStand,
    shape: LiveShape,
    /// Topic handles by stream.
    topics: Vec<u32>,
    waiting: VecDeque<WaitingInput>,
    bytes: Vec<u8>,
    /// Where the next payload begins, unless it wraps.
    next: usize,
    /// Sequence number of the next push.
    next_seq: u64,
    /// Sequence numbers that were passed over: inputs that are lost.
    gap: u64,
    /// How many of the oldest belong to the round under way (T7.6).
    round: usize,
    closed: bool,
}

impl LiveStand {
    /// A source of which nothing has entered.
    pub(crate) fn new(source: u64) -> Self {
        Self { source, entered: 0, gap: 0 }
    }

    /// The next input has entered; those before it that have not are lost.
    pub(crate) fn enter(&mut self, seq: u64) {
        self.gap = self.gap.saturating_add(seq.saturating_sub(self.entered));
        self.entered = self.entered.max(seq.saturating_add(1));
    }
}

impl LiveQueue {
    pub(crate) fn new(id: &str, source: u64, shape: LiveShape, topics: Vec<u32>) -> Self {
        let unit = BLOCK_BYTES as usize;
        let capacity = shape.queue_bytes as usize / unit * unit;
        Self {
            id: id.to_owned(),
            stand: LiveStand::new(source),
            topics,
            waiting: VecDeque::with_capacity(capacity / unit),
            bytes: vec![0; capacity],
            next: 0,
            next_seq: 0,
            gap: 0,
            round: 0,
            closed: false,
            shape,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn shape(&self) -> &LiveShape {
        &self.shape
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Number of the source in the setup.
    pub(crate) fn source(&self) -> u64 {
        self.stand.source
    }

    /// The stream that a key names.
    pub(crate) fn stream(&self, key: &str) -> Result<u32, PushRefusal> {
        let stream = self.shape.keys.get(key).copied();
        stream.ok_or_else(|| PushRefusal::UnknownKey {
            source_id: self.id.clone(),
            key: key.to_owned(),
        })
    }

    /// Takes an input; gives its sequence number in the source.
    pub(crate) fn push(&mut self, stream: u32, payload: &[u8]) -> Result<u64, PushRefusal> {
        if self.closed {
            return Err(PushRefusal::Closed { source_id: self.id.clone() });
        }
        let Some(&topic) = self.topics.get(stream as usize) else {
            let key = format!("of stream {stream}");
            return Err(PushRefusal::UnknownKey { source_id: self.id.clone(), key });
        };
        let max = self.shape.payload_bytes_max;
        let Some(len) = u32::try_from(payload.len()).ok().filter(|len| *len <= max) else {
            let bytes = payload.len() as u64;
            return Err(PushRefusal::TooLarge { source_id: self.id.clone(), bytes, max });
        };
        // One without a payload takes a unit too, so that their number is bounded.
        let need = blocks(len).max(1) as usize * BLOCK_BYTES as usize;
        let Some(at) = self.room(need) else {
            let waiting = self.waiting.len() as u64;
            return Err(PushRefusal::Full { source_id: self.id.clone(), waiting });
        };
        self.bytes[at..at + payload.len()].copy_from_slice(payload);
        self.next = at + need;
        let seq = self.next_seq;
        self.waiting.push_back(WaitingInput { at, len, topic, seq });
        self.next_seq += 1;
        Ok(seq)
    }

    /// Passes over the numbers before `seq`, whose inputs are lost.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        let lost = seq.saturating_sub(self.next_seq);
        self.gap += lost;
        self.next_seq += lost;
    }

    /// Inputs that are lost, those that the log of a resumed run lacks among them.
    pub(crate) fn gap(&self) -> u64 {
        self.gap
    }

    /// Sequence number behind the last input that entered.
    pub(crate) fn entered(&self) -> u64 {
        self.stand.entered
    }

    /// Where `need` bytes in a row are free.
    fn room(&self, need: usize) -> Option<usize> {
        let Some(first) = self.waiting.front().map(|oldest| oldest.at) else {
            return (need <= self.bytes.len()).then_some(0);
        };
        if self.next > first {
            if self.bytes.len() - self.next >= need {
                return Some(self.next);
            }
            return (first >= need).then_some(0);
        }
        // It has wrapped; if both are equal nothing is free.
        (first - self.next >= need).then_some(self.next)
    }

    /// The oldest input.
    pub(crate) fn first(&self) -> Option<(InputFact, &[u8])> {
        let WaitingInput { at, len, topic, seq } = *self.waiting.front()?;
        let input = InputFact { source: self.stand.source, seq, topic };
        Some((input, &self.bytes[at..at + len as usize]))
    }

    /// Forgets the oldest input, which has entered.
    pub(crate) fn pop(&mut self) {
        if let Some(input) = self.waiting.pop_front() {
            self.stand.enter(input.seq);
            self.round = self.round.saturating_sub(1);
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the oldest belongs to the round under way.
    pub(crate) fn in_round(&self) -> bool {
        self.round > 0
    }

    /// A round begins: of all that wait now.
    pub(crate) fn begin_round(&mut self) {
        self.round = self.waiting.len();
    }

    /// Sequence number of the next push.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// An input of the log has entered: the next push continues behind it.
    pub(crate) fn entered_before(&mut self, seq: u64) {
        self.skip_to(seq);
        self.stand.enter(seq);
        self.next_seq = self.next_seq.max(self.stand.entered);
    }

    /// Where it stands behind what has entered.
    pub(crate) fn stand(&self) -> LiveStand {
        self.stand
    }

    /// Goes on from there.
    pub(crate) fn begin_at(&mut self, stand: LiveStand) {
        (self.next_seq, self.gap, self.stand) = (stand.entered, stand.gap, stand);
    }

    /// Takes no more inputs; those that wait still enter.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn queue(payload_bytes_max: u32, queue_bytes: u32) -> LiveQueue {
        let keys = [("a".to_owned(), 0), ("b".to_owned(), 1)].into();
        let shape = LiveShape { keys, payload_bytes_max, queue_bytes, way: LiveWay::Pushed };
        LiveQueue::new("s", 3, shape, vec![7, 8])
    }

    #[test]
    fn t7_6_refusals_leave_the_queue_as_it_was() {
        let mut queue = queue(100, 256);
        assert_eq!(queue.push(0, &[1; 100]), Ok(0));
        assert_eq!(queue.push(1, b""), Ok(1), "it takes a unit too");
        let source_id = || "s".to_owned();
        let too_large = PushRefusal::TooLarge { source_id: source_id(), bytes: 101, max: 100 };
        assert_eq!(queue.push(0, &[1; 101]), Err(too_large));
        let full = || PushRefusal::Full { source_id: source_id(), waiting: 2 };
        assert_eq!(queue.push(0, &[1; 65]), Err(full()));
        assert_eq!(queue.push(0, &[1; 64]), Ok(2), "what still has room is taken");
        assert!(matches!(queue.push(0, b""), Err(PushRefusal::Full { waiting: 3, .. })));
        let key = "c".to_owned();
        assert_eq!(queue.stream("c"), Err(PushRefusal::UnknownKey { source_id: source_id(), key }));
        queue.close();
        assert_eq!(queue.push(0, b""), Err(PushRefusal::Closed { source_id: source_id() }));
        let first = InputFact { source: 3, seq: 0, topic: 7 };
        assert_eq!(queue.first(), Some((first, &[1; 100][..])));
        queue.pop();
        let second = InputFact { source: 3, seq: 1, topic: 8 };
        assert_eq!(queue.first(), Some((second, &b""[..])));
        assert_eq!(queue.next_seq(), 3);
    }

    #[test]
    fn t7_9_numbers_that_are_passed_over_are_counted_and_stay_in_order() {
        let mut queue = queue(100, 256);
        assert_eq!(queue.push(0, b"x"), Ok(0));
        queue.skip_to(5);
        queue.skip_to(3);
        assert_eq!((queue.next_seq(), queue.gap(), queue.entered()), (5, 4, 0));
        assert_eq!(queue.push(0, b"y"), Ok(5));
        queue.pop();
        assert_eq!(queue.first().map(|(input, _)| input.seq), Some(5));
        assert_eq!(queue.entered(), 1);
        queue.skip_to(9);
        assert_eq!(queue.stand(), LiveStand { source: 3, entered: 1, gap: 0 });
        queue.pop();
        // What lies behind the last one that entered is in no log.
        assert_eq!(queue.stand(), LiveStand { source: 3, entered: 6, gap: 4 });
        // A log in which numbers are missing has the same gap, as one has that begins there.
        queue.entered_before(9);
        assert_eq!((queue.next_seq(), queue.gap(), queue.entered()), (10, 7, 10));
        let stand = queue.stand();
        assert_eq!(stand, LiveStand { source: 3, entered: 10, gap: 7 });
        let mut other = self::queue(100, 256);
        other.begin_at(stand);
        assert_eq!((other.next_seq(), other.gap(), other.stand()), (10, 7, stand));
    }

    fn cases() -> ProptestConfig {
        ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases())]

        /// Pushes and pops in any order, beside a plain queue.
        #[test]
        fn what_is_taken_comes_out_once_in_order_and_whole(
            steps in proptest::collection::vec((0u32..300, 0u32..3), 0..400),
        ) {
            let mut queue = queue(256, 1024);
            let mut model = VecDeque::new();
            let (mut pushed, mut popped) = (0u64, 0u64);
            for (len, kind) in steps {
                if kind == 0 {
                    let first = queue.first().map(|(input, payload)| (input.seq, payload.to_vec()));
                    prop_assert_eq!(first, model.front().cloned().map(|it| (popped, it)));
                    popped += u64::from(model.pop_front().is_some());
                    queue.pop();
                    continue;
                }
                let payload: Vec<u8> = (0..len).map(|at| (u64::from(at) + pushed) as u8).collect();
                match queue.push(kind - 1, &payload) {
                    Ok(seq) => {
                        prop_assert_eq!(seq, pushed);
                        pushed += 1;
                        model.push_back(payload);
                    }
                    Err(PushRefusal::TooLarge { .. }) => prop_assert!(len > 256),
                    Err(PushRefusal::Full { waiting, .. }) => {
                        prop_assert_eq!(waiting, model.len() as u64);
                        prop_assert!(waiting > 0, "an empty queue takes the longest");
                    }
                    Err(other) => prop_assert!(false, "{}", other),
                }
                prop_assert_eq!(queue.waiting(), model.len());
            }
        }
    }
}
