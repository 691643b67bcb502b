//! Every documented default is the one that the code has.
//!
//! A field whose comment has a sentence `Default x` is compared with the `impl Default` of its
//! struct in the same file (or what its `new` makes), else with the field's own
//! `#[serde(default)]` or `#[serde(default = "f")]`. The
//! structs of the configuration are compared with the tables of the document too, key by key.

use std::collections::BTreeMap;
use std::ops::Range;

use super::finding::{Check, Finding};
use super::scan::{closing, find_word, functions, item_end, split_commas, words};
use super::tree::{RustFile, Tree};
use super::types::{Definition, types};
use super::values::{DefaultValue, of_code, of_comment, plain, snake};

pub(super) const CHECK: Check = Check {
    name: "defaults",
    holds: "a field's `Default x` (number, unit, power of two, text, variant, true, empty) is the\n\
            value of the impl Default, new or serde default in its file; constants are followed.\n\
            `Default: sentence` means None, `Required` no default. The structs of the\n\
            configuration and the tables of docs/CONFIGURATION.md have the same keys and values",
    run: |tree| check(tree, &SECTIONS),
};

const DOCUMENT: &str = "docs/CONFIGURATION.md";

/// Structs of the configuration, by section.
const SECTIONS: [(&str, &str); 11] = [
    ("kernel", "KernelConfig"),
    ("limits", "Limits"),
    ("region", "RegionConfig"),
    ("log", "LogConfig"),
    ("source", "SourceConfig"),
    ("agent", "AgentConfig"),
    ("model", "ModelConfig"),
    ("command", "CommandConfig"),
    ("task", "TaskConfig"),
    ("topic", "TopicConfig"),
    ("output", "OutputConfig"),
];

type Types<'a> = BTreeMap<&'a str, Vec<Definition<'a>>>;

/// A default, or that there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stated {
    Required,
    Is(DefaultValue),
    /// Of a form that is not read.
    Unread,
}

struct DocumentedField<'a> {
    name: &'a str,
    at: usize,
    /// What its comment says.
    documented: Option<Stated>,
    /// What the code says.
    code: Stated,
}

fn check(tree: &Tree, sections: &[(&str, &str)]) -> Vec<Finding> {
    let types = types(tree);
    let mut found = Vec::new();
    let mut rows = rows(tree.text(DOCUMENT).unwrap_or_default());
    for (name, all) in &types {
        let section = sections.iter().find(|(_, of)| of == name).map(|(section, _)| *section);
        for Definition { source, at } in all {
            if !source.live[*at..].starts_with("struct") {
                continue;
            }
            for field in fields(tree, &types, source, name, *at) {
                found.extend(compare_comment(source, &field, section.is_some()));
                if let Some(section) = section {
                    let row = rows.remove(&format!("{section}.{}", field.name));
                    found.extend(compare_row(source, &field, section, row));
                }
            }
        }
    }
    for (section, name) in sections.iter().filter(|(_, name)| !types.contains_key(name)) {
        let what = format!("there is no struct {name} for the section {section}");
        let advice = "name the one there is";
        found.push(Finding::new("xtask/src/tidy/defaults.rs", 1, what, advice));
    }
    found.extend(rows.into_iter().map(|(key, (line, _))| {
        Finding::new(DOCUMENT, line, format!("there is no key {key}"), "remove the row")
    }));
    found
}

fn compare_comment(source: &RustFile, field: &DocumentedField<'_>, must: bool) -> Option<Finding> {
    let what = match (&field.documented, &field.code) {
        (None, _) if must => format!("the comment of {} names no default", field.name),
        (None, _) => return None,
        (Some(_), Stated::Unread) => format!("the default of {} cannot be read", field.name),
        (Some(documented), code) if documented != code => {
            format!("the comment of {} says {documented}, the code {code}", field.name)
        }
        _ => return None,
    };
    Some(Finding::at(source, field.at, what, "say `Default x.` with the value of the code"))
}

