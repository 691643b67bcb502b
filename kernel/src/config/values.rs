//! Values with a written form of their own: `restart = "never"`.

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
