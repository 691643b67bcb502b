//! Regions that are damaged, of another version, or made by an enemy: an error, never more.

use std::path::{Path, PathBuf};

use proptest::prelude::{ProptestConfig, any, proptest};
use wasm_engine_abi::SCHEMA;
use wasm_engine_shm::header::Identity;
use wasm_engine_shm::map::Map;
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_telemetry::publisher::Sizes;
use wasm_engine_ui_bridge::{Live, MonitorError, SnapshotSource, View, json, text};
use wasm_engine_ui_bridge_testkit::owner::{NAMES, TestOwner, identity, plan, sizes};

/// The bytes of a good region.
fn good(directory: &Path) -> Vec<u8> {
    let path = directory.join("good");
    let map = Map::file(&path, plan().total_bytes()).expect("a file");
    let mut owner = TestOwner::format(map, identity(1));
    owner.publish(100);
    std::fs::read(&path).expect("its bytes")
}

fn open(path: &Path) -> Result<Live, MonitorError> {
    let map = ReadMap::open(path)
        .map_err(|source| MonitorError::Locate { name: "x".to_owned(), source: source.into() })?;
    Live::from_map("x", map)
}

fn written(directory: &Path, bytes: &[u8]) -> PathBuf {
    let path = directory.join("bad");
    std::fs::write(&path, bytes).expect("written");
    path
}

/// Reads a region and renders it every way; says how it ended.
fn read(directory: &Path, bytes: &[u8]) -> Result<View, MonitorError> {
    let mut live = open(&written(directory, bytes))?;
    let now = live.poll()?;
    let view = View::new(&now, Some(&now));
    json::document(&view).expect("a document");
    let summary = text::summary(&view);
    assert!(summary.chars().all(|c| c == '\n' || !c.is_control()));
    #[cfg(feature = "tui")]
    paint(&view);
    Ok(view)
}

#[cfg(feature = "tui")]
fn paint(view: &View) {
    use wasm_engine_ui_bridge::tui::{Pane, Screen, draw};
    let mut screen = Screen::new(std::time::Duration::from_millis(500));
    screen.polled(view);
    let backend = ratatui::backend::TestBackend::new(120, 40);
    let mut terminal = ratatui::Terminal::new(backend).expect("a terminal");
    for pane in Pane::ALL {
        screen.focus = pane;
        terminal.draw(|frame| draw(frame, view, &mut screen)).expect("painted");
    }
}

#[test]
fn a_good_copy_is_readable() {
    let directory = tempfile::tempdir().expect("a directory");
    let view = read(directory.path(), &good(directory.path())).expect("readable");
    assert_eq!((view.kernel.tick, view.agents.len()), (Some(100), 14));
}

#[test]
fn each_header_word_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = good(directory.path());
    // Words 0 to 15 are immutable and covered; so is the directory from byte 256 on, 6 sections.
    for at in (0..128).chain(256..256 + 6 * 64) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        let error = read(directory.path(), &bytes).expect_err("damaged");
        let code = error.exit_code();
        // Byte order and major version are looked at before the checksum.
        let version = (8..16).contains(&at) || (20..24).contains(&at);
        assert_eq!(code, if version { 5 } else { 4 }, "byte {at}: {error}");
        assert!(!error.to_string().is_empty());
    }
    let mut bytes = good.clone();
    bytes[..8].fill(0);
    let error = read(directory.path(), &bytes).expect_err("not ready");
    assert!(matches!(error, MonitorError::NotReady { .. }) && error.is_passing());
}

#[test]
fn truncated_anywhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = good(directory.path());
    let lengths = (0..1024).step_by(61).chain((1024..good.len()).step_by(4093));
    for len in lengths {
        let error = read(directory.path(), &good[..len]).expect_err("cut short");
        assert_eq!(error.exit_code(), 4, "{len} bytes: {error}");
    }
    // Cut while attached: noticed at the next look, before any byte is read.
    let path = written(directory.path(), &good);
    let mut live = open(&path).expect("whole");
    live.poll().expect("whole");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("opened")
        .set_len(4096)
        .expect("cut");
    let error = live.poll().expect_err("cut");
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("cut short"), "{error}");
}

/// A region of these names and identity, as bytes.
fn made(directory: &Path, names: &str, identity: Identity, sizes: &Sizes) -> Vec<u8> {
    let path = directory.join("made");
    let mut plan = wasm_engine_shm::layout::RegionPlan::new();
    sizes.plan(&mut plan).expect("possible");
    let map = Map::file(&path, plan.total_bytes()).expect("a file");
    let _owner = TestOwner::format_named(map, identity, names, sizes);
    std::fs::read(&path).expect("its bytes")
}

#[test]
fn another_schema_is_refused_with_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = Identity { schema: 0x1234, ..identity(1) };
    let bytes = made(directory.path(), NAMES, other, &sizes());
    let error = read(directory.path(), &bytes).expect_err("another schema");
    let text = error.to_string();
    assert_eq!(error.exit_code(), 5);
    assert!(text.contains("0x0000000000001234"), "{text}");
    assert!(text.contains(&format!("{SCHEMA:#018x}")), "{text}");
    // Another layout of the header itself.
    let mut bytes = good(directory.path());
    bytes[20] = 9;
    let text = read(directory.path(), &bytes).expect_err("another layout").to_string();
    assert!(text.contains("layout 9.1") && text.contains("reads 1.x"), "{text}");
}

#[test]
fn names_of_an_enemy() {
    let directory = tempfile::tempdir().expect("a directory");
    let with = |names: &str| {
        let sizes = Sizes { names_bytes: names.len() as u32, ..sizes() };
        read(directory.path(), &made(directory.path(), names, identity(1), &sizes))
    };
    for names in ["", "{", "[1,2]", r#"{"name":7}"#, &"[".repeat(100_000)] {
        let error = with(names).expect_err("no names");
        assert_eq!(error.exit_code(), 4, "{error}");
    }
    let view = with(r#"{"name":"\u001b[2Jx","unknown":[1]}"#).expect("readable");
    assert_eq!(view.name, "\u{fffd}[2Jx");
}

#[test]
fn tables_that_are_not_there_are_empty() {
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = Sizes { agents_max: 0, lanes: 0, models: 0, rings: 0, ..sizes() };
    let view =
        read(directory.path(), &made(directory.path(), NAMES, identity(1), &sizes)).expect("fine");
    assert!(view.agents.is_empty() && view.rings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_are_no_region(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let directory = tempfile::tempdir().expect("a directory");
        read(directory.path(), &bytes).expect_err("no region");
    }

    // Header and directory are good, everything behind them is not.
    #[test]
    fn random_contents_never_panic(
        damage in proptest::collection::vec((0usize..1 << 16, any::<u64>()), 1..2000)
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut bytes = good(directory.path());
        let words = bytes.len() / 8;
        for (at, value) in damage {
            // Byte 640 is where the directory ends.
            let at = (80 + at % (words - 80)) * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Err(error) = read(directory.path(), &bytes) {
            assert!(!error.to_string().is_empty());
        }
    }
}
