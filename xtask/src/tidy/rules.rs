//! Every rule of the semantics is named by a test.
//!
//! A rule is `- **T4** …` or `### T4 …`, a sub-rule `- **T4.1** …`. What was split into sub-rules
//! is named by those. A line with `*(not built)*` is a rule that no test may name yet; on a heading
//! it holds for all below. The table of docs/RULES.md is made of both, and compared.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Check, Finding};
use super::scan::{attributes, functions};
use super::tree::Tree;

pub(super) const CHECK: Check = Check {
    name: "rules",
    holds: "every rule of docs/SEMANTICS.md is named by a test, and no test names another: T1.2\n\
            by t1_2 among the parts of the test's name, a rule without sub-rules by t4. A rule\n\
            or heading whose line has *(not built)* is reserved. #[ignore]d tests do not count.\n\
            docs/RULES.md is the table of both",
    run: check,
};

/// Where the rules are.
pub(super) const DOCUMENT: &str = "docs/SEMANTICS.md";
const NOT_BUILT: &str = "*(not built)*";
/// The document that is made of rules and tests.
pub(super) const TABLE: &str = "docs/RULES.md";
/// Words that a rule is shown with.
const BEGIN_WORDS: usize = 12;
const TABLE_HEAD: &str = "\
# Rules and their tests

Which tests fail when a rule of [SEMANTICS.md](SEMANTICS.md) is broken: those that have its number
in their name. Made by `cargo xtask tidy --rules`, and compared by `cargo xtask tidy`, which also
refuses a rule without a test. What lies in `kernel/core/scripts/src/rules` is run on the state
machine alone and again through WebAssembly, the threads and the log.

| rule | tests |
|---|---|
";

/// Tests by the rules that they name: file and name.
type RuleTests<'t> = BTreeMap<String, BTreeSet<(&'t str, &'t str)>>;

/// A rule as it stands in the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    line: usize,
    built: bool,
}

/// Rules and sub-rules by name (`T1`, `T1.2`).
pub(super) type Rules = BTreeMap<String, Rule>;

/// The rules of the tree; empty without the document.
pub(super) fn rules(tree: &Tree) -> Rules {
    let mut rules = Rules::new();
    for (index, line) in tree.text(DOCUMENT).unwrap_or_default().lines().enumerate() {
        let heading = line.strip_prefix("### ");
        let item = line.strip_prefix("- **").and_then(|rest| rest.split_once("**"));
        let Some(name) = item.map(|(name, _)| name).or(heading.and_then(|it| it.split(' ').next()))
        else {
            continue;
        };
        if is_rule(name) {
            let above = name.split_once('.').and_then(|(above, _)| rules.get(above));
            let built = !line.contains(NOT_BUILT) && above.is_none_or(|rule| rule.built);
            rules.insert(name.to_owned(), Rule { line: index + 1, built });
        }
    }
    rules
}

