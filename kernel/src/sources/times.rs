//! Times as people write them, as seconds since 1970.
//!
//! ```text
//! time_format stands    strftime's directives; without an offset in it time_offset, else UTC
//! time_unit stands      a decimal number of that unit since 1970
//! neither               RFC 3339, also with a space, without seconds, without offset, a plain
//!                       date; a number of 9 to 11 digits is seconds since 1970
//! ```
//! No rule of a time zone enters, the system's least of all: the same text is the same time on
//! every machine. So names of zones are refused.

use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    fmt::{strtime::BrokenDownTime, temporal::Pieces},
    tz::Offset,
};

use crate::config::{SourceConfig, TimeUnit};

/// Whole seconds since 1970, and whether some part of one is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// How a source writes its times.
#[derive(Clone, Debug)]
pub(crate) struct TimeRule {
    id: String,
    unit: Option<TimeUnit>,
    format: Option<String>,
    offset: Offset,
}

impl TimeRule {
    /// The rule of a source; the error is a key and what is wrong with it.
    pub(crate) fn of(config: &SourceConfig) -> Result<Self, (&'static str, String)> {
        let offset = match &config.time_offset {
            None => Offset::UTC,
            Some(text) => offset(text).ok_or_else(|| {
                let problem = format!("is {text:?}; write it as +02:00");
                ("time_offset", problem)
            })?,
        };
        if let Some(format) = &config.time_format {
            check_format(format).map_err(|problem| ("time_format", problem))?;
        }
        Ok(Self {
            id: config.id.clone(),
            unit: config.time_unit,
            format: config.time_format.clone(),
            offset,
        })
    }

    /// The moment that a text stands for; the error says what to do.
    pub(crate) fn parse(&self, text: &str) -> Result<Moment, String> {
        if let Some(format) = &self.format {
            return self.formatted(format, text).ok_or_else(|| {
                format!(
                    "is no time of the form {format:?}; correct it, or source.{}.time_format",
                    self.id
                )
            });
        }
        if let Some(unit) = self.unit {
            return number(text, unit).ok_or_else(|| {
                format!(
                    "is no number of {} since 1970, or none of the years to 9999; correct it, or \
                     source.{}.time_unit",
                    unit.words(),
                    self.id
                )
            });
        }
        match whole_digits(text) {
            None | Some(8) => self.written(text),
            Some(9..=11) => number(text, TimeUnit::S).ok_or_else(|| self.no_time()),
            Some(_) => Err(format!(
                "is a bare number; say with source.{}.time_unit whether it counts s, ms, us or ns \
                 since 1970",
                self.id
            )),
        }
    }

    fn formatted(&self, format: &str, text: &str) -> Option<Moment> {
        let broken = BrokenDownTime::parse(format, text).ok()?;
        if let Some(timestamp) = broken.timestamp() {
            return Some(moment(timestamp));
        }
        let offset = broken.offset().unwrap_or(self.offset);
        offset.to_timestamp(broken.to_datetime().ok()?).ok().map(moment)
    }

    fn written(&self, text: &str) -> Result<Moment, String> {
        let pieces = Pieces::parse(text).map_err(|_| self.no_time())?;
        if pieces.time_zone_annotation().is_some() {
            return Err("names a time zone, whose rules may change; write the offset".to_owned());
        }
        let time = pieces.time().unwrap_or(Time::midnight());
        let offset = pieces.to_numeric_offset().unwrap_or(self.offset);
        let timestamp = offset.to_timestamp(DateTime::from_parts(pieces.date(), time));
        timestamp.map(moment).map_err(|_| self.no_time())
    }

    fn no_time(&self) -> String {
        format!(
            "is no time; write it as 2013-01-01T06:00:00Z, or say how it is written with \
             source.{}.time_format",
            self.id
        )
    }
}

impl TimeUnit {
    /// Digits behind the point of a second.
    fn digits(self) -> u32 {
        match self {
            Self::S => 0,
            Self::Ms => 3,
            Self::Us => 6,
            Self::Ns => 9,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::S => "seconds",
            Self::Ms => "milliseconds",
            Self::Us => "microseconds",
            Self::Ns => "nanoseconds",
        }
    }
}

fn moment(timestamp: Timestamp) -> Moment {
    split(timestamp.as_nanosecond())
}

