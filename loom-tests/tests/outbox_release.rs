//! Payloads are read before they are replaced, and the model would see it otherwise.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::outbox;

#[test]
fn outbox_release() {
    check(&outbox::OUTBOX_RELEASE);
}

#[test]
#[should_panic(expected = "a payload was replaced too early")]
fn outbox_without_waiting_is_seen() {
    check(&outbox::OUTBOX_TOO_EARLY);
}

#[test]
fn stash_reuse() {
    check(&outbox::STASH_REUSE);
}

#[test]
#[should_panic(expected = "a payload was freed too early")]
fn stash_freed_too_early_is_seen() {
    check(&outbox::STASH_TOO_EARLY);
}
