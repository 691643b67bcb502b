//! Unix seconds as text: the civil calendar by integer arithmetic.

use wasm_engine_agent::Text;

const DAY_S: i64 = 86_400;

/// Adds `time` (Unix seconds, UTC, years 0 to 9999) as `2013-05-09T02:00:00Z`.
pub fn push_time<const N: usize>(text: &mut Text<N>, time: i64) {
    let (year, month, day) = civil(time.div_euclid(DAY_S));
    let second = time.rem_euclid(DAY_S);
    push_padded(text, year, 4);
    for (before, value) in [("-", month), ("-", day), ("T", second / 3600)] {
        text.str(before);
        push_padded(text, value, 2);
    }
    for value in [second / 60 % 60, second % 60] {
        text.str(":");
        push_padded(text, value, 2);
    }
    text.str("Z");
}

fn push_padded<const N: usize>(text: &mut Text<N>, value: i64, width: u32) {
    for digit in 1..width {
        if value < 10i64.pow(width - digit) {
            text.str("0");
        }
    }
    text.integer(value);
}

/// Year, month and day of a day counted from 1970-01-01, by whole 400-year cycles that begin in
/// March, so that the leap day is a year's last.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (cycle, of_cycle) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year + cycle * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (time, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_357_020_000, "2013-01-01T06:00:00Z"),
            (1_380_585_600, "2013-10-01T00:00:00Z"),
            (1_388_534_399, "2013-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            let mut text = Text::<24>::new();
            push_time(&mut text, time);
            assert_eq!(text.as_str(), expected);
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut last = civil(-200_000);
        for day in -199_999..200_000 {
            let next = civil(day);
            let (year, month, of_month) = last;
            let follows = next == (year, month, of_month + 1)
                || (of_month >= 28 && next == (year, month + 1, 1))
                || (last == (year, 12, 31) && next == (year + 1, 1, 1));
            assert!(follows, "{last:?} {next:?}");
            last = next;
        }
    }
}
