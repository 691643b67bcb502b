//! What comments and documents cite is there: files, anchors, sections, rules, names in a file.

use std::collections::BTreeSet;

use super::finding::{Check, Finding};
use super::markdown::{has_anchor, has_section, links, quoted, without_blocks};
use super::paths::{meant, paths};
use super::rules::{DOCUMENT, is_rule, rules};
use super::scan::{find_word, words};
use super::tree::{Tree, folder, join};

pub(super) const CHECK: Check = Check {
    name: "citations",
    holds: "in comments of Rust, in .md outside code blocks and in other sources: paths of files,\n\
            X.md with #anchor, relative links, a path followed by a name in backticks, WORD §n,\n\
            rules as SEMANTICS C2, (C2, C4) or C2.3, in the semantics and the glossary any C2",
    run: check,
};

/// Documents that are not in the tree and may not be cited by name.
const OUTSIDE: [&str; 5] = ["DESIGN", "GOALS", "LAYOUT", "REQUIREMENTS", "STYLE"];
/// Documents in which a letter with a number is always a rule.
const OF_RULES: [&str; 2] = [DOCUMENT, "docs/GLOSSARY.md"];

/// A text in which things are cited; offsets are those of the file.
struct Prose<'a> {
    path: &'a str,
    text: String,
}

impl Prose<'_> {
    fn finding(&self, at: usize, what: String, advice: &str) -> Finding {
        Finding::new(self.path, self.text[..at].matches('\n').count() + 1, what, advice)
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let comments = tree
        .sources
        .iter()
        .map(|source| Prose { path: &source.path, text: source.comments.clone() });
    let other = tree.texts.iter().map(|text| {
        let document = text.path.ends_with(".md");
        let prose = if document { without_blocks(&text.text) } else { text.text.clone() };
        Prose { path: &text.path, text: prose }
    });
    let rules = rules(tree).into_keys().collect();
    let mut found = Vec::new();
    for mut prose in comments.chain(other) {
        if prose.path.ends_with(".md") {
            found.extend(cited_links(tree, &mut prose));
            found.extend(cited_names(tree, &prose));
        }
        found.extend(cited_paths(tree, &prose));
        found.extend(cited_sections(tree, &prose));
        found.extend(cited_rules(&rules, &prose));
    }
    found
}

/// Checks links and blanks their targets, so that these are looked at once.
fn cited_links(tree: &Tree, prose: &mut Prose<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for range in links(&prose.text) {
        let target = &prose.text[range.clone()];
        if target.contains("://") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = match path {
            "" => Some(prose.path.to_owned()),
            path => join(folder(prose.path), path).filter(|path| tree.exists(path)),
        };
        let text = file.as_deref().and_then(|path| tree.text(path));
        let there =
            file.is_some() && (anchor.is_empty() || text.is_some_and(|it| has_anchor(it, anchor)));
        if !there {
            let what = format!("the link {target} leads nowhere");
            found.push(prose.finding(range.start, what, "correct it"));
        }
    }
    for range in links(&prose.text) {
        prose.text.replace_range(range.clone(), &" ".repeat(range.len()));
    }
    found
}

fn cited_paths(tree: &Tree, prose: &Prose<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, path) in paths(tree, &prose.text) {
        let Some(file) = meant(tree, prose.path, path) else {
            found.push(prose.finding(at, format!("there is no {path}"), "cite what there is"));
            continue;
        };
        let rest = &prose.text[at + path.len()..];
        let part = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let anchor: String =
            rest.strip_prefix('#').into_iter().flat_map(str::chars).take_while(part).collect();
        if !anchor.is_empty() && !tree.text(&file).is_some_and(|text| has_anchor(text, &anchor)) {
            let what = format!("{path} has no section #{anchor}");
            found.push(prose.finding(at, what, "cite one that it has"));
        }
    }
    found
}

/// Names in backticks behind the path of a Rust file: each is a word of that file.
fn cited_names(tree: &Tree, prose: &Prose<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut file: Option<(&str, usize)> = None;
    for (at, inside) in quoted(&prose.text) {
        let end = at + inside.len() + 1;
        if tree.source(inside).is_some() {
            file = Some((inside, end));
            continue;
        }
        let follows = |from: usize| matches!(&prose.text[from..at - 1], " " | ", ");
        let Some((path, _)) = file.filter(|(_, from)| *from < at && follows(*from)) else {
            continue;
        };
        let name = inside.rsplit("::").next().unwrap_or_default();
        let is_name = words(name).any(|(_, word)| word == name);
        let source = tree.source(path).filter(|_| is_name);
        if source.is_some_and(|source| find_word(&source.code, name).next().is_none()) {
            let what = format!("{path} has no {inside}");
            found.push(prose.finding(at, what, "cite the file that has it"));
        }
        file = is_name.then_some((path, end));
    }
    found
}

