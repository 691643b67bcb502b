//! Functions and files stay short enough to be held in mind.

use super::finding::{Check, Finding};
use super::scan::functions;
use super::tree::{RustFile, Tree};

pub(super) const CHECK: Check = Check {
    name: "lengths",
    holds: "function bodies have at most 70 lines, files at most 500 without their\n\
            #[cfg(test)] parts, files of tests 800",
    run: |tree| check(tree, EXCEPTIONS),
};

const BODY_MAX: usize = 70;
const FILE_MAX: usize = 500;
const TEST_FILE_MAX: usize = 800;

/// What is longer on purpose: the path, or `path::function`, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

fn check(tree: &Tree, exceptions: &[(&str, &str)]) -> Vec<Finding> {
    let mut needed = Vec::new();
    let mut found = Vec::new();
    for source in &tree.sources {
        for (name, finding) in too_long(source) {
            if exceptions.iter().any(|(entry, _)| *entry == name) {
                needed.push(name);
            } else {
                found.push(finding);
            }
        }
    }
    let stale = exceptions.iter().filter(|(entry, _)| !needed.iter().any(|name| name == entry));
    found.extend(stale.map(|(entry, _)| Finding::stale("lengths", entry)));
    found
}

/// What is too long in a file, each with its name in the table.
fn too_long(source: &RustFile) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    let max = if source.is_test { TEST_FILE_MAX } else { FILE_MAX };
    let lines = source.text.lines().count();
    let tests = |at| source.line(at) - 1;
    let of_tests: usize = source
        .tests
        .iter()
        .map(|range| tests(range.end.saturating_sub(1)) - tests(range.start) + 1)
        .sum();
    let lines = if source.is_test { lines } else { lines - of_tests };
    if lines > max {
        let what = format!("{lines} lines, at most {max}");
        let finding = Finding::new(&source.path, 1, what, "split it by noun");
        found.push((source.path.clone(), finding));
    }
    for function in functions(&source.code) {
        let Some(body) = function.body else { continue };
        let lines = (source.line(body.end) - source.line(body.start)).saturating_sub(1);
        if lines > BODY_MAX {
            let what = format!("{} has {lines} lines, at most {BODY_MAX}", function.name);
            let finding = Finding::at(source, function.at, what, "give its parts names");
            found.push((format!("{}::{}", source.path, function.name), finding));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines))
    }

    #[test]
    fn bodies_and_files_have_a_longest() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(600));
        let files = [
            ("a.rs", body(70)),
            ("b.rs", body(71)),
            ("c.rs", "\n".repeat(500) + &tests),
            ("d.rs", "\n".repeat(501) + &tests),
            ("tests/e.rs", "\n".repeat(800)),
            ("tests/f.rs", "\n".repeat(801)),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        let tree = Tree::of(&files);
        let found: Vec<String> = check(&tree, &[]).into_iter().map(|it| it.path).collect();
        assert_eq!(found, ["b.rs", "d.rs", "tests/f.rs"]);
    }

    #[test]
    fn exceptions_are_kept_and_stale_ones_found() {
        let tree = Tree::of(&[("b.rs", &body(71))]);
        assert!(check(&tree, &[("b.rs::f", "a table")]).is_empty());
        let found = check(&tree, &[("b.rs::f", "a table"), ("b.rs", "gone")]);
        assert_eq!(found, [Finding::stale("lengths", "b.rs")]);
    }
}
