//! When a log reaches the disk, as configurations write it and as the log takes it.

use serde::{Deserialize, Serialize};

/// When written blocks are forced to the disk (SEMANTICS L3). Physical.
///
/// Written as text: `none`, `always`, a time (`100ms`, `2s`) or an amount (`500B`, `64KiB`,
/// `16MiB`, `1GiB`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SyncPolicy {
    /// Only at the orderly close; written counts as durable. A crash of the process loses nothing
    /// written. A crash of the machine may, and may leave damage instead of a torn tail.
    None,
    /// So many milliseconds after the last sync, if there is anything new; with 0, which is
    /// written `always`, one sync follows the other, each of all that came during the one before.
    EveryMs(u32),
    /// After so many bytes, checked block by block, and after a second in which nothing was
    /// appended.
    EveryBytes(u64),
}

impl TryFrom<String> for SyncPolicy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let problem = || {
            format!(
                "`{text}` is no sync rule; write \"none\", \"always\", a time of at most {} ms \
                 (\"100ms\") or an amount (\"16MiB\")",
                u32::MAX
            )
        };
        if text == "none" {
            return Ok(Self::None);
        }
        if text == "always" {
            return Ok(Self::EveryMs(0));
        }
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = text[..digits].parse().map_err(|_| problem())?;
        let scaled = |unit: u64| number.checked_mul(unit).filter(|n| *n > 0).ok_or_else(problem);
        let ms = |unit| scaled(unit).and_then(|ms| u32::try_from(ms).map_err(|_| problem()));
        match &text[digits..] {
            "ms" => Ok(Self::EveryMs(ms(1)?)),
            "s" => Ok(Self::EveryMs(ms(1000)?)),
            "B" => Ok(Self::EveryBytes(scaled(1)?)),
            "KiB" => Ok(Self::EveryBytes(scaled(1 << 10)?)),
            "MiB" => Ok(Self::EveryBytes(scaled(1 << 20)?)),
            "GiB" => Ok(Self::EveryBytes(scaled(1 << 30)?)),
            _ => Err(problem()),
        }
    }
}

impl From<SyncPolicy> for String {
    fn from(sync: SyncPolicy) -> Self {
        match sync {
            SyncPolicy::None => "none".to_owned(),
            SyncPolicy::EveryMs(0) => "always".to_owned(),
            SyncPolicy::EveryMs(ms) => format!("{ms}ms"),
            SyncPolicy::EveryBytes(bytes) if bytes % (1 << 20) == 0 => {
                format!("{}MiB", bytes >> 20)
            }
            SyncPolicy::EveryBytes(bytes) if bytes % (1 << 10) == 0 => {
                format!("{}KiB", bytes >> 10)
            }
            SyncPolicy::EveryBytes(bytes) => format!("{bytes}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SyncPolicy, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let every = SyncPolicy::EveryBytes;
        for (text, policy) in [
            ("none", SyncPolicy::None),
            ("always", SyncPolicy::EveryMs(0)),
            ("1ms", SyncPolicy::EveryMs(1)),
            ("4294967295ms", SyncPolicy::EveryMs(u32::MAX)),
            ("500B", every(500)),
            ("64KiB", every(64 << 10)),
            ("16MiB", every(16 << 20)),
        ] {
            assert_eq!((read(text), String::from(policy)), (Ok(policy), text.to_owned()));
        }
        assert_eq!(read("2s"), Ok(SyncPolicy::EveryMs(2000)));
        assert_eq!(read("1GiB"), Ok(every(1 << 30)));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        let large = ["4294967296ms", "4294968s", "17179869184GiB", "99999999999999999999B"];
        for text in
            ["", "0ms", "0KiB", "ms", "-1s", "1.5s", "100", "1 ms", "1h"].iter().chain(&large)
        {
            let error = read(text).expect_err(text);
            assert!(error.contains(&format!("`{text}` is no sync rule")), "{error}");
        }
    }
}