fn compare_row(
    source: &RustFile,
    field: &DocumentedField<'_>,
    section: &str,
    row: Option<(usize, Stated)>,
) -> Option<Finding> {
    let key = format!("{section}.{}", field.name);
    let Some((line, documented)) = row else {
        // What serde skips is no key.
        return (field.code != Stated::Unread || field.documented.is_some()).then(|| {
            let what = format!("{DOCUMENT} has no row for {key}");
            Finding::at(source, field.at, what, "add it")
        });
    };
    (documented != field.code).then(|| {
        let what = format!("{key} is {documented} here and {} in the code", field.code);
        Finding::new(DOCUMENT, line, what, "correct the row")
    })
}

/// Rows `| \`section.key\` | default | …` of the document.
fn rows(text: &str) -> BTreeMap<String, (usize, Stated)> {
    let mut rows = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, key, default, ..] = cells[..] else { continue };
        let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`')) else {
            continue;
        };
        let default = match default {
            "required" => Stated::Required,
            "none" => Stated::Is(DefaultValue::Nothing),
            // No list is a default but the empty one.
            "`[]`" => Stated::Is(DefaultValue::Text(String::new())),
            quoted => {
                let inside = quoted.trim_matches('`');
                Stated::Is(match inside.strip_prefix('"') {
                    Some(text) => DefaultValue::Text(text.trim_end_matches('"').to_owned()),
                    None => plain(inside),
                })
            }
        };
        rows.insert(key.to_owned(), (index + 1, default));
    }
    rows
}

/// The named fields of a struct.
fn fields<'a>(
    tree: &'a Tree,
    types: &Types<'_>,
    source: &'a RustFile,
    name: &str,
    at: usize,
) -> Vec<DocumentedField<'a>> {
    let Some(body) = item_end(&source.live, at).1 else { return Vec::new() };
    let values = impl_default(source, name);
    let mut found = Vec::new();
    for (start, part) in split_commas(&source.live[body.clone()], true) {
        let start = body.start + start;
        let range = start..start + part.len();
        let Some((name, at)) = field_name(source, range.clone()) else { continue };
        let attribute = attribute(source, start..at);
        let expression = match (&values, attribute) {
            (Some(values), None | Some("")) => values.get(name).map(|text| text.to_string()),
            (_, Some(function)) if !function.is_empty() => body_of(source, function),
            _ => None,
        };
        let constant = |name: &str| constant(tree, source, name);
        let code = match (&expression, attribute) {
            (Some(expression), _) => {
                of_code(expression, &constant).map_or(Stated::Unread, Stated::Is)
            }
            (None, Some("")) if values.is_none() => {
                let colon = source.live[at..range.end].find(':').unwrap_or(0);
                of_type(types, source.live[at + colon + 1..range.end].trim())
            }
            (None, None) if values.is_none() => Stated::Required,
            _ => Stated::Unread,
        };
        found.push(DocumentedField {
            name,
            at,
            documented: documented(&source.comments[start..at]),
            code,
        });
    }
    found
}

/// The name of a field and where it stands, behind its attributes and visibility.
fn field_name(source: &RustFile, range: Range<usize>) -> Option<(&str, usize)> {
    let mut at = range.start;
    let text = &source.live;
    loop {
        at += text[at..range.end].find(|c: char| !c.is_whitespace())?;
        if text[at..].starts_with("#[") {
            at = closing(text, at + 1) + 1;
        } else {
            break;
        }
    }
    let (offset, name) = words(&text[at..range.end]).find(|(offset, word)| {
        let rest = text[at + offset + word.len()..range.end].trim_start();
        rest.starts_with(':') && !rest.starts_with("::")
    })?;
    Some((name, at + offset))
}

/// The function that `#[serde(default = "f")]` names, "" for `#[serde(default)]`.
fn attribute(source: &RustFile, range: Range<usize>) -> Option<&str> {
    let code = &source.live[range.clone()];
    let serde = code.find("#[serde(")?;
    let end = closing(code, serde + 1);
    let at = find_word(&code[serde..end], "default").next()? + serde;
    let rest = code[at + "default".len()..end].trim_start();
    if !rest.starts_with('=') {
        return Some("");
    }
    let quote = range.start + at + code[at..].find('"')? + 1;
    source.text[quote..].split('"').next()
}

