//! Documents name every key with its default, and every limit with what the code has.

use std::{fs, path::Path};

use serde_json::Value;
use wasm_engine::config::Config;
use wasm_engine_setup::Limits;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(path).expect("the documentation")
}

#[test]
fn the_documentation_names_every_key_and_default() {
    let docs = document("docs/CONFIGURATION.md");
    // A source needs one of its kind's keys too, a model its file or a folder, a command whom it is
    // about.
    let smallest = "[[source]]\nfolder = 'a'\nid = 'a'\ntopic = 'a'\n\
        [[agent]]\nname = 'a'\nmodule = 'a'\n[[model]]\nname = 'a'\nfile = 'a'\n\
        [[command]]\ntick = 1\naction = 'load'\nmodel = 'a'\n\
        [[task]]\nname = 'a'\nagent = 'a'\n\
        [[topic]]\nname = 'a'\n[[output]]\ntopic = 'a'\n";
    let config = Config::parse(Path::new("a.toml"), smallest, &[]).expect("only what is required");
    let mut config = serde_json::to_value(&config).expect("plain data");
    // Limits that are left out where they have their defaults, so that they change no digest of a
    // run without them.
    for key in ["models_bytes_max", "tasks_max", "agent_tasks_max", "dependencies_max"] {
        let bounds = Limits::default().bounds();
        let (_, default, _) = bounds.iter().find(|bound| bound.0 == key).expect("a limit");
        config["limits"][key] = (*default).into();
    }
    let either = |key: &str| matches!(key, "source.folder" | "model.file" | "command.model");
    let required = smallest.split("[[").skip(1).flat_map(|section| {
        let (name, rest) = section.split_once("]]").expect("a section");
        rest.lines().filter_map(move |line| Some(format!("{name}.{}", line.split_once(" = ")?.0)))
    });
    let required: Vec<String> = required.filter(|key| !either(key)).collect();
    let mut rows = 0;
    for (section, value) in config.as_object().expect("sections") {
        let entry = value.as_array().map_or(value, |entries| &entries[0]);
        for (key, default) in entry.as_object().expect("keys") {
            let key = format!("{section}.{key}");
            let default = match default {
                _ if required.contains(&key) => "required".to_owned(),
                _ if either(&key) => "none".to_owned(),
                Value::Null => "none".to_owned(),
                other => format!("`{other}`"),
            };
            let row = format!("| `{key}` | {default} |");
            assert!(docs.contains(&row), "docs/CONFIGURATION.md lacks the row {row}");
            rows += 1;
        }
    }
    let documented = docs.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(documented, rows, "docs/CONFIGURATION.md has rows for keys that do not exist");
}

#[test]
fn the_documentation_says_between_what_each_limit_lies() {
    let docs = document("docs/CONFIGURATION.md");
    for (key, _, bounds) in Limits::default().bounds() {
        let row = docs.lines().find(|line| line.starts_with(&format!("| `limits.{key}` |")));
        let (min, max) = (bounds.start(), bounds.end());
        let bounds = if *min == 1 { format!("at most {max}") } else { format!("{min} to {max}") };
        let row = row.expect("a row for each limit");
        assert!(row.ends_with(&format!("; {bounds} |")), "{row} does not end with {bounds}");
    }
}

/// A number with commas between its thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Bytes in the largest unit of which they are whole ones.
fn bytes(number: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.iter().find(|(_, shift)| number.is_multiple_of(1 << shift));
    whole.map_or(format!("{number} B"), |(unit, shift)| format!("{} {unit}", number >> shift))
}

#[test]
fn the_readme_has_the_limits_of_the_code() {
    let readme = document("README.md");
    let bounds = Limits::default().bounds();
    let of = |key: &str, show: fn(u64) -> String| {
        let (_, value, bounds) =
            bounds.iter().find(|(name, ..)| *name == key).expect("a limit of this name");
        (show(*value), show(*bounds.end()))
    };
    let both = |one: (String, String), other: (String, String)| {
        (format!("{}, {}", one.0, other.0), format!("{}, {}", one.1, other.1))
    };
    let turn = both(of("receive_max", count), of("effects_max", count));
    assert_eq!(turn.1, "65,536, 65,536");
    for (what, (default, max)) in [
        ("agents", of("agents_max", count)),
        ("memory of one agent", of("memory_bytes_max", bytes)),
        ("fuel of one call", of("fuel_per_call", count)),
        ("items received, effects made in one turn", (turn.0, "65,536 each".to_owned())),
        ("payload bytes of one turn's effects", of("payload_bytes_max", bytes)),
        (
            "messages and inputs in one inbox",
            both(of("inbox_items_max", count), of("inbox_bytes_max", bytes)),
        ),
        (
            "messages held by all inboxes",
            both(of("messages_held_max", count), of("payload_bytes_held_max", bytes)),
        ),
        (
            "inputs of one tick",
            both(of("inputs_per_tick_max", count), of("input_bytes_per_tick_max", bytes)),
        ),
        (
            "inference requests outstanding",
            both(of("inferences_pending_max", count), {
                let (default, max) = of("inference_bytes_pending_max", bytes);
                assert_eq!(default, "0 GiB", "the models decide");
                ("16 of the longest".to_owned(), max)
            }),
        ),
    ] {
        let row = format!("| {what} | {default} | {max} |");
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}
