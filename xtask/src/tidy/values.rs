//! Values as code, comments and tables write them: numbers, texts, nothing.

/// A value; numbers that are not natural, and words, are texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum DefaultValue {
    Number(u128),
    Text(String),
    /// No value: the code's `None`.
    Nothing,
}

/// The value of an expression; `constant` gives the expression of a constant by name. None if it is
/// of another form than numbers, products, shifts, texts, variants, durations, `Some`, `None` and
/// empty collections.
pub(super) fn of_code(
    expression: &str,
    constant: &dyn Fn(&str) -> Option<String>,
) -> Option<DefaultValue> {
    let text = expression.trim();
    if text == "None" {
        return Some(DefaultValue::Nothing);
    }
    if text == "true" || text == "false" {
        return Some(DefaultValue::Text(text.to_owned()));
    }
    let bare = ["String::new()", "Vec::new()", "PathBuf::new()", "vec![]"];
    if bare.contains(&text) {
        return Some(DefaultValue::Text(String::new()));
    }
    if let Some(rest) = text.strip_prefix('"') {
        return rest.split_once('"').map(|(inside, _)| DefaultValue::Text(inside.to_owned()));
    }
    if let Some(number) = number(text, constant) {
        return Some(DefaultValue::Number(number));
    }
    if let Some((path, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let inner = of_code(inner, constant)?;
        let unit = match path.rsplit("::").next()? {
            "from_millis" | "EveryMs" => "ms",
            "from_secs" => "s",
            _ => return Some(inner),
        };
        let DefaultValue::Number(number) = inner else { return None };
        return Some(DefaultValue::Text(format!("{number}{unit}")));
    }
    let name = text.rsplit("::").next()?;
    if is_constant(name) {
        return of_code(&constant(name)?, constant);
    }
    let variant = name != text && name.starts_with(|first: char| first.is_uppercase());
    (variant && name.chars().all(char::is_alphanumeric)).then(|| DefaultValue::Text(snake(name)))
}

fn is_constant(name: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(part) && name.starts_with(|first: char| first.is_ascii_uppercase())
}

fn number(text: &str, constant: &dyn Fn(&str) -> Option<String>) -> Option<u128> {
    let text = text.trim();
    let text = text.split(" as ").next()?.trim();
    let both = |(a, b)| Some((number(a, constant)?, number(b, constant)?));
    if let Some((a, b)) = text.split_once("<<").and_then(both) {
        return a.checked_shl(u32::try_from(b).ok()?);
    }
    if let Some((a, b)) = text.split_once('*').and_then(both) {
        return a.checked_mul(b);
    }
    if is_constant(text.rsplit("::").next()?) {
        return number(&constant(text.rsplit("::").next()?)?, constant);
    }
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let typed = ["", "u8", "u16", "u32", "u64", "u128", "usize", "i32", "i64"].contains(&suffix);
    typed.then(|| digits.replace('_', "").parse().ok()).flatten()
}

/// `RoundRobin` as `round_robin`, which is how the configuration writes it.
pub(super) fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// The value behind `Default` in the comment of a field. Behind a colon it is a sentence, which can
/// only be true of nothing.
pub(super) fn of_comment(rest: &str) -> DefaultValue {
    if rest.starts_with(':') {
        return DefaultValue::Nothing;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("every ").unwrap_or(rest);
    if let Some(quoted) = rest.strip_prefix('`') {
        return plain(quoted.split('`').next().unwrap_or_default().trim_matches('"'));
    }
    let ends = [". ", ", ", "; ", ": ", " ("];
    let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    match rest[..end].trim().trim_end_matches('.') {
        "empty" => DefaultValue::Text(String::new()),
        "none" => DefaultValue::Nothing,
        text => plain(text),
    }
}

/// `4,096`, `2 MiB`, `2^40`, `100 ms` or a word.
pub(super) fn plain(text: &str) -> DefaultValue {
    let text: String = text.chars().filter(|c| !matches!(c, ',' | '_' | ' ')).collect();
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits)));
    let (digits, bits) = unit.unwrap_or((&text, 0));
    let number = match digits.split_once('^') {
        Some((base, power)) => {
            base.parse().ok().and_then(|base: u128| base.checked_pow(power.parse().ok()?))
        }
        None => digits.parse().ok(),
    };
    number.map_or_else(
        || DefaultValue::Text(text.clone()),
        |number: u128| DefaultValue::Number(number << bits),
    )
}

impl std::fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) if text.is_empty() => f.write_str("empty"),
            Self::Text(text) => f.write_str(text),
            Self::Nothing => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<DefaultValue> {
        let constant = |name: &str| {
            let known = [("BLOCK", "64 << 10"), ("WAIT", "Wait::Hybrid")];
            known.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        };
        of_code(text, &constant)
    }

    fn text(text: &str) -> Option<DefaultValue> {
        Some(DefaultValue::Text(text.to_owned()))
    }

    #[test]
    fn code_is_read() {
        assert_eq!(code(" 1_000_000 "), Some(DefaultValue::Number(1_000_000)));
        assert_eq!(code("1 << 40"), Some(DefaultValue::Number(1 << 40)));
        assert_eq!(code("4 * super::BLOCK as u64"), Some(DefaultValue::Number(4 * 65_536)));
        assert_eq!(code("Sync::Every(Duration::from_millis(100))"), text("100ms"));
        assert_eq!(code("Some(7u32)"), Some(DefaultValue::Number(7)));
        assert_eq!(code("Schedule::RoundRobin"), text("round_robin"));
        assert_eq!(code("policy::WAIT"), text("hybrid"));
        assert_eq!(code("\"a b\".to_owned()"), text("a b"));
        assert_eq!(
            (code("true"), code("Vec::new()"), code("None")),
            (text("true"), text(""), Some(DefaultValue::Nothing))
        );
        assert_eq!((code("if a { 1 } else { 2 }"), code("a.b"), code("GONE")), (None, None, None));
    }

    #[test]
    fn comments_are_read() {
        assert_eq!(of_comment(" 4,096."), DefaultValue::Number(4096));
        assert_eq!(of_comment(" 2 MiB: or less."), DefaultValue::Number(2 << 20));
        assert_eq!(of_comment(" 2^40"), DefaultValue::Number(1 << 40));
        assert_eq!(of_comment(" `16MiB`."), DefaultValue::Number(16 << 20));
        assert_eq!(Some(of_comment(" every 100 ms. More.")), text("100ms"));
        assert_eq!(Some(of_comment(" `\"fifo\"`.")), text("fifo"));
        assert_eq!(Some(of_comment(" true.")), text("true"));
        assert_eq!(of_comment(": none, it ends when nothing is due."), DefaultValue::Nothing);
        assert_eq!(of_comment(" none"), DefaultValue::Nothing);
        assert_eq!(Some(of_comment(" empty.")), text(""));
    }
}
