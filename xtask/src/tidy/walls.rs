//! The walls between the crates: what each may depend on.

use std::collections::BTreeMap;

use super::finding::{Check, Finding};
use super::tree::Tree;

pub(super) const CHECK: Check = Check {
    name: "walls",
    holds: "each crate of the workspace depends only on the crates that the table allows it, its\n\
            tests on a few more; wasmtime, wasmparser, wasm-encoder and ort have their crates",
    run: |tree| check(tree, &WALLS),
};

/// A crate: its folder, the crates of the workspace it may use, and those its tests may use too.
type Wall<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

const WALLS: [Wall<'static>; 23] = [
    ("abi", &[], &["abi/oracles"]),
    ("abi/oracles", &["abi"], &[]),
    ("shm", &[], &["shm/oracles"]),
    ("shm/oracles", &["shm"], &[]),
    ("kernel/setup", &["abi"], &[]),
    ("kernel/core", &["abi", "kernel/setup"], &["kernel/core/scripts"]),
    ("kernel/core/scripts", &["abi", "kernel/setup", "kernel/core"], &[]),
    ("kernel/telemetry", &["abi", "shm"], &[]),
    ("kernel/log", &["abi", "shm", "kernel/setup"], &["kernel/telemetry"]),
    ("kernel/sim", &OF_SIM, &[]),
    ("kernel/feeder", &["abi", "shm"], &[]),
    ("kernel/guest", &["abi", "shm", "kernel/setup"], &[]),
    ("kernel/inference", &["abi", "shm", "kernel/setup"], &[]),
    ("kernel/inference/conformance", &["abi", "kernel/inference"], &[]),
    ("benches/measure", &["shm", "kernel/guest"], &[]),
    ("ui-bridge", &["abi", "shm", "kernel/telemetry", "kernel/log"], &["ui-bridge/testkit"]),
    ("ui-bridge/testkit", &["abi", "shm", "kernel/telemetry", "ui-bridge"], &[]),
    (
        "kernel",
        &ALL_OF_KERNEL,
        &["kernel/core/scripts", "kernel/feeder", "ui-bridge", "ui-bridge/testkit"],
    ),
    ("kernel/capi", &["abi", "kernel"], &[]),
    ("agents", &["abi"], &["kernel/core", "kernel/setup"]),
    ("loom-tests", &["shm"], &[]),
    ("benches", &ANY, &[]),
    ("xtask", &["abi", "kernel/setup"], &[]),
];

const ALL_OF_KERNEL: [&str; 9] = [
    "abi",
    "shm",
    "kernel/setup",
    "kernel/core",
    "kernel/log",
    "kernel/telemetry",
    "kernel/guest",
    "kernel/inference",
    "benches/measure",
];
const OF_SIM: [&str; 6] =
    ["abi", "kernel/setup", "kernel/core", "kernel/core/scripts", "kernel/log", "kernel/telemetry"];
const ANY: [&str; 1] = ["*"];

/// Crates of others that only some may name.
const OTHERS: [(&str, &[&str]); 4] = [
    ("ort", &["kernel/inference"]),
    ("wasm-encoder", &["kernel/guest"]),
    ("wasmparser", &["kernel/guest"]),
    ("wasmtime", &["kernel/guest", "benches"]),
];

/// A dependency as a manifest names it.
struct Dependency<'a> {
    name: &'a str,
    line: usize,
    /// Of tests, benches and examples only.
    dev: bool,
}

