//! Memory over a million requests and over two hundred loads: long, so run by name.
//!
//! `cargo test -p wasm-engine-inference --features onnx -- --ignored soak --nocapture`

use wasm_engine_abi::tensor::RequestForm;

use crate::registry::{self, LoadedModel, ModelFile, ModelHome, ModelTerms};
use crate::tests::{OK, start};
use crate::{Interrupter, ServedModel};

/// Resident bytes of this process, as Linux says.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

fn load() -> LoadedModel {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/weather/model/temperature.onnx");
    let bytes = std::fs::read(path).expect("the example's model");
    let (terms, home) = (ModelTerms::default(), ModelHome::Here);
    let file = ModelFile {
        name: "m",
        bytes: &bytes,
        external: &[],
        sha256: None,
        batch: 1,
        home,
        terms: &terms,
    };
    let loaded = registry::load_model(&file, None, &Interrupter::default());
    loaded.expect("the library is there")
}

#[test]
#[ignore = "takes half a minute; by name"]
fn soak_a_million_requests_and_two_hundred_loads_do_not_grow() {
    const MIB: u64 = 1 << 20;
    let LoadedModel { setup, backend, .. } = load();
    let row = vec![0; setup.row().expect("rows").input_len * 4];
    let mut handle = start(vec![ServedModel { setup, backend, deadline_ns: None }]);
    let mut number = 0;
    let mut ask = |count: u64| {
        for _ in 0..count / 50 {
            for at in number..number + 50 {
                handle.submit(at, 0, RequestForm::Row, &row).expect("is taken");
            }
            handle.flush().expect("is taken");
            for at in number..number + 50 {
                assert_eq!(handle.wait_for(at).expect("is answered").code, OK);
            }
            number += 50;
        }
    };
    ask(50_000);
    let before = resident_bytes();
    ask(1_000_000);
    let after = resident_bytes();
    println!("1,000,000 requests: {} KiB, then {} KiB", before >> 10, after >> 10);
    assert!(after < before + MIB, "it grew from {before} to {after} bytes");
    (0..20).for_each(|_| drop(load()));
    let before = resident_bytes();
    (0..200).for_each(|_| drop(load()));
    let after = resident_bytes();
    println!("200 loads: {} KiB, then {} KiB", before >> 10, after >> 10);
    assert!(after < before + 4 * MIB, "it grew from {before} to {after} bytes");
}
