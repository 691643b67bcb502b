//! The whole year through the three agents on a small bus, with the naive forecast in index of
//! the model, and single hours that are easy to get wrong.
//!
//! The bus does what the kernel does for this example and no more: replies and inputs at open,
//! then microsteps in which each agent sees what was published in the one before (SEMANTICS T3,
//! T4). It checks no limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wasm_engine_agent::recording::Call;
use wasm_engine_agent::{Agent, Code, Context, Host, Init, Item, ItemHeader, Status, Text, frame};
use weather_agents::calendar::push_time;
use weather_agents::forecaster::Forecaster;
use weather_agents::observation::Observation;
use weather_agents::scorer::Scorer;
use weather_agents::watcher::Watcher;
use weather_agents::window::Window;

const STATIONS: [&str; 3] = ["EWR", "JFK", "LGA"];
const HOUR_S: i64 = 3600;

fn weather(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

struct Row {
    station: String,
    time: i64,
    values: Vec<f64>,
}

impl Row {
    /// As the source sends it.
    fn payload(&self) -> Vec<u8> {
        let mut bytes = self.time.to_le_bytes().to_vec();
        bytes.extend(0u32.to_le_bytes());
        bytes.extend((self.values.len() as u32).to_le_bytes());
        self.values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes
    }
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(weather("data/hourly-2013.csv")).expect("the data");
    let times = times_of_the_year();
    let row = |line: &str| {
        let (station, rest) = line.split_once(',').expect("a station");
        let (time, rest) = rest.split_once(',').expect("a time");
        let number = |field: &str| if field.is_empty() { f64::NAN } else { field.parse().unwrap() };
        let values = rest.split(',').map(number).collect();
        Row { station: station.to_owned(), time: times[time], values }
    };
    text.lines().skip(1).map(row).collect()
}

/// Unix seconds by text: read through the writer under test, which is checked on its own.
fn times_of_the_year() -> BTreeMap<String, i64> {
    (0..366 * 24)
        .map(|hour| {
            let time = 1_356_998_400 + hour * HOUR_S;
            let mut text = Text::<24>::new();
            push_time(&mut text, time);
            (text.as_str().to_owned(), time)
        })
        .collect()
}

/// One agent with its own host; the topics have the same handles everywhere.
struct Node<A> {
    agent: A,
    host: Host,
    wanted: Vec<String>,
}

/// What the bus needs of an agent, whichever it is.
trait Take {
    fn take(&mut self, header: ItemHeader, payload: &[u8]) -> Vec<(u64, Call)>;
    fn wants(&self, topic: &str) -> bool;
}

fn topics() -> Vec<String> {
    let subjects = ["observation", "forecast", "alarm", "score"];
    STATIONS
        .iter()
        .flat_map(|station| subjects.iter().map(move |subject| format!("{subject}/{station}")))
        .collect()
}

impl<A: Agent> Node<A> {
    fn start(key: &str) -> Result<Self, Code> {
        let names = topics();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut host = Host::recording_with(&names, &["temperature"]);
        let agent = A::init(&Init::new(Context::default(), key.as_bytes()), &mut host)?;
        let wanted = host.take().into_iter().filter_map(|made| match made.call {
            Call::Subscribe { topic } => Some(topic),
            _ => None,
        });
        Ok(Self { agent, wanted: wanted.collect(), host })
    }
}

impl<A: Agent> Take for Node<A> {
    fn take(&mut self, header: ItemHeader, payload: &[u8]) -> Vec<(u64, Call)> {
        let code = self.agent.receive(&Item::new(header, payload), &mut self.host);
        assert_eq!(code, Ok(()));
        let calls = self.host.take().into_iter();
        calls.map(|made| (made.seq.raw(), made.call)).collect()
    }

    fn wants(&self, topic: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == topic)
    }
}

fn handle(topic: &str) -> u32 {
    topics().iter().position(|name| name == topic).expect("a configured topic") as u32
}

/// A message or input for whoever wants it, or a reply for one agent.
struct Letter {
    to: Option<usize>,
    topic: String,
    header: ItemHeader,
    payload: Vec<u8>,
}

struct Bus {
    nodes: Vec<Box<dyn Take>>,
    replies: Vec<Letter>,
    published: Vec<(String, String)>,
    forecasts: u32,
}

impl Bus {
    fn new() -> Self {
        let mut nodes: Vec<Box<dyn Take>> = Vec::new();
        for key in STATIONS {
            nodes.push(Box::new(Node::<Forecaster>::start(key).expect("forecaster")));
            nodes.push(Box::new(Node::<Watcher>::start(key).expect("watcher")));
            nodes.push(Box::new(Node::<Scorer>::start(key).expect("scorer")));
        }
        Self { nodes, replies: Vec::new(), published: Vec::new(), forecasts: 0 }
    }