fn check(tree: &Tree, walls: &[Wall<'_>]) -> Vec<Finding> {
    let members = members(tree);
    let packages: BTreeMap<&str, &str> =
        members.iter().filter_map(|folder| Some((package(tree, folder)?, *folder))).collect();
    let mut found = Vec::new();
    for folder in &members {
        let manifest = format!("{folder}/Cargo.toml");
        let text = tree.text(&manifest).unwrap_or_default();
        let Some((_, normal, tests)) = walls.iter().find(|(of, ..)| of == folder) else {
            let advice = "say in xtask/src/tidy/walls.rs what it may depend on, or exclude it";
            found.push(Finding::new(&manifest, 1, format!("{folder} has no walls"), advice));
            continue;
        };
        for dependency in dependencies(text) {
            let allowed = match packages.get(dependency.name) {
                Some(target) => {
                    let has = |list: &[&str]| list.contains(target) || list == ANY;
                    has(normal) || (dependency.dev && (has(tests) || target == folder))
                }
                None => OTHERS
                    .iter()
                    .find(|(name, _)| *name == dependency.name)
                    .is_none_or(|(_, folders)| folders.contains(folder)),
            };
            if !allowed {
                let what = format!("{folder} may not depend on {}", dependency.name);
                let advice = "move the code to a crate that may, or hand in what it needs";
                found.push(Finding::new(&manifest, dependency.line, what, advice));
            }
        }
    }
    found.extend(walls.iter().filter(|(of, ..)| !members.contains(of)).map(|(of, ..)| {
        let what = format!("the walls of {of} enclose no crate of the workspace");
        Finding::new("xtask/src/tidy/walls.rs", 1, what, "remove or move them")
    }));
    found
}

/// The folders of the workspace's packages: all but those that the root excludes.
fn members(tree: &Tree) -> Vec<&str> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let list = root.split_once("exclude = [").and_then(|(_, rest)| rest.split_once(']'));
    let excluded: Vec<&str> =
        list.map_or("", |(list, _)| list).split('"').skip(1).step_by(2).collect();
    let all = tree.crates.iter().map(String::as_str);
    all.filter(|folder| !folder.is_empty() && !excluded.contains(folder)).collect()
}

/// The name of the package in a folder.
fn package<'a>(tree: &'a Tree, folder: &str) -> Option<&'a str> {
    let text = tree.text(&format!("{folder}/Cargo.toml"))?;
    text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

fn dependencies(text: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut within = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(section) = line.trim().strip_prefix('[') {
            let section = section.trim_end_matches(']');
            within =
                section.ends_with("dependencies").then(|| section.ends_with("dev-dependencies"));
        } else if let (Some(dev), Some((key, _))) = (within, line.split_once('=')) {
            let name = key.split('.').next().unwrap_or_default().trim();
            if !name.starts_with('#') {
                found.push(Dependency { name, line: index + 1, dev });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"a\"]\nexclude = [\n    \"a/x\", \"y\",\n]\n";

    fn found(c: &str, walls: &[Wall<'_>]) -> Vec<String> {
        let c = format!("[package]\nname = \"our-c\"\n{c}");
        let tree = Tree::of(&[
            ("Cargo.toml", ROOT),
            ("a/Cargo.toml", "[package]\nname = \"our-a\"\n"),
            ("b/Cargo.toml", "[package]\nname = \"our-b\"\n[dependencies]\nserde = \"1\"\n"),
            ("k/c/Cargo.toml", &c),
            ("y/Cargo.toml", "[package]\nname = \"y\"\n[dependencies]\nour-a = \"1\"\n"),
        ]);
        check(&tree, walls).iter().map(|it| format!("{}:{}", it.line, it.what)).collect()
    }

    #[test]
    fn a_dependency_through_a_wall_is_found() {
        let walls: [Wall<'_>; 3] = [("a", &[], &[]), ("b", &[], &[]), ("k/c", &["a"], &["b"])];
        let fine = "[dependencies]\nour-a.workspace = true\nserde = { version = \"1\" }\n\
                    [dev-dependencies]\nour-b = { path = \"../b\" }\nour-c = { path = \".\" }\n";
        assert_eq!(found(fine, &walls), [""; 0]);
        let wrong =
            "[target.'cfg(unix)'.dependencies]\nour-b.workspace = true\nwasmtime = \"48\"\n";
        assert_eq!(
            found(wrong, &walls),
            ["4:k/c may not depend on our-b", "5:k/c may not depend on wasmtime"]
        );
    }

    #[test]
    fn walls_and_members_are_the_same() {
        let walls: [Wall<'_>; 3] = [("a", &[], &[]), ("b", &[], &[]), ("d", &[], &[])];
        assert_eq!(
            found("", &walls),
            ["1:k/c has no walls", "1:the walls of d enclose no crate of the workspace"]
        );
    }

    #[test]
    fn the_table_has_no_circle() {
        // Each crate stands behind what it may use, `benches` may use any.
        for (index, (_, normal, _)) in WALLS.iter().enumerate().filter(|(_, wall)| wall.1 != ANY) {
            let before = |target: &&&str| WALLS[..index].iter().any(|(of, ..)| *of == **target);
            assert!(normal.iter().all(|target| before(&target)), "{normal:?}");
        }
    }
}
