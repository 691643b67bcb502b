//! Every benchmark runs at its smallest, for the results that it checks, not for its figures.

use wasm_engine_benches::measure::Scale;
use wasm_engine_benches::row::Row;
use wasm_engine_benches::{
    allocations, growth, infer_roundtrip, page_read, ring_batch, ring_spsc, tick_50, wasm_turn,
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

#[test]
fn s3b_turns_of_more_agents_are_as_many() {
    sound(&growth::turns(Scale::TINY));
}

#[test]
fn s6_the_kernel_answers_as_the_bare_run_or_says_why_not() {
    sound(&infer_roundtrip::rows(Scale::TINY));
}

#[test]
fn s13_allocations_are_counted() {
    sound(&allocations::rows(Scale::TINY));
}
