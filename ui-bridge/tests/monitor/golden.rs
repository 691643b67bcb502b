//! What every output looks like, to the character. `UPDATE_GOLDEN=1 cargo test` rewrites the files
//! in `tests/monitor/golden`; read the difference before committing it.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use wasm_engine_abi::page::agent_state;
use wasm_engine_telemetry::{Names, Owner};
use wasm_engine_ui_bridge::tui::{Screen, draw};
use wasm_engine_ui_bridge::view::{Lookback, Rates};
use wasm_engine_ui_bridge::{Liveness, Snapshot, View, json, text};
use wasm_engine_ui_bridge_testkit::owner::{ExampleRun, NAMES};

/// The example run as of a tick, as a reader would hand it out.
fn snapshot(tick: u64) -> Snapshot {
    let run = ExampleRun::at(tick);
    Snapshot {
        names: Names::parse(NAMES.as_bytes()).expect("valid names"),
        owner: Owner { pid: 4242, generation: 0xabc, started_unix_ns: 1_700_000_000_000_000_000 },
        liveness: Liveness::Live,
        activity: "running",
        idle_ns: 1000,
        kernel: run.kernel,
        agents_one_version: true,
        agents: (0..).zip(run.agents).filter(|(_, a)| a.state != agent_state::EMPTY).collect(),
        lanes: run.lanes.to_vec(),
        models: vec![run.model],
        rings: run.rings.to_vec(),
    }
}

/// The view after two looks, half a second of the run apart.
fn view() -> View {
    View::new(&snapshot(1071), Some(&snapshot(1000)))
}

fn expect(name: &str, found: &str) {
    let path = format!("{}/tests/monitor/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} differs; found:\n{found}");
}

fn paint(width: u16, height: u16, view: &View, keys: &[KeyCode]) -> String {
    let mut screen = Screen::new(Duration::from_millis(500));
    screen.polled(&View::new(&snapshot(1000), Some(&snapshot(950))));
    screen.polled(view);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    for key in keys {
        terminal.draw(|frame| draw(frame, view, &mut screen)).expect("painted");
        assert!(screen.key(KeyEvent::new(*key, KeyModifiers::NONE)));
    }
    terminal.draw(|frame| draw(frame, view, &mut screen)).expect("painted");
    terminal.backend().to_string()
}

#[test]
fn json_document() {
    let document = json::document(&view()).expect("a document");
    assert!(!document.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&document).expect("valid JSON");
    assert_eq!(value["$type"], "wasm-engine/monitor/1");
    let pretty = serde_json::to_string_pretty(&value).expect("printed");
    expect("view.json", &(pretty + "\n"));
}

#[test]
fn text_summary() {
    let summary = text::summary(&View::new(&snapshot(1071), None));
    assert!(summary.chars().all(|c| c == '\n' || !c.is_control()));
    expect("summary.txt", &summary);
}

#[test]
fn screens() {
    let view = view();
    expect("80x24.txt", &paint(80, 24, &view, &[]));
    expect("120x40.txt", &paint(120, 40, &view, &[]));
    expect("80x24-kernel.txt", &paint(80, 24, &view, &[KeyCode::Char('1')]));
    expect("120x40-kernel.txt", &paint(120, 40, &view, &[KeyCode::Char('1')]));
    expect("80x24-models.txt", &paint(80, 24, &view, &[KeyCode::Char('4')]));
    let by_faults = [KeyCode::Char('s'); 4];
    expect("80x24-by-faults.txt", &paint(80, 24, &view, &by_faults));
    expect("80x24-help.txt", &paint(80, 24, &view, &[KeyCode::Char('?')]));
}

#[test]
fn rates_outlive_a_poll_and_not_the_kernel() {
    let mut lookback = Lookback::default();
    lookback.view(snapshot(1000));
    let moving = lookback.view(snapshot(1071)).rates;
    assert_eq!((moving.window_ns, moving.ticks), (71 * 7_000_000, 142.9));
    // Looked at faster than it publishes.
    assert_eq!(lookback.view(snapshot(1071)).rates, moving);
    let resting = Snapshot { idle_ns: 3_000_000_000, ..snapshot(1071) };
    let dead = Snapshot { liveness: Liveness::Dead, ..snapshot(1071) };
    for now in [resting, dead] {
        let view = lookback.view(now);
        assert_eq!((view.rates, view.lanes[0].busy), (Rates::default(), 0.0));
        assert_eq!(view.agents[0].turns_per_s, 0.0);
    }
}

#[test]
fn states_have_words() {
    let mut last = snapshot(1071);
    for (liveness, words) in [
        (Liveness::Stale, "stale  no heartbeat for"),
        (Liveness::Dead, "dead  the process is gone"),
        (Liveness::Finished, "finished"),
    ] {
        last.liveness = liveness;
        let view = View::new(&last, None);
        let screen = paint(80, 24, &view, &[]);
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn every_size_can_be_painted() {
    let mut view = view();
    for width in (1..200).step_by(7) {
        for height in 1..50 {
            paint(width, height, &view, &[KeyCode::Char('1'), KeyCode::Char('?')]);
        }
    }
    view.agents.clear();
    view.models.clear();
    assert!(paint(80, 24, &view, &[KeyCode::Char('j')]).contains("none"));
}

#[test]
fn scrolling_stays_inside() {
    let view = view();
    let end = paint(80, 24, &view, &[KeyCode::End]);
    assert!(end.contains("archivist#0") && end.contains("4-14 of 14"), "{end}");
    assert_eq!(end, paint(80, 24, &view, &[KeyCode::Down; 40]));
    assert_eq!(paint(80, 24, &view, &[]), paint(80, 24, &view, &[KeyCode::End, KeyCode::Home]));
}

#[test]
fn keys_do_what_the_help_says() {
    let mut screen = Screen::new(Duration::from_millis(500));
    let mut press = |code, modifiers| {
        let on = screen.key(KeyEvent::new(code, modifiers));
        (on, screen.paused, screen.interval.as_millis())
    };
    let none = KeyModifiers::NONE;
    assert_eq!(press(KeyCode::Char('p'), none), (true, true, 500));
    assert_eq!(press(KeyCode::Char(' '), none), (true, false, 500));
    assert_eq!(press(KeyCode::Char('+'), none), (true, false, 250));
    (0..9).for_each(|_| assert!(press(KeyCode::Char('+'), none).0));
    assert_eq!(press(KeyCode::Char('-'), none), (true, false, 100));
    (0..9).for_each(|_| assert!(press(KeyCode::Char('-'), none).0));
    assert_eq!(press(KeyCode::Tab, none), (true, false, 10_000));
    // The help swallows the key that closes it.
    press(KeyCode::Char('?'), none);
    assert!(press(KeyCode::Char('q'), none).0);
    assert!(!press(KeyCode::Char('q'), none).0);
    assert!(!press(KeyCode::Char('c'), KeyModifiers::CONTROL).0);
}
