//! The speech example: probabilities and segments are those of the model's own Python package.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::example::{Example, f32_bits};

const SPEECH: Example = Example {
    name: "speech",
    modules: &["detector", "segmenter"],
    fetched: &["model/silero_vad.onnx", "windows.jsonl"],
};

#[test]
fn each_window_and_each_segment_is_that_of_the_package() {
    if !SPEECH.is_ready() {
        return;
    }
    let (run, outputs) = SPEECH.run_and_verify();
    let expected: BTreeMap<String, Value> =
        serde_json::from_str(&SPEECH.read("expected.json")).expect("JSON");
    assert_eq!((run.faults, run.agents, run.own_codes), (0, 12, 0));

    let of = |subject: &str, stream: &str| -> Vec<&Value> {
        let topic = format!("{subject}/{stream}");
        outputs.iter().filter(|(of, _)| *of == topic).map(|(_, payload)| payload).collect()
    };
    let mut windows = 0;
    for (stream, expected) in &expected {
        let bits = expected["probability_bits"].as_str().expect("digits");
        let bits: Vec<Option<u32>> =
            bits.split(' ').map(|bits| u32::from_str_radix(bits, 16).ok()).collect();
        let found = of("window", stream);
        let starts: Vec<_> = found.iter().map(|window| window["start"].as_u64()).collect();
        let every_512th: Vec<_> = (0..bits.len() as u64).map(|index| Some(512 * index)).collect();
        assert_eq!(starts, every_512th, "{stream}");
        let found: Vec<_> = found.iter().map(|window| f32_bits(&window["probability"])).collect();
        assert_eq!(found, bits, "{stream}");
        windows += bits.len() as u64;

        let segments: Vec<Value> = of("segment", stream)
            .iter()
            .map(|segment| json!([segment["start"], segment["end"]]))
            .collect();
        assert_eq!(Value::from(segments), expected["segments"], "{stream}");
        let [total] = of("total", stream)[..] else { panic!("{stream} has one end") };
        assert_eq!(total["samples"], expected["samples"], "{stream}");
        assert_eq!(total["segments"], expected["segments"].as_array().map_or(0, Vec::len));
    }
    assert_eq!((windows, run.inferences), (1_548, 1_548));
}
