//! One test for each model, of its name.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::{ALL, RED};
use wasm_engine_loom_tests::models::{
    acks, bell, lease, payloads, polls, publish, rings, slots, tables,
};

/// Declares the tests together with the list of them.
macro_rules! tests {
    (
        pass { $($pass:ident = $green:path,)* }
        fail { $($fail:ident = $red:path, $message:literal,)* }
    ) => {
        $(
            #[test]
            fn $pass() {
                assert_eq!(stringify!($pass), $green.name);
                check(&$green);
            }
        )*
        $(
            #[test]
            #[should_panic(expected = $message)]
            fn $fail() {
                check(&$red);
            }
        )*
        const PASS: &[&str] = &[$($green.name),*];
        const FAIL: &[&str] = &[$($red.name),*];
    };
}

tests! {
    pass {
        acks_order = acks::ACKS_ORDER,
        bytes_batch = rings::BYTES_BATCH,
        bytes_full = rings::BYTES_FULL,
        bytes_poll = polls::BYTES_POLL,
        bytes_wrap = rings::BYTES_WRAP,
        broadcast_overrun = slots::BROADCAST_OVERRUN,
        cell_poll = polls::CELL_POLL,
        cell_publish = rings::CELL_PUBLISH,
        counter_read = tables::COUNTER_READ,
        counter_reuse = tables::COUNTER_REUSE,
        doorbell = bell::DOORBELL,
        doorbell_elsewhere = bell::DOORBELL_ELSEWHERE,
        doorbell_twice = bell::DOORBELL_TWICE,
        errors_list = tables::ERRORS_LIST,
        lease_once = lease::LEASE_ONCE,
        outbox_release = payloads::OUTBOX_RELEASE,
        owner_stopped = publish::OWNER_STOPPED,
        page_fresh = slots::PAGE_FRESH,
        page_torn = slots::PAGE_TORN,
        region_ready = publish::REGION_READY,
        row_version = tables::ROW_VERSION,
        spill_reuse = payloads::SPILL_REUSE,
    }
    fail {
        outbox_too_early = payloads::OUTBOX_TOO_EARLY, "a payload was replaced too early",
        spill_too_early = payloads::SPILL_TOO_EARLY, "a payload was released too early",
    }
}

/// A deadlock ends loom's process, so the mutation gate runs this model and no test does.
const DEADLOCK: &str = bell::DOORBELL_UNCHECKED.name;

#[test]
fn every_model_has_a_test() {
    for (tested, models) in [(PASS, ALL), (FAIL, RED)] {
        for model in models.iter().filter(|model| model.name != DEADLOCK) {
            assert!(tested.contains(&model.name), "{} has no test", model.name);
        }
    }
}
