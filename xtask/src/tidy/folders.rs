//! No file that is compiled into another crate. (That a folder of modules has its
//! `mod.rs` is held by a lint of clippy.)

use super::finding::{Check, Finding};
use super::scan::{skip_space, word_at};
use super::tree::{RustFile, Tree, folder, join};

pub(super) const CHECK: Check = Check {
    name: "folders",
    holds: "#[path] and include! stay in the folder of the nearest Cargo.toml",
    run: check,
};

fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(|source| leaving(tree, source)).collect()
}

/// Rust files of another crate that a file includes.
fn leaving(tree: &Tree, source: &RustFile) -> Vec<Finding> {
    let mut found = Vec::new();
    for opening in ["#[path", "include!("] {
        for (at, _) in source.code.match_indices(opening) {
            let Some(path) = quoted(source, at + opening.len()) else { continue };
            if !path.ends_with(".rs") {
                continue;
            }
            let target = join(folder(&source.path), path);
            let within =
                target.is_some_and(|target| tree.crate_of(&target) == tree.crate_of(&source.path));
            if !within {
                let what = format!("{path} is compiled into this crate from another");
                found.push(Finding::at(source, at, what, "make it a module that the crate uses"));
            }
        }
    }
    found
}

/// The string that follows, behind `=` or nothing.
fn quoted(source: &RustFile, at: usize) -> Option<&str> {
    let mut at = skip_space(&source.code, at);
    if source.code[at..].starts_with('=') {
        at = skip_space(&source.code, at + 1);
    }
    if !source.code[at..].starts_with('"') || !word_at(&source.code, at).is_empty() {
        return None;
    }
    let len = source.code[at + 1..].find('"')?;
    Some(&source.text[at + 1..at + 1 + len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_into_another_crate_is_found() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", ""),
            ("a/fuzz/Cargo.toml", ""),
            (
                "a/tests/x.rs",
                "#[path = \"../src/y.rs\"]\nmod y;\n#[path = \"../fuzz/z.rs\"]\nmod z;",
            ),
            ("a/tests/v.rs", "include!(\"../../b.rs\"); include!(\"w.rs\");"),
        ]);
        let found = check(&tree);
        let at: Vec<(&str, usize)> =
            found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        assert_eq!(at, [("a/tests/v.rs", 1), ("a/tests/x.rs", 3)]);
    }
}
