//! Modules as people bring them, in whole runs: with a manifest beside them, with segments that
//! the engine writes in its own way, in each layout of memories.

use std::fs;

use crate::support::{
    ALL, SCRIPT,
    run::{Folder, SOURCE, config, data, options},
    wasm,
};
use wasm_engine::replay::{ReplayOptions, verify};
use wasm_engine::report::RunReport;

/// What a run gave, but for the digests, which the limits are part of.
fn facts(report: &RunReport) -> [u64; 6] {
    let RunReport { turns, faults, restarts, fuel, output_messages, .. } = report;
    [report.last_tick, *turns, *faults, *restarts, *fuel, *output_messages]
}

/// Restarts make instances in the middle of a run, and so do resuming and verifying.
#[test]
fn a1_9_a_run_is_the_same_whatever_the_layout_of_memories_makes_of_segments() {
    let fields = "(data (i32.const 40000) \"far\") (data (i32.const 9) \"near\")
        (table 9 funcref) (elem (i32.const 0) funcref (ref.func 0) (ref.null func))";
    let at = SCRIPT.rfind(')').expect("a module ends");
    let script = format!("{} {fields})", &SCRIPT[..at]);
    let runs = [8_192, 8_193].map(|agents_max| {
        let config = config("").replace("agents_max = 64", &format!("agents_max = {agents_max}"));
        let folder = Folder::with(&config, &data(12));
        fs::write(folder.path("agent.wasm"), wasm(&script, ALL)).expect("written");
        let whole = folder.logged("whole", None);
        assert!(whole.restarts > 0, "{whole:?}");
        folder.logged("part", Some(6));
        let resumed = folder.resumed("part", None).expect("resumes");
        assert_eq!((resumed.digest, resumed.fuel_digest), (whole.digest, whole.fuel_digest));
        verify(&folder.path("part"), ReplayOptions::default()).expect("verifies");
        facts(&whole)
    });
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn l4_1_a_manifest_beside_the_module_is_part_of_it() {
    let folder = Folder::new(4);
    let inside = folder.logged("inside", None);
    fs::write(folder.path("agent.wasm"), wat::parse_str(SCRIPT).expect("a module"))
        .expect("written");
    let list: Vec<String> = ALL.iter().map(|c| format!("'{c}'")).collect();
    let list = list.join(", ");
    let manifest = format!("name = 'beside'\nversion = '1'\nabi = 1\ncapabilities = [{list}]\n");
    fs::write(folder.path("agent.manifest.toml"), manifest).expect("written");
    let beside = folder.logged("beside", None);
    assert_eq!(facts(&inside), facts(&beside));
    // The log needs neither file.
    for file in ["agent.wasm", "agent.manifest.toml"] {
        fs::remove_file(folder.path(file)).expect("removed");
    }
    verify(&folder.path("beside"), ReplayOptions::default()).expect("verifies");
}

/// AssemblyScript makes its heap in `_initialize`; without that call its texts are garbage.
#[test]
fn a1_6_a_module_of_assemblyscript_counts() {
    let config = format!(
        "{SOURCE}
[[agent]]
name = 'stats'
module = 'as_count.wasm'
grant = 'declared'
args = 'observation'

[[topic]]
name = 'stats'

[[output]]
topic = 'stats'
"
    );
    let folder = Folder::with(&config, &data(4));
    fs::write(folder.path("as_count.wasm"), include_bytes!("fixtures/as_count.wasm"))
        .expect("written");
    let report = folder.run(options()).expect("runs");
    assert_eq!((report.faults, report.inputs), (0, 12));
    assert_eq!(report.outputs["stats"], serde_json::json!({ "n": 12 }));
}
