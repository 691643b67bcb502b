//! The house in numbers: how large and how high each crate is.

use super::circles::{circles, floors};
use super::graph::graph;
use super::tree::Tree;

/// A table of the crates with a `src`: lines of Rust, their share, files of the library and
/// binaries, circles, floors.
pub(super) fn table(tree: &Tree) -> String {
    let lines = |of: &str| -> usize {
        let own = tree.sources.iter().filter(|source| tree.crate_of(&source.path) == of);
        own.map(|source| source.text.lines().count()).sum()
    };
    let all: usize = tree.crates.iter().map(|of| lines(of)).sum();
    let mut rows: Vec<(usize, &String)> = tree.crates.iter().map(|of| (lines(of), of)).collect();
    rows.retain(|(lines, _)| *lines > 0);
    rows.sort_by_key(|row| std::cmp::Reverse(*row));
    let mut text = "| crate | lines | share | files | circles | floors |\n".to_owned();
    text.push_str("|---|---|---|---|---|---|\n");
    for (lines, of) in rows {
        let graph = graph(tree, of);
        let share = 100.0 * lines as f64 / all as f64;
        let (files, circles, floors) = (graph.files.len(), circles(&graph).len(), floors(&graph));
        let row = format!("| {of} | {lines} | {share:.1} % | {files} | {circles} | {floors} |\n");
        text.push_str(&row);
    }
    text.push_str(&format!("| all | {all} | 100 % | | | |\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_have_their_lines_and_floors() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "mod b;\nuse b::B;\n//\n"),
            ("a/src/b.rs", "pub struct B;\n"),
            ("a/tests/t.rs", "//\n//\n"),
            ("c/Cargo.toml", ""),
            ("c/src/lib.rs", "//\n//\n"),
        ]);
        let table = table(&tree);
        assert!(table.contains("| a | 6 | 75.0 % | 2 | 0 | 2 |"), "{table}");
        assert!(table.contains("| c | 2 | 25.0 % | 1 | 0 | 1 |"), "{table}");
    }
}
