//! `cargo xtask example-picture`: draws what an example found, from the outputs of its run.
//!
//! ```text
//!  filetypes  a row for each group, a tile for each file: its type, the model's score
//!  speech     samples, probabilities and segments of the stream `all` over time
//! ```
//! Plain SVG with a white ground, so that it reads the same on light and dark pages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{recordings, step};

const USAGE: &str =
    "usage: cargo xtask example-picture filetypes|speech OUTPUTS.jsonl [PICTURE.svg]";
const WIDTH: f64 = 960.0;
const BLUE: &str = "#1f5fbf";
const ORANGE: &str = "#c4570b";

/// The task.
///
/// # Errors
/// If the outputs are not those of the example.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (example, outputs, picture) = match args {
        [example, outputs] => (example.as_str(), outputs, None),
        [example, outputs, picture] => (example.as_str(), outputs, Some(PathBuf::from(picture))),
        _ => bail!("{USAGE}"),
    };
    let root = step::root()?;
    let folder = root.join("examples").join(example);
    let text =
        std::fs::read_to_string(outputs).with_context(|| format!("{outputs} cannot be read"))?;
    let outputs = read(&text).with_context(|| format!("{outputs} holds no outputs"))?;
    let svg = match example {
        "filetypes" => {
            let table = folder.join("samples.csv");
            let table = std::fs::read_to_string(&table)
                .with_context(|| format!("{} cannot be read", table.display()))?;
            tiles(&outputs, &table)?
        }
        "speech" => sound(&outputs, &all(&folder.join("recordings"))?)?,
        _ => bail!("{USAGE}"),
    };
    let picture = picture.unwrap_or_else(|| folder.join(format!("{example}.svg")));
    std::fs::write(&picture, svg)
        .with_context(|| format!("{} cannot be written", picture.display()))?;
    println!("{}", picture.display());
    Ok(())
}

/// Topics and payloads.
fn read(text: &str) -> Option<Vec<(String, Value)>> {
    let output = |line: &str| {
        let mut line: Value = serde_json::from_str(line).ok()?;
        Some((line["topic"].as_str()?.to_owned(), line["payload"].take()))
    };
    text.lines().map(output).collect()
}

fn svg(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, more: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let fill = if more.contains("fill=") { "" } else { " fill=\"#222\"" };
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{fill}{more}>{words}</text>\n")
}

fn line(from: (f64, f64), to: (f64, f64), more: &str) -> String {
    format!("<path d=\"M{:.1} {:.1}L{:.1} {:.1}\"{more}/>\n", from.0, from.1, to.0, to.1)
}

/// Where the tiles begin, their size with the space between them, and how many stand in a line.
const TILES_LEFT: f64 = 116.0;
const TILE: (f64, f64) = (104.0, 38.0);
const IN_LINE: usize = 8;

/// The tiles of all files, in rows by group; `samples` is the table of what they are.
fn tiles(outputs: &[(String, Value)], samples: &str) -> Result<String> {
    let truth: BTreeMap<&str, &str> = samples
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split(',');
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (topic, verdict) in outputs {
        if let Some(group) = topic.strip_prefix("verdict/") {
            groups.entry(group).or_default().push(verdict);
        }
    }
    ensure!(!groups.is_empty(), "there are no verdicts among the outputs");
    let (mut body, mut top, mut right) = (String::new(), 64.0, 0);
    for (group, mut verdicts) in groups {
        verdicts.sort_by_key(|verdict| verdict["type"].to_string());
        let more = " font-weight=\"bold\" font-size=\"14\"";
        body += &text(TILES_LEFT - 12.0, top + 16.0, "end", more, group);
        let count = format!("{} files", verdicts.len());
        let count = if verdicts.len() == 1 { "1 file" } else { &count };
        body += &text(TILES_LEFT - 12.0, top + 30.0, "end", " fill=\"#777\"", count);
        for (index, verdict) in verdicts.iter().enumerate() {
            let x = TILES_LEFT + TILE.0 * (index % IN_LINE) as f64;
            let y = top + TILE.1 * (index / IN_LINE) as f64;
            let file = verdict["file"].as_str().context("a verdict names no file")?;
            let is = truth.get(file).copied().unwrap_or("?");
            right += usize::from(verdict["type"] == is);
            body += &tile(x, y, verdict, is);
        }
        top += TILE.1 * verdicts.len().div_ceil(IN_LINE) as f64 + 10.0;
    }
    let title = format!("{right} of {} files have the right type", truth.len());
    let mut head = text(20.0, 28.0, "start", " font-weight=\"bold\" font-size=\"16\"", &title);
    let key = "in a tile: the type that the file is given, and the score of the model; dashed: no \
               model was asked; orange: the file is of another type, which is in brackets";
    head += &text(20.0, 48.0, "start", " fill=\"#555\"", key);
    Ok(svg(top + 6.0, &(head + &body)))
}

