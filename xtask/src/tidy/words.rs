//! One word, one idea: words that were replaced do not come back.
//!
//! Only words that a machine can tell: what is right in one place and wrong in another is for
//! `docs/GLOSSARY.md` and for readers.

use super::finding::{Check, Finding};
use super::scan::words;
use super::tree::{RustFile, Tree};

pub(super) const CHECK: Check = Check {
    name: "words",
    holds: "replaced words are not used: as parts of identifiers (stash in unstash_all and\n\
            StashError) and of names of Rust files, as whole identifiers, as phrases in comments,\n\
            strings and .md; exceptions are by path",
    run: |tree| check(tree, &WORDS, EXCEPTIONS),
};

/// Where a word is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum In {
    /// Among the parts of identifiers and of files' names.
    Parts,
    /// As an identifier.
    Names,
    /// In comments, strings and documents, as words in this order.
    Prose,
    /// In prose, where no word follows.
    Ends,
    /// As parts and in prose.
    Both,
}

/// A word, where it is looked for, what to use instead.
type Word<'a> = (&'a str, In, &'a str);

const WORDS: [Word<'static>; 48] = [
    ("told", In::Parts, "trace"),
    ("telling", In::Parts, "trace"),
    ("takers", In::Both, "sinks"),
    ("taker", In::Both, "sink"),
    ("Outside", In::Names, "Environment"),
    ("stash", In::Both, "spill"),
    ("stashed", In::Both, "retained"),
    ("unstash", In::Both, "release"),
    ("preamble", In::Both, "run header"),
    ("look", In::Parts, "poll or snapshot"),
    ("looks", In::Parts, "polls or snapshots"),
    ("claim", In::Parts, "lease, name lock or guest slice"),
    ("breach", In::Both, "mutant or injected bug"),
    ("breaches", In::Both, "mutants or injected bugs"),
    ("fell", In::Parts, "stopped (with its group)"),
    ("fallen", In::Parts, "stopped (with its group)"),
    ("nap", In::Parts, "backoff or poll interval"),
    ("beat", In::Parts, "heartbeat"),
    ("judge", In::Parts, "classify"),
    ("blame", In::Parts, "locate_error"),
    ("keeper", In::Both, "owner"),
    ("answer place", In::Both, "pending-call slot"),
    ("answer places", In::Both, "pending-call slots"),
    ("place", In::Parts, "slot, index, offset, position or location"),
    ("places", In::Parts, "slots, indices, offsets, positions or locations"),
    ("pass_1", In::Names, "apply_messages"),
    ("pass_2", In::Names, "apply_subscriptions"),
    ("pass_3", In::Names, "apply_lifecycle"),
    ("pass_4", In::Names, "apply_faults"),
    ("touched", In::Parts, "dirty"),
    ("Work", In::Names, "TurnContext"),
    ("lend", In::Names, "begin"),
    ("reclaim", In::Names, "end"),
    ("Lanes", In::Names, "LanePool"),
    ("Remote", In::Names, "WorkerHandle"),
    ("Exits", In::Names, "HasExitCode"),
    ("GoingOn", In::Names, "Resumed"),
    ("go_on", In::Names, "catch_up"),
    ("defect", In::Both, "invalid (input) or corrupt (stored bytes)"),
    ("defects", In::Both, "invalid (input) or corrupt (stored bytes)"),
    ("doing", In::Parts, "activity"),
    ("quiet_ns", In::Parts, "idle_ns"),
    ("says that", In::Prose, "writes or returns"),
    ("is told", In::Prose, "what is written or returned"),
    ("are told", In::Prose, "what is written or returned"),
    ("of no use afterwards", In::Prose, "must not be used again"),
    ("that cannot be", In::Ends, "invalid"),
    ("the one place", In::Prose, "where it is, without the claim"),
];

/// Where a word may stand all the same: a path or the beginning of one, the word or "" for all,
/// why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("CHANGELOG.md", "", "what was said then"),
    ("docs/", "is told", "a sender is told of a refusal, with the outcome that the rules name"),
    ("docs/", "are told", "told apart"),
    ("docs/", "says that", "of outcomes and documents, which do say something"),
    ("shm/tests/", "place", "`in_place` is the field's word"),
    ("loom-tests/src/mem.rs", "touched", "the words that a range touches"),
    ("ui-bridge/", "Lanes", "the pane that lists the lanes"),
    ("xtask/src/tidy/words.rs", "", "the words themselves"),
];

fn check(tree: &Tree, list: &[Word<'_>], exceptions: &[(&str, &str, &str)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        found.extend(in_source(source, list));
    }
    for text in tree.texts.iter().filter(|text| text.path.ends_with(".md")) {
        for word in list {
            for at in in_prose(&text.text, word) {
                let line = text.text[..at].matches('\n').count() + 1;
                found.push((word.0, finding(&text.path, line, word)));
            }
        }
    }
    let covers = |(path, of, _): &(&str, &str, &str), word: &str, finding: &Finding| {
        finding.path.starts_with(path) && (of.is_empty() || *of == word)
    };
    let stale: Vec<Finding> = exceptions
        .iter()
        .filter(|entry| !found.iter().any(|(word, finding)| covers(entry, word, finding)))
        .map(|(path, word, _)| Finding::stale("words", &format!("{word:?} in {path}")))
        .collect();
    found.retain(|(word, finding)| !exceptions.iter().any(|entry| covers(entry, word, finding)));
    found.into_iter().map(|(_, finding)| finding).chain(stale).collect()
}

