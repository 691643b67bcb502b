//! The readers in Rust, C and Python of a kernel that runs say the same of it.

use std::{cell::RefCell, process::Command, rc::Rc};

use crate::support::run::{Folder, config, data, options};
use wasm_engine::run::{RunOptions, run};
use wasm_engine_setup::TraceLevel;
use wasm_engine_shm::locate::{list_in, runtime_directory};
use wasm_engine_ui_bridge_testkit::readers::{compile, parts, python, rust};

/// Ticks between two polls.
const EVERY: u64 = 12;

#[test]
fn readers_in_rust_c_and_python_say_the_same_of_a_running_kernel() {
    let folder = Folder::with(&config(""), &data(60));
    let dump = compile(folder.dir.path(), ["cc", "-std=c11"], "testkit/readers/dump.c");
    let name = format!("readers-{}", std::process::id());
    let polls: Rc<RefCell<Vec<String>>> = Rc::default();
    let progress = {
        let (name, polls) = (name.clone(), Rc::clone(&polls));
        // Between two ticks a kernel without a log publishes nothing, so there is one right answer.
        Box::new(move |progress: &wasm_engine::report::Progress| {
            if !progress.tick.is_multiple_of(EVERY) {
                return;
            }
            let directory = runtime_directory().expect("a runtime directory");
            let found = list_in(&directory).expect("readable");
            let ours = found.into_iter().find(|found| found.name == name).expect("it runs");
            let path = ours.descriptor.expect("whole").path();
            let expected = rust(&path).expect("sound");
            for (who, output) in [
                ("C", Command::new(&dump).arg(&path).output()),
                ("Python", python().arg("--dump").arg(&path).output()),
            ] {
                let said = parts(output.expect("it runs"), who);
                assert_eq!(said, [Ok(expected.clone())], "{who}, tick {}", progress.tick);
            }
            polls.borrow_mut().push(expected);
        })
    };
    let mut resolved = folder.resolved();
    resolved.physical.region.trace = TraceLevel::Full;
    resolved.physical.region.trace_events = 64;
    resolved.physical.workers = 1;
    let options = RunOptions { name: Some(name), progress: Some(progress), ..options() };
    let report = run(resolved, options).expect("the run succeeds");
    let polls = polls.borrow();
    assert!(polls.len() as u64 >= report.ticks / EVERY);
    // They had something to say: rows of every table, events, losses, counters.
    let last = polls.last().expect("there were ticks");
    for beginning in [
        "kernel ",
        "page 1 ",
        "page 6 ",
        "row 2.",
        "row 3.1 ",
        "row 5.",
        "message 7.",
        "lost 7.",
        "counter 8 ",
    ] {
        assert!(last.lines().any(|line| line.starts_with(beginning)), "{beginning}: {last}");
    }
}
