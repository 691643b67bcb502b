//! Any bytes, turned into regions of a kernel; a monitor shows them or says what is wrong.
//!
//! A panic or a loop without end is a finding. What is shown holds no control character, so that a
//! hostile kernel cannot write to the terminal; what is JSON can be parsed again.

use std::sync::OnceLock;
use std::time::Duration;

use bytemuck::Zeroable;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use wasm_engine_abi::page::{TraceEvent, event};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_telemetry::counters as telemetry_counters;
use wasm_engine_telemetry::trace::Followed;
use wasm_engine_ui_bridge::trace;
use wasm_engine_ui_bridge::tui::{Pane, Screen, draw};
use wasm_engine_ui_bridge::{Live, MonitorError, SnapshotSource, View, counters, json, text};

use crate::owner::{TestOwner, identity, plan};

/// Bytes from which decisions are taken; zeros once they have ended.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        let bytes = [self.byte(), self.byte(), self.byte(), 0];
        u32::from_le_bytes(bytes) as usize % end
    }

    fn word(&mut self) -> u64 {
        let (kind, value) = (self.byte(), u64::from(self.byte()));
        match kind % 4 {
            0 => value,
            1 => (1_u64 << (kind >> 2)).wrapping_add(value).wrapping_sub(128),
            2 => u64::MAX - value,
            _ => (0..7).fold(value, |word, _| word << 8 | u64::from(self.byte())),
        }
    }
}

/// The words of a sound region.
fn good() -> &'static Vec<u64> {
    static GOOD: OnceLock<Vec<u64>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("good");
        let map = Map::file(&path, plan().total_bytes()).expect("a file");
        let mut owner = TestOwner::format(map, identity(1));
        owner.publish(100);
        for (kind, n) in event::ALL.iter().map(|kind| kind.value).chain([0]).zip(0..) {
            let event = TraceEvent { kind, tick: n, subject: n, a: n, b: n, ..Zeroable::zeroed() };
            owner.publisher.event(&event);
        }
        let bytes = std::fs::read(&path).expect("its bytes");
        bytes.chunks_exact(8).map(|c| u64::from_ne_bytes(c.try_into().expect("eight"))).collect()
    })
}

/// The checksum as the header documents it.
fn seal(words: &mut [u64]) {
    let count = usize::try_from(words[7]).unwrap_or(usize::MAX).min((words.len() - 32) / 8);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for word in words[1..15].iter().chain(&words[32..32 + count * 8]) {
        sum = (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
    words[15] = sum;
}

/// A region of any bytes is shown as text and JSON or refused.
pub fn view(data: &[u8]) {
    let mut script = Script(data);
    let words = region(&mut script);
    events(&words);
    counted(&words);
    if let Ok(view) = poll(&words) {
        let document = json::document(&view).expect("a document");
        serde_json::from_str::<serde_json::Value>(&document).expect("that can be parsed again");
        let summary = text::summary(&view);
        assert!(summary.chars().all(|c| c == '\n' || !c.is_control()), "{summary:?}");
    }
}

/// Events of any bytes are shown; what is delivered and what is lost adds up.
fn events(words: &[u64]) {
    let Ok(live) = Live::from_map("x", ReadMap::copy_of(bytemuck::cast_slice(words))) else {
        return;
    };
    let Ok(Some(mut follower)) = live.follow() else { return };
    let mut passed = 0u64;
    // A hostile ring may go on for ever; each poll is bounded.
    for seen in std::iter::from_fn(|| follower.poll()).take(40) {
        passed = passed.wrapping_add(match seen {
            Followed::Event { .. } => 1,
            Followed::Lost { events, .. } => events,
        });
        let (document, line) =
            (trace::document(&seen, live.names()), trace::line(&seen, live.names()));
        serde_json::from_str::<serde_json::Value>(&document).expect("that can be parsed again");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    assert_eq!(passed, follower.passed());
}

/// Counters of any bytes are shown.
fn counted(words: &[u64]) {
    let map = ReadMap::copy_of(bytemuck::cast_slice(words));
    let Ok(counted) = telemetry_counters::poll_map("x", map) else { return };
    let document = counters::document(&counted).expect("a document");
    serde_json::from_str::<serde_json::Value>(&document).expect("that can be parsed again");
    let table = counters::table(&counted);
    assert!(table.chars().all(|c| c == '\n' || !c.is_control()), "{table:?}");
}

/// A region of any bytes is painted, whatever keys are pressed; apart, because painting takes a
/// hundred times as long as reading.
pub fn screen(data: &[u8]) {
    let mut script = Script(data);
    let keys = [script.byte(), script.byte()];
    if let Ok(view) = poll(&region(&mut script)) {
        paint(&view, keys);
    }
}

/// The words of a region: any, or sound ones changed here and there.
fn region(script: &mut Script<'_>) -> Vec<u64> {
    let mode = script.byte();
    if mode.is_multiple_of(4) {
        let mut words: Vec<u64> = script.0.iter().map(|byte| u64::from(*byte)).collect();
        words.resize(words.len().max(64), 0);
        return words;
    }
    let mut words = good().clone();
    // Without the header, which would be refused, unless it is asked for.
    let first = if mode % 4 == 1 { 0 } else { 80 };
    while !script.0.is_empty() {
        let at = first + script.below(words.len() - first);
        words[at] = script.word();
    }
    seal(&mut words);
    words
}

/// The names page of any bytes is parsed and shown or refused.
pub fn names(data: &[u8]) {
    use wasm_engine_telemetry::Names;
    let Ok(names) = Names::parse(data) else { return };
    let lists = [
        &names.templates,
        &names.models,
        &names.rings,
        &names.topics,
        &names.sources,
        &names.agents,
    ];
    let mut all = lists.into_iter().flatten().chain([&names.name]);
    assert!(all.all(|name| !name.chars().any(char::is_control)), "{names:?}");
}

/// Attaches and looks; an error says what is wrong and has an exit code.
fn poll(words: &[u64]) -> Result<View, MonitorError> {
    let polled = Live::from_map("x", ReadMap::copy_of(bytemuck::cast_slice(words)))
        .and_then(|mut live| live.poll())
        .map(|now| View::new(&now, Some(&now)));
    if let Err(error) = &polled {
        assert!(!error.to_string().is_empty() && error.exit_code() > 0);
    }
    polled
}

fn paint(view: &View, keys: [u8; 2]) {
    let mut screen = Screen::new(Duration::from_millis(500));
    screen.polled(view);
    let backend = ratatui::backend::TestBackend::new(80, 24);
    let mut terminal = ratatui::Terminal::new(backend).expect("a terminal");
    screen.focus = Pane::ALL[usize::from(keys[0]) % Pane::ALL.len()];
    for key in keys {
        let key = KeyEvent::new(KeyCode::Char(char::from(key)), KeyModifiers::NONE);
        screen.key(key);
    }
    terminal.draw(|frame| draw(frame, view, &mut screen)).expect("painted");
}
