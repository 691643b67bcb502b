//! Every benchmark runs at its smallest, for the results that it checks, not for its figures.

use wasm_engine_benches::measure::Scale;
use wasm_engine_benches::row::Row;
use wasm_engine_benches::{
    allocations, alone, brokered, growth, host_push, infer_roundtrip, lanes, page_read, ring_batch,
    ring_spsc, sleepers, start, tick_50, wasm_turn,
};

fn sound(rows: &[Row]) {
    assert!(!rows.is_empty());
    for row in rows {
        let skipped = row.note.as_deref().is_some_and(|note| note.starts_with("skipped: "));
        assert!(skipped || row.ours.is_some_and(|ours| ours.is_finite()), "{row:?}");
    }
}

#[test]
fn s1_messages_arrive_whole_and_in_order() {
    sound(&ring_spsc::rows(Scale::TINY));
    sound(&ring_batch::rows(Scale::TINY));
}

#[test]
fn s2_no_page_is_torn() {
    sound(&page_read::rows(Scale::TINY));
}

#[test]
fn s3_every_agent_takes_its_turn_and_lanes_do_not_matter() {
    sound(&wasm_turn::rows(Scale::TINY));
    sound(&tick_50::rows(Scale::TINY));
}

/// The processes of the questions about growth.
#[test]
#[ignore = "run by the tests below in processes of its own"]
fn measured_alone() {
    assert!(alone::is_alone(), "started by its parent");
}

#[test]
fn s9_the_same_turns_are_taken_among_sleepers_whatever_the_lanes() {
    sound(&sleepers::rows(Scale::TINY));
}

#[test]
fn s4_no_message_is_lost_whoever_passes_it_on() {
    sound(&brokered::rows(Scale::TINY));
}

#[test]
fn s10_lanes_do_not_matter_to_agents_that_compute() {
    sound(&lanes::rows(Scale::TINY));
}

#[test]
fn s15_every_push_is_answered_with_what_was_pushed() {
    sound(&host_push::rows(Scale::TINY));
}

#[test]
fn s14_every_size_is_measured_in_a_process_of_its_own() {
    let rows = growth::curve(Scale::TINY);
    sound(&rows);
    assert!(rows.iter().all(|row| row.ours.is_some()), "{rows:?}");
}

#[test]
fn s3b_turns_of_more_agents_are_as_many() {
    sound(&growth::turns(Scale::TINY));
}

#[test]
fn s6_the_kernel_answers_as_the_bare_run_or_says_why_not() {
    sound(&infer_roundtrip::rows(Scale::TINY));
}

#[test]
fn s11_a_start_has_the_same_digest_with_and_without_compiled_modules() {
    sound(&start::rows(Scale::TINY));
}

#[test]
fn s13_allocations_are_counted() {
    sound(&allocations::rows(Scale::TINY));
}