fn finding(path: &str, line: usize, (word, _, instead): &Word<'_>) -> Finding {
    Finding::new(path, line, format!("`{word}` was replaced"), format!("say {instead}"))
}

fn in_source<'a>(source: &RustFile, list: &[Word<'a>]) -> Vec<(&'a str, Finding)> {
    let mut found = Vec::new();
    let name = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let name = parts(name);
    for word in list.iter().filter(|word| matches!(word.1, In::Parts | In::Both)) {
        if has(&name, &parts(word.0)) {
            found.push((word.0, finding(&source.path, 1, word)));
        }
    }
    let wanted: Vec<(&Word<'a>, Vec<String>)> = list
        .iter()
        .filter(|word| matches!(word.1, In::Parts | In::Both))
        .map(|word| (word, parts(word.0)))
        .collect();
    for (at, identifier) in words(&source.code) {
        let all = parts(identifier);
        let of_parts = wanted.iter().filter(|(_, wanted)| has(&all, wanted)).map(|(word, _)| *word);
        let of_names = list.iter().filter(|word| word.1 == In::Names && word.0 == identifier);
        for word in of_parts.chain(of_names) {
            found.push((word.0, finding(&source.path, source.line(at), word)));
        }
    }
    for text in [&source.comments, &source.strings] {
        for word in list {
            for at in in_prose(text, word) {
                found.push((word.0, finding(&source.path, source.line(at), word)));
            }
        }
    }
    found
}

/// `take_told`, `TakeTold` and `take told` as their parts.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut upper = true;
    for c in identifier.chars() {
        let starts = c == '_' || c == ' ' || (c.is_uppercase() && !upper);
        upper = c.is_uppercase();
        if starts && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (c.is_alphanumeric(), parts.last_mut()) {
            part.extend(c.to_lowercase());
        }
    }
    parts
}

fn has(all: &[String], wanted: &[String]) -> bool {
    all.windows(wanted.len()).any(|window| window == wanted)
}

/// Where the words stand one after the other, whatever white space is between them.
fn in_prose(text: &str, (word, of, _): &Word<'_>) -> Vec<usize> {
    if matches!(of, In::Parts | In::Names) {
        return Vec::new();
    }
    let (first, rest) = word.split_once(' ').unwrap_or((word, ""));
    let follows = |mut text: &str| {
        let all = rest.split_whitespace().all(|word| {
            let trimmed = text.trim_start();
            let spaced = trimmed.len() < text.len();
            let next = words(trimmed).next().filter(|(at, _)| *at == 0).map_or("", |(_, it)| it);
            text = &trimmed[next.len()..];
            spaced && next.eq_ignore_ascii_case(word)
        });
        let word_follows = || words(text.trim_start()).next().is_some_and(|(at, _)| at == 0);
        all && !(*of == In::Ends && word_follows())
    };
    words(text)
        .filter(|(_, found)| found.eq_ignore_ascii_case(first))
        .filter(|(at, found)| follows(&text[at + found.len()..]))
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: [Word<'static>; 5] = [
        ("told", In::Parts, "trace"),
        ("Work", In::Names, "TurnContext"),
        ("is told", In::Prose, "gets"),
        ("stash", In::Both, "spill"),
        ("cannot be", In::Ends, "invalid"),
    ];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let tree = Tree::of(&[(path, text)]);
        check(&tree, &LIST, &[]).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn identifiers_are_looked_at_in_parts() {
        assert_eq!(lines("a.rs", "fn take_told() {}\nstruct ToldX;\nfn untold() {}"), [1, 2]);
        assert_eq!(lines("a.rs", "struct Work;\nstruct Worker;\nstruct WorkX;"), [1]);
        assert_eq!(lines("told.rs", "// the sender was told"), [1], "the file's name");
    }

    #[test]
    fn phrases_are_found_over_lines_in_comments_strings_and_documents() {
        assert_eq!(
            lines("a.rs", "//! x Is\n//! told\nconst A: &str = \"Stash\";\nlet is = told_x;"),
            [4, 1, 3]
        );
        assert_eq!(lines("a.md", "cannot be read\nwhat cannot\nbe: that\ncannot be"), [2, 4]);
        assert_eq!(lines("a.md", "who is told\nthis. Told, is, told\nthe `stash`"), [1, 3]);
    }

    #[test]
    fn exceptions_are_kept_and_stale_ones_found() {
        let tree = Tree::of(&[("a/b.md", "stash, is told")]);
        assert_eq!(check(&tree, &LIST, &[("a/", "stash", "history")]).len(), 1);
        assert!(check(&tree, &LIST, &[("a/b.md", "", "history")]).is_empty());
        let stale = check(&tree, &LIST, &[("a/", "", "history"), ("a/", "Work", "gone")]);
        assert_eq!(stale, [Finding::stale("words", "\"Work\" in a/")]);
    }
}
