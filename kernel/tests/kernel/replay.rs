//! A log says what happened: it is confirmed, its damage is found, its lies are named, and a run
//! goes on from it (SEMANTICS L4 to L7, D3).

use std::{fs, path::Path, sync::Arc};

use crate::support::{
    ALL, Mix, Prog, SCRIPT, prog,
    run::{Folder, SOURCE, config, data, named, options, toml_string},
    wasm,
};
use wasm_engine::{
    exit::{Exit, HasExitCode},
    replay::{ReplayError, ReplayOptions, inspect, replay, verify},
    report::{Divergence, Ended, RunReport, SegmentReport, VerifyReport},
    run::ResumeError,
    run::RunError,
    run::{RunOptions, run},
};
use wasm_engine_abi::AgentId;
use wasm_engine_abi::record::{FactHeader, TickClose, TickOpen, kind};
use wasm_engine_guest::admission::{Admitted, ModuleLimits, admit};
use wasm_engine_guest::engine::{MemoryProfile, deterministic_engine, fingerprint};
use wasm_engine_log::outputs::OUTPUTS_FILE;
use wasm_engine_log::tamper::{Rec, change, forge, records};
use wasm_engine_setup::{EngineFingerprint, SyncPolicy};

const ROWS: u64 = 60;

fn strict(dir: &Path) -> Result<VerifyReport, ReplayError> {
    verify(dir, ReplayOptions::default())
}

fn recovering(dir: &Path) -> Result<VerifyReport, ReplayError> {
    verify(dir, ReplayOptions { recover: true, ..ReplayOptions::default() })
}

#[test]
fn l4_1_l6_1_l6_2_a_log_is_confirmed_with_any_number_of_workers_and_gives_the_runs_report() {
    let folder = Folder::new(ROWS);
    let run = folder.logged("log", None);
    assert_eq!(run.ended, Ended::Done);
    // One tick a row, tick 0, and two for the last timers.
    assert_eq!((run.ticks, run.agents, run.restarts), (ROWS + 3, 3, 3));
    assert!(run.messages > 500 && run.output_messages > 300, "{run:?}");
    for workers in [0, 2] {
        let options = ReplayOptions { workers, ..ReplayOptions::default() };
        let verified = verify(&folder.path("log"), options).expect("a whole log");
        assert_eq!(verified.divergence, None);
        assert_eq!(verified.output_lines, run.output_messages);
        assert_eq!((verified.run.digest, verified.run.fuel_digest), (run.digest, run.fuel_digest));
        assert_eq!((verified.run.turns, verified.run.fuel), (run.turns, run.fuel));
        assert_eq!(verified.run.outputs, run.outputs);
    }
    assert_eq!(
        replay(&folder.path("log"), ReplayOptions::default()).expect("whole").digest,
        run.digest
    );
    let inspected = inspect(&folder.path("log")).expect("a whole log");
    assert_eq!(
        (inspected.ticks, inspected.digest, inspected.closed),
        (run.ticks, run.digest, true)
    );
    assert_eq!((inspected.inputs, inspected.turns), (3 * ROWS, run.turns));
    // Nothing but the directory is needed.
    for name in ["run.toml", "agent.wasm", "data.csv"] {
        fs::remove_file(folder.path(name)).expect("removed");
    }
    assert_eq!(strict(&folder.path("log")).expect("a whole log").divergence, None);
}

#[test]
fn l1_3_a_close_has_both_chains_and_a_digest_of_each_turn() {
    let folder = Folder::new(ROWS);
    let run = folder.logged("log", None);
    let mut turns = 0;
    let mut last = None;
    for record in records(&folder.path("log")).iter().filter(|r| r.kind == kind::TICK_CLOSE) {
        let (close, digests) = record.payload.split_at(size_of::<TickClose>());
        let close: TickClose = bytemuck::pod_read_unaligned(close);
        assert_eq!(close.tick, record.tick);
        assert_eq!(digests.len(), close.turns as usize * size_of::<u64>(), "low halves");
        turns += u64::from(close.turns);
        last = Some((close.digest, close.fuel));
    }
    assert!(turns > 0);
    assert_eq!((turns, last), (run.turns, Some((run.digest, run.fuel_digest))));
    // That the digests are those of the turns says replay, which compares each.
    let close = |r: &Rec| r.kind == kind::TICK_CLOSE && r.tick == 30;
    let found = divergence(lie(&folder, close, size_of::<TickClose>(), 1));
    assert_eq!(found.tick, 30, "{found:?}");
}

