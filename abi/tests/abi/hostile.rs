//! The oracles of the fuzz targets on random bytes: what fuzzing finds by search, this finds by
//! luck, but on any compiler and in each run of the tests.

use proptest::prelude::*;
use wasm_engine_abi_oracles as oracles;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 20_000 }, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn logs(data in prop::collection::vec(any::<u8>(), 0..600)) {
        oracles::log(&data);
    }

    #[test]
    fn facts(data in prop::collection::vec(any::<u8>(), 0..300)) {
        oracles::facts(&data);
    }
}
