//! No line of Rust is wider than rustfmt makes code, comments and strings included.

use super::finding::{Check, Finding};
use super::tree::Tree;

pub(super) const CHECK: Check =
    Check { name: "width", holds: "no line of a .rs file has more than 100 columns", run: check };

const COLUMNS: usize = 100;

fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let what = format!("{columns} columns");
                let advice = format!("break it before column {COLUMNS}");
                found.push(Finding::new(&source.path, index + 1, what, advice));
            }
        }
    }
    found
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
}
