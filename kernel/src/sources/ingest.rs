//! Inputs get their tick: what is due, what was left over, what fits (SEMANTICS T5, T7).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wasm_engine_abi::{
    Tick,
    limits::{BLOCK_BYTES, blocks},
    record::{CommandFact, InputFact},
};

use crate::sources::{
    arrivals::Arrivals,
    commands::{Commands, LiveCommands},
    feed_run::FeedRun,
    live::{LiveQueue, LiveStand},
    port::{FeedCounts, FeedReport, ListenError},
    source::Source,
};
use wasm_engine_core::FactsBuilder;
use wasm_engine_setup::Limits;

/// An input that was due and did not fit into its tick.
#[derive(Debug)]
struct Left {
    input: InputFact,
    payload: Vec<u8>,
}

/// Where the sources of a run stand behind a tick, beside what follows from its number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IngestState {
    /// Inputs left over: source, sequence, topic, payload.
    left: Vec<(u64, u64, u32, Vec<u8>)>,
    /// The live sources.
    live: Vec<LiveStand>,
    /// Commands of a live host that entered.
    live_commands: u64,
}

impl IngestState {
    /// Where the live sources stand.
    pub(crate) fn live(&self) -> &[LiveStand] {
        &self.live
    }
}

/// All sources of a run and the remainder of the last tick.
#[derive(Debug)]
pub(crate) struct Ingest {
    sources: Vec<Source>,
    commands: Commands,
    live_commands: LiveCommands,
    /// The live ones among them, in the same order.
    live: Vec<LiveQueue>,
    /// What comes for them from outside the process.
    arrivals: Arrivals,
    left: VecDeque<Left>,
    inputs_max: u32,
    blocks_max: u32,
    scratch: Vec<u8>,
}

/// What still fits into the tick being opened.
struct Room {
    inputs: u32,
    blocks: u32,
}

impl Room {
    fn take(&mut self, payload_bytes: usize) -> bool {
        let need = blocks(payload_bytes as u32);
        if self.inputs == 0 || self.blocks < need {
            return false;
        }
        self.inputs -= 1;
        self.blocks -= need;
        true
    }
}

impl Ingest {
    pub(crate) fn new(sources: Vec<Source>, limits: &Limits) -> Self {
        let live = (0..).zip(&sources).filter_map(|(number, source)| {
            let shape = source.live()?.clone();
            Some(LiveQueue::new(source.id(), number, shape, source.topics().to_vec()))
        });
        Self {
            live: live.collect(),
            arrivals: Arrivals::default(),
            sources,
            commands: Commands::default(),
            live_commands: LiveCommands::default(),
            left: VecDeque::new(),
            inputs_max: limits.inputs_per_tick_max,
            blocks_max: limits.input_bytes_per_tick_max / BLOCK_BYTES,
            scratch: Vec::new(),
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> IngestState {
        let left = |Left { input, payload }: &Left| {
            let InputFact { source, seq, topic } = *input;
            (source, seq, topic, payload.clone())
        };
        IngestState {
            left: self.left.iter().map(left).collect(),
            live: self.live.iter().map(LiveQueue::stand).collect(),
            live_commands: self.live_commands.entered(),
        }
    }

    /// Goes on from there; false if that is where no such sources can stand.
    pub(crate) fn begin_at(&mut self, state: IngestState) -> bool {
        let IngestState { left, live, live_commands } = state;
        let known = |source: &u64| usize::try_from(*source).is_ok_and(|at| at < self.sources.len());
        if live.len() != self.live.len() || !left.iter().all(|(source, ..)| known(source)) {
            return false;
        }
        let input = |(source, seq, topic, payload)| {
            let input = InputFact { source, seq, topic };
            Left { input, payload }
        };
        self.left = left.into_iter().map(input).collect();
        self.live.iter_mut().zip(live).for_each(|(queue, stand)| queue.begin_at(stand));
        self.live_commands.begin_at(live_commands);
        true
    }

    /// With these commands of the host.
    pub(crate) fn with_commands(self, commands: Commands) -> Self {
        Self { commands, ..self }
    }

    /// Adds the commands of `tick` to its facts, those of a live host last.
    pub(crate) fn enter_commands(&mut self, tick: Tick, facts: &mut FactsBuilder) {
        self.commands.enter(tick, facts);
        // Tick 0 admits none (T7.8).
        if tick > 0 {
            self.live_commands.enter(facts);
        }
    }

    /// A command for the next tick; gives its sequence, or none where too many wait.
    pub(crate) fn command(&mut self, action: u32, subject: u64, args: &[u8]) -> Option<u64> {
        self.live_commands.push(action, subject, args)
    }

    /// A command of a log that is executed again; gives whether it is one of a live host.
    pub(crate) fn commanded_before(&mut self, command: CommandFact) -> bool {
        command.is_live() && {
            self.live_commands.entered_before(command.seq);
            true
        }
    }

    /// The first tick after `after` at which an input enters, none when every source is closed.
    pub(crate) fn next_due(&self, after: Tick) -> Option<Tick> {
        if !self.left.is_empty() {
            return Some(after + 1);
        }
        let inputs = self.sources.iter().filter_map(|source| source.next_due(after));
        inputs.chain(self.commands.next_due(after)).min()
    }

    /// The live sources.
    pub(crate) fn live(&self) -> &[LiveQueue] {
        &self.live
    }

    /// The live sources, to push into them and to close them.
    pub(crate) fn live_mut(&mut self) -> &mut [LiveQueue] {
        &mut self.live
    }

    /// Starts the readers of live sources whose lines are read; to be called when the run is to
    /// begin.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn read_lines(&mut self) -> std::io::Result<()> {
        self.arrivals.read_lines(&self.live)
    }

    /// Listens for those who feed live sources; to be called when these stand where the log ends.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(crate) fn listen(&mut self, name: Option<&str>, run: FeedRun) -> Result<(), ListenError> {
        self.arrivals.listen(&self.live, name, run)
    }

