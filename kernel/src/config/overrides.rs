//! Overrides: `section.key=value` put into the table of a configuration file.
//!
//! An entry of an array is named by its index (`source.0.copies`) or by its name or id
//! (`agent.forecaster.count`). The value is TOML where it is TOML, else a string, so that
//! `kernel.schedule=priority` needs no quotes. Whether key and type exist is not classified here
//! but where the table becomes a [`Config`](super::Config).

use toml::{Table, Value};

use crate::config::error::ConfigError;
use crate::config::nearest::did_you_mean;
use crate::config::quantities::{quantity, sync_rule};

/// Sections that are arrays, with the key that names an entry.
const ARRAYS: [(&str, &str); 7] = [
    ("source", "id"),
    ("agent", "name"),
    ("model", "name"),
    ("command", "name"),
    ("task", "name"),
    ("topic", "name"),
    ("output", "topic"),
];

/// Applies one override to `table`.
pub(crate) fn apply(table: &mut Table, set: &str) -> Result<(), ConfigError> {
    let fail = |problem: String| ConfigError::Set { set: set.to_owned(), problem };
    let Some((path, value)) = set.split_once('=') else {
        return Err(fail("it has no `=`; write section.key=value".to_owned()));
    };
    let keys: Vec<&str> = path.trim().split('.').collect();
    if keys.len() < 2 || keys.iter().any(|key| key.is_empty()) {
        return Err(fail("the key is no section.key, as in kernel.seed=7".to_owned()));
    }
    let (section, rest) = (keys[0], &keys[1..]);
    let array = ARRAYS.iter().find(|(name, _)| *name == section);
    let (target, rest) = match array {
        Some((_, naming)) => entry(table, section, naming, rest).map_err(fail)?,
        None => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            (section, rest)
        }
    };
    let value = value.trim();
    let digits = value.trim_start_matches(['-', '+']).replace('_', "");
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if number && digits.parse::<i64>().is_err() {
        return Err(fail(format!("`{value}` is no number up to {}", i64::MAX)));
    }
    let value = match parse_value(value) {
        Value::String(text) if path.trim() == "log.sync" => Value::String(sync_rule(&text)),
        Value::String(text) => match rest.last().map_or(Ok(None), |key| quantity(key, &text)) {
            Ok(number) => number.map_or(Value::String(text), Value::Integer),
            Err(problem) => return Err(fail(problem)),
        },
        other => other,
    };
    insert(target, rest, value).map_err(fail)
}

/// The entry of an array that the first of `keys` name, and the keys inside it.
fn entry<'t, 'k>(
    table: &'t mut Table,
    section: &str,
    naming: &str,
    keys: &'k [&'k str],
) -> Result<(&'t mut Value, &'k [&'k str]), String> {
    let Some(Value::Array(entries)) = table.get_mut(section) else {
        return Err(format!("the configuration has no [[{section}]]; add one to the file"));
    };
    let count = entries.len();
    // A name may itself hold dots, so every way to cut the path is tried, the shortest name first.
    for cut in 1..keys.len() {
        let name = keys[..cut].join(".");
        let named = |entry: &Value| entry.get(naming).and_then(Value::as_str) == Some(&name);
        let by_index = name.parse::<usize>().ok().filter(|index| *index < count);
        if let Some(index) = entries.iter().position(named).or(by_index) {
            return Ok((&mut entries[index], &keys[cut..]));
        }
    }
    if keys.len() < 2 {
        return Err(format!(
            "it names no entry; write {section}.0.KEY=value or {section}.NAME.KEY=value"
        ));
    }
    let name = keys[..keys.len() - 1].join(".");
    let names = entries.iter().filter_map(|entry| entry.get(naming).and_then(Value::as_str));
    let hint = did_you_mean(&name, names);
    Err(format!(
        "there is no [[{section}]] with index or {naming} `{name}`{hint}; the file has {count}"
    ))
}

fn insert(target: &mut Value, keys: &[&str], value: Value) -> Result<(), String> {
    let mut at = target;
    for (depth, key) in keys.iter().enumerate() {
        let Value::Table(table) = at else {
            return Err(format!("`{key}` lies inside a value that has no keys"));
        };
        if depth + 1 == keys.len() {
            table.insert((*key).to_owned(), value);
            return Ok(());
        }
        at = table.entry(*key).or_insert_with(|| Value::Table(Table::new()));
    }
    Ok(())
}

/// TOML where it is TOML (times excepted, no key takes one), else the text itself.
fn parse_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    match parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value")) {
        Some(Value::Datetime(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, set: &str) -> Result<String, String> {
        let mut table: Table = toml::from_str(text).unwrap();
        apply(&mut table, set).map_err(|error| error.to_string())?;
        Ok(Value::Table(table).to_string())
    }

    #[test]
    fn values_are_toml_or_text() {
        assert_eq!(parse_value("7"), Value::Integer(7));
        assert_eq!(parse_value("-1.5"), Value::Float(-1.5));
        assert_eq!(parse_value("true"), Value::Boolean(true));
        assert_eq!(parse_value("\"7\""), Value::String("7".into()));
        assert_eq!(
            parse_value("{ kind = \"never\" }").get("kind").unwrap().as_str(),
            Some("never")
        );
        for text in ["fifo", "100ms", "", "2013-01-01", "a = b", "1\nx = 2", "sub/*"] {
            assert_eq!(parse_value(text), Value::String(text.into()), "{text}");
        }
    }

    #[test]
    fn entries_are_found_by_index_and_by_name() {
        let file = "[[agent]]\nname = \"a\"\n[[agent]]\nname = \"b.0\"\n";
        assert!(applied(file, "agent.0.count=3").unwrap().contains("count = 3"));
        assert!(applied(file, "agent.b.0.count=4").unwrap().contains("name = \"b.0\""));
        let sized = applied(file, "limits.memory_bytes_max=64 MiB").unwrap();
        assert!(sized.contains("memory_bytes_max = 67108864"), "{sized}");
        assert!(applied(file, "log.sync=100 ms").unwrap().contains("sync = \"100ms\""));
        let restart = applied(file, "agent.a.restart.kind=fresh").unwrap();
        assert!(restart.contains("kind = \"fresh\""), "{restart}");
        for (set, part) in [
            ("agent.c.count=1", "no [[agent]] with index or name `c`; the file has 2"),
            ("agent.2.count=1", "`2`"),
            ("agent.aa.count=1", "did you mean `a`?"),
            ("limits.memory_bytes_max=64 mib", "did you mean MiB?"),
            ("agent.a=1", "names no entry"),
            ("source.0.copies=1", "has no [[source]]"),
            ("kernel.seed", "no `=`"),
            ("seed=1", "section.key"),
            ("kernel..seed=1", "section.key"),
            ("kernel.seed=9223372036854775808", "no number up to 9223372036854775807"),
            ("agent.a.name.x=1", "no keys"),
        ] {
            let error = applied(file, set).unwrap_err();
            assert!(error.contains(part) && error.contains(set), "{error}");
        }
    }
}
