//! A run that goes on from a keyframe is one that never stopped (SEMANTICS L8, L9).

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::support::{
    Both, Mix, Rig, drive, everything,
    run::{Folder, config, data, options},
};
use wasm_engine::{
    replay::{ReplayOptions, verify},
    report::RunReport,
    run::RunOptions,
};
use wasm_engine_setup::Schedule;

const ROWS: u64 = 300;
/// Executed ticks between two keyframes.
const EVERY: u64 = 20;

#[test]
fn l8_1_a_kernel_restored_at_every_tick_with_other_lanes_ends_the_same() {
    for (seed, schedule) in
        [(21, Schedule::Fifo), (22, Schedule::RoundRobin), (23, Schedule::Priority)]
    {
        let scene = everything(seed, schedule);
        let mut one = Rig::with_workers(&scene, 0);
        drive(&mut one, seed, 40, 20);
        let mut other = Rig::with_workers(&scene, 1);
        // The same drive, its log executed tick by tick.
        for (at, facts) in (0_u32..).zip(&one.log) {
            other.feed(facts).expect("they were facts");
            let restored: Both = other.machine.restored(&scene, [2, 0, 1][at as usize % 3]);
            other.machine = restored;
        }
        assert_eq!(one.closes, other.closes);
        assert_eq!(one.sink.outputs, other.sink.outputs);
        assert_eq!(one.sink.requests, other.sink.requests);
        assert_eq!(one.sink.lines, other.sink.lines);
        assert_eq!(one.core().stats(), other.core().stats());
        assert_eq!(one.instances(), other.instances());
    }
}

fn folder() -> Folder {
    let keyframes = format!("block_bytes = 4096\nkeyframe_ticks = {EVERY}\nkeyframes_max = 3");
    Folder::with(&config("").replace("block_bytes = 4096", &keyframes), &data(ROWS))
}

/// Files of the keyframes of a log, the oldest first.
fn keyframes(folder: &Folder, log: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path(log)).expect("read");
    let paths = entries.map(|entry| entry.expect("read").path());
    let named = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with("keyframe-")
    };
    paths.filter(named).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A run that is stopped before each of these ticks and goes on: each part has time to write a
/// keyframe, for its end waits for the one under way.
fn in_parts(folder: &Folder, log: &str, ends: &[u64]) {
    for (at, end) in ends.iter().enumerate() {
        let part = match at {
            0 => folder.logged(log, Some(*end)),
            _ => folder.resumed(log, Some(*end)).expect("the run goes on"),
        };
        assert!(part.keyframes > 0, "none in the part up to {end}");
    }
}

fn outputs(folder: &Folder, log: &str) -> Vec<u8> {
    fs::read(folder.path(log).join("outputs.jsonl")).expect("read")
}

fn resumed(folder: &Folder, log: &str, workers: u32) -> RunReport {
    let options =
        RunOptions { resume: Some(folder.path(log)), workers: Some(workers), ..options() };
    folder.run(options).expect("the run goes on")
}

/// The reports say the same of the run.
fn assert_same(resumed: &RunReport, unbroken: &RunReport) {
    assert_eq!(resumed.digest, unbroken.digest);
    assert_eq!(resumed.fuel_digest, unbroken.fuel_digest);
    assert_eq!((resumed.ticks, resumed.turns), (unbroken.ticks, unbroken.turns));
    assert_eq!((resumed.faults, resumed.restarts), (unbroken.faults, unbroken.restarts));
    assert_eq!(resumed.first_fault, unbroken.first_fault);
    assert_eq!(resumed.outputs, unbroken.outputs);
    assert_eq!(resumed.agents, unbroken.agents);
}

#[test]
fn l9_1_l9_4_a_run_goes_on_from_its_last_keyframe_to_the_same_end() {
    let folder = folder();
    let unbroken = folder.logged("unbroken", None);
    for (workers, ends) in [(0, &[30][..]), (1, &[70, 150]), (2, &[40, 90, 140, 200, 301])] {
        let ticks = *ends.last().expect("a part");
        let part = format!("part-{ticks}");
        in_parts(&folder, &part, ends);
        let report = resumed(&folder, &part, workers);
        assert!(report.resumed_from.is_some_and(|tick| tick > 0 && tick < ticks));
        assert_same(&report, &unbroken);
        assert!(outputs(&folder, &part) == outputs(&folder, "unbroken"), "{ticks} ticks");
        for from_keyframe in [false, true] {
            let options = ReplayOptions { from_keyframe, ..ReplayOptions::default() };
            let verified = verify(&folder.path(&part), options).expect("it is read");
            assert_eq!(verified.divergence, None);
            assert_eq!(verified.run.digest, unbroken.digest);
            assert_eq!(
                verified.output_lines,
                outputs(&folder, &part).iter().filter(|b| **b == b'\n').count() as u64
            );
            assert_eq!(verified.run.resumed_from.is_some(), from_keyframe);
        }
    }
}