    /// Takes what has arrived, as far as there is room; ticks up to `durable` are on disk.
    pub(crate) fn receive(&mut self, durable: Option<Tick>) {
        self.arrivals.receive(&mut self.live, durable);
    }

    /// Whether something may still come from outside.
    pub(crate) fn awaits_arrivals(&self) -> bool {
        self.arrivals.is_awaited(&self.live)
    }

    /// Waits until something arrives, at most for `time`.
    pub(crate) fn wait_for_arrivals(&mut self, time: Duration, has_log: bool) {
        self.arrivals.wait(time, has_log);
    }

    /// Tells all who feed that the run has ended.
    pub(crate) fn end(&mut self, durable: Option<Tick>) {
        self.arrivals.end(&self.live, durable);
    }

    /// How the sources stand that other processes feed over sockets, by source.
    pub(crate) fn feeds(&self) -> BTreeMap<String, FeedReport> {
        self.arrivals.reports(&self.live)
    }

    /// The same in numbers, for monitors.
    pub(crate) fn feed_counts(&self) -> FeedCounts {
        let mut counts = self.arrivals.counts();
        counts.gap = self.live.iter().map(LiveQueue::gap).sum();
        counts
    }

    /// Inputs that are lost, by source.
    pub(crate) fn gaps(&self) -> BTreeMap<String, u64> {
        let some = self.live.iter().filter(|queue| queue.gap() > 0);
        some.map(|queue| (queue.id().to_owned(), queue.gap())).collect()
    }

    /// Whether a live input or command waits.
    pub(crate) fn live_waits(&self) -> bool {
        self.live_commands.waiting() || self.live.iter().any(|queue| queue.waiting() > 0)
    }

    /// An input of a log that is executed again; gives whether it is a live one.
    pub(crate) fn entered_before(&mut self, input: InputFact) -> bool {
        let queue = self.live.iter_mut().find(|queue| queue.source() == input.source);
        queue.is_some_and(|queue| {
            queue.entered_before(input.seq);
            true
        })
    }

    /// The last tick at which an input is due; none if nobody knows it yet.
    pub(crate) fn last_tick(&self) -> Option<Tick> {
        if !self.live.is_empty() {
            return None;
        }
        self.sources.iter().map(Source::last_tick).max()
    }

    /// Rows, lines and files that sources left out, by source.
    pub(crate) fn left_out(&self) -> BTreeMap<String, u64> {
        let of_files = self.sources.iter().map(|source| (source.id(), source.left_out()));
        let of_lines = self.live.iter().enumerate();
        let of_lines = of_lines.map(|(at, queue)| (queue.id(), self.arrivals.left_out(at)));
        let some = of_files.chain(of_lines).filter(|(_, count)| *count > 0);
        some.map(|(id, count)| (id.to_owned(), count)).collect()
    }

    /// Inputs that wait for the next tick.
    pub(crate) fn left(&self) -> usize {
        self.left.len() + self.live.iter().map(LiveQueue::waiting).sum::<usize>()
    }

    /// Adds the inputs of `tick` to its facts: the last tick's remainder, then by source, then by
    /// source sequence, as far as they fit; live inputs behind all others (T7).
    pub(crate) fn enter(&mut self, tick: Tick, facts: &mut FactsBuilder) {
        let mut room = Room { inputs: self.inputs_max, blocks: self.blocks_max };
        while let Some(first) = self.left.front() {
            if !room.take(first.payload.len()) {
                break;
            }
            facts.push(first.input, &first.payload);
            self.left.pop_front();
        }
        let Self { sources, left, scratch, .. } = self;
        for (number, source) in sources.iter().enumerate() {
            source.inputs_at(tick, scratch, |due| {
                let input = InputFact { source: number as u64, seq: due.seq, topic: due.topic };
                if left.is_empty() && room.take(due.payload.len()) {
                    facts.push(input, due.payload);
                } else {
                    left.push_back(Left { input, payload: due.payload.to_vec() });
                }
            });
        }
        // What was pushed before tick 0, which admits no input (T8.1), waits for tick 1.
        if tick > 0 && self.left.is_empty() {
            self.enter_live(&mut room, facts);
            self.arrivals.entered(tick, &self.live);
        }
    }

