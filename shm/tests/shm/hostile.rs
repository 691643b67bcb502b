//! The oracles of the fuzz targets on random bytes: what fuzzing finds by search, this finds by
//! luck, but on any compiler and in each run of the tests.

use proptest::prelude::*;
use wasm_engine_shm_oracles as oracles;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 20_000 }, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn regions(data in prop::collection::vec(any::<u8>(), 0..400)) {
        oracles::region(&data);
    }

    #[test]
    fn readers(data in prop::collection::vec(any::<u8>(), 0..400)) {
        oracles::readers(&data);
    }

    #[test]
    fn rings(data in prop::collection::vec(any::<u8>(), 0..400)) {
        oracles::rings(&data);
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads /proc")]
    fn descriptors(data in prop::collection::vec(any::<u8>(), 0..1100)) {
        oracles::descriptor(&data);
    }
}
