//! No line of Rust is wider than rustfmt makes code, comments and strings included.

use super::finding::{Check, Finding};
use super::tree::Tree;

pub(super) const CHECK: Check = Check {
    name: "width",
    holds: "no line of a .rs file has more than 100 columns; a row of a table in a comment, which\n\
            cannot be broken, may",
    run: check,
};

const COLUMNS: usize = 100;

fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS && !is_table_row(line) {
                let what = format!("{columns} columns");
                let advice = format!("break it before column {COLUMNS}");
                found.push(Finding::new(&source.path, index + 1, what, advice));
            }
        }
    }
    found
}

/// Whether a line is a row of a table in a comment.
fn is_table_row(line: &str) -> bool {
    let line = line.trim_start();
    ["//! |", "/// |"].iter().any(|opening| line.starts_with(opening))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let (fits, wide) = (format!("//! {}", "é".repeat(96)), format!("//! {}", "x".repeat(97)));
        assert!(check(&Tree::of(&[("a.rs", &fits)])).is_empty());
        let found = check(&Tree::of(&[("a.rs", &format!("{fits}\n{wide}\n"))]));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_row_of_a_table_may_be_wide() {
        let cells = "x".repeat(100);
        let text = format!("//! | {cells} |\n    /// | {cells} |\n// | {cells} |\n");
        let found = check(&Tree::of(&[("a.rs", &text)]));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [3]);
    }
}
