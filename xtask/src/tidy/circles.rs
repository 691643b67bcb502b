//! No circle of files: none uses another that uses it, however far around.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::finding::{Check, Finding};
use super::graph::{Graph, graph};
use super::tree::Tree;

pub(super) const CHECK: Check = Check {
    name: "circles",
    holds: "no file of a crate uses, by paths to items (use crate::a::B, super::f(), child::C),\n\
            a file that uses it, even around others; declaring a child or passing its names on\n\
            is no use of it",
    run: check,
};

fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for of in &tree.crates {
        let graph = graph(tree, of);
        for files in circles(&graph) {
            let circle = shortest(&graph, &files);
            let more = files.len() + 1 - circle.len();
            let names: Vec<&str> = circle.iter().map(|file| graph.files[*file]).collect();
            let more = if more > 0 { format!(" (and {more} more files)") } else { String::new() };
            let what = format!("a circle of files: {}{more}", names.join(" -> "));
            let advice = "move what both need to a file below them";
            found.push(Finding::new(names[0], 1, what, advice));
        }
    }
    found
}

/// How many circles the tree has.
pub(super) fn count(tree: &Tree) -> usize {
    tree.crates.iter().map(|of| circles(&graph(tree, of)).len()).sum()
}

/// Which files reach each other: sets of more than one.
pub(super) fn circles(graph: &Graph<'_>) -> Vec<Vec<usize>> {
    let reach = reach(graph);
    let mut found: Vec<Vec<usize>> = Vec::new();
    for (file, below) in reach.iter().enumerate() {
        if below.contains(&file) && !found.iter().any(|files| files.contains(&file)) {
            let around = below.iter().filter(|other| reach[**other].contains(&file));
            found.push(around.copied().collect());
        }
    }
    found
}

/// Files on the longest path of uses; a circle counts as one.
pub(super) fn floors(graph: &Graph<'_>) -> usize {
    fn height(file: usize, reach: &[BTreeSet<usize>], known: &mut BTreeMap<usize, usize>) -> usize {
        if let Some(height) = known.get(&file) {
            return *height;
        }
        // All that is below the whole circle is below each of its files.
        let below = reach[file].iter().filter(|to| !reach[**to].contains(&file));
        let height = 1 + below.map(|to| height(*to, reach, known)).max().unwrap_or(0);
        known.insert(file, height);
        height
    }
    let (reach, mut known) = (reach(graph), BTreeMap::new());
    (0..graph.files.len()).map(|file| height(file, &reach, &mut known)).max().unwrap_or(0)
}

/// What each file uses, directly or around others.
fn reach(graph: &Graph<'_>) -> Vec<BTreeSet<usize>> {
    let from = |start: usize| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![start]);
        while let Some(file) = left.pop() {
            let next = graph.uses.range((file, 0)..(file + 1, 0)).map(|(_, to)| *to);
            left.extend(next.filter(|to| seen.insert(*to)));
        }
        seen
    };
    (0..graph.files.len()).map(from).collect()
}

/// The shortest way from a file back to it, of all files of a circle.
fn shortest(graph: &Graph<'_>, files: &[usize]) -> Vec<usize> {
    let around = |start: usize| -> Option<Vec<usize>> {
        let mut ways = VecDeque::from([vec![start]]);
        let mut seen = vec![false; graph.files.len()];
        while let Some(way) = ways.pop_front() {
            let last = *way.last()?;
            for (_, to) in graph.uses.iter().filter(|(from, _)| *from == last) {
                let longer = [way.as_slice(), &[*to]].concat();
                if *to == start {
                    return Some(longer);
                }
                if !std::mem::replace(&mut seen[*to], true) {
                    ways.push_back(longer);
                }
            }
        }
        None
    };
    files.iter().filter_map(|file| around(*file)).min_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: usize, uses: &[(usize, usize)]) -> Graph<'static> {
        let names = ["a", "b", "c", "d", "e", "f"];
        Graph { files: names[..count].to_vec(), uses: uses.iter().copied().collect() }
    }

    #[test]
    fn circles_are_sets_and_the_shortest_way_around_is_shown() {
        let graph = of(6, &[(0, 1), (1, 2), (2, 0), (1, 0), (3, 4), (4, 5), (3, 5)]);
        assert_eq!(circles(&graph), [[0, 1, 2]]);
        assert_eq!(shortest(&graph, &[0, 1, 2]), [0, 1, 0]);
        assert!(circles(&of(4, &[(0, 1), (1, 2), (0, 2)])).is_empty());
    }

    #[test]
    fn floors_are_the_longest_path_over_circles() {
        assert_eq!(floors(&of(4, &[(0, 1), (1, 2), (0, 2)])), 3);
        assert_eq!(floors(&of(4, &[(0, 1), (1, 0), (1, 2), (0, 3), (3, 2)])), 3);
        assert_eq!(floors(&of(2, &[])), 1);
    }

    #[test]
    fn a_circle_in_a_crate_is_found() {
        let tree = Tree::of(&[
            ("k/Cargo.toml", ""),
            ("k/src/lib.rs", "mod a; mod b;"),
            ("k/src/a.rs", "use crate::b::B; pub struct A;"),
            ("k/src/b.rs", "use crate::a::A; pub struct B;"),
        ]);
        let found = check(&tree);
        assert_eq!(count(&tree), 1);
        assert_eq!(found[0].what, "a circle of files: k/src/a.rs -> k/src/b.rs -> k/src/a.rs");
    }
}