#[test]
fn a9_8_l9_4_l6_1_a_run_with_save_points_goes_on_verifies_and_ends_the_same_on_any_lanes() {
    let fresh = "kind = \"fresh\", backoff_ticks = 2, restarts_max = 3, window_ticks = 24";
    let saved = "kind = \"saved\", save_every_turns = 1, backoff_ticks = 2, restarts_max = 9, \
                 window_ticks = 4";
    let keyframes = format!("block_bytes = 4096\nkeyframe_ticks = {EVERY}\nkeyframes_max = 3");
    let text = config("").replace("block_bytes = 4096", &keyframes).replace(fresh, saved);
    assert!(text.contains(saved));
    let folder = Folder::with(&text, &data(ROWS));
    let unbroken = folder.logged("unbroken", None);
    assert!(unbroken.restarts > 50, "it faults again and again: {}", unbroken.restarts);
    for (workers, ends) in [(0, &[50][..]), (1, &[71, 150]), (2, &[42, 93])] {
        let part = format!("part-{workers}");
        in_parts(&folder, &part, ends);
        let report = resumed(&folder, &part, workers);
        assert!(report.resumed_from.is_some_and(|tick| tick > 0));
        assert_same(&report, &unbroken);
        assert!(outputs(&folder, &part) == outputs(&folder, "unbroken"));
        for from_keyframe in [false, true] {
            let options = ReplayOptions { from_keyframe, ..ReplayOptions::default() };
            let verified = verify(&folder.path(&part), options).expect("it is read");
            assert_eq!((verified.divergence, verified.run.digest), (None, unbroken.digest));
        }
    }
}

#[test]
fn l9_3_a_keyframe_that_is_cut_changed_or_not_of_the_log_is_passed_over() {
    let folder = folder();
    let unbroken = folder.logged("unbroken", None);
    in_parts(&folder, "part", &[40, 90, 140, 200]);
    let whole = keyframes(&folder, "part");
    assert!(whole.len() >= 2, "{whole:?}");
    let newest = whole.last().expect("there is one").clone();
    let from = |tick: &PathBuf| {
        let name = tick.file_name().expect("a name").to_string_lossy().into_owned();
        name.trim_start_matches("keyframe-").parse::<u64>().expect("a tick")
    };
    let bytes = fs::read(&newest).expect("read");
    let mut mix = Mix(7);
    let mut damages: Vec<Vec<u8>> = vec![Vec::new(), bytes[..bytes.len() - 1].to_vec()];
    damages.extend((0..6).map(|_| {
        let mut changed = bytes.clone();
        changed[mix.below(bytes.len() as u64) as usize] ^= 1 << mix.below(8);
        changed
    }));
    // Another format, another ABI (its header sealed anew), another engine.
    let mut format = bytes.clone();
    format[8] = 9;
    damages.push(format);
    for damage in damages {
        let copy = folder.copy("part", "damaged");
        fs::write(copy.join(newest.file_name().expect("a name")), &damage).expect("written");
        let report = resumed(&folder, "damaged", 0);
        assert_eq!(report.resumed_from, Some(from(&whole[whole.len() - 2])), "the one before");
        assert_same(&report, &unbroken);
    }
    // One of a tick that the log does not have, as after a crash: it is removed.
    let copy = folder.copy("part", "ahead");
    let ahead = copy.join(format!("keyframe-{:020}", 250));
    fs::write(&ahead, &bytes).expect("written");
    let report = resumed(&folder, "ahead", 1);
    assert_eq!(report.resumed_from, Some(from(&newest)));
    assert_same(&report, &unbroken);
    let again = fs::read(&ahead).unwrap_or_default();
    assert!(again != bytes, "the run came to that tick by itself");
    // One of another run of the same configuration.
    in_parts(&folder, "other", &[40]);
    let copy = folder.copy("part", "foreign");
    let other = keyframes(&folder, "other").swap_remove(0);
    for keyframe in keyframes(&folder, "part") {
        fs::remove_file(copy.join(keyframe.file_name().expect("a name"))).expect("removed");
    }
    fs::copy(&other, copy.join(other.file_name().expect("a name"))).expect("copied");
    let report = resumed(&folder, "foreign", 0);
    assert_eq!(report.resumed_from, None, "none is of this run");
    assert_same(&report, &unbroken);
}

/// Outputs are written by a thread of their own, behind the log and the keyframes: what a kill
/// takes away of them is made again, from where they reach.
#[test]
fn l9_3_l2_4_a_keyframe_before_which_outputs_are_missing_is_passed_over() {
    let folder = folder();
    let unbroken = folder.logged("unbroken", None);
    in_parts(&folder, "part", &[70, 150]);
    let whole = outputs(&folder, "part");
    let line_ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    assert!(keyframes(&folder, "part").len() > 1);
    // Whole lines are missing, or the last one is cut, as far as to none at all.
    for kept in [whole.len() - 1, line_ends[line_ends.len() / 2] + 1, line_ends[3] + 2, 0] {
        let copy = folder.copy("part", "fewer");
        fs::write(copy.join("outputs.jsonl"), &whole[..kept]).expect("written");
        let report = resumed(&folder, "fewer", 1);
        assert_same(&report, &unbroken);
        assert!(outputs(&folder, "fewer") == outputs(&folder, "unbroken"), "{kept} bytes kept");
        let verified = verify(&copy, ReplayOptions::default()).expect("it is read");
        assert_eq!(verified.divergence, None);
    }
}

#[test]
fn l9_2_a_run_with_keyframes_is_the_run_without_and_none_are_made_where_none_are_wanted() {
    let (with, without) = (folder(), Folder::new(ROWS));
    let (one, other) = (with.logged("log", None), without.logged("log", None));
    assert_eq!((one.digest, one.fuel_digest), (other.digest, other.fuel_digest));
    assert!(one.keyframes > 0 && one.keyframe_bytes > 0);
    assert_eq!((other.keyframes, keyframes(&without, "log").len()), (0, 0), "too few ticks");
}
