//! The files that the checks read, each taken apart once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};

use super::mask::Masked;
use super::scan::{find_word, skip_space, test_ranges, word_at};

/// Endings of the files that are read; of all others the path is enough.
const READ: [&str; 9] = ["rs", "md", "toml", "c", "h", "py", "js", "sh", "wat"];
/// Folders that are not entered: outputs, and test data whose names nobody cites.
const SKIPPED: [&str; 4] = ["target", "corpus", "artifacts", "__pycache__"];
/// Hidden folders that are.
const HIDDEN: [&str; 2] = [".ci", ".cargo"];

/// A Rust file.
#[derive(Debug)]
pub(super) struct RustFile {
    /// From the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// Without comments and strings.
    pub(super) code: String,
    /// Code without what is compiled for tests only.
    pub(super) live: String,
    pub(super) comments: String,
    pub(super) strings: String,
    /// What is compiled for tests only.
    pub(super) tests: Vec<Range<usize>>,
    /// Whether all of it is for tests.
    pub(super) is_test: bool,
    lines: Vec<usize>,
}

/// Any other file.
#[derive(Debug)]
pub(super) struct OtherFile {
    pub(super) path: String,
    pub(super) text: String,
}

/// The repository.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) sources: Vec<RustFile>,
    pub(super) texts: Vec<OtherFile>,
    /// Folders with a Cargo.toml, the root as "".
    pub(super) crates: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl RustFile {
    fn new(path: String, text: String) -> Self {
        let Masked { code, comments, strings } = Masked::new(&text);
        let tests = test_ranges(&code);
        let mut live = code.clone().into_bytes();
        for byte in tests.iter().cloned().flatten() {
            if live[byte] != b'\n' {
                live[byte] = b' ';
            }
        }
        let live = String::from_utf8(live).expect("whole ranges are blanked");
        let is_test = path.split('/').any(|part| ["tests", "tests.rs"].contains(&part));
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text, code, live, comments, strings, tests, is_test, lines }
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// The modules that only tests have, as paths without ending.
    fn test_modules(&self) -> impl Iterator<Item = String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        self.tests.iter().filter_map(move |range| {
            let item = &self.code[range.clone()];
            let name = find_word(item, "mod").map(|at| word_at(item, skip_space(item, at + 3)));
            item.ends_with(';')
                .then(|| name.last())
                .flatten()
                .map(|name| format!("{folder}/{name}"))
        })
    }
}

impl Tree {
    /// Reads the repository.
    ///
    /// # Errors
    /// If a file or folder cannot be read.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        walk(root, "", &mut files)?;
        Ok(Self::new(files))
    }

    /// A tree of texts, for tests of the checks.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let all = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Self::new(all.collect())
    }

    fn new(files: BTreeMap<String, Option<String>>) -> Self {
        let mut paths = BTreeSet::from([String::new()]);
        let (mut sources, mut texts, mut crates) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (path, text) in files {
            paths.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
            paths.insert(path.clone());
            match text {
                Some(text) if path.ends_with(".rs") => sources.push(RustFile::new(path, text)),
                Some(text) => {
                    if let Some(folder) = path.strip_suffix("Cargo.toml") {
                        crates.insert(folder.trim_end_matches('/').to_owned());
                    }
                    texts.push(OtherFile { path, text });
                }
                None => {}
            }
        }
        let tests: Vec<String> = sources.iter().flat_map(RustFile::test_modules).collect();
        for source in &mut sources {
            source.is_test |= tests.iter().any(|module| {
                let rest = source.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
        }
        Self { sources, texts, crates, paths }
    }

    /// Whether there is such a file or folder.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.paths.contains(path.trim_end_matches('/'))
    }

    /// Whether some file has this name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.paths.iter().any(|path| path.rsplit('/').next() == Some(name))
    }

    pub(super) fn source(&self, path: &str) -> Option<&RustFile> {
        self.sources.iter().find(|source| source.path == path)
    }

    /// The text of a file that is not Rust.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|text| text.path == path).map(|text| text.text.as_str())
    }

    /// The folder of the nearest Cargo.toml.
    pub(super) fn crate_of(&self, path: &str) -> &str {
        let within =
            |folder: &&String| folder.is_empty() || path.starts_with(&format!("{folder}/"));
        self.crates.iter().filter(within).max_by_key(|folder| folder.len()).map_or("", |it| it)
    }
}

/// The folder of a path; "" at the root.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `path` seen from `folder`, without dots; none above the root.
pub(super) fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn walk(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Option<String>>) -> Result<()> {
    let context = || format!("reading {}", dir.display());
    for entry in fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type().with_context(context)?.is_dir() {
            let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
            let outputs = entry.path().join("CACHEDIR.TAG").exists();
            if SKIPPED.contains(&name.as_str()) || outputs {
                files.insert(path, None);
            } else if !hidden {
                walk(&entry.path(), &format!("{path}/"), files)?;
            }
        } else {
            let ending = name.rsplit_once('.').map(|(_, ending)| ending);
            let read = ending.is_some_and(|ending| READ.contains(&ending)) || path == ".ci/run";
            let text =
                || fs::read_to_string(entry.path()).with_context(|| format!("reading {path}"));
            let text = if read { Some(text()?) } else { None };
            files.insert(path, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_with_their_crates_lines_and_tests() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "//! A.\nfn a() {}\n#[cfg(test)]\nmod rig;\n"),
            ("a/src/rig.rs", "fn b() {}"),
            ("a/fuzz/Cargo.toml", ""),
            ("a/fuzz/src/x.rs", ""),
            ("a/tests/t.rs", ""),
        ]);
        assert_eq!(tree.crate_of("a/src/lib.rs"), "a");
        assert_eq!(tree.crate_of("a/fuzz/src/x.rs"), "a/fuzz");
        assert!(tree.exists("a/src/") && tree.exists("a/src/rig.rs") && !tree.exists("b"));
        let tests: Vec<bool> = tree.sources.iter().map(|source| source.is_test).collect();
        assert_eq!(tests, [false, false, true, true], "fuzz, lib, rig, t");
        let lib = tree.source("a/src/lib.rs").expect("there");
        assert_eq!((lib.line(0), lib.line(7), lib.line(8)), (1, 2, 2));
        assert!(!lib.live.contains("rig") && lib.code.contains("rig"));
    }

    #[test]
    fn paths_are_joined_without_dots() {
        assert_eq!(join("a/b", "../c/./d.md").as_deref(), Some("a/c/d.md"));
        assert_eq!(join("a", "../../c"), None);
    }
}