fn tile(x: f64, y: f64, verdict: &Value, is: &str) -> String {
    let kind = verdict["type"].as_str().unwrap_or_default();
    let score = verdict["score"].as_f64();
    let colour = if kind == is { BLUE } else { ORANGE };
    let (width, height) = (TILE.0 - 6.0, TILE.1 - 6.0);
    let fill = match score {
        Some(score) => format!("fill-opacity=\"{:.2}\"", 0.06 + 0.2 * score * score),
        None => "fill-opacity=\"0\" stroke-dasharray=\"4 3\"".to_owned(),
    };
    let mut svg = format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height}\" rx=\"4\" \
         fill=\"{colour}\" stroke=\"{colour}\" {fill}/>\n"
    );
    let middle = x + width / 2.0;
    svg += &text(middle, y + 14.0, "middle", " font-size=\"11\"", kind);
    let score = score.map_or_else(|| "–".to_owned(), |score| format!("{score:.3}"));
    let below = if kind == is { score } else { format!("{score} ({is})") };
    svg += &text(middle, y + 26.0, "middle", " font-size=\"9.5\" fill=\"#555\"", &below);
    svg
}

/// The samples of the stream `all`.
fn all(recordings: &Path) -> Result<Vec<i16>> {
    let streams = recordings::streams(recordings)?;
    let (_, bytes) = streams.iter().find(|(name, _)| name == "all").context("no stream `all`")?;
    Ok(bytes.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect())
}

const RATE: f64 = 16_000.0;
const WINDOW: f64 = 512.0;
/// The panels of sound: left edge, width, top and height of samples and of probabilities.
const LEFT: f64 = 60.0;
const ACROSS: f64 = WIDTH - LEFT - 20.0;
const SAMPLES: (f64, f64) = (58.0, 130.0);
const PROBABILITIES: (f64, f64) = (208.0, 130.0);

/// Samples, probabilities and segments over time.
fn sound(outputs: &[(String, Value)], samples: &[i16]) -> Result<String> {
    let of = |topic: &str| -> Vec<&Value> {
        outputs.iter().filter(|(of, _)| of == topic).map(|(_, payload)| payload).collect()
    };
    let (windows, segments) = (of("window/all"), of("segment/all"));
    ensure!(!windows.is_empty(), "there are no windows of the stream `all` among the outputs");
    let x = |sample: f64| LEFT + ACROSS * sample / samples.len() as f64;
    let bottom = PROBABILITIES.0 + PROBABILITIES.1;
    let mut body = String::new();
    let mut speech = 0.0;
    for segment in &segments {
        let number = |key: &str| segment[key].as_f64().context("a segment has no ends");
        let (start, end) = (number("start")?, number("end")?);
        speech += end - start;
        let _ = writeln!(
            body,
            "<rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"#1f5fbf\" \
             fill-opacity=\"0.12\"/>",
            x(start),
            SAMPLES.0,
            x(end) - x(start),
            bottom - SAMPLES.0
        );
        let times = format!("{:.2}–{:.2} s", start / RATE, end / RATE);
        body += &text((x(start) + x(end)) / 2.0, SAMPLES.0 - 6.0, "middle", "", &times);
    }
    body += &wave(samples);
    body += &curve(&windows, x);
    for second in (0..=(samples.len() as f64 / RATE) as u32).step_by(5) {
        let at = x(f64::from(second) * RATE);
        body += &line((at, bottom), (at, bottom + 5.0), " stroke=\"#888\"");
        body += &text(at, bottom + 19.0, "middle", "", &format!("{second} s"));
    }
    let title = format!(
        "Five sentences read aloud, {:.1} s: {} segments of speech, {:.1} s, from {} windows of \
         32 ms",
        samples.len() as f64 / RATE,
        segments.len(),
        speech / RATE,
        windows.len()
    );
    let title = text(20.0, 28.0, "start", " font-weight=\"bold\" font-size=\"16\"", &title);
    Ok(svg(bottom + 34.0, &(title + &body)))
}

