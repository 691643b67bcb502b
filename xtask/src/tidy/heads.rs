//! Every file opens with what it is: Rust with `//!`, other languages with a comment.

use super::finding::{Check, Finding};
use super::tree::Tree;

pub(super) const CHECK: Check = Check {
    name: "heads",
    holds: "every file opens with a head: Rust with //!, C, JavaScript, Python, shell and WAT\n\
            with a comment (after a #! line)",
    run: check,
};

/// Openings of a head by the ending of the path.
const HEADS: [(&str, &[&str]); 7] = [
    (".c", &["/*", "//"]),
    (".h", &["/*", "//"]),
    (".js", &["/*", "//"]),
    (".py", &["#", "\"\"\""]),
    (".sh", &["#"]),
    ("/run", &["#"]),
    (".wat", &[";;", "(;"]),
];

fn check(tree: &Tree) -> Vec<Finding> {
    let rust = tree.sources.iter().map(|source| (&source.path, &source.text, ["//!"].as_slice()));
    let other = tree.texts.iter().filter_map(|text| {
        let (_, heads) = HEADS.iter().find(|(ending, _)| text.path.ends_with(ending))?;
        Some((&text.path, &text.text, *heads))
    });
    rust.chain(other)
        .filter(|(_, text, heads)| !opens(text, heads))
        .map(|(path, _, heads)| {
            let what = format!("does not open with {}", heads.join(" or "));
            Finding::new(path, 1, what, "say what the file is, what for, and what not")
        })
        .collect()
}

fn opens(text: &str, heads: &[&str]) -> bool {
    let text = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!/") => rest,
        _ => text,
    };
    heads.iter().any(|head| text.starts_with(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "//! A."),
            ("b.rs", "// B.\nfn b() {}"),
            ("c.py", "#!/usr/bin/python3\n\"\"\"C.\"\"\""),
            ("d.py", "#!/usr/bin/python3\nimport d"),
            ("e.md", "# E"),
            (".ci/run", "#!/bin/sh\n# Runs."),
        ]);
        let found: Vec<String> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["b.rs", "d.py"]);
    }
}
