//! A whole run through wasm, whose every value is committed: digest, fuel chain, outputs, log.
//!
//! `UPDATE_GOLDEN=1 cargo test --workspace --test kernel golden::` writes the table anew. Other
//! values mean that no log that was written before can be verified; if only fuel and log differ,
//! that its fuel differs (D4.3). The table of each rule is `kernel/core/tests/core/golden.txt`.

use std::{fs, path::Path};

use crate::support::run::Folder;
use wasm_engine_abi::record::kind;
use wasm_engine_log::{outputs::OUTPUTS_FILE, tamper::records};

const TABLE: &str = include_str!("golden.txt");

fn lines() -> String {
    let folder = Folder::new(60);
    let run = folder.logged("log", None);
    let outputs = fs::read(folder.path("log").join(OUTPUTS_FILE)).expect("outputs");
    let mut log = blake3::Hasher::new();
    let ticks = records(&folder.path("log")).into_iter().filter(|record| record.tick > 0);
    for record in ticks.filter(|r| matches!(r.kind, kind::TICK_OPEN | kind::TICK_CLOSE)) {
        log.update(&record.payload);
    }
    format!(
        "# What the run of kernel/tests/kernel/golden.rs comes to.\n\
         ticks {}\nturns {}\nfuel {}\nD3 digest {}\nD4 fuel chain {}\nL1 ticks of the log {}\n\
         L2 outputs.jsonl {}\n",
        run.ticks,
        run.turns,
        run.fuel,
        run.digest,
        run.fuel_digest,
        &log.finalize().to_hex()[..32],
        &blake3::hash(&outputs).to_hex()[..32],
    )
}

#[test]
fn d3_1_d4_1_d5_1_l1_1_l1_3_a_whole_run_has_the_committed_values() {
    let text = lines();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/golden.txt");
        fs::write(path, &text).expect("the table is written");
        return;
    }
    assert_eq!(
        text, TABLE,
        "logs written before cannot be verified. If that is meant, raise the log's version and run \
         UPDATE_GOLDEN=1 cargo test --workspace --test kernel golden::"
    );
}
