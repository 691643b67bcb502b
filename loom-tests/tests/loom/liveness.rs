//! Random schedules at real sizes: 2,000 of each kind for each scenario, from a fixed seed.
//! `SCHEDULES` sets another number and `SEED` another seed (`cargo xtask shuttle`).

use std::sync::atomic::Ordering;

use wasm_engine_loom_tests::liveness::{self, explore};

const SCHEDULES: u64 = 2_000;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn run(scenario: fn()) {
    explore(scenario, number("SCHEDULES", SCHEDULES) as usize, number("SEED", 1));
}

#[test]
fn bytes_all_sizes() {
    run(liveness::bytes_all_sizes);
}

#[test]
fn bells_both_ways() {
    run(liveness::bells_both_ways);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_missing_ring_is_found() {
    run(liveness::bells_one_way);
}

#[test]
fn lanes_and_scheduler() {
    run(liveness::lanes_and_scheduler);
}

#[test]
fn broadcast_four_readers() {
    run(liveness::broadcast_four_readers);
    for (kind, met) in ["polling", "reading"].iter().zip(&liveness::OVERRUNS) {
        let met = met.load(Ordering::Relaxed);
        println!("overruns by {kind}: {met}");
        assert!(met > 0, "no schedule had a reader overtaken while {kind}");
    }
}

#[test]
fn snapshots_four_readers() {
    run(liveness::snapshots_four_readers);
}

#[test]
fn leases_of_four() {
    run(liveness::leases_of_four);
}
