//! The mutation gate, whole: no weak ordering and no wrong algorithm survives the models.

use std::process::Command;

#[test]
fn nothing_survives() {
    let output = Command::new(env!("CARGO_BIN_EXE_mutants")).output().expect("it runs");
    let table = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}{why}");
    assert!(why.contains(" 0 survived"), "{why}");
}
