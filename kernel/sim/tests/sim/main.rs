//! Some hundred seeds, and wrong disks and logs that the checks must find.

use wasm_engine_sim::{Coverage, WrongPart, simulate};

/// Seeds of a test.
const SEEDS: u64 = 500;

#[test]
fn l2_1_l5_1_l6_1_no_seed_loses_doubles_or_changes_anything_and_every_fault_is_met() {
    let mut met = Coverage::default();
    for seed in 0..SEEDS {
        met.join(&simulate(seed, None).unwrap_or_else(|failure| panic!("{failure}")));
    }
    assert_eq!(met.missed(), [""; 0], "points that were never met");
}

#[test]
fn a_seed_gives_one_run() {
    for seed in 0..20 {
        assert_eq!(simulate(seed, None), simulate(seed, None));
    }
}

#[test]
fn l2_1_a_wrong_disk_or_log_does_not_pass() {
    let disk = [WrongPart::SkipSync, WrongPart::SkipSyncDir];
    for mutant in disk.into_iter().chain([WrongPart::ReportEarly, WrongPart::OtherFacts]) {
        let found = (0..SEEDS).filter(|seed| simulate(*seed, Some(mutant)).is_err()).count();
        println!("{mutant:?}: {found} of {SEEDS}");
        assert!(found > 0, "{mutant:?} passes {SEEDS} seeds");
    }
}
