//! A log that was changed: by 2,000 flipped bits, 500 cuts, and changes sealed again in a record of
//! each kind. None passes for whole, and none is resumed as if nothing had been.

use std::{fs, path::Path};

use wasm_engine::{
    exit::{Exit, HasExitCode},
    replay::{ReplayError, ReplayOptions, verify},
    report::VerifyReport,
};
use wasm_engine_abi::record::kind;
use wasm_engine_log::{
    outputs::OUTPUTS_FILE,
    tamper::{Rec, change, records},
};

use crate::support::{Mix, run::Folder};

/// The bytes of the fuel chain in the record of a tick's result.
const FUEL: std::ops::Range<usize> = 24..40;

fn strict(dir: &Path) -> Result<VerifyReport, ReplayError> {
    verify(dir, ReplayOptions::default())
}

/// A folder with a small log.
fn logged() -> Folder {
    let folder = Folder::new(6);
    folder.logged("log", None);
    folder
}

#[test]
fn l3_2_l7_2_no_flipped_bit_of_a_small_log_passes() {
    let folder = logged();
    let file = folder.copy("log", "flipped").join("000000.log");
    let whole = fs::read(&file).expect("read");
    let mut mix = Mix(17);
    for _ in 0..2_000 {
        let at = mix.below(whole.len() as u64) as usize;
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << mix.below(8);
        fs::write(&file, bytes).expect("written");
        let error = strict(&folder.path("flipped")).expect_err("changed");
        let version = at < 64 && error.exit() == Exit::Usage;
        assert!(version || error.exit() == Exit::Corrupt, "byte {at}: {error}");
    }
}

#[test]
fn l5_2_no_cut_log_passes_for_one_that_ended() {
    let folder = logged();
    let whole = strict(&folder.path("log")).expect("whole");
    assert_eq!((whole.log_end.as_str(), whole.divergence), ("in order", None));
    let file = folder.copy("log", "cut").join("000000.log");
    let bytes = fs::read(&file).expect("read");
    let mut mix = Mix(18);
    let mut between_blocks = 0;
    for _ in 0..500 {
        // Half of them near the end, where records are.
        let range = if mix.below(2) == 0 { bytes.len() } else { bytes.len().min(2_000) };
        let keep = bytes.len() - 1 - mix.below(range as u64) as usize;
        fs::write(&file, &bytes[..keep]).expect("written");
        match strict(&folder.path("cut")) {
            Ok(verified) => {
                between_blocks += 1;
                assert!(verified.log_end.starts_with("without its end"), "{}", verified.log_end);
            }
            Err(error) => {
                assert!(matches!(error.exit(), Exit::Corrupt | Exit::Usage), "{keep}: {error}");
            }
        }
    }
    assert!(between_blocks < 250, "{between_blocks} of 500 cuts were between blocks");
}

/// A crash cuts the outputs anywhere, also of ticks that the log still has.
#[test]
fn l5_3_l5_6_outputs_that_a_crash_cut_anywhere_are_compared_as_far_as_they_go() {
    let folder = logged();
    let dir = folder.copy("log", "cut");
    let log = fs::read(dir.join("000000.log")).expect("read");
    fs::write(dir.join("000000.log"), &log[..log.len() - 1]).expect("written");
    let outputs = fs::read(dir.join(OUTPUTS_FILE)).expect("read");
    let recover = || verify(&dir, ReplayOptions { recover: true, ..ReplayOptions::default() });
    let lines = recover().expect("it is recovered").output_lines as usize;
    // Bytes of ticks that the log still has.
    let kept: usize =
        outputs.split_inclusive(|byte| *byte == b'\n').take(lines).map(<[u8]>::len).sum();
    assert!(kept > 300, "{kept} bytes");
    for keep in (0..kept).rev().step_by(kept / 40) {
        fs::write(dir.join(OUTPUTS_FILE), &outputs[..keep]).expect("written");
        let verified = recover().unwrap_or_else(|error| panic!("{keep} bytes: {error}"));
        assert_eq!(verified.divergence, None, "{keep} bytes");
    }
    // What is not the run's beginning of a line is no cut.
    let mut changed = outputs[..kept / 2].to_vec();
    *changed.last_mut().expect("some") ^= 1;
    fs::write(dir.join(OUTPUTS_FILE), changed).expect("written");
    assert_eq!(recover().expect_err("it was changed").exit(), Exit::Corrupt);
    // Where nothing was torn a file that lacks something is damaged.
    let whole = folder.copy("log", "whole");
    for keep in [outputs.len() - 1, outputs.len() / 2] {
        fs::write(whole.join(OUTPUTS_FILE), &outputs[..keep]).expect("written");
        assert_eq!(strict(&whole).expect_err("it was cut").exit(), Exit::Corrupt, "{keep}");
    }
}