fn split(nanos: i128) -> Moment {
    let second = 1_000_000_000;
    Moment {
        seconds: i64::try_from(nanos.div_euclid(second)).unwrap_or(i64::MAX),
        nanos: u32::try_from(nanos.rem_euclid(second)).unwrap_or(0),
    }
}

/// The offset that a text such as `+02:00` or `Z` is.
fn offset(text: &str) -> Option<Offset> {
    let whole = format!("2000-01-01T00:00:00{text}");
    let pieces = Pieces::parse(&whole).ok()?;
    (pieces.time_zone_annotation().is_none()).then(|| pieces.to_numeric_offset())?
}

/// A format that reads nothing by the rules of a zone, and reads a date.
fn check_format(format: &str) -> Result<(), String> {
    if ["%Q", "%:Q", "%Z"].iter().any(|zone| format.contains(zone)) {
        return Err(format!(
            "is {format:?}, which reads the name of a time zone, whose rules may change; use %z \
             or time_offset"
        ));
    }
    let sample = DateTime::constant(2001, 2, 3, 4, 5, 6, 0);
    let sample = Offset::UTC.to_timestamp(sample).map_err(|error| error.to_string())?;
    let written = BrokenDownTime::from(sample).to_string(format);
    let read = written.and_then(|text| BrokenDownTime::parse(format, text));
    let read = read.and_then(|broken| match broken.timestamp() {
        Some(_) => Ok(()),
        None => broken.to_datetime().map(|_| ()),
    });
    read.map_err(|error| {
        format!(
            "is {format:?}, by which no time can be read ({error}); write a date and a time, as \
             in \"%d.%m.%Y %H:%M\""
        )
    })
}

/// Digits in front of the point of a text that is a decimal number.
fn whole_digits(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (all(whole) && all(part)).then_some(whole.len())
}