    /// T7.6: the rest of the round under way, by source, then a new round of all that wait.
    fn enter_live(&mut self, room: &mut Room, facts: &mut FactsBuilder) {
        if self.enter_round(room, facts) {
            self.live.iter_mut().for_each(LiveQueue::begin_round);
            self.enter_round(room, facts);
        }
    }

    /// Whether all of the round entered.
    fn enter_round(&mut self, room: &mut Room, facts: &mut FactsBuilder) -> bool {
        for queue in &mut self.live {
            while queue.in_round() {
                let Some((input, payload)) = queue.first() else { break };
                if !room.take(payload.len()) {
                    return false;
                }
                facts.push(input, payload);
                queue.pop();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use wasm_engine_abi::record::{Fact, FactFields, Facts};

    use super::*;
    use crate::config::SourceConfig;

    /// A source of one row an hour and key; a payload is 16 bytes and 8 for each of `columns`.
    fn source(id: &str, keys: &str, hours: &[u32], columns: usize, topic: u32) -> Source {
        let names = (0..columns).map(|at| format!(",c{at}")).collect::<String>();
        let values = ",1".repeat(columns);
        let row = |hour, key| format!("{key},2013-01-01T{hour:02}:00:00Z{values}\n");
        let rows: String =
            hours.iter().flat_map(|hour| keys.chars().map(move |key| row(hour, key))).collect();
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("data.csv");
        std::fs::write(&file, format!("key,time{names}\n{rows}")).expect("written");
        let config = SourceConfig {
            file: Some(PathBuf::from("data.csv")),
            key: Some("key".to_owned()),
            time: Some("time".to_owned()),
            period_s: Some(3600),
            ..SourceConfig::for_tests(id)
        };
        let mut source = Source::read(&config, &file).expect("it is well-formed");
        source.bind_topics(vec![topic; source.streams() as usize]);
        source
    }

    fn limits(inputs_per_tick_max: u32, input_bytes_per_tick_max: u32) -> Limits {
        Limits { inputs_per_tick_max, input_bytes_per_tick_max, ..Limits::default() }
    }

    /// Source and sequence of each input that enters at `tick`.
    fn entered(ingest: &mut Ingest, tick: Tick) -> Vec<(u64, u64)> {
        let mut facts = FactsBuilder::default();
        facts.begin(tick);
        ingest.enter(tick, &mut facts);
        let facts = Facts::parse(facts.finish()).expect("well-formed");
        let input = |fact: Fact<'_>| match fact.header.fields() {
            Some(FactFields::Input(input)) => (input.source, input.seq),
            other => panic!("{other:?} is not an input"),
        };
        facts.iter().map(input).collect()
    }

    #[test]
    fn t7_2_as_many_inputs_enter_as_count_and_charge_units_allow() {
        // 72 bytes are two charge units, 24 are one.
        let large = || vec![source("large", "abcde", &[0], 7, 0)];
        let small = || vec![source("small", "abcde", &[0], 1, 0)];
        let count = |sources, limits| entered(&mut Ingest::new(sources, &limits), 1).len();
        assert_eq!(count(large(), limits(3, 5 * 64)), 2, "the bytes bind");
        assert_eq!(count(large(), limits(3, 6 * 64)), 3);
        assert_eq!(count(small(), limits(3, 5 * 64)), 3, "the count binds");
        assert_eq!(count(small(), limits(9, 5 * 64 - 1)), 4, "C2.9: rounded down");
    }

    #[test]
    fn t7_4_inputs_come_by_source_then_by_sequence() {
        let sources = vec![source("x", "ab", &[0, 1], 1, 7), source("y", "cd", &[0], 7, 8)];
        let mut ingest = Ingest::new(sources, &limits(9, 1 << 10));
        assert_eq!(entered(&mut ingest, 1), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(entered(&mut ingest, 2), [(0, 2), (0, 3)]);
        assert_eq!(ingest.next_due(2), None);
    }

    #[test]
    fn t5_1_t7_3_t7_4_what_does_not_fit_and_all_behind_it_enters_first_in_the_next_tick() {
        let sources =
            vec![source("large", "abcde", &[0], 7, 0), source("small", "xy", &[0, 2], 1, 0)];
        // Five charge units a tick: two large ones and room that a small one behind may not take.
        let mut ingest = Ingest::new(sources, &limits(9, 5 * 64));
        assert_eq!(entered(&mut ingest, 1), [(0, 0), (0, 1)]);
        assert_eq!((ingest.left(), ingest.next_due(1)), (5, Some(2)), "T5.1: inputs are left over");
        assert_eq!(entered(&mut ingest, 2), [(0, 2), (0, 3)]);
        assert_eq!(ingest.next_due(2), Some(3));
        // Those left over in their order, then the tick's own.
        assert_eq!(entered(&mut ingest, 3), [(0, 4), (1, 0), (1, 1), (1, 2)]);
        assert_eq!(ingest.next_due(3), Some(4));
        assert_eq!(entered(&mut ingest, 4), [(1, 3)]);
        assert_eq!((ingest.left(), ingest.next_due(4)), (0, None));
    }
}
