//! Which file of a crate uses which: its modules, and where the paths in its code lead.
//!
//! A use is a path that names an item: `use crate::a::B`, `super::f()`, `child::C`. It leads to the
//! file in which the item is defined; a name that a module only passes on is followed. Declaring a
//! child is no use of it, nor is passing its names on, unless the file uses them itself. Methods,
//! macros and what tests do are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::scan::{
    closing, find_word, is_word, item_end, skip_space, split_commas, word_at, words,
};
use super::tree::{RustFile, Tree, folder};

/// The files of a crate and who uses whom, by index.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) files: Vec<&'a str>,
    pub(super) uses: BTreeSet<(usize, usize)>,
}

type Path = Vec<String>;

/// A `use` of one name, or of all.
struct Import {
    path: Path,
    public: bool,
}

/// A module: its file, its children, and the names that it brings in.
struct Module<'a> {
    source: &'a RustFile,
    /// All of the file, or what is between the braces.
    range: Range<usize>,
    children: BTreeSet<String>,
    imports: BTreeMap<String, Import>,
    /// `use x::*`.
    globs: Vec<Import>,
    /// Where the `use` items stand.
    used: Vec<Range<usize>>,
}

/// The modules of a library or binary.
struct Target<'a> {
    modules: BTreeMap<Path, Module<'a>>,
}

/// What a path names: a module, or an item of one.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Named {
    Module(Path),
    Item(Path),
}

/// The graph of the crate in a folder; empty for one without `src`.
pub(super) fn graph<'a>(tree: &'a Tree, of: &str) -> Graph<'a> {
    let mut graph = Graph::default();
    for root in &tree.sources {
        let Some(path) = root.path.strip_prefix(of).and_then(|path| path.strip_prefix("/src/"))
        else {
            continue;
        };
        let bin = path.strip_prefix("bin/").is_some_and(|path| {
            !path.contains('/') || path.ends_with("/main.rs") && path.matches('/').count() == 1
        });
        if path != "lib.rs" && path != "main.rs" && !bin {
            continue;
        }
        let mut target = Target { modules: BTreeMap::new() };
        target.add(tree, root, Path::new(), 0..root.live.len(), folder(&root.path));
        let mut index = |path: &'a str| {
            graph.files.iter().position(|file| *file == path).unwrap_or_else(|| {
                graph.files.push(path);
                graph.files.len() - 1
            })
        };
        for module in target.modules.values() {
            index(&module.source.path);
        }
        for (from, to) in target.uses() {
            let edge = (index(from), index(to));
            graph.uses.insert(edge);
        }
    }
    graph
}

impl<'a> Target<'a> {
    /// Adds a module and those below; `folder` is where the files of its children are.
    fn add(
        &mut self,
        tree: &'a Tree,
        source: &'a RustFile,
        path: Path,
        range: Range<usize>,
        folder: &str,
    ) {
        let (mut children, mut inner) = (BTreeSet::new(), Vec::new());
        for at in find_word(&source.live[range.clone()], "mod") {
            let at = range.start + at;
            if inner.iter().any(|range: &Range<usize>| range.contains(&at)) {
                continue;
            }
            let name = word_at(&source.live, skip_space(&source.live, at + 3)).to_owned();
            if name.is_empty() {
                continue;
            }
            let below = [path.as_slice(), std::slice::from_ref(&name)].concat();
            let below_folder = format!("{folder}/{name}");
            if let (_, Some(body)) = item_end(&source.live, at) {
                inner.push(at..body.end + 1);
                self.add(tree, source, below, body, &below_folder);
            } else {
                let files = [format!("{below_folder}.rs"), format!("{below_folder}/mod.rs")];
                let Some(file) = files.iter().find_map(|file| tree.source(file)) else { continue };
                self.add(tree, file, below, 0..file.live.len(), &below_folder);
            }
            children.insert(name);
        }
        let mut module = Module {
            source,
            range,
            children,
            imports: BTreeMap::new(),
            globs: Vec::new(),
            used: inner,
        };
        module.find_imports();
        self.modules.insert(path, module);
    }