/// The moment of a decimal number of `unit` since 1970; what is less than a nanosecond is cut.
fn number(text: &str, unit: TimeUnit) -> Option<Moment> {
    whole_digits(text).filter(|digits| *digits <= 24)?;
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let behind = (9 - unit.digits()) as usize;
    let part: String = part.chars().chain("000000000".chars()).take(behind).collect();
    let nanos: i128 = format!("{whole}{part}").parse().ok()?;
    let moment = split(if negative { -nanos } else { nanos });
    Timestamp::from_second(moment.seconds).ok().map(|_| moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    fn rule(unit: Option<TimeUnit>, format: Option<&str>, offset_text: Option<&str>) -> TimeRule {
        let offset = offset_text.map_or(Some(Offset::UTC), offset).expect("an offset");
        TimeRule { id: "s".to_owned(), unit, format: format.map(str::to_owned), offset }
    }

    fn seconds(rule: &TimeRule, text: &str) -> Result<i64, String> {
        rule.parse(text).map(|moment| moment.seconds)
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let plain = rule(None, None, None);
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-02T00:00:01Z", 86_401),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2013-01-01T06:00:00Z", 1_357_020_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2024-01-01T00:00:00+00:00", 1_704_067_200),
            ("2024-01-01T02:00:00+02:00", 1_704_067_200),
            ("2023-12-31T18:30:00-0530", 1_704_067_200),
            ("2024-01-01T00:00:00.000Z", 1_704_067_200),
            ("2024-01-01T00:00:00,999Z", 1_704_067_200),
            ("2024-01-01 00:00:00", 1_704_067_200),
            ("2024-01-01 00:00", 1_704_067_200),
            ("2024-01-01t00:00:00z", 1_704_067_200),
            ("2024-01-01", 1_704_067_200),
            ("20240101", 1_704_067_200),
            ("1704067200", 1_704_067_200),
            ("1704067200.5", 1_704_067_200),
        ] {
            assert_eq!(seconds(&plain, text), Ok(expected), "{text}");
        }
        let east = rule(None, None, Some("+02:00"));
        assert_eq!(seconds(&east, "2024-01-01 02:00"), Ok(1_704_067_200));
        assert_eq!(seconds(&east, "2024-01-01T00:00:00Z"), Ok(1_704_067_200), "it has its own");
        let nanos = plain.parse("1969-12-31T23:59:59.75Z").expect("a time");
        assert_eq!(nanos, Moment { seconds: -1, nanos: 750_000_000 });
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_cure() {
        let plain = rule(None, None, None);
        for (text, cure) in [
            ("", "time_format"),
            ("yesterday", "time_format"),
            ("01.02.2024", "time_format"),
            ("2013-02-29T06:00:00Z", "time_format"),
            ("2013-13-01T06:00:00Z", "time_format"),
            ("2013-01-01T24:00:00Z", "time_format"),
            ("2013-01-01T06:60:00Z", "time_format"),
            ("2013-01-0\u{661}T6:00:00Z", "time_format"),
            ("2024-01-01T00:00:00[Europe/Berlin]", "offset"),
            ("1704067200000", "time_unit"),
            ("12", "time_unit"),
            ("-1", "time_unit"),
        ] {
            let problem = plain.parse(text).expect_err(text);
            assert!(problem.contains(cure), "{text}: {problem}");
        }
    }

    #[test]
    fn numbers_count_what_the_unit_says() {
        for (unit, text) in [
            (TimeUnit::S, "1704067200"),
            (TimeUnit::Ms, "1704067200000"),
            (TimeUnit::Us, "1704067200000000"),
            (TimeUnit::Ns, "1704067200000000000"),
            (TimeUnit::Ms, "1704067200000.25"),
        ] {
            assert_eq!(seconds(&rule(Some(unit), None, None), text), Ok(1_704_067_200), "{text}");
        }
        let ms = rule(Some(TimeUnit::Ms), None, None);
        assert_eq!(ms.parse("-1"), Ok(Moment { seconds: -1, nanos: 999_000_000 }));
        assert_eq!(ms.parse("1.5"), Ok(Moment { seconds: 0, nanos: 1_500_000 }));
        for text in ["2024-01-01", "", "1e3", "99999999999999999", "9".repeat(80).as_str()] {
            assert!(ms.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_stated_format_reads_what_it_says() {
        let german = rule(None, Some("%d.%m.%Y %H:%M"), None);
        assert_eq!(seconds(&german, "01.01.2024 00:00"), Ok(1_704_067_200));
        assert!(german.parse("2024-01-01T00:00:00Z").is_err());
        let date = rule(None, Some("%m/%d/%y"), Some("-05:00"));
        assert_eq!(seconds(&date, "12/31/23"), Ok(1_704_067_200 - 19 * 3600));
        let own = rule(None, Some("%Y%m%d %H%M%S %z"), Some("-05:00"));
        assert_eq!(seconds(&own, "20240101 020000 +0200"), Ok(1_704_067_200));
        let unix = rule(None, Some("@%s"), None);
        assert_eq!(seconds(&unix, "@1704067200"), Ok(1_704_067_200));
        for good in ["%d.%m.%Y", "%Y-%m-%d %H:%M:%S%.f", "%s", "%Y-%m-%d %I:%M %p", "%F %T %z"] {
            assert_eq!(check_format(good), Ok(()), "{good}");
        }
        for bad in ["%H:%M", "%Y-%m-%d %Q", "%F %T %Z", "%", "today", ""] {
            assert!(check_format(bad).is_err(), "{bad}");
        }
        for bad in ["2", "+25:99", "Europe/Berlin", "Z[UTC]", ""] {
            assert!(offset(bad).is_none(), "{bad}");
        }
    }

    fn cases() -> ProptestConfig {
        ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn any_text_is_a_time_or_a_problem(
            text in any::<String>(),
            ascii in "[0-9T:.+Z \\-]{0,30}",
        ) {
            for rule in [
                rule(None, None, None),
                rule(Some(TimeUnit::Ns), None, None),
                rule(None, Some("%d.%m.%Y %H:%M:%S %z"), None),
            ] {
                let _ = (rule.parse(&text), rule.parse(&ascii));
            }
        }

        #[test]
        fn a_second_is_read_back_however_it_is_written(at in -62_000_000_000_i64..250_000_000_000) {
            let timestamp = Timestamp::from_second(at).expect("in range");
            let text = timestamp.to_string();
            prop_assert_eq!(seconds(&rule(None, None, None), &text), Ok(at));
            let spaced = text.replace('T', " ");
            prop_assert_eq!(seconds(&rule(None, None, None), spaced.trim_end_matches('Z')), Ok(at));
            prop_assert_eq!(seconds(&rule(Some(TimeUnit::S), None, None), &at.to_string()), Ok(at));
        }
    }
}
