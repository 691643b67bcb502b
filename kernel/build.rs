//! Says in `WASM_ENGINE_BUILT_FROM` which commit a release is built from.
//!
//! Only a release: the program would be built anew after each commit else. Where there is no git,
//! or the sources are not in their own repository, it is unknown; the same sources then give the
//! same program.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match release {
        true => commit().unwrap_or_else(|| "unknown".to_owned()),
        false => "not recorded in a development build".to_owned(),
    };
    println!("cargo::rustc-env=WASM_ENGINE_BUILT_FROM={commit}");
}

/// The commit, with a word behind it if files differ from it.
fn commit() -> Option<String> {
    // Of a package that was unpacked inside another repository, that is not the one.
    if !Path::new("../.git").exists() {
        return None;
    }
    for changing in ["HEAD", "logs/HEAD", "index"] {
        let path = git(&["rev-parse", "--git-path", changing])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=src");
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
