//! Sizes, durations and counts as people write and read them: `64 MiB`, `100 ms`, `8,722`.
//!
//! It serves configurations, options and messages. Documents for programs hold plain numbers.

/// A unit by its word, and how many of the smallest it is.
type Unit = (&'static str, u64);

const SIZES: [Unit; 9] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

const DURATIONS: [Unit; 7] = [
    ("ns", 1),
    ("us", 1000),
    ("µs", 1000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Bytes of a text such as `64 MiB`, `1.5 GB` or `4096`.
///
/// # Errors
/// What is wrong with it and what to write.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wanted = "write a size such as \"64 MiB\", \"1.5 GB\" or 4096";
    parse(text, &SIZES, wanted, 1)
}

/// Nanoseconds of a text such as `100 ms`, `1.5 s` or `2 min`; a bare number counts `bare_ns`.
///
/// # Errors
/// What is wrong with it and what to write.
pub fn parse_ns(text: &str, bare_ns: u64) -> Result<u64, String> {
    parse(text, &DURATIONS, "write a time such as \"100 ms\", \"1.5 s\" or \"2 min\"", bare_ns)
}

fn parse(text: &str, units: &[Unit], wanted: &str, bare: u64) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '_'));
    let (number, word) = text.split_at(end.unwrap_or(text.len()));
    let number = number.replace('_', "");
    let word = word.trim();
    if number.is_empty() {
        return Err(format!("{text:?} begins with no number; {wanted}"));
    }
    let unit = match word {
        "" => bare,
        word => units.iter().find(|(name, _)| *name == word).map(|(_, unit)| *unit).ok_or_else(
            || {
                let words: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
                let like = words.iter().find(|name| name.eq_ignore_ascii_case(word));
                let hint = like.map_or_else(String::new, |name| format!(", did you mean {name}?"));
                format!("{word:?} is no unit{hint}; there are {}", words.join(", "))
            },
        )?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let exact = || {
        // Up to nine digits behind the dot, so that a tenth of a unit is exact.
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = u128::from(digits(fraction)?) * u128::from(unit);
        let whole = u128::from(digits(whole)?) * u128::from(unit);
        (fraction.len() <= 9 && part % scale == 0)
            .then(|| u64::try_from(whole + part / scale).ok())
            .flatten()
    };
    exact().ok_or_else(|| format!("{text:?} is no whole number that is possible; {wanted}"))
}

/// A size for people, rounded to three digits: `500 B`, `24.0 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{} {unit}", three(value)) }
}

/// A duration for people, rounded to three digits: `850 ns`, `1.92 s`, `2 min 5 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    match ns {
        0..1000 => format!("{ns} ns"),
        1000..1_000_000 => format!("{} µs", three(ns as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", three(ns as f64 / 1e6)),
        1_000_000_000..120_000_000_000 => format!("{} s", three(ns as f64 / 1e9)),
        _ => {
            let seconds = ns / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            match hours {
                0 => format!("{minutes} min {} s", seconds % 60),
                _ => format!("{hours} h {minutes} min"),
            }
        }
    }
}

/// A count with its thousands apart: `130,205`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of a noun: `1 turn`, `2,000 turns`, `2 deliveries`.
#[must_use]
pub fn of(value: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if value == 1 => format!("1 {noun}"),
        Some(stem) => format!("{} {stem}ies", count(value)),
        None => format!("{} {noun}s", count(value)),
    }
}

fn three(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, expected) in [
            ("4096", 4096),
            ("0", 0),
            ("64 MiB", 64 << 20),
            ("64MiB", 64 << 20),
            (" 1.5 GB ", 1_500_000_000),
            ("0.5 KiB", 512),
            ("16_384 B", 16_384),
        ] {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("", "no number"),
            ("MiB", "no number"),
            ("-1 MiB", "no number"),
            ("64 mib", "did you mean MiB?"),
            ("64 M", "no unit"),
            ("1 ms", "no unit"),
            ("0.3 B", "no whole number"),
            ("1.2.3 B", "no whole number"),
            ("99999999999 TiB", "no whole number"),
            ("99999999999999999999", "no whole number"),
            ("0.0000000000000000000000000000000000000000000000001 TiB", "no whole number"),
        ] {
            let error = parse_bytes(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn durations_are_read_and_a_bare_number_is_what_the_key_says() {
        for (text, expected) in [
            ("100 ms", 100_000_000),
            ("1.5s", 1_500_000_000),
            ("2 min", 120_000_000_000),
            ("1 h", 3_600_000_000_000),
            ("7", 7_000_000),
            ("3 µs", 3000),
        ] {
            assert_eq!(parse_ns(text, 1_000_000), Ok(expected), "{text}");
        }
        assert!(parse_ns("1 MiB", 1).is_err());
    }

    #[test]
    fn what_is_shown_has_three_digits_and_a_unit() {
        assert_eq!([0, 999, 1024, 25_165_824].map(bytes), ["0 B", "999 B", "1.00 KiB", "24.0 MiB"]);
        // Four digits never stand before a unit.
        assert_eq!(bytes(1023 << 10), "1.00 MiB");
        let shown = [850, 1500, 12_345_678, 1_920_000_000, 125_000_000_000, 7_260_000_000_000];
        let shown = shown.map(duration);
        assert_eq!(shown, ["850 ns", "1.50 µs", "12.3 ms", "1.92 s", "2 min 5 s", "2 h 1 min"]);
        assert_eq!([7, 130_205, 1_000].map(count), ["7", "130,205", "1,000"]);
        assert_eq!((of(1, "turn"), of(2, "delivery")), ("1 turn".into(), "2 deliveries".into()));
    }
}
