//! Rust text taken apart: code, comments and strings, each as a text of the same length in which
//! everything else is blank, so that an offset means the same in all of them.
//!
//! No parser: macros, attributes and broken files are text like any other. Quotes stay in the code.

/// The three texts.
#[derive(Debug)]
pub(super) struct Masked {
    /// Code with the quotes of its strings, without their content.
    pub(super) code: String,
    /// What comments say, without their slashes.
    pub(super) comments: String,
    /// What strings and characters say, without their quotes.
    pub(super) strings: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Code,
    Comment,
    Text,
}

/// One comment, string or byte of code: `head` and `tail` are its delimiters.
struct Token {
    layer: Layer,
    len: usize,
    head: usize,
    tail: usize,
}

impl Masked {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let blank: Vec<u8> =
            bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect();
        let (mut code, mut comments, mut strings) = (blank.clone(), blank.clone(), blank);
        let mut at = 0;
        while at < bytes.len() {
            let token = token(bytes, at);
            let end = (at + token.len).min(bytes.len());
            let inner = at + token.head..end.saturating_sub(token.tail).max(at + token.head);
            match token.layer {
                Layer::Code => code[at..end].copy_from_slice(&bytes[at..end]),
                Layer::Comment => comments[inner.clone()].copy_from_slice(&bytes[inner]),
                Layer::Text => {
                    strings[inner.clone()].copy_from_slice(&bytes[inner.clone()]);
                    code[inner.start - 1] = b'"';
                    code[inner.end.min(end - 1)] = b'"';
                }
            }
            at = end;
        }
        let text = |bytes| String::from_utf8(bytes).expect("cut at ASCII characters only");
        Self { code: text(code), comments: text(comments), strings: text(strings) }
    }
}

fn token(bytes: &[u8], at: usize) -> Token {
    let rest = &bytes[at..];
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let head = if matches!(rest.get(2), Some(b'/' | b'!')) { 3 } else { 2 };
            Token { layer: Layer::Comment, len, head, tail: 0 }
        }
        b'/' if rest.starts_with(b"/*") => {
            Token { layer: Layer::Comment, len: block_comment(rest), head: 2, tail: 2 }
        }
        b'"' => Token { layer: Layer::Text, len: string(rest), head: 1, tail: 1 },
        b'r' if !within_word(bytes, at) => raw_string(rest).unwrap_or(CODE),
        b'\'' => character(rest).unwrap_or(CODE),
        _ => CODE,
    }
}

const CODE: Token = Token { layer: Layer::Code, len: 1, head: 0, tail: 0 };

/// Whether the byte at `at` continues a word; the prefixes `b` and `c` of strings are none.
fn within_word(bytes: &[u8], at: usize) -> bool {
    let word =
        |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let Some(before) = at.checked_sub(1) else { return false };
    let prefix = matches!(bytes[before], b'b' | b'c') && (before == 0 || !word(before - 1));
    word(before) && !prefix
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<Token> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    let head = hashes + 2;
    if rest.get(head - 1) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let inner = rest[head..].windows(end.len()).position(|window| window == end)?;
    Some(Token { layer: Layer::Text, len: head + inner + end.len(), head, tail: end.len() })
}

/// A character; a lifetime is none.
fn character(rest: &[u8]) -> Option<Token> {
    let len = if rest.get(1) == Some(&b'\\') {
        3 + rest.get(3..)?.iter().position(|byte| *byte == b'\'')? + 1
    } else {
        let wide = 1 + rest.get(2..)?.iter().take_while(|byte| **byte & 0xC0 == 0x80).count();
        if rest.get(1 + wide) != Some(&b'\'') {
            return None;
        }
        wide + 2
    };
    Some(Token { layer: Layer::Text, len, head: 1, tail: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_byte_is_code_comment_or_string() {
        let text =
            "let a = \"x // no \\\" {\"; // y \"z\"\nlet b = '{'; /* p /* q */ r */ fn f<'a>()";
        let masked = Masked::new(text);
        assert_eq!(squeezed(&masked.code), "let a = \" \"; let b = \" \"; fn f<'a>()");
        assert_eq!(squeezed(&masked.comments), "y \"z\" p /* q */ r");
        assert_eq!(squeezed(&masked.strings), "x // no \\\" { {");
        assert_eq!(masked.code.len(), text.len());
    }

    #[test]
    fn raw_strings_bytes_and_wide_characters_too() {
        let text = "a(r#\"one \" {\"#, br\"two\\\", b'\\'', 'é', '\\u{e9}', r#fn, bar, \"é\")";
        let masked = Masked::new(text);
        assert_eq!(squeezed(&masked.code.replace('"', " ")), "a( , b , b , , , r#fn, bar, )");
        assert_eq!(squeezed(&masked.strings), "one \" { two\\ \\' é \\u{e9} é");
    }
}