/// The least and the greatest sample of each half pixel.
fn wave(samples: &[i16]) -> String {
    let columns = 2 * ACROSS as usize;
    let middle = SAMPLES.0 + SAMPLES.1 / 2.0;
    let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(1).max(1);
    let y = |sample: i16| middle - SAMPLES.1 / 2.0 * f64::from(sample) / f64::from(loudest);
    let mut path = String::new();
    let in_column = samples.len().div_ceil(columns).max(1);
    for (column, part) in samples.chunks(in_column).enumerate() {
        let low = part.iter().min().copied().unwrap_or(0);
        let high = part.iter().max().copied().unwrap_or(0);
        let x = LEFT + ACROSS * (column * in_column) as f64 / samples.len() as f64;
        let _ = write!(path, "M{x:.1} {:.1}V{:.1}", y(low) + 0.3, y(high) - 0.3);
    }
    let label = text(LEFT - 10.0, middle + 4.0, "end", "", "sound");
    format!("<path d=\"{path}\" stroke=\"#555\" stroke-width=\"0.6\" fill=\"none\"/>\n{label}")
}

/// The probability of each window, with the two bounds.
fn curve(windows: &[&Value], x: impl Fn(f64) -> f64) -> String {
    let (top, height) = PROBABILITIES;
    let y = |probability: f64| top + height * (1.0 - probability);
    let mut svg = format!(
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{ACROSS}\" height=\"{height}\" fill=\"none\" \
         stroke=\"#888\"/>\n"
    );
    for (bound, what) in [(0.5, "0.5"), (0.35, "0.35"), (0.0, "0"), (1.0, "1")] {
        if bound > 0.0 && bound < 1.0 {
            let more = format!(" stroke=\"{ORANGE}\" stroke-dasharray=\"5 4\"");
            svg += &line((LEFT, y(bound)), (LEFT + ACROSS, y(bound)), &more);
        }
        svg += &text(LEFT - 8.0, y(bound) + 4.0, "end", "", what);
    }
    let mut path = String::new();
    for (index, window) in windows.iter().enumerate() {
        let start = window["start"].as_f64().unwrap_or_default();
        let probability = window["probability"].as_f64().unwrap_or_default();
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{:.1} {:.1}", x(start + WINDOW / 2.0), y(probability));
    }
    svg += &format!("<path d=\"{path}\" fill=\"none\" stroke=\"{BLUE}\" stroke-width=\"1.4\"/>\n");
    svg
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_tiles_that_say_what_is_wrong() {
        let outputs = [
            ("verdict/code", json!({"file": "a", "type": "c", "model": "c", "score": 0.5})),
            ("verdict/code", json!({"file": "b", "type": "rust", "model": "rust", "score": 1})),
            ("verdict/inode", json!({"file": "e", "type": "empty", "score": null})),
            ("summary/code", json!({"files": 2})),
        ];
        let outputs = outputs.map(|(topic, payload)| (topic.to_owned(), payload));
        let samples = "file,type,bytes,origin\na,cpp,1,x\nb,rust,2,y\ne,empty,0,z\n";
        let svg = tiles(&outputs, samples).expect("drawn");
        assert!(svg.contains("2 of 3 files have the right type"), "{svg}");
        assert!(svg.contains("0.500 (cpp)") && svg.contains("dasharray"), "{svg}");
        assert!(tiles(&[], samples).is_err());
    }

    #[test]
    fn sound_has_its_segments() {
        let segment = json!({"start": 480, "end": 8_480});
        let window =
            |start: u32| ("window/all".to_owned(), json!({"start": start, "probability": 0.75}));
        let outputs = [window(0), window(512), ("segment/all".to_owned(), segment)];
        let svg = sound(&outputs, &[100; 16_000]).expect("drawn");
        assert!(svg.contains("1.0 s: 1 segments of speech, 0.5 s, from 2 windows"), "{svg}");
        assert!(svg.contains("0.03–0.53 s"), "{svg}");
        assert!(sound(&outputs[2..], &[0; 512]).is_err());
    }
}