    /// One tick; `model` answers a request's row.
    fn tick(&mut self, rows: &[Row], model: impl Fn(&[f32]) -> f32) {
        let mut letters = std::mem::take(&mut self.replies);
        for row in rows {
            let topic = format!("observation/{}", row.station);
            let kind = frame::item::INPUT;
            let header = ItemHeader { kind, topic: handle(&topic), ..ItemHeader::default() };
            letters.push(Letter { to: None, topic, header, payload: row.payload() });
        }
        while !letters.is_empty() {
            let mut next = Vec::new();
            for (index, node) in self.nodes.iter_mut().enumerate() {
                for letter in &letters {
                    if letter.to.map_or(node.wants(&letter.topic), |to| to == index) {
                        for call in node.take(letter.header, &letter.payload) {
                            route(index, call, &mut next, &mut self.replies, &model);
                        }
                    }
                }
            }
            for letter in &next {
                if letter.topic.starts_with("forecast/") {
                    self.forecasts += 1;
                } else {
                    let text = String::from_utf8(letter.payload.clone()).expect("text");
                    self.published.push((letter.topic.clone(), text));
                }
            }
            letters = next;
        }
    }

    fn run(&mut self, rows: &[Row], model: impl Fn(&[f32]) -> f32) {
        for hour in rows.chunk_by(|a, b| a.time == b.time) {
            self.tick(hour, &model);
        }
    }

    fn on<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a str> {
        let published = self.published.iter().filter(move |(name, _)| name == topic);
        published.map(|(_, text)| text.as_str())
    }
}

fn route(
    from: usize,
    (request, call): (u64, Call),
    next: &mut Vec<Letter>,
    replies: &mut Vec<Letter>,
    model: impl Fn(&[f32]) -> f32,
) {
    match call {
        Call::Publish { topic, payload } => {
            let kind = frame::item::MESSAGE;
            let header = ItemHeader { kind, topic: handle(&topic), ..ItemHeader::default() };
            next.push(Letter { to: None, topic, header, payload });
        }
        Call::Infer { row, .. } => {
            let answer = model(&row_of(&row));
            let header = ItemHeader { kind: frame::item::REPLY, request, ..ItemHeader::default() };
            let payload = answer.to_le_bytes().to_vec();
            replies.push(Letter { to: Some(from), topic: String::new(), header, payload });
        }
        other => panic!("{other:?}"),
    }
}

fn row_of(bytes: &[u8]) -> Vec<f32> {
    assert_eq!(bytes.len(), 596);
    let (values, _) = bytes.as_chunks();
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// The figure behind the last of these names, each looked for behind the one before.
fn figure(json: &str, path: &[&str]) -> f64 {
    let mut rest = json;
    for name in path {
        let quoted = format!("\"{name}\":");
        rest = &rest[rest.find(&quoted).expect(name) + quoted.len()..];
    }
    let end = rest.find([',', '}', '\n']).expect("an end");
    rest[..end].trim().parse().expect("a number")
}

#[test]
fn the_errors_are_those_of_the_training_script() {
    let (rows, mut bus) = (rows(), Bus::new());
    bus.run(&rows, |input| input[120]);
    let report = std::fs::read_to_string(weather("model/temperature.json")).expect("the report");
    for station in STATIONS {
        let score = bus.on(&format!("score/{station}")).last().expect("a score").to_owned();
        println!("{score}");
        let expected = |name| figure(&report, &["stream_from_january", station, name]);
        assert_eq!(figure(&score, &["scored"]), expected("hours_scored"));
        assert_eq!(figure(&score, &["naive"]), expected("naive_mae_f"));
        assert_eq!(figure(&score, &["trend"]), expected("trend_mae_f"));
        assert_eq!(figure(&score, &["model"]), expected("naive_mae_f"));
    }
}

#[test]
fn alarms_are_rare_and_the_glitch_of_may_is_among_them() {
    let (rows, mut bus) = (rows(), Bus::new());
    bus.run(&rows, |input| input[120]);
    for station in STATIONS {
        let topic = format!("alarm/{station}");
        let count = bus.on(&topic).count();
        println!("{station} {count}");
        assert!((1..40).contains(&count), "{station} {count}");
    }
    let glitch: Vec<&str> =
        bus.on("alarm/JFK").filter(|alarm| figure(alarm, &["residual"]).abs() > 40.0).collect();
    assert_eq!(
        glitch,
        [
            "{\"station\":\"JFK\",\"time\":\"2013-05-09T02:00:00Z\",\"observed\":13.10,\
             \"forecast\":57.02,\"residual\":-43.92}",
            "{\"station\":\"JFK\",\"time\":\"2013-05-09T03:00:00Z\",\"observed\":57.20,\
             \"forecast\":13.10,\"residual\":44.10}",
        ]
    );
}

#[test]
fn a_rotated_copy_scores_all_but_the_hours_around_its_seam() {
    let mut rotated = rows();
    let (straight, seam) = (rotated.len(), 10_000);
    rotated.rotate_left(seam);
    let mut bus = Bus::new();
    bus.run(&rotated, |input| input[120]);
    assert_eq!(rotated.len(), straight);
    // The seam and the start each cost a station the 24 forecasts of a window that fills.
    let mut whole = Bus::new();
    whole.run(&rows(), |input| input[120]);
    let lost = whole.forecasts - bus.forecasts;
    assert!((60..=80).contains(&lost), "{lost}");
    for station in STATIONS {
        let topic = format!("score/{station}");
        assert_eq!(bus.on(&topic).last(), whole.on(&topic).last());
    }
}

#[test]
fn the_input_is_that_of_the_training_script() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors.csv");
    let vectors = std::fs::read_to_string(path).expect("vectors.csv");
    let mut expected: BTreeMap<(String, i64), Vec<f32>> = vectors
        .lines()
        .map(|line| {
            let mut fields = line.split(',');
            let station = fields.next().expect("a station").to_owned();
            let time = fields.next().expect("a time").parse().expect("seconds");
            ((station, time), fields.map(|field| field.parse().expect("a value")).collect())
        })
        .collect();
    assert!(expected.len() >= 10);
    let mut windows: BTreeMap<String, Window> = BTreeMap::new();
    for row in rows() {
        let observation = Observation::parse(&row.payload()).expect("a row");
        let window = windows.entry(row.station.clone()).or_default();
        let full = window.observe(&observation);
        if let Some(input) = expected.remove(&(row.station, row.time)) {
            assert!(full);
            assert_eq!(window.input()[..], input[..]);
        }
    }
    assert!(expected.is_empty(), "{:?}", expected.keys());
}

