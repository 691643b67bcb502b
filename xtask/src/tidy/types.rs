//! One name of a type, one idea: no name is defined twice.

use std::collections::BTreeMap;

use super::finding::{Check, Finding};
use super::scan::{find_word, skip_space, word_at};
use super::tree::{RustFile, Tree};

pub(super) const CHECK: Check = Check {
    name: "types",
    holds: "no struct, enum, trait or union has the name of another; tests, benches, examples,\n\
            fuzz targets and macro definitions do not count",
    run: |tree| check(tree, EXCEPTIONS),
};

/// Names that are defined more than once on purpose, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("Agent", "the SDK's trait, the core's slot and the monitor's line of the same thing"),
    ("Args", "what each command of a binary takes, private to its file"),
    ("Call", "of the contract, under way in the host, recorded by the SDK's test host"),
    ("Host", "each side's view of the host calls: the SDK's and the lane's"),
    ("Item", "what arrives at an agent, as the SDK and as the core hold it"),
    ("Kernel", "the monitor's line of it"),
    ("Lane", "the monitor's line of it"),
    ("ProcessState", "one for each system, of which one is compiled"),
    ("Raw", "the SDK's calls: of the kernel in a module, recorded elsewhere; one is compiled"),
    ("Resumed", "what resuming gives, and the record of it: docs/GLOSSARY.md"),
    ("Script", "how each crate's oracles read any bytes, private to them"),
];

/// Folders whose types do not count.
const ELSEWHERE: [&str; 4] = ["tests", "benches", "examples", "fuzz"];

/// A type of the product.
#[derive(Clone, Copy)]
pub(super) struct Definition<'a> {
    pub(super) source: &'a RustFile,
    pub(super) at: usize,
}

/// All types by name.
pub(super) fn types(tree: &Tree) -> BTreeMap<&str, Vec<Definition<'_>>> {
    let mut types: BTreeMap<&str, Vec<Definition<'_>>> = BTreeMap::new();
    for source in &tree.sources {
        if source.is_test || source.path.split('/').any(|part| ELSEWHERE.contains(&part)) {
            continue;
        }
        for keyword in ["struct", "enum", "trait", "union"] {
            for at in find_word(&source.live, keyword) {
                let name = word_at(&source.live, skip_space(&source.live, at + keyword.len()));
                if name.starts_with(|first: char| first.is_uppercase()) {
                    types.entry(name).or_default().push(Definition { source, at });
                }
            }
        }
    }
    types
}

fn check(tree: &Tree, exceptions: &[(&str, &str)]) -> Vec<Finding> {
    let types = types(tree);
    let twice = |name: &str| types.get(name).is_some_and(|all| all.len() > 1);
    let mut found = Vec::new();
    for (name, all) in &types {
        if exceptions.iter().any(|(entry, _)| entry == name) {
            continue;
        }
        for Definition { source, at } in &all[1..] {
            let first = all[0].source;
            let what = format!("{name} is a type of {}:{} too", first.path, first.line(all[0].at));
            let advice = "use that one, or give each idea a name of its own";
            found.push(Finding::at(source, *at, what, advice));
        }
    }
    let stale = exceptions.iter().filter(|(entry, _)| !twice(entry));
    found.extend(stale.map(|(entry, _)| Finding::stale("types", entry)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_defined_twice_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "pub struct A;\nstruct B;\n#[cfg(test)]\nmod tests { struct B; }"),
            ("b.rs", "// enum B\npub(crate) enum A {}\nunion C {}\nmacro_rules! m { struct $d; }"),
            ("tests/c.rs", "struct C;"),
        ]);
        let found = check(&tree, &[]);
        let at: Vec<(&str, usize)> =
            found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        assert_eq!(at, [("b.rs", 2)], "{found:?}");
        assert!(check(&tree, &[("A", "one is a letter")]).is_empty());
        let stale = check(&tree, &[("A", "one is a letter"), ("B", "gone")]);
        assert_eq!(stale, [Finding::stale("types", "B")]);
    }
}