/// Without its end record a log does not say that its outputs end where they do; but those of
/// ticks that it holds are compared all the same.
#[test]
fn l5_6_l7_1_outputs_of_a_log_without_its_end_are_compared_as_far_as_it_goes() {
    let folder = logged();
    let dir = folder.copy("log", "cut");
    let whole = fs::read(dir.join("000000.log")).expect("read");
    let without_end = (1..whole.len()).rev().find(|&keep| {
        fs::write(dir.join("000000.log"), &whole[..keep]).expect("written");
        strict(&dir).is_ok()
    });
    assert!(without_end.is_some(), "a log ends between two blocks somewhere");
    let verified = strict(&dir).expect("what is left is right");
    assert!(verified.log_end.starts_with("without its end"));
    let outputs = fs::read_to_string(dir.join(OUTPUTS_FILE)).expect("outputs");
    let last = outputs.lines().nth(verified.output_lines as usize - 1).expect("the run's last");
    let mut lines: Vec<&str> = outputs.lines().take(verified.output_lines as usize).collect();
    lines.push(last);
    fs::write(dir.join(OUTPUTS_FILE), lines.join("\n") + "\n").expect("written");
    let error = strict(&dir).expect_err("a line more of a tick that was executed");
    assert_eq!(error.exit(), Exit::Corrupt, "{error}");
}

#[test]
fn l5_4_l7_1_a_sealed_change_in_a_record_of_each_kind_is_found_by_verify_and_by_resume() {
    // With a record of resuming too.
    let folder = Folder::new(6);
    folder.logged("log", Some(3));
    folder.resumed("log", None).expect("it goes on");
    let all = records(&folder.path("log"));
    let mut kinds: Vec<u16> = all.iter().map(|record| record.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut mix = Mix(19);
    let mut changed = 0;
    for kind in kinds.into_iter().filter(|&kind| kind != kind::END) {
        let of_kind: Vec<&Rec> = all.iter().filter(|record| record.kind == kind).collect();
        for _ in 0..8 {
            let victim = of_kind[mix.below(of_kind.len() as u64) as usize];
            if victim.payload.is_empty() {
                continue;
            }
            let at = mix.below(victim.payload.len() as u64) as usize;
            let what = format!("kind {kind}, tick {}, byte {at}", victim.tick);
            let dir = folder.copy("log", "lie");
            change(&dir, |r: &Rec| (r.kind, r.tick) == (kind, victim.tick), at, 4);
            match strict(&dir) {
                // Other fuel is said, and is no divergence (D4.3).
                Ok(verified) if verified.run.fuel_differs.is_some() => {
                    assert!(kind == kind::TICK_CLOSE && FUEL.contains(&at), "{what} is no fuel");
                    let resumed = folder.resumed("lie", None).expect("it goes on");
                    assert!(resumed.fuel_differs.is_some(), "{what} passed");
                    changed += 1;
                    continue;
                }
                Ok(verified) => assert!(verified.divergence.is_some(), "{what} passed"),
                Err(error) => {
                    let exits = [Exit::Divergence, Exit::Corrupt];
                    let known =
                        exits[..1 + usize::from(kind == kind::RESUMED)].contains(&error.exit());
                    assert!(known, "{what}: {error}");
                }
            }
            let error = folder.resumed("lie", None).expect_err("it was changed");
            let data = matches!(error.exit(), Exit::Divergence | Exit::Usage | Exit::Corrupt);
            assert!(data, "{what} is resumed with: {error}");
            changed += 1;
        }
    }
    assert!(changed >= 40, "{changed} changes");
}

/// A resumed run compares all that verify compares: digests, the fuel chain, counts, each turn.
#[test]
fn l5_4_a_resumed_run_compares_every_byte_of_a_ticks_result() {
    let folder = logged();
    let close = |r: &Rec| r.kind == kind::TICK_CLOSE && r.tick == 3;
    let len = records(&folder.path("log")).into_iter().find(close).expect("it").payload.len();
    for at in 0..len {
        let dir = folder.copy("log", "lie");
        change(&dir, close, at, 1);
        match folder.resumed("lie", None) {
            Ok(resumed) => {
                let fuel = resumed.fuel_differs.map(|found| found.tick);
                assert_eq!((fuel, FUEL.contains(&at)), (Some(3), true), "byte {at}");
            }
            Err(error) => assert_eq!(error.exit(), Exit::Divergence, "byte {at}: {error}"),
        }
    }
}