#[test]
fn l2_2_each_output_carries_its_tick() {
    let folder = Folder::new(ROWS);
    let run = folder.logged("log", None);
    let lines = |log: &str| {
        let text = fs::read_to_string(folder.path(log).join(OUTPUTS_FILE)).expect("outputs");
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (line["tick"].as_u64().expect("a tick"), line)
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    let whole = lines("log");
    assert!(whole.is_sorted_by_key(|(tick, _)| *tick));
    assert_eq!(whole.last().map(|(tick, _)| *tick), Some(run.last_tick), "the last timers");
    // A run that ends before a tick has the lines of all ticks before it, and no other.
    for ticks in [1, 2, 30] {
        let log = format!("{ticks} ticks");
        folder.logged(&log, Some(ticks));
        let before: Vec<_> = whole.iter().filter(|(tick, _)| *tick < ticks).cloned().collect();
        assert!(before.is_empty() == (ticks == 1), "rows come from tick 1");
        assert_eq!(lines(&log), before, "{ticks} ticks");
    }
}

#[test]
fn l4_2_the_log_names_every_part_of_the_engine() {
    let folder = Folder::new(4);
    folder.logged("log", None);
    let record = records(&folder.path("log")).into_iter().find(|r| r.kind == kind::ENGINE);
    let named: EngineFingerprint =
        serde_json::from_slice(&record.expect("ENGINE").payload).expect("JSON");
    let profile = MemoryProfile { seats: 64, memory_bytes_max: 131_072, layout: None };
    let here = fingerprint(&deterministic_engine(profile).expect("the engine starts"));
    assert_eq!(named, here);
    assert!(!here.wasmtime_version.is_empty() && here.config.contains('='));
    assert!(here.cost_table_hash != [0; 32] && here.instrumentation_version > 0);
}

/// The scripted agent with one more global, which is 1 from `tick` on and which nothing reads.
fn with_idle_state(tick: i64) -> Vec<u8> {
    let global = "  (global $idle (mut i32) (i32.const 0))\n";
    let set = format!(
        "(global.set $idle (i64.ge_s (i64.load (local.get $context)) (i64.const {tick})))\n"
    );
    let functions = "  (func (export \"agent_inbox\")";
    let step = "(local.set $code (global.get $refused))";
    assert!(SCRIPT.contains(functions) && SCRIPT.contains(step), "the fixture is another one");
    let wat = SCRIPT.replacen(functions, &format!("{global}{functions}"), 1);
    wasm(&wat.replacen(step, &format!("{set}    {step}"), 1), ALL)
}

#[test]
fn l7_3_a_difference_of_state_without_effect_is_found_within_an_interval() {
    const INTERVAL: u64 = 10;
    let interval = format!("[kernel]\nstate_digest_ticks = {INTERVAL}\n");
    let folder = Folder::with(&(config("") + &interval), &data(ROWS));
    fs::write(folder.path("agent.wasm"), with_idle_state(i64::MAX)).expect("written");
    let honest = folder.logged("honest", None);
    assert_eq!(strict(&folder.path("honest")).expect("a whole log").divergence, None);
    let limits = ModuleLimits { memory_bytes_max: 131_072, ..ModuleLimits::default() };
    for tick in [1u64, 7, 10, 33] {
        // The module that runs is not the one of which the log keeps the bytes.
        let ran = admit("agent", &with_idle_state(tick as i64), &limits).expect("admitted");
        let mut resolved = folder.resolved();
        for module in &mut resolved.modules {
            let (original, hash) = (module.original.clone(), module.hash);
            *module = Arc::new(Admitted { original, hash, ..ran.clone() });
        }
        let log = format!("from {tick}");
        let options = RunOptions { log_dir: Some(folder.path(&log)), ..options() };
        let run = run(resolved, named(options, folder.dir.path())).expect("the run succeeds");
        // It did the same, at the same price.
        assert_eq!(outputs(&folder, &log), outputs(&folder, "honest"));
        assert_eq!((run.fuel_digest, run.ticks), (honest.fuel_digest, honest.ticks));
        assert_ne!(run.digest, honest.digest);
        let found = divergence(strict(&folder.path(&log)));
        assert_eq!(found.tick, tick.next_multiple_of(INTERVAL), "from {tick}: {found:?}");
    }
}

#[test]
fn d3_4_two_runs_have_one_digest_whatever_is_physical() {
    let folder = Folder::new(ROWS);
    let run = folder.logged("log", None);
    let mut resolved = folder.resolved();
    resolved.physical.workers = 2;
    resolved.physical.log.sync = SyncPolicy::EveryBytes(1 << 20);
    resolved.physical.pin = false;
    let options = crate::support::run::named(crate::support::run::options(), &folder.path("other"));
    let other = wasm_engine::run::run(resolved, options).expect("runs");
    assert_eq!((other.digest, other.fuel_digest), (run.digest, run.fuel_digest));
}

#[test]
fn l3_1_inspect_tells_of_each_segment_what_is_in_it() {
    let folder = Folder::new(300);
    let run = folder.logged("log", None);
    let sizes = |dir: &Path| -> Vec<(String, u64)> {
        let file = |number| format!("{number:06}.log");
        let size = |name: String| Some((name.clone(), fs::metadata(dir.join(name)).ok()?.len()));
        (0..).map_while(|number| size(file(number))).collect()
    };
    let dir = folder.path("log");
    let inspected = inspect(&dir).expect("a whole log");
    let found: Vec<_> = inspected.segments.iter().map(|s| (s.file.clone(), s.bytes)).collect();
    assert_eq!(found, sizes(&dir));
    assert!(found.len() > 1, "the folder's segments are short: {found:?}");
    let ticks = |s: &SegmentReport| (s.first_tick.unwrap(), s.last_tick.unwrap());
    assert_eq!(ticks(&inspected.segments[0]).0, 0);
    assert_eq!(ticks(inspected.segments.last().unwrap()).1, run.last_tick);
    for pair in inspected.segments.windows(2) {
        let ((_, last), (first, _)) = (ticks(&pair[0]), ticks(&pair[1]));
        assert!(first == last || first == last + 1, "{pair:?}");
    }
    assert!(inspected.segments.iter().all(|s| s.blocks * 4096 + 64 >= s.bytes), "{inspected:?}");

    // A torn end counts as bytes, not as a block; a resumed log has one segment more.
    let file = dir.join(&found.last().unwrap().0);
    let whole = fs::read(&file).expect("read");
    fs::write(&file, &whole[..whole.len() - 1]).expect("written");
    let torn = inspect(&dir).expect("it is recovered");
    let (before, after) = (inspected.segments.last().unwrap(), torn.segments.last().unwrap());
    assert_eq!((after.bytes, after.blocks), (before.bytes - 1, before.blocks - 1));
    folder.resumed("log", None).expect("it goes on");
    assert_eq!(inspect(&dir).expect("whole").segments.len(), inspected.segments.len() + 1);
}

/// Changes a copy of the log and gives what verify says of it.
#[track_caller]
fn lie(
    folder: &Folder,
    pick: impl Fn(&Rec) -> bool,
    at: usize,
    xor: u8,
) -> Result<VerifyReport, ReplayError> {
    let dir = folder.copy("log", "lie");
    change(&dir, pick, at, xor);
    strict(&dir)
}

#[track_caller]
fn divergence(result: Result<VerifyReport, ReplayError>) -> Divergence {
    result.expect("no checksum tells").divergence.expect("a divergence")
}

#[test]
fn l6_3_l6_4_l7_1_a_sealed_lie_is_named_with_tick_and_agent() {
    let folder = Folder::new(ROWS);
    folder.logged("log", None);
    let open = |tick| move |r: &Rec| r.kind == kind::TICK_OPEN && r.tick == tick;
    let close = |tick| move |r: &Rec| r.kind == kind::TICK_CLOSE && r.tick == tick;
    let payload = size_of::<TickOpen>() + size_of::<FactHeader>();

    // The value of the first input: its receivers' turns differ.
    let found = divergence(lie(&folder, open(20), payload + 16, 1));
    assert_eq!(found.tick, 20);
    assert_eq!(found.agent.as_deref(), Some("station/EWR"), "{found:?}");
    // The source's number of an input, the padding behind it, the number of the tick.
    for (at, xor) in [(size_of::<TickOpen>() + 16, 1), (8, 1)] {
        assert_eq!(divergence(lie(&folder, open(20), at, xor)).tick, 20);
    }
    // The topic of an input, to one that is not there.
    let found = divergence(lie(&folder, open(20), size_of::<TickOpen>() + 24, 0x40));
    assert!(found.tick == 20 && found.what.contains("topic 66"), "{found:?}");
    // Digest, and the digest of the third turn.
    for at in [8, 15, 48 + 2 * 8] {
        let found = divergence(lie(&folder, close(30), at, 4));
        // Only of a turn it is known whose it was.
        let named = found.agent.is_some();
        assert_eq!((found.tick, named), (30, at >= 48), "byte {at}: {found:?}");
    }
    // Of the setup: the seed, the name of an agent. Of what decides nothing: the run's name.
    let run = records(&folder.path("log")).into_iter().find(|r| r.kind == kind::RUN).expect("RUN");
    let text = String::from_utf8(run.payload).expect("JSON");
    for part in ["\"seed\":0", "station/EWR", "{\"name\":\"t"] {
        let at = text.find(part).expect("it is there") + part.len() - 1;
        let found = divergence(lie(&folder, |r| r.kind == kind::RUN, at, 1));
        assert!(found.tick == 0 && found.what.contains("RUN"), "{part}: {found:?}");
    }
    // A byte of the module.
    let found = divergence(lie(&folder, |r| r.kind == kind::MODULE, 32 + 200, 1));
    assert_eq!((found.tick, found.agent.as_deref()), (0, None), "{found:?}");
    // A log that was made anew as that of another engine is refused by name.
    let engine = records(&folder.path("log")).into_iter().find(|r| r.kind == kind::ENGINE);
    let text = String::from_utf8(engine.expect("ENGINE").payload).expect("JSON");
    let version = text.find("48.0.").expect("wasmtime's version") + 1;
    let of_engine = |r: &Rec| r.kind == kind::ENGINE;
    let found = divergence(lie(&folder, of_engine, version, 1));
    assert!(found.tick == 0 && found.what.contains("ENGINE"), "{found:?}");
    let dir = folder.copy("log", "lie");
    forge(&dir, of_engine, version, 1);
    let error = strict(&dir).expect_err("another engine");
    assert!(error.exit() == Exit::Refused && error.to_string().contains("49.0."), "{error}");
}

/// The bytes of the fuel chain in the record of a tick's result.
const FUEL: std::ops::Range<usize> = 24..40;

#[test]
fn d4_3_other_fuel_alone_is_said_and_is_no_divergence() {
    let folder = Folder::new(ROWS);
    let run = folder.logged("log", Some(40));
    let close = |tick| move |r: &Rec| r.kind == kind::TICK_CLOSE && r.tick == tick;
    for at in FUEL {
        let verified = lie(&folder, close(30), at, 4).expect("no checksum tells");
        assert_eq!((verified.divergence, verified.run.digest), (None, run.digest), "byte {at}");
        let found = verified.run.fuel_differs.expect("it is said");
        assert_eq!((found.tick, found.ticks), (30, 1), "byte {at}");
        assert_eq!(found.agent, None, "four agents took turns");
    }
    // Replay and resuming say so too, and go on.
    let dir = folder.path("lie");
    let replayed = replay(&dir, ReplayOptions::default()).expect("it replays");
    assert_eq!(replayed.fuel_differs.map(|found| found.tick), Some(30));
    let whole = folder.logged("whole", None);
    let resumed = folder.resumed("lie", None).expect("it goes on");
    assert_eq!(resumed.fuel_differs.map(|found| found.tick), Some(30));
    assert_eq!((resumed.digest, resumed.fuel_digest), (whole.digest, whole.fuel_digest));
    // A tick in which one agent alone takes turns names it.
    let alone = "[limits]\nagents_max = 4\nmemory_bytes_max = 131072\n[[agent]]\n\
                 name = \"lonely\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n";
    let folder = Folder::with(alone, "");
    folder.logged("log", None);
    let verified = lie(&folder, close(0), FUEL.start, 1).expect("no checksum tells");
    let found = verified.run.fuel_differs.expect("it is said");
    assert_eq!((found.tick, found.agent.as_deref()), (0, Some("lonely/0")));
    // Another digest beside it is a divergence.
    let dir = folder.path("lie");
    change(&dir, close(0), 8, 1);
    assert_eq!(divergence(strict(&dir)).tick, 0);
}

/// Two kernels of this engine stand for two engines: the log is made anew as that of another, with
/// other fuel in each tick.
#[test]
fn l6_3_l6_5_a_log_of_another_engine_is_executed_if_that_is_allowed() {
    let folder = Folder::new(ROWS);
    let run = folder.logged("log", Some(40));
    let engine = records(&folder.path("log")).into_iter().find(|r| r.kind == kind::ENGINE);
    let text = String::from_utf8(engine.expect("ENGINE").payload).expect("JSON");
    let version = text.find("48.0.").expect("wasmtime's version") + 1;
    let dir = folder.copy("log", "other");
    for tick in 0..run.ticks {
        change(&dir, |r| r.kind == kind::TICK_CLOSE && r.tick == tick, FUEL.start, 1);
    }
    forge(&dir, |r| r.kind == kind::ENGINE, version, 1);
    let allowed = || ReplayOptions { other_engine: true, ..ReplayOptions::default() };
    let error = strict(&dir).expect_err("another engine");
    let said = error.to_string();
    assert_eq!(error.exit(), Exit::Refused, "{said}");
    assert!(said.contains("49.0.") && said.contains("--other-engine"), "{said}");
    let error = replay(&dir, ReplayOptions::default()).expect_err("another engine");
    assert_eq!(error.exit(), Exit::Refused, "{error}");

    let verified = verify(&dir, allowed()).expect("it is executed");
    assert_eq!((verified.divergence, verified.run.digest), (None, run.digest));
    assert_eq!(verified.output_lines, run.output_messages);
    let other = verified.run.other_engine.expect("it is said");
    assert!(other.logged.contains("49.0.") && other.here.contains("48.0."), "{other:?}");
    assert_eq!(verified.run.fuel_differs, None, "fuel is not compared");
    assert_eq!(replay(&dir, allowed()).expect("it is executed").digest, run.digest);
    // Results are compared as ever.
    let other = folder.copy("other", "lie");
    change(&other, |r| r.kind == kind::TICK_CLOSE && r.tick == 30, 8, 1);
    let found = verify(&other, allowed()).expect("no checksum tells").divergence;
    assert_eq!(found.expect("a divergence").tick, 30);
    // Such a log is not continued (L5.7): it would be one of two engines.
    let error = folder.resumed("other", None).expect_err("another engine");
    assert!(matches!(error, RunError::Resume(ResumeError::Engine { .. })), "{error}");
    // Of the engine that it names itself there is nothing to say.
    let verified = verify(&folder.path("log"), allowed()).expect("a whole log");
    assert_eq!((verified.run.other_engine, verified.run.fuel_differs), (None, None));
}

#[test]
fn l7_1_a_sealed_lie_about_a_ticks_number_or_counts_is_named_too() {
    let folder = Folder::new(40);
    folder.logged("log", None);
    // Tick, microsteps, turns of the close record.
    for at in [0, 40, 44] {
        let found = lie(&folder, |r| r.kind == kind::TICK_CLOSE && r.tick == 30, at, 4);
        let found = found.expect("no checksum tells").divergence;
        let found = found.unwrap_or_else(|| panic!("byte {at} passed"));
        assert_eq!(found.tick, 30, "byte {at}: {found:?}");
    }
}

#[test]
fn l7_1_a_sealed_change_of_any_byte_before_tick_0_is_found() {
    let folder = Folder::new(4);
    folder.logged("log", None);
    let all = records(&folder.path("log"));
    for victim in all.iter().filter(|r| (kind::RUN..=kind::MODEL).contains(&r.kind)) {
        // Every byte of what is text and not the setup's, some of the rest.
        for at in 0..victim.payload.len() {
            if victim.kind == kind::MODULE && at % 97 > 0 || at > 200 && at % 29 > 0 {
                continue;
            }
            let of_kind = |r: &Rec| r.kind == victim.kind;
            match lie(&folder, of_kind, at, 1) {
                Ok(verified) => {
                    let found = verified.divergence;
                    let found = found.unwrap_or_else(|| panic!("{}: {at} passed", victim.kind));
                    assert_eq!(found.tick, 0, "{found:?}");
                }
                Err(error) => assert_eq!(error.exit(), Exit::Divergence, "{at}: {error}"),
            }
            // Nor is such a log resumed.
            if at % 64 == 0 {
                let error = folder.resumed("lie", None).expect_err("it was changed");
                assert_eq!(error.exit(), Exit::Divergence, "{at}: {error}");
            }
        }
    }
}

#[test]
fn l7_1_random_sealed_changes_of_ticks_never_pass() {
    let folder = Folder::new(24);
    folder.logged("log", None);
    let all = records(&folder.path("log"));
    let ticks: Vec<&Rec> =
        all.iter().filter(|r| matches!(r.kind, kind::TICK_OPEN | kind::TICK_CLOSE)).collect();
    let mut mix = Mix(11);
    for _ in 0..60 {
        let victim = ticks[mix.below(ticks.len() as u64) as usize];
        let at = mix.below(victim.payload.len() as u64) as usize;
        let xor = mix.number() as u8 | 1;
        let pick = |r: &Rec| (r.kind, r.tick) == (victim.kind, victim.tick);
        let victim_at = format!("kind {}, tick {}, byte {at} ^ {xor:#x}", victim.kind, victim.tick);
        match lie(&folder, pick, at, xor) {
            Ok(verified) => {
                let fuel = verified.run.fuel_differs.map(|found| found.tick);
                let said = verified.divergence.map(|found| found.tick).or(fuel);
                assert_eq!(said, Some(victim.tick), "{victim_at}");
                let of_fuel = victim.kind == kind::TICK_CLOSE && FUEL.contains(&at);
                assert_eq!(fuel.is_some(), of_fuel, "{victim_at}");
            }
            Err(error) => assert_eq!(error.exit(), Exit::Divergence, "{victim_at}: {error}"),
        }
    }
}

#[test]
fn l3_2_l7_2_a_flipped_byte_anywhere_is_corruption() {
    let folder = Folder::new(24);
    folder.logged("log", None);
    let dir = folder.path("log");
    let mut mix = Mix(3);
    let mut files: Vec<_> =
        fs::read_dir(&dir).expect("read").map(|e| e.expect("read").path()).collect();
    files.sort();
    assert!(files.len() >= 2 && files.iter().any(|file| file.ends_with(OUTPUTS_FILE)));
    for file in files {
        let whole = fs::read(&file).expect("read");
        // Each flip in the outputs costs a whole replay.
        let flips = if file.ends_with(OUTPUTS_FILE) { 25 } else { 300 };
        for _ in 0..flips {
            let at = mix.below(whole.len() as u64) as usize;
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << mix.below(8);
            fs::write(&file, bytes).expect("written");
            match strict(&dir) {
                Ok(verified) => panic!("{} byte {at}: {:?}", file.display(), verified.divergence),
                // A magic or version that is another one is no log of this program.
                Err(error) => {
                    let version = at < 64 && error.exit() == Exit::Usage;
                    assert!(
                        version || error.exit() == Exit::Corrupt,
                        "{} byte {at}: {error}",
                        file.display()
                    );
                }
            }
        }
        fs::write(&file, whole).expect("written");
    }
    assert_eq!(strict(&dir).expect("whole again").divergence, None);
}

#[test]
fn l5_2_l5_3_a_torn_tail_is_refused_by_verify_unless_it_may_recover() {
    let folder = Folder::new(24);
    let run = folder.logged("log", None);
    let file = "000000.log";
    let len = fs::metadata(folder.path("log").join(file)).expect("there").len();
    for cut in [1, 7, 100, 700] {
        let dir = folder.copy("log", "torn");
        let whole = fs::read(dir.join(file)).expect("read");
        fs::write(dir.join(file), &whole[..(len - cut) as usize]).expect("written");
        let error = strict(&dir).expect_err("torn");
        assert!(matches!(error, ReplayError::Torn { .. }), "{error}");
        assert_eq!(error.exit(), Exit::Corrupt);
        let verified = recovering(&dir).expect("what is left is right");
        assert_eq!(verified.divergence, None);
        assert!(verified.run.recovered.is_some() && verified.run.ticks <= run.ticks);
        // Replay goes on by itself and says what was dropped.
        let replayed = replay(&dir, ReplayOptions::default()).expect("what is left is right");
        assert!(replayed.recovered.is_some());
    }
    // A bad block before good ones is no torn tail, with or without recovery.
    let dir = folder.copy("log", "torn");
    let mut bytes = fs::read(dir.join(file)).expect("read");
    bytes[1000] ^= 1;
    fs::write(dir.join(file), bytes).expect("written");
    let error = recovering(&dir).expect_err("corrupt");
    assert_eq!(error.exit(), Exit::Corrupt, "{error}");
    assert!(error.to_string().contains("000000.log"), "{error}");
}

#[test]
fn t9_1_the_result_counts_the_items_of_paused_agents() {
    let sleeper = AgentId::new(0, 0).to_bits();
    let agent = |name: &str, program: &Prog| {
        let args = toml_string(&program.args());
        format!(
            "[[agent]]\nname = \"{name}\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n\
             args = {args}\n"
        )
    };
    let agents = agent("sleeper", &prog().subscribe(0)) + &agent("nurse", &prog().pause(sleeper));
    let limits = "[limits]\nagents_max = 4\nmemory_bytes_max = 131072\n";
    let folder = Folder::with(&format!("{limits}{SOURCE}{agents}"), &data(3));
    let run = folder.logged("log", None);
    assert_eq!((run.inputs, run.paused_items), (9, 9));
    let again = strict(&folder.path("log")).expect("whole").run;
    assert_eq!(again.paused_items, 9);
}

fn outputs(folder: &Folder, log: &str) -> Vec<u8> {
    fs::read(folder.path(log).join(OUTPUTS_FILE)).expect("outputs")
}

#[test]
fn t9_2_t9_3_l5_4_l5_6_a_run_that_was_cut_anywhere_goes_on_to_the_same_end() {
    let folder = Folder::new(ROWS);
    let whole = folder.logged("whole", None);
    for cut in [1, 2, 17, 40, 61, 62] {
        let part = folder.logged("part", Some(cut));
        assert_eq!((part.ended, part.ticks), (Ended::Ticks, cut));
        let resumed = folder.resumed("part", None).expect("it goes on");
        assert_eq!((resumed.digest, resumed.ticks), (whole.digest, whole.ticks), "cut at {cut}");
        assert_eq!(outputs(&folder, "part"), outputs(&folder, "whole"), "cut at {cut}");
        let verified = strict(&folder.path("part")).expect("a whole log");
        assert_eq!((verified.divergence, verified.run.digest), (None, whole.digest));
        fs::remove_dir_all(folder.path("part")).expect("removed");
    }
}

/// A report without what depends on the machine.
fn logical(report: &RunReport) -> serde_json::Value {
    let mut report = serde_json::to_value(report).expect("plain data");
    let fields = report.as_object_mut().expect("a table");
    for physical in
        ["name", "log_bytes", "durable_tick", "elapsed_ns", "load_ns", "stalls", "stalls_by_cause"]
    {
        assert!(fields.remove(physical).is_some(), "a report has {physical}");
    }
    report
}

#[test]
fn t7_3_t9_3_l5_4_a_cut_with_inputs_left_over_timers_and_backoffs_changes_no_count() {
    // Three inputs an hour, of which two enter.
    let folder = Folder::with(&config("inputs_per_tick_max = 2"), &data(12));
    let whole = folder.logged("whole", None);
    assert!(whole.ticks > 18 && whole.restarts > 0, "{whole:?}");
    for cut in 1..whole.ticks {
        folder.logged("part", Some(cut));
        let resumed = folder.resumed("part", None).expect("it goes on");
        assert_eq!(logical(&resumed), logical(&whole), "cut at {cut}");
        assert_eq!(outputs(&folder, "part"), outputs(&folder, "whole"), "cut at {cut}");
        fs::remove_dir_all(folder.path("part")).expect("removed");
    }
}

#[test]
fn l5_1_l5_2_l5_5_l5_6_a_run_that_lost_its_tail_goes_on_to_the_same_end_even_twice() {
    let folder = Folder::new(ROWS);
    let whole = folder.logged("whole", None);
    let mut mix = Mix(5);
    let mut resumed = 0;
    for _ in 0..8 {
        let dir = folder.copy("whole", "torn");
        let mut last = dir.join("000000.log");
        for number in 1.. {
            let next = dir.join(format!("{number:06}.log"));
            if !next.exists() {
                break;
            }
            last = next;
        }
        let bytes = fs::read(&last).expect("read");
        let keep = bytes.len() - 1 - mix.below(bytes.len() as u64 * 2 / 3) as usize;
        fs::write(&last, &bytes[..keep]).expect("written");
        // The outputs may lag behind the log or lead it.
        let out = outputs(&folder, "torn");
        let keep_out = out.len() - mix.below(out.len() as u64 / 2) as usize;
        fs::write(dir.join(OUTPUTS_FILE), &out[..keep_out]).expect("written");
        let first = match folder.resumed("torn", Some(ROWS + 1)) {
            // So much is gone that the log does not say what was run.
            Err(RunError::Resume(ResumeError::RunHeader(error))) => {
                assert_eq!(error.exit(), Exit::Corrupt, "{error}");
                continue;
            }
            first => first.expect("it goes on"),
        };
        assert!(first.recovered.is_some());
        let second = folder.resumed("torn", None).expect("it goes on again");
        assert_eq!((second.digest, second.ticks), (whole.digest, whole.ticks), "{keep} bytes left");
        assert_eq!(outputs(&folder, "torn"), outputs(&folder, "whole"));
        assert_eq!(strict(&dir).expect("a whole log").divergence, None);
        resumed += 1;
    }
    assert!(resumed >= 4, "{resumed} of 8 had ticks left");
}

#[test]
fn a8_12_a_restart_of_a_group_is_verified_replayed_and_resumed_across() {
    // The clumsy one takes all stations with it, at each of its faults.
    let grouped = |name: &str| format!("name = \"{name}\"\ngroup = \"all\"\n");
    let text = config("")
        .replace("name = \"station\"\n", &grouped("station"))
        .replace("name = \"clumsy\"\n", &grouped("clumsy"))
        .replace("backoff_ticks = 1", "backoff_ticks = 2");
    let folder = Folder::with(&text, &data(ROWS));
    let whole = folder.logged("whole", None);
    assert!(whole.restarts >= 3 * 4, "{} restarts of four agents", whole.restarts);
    assert_eq!(strict(&folder.path("whole")).expect("a whole log").divergence, None);
    for workers in [1, 2] {
        let options = ReplayOptions { workers, ..ReplayOptions::default() };
        let replayed = replay(&folder.path("whole"), options).expect("it replays");
        assert_eq!((replayed.digest, replayed.restarts), (whole.digest, whole.restarts));
    }
    // Cut in the tick in which a group stops, in its backoff, at its restart.
    for cut in 2..6 {
        folder.logged("part", Some(cut));
        let resumed = folder.resumed("part", None).expect("it goes on");
        assert_eq!((resumed.digest, resumed.restarts), (whole.digest, whole.restarts), "{cut}");
        assert_eq!(outputs(&folder, "part"), outputs(&folder, "whole"));
        fs::remove_dir_all(folder.path("part")).expect("removed");
    }
}

#[test]
fn l5_4_l5_7_another_setup_or_other_data_is_not_resumed() {
    let folder = Folder::new(ROWS);
    folder.logged("log", Some(20));
    let resume_with = |name: &str, text: &str| {
        let old = fs::read_to_string(folder.path(name)).expect("read");
        fs::write(folder.path(name), text).expect("written");
        let before = fs::read(folder.path("log").join("000000.log")).expect("read");
        let error = folder.resumed("log", None).expect_err("it is another run");
        assert_eq!(
            fs::read(folder.path("log").join("000000.log")).expect("read"),
            before,
            "the log stays as it was"
        );
        fs::write(folder.path(name), old).expect("written");
        assert_eq!(error.exit(), Exit::Usage, "{error}");
        error
    };
    let other = config("inbox_items_max = 7");
    let error = resume_with("run.toml", &other);
    assert!(matches!(error, RunError::Resume(ResumeError::Other { what: "limits" })), "{error}");
    let other = config("") + "[kernel]\nseed = 9\n";
    let error = resume_with("run.toml", &other);
    assert!(matches!(error, RunError::Resume(ResumeError::Other { what: "seed" })), "{error}");
    let changed = data(ROWS).replacen("T07:00:00Z,", "T07:00:00Z,9", 1);
    let error = resume_with("data.csv", &changed);
    assert!(matches!(error, RunError::Resume(ResumeError::Data { tick: 8 })), "{error}");
    let longer = data(ROWS) + "EWR,2013-02-01T00:00:00Z,1\n";
    let error = resume_with("data.csv", &longer);
    let named = |id: &str| id == "weather";
    assert!(matches!(&error, RunError::Resume(ResumeError::File { id }) if named(id)), "{error}");
    // With everything as it was, it goes on.
    folder.resumed("log", None).expect("it goes on");
}
