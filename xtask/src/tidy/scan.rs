//! What the checks look for in code without comments and strings: words, brackets, attributes,
//! functions.

use std::ops::Range;

/// A function and where its body lies, braces left out; none in a trait's declaration.
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    /// Where `fn` stands.
    pub(super) at: usize,
    pub(super) body: Option<Range<usize>>,
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Words (identifiers, keywords, numbers) with where they stand.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_word(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        (start < at).then(|| (start, &text[start..at]))
    })
}

/// Where `word` stands as a whole word.
pub(super) fn find_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let end = at + word.len();
        (*at == 0 || !is_word(bytes[at - 1])) && (end == bytes.len() || !is_word(bytes[end]))
    })
}

/// The word that begins at `at`, maybe empty.
pub(super) fn word_at(text: &str, at: usize) -> &str {
    let len = text.as_bytes()[at..].iter().take_while(|byte| is_word(**byte)).count();
    &text[at..at + len]
}

/// The first offset from `at` on that is no white space.
pub(super) fn skip_space(text: &str, at: usize) -> usize {
    at + text.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Where the bracket that opens at `open` closes; the end of the text if nowhere.
pub(super) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Where the bracket that closes at `close` opens.
fn opening(code: &str, close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().take(close + 1).rev() {
        match byte {
            b')' | b']' | b'}' => depth += 1,
            b'(' | b'[' | b'{' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The end of the item that begins at `at`: the brace that closes its body, or its semicolon. The
/// body is given too, braces left out.
pub(super) fn item_end(code: &str, at: usize) -> (usize, Option<Range<usize>>) {
    let mut here = at;
    while here < code.len() {
        match code.as_bytes()[here] {
            b'(' | b'[' => here = closing(code, here),
            b';' => return (here, None),
            b'{' => {
                let end = closing(code, here);
                return (end, Some(here + 1..end));
            }
            _ => {}
        }
        here += 1;
    }
    (code.len(), None)
}

/// All functions, nested ones too.
pub(super) fn functions(code: &str) -> Vec<Function<'_>> {
    find_word(code, "fn")
        .filter_map(|at| {
            let name = word_at(code, skip_space(code, at + 2));
            (!name.is_empty()).then(|| Function { name, at, body: item_end(code, at).1 })
        })
        .collect()
}

/// The insides of the attributes of the item whose keyword stands at `at`.
pub(super) fn attributes(code: &str, at: usize) -> Vec<&str> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut end = at;
    loop {
        let before = code[..end].trim_end();
        let Some(last) = before.len().checked_sub(1) else { return found };
        end = match bytes[last] {
            b']' => match opening(code, last) {
                Some(open) if open > 0 && bytes[open - 1] == b'#' => {
                    found.push(&code[open + 1..last]);
                    open - 1
                }
                _ => return found,
            },
            b')' => match opening(code, last) {
                Some(open) if before[..open].ends_with("pub") => open,
                _ => return found,
            },
            b'"' => before[..last].rfind('"').unwrap_or(0),
            byte if is_word(byte) => {
                let start = before.bytes().rposition(|byte| !is_word(byte)).map_or(0, |at| at + 1);
                let modifiers = ["pub", "const", "async", "unsafe", "extern", "default"];
                if !modifiers.contains(&&before[start..]) {
                    return found;
                }
                start
            }
            _ => return found,
        };
    }
}

/// The parts of `text` between commas that stand in no bracket, with where they begin. With
/// `angles`, those of types are brackets too.
pub(super) fn split_commas(text: &str, angles: bool) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    let mut before = b' ';
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b'<' if angles => depth += 1,
            b'>' if angles && before != b'-' => depth -= 1,
            b',' if depth == 0 => {
                parts.push((start, &text[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        before = byte;
    }
    parts.push((start, &text[start..]));
    parts
}

/// The ranges of what is compiled for tests only.
pub(super) fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let end = closing(code, at + 1);
        let inside = &code[at..end];
        let not = inside.contains("not(test") || find_word(inside, "test").next().is_none();
        if not || ranges.last().is_some_and(|last| at < last.end) {
            continue;
        }
        let mut item = skip_space(code, end + 1);
        while code[item.min(code.len())..].starts_with("#[") {
            item = skip_space(code, closing(code, item + 1) + 1);
        }
        ranges.push(at..(item_end(code, item).0 + 1).min(code.len()));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_names_bodies_and_attributes() {
        let code = "#[test]\n#[ignore]\npub(crate) const fn a(x: [u8; 2]) -> fn(u8) { b(); }\n\
                    trait T { fn c(&self); }\nstruct S { f: fn() }";
        let all = functions(code);
        let names: Vec<&str> = all.iter().map(|function| function.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(&code[all[0].body.clone().expect("a body")], " b(); ");
        assert!(all[1].body.is_none());
        assert_eq!(attributes(code, all[0].at), ["ignore", "test"]);
        assert!(attributes(code, all[1].at).is_empty());
    }

    #[test]
    fn what_is_for_tests_is_found() {
        let code = "#[cfg(not(test))]\nfn a() {}\n#[cfg(test)]\n#[x]\nmod t { fn b() {} }\n\
                    fn c() {}\n#[cfg(all(test, unix))]\nmod u;\n";
        let found: Vec<&str> = test_ranges(code).into_iter().map(|range| &code[range]).collect();
        assert_eq!(
            found,
            ["#[cfg(test)]\n#[x]\nmod t { fn b() {} }", "#[cfg(all(test, unix))]\nmod u;"]
        );
    }

    #[test]
    fn commas_within_brackets_part_nothing() {
        let parts = |angles| split_commas("a: B<c, d>, e(f, g)", angles).len();
        assert_eq!((parts(true), parts(false)), (2, 3));
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(find_word("told, untold; told_x told", "told").count(), 2);
        assert_eq!(words("a_1 + éb").map(|(_, word)| word).collect::<Vec<_>>(), ["a_1", "éb"]);
    }
}
