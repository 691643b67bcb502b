//! How numbers look to people: short, aligned, with their unit.
//!
//! Four significant places are enough on a screen; JSON carries the exact values.
//!
//! What this does not do: it knows nothing about kernels.

/// A count in full: `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most six characters: `950`, `12.3k`, `4.56M`.
#[must_use]
pub fn short(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "-".to_owned();
    }
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    scaled(value, 1000.0, &["", "k", "M", "G", "T", "P", "E"], "")
}

/// A count in at most six characters, from a whole number.
#[must_use]
pub fn short_count(value: u64) -> String {
    short(value as f64)
}

/// A duration: `850 ns`, `12.3 µs`, `4.56 s`, `3m 07s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0..60 => scaled(ns as f64, 1000.0, &["ns", "µs", "ms", "s"], " "),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Bytes: `640 B`, `1.50 KiB`, `32.0 MiB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    scaled(value as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], " ")
}

/// A part of a whole as a percentage: `37%`; `-` without a whole.
#[must_use]
pub fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.0}%", part / whole * 100.0) } else { "-".to_owned() }
}

/// Divides by `step` until fewer than four digits are left of the point, then shows three digits.
fn scaled(value: f64, step: f64, units: &[&str], gap: &str) -> String {
    let (mut value, mut unit) = (value, 0);
    // 999.5 would show as 1000.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let gap = if units[unit].is_empty() { "" } else { gap };
    format!("{value:.decimals$}{gap}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1000), count(12_345_678)].join(" "),
            "0 999 1,000 12,345,678"
        );
        let shorts = [0.0, 0.25, 9.5, 10.0, 999.4, 999.6, 12_345.0, 4_560_000.0, f64::NAN];
        assert_eq!(shorts.map(short).join(" "), "0 0.2 9.5 10 999 1.00k 12.3k 4.56M -");
        assert_eq!(short_count(u64::MAX), "18.4E");
        let times = [0, 999, 1000, 12_345, 4_560_000_000, 187_000_000_000, 90_000_000_000_000];
        assert_eq!(
            times.map(duration).join("|"),
            "0 ns|999 ns|1.00 µs|12.3 µs|4.56 s|3m 07s|1d 01h"
        );
        assert_eq!([640, 1536, 32 << 20].map(bytes).join("|"), "640 B|1.50 KiB|32.0 MiB");
        assert_eq!(percent(1.0, 3.0) + &percent(1.0, 0.0), "33%-");
    }
}
