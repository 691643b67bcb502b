//! The oracles of the fuzz targets on random bytes: what fuzzing finds by search, this finds by luck,
//! but on any compiler and in each run of the tests.
#![cfg(feature = "tui")]

#[expect(unreachable_pub, reason = "public in the fuzz package")]
#[path = "../fuzz/src/oracles.rs"]
mod oracles;
mod support;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn views(data in prop::collection::vec(any::<u8>(), 0..600)) {
        oracles::view(&data);
    }

    #[test]
    fn screens(data in prop::collection::vec(any::<u8>(), 0..600)) {
        oracles::screen(&data);
    }

    #[test]
    fn names(data in "\\PC{0,40}|\\{\"(name|templates|rings)\":.{0,40}\\}") {
        oracles::names(data.as_bytes());
    }
}