/// Whether this has the form of a rule's name: a capital, a number, maybe a dot and a number.
pub(super) fn is_rule(name: &str) -> bool {
    let (above, below) = match name.split_once('.') {
        Some((above, below)) => (above, Some(below)),
        None => (name, None),
    };
    let mut above = above.chars();
    above.next().is_some_and(|first| first.is_ascii_uppercase())
        && is_number(above.as_str())
        && below.is_none_or(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check(tree: &Tree) -> Vec<Finding> {
    let rules = rules(tree);
    if rules.is_empty() {
        let advice = "say in xtask/src/tidy/rules.rs where they are";
        return vec![Finding::new(DOCUMENT, 1, "there are no rules here", advice)];
    }
    let (tests, mut found) = tests_of(tree, &rules);
    let missing = own(&rules).filter(|(name, rule)| rule.built && !tests.contains_key(*name));
    found.extend(missing.map(|(name, rule)| {
        let part = name.to_lowercase().replace('.', "_");
        let advice = format!("write a test with {part} in its name, or mark it {NOT_BUILT}");
        Finding::new(DOCUMENT, rule.line, format!("no test names {name}"), advice)
    }));
    if tree.text(TABLE).is_some_and(|text| text != table_of(tree, &rules, &tests)) {
        let advice = "run `cargo xtask tidy --rules`";
        found.push(Finding::new(TABLE, 1, "it is not what rules and tests say", advice));
    }
    found
}

/// The rules that tests name: of what was split, the parts.
fn own(rules: &Rules) -> impl Iterator<Item = (&String, &Rule)> {
    let split: BTreeSet<&str> = split(rules);
    rules.iter().filter(move |(name, _)| !split.contains(name.as_str()))
}

fn split(rules: &Rules) -> BTreeSet<&str> {
    rules.keys().filter_map(|name| name.split_once('.')).map(|(above, _)| above).collect()
}

/// The tests that name each rule, as file and name, and what is wrong with some.
fn tests_of<'t>(tree: &'t Tree, rules: &Rules) -> (RuleTests<'t>, Vec<Finding>) {
    let split = split(rules);
    let (mut tests, mut found) = (RuleTests::new(), Vec::new());
    for source in &tree.sources {
        for test in functions(&source.code) {
            let attributes = attributes(&source.code, test.at);
            let is = |name| attributes.iter().any(|it: &&str| it.split(['(', ' ']).next() == name);
            if !is(Some("test")) || is(Some("ignore")) {
                continue;
            }
            for (name, surely) in names(test.name) {
                let wrong = match rules.get(&name) {
                    _ if split.contains(name.as_str()) => "has sub-rules",
                    Some(rule) if rule.built => "",
                    Some(_) => "is marked as not built",
                    None => "does not exist",
                };
                if wrong.is_empty() {
                    tests.entry(name).or_default().insert((&source.path, test.name));
                } else if surely {
                    let what = format!("the test names rule {name}, which {wrong}");
                    found.push(Finding::at(source, test.at, what, "name the rule it checks"));
                }
            }
        }
    }
    (tests, found)
}

/// The document that shows each rule with its tests.
pub(super) fn table(tree: &Tree) -> String {
    let rules = rules(tree);
    table_of(tree, &rules, &tests_of(tree, &rules).0)
}

fn table_of(tree: &Tree, rules: &Rules, tests: &RuleTests<'_>) -> String {
    let lines: Vec<&str> = tree.text(DOCUMENT).unwrap_or_default().lines().collect();
    let mut text = TABLE_HEAD.to_owned();
    let mut by_line: Vec<_> = own(rules).collect();
    by_line.sort_by_key(|(_, rule)| rule.line);
    for (name, rule) in by_line {
        let tests = tests.get(name).into_iter().flatten();
        let mut tests: Vec<String> =
            tests.map(|(path, test)| format!("[{test}](../{path})")).collect();
        if !rule.built {
            tests.push("*(not built)*".to_owned());
        }
        let begin = begin_of(lines[rule.line - 1]);
        text.push_str(&format!("| **{name}** {begin} | {} |\n", tests.join("<br>")));
    }
    text
}

/// How a rule begins: enough to know it again.
fn begin_of(line: &str) -> String {
    let rest = line.trim_start_matches(['#', '-', ' ', '*']);
    let rest = rest.split_once([' ', '*']).map_or("", |(_, rest)| rest);
    let rest = rest.trim_start_matches(['*', ' ']).replace(NOT_BUILT, "").replace('|', "\\|");
    let words: Vec<&str> = rest.split(' ').collect();
    let more = if words.len() > BEGIN_WORDS { " …" } else { "" };
    // What is cut within code or emphasis would format the rest of the table.
    words[..words.len().min(BEGIN_WORDS)].join(" ").replace(['`', '*'], "").trim().to_owned() + more
}

/// The rules in the name of a test, each with whether it can be nothing else: `a5` in the middle
/// may be a word, at the beginning or followed by a number it is a rule.
fn names(test: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut parts = test.split('_').peekable();
    let mut leading = true;
    while let Some(part) = parts.next() {
        let above = part.to_uppercase();
        let letters = part.starts_with(|first: char| "acdilqt".contains(first));
        if !letters || !is_rule(&above) {
            leading &= part == "and";
            continue;
        }
        let below = parts.next_if(|next| is_number(next));
        let surely = leading || below.is_some();
        found.push((below.map_or(above.clone(), |below| format!("{above}.{below}")), surely));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "# S
### T1 Time
- **T1.1** One.
- **T1.2** Two.
- **T1.3** Three. *(not built)*
- **T4** Four.
### A11 Later *(not built)*
- **A11.1** Later too.
- **Not** a rule
";

    fn found(tests: &str) -> Vec<String> {
        let tree = Tree::of(&[("docs/SEMANTICS.md", RULES), ("a.rs", tests)]);
        check(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn each_rule_needs_a_test() {
        assert_eq!(found(""), ["no test names T1.1", "no test names T1.2", "no test names T4"]);
        let all = "#[test]\nfn t1_1_t1_2_both() {}\n#[test]\nfn x_and_t4_too() {}";
        assert!(found(all).is_empty(), "{:?}", found(all));
        let not_run =
            "#[test]\nfn t1_1_and_t1_2() {}\n#[test]\n#[ignore]\nfn t4() {}\nfn t4_a() {}";
        assert_eq!(found(not_run), ["no test names T4"]);
    }

    #[test]
    fn each_named_rule_must_be_there() {
        let fine = "#[test]\nfn t1_1_t1_2_t4_a_c5_or_i32_of_its_own() {}\n";
        for (test, what) in [
            ("t1_time", "T1, which has sub-rules"),
            ("t1_9_x", "T1.9, which does not exist"),
            ("x_t2_1", "T2.1, which does not exist"),
            ("t1_3_x", "T1.3, which is marked as not built"),
            ("a11_1_x", "A11.1, which is marked as not built"),
        ] {
            let tests = format!("{fine}#[test]\nfn {test}() {{}}");
            assert_eq!(found(&tests), [format!("the test names rule {what}")]);
        }
    }

    #[test]
    fn the_table_has_each_rule_with_its_tests() {
        let tests = "#[test]\nfn t1_1_a() {}\n#[test]\nfn t1_2_and_t4_b() {}";
        let tree = Tree::of(&[("docs/SEMANTICS.md", RULES), ("a.rs", tests)]);
        let text = table(&tree);
        for row in [
            "| **T1.1** One. | [t1_1_a](../a.rs) |\n",
            "| **T1.3** Three. | *(not built)* |\n",
            "| **T4** Four. | [t1_2_and_t4_b](../a.rs) |\n",
            "| **A11.1** Later too. | *(not built)* |\n",
        ] {
            assert!(text.contains(row), "{row}{text}");
        }
        let with = |table: &str| {
            let files = [("docs/SEMANTICS.md", RULES), ("a.rs", tests), (TABLE, table)];
            check(&Tree::of(&files)).len()
        };
        assert_eq!((with(&text), with("another")), (0, 1));
    }

    #[test]
    fn without_the_document_nothing_passes() {
        assert_eq!(check(&Tree::of(&[("a.rs", "")])).len(), 1);
    }
}