fn full_forecaster() -> (Node<Forecaster>, i64, u64) {
    let mut node = Node::<Forecaster>::start("EWR").expect("forecaster");
    let mut last = (0, 0);
    let topic = handle("observation/EWR");
    let header = ItemHeader { kind: frame::item::INPUT, topic, ..ItemHeader::default() };
    for row in rows().iter().filter(|row| row.station == "EWR").take(25) {
        for (seq, call) in node.take(header, &row.payload()) {
            assert!(matches!(call, Call::Infer { .. }));
            last = (row.time, seq);
        }
    }
    (node, last.0, last.1)
}

#[test]
fn a_failed_reply_makes_no_forecast_and_is_logged_once() {
    let (mut node, _, request) = full_forecaster();
    let code = Status::ModelFailed as i32;
    let reply = ItemHeader { kind: frame::item::REPLY, request, code, ..ItemHeader::default() };
    let calls = node.take(reply, &[]);
    let [(_, Call::Log { text, .. })] = &calls[..] else { panic!("{calls:?}") };
    assert!(text.starts_with("EWR: no forecast this hour, the model gave status -12"), "{text}");
    // The same request is answered once.
    assert!(node.take(reply, &[]).is_empty());
    assert_eq!(node.agent.failures(), 1);
}

#[test]
fn a_refused_request_and_an_odd_answer_count_as_failures() {
    let (mut node, time, request) = full_forecaster();
    let reply = ItemHeader { kind: frame::item::REPLY, request, ..ItemHeader::default() };
    assert_eq!(node.take(reply, &f32::NAN.to_le_bytes()).len(), 1);
    node.host.refuse("infer", Status::Busy);
    let topic = handle("observation/EWR");
    let header = ItemHeader { kind: frame::item::INPUT, topic, ..ItemHeader::default() };
    let row = Row { station: "EWR".to_owned(), time: time + HOUR_S, values: vec![1.0; 8] };
    assert!(node.take(header, &row.payload()).is_empty());
    assert_eq!(node.agent.failures(), 2);
}

#[test]
fn what_is_not_configured_is_a_fault_at_init() {
    assert_eq!(Node::<Scorer>::start("ORD").err(), Some(Status::Unknown.into()));
    assert_eq!(Node::<Watcher>::start("").err(), Some(weather_agents::code::BAD_KEY));
}

#[test]
fn a_payload_of_another_shape_is_named_by_code() {
    let mut node = Node::<Watcher>::start("JFK").expect("watcher");
    for subject in ["observation", "forecast"] {
        let topic = handle(&format!("{subject}/JFK"));
        let header = ItemHeader { kind: frame::item::INPUT, topic, ..ItemHeader::default() };
        let code = node.agent.receive(&Item::new(header, &[0; 23]), &mut node.host);
        assert_eq!(code, Err(weather_agents::code::BAD_PAYLOAD));
    }
}
