//! Values with a written form of their own: `sync = "100ms"`, `restart = "never"`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When the log is synced to disk (SEMANTICS L3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sync {
    /// Never; the system decides.
    None,
    /// When this much time has passed since the last sync.
    Every(Duration),
    /// When this many bytes have been written since the last sync.
    Bytes(u64),
}

impl TryFrom<String> for Sync {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let problem = || {
            format!(
                "`{text}` is no sync rule; write \"none\", a time (\"100ms\") or an amount \
                 (\"16MiB\")"
            )
        };
        if text == "none" {
            return Ok(Self::None);
        }
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = text[..digits].parse().map_err(|_| problem())?;
        let scaled = |unit: u64| number.checked_mul(unit).filter(|n| *n > 0).ok_or_else(problem);
        match &text[digits..] {
            "ms" => Ok(Self::Every(Duration::from_millis(scaled(1)?))),
            "s" => Ok(Self::Every(Duration::from_millis(scaled(1000)?))),
            "KiB" => Ok(Self::Bytes(scaled(1 << 10)?)),
            "MiB" => Ok(Self::Bytes(scaled(1 << 20)?)),
            "GiB" => Ok(Self::Bytes(scaled(1 << 30)?)),
            _ => Err(problem()),
        }
    }
}

impl From<Sync> for String {
    fn from(sync: Sync) -> Self {
        match sync {
            Sync::None => "none".to_owned(),
            Sync::Every(time) => format!("{}ms", time.as_millis()),
            Sync::Bytes(bytes) if bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
            Sync::Bytes(bytes) => format!("{}KiB", bytes >> 10),
        }
    }
}

/// `restart` is either the word `never` or a table; serde's untagged enums would report neither.
pub(super) mod restart {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use wasm_engine_setup::Restart;

    pub(in super::super) fn serialize<S: Serializer>(
        restart: &Restart,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match restart {
            Restart::Never => out.serialize_str("never"),
            fresh => fresh.serialize(out),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Restart, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::String(word) if word == "never" => Ok(Restart::Never),
            table @ toml::Value::Table(_) => {
                table.try_into().map_err(|error: toml::de::Error| D::Error::custom(error.message()))
            }
            other => Err(D::Error::custom(format!(
                "restart is {other}; write \"never\" or {{ kind = \"fresh\", backoff_ticks = 1, \
                 restarts_max = 3, window_ticks = 100 }}"
            ))),
        }
    }
}