    /// Files and the files they use.
    fn uses(&self) -> BTreeSet<(&'a str, &'a str)> {
        let mut found = BTreeSet::new();
        for (path, module) in &self.modules {
            let mut named: Vec<Named> = Vec::new();
            for (name, import) in &module.imports {
                if !import.public || module.mentions(name) {
                    let item = |named: &Named| matches!(named, Named::Item(_));
                    named.extend(self.resolve(path, &import.path, 0).filter(item));
                }
            }
            let globs = module.globs.iter().filter(|glob| !glob.public);
            named.extend(globs.filter_map(|glob| self.resolve(path, &glob.path, 0)));
            for at in module.paths() {
                named.extend(self.resolve(path, &at, 0));
            }
            for Named::Module(target) | Named::Item(target) in named {
                let target = self.modules[&target].source.path.as_str();
                if target != module.source.path {
                    found.insert((module.source.path.as_str(), target));
                }
            }
        }
        found
    }

    /// What a path in a module names, if it is of this crate.
    fn resolve(&self, from: &Path, path: &[String], depth: usize) -> Option<Named> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Path::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            name if self.modules[from].children.contains(name) => {
                [from.as_slice(), &[name.to_owned()]].concat()
            }
            name => {
                let import = self.modules[from].imports.get(name)?;
                return self.follow(from, &import.path, rest, depth);
            }
        };
        while let Some((next, behind)) = rest.split_first() {
            if next == "super" {
                at.pop()?;
            } else if self.modules[&at].children.contains(next) {
                at.push(next.clone());
            } else if let Some(import) = self.modules[&at].imports.get(next) {
                return self.follow(&at, &import.path, behind, depth);
            } else {
                return Some(Named::Item(self.through_globs(&at, next, depth).unwrap_or(at)));
            }
            rest = behind;
        }
        Some(Named::Module(at))
    }

    /// What `rest` names behind an imported path.
    fn follow(&self, from: &Path, path: &Path, rest: &[String], depth: usize) -> Option<Named> {
        if depth > 8 {
            return None;
        }
        match self.resolve(from, path, depth + 1)? {
            Named::Module(at) if !rest.is_empty() => {
                let rest = [&["self".to_owned()], rest].concat();
                self.resolve(&at, &rest, depth + 1)
            }
            named => Some(named),
        }
    }

    /// The module that defines a name which `at` has by `use x::*` only.
    fn through_globs(&self, at: &Path, name: &str, depth: usize) -> Option<Path> {
        let module = &self.modules[at];
        if depth > 8 || module.defines(name) {
            return None;
        }
        module.globs.iter().find_map(|glob| {
            let Named::Module(target) = self.resolve(at, &glob.path, depth + 1)? else {
                return None;
            };
            let deeper = || self.through_globs(&target, name, depth + 1);
            if self.modules[&target].defines(name) { Some(target.clone()) } else { deeper() }
        })
    }
}

impl Module<'_> {
    fn code(&self) -> &str {
        &self.source.live[self.range.clone()]
    }

    fn is_used(&self, at: usize) -> bool {
        self.used.iter().any(|range| range.contains(&at))
    }

    fn find_imports(&mut self) {
        let code = &self.source.live;
        let mut items = Vec::new();
        for at in find_word(&code[self.range.clone()], "use") {
            let at = self.range.start + at;
            if self.is_used(at) {
                continue;
            }
            let end = code[at..].find(';').map_or(code.len(), |len| at + len);
            let before = code[..at].trim_end();
            let public = before.ends_with("pub")
                || before.ends_with(')')
                    && before.rsplit("pub").next().is_some_and(|it| it.starts_with('('));
            let mut names = Vec::new();
            expand(&Path::new(), &code[at + 3..end], &mut names);
            items.push((at..end, public, names));
        }
        for (range, public, names) in items {
            self.used.push(range);
            for (name, path) in names {
                if name == "*" {
                    self.globs.push(Import { path, public });
                } else {
                    self.imports.insert(name, Import { path, public });
                }
            }
        }
    }

    /// Whether the code, its imports left out, has this word.
    fn mentions(&self, name: &str) -> bool {
        find_word(self.code(), name).any(|at| !self.is_used(self.range.start + at))
    }

    /// Whether an item of this name is defined here.
    fn defines(&self, name: &str) -> bool {
        find_word(self.code(), name).any(|at| {
            let before = self.code()[..at].trim_end();
            let keyword = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            ["struct", "enum", "trait", "union", "fn", "const", "static", "type"].contains(&keyword)
        })
    }

    /// Paths of more than one part in the code, imports left out.
    fn paths(&self) -> Vec<Path> {
        let code = self.code();
        let mut found = Vec::new();
        let mut end = 0;
        for (at, first) in words(code) {
            if at < end || self.is_used(self.range.start + at) || code[..at].ends_with("::") {
                continue;
            }
            let mut path = vec![first.to_owned()];
            end = at + first.len();
            while code[end..].starts_with("::")
                && code.as_bytes().get(end + 2).copied().is_some_and(is_word)
            {
                let next = word_at(code, end + 2);
                path.push(next.to_owned());
                end += 2 + next.len();
            }
            if path.len() > 1 {
                found.push(path);
            }
        }
        found
    }
}