/// What `Default x` or `Required` in a comment says.
fn documented(comment: &str) -> Option<Stated> {
    let text = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    if text == "Required." || text.ends_with(". Required.") {
        return Some(Stated::Required);
    }
    let sentence = |at: &usize| *at == 0 || text[..*at].ends_with(". ");
    let at = find_word(&text, "Default").find(sentence)?;
    Some(Stated::Is(of_comment(&text[at + "Default".len()..])))
}

/// The fields that the `impl Default` of a struct in its file gives, or its `new` where it gives
/// them in one literal; they are texts, strings included.
fn impl_default<'a>(source: &'a RustFile, name: &str) -> Option<BTreeMap<&'a str, &'a str>> {
    let literal = |head: String, function: &str| {
        let at = find_word(&source.live, &head).next()?;
        let body = item_end(&source.live, at).1?;
        let of =
            functions(&source.live[body.clone()]).into_iter().find(|it| it.name == function)?;
        let inner = of.body?;
        let (start, end) = (body.start + inner.start, body.start + inner.end);
        source.live[start..end].trim_start().starts_with("Self {").then_some(())?;
        item_end(&source.live, start).1
    };
    let literal = literal(format!("impl Default for {name}"), "default")
        .or_else(|| literal(format!("impl {name}"), "new"))?;
    let mut values = BTreeMap::new();
    for (start, part) in split_commas(&source.live[literal.clone()], false) {
        let Some(colon) = part.find(':') else { continue };
        let start = literal.start + start;
        let end = start + part.len();
        let name = source.live[start..start + colon].trim();
        values.insert(name, source.text[start + colon + 1..end].trim());
    }
    Some(values)
}

/// The body of a function of the file.
fn body_of(source: &RustFile, function: &str) -> Option<String> {
    let name = function.rsplit("::").next()?;
    let function = functions(&source.live).into_iter().find(|it| it.name == name)?;
    function.body.map(|body| source.text[body].to_owned())
}

/// The expression of a constant: of this file, else of the only one in the tree.
fn constant(tree: &Tree, source: &RustFile, name: &str) -> Option<String> {
    let of = |source: &RustFile| -> Option<String> {
        let at = find_word(&source.live, "const")
            .find(|at| words(&source.live[*at..]).nth(1).is_some_and(|(_, word)| word == name))?;
        let end = item_end(&source.live, at).0;
        let text = &source.text[at..end];
        text.split_once('=').map(|(_, value)| value.to_owned())
    };
    of(source).or_else(|| {
        let mut all = tree.sources.iter().filter_map(of);
        all.next().filter(|_| all.next().is_none())
    })
}

/// The default of a type.
fn of_type(types: &Types<'_>, name: &str) -> Stated {
    let value = match name {
        "bool" => DefaultValue::Text("false".to_owned()),
        _ if name.starts_with("Option<") => DefaultValue::Nothing,
        "String" | "PathBuf" => DefaultValue::Text(String::new()),
        _ if name.starts_with("Vec<") => DefaultValue::Text(String::new()),
        _ if name.len() <= 5 && name.starts_with(['u', 'i', 'f']) => DefaultValue::Number(0),
        _ => {
            let Some([Definition { source, at }]) = types.get(name).map(Vec::as_slice) else {
                return Stated::Unread;
            };
            let Some(body) = item_end(&source.live, *at).1 else { return Stated::Unread };
            let body = &source.live[body];
            let Some(marked) = body.find("#[default]") else { return Stated::Unread };
            let variant = words(&body[marked + "#[default]".len()..]).next();
            DefaultValue::Text(snake(variant.map_or("", |(_, word)| word)))
        }
    };
    Stated::Is(value)
}