/// Sections by number behind the name of a document in capitals, and documents that are elsewhere.
fn cited_sections(tree: &Tree, prose: &Prose<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let document = |word: &str| {
        [format!("{word}.md"), format!("docs/{word}.md")].iter().find_map(|path| tree.text(path))
    };
    for (at, _) in prose.text.match_indices('§') {
        let before = prose.text[..at].trim_end();
        let word = before.rsplit(|c: char| !c.is_ascii_uppercase()).next().unwrap_or_default();
        let rest = prose.text[at + '§'.len_utf8()..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        let number = rest[..end].trim_end_matches('.');
        let own = if prose.path.ends_with(".md") { Some(prose.text.as_str()) } else { None };
        let text = if word.is_empty() { own } else { document(word) };
        if !text.is_some_and(|text| has_section(text, number)) {
            let what = format!("{word} §{number} is no section of a document in the tree");
            found.push(prose.finding(at, what.trim_start().to_owned(), "cite one that is"));
        }
    }
    for word in OUTSIDE.iter().filter(|word| document(word).is_none()) {
        for at in find_word(&prose.text, word) {
            let (before, after) = (&prose.text[..at], prose.text[at + word.len()..].trim_start());
            if !before.ends_with(['`', '"', '_']) && !after.starts_with(['§', '=', ':']) {
                let what = format!("{word} is no document of the tree");
                found.push(prose.finding(at, what, "say it here, or cite a document of the tree"));
            }
        }
    }
    found
}

/// Rules that are cited and do not exist.
fn cited_rules(rules: &BTreeSet<String>, prose: &Prose<'_>) -> Vec<Finding> {
    let letters: BTreeSet<&str> = rules.iter().map(|name| &name[..1]).collect();
    let always = OF_RULES.contains(&prose.path);
    let all = rule_words(&prose.text);
    let mut cited = BTreeSet::new();
    for (index, (at, word)) in all.iter().enumerate() {
        let list = &all[index + 1..];
        if *word == "SEMANTICS" {
            cited.extend(run(&prose.text, at + word.len(), list));
        }
        let ours = letters.contains(&word[..word.chars().next().map_or(0, char::len_utf8)]);
        if is_rule(word) && ours {
            if always || word.contains('.') {
                cited.insert((*at, *word));
            } else if prose.text[..*at].ends_with('(') {
                let run = run(&prose.text, *at, &all[index..]);
                let closed = run
                    .last()
                    .is_some_and(|(at, word)| prose.text[at + word.len()..].starts_with(')'));
                cited.extend(run.into_iter().filter(|_| closed));
            }
        }
    }
    let missing = cited.into_iter().filter(|(_, word)| !rules.contains(*word));
    missing
        .map(|(at, word)| {
            let what = format!("there is no rule {word} in {DOCUMENT}");
            prose.finding(at, what, "cite one that there is")
        })
        .collect()
}

/// Words, those with a number behind a dot in one.
fn rule_words(text: &str) -> Vec<(usize, &str)> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (at, word) in words(text) {
        if let Some((start, last)) = found.last_mut()
            && *start + last.len() + 1 == at
            && text[..at].ends_with('.')
            && is_rule(&text[*start..at + word.len()])
        {
            *last = &text[*start..at + word.len()];
        } else {
            found.push((at, word));
        }
    }
    found
}

/// The rules that follow `from` as a list: `A1`, `A1, A2`, `A1 and A2`, `A1 to A3`, `A1-A3`.
fn run<'a>(text: &str, from: usize, list: &[(usize, &'a str)]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut end = from;
    for (at, word) in list {
        if !matches!(text[end..*at].trim(), "" | "," | "-" | "–") {
            break;
        }
        end = at + word.len();
        if is_rule(word) {
            found.push((*at, *word));
        } else if !["and", "or", "to"].contains(word) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "- **C2** Two.\n- **C4.1** Four one.\n### C4\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/SEMANTICS.md", RULES),
            ("docs/A.md", "# A\n## 2. Two words\n"),
            ("src/x.rs", "//! X.\npub struct Here;"),
            (path, text),
        ]);
        check(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_is_there_may_be_cited() {
        let text = "[a](A.md#a) [b](#own) `src/x.rs` `Here`, A.md#2-two-words, A §2\n# Own\n\
                    C11 (P9) [w](https://x.org/y.md)\n```\nnone.md\n```\n";
        assert_eq!(found("docs/B.md", text), [""; 0]);
        let text =
            "//! See docs/A.md, x.rs (C2, C4.1), SEMANTICS C2 and\n//! C4. (C11, C++) `GOALS`\n";
        assert_eq!(found("src/y.rs", text), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        for (path, text, what) in [
            ("docs/B.md", "[a](C.md)", "the link C.md leads nowhere"),
            ("docs/B.md", "[a](A.md#b)", "the link A.md#b leads nowhere"),
            ("docs/B.md", "`src/x.rs` `Gone`", "src/x.rs has no Gone"),
            ("docs/B.md", "`src/x.rs` `Here`, `Gone`", "src/x.rs has no Gone"),
            ("docs/B.md", "see §7", "§7 is no section of a document in the tree"),
            ("a.toml", "# see docs/C.md", "there is no docs/C.md"),
            ("src/y.rs", "// docs/A.md#three", "docs/A.md has no section #three"),
            ("src/y.rs", "/// DESIGN §4.", "DESIGN §4 is no section of a document in the tree"),
            ("src/y.rs", "/// As GOALS say", "GOALS is no document of the tree"),
            ("src/y.rs", "/// A §3.", "A §3 is no section of a document in the tree"),
            ("src/y.rs", "// src/z.rs", "there is no src/z.rs"),
            ("src/y.rs", "// SEMANTICS C2 to\n// C7", "there is no rule C7 in docs/SEMANTICS.md"),
            ("src/y.rs", "// SEMANTICS E6", "there is no rule E6 in docs/SEMANTICS.md"),
            ("src/y.rs", "// (C2, C3)", "there is no rule C3 in docs/SEMANTICS.md"),
            ("src/y.rs", "// as C2.1 says", "there is no rule C2.1 in docs/SEMANTICS.md"),
        ] {
            assert_eq!(found(path, text), [what], "{text}");
        }
    }
}