/// The names that the tree of a `use` brings in, with their paths.
fn expand(prefix: &Path, tree: &str, names: &mut Vec<(String, Path)>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let mut prefix = prefix.clone();
        prefix.extend(
            tree[..open].split("::").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned),
        );
        for (_, part) in split_commas(&tree[open + 1..closing(tree, open)], false) {
            expand(&prefix, part, names);
        }
        return;
    }
    let (path, alias) = match tree.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim())),
        None => (tree, None),
    };
    let mut full = prefix.clone();
    full.extend(path.split("::").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned));
    let inner_self = full.len() > 1 && full.last().is_some_and(|last| last == "self");
    let glob = full.last().is_some_and(|last| last == "*");
    if inner_self || glob {
        full.pop();
    }
    let last = if glob { "*" } else { full.last().map_or("", |last| last.as_str()) };
    let name = alias.unwrap_or(last).to_owned();
    if !full.is_empty() && !name.is_empty() {
        names.push((name, full));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("k/Cargo.toml", "")];
        all.extend(files);
        let tree = Tree::of(&all);
        let graph = graph(&tree, "k");
        let name = |index: usize| graph.files[index].trim_start_matches("k/src/");
        let uses = graph.uses.iter().map(|(from, to)| format!("{} {}", name(*from), name(*to)));
        uses.collect::<BTreeSet<String>>().into_iter().collect()
    }

    #[test]
    fn items_are_followed_to_where_they_are_defined() {
        let found = uses(&[
            ("k/src/lib.rs", "mod a; pub mod b;\npub use a::A;\npub use b::*;"),
            ("k/src/a.rs", "pub struct A;"),
            ("k/src/b/mod.rs", "mod c; pub use c::{C, self as d};"),
            (
                "k/src/b/c.rs",
                "use crate::A; pub struct C; fn f() -> crate::a::A { super::super::x() }",
            ),
            ("k/src/bin/x.rs", "mod y; use y::Y;"),
            ("k/src/bin/y.rs", "use std::fmt; pub struct Y;"),
        ]);
        assert_eq!(found, ["b/c.rs a.rs", "b/c.rs lib.rs", "bin/x.rs bin/y.rs"]);
    }

    #[test]
    fn passing_on_is_no_use_but_what_the_file_does_with_a_name_is() {
        let child = ("k/src/a.rs", "pub(crate) struct A; fn f() -> super::B { }");
        let only = uses(&[("k/src/lib.rs", "mod a; pub use a::A; struct B;"), child]);
        assert_eq!(only, ["a.rs lib.rs"]);
        for lib in [
            "mod a; pub use a::A; struct B(A);",
            "mod a; use a::A; struct B;",
            "mod a; struct B(a::A);",
            "mod a; use self::a as x; struct B(x::A);",
        ] {
            let both = uses(&[("k/src/lib.rs", lib), child]);
            assert_eq!(both, ["a.rs lib.rs", "lib.rs a.rs"], "{lib}");
        }
    }

    #[test]
    fn modules_globs_and_tests_are_no_edges_of_their_own() {
        let found = uses(&[
            ("k/src/lib.rs", "mod a; mod b; mod c;"),
            (
                "k/src/a.rs",
                "use crate::{b, c}; fn f() { c::g() }\n#[cfg(test)] mod t { use crate::b::B; }",
            ),
            ("k/src/b.rs", "pub use crate::c::*; mod i { fn h() { super::j() } } fn j() {}"),
            ("k/src/c.rs", "pub fn g() {}"),
        ]);
        assert_eq!(found, ["a.rs c.rs"]);
        let through = uses(&[
            ("k/src/lib.rs", "mod a; mod b; mod c;"),
            ("k/src/a.rs", "fn f() { crate::b::g() }"),
            ("k/src/b.rs", "pub use crate::c::*;"),
            ("k/src/c.rs", "pub fn g() {}"),
        ]);
        assert_eq!(through, ["a.rs c.rs"]);
    }
}
