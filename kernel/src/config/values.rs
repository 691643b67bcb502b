//! Values with a written form of their own: `restart = "never"`, `grant = "declared"`.

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
            again => again.serialize(out),
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

/// `grant` is either the word `declared` or a list.
pub(super) mod grant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::config::tables::GrantedRights;

    pub(in super::super) fn serialize<S: Serializer>(
        grant: &Option<GrantedRights>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match grant {
            None => out.serialize_none(),
            Some(GrantedRights::Declared) => out.serialize_str("declared"),
            Some(GrantedRights::Only(list)) => list.serialize(out),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<GrantedRights>, D::Error> {
        let bad = |what: &dyn std::fmt::Display| {
            let wanted = "write a list of capabilities, or \"declared\" for all that the module \
                          declares";
            D::Error::custom(format!("grant is {what}; {wanted}"))
        };
        match toml::Value::deserialize(from)? {
            toml::Value::String(word) if word == "declared" => Ok(Some(GrantedRights::Declared)),
            toml::Value::Array(list) => {
                let text = |value: toml::Value| match value {
                    toml::Value::String(text) => Ok(text),
                    other => Err(bad(&format!("a list with {other}"))),
                };
                list.into_iter()
                    .map(text)
                    .collect::<Result<_, _>>()
                    .map(GrantedRights::Only)
                    .map(Some)
            }
            other => Err(bad(&other)),
        }
    }
}
