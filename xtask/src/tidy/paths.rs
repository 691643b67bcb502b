//! Paths in prose, and the files they can mean.

use super::tree::{Tree, folder, join};

/// Endings by which a path is known in prose.
const ENDINGS: [&str; 8] = ["rs", "md", "py", "c", "h", "js", "toml", "wat"];

/// Files that every crate has: alone they mean no file of the tree.
const OF_ANY_CRATE: [&str; 2] = ["src/lib.rs", "src/main.rs"];
/// What commands write, and the tree does not have.
const WRITTEN: [&str; 6] = [
    "target/",
    "examples/weather/modules/",
    "examples/filetypes/modules/",
    "examples/filetypes/model/",
    "examples/speech/modules/",
    "examples/speech/model/",
];

/// Paths in a text with where they stand: of files with a slash, names of Rust files and documents,
/// and folders that end with a slash. Patterns, addresses and absolute paths are none.
pub(super) fn paths<'a>(tree: &Tree, text: &'a str) -> Vec<(usize, &'a str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find(part) {
        let start = rest + start;
        let len = text[start..].find(|c| !part(c)).unwrap_or(text.len() - start);
        rest = start + len;
        let before = text[..start].chars().next_back();
        let after = text[rest..].chars().next();
        let open = |c: Option<char>| c.is_some_and(|c| "~$*{}<>\\@".contains(c));
        let path = text[start..rest].trim_end_matches('.').trim_start_matches("./");
        if !open(before) && !open(after) && is_path(tree, path) {
            found.push((start, path));
        }
    }
    found
}

fn is_path(tree: &Tree, path: &str) -> bool {
    let written = WRITTEN.iter().any(|folder| path.starts_with(folder));
    if path.starts_with('/') || path.contains("//") || path.contains("...") || written {
        return false;
    }
    if let Some((first, rest)) = path.trim_end_matches('/').split_once('/')
        && path.ends_with('/')
    {
        return tree.exists(first) && !rest.is_empty();
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((stem, ending)) = name.rsplit_once('.') else { return false };
    let bare = !path.contains('/');
    !stem.is_empty()
        && ENDINGS.contains(&ending)
        && (!bare || ending == "rs" || ending == "md")
        && !OF_ANY_CRATE.contains(&path)
}

/// The file of the tree that a path in `from` means: seen from its folder or the one above, from
/// the root, from its crate or beside that, or among the documents. A bare name of a Rust file is
/// any file of this name.
pub(super) fn meant(tree: &Tree, from: &str, path: &str) -> Option<String> {
    let of = tree.crate_of(from);
    let (source, tests) = (format!("{of}/src"), format!("{of}/tests"));
    let here = folder(from);
    let folders = [here, folder(here), "", of, &source, &tests, folder(of), "docs"];
    let found = folders.iter().filter_map(|folder| join(folder, path)).find(|it| tree.exists(it));
    let named = || !path.contains('/') && path.ends_with(".rs") && tree.has_name(path);
    found.or_else(|| named().then(|| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_prose() {
        let tree = Tree::of(&[("a/src/b.rs", "")]);
        let text = "see `a/src/b.rs`, b.rs. ../x/Y.md: e.g. a/b, https://h.org/x.rs /abs/c.rs \
                    a/*.rs {x}/d.rs foo.c a/src/ b/src/ src/lib.rs target/x.rs and ./e/f.py.";
        let found: Vec<&str> = paths(&tree, text).into_iter().map(|(_, path)| path).collect();
        assert_eq!(found, ["a/src/b.rs", "b.rs", "../x/Y.md", "a/src/", "e/f.py"]);
    }

    #[test]
    fn a_path_means_a_file_near_it() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", ""),
            ("a/src/b/c.rs", ""),
            ("docs/D.md", ""),
            ("a/tests/e.rs", ""),
        ]);
        for path in [
            "a/src/b/c.rs",
            "b/c.rs",
            "c.rs",
            "D.md",
            "docs/D.md",
            "../b",
            "tests/e.rs",
            "src/b/c.rs",
        ] {
            assert!(meant(&tree, "a/src/b/c.rs", path).is_some(), "{path}");
        }
        for path in ["b/d.rs", "d.rs", "E.md", "../../../../x.md"] {
            assert!(meant(&tree, "a/src/b/c.rs", path).is_none(), "{path}");
        }
    }
}
