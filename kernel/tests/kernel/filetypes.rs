//! The example of file types: the model's labels and scores are those of its own Python package.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::example::{Example, f32_bits};

const FILETYPES: Example = Example {
    name: "filetypes",
    modules: &["router", "collector"],
    fetched: &["model/magika.onnx"],
};

/// Rows of a table without quotes, its first fields.
fn rows<const N: usize>(table: &str) -> Vec<[&str; N]> {
    table
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            std::array::from_fn(|_| fields.next().expect("as many fields"))
        })
        .collect()
}

#[test]
fn each_file_has_the_label_and_the_score_of_the_package() {
    if !FILETYPES.is_ready() {
        return;
    }
    let (run, outputs) = FILETYPES.run_and_verify();
    let expected = FILETYPES.read("expected.csv");
    let expected = rows::<6>(&expected);
    assert_eq!((run.faults, run.agents), (0, 13));
    let asked = expected.iter().filter(|[_, _, model, ..]| !model.is_empty()).count();
    assert_eq!((run.inferences, asked), (61, 61));

    let verdicts: BTreeMap<&str, (&str, &Value)> = outputs
        .iter()
        .filter_map(|(topic, verdict)| {
            let group = topic.strip_prefix("verdict/")?;
            Some((verdict["file"].as_str()?, (group, verdict)))
        })
        .collect();
    assert_eq!(verdicts.len(), expected.len());
    for [file, bytes, model, bits, kind, group] in &expected {
        let (found_group, verdict) = verdicts[file];
        assert_eq!(verdict["bytes"].as_u64(), bytes.parse().ok(), "{file}");
        assert_eq!(verdict["model"].as_str().unwrap_or_default(), *model, "{file}");
        assert_eq!((verdict["type"].as_str(), found_group), (Some(*kind), *group), "{file}");
        assert_eq!(f32_bits(&verdict["score"]), u32::from_str_radix(bits, 16).ok(), "{file}");
    }

    // The last summary of each group counts what went there.
    let summaries: BTreeMap<&str, &Value> = outputs
        .iter()
        .filter_map(|(topic, summary)| Some((topic.strip_prefix("summary/")?, summary)))
        .collect();
    let mut files = 0;
    for (group, summary) in summaries {
        let of_group = || expected.iter().filter(|row| row[5] == group);
        assert_eq!(summary["files"], of_group().count(), "{group}");
        let bytes: u64 = of_group().filter_map(|row| row[1].parse::<u64>().ok()).sum();
        assert_eq!(summary["bytes"], bytes, "{group}");
        for (kind, count) in summary["types"].as_object().expect("types by name") {
            assert_eq!(*count, of_group().filter(|row| row[4] == kind).count(), "{kind}");
        }
        files += of_group().count();
    }
    assert_eq!(files, expected.len());
}

#[test]
fn the_readme_says_how_many_are_right() {
    let (samples, expected) = (FILETYPES.read("samples.csv"), FILETYPES.read("expected.csv"));
    let (samples, expected) = (rows::<3>(&samples), rows::<6>(&expected));
    assert_eq!(samples.len(), expected.len());
    let right = samples.iter().zip(&expected).filter(|([file, kind, bytes], row)| {
        assert_eq!((row[0], row[1]), (*file, *bytes), "both tables are sorted");
        row[4] == *kind
    });
    let figure = format!("{} of {} files", right.count(), samples.len());
    assert!(FILETYPES.read("README.md").contains(&figure), "{figure}");
}
