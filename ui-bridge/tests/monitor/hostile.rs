//! The oracles of the fuzz targets on random bytes: what fuzzing finds by search, this finds by
//! luck, but on any compiler and in each run of the tests.

use proptest::prelude::*;
use wasm_engine_ui_bridge_testkit::oracles;

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