impl std::fmt::Display for Stated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Is(value) => write!(f, "{value}"),
            Self::Unread => f.write_str("of a form that is not read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"
#[serde(default)]
pub struct A {
    /// One. Default 4,096.
    pub one: u32,
    /// Two, `low` or
    /// `high`. Default `high`.
    pub(crate) two: B,
    /// Three. Default: the stem.
    three: Option<BTreeMap<u8, u8>>,
}
impl Default for A {
    fn default() -> Self {
        Self { one: LIMIT, two: B::High, three: None }
    }
}
const LIMIT: u32 = 4 << 10;
pub struct C {
    /// Four. Required.
    four: u64,
    /// Five. Default 1.
    #[serde(default = "one")]
    five: u64,
    /// Six. Default `high`.
    #[serde(default, with = "x")]
    six: B,
    /// Seven. Default empty.
    #[serde(default)]
    seven: Vec<u8>,
}
fn one() -> u64 { 1 }
enum B { Low, #[default] High }
"#;
    const ROWS: &str = r#"| key | default |
|---|---|
| `a.one` | `4096` | one |
| `a.two` | `"high"` |
| `a.three` | none |
| `c.four` | required |
| `c.five` | `1` |
| `c.six` | `"high"` |
| `c.seven` | `[]` |
"#;

    fn found(code: &str, rows: &str) -> Vec<String> {
        let tree = Tree::of(&[("a.rs", code), (DOCUMENT, rows)]);
        let all = check(&tree, &[("a", "A"), ("c", "C")]);
        all.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_agrees_passes() {
        assert!(found(CODE, ROWS).is_empty(), "{:?}", found(CODE, ROWS));
    }

    #[test]
    fn each_difference_is_found() {
        for (from, to, what) in [
            (
                "4 << 10",
                "5",
                vec![
                    "the comment of one says 4096, the code 5",
                    "a.one is 4096 here and 5 in the code",
                ],
            ),
            ("Default 4,096", "As usual", vec!["the comment of one names no default"]),
            (
                "three: None }",
                "three: Some(7) }",
                vec![
                    "the comment of three says none, the code 7",
                    "a.three is none here and 7 in the code",
                ],
            ),
            (
                "#[default] High",
                "High, #[default] Low",
                vec![
                    "the comment of six says high, the code low",
                    "c.six is high here and low in the code",
                ],
            ),
            (
                "LIMIT, two",
                "f(), two",
                vec![
                    "the default of one cannot be read",
                    "a.one is 4096 here and of a form that is not read in the code",
                ],
            ),
            (
                "Four. Required",
                "Four. Default 1",
                vec!["the comment of four says 1, the code required"],
            ),
        ] {
            assert!(CODE.contains(from));
            assert_eq!(found(&CODE.replace(from, to), ROWS), what, "{from} -> {to}");
        }
    }

    #[test]
    fn rows_and_keys_are_the_same() {
        assert_eq!(
            found(CODE, &ROWS.replace("a.one", "a.oen")),
            [format!("{DOCUMENT} has no row for a.one"), "there is no key a.oen".to_owned(),]
        );
        assert_eq!(
            found(CODE, &ROWS.replace("`1`", "`2`")),
            ["c.five is 2 here and 1 in the code"]
        );
        assert_eq!(found(CODE, &ROWS.replace("`[]`", "`[1]`")).len(), 1, "no empty list");
        let tree = Tree::of(&[("a.rs", "")]);
        assert_eq!(check(&tree, &SECTIONS).len(), SECTIONS.len(), "a struct that is not there");
    }

    #[test]
    fn other_structs_are_held_too() {
        let of = |code: &str| check(&Tree::of(&[("x.rs", code)]), &[]).len();
        let fields = "struct X {\n/// Default 2.\n#[serde(default)]\na: u32,\n/// Any.\nb: u8 }";
        assert_eq!(of(fields), 1, "serde gives 0, and b says nothing of a default");
        let new = "impl X { fn new(b: u8) -> Self { Self { a: 2, b } } }";
        assert_eq!(of(&format!("{fields} {new}")), 0);
    }
}
