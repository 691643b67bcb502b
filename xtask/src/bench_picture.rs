//! `cargo xtask bench-picture`: draws what the benchmarks of growth found, from their own reports.
//!
//! ```text
//!  left   a turn in ns over the number of agents, all of them active, one line for each number of
//!         lanes                                                             (points of goal S14)
//!  right  a tick in us over the number of agents, the same few active        (points of goal S9)
//! ```
//! Plain SVG with a white ground, so that it reads the same on light and dark pages. Both axes are
//! logarithmic.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step;

const USAGE: &str = "usage: cargo xtask bench-picture REPORT.json ... [PICTURE.svg]";
/// Where the picture goes if nothing else is said, from the repository.
const PICTURE: &str = "docs/growth.svg";
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
/// A panel's plot: left edges, top, size.
const LEFT: [f64; 2] = [80.0, 560.0];
const TOP: f64 = 60.0;
const PLOT: (f64, f64) = (370.0, 270.0);
/// Agents at the ends of the axis.
const AGENTS: (f64, f64) = (1.0, 1e6);
/// Steps of the other axis within a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// By line: told apart without colour too, by the shape of the marks.
const COLOURS: [&str; 2] = ["#1f5fbf", "#c4570b"];

/// A point of a curve, as the report has it.
#[derive(Clone, PartialEq, Debug)]
struct CurvePoint {
    goal: String,
    agents: f64,
    active: f64,
    lanes: u64,
    tick_ns: f64,
}

/// A line of a panel.
#[derive(Clone, PartialEq, Debug)]
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The task.
///
/// # Errors
/// If the file is no report, or one without curves.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (pictures, reports): (Vec<_>, Vec<_>) = args.iter().partition(|arg| arg.ends_with(".svg"));
    let picture = match pictures[..] {
        [] => step::root()?.join(PICTURE),
        [picture] => PathBuf::from(picture),
        _ => bail!("{USAGE}"),
    };
    if reports.is_empty() {
        bail!("{USAGE}");
    }
    let mut found = Vec::new();
    for report in reports {
        found.extend(read(Path::new(report))?);
    }
    let svg = draw(&found)?;
    std::fs::write(&picture, svg)
        .with_context(|| format!("{} cannot be written", picture.display()))?;
    println!("{}", picture.display());
    Ok(())
}

fn read(report: &Path) -> Result<Vec<CurvePoint>> {
    let name = report.display();
    let text = std::fs::read_to_string(report).with_context(|| format!("{name} cannot be read"))?;
    let report: Value =
        serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
    let rows = report["rows"].as_array().with_context(|| format!("{name} holds no rows"))?;
    Ok(rows.iter().filter_map(found).collect())
}

/// The point of a row, if it is one and has a time.
fn found(row: &Value) -> Option<CurvePoint> {
    let point = &row["point"];
    if row["unit"] != "ns" {
        return None;
    }
    Some(CurvePoint {
        goal: row["goal"].as_str()?.to_owned(),
        agents: point["agents"].as_f64()?,
        active: point["active"].as_f64()?,
        lanes: point["lanes"].as_u64()?,
        tick_ns: row["ours"].as_f64()?,
    })
}

fn draw(found: &[CurvePoint]) -> Result<String> {
    let turns = |lanes: u64, name: &str| Curve {
        name: name.to_owned(),
        points: found
            .iter()
            .filter(|point| point.goal == "S14" && point.lanes == lanes)
            .map(|point| (point.agents, point.tick_ns / point.active))
            .collect(),
    };
    let few: Vec<_> = found.iter().filter(|point| point.goal == "S9").collect();
    let active = few.first().map_or(0.0, |point| point.active);
    let ticks = Curve {
        name: format!("the same {active} active"),
        points: few.iter().map(|point| (point.agents, point.tick_ns / 1e3)).collect(),
    };
    let mut panels = vec![
        ("All agents active", "ns per turn", vec![turns(1, "1 lane"), turns(2, "2 lanes")]),
        ("Few agents active", "µs per tick", vec![ticks]),
    ];
    for (_, _, lines) in &mut panels {
        lines.retain(|line| !line.points.is_empty());
    }
    if panels.iter().all(|(_, _, lines)| lines.is_empty()) {
        bail!(
            "the reports hold no curve: run `cargo xtask bench --goal S14 --out FILE` first, and \
             S9 likewise"
        );
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for (left, (title, unit, lines)) in LEFT.into_iter().zip(panels) {
        svg.push_str(&panel(left, title, unit, &lines));
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Where a value lies between two others, from 0 to 1, by its logarithm.
fn part(value: f64, (low, high): (f64, f64)) -> f64 {
    (value / low).ln() / (high / low).ln()
}

fn x(left: f64, agents: f64) -> f64 {
    left + PLOT.0 * part(agents, AGENTS)
}

fn y(value: f64, range: (f64, f64)) -> f64 {
    TOP + PLOT.1 * (1.0 - part(value, range))
}

/// The marks of an axis: 1, 2 and 5 of each power of ten, from the last below all values to the
/// first above.
fn marks(lines: &[Curve]) -> Vec<f64> {
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    if !low.is_finite() || !high.is_finite() || low <= 0.0 {
        return vec![1.0, 10.0];
    }
    let powers = low.log10().floor() as i32 - 1..=high.log10().ceil() as i32 + 1;
    let all: Vec<f64> =
        powers.flat_map(|power| STEPS.map(|step| step * 10f64.powi(power))).collect();
    // One step of air below and above, and a power of ten at least: less would show every noise.
    let mut first = all.iter().rposition(|mark| *mark < low).unwrap_or(0);
    let mut last = all.iter().position(|mark| *mark > high).unwrap_or(all.len() - 1);
    while last - first < STEPS.len() {
        first = first.saturating_sub(1);
        last = (last + 1).min(all.len() - 1);
    }
    all[first..=last].to_vec()
}

fn panel(left: f64, title: &str, unit: &str, lines: &[Curve]) -> String {
    let marks = marks(lines);
    let range = (marks[0], marks[marks.len() - 1]);
    let mut svg = String::new();
    svg.push_str(&axes(left, title, unit, &marks, range));
    for (number, line) in lines.iter().enumerate() {
        svg.push_str(&curve(left, number, line, range));
    }
    svg
}

fn text(x: f64, y: f64, anchor: &str, more: &str, words: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\"{more}>\
         {words}</text>\n"
    )
}

fn axes(left: f64, title: &str, unit: &str, marks: &[f64], range: (f64, f64)) -> String {
    let (right, bottom) = (left + PLOT.0, TOP + PLOT.1);
    let rule = |from: (f64, f64), to: (f64, f64)| {
        format!(
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#ddd\"/>\n",
            from.0, from.1, to.0, to.1
        )
    };
    let mut svg = text(left, TOP - 24.0, "start", " font-weight=\"bold\" font-size=\"15\"", title);
    for power in 0..=6 {
        let agents = 10f64.powi(power);
        let at = x(left, agents);
        svg.push_str(&rule((at, TOP), (at, bottom)));
        svg.push_str(&text(at, bottom + 18.0, "middle", "", &short(agents)));
    }
    for mark in marks {
        let at = y(*mark, range);
        svg.push_str(&rule((left, at), (right, at)));
        svg.push_str(&text(left - 8.0, at + 4.0, "end", "", &number(*mark)));
    }
    let (width, height) = PLOT;
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\" fill=\"none\" \
         stroke=\"#888\"/>"
    );
    svg.push_str(&text(left + width / 2.0, bottom + 42.0, "middle", "", "agents that exist"));
    let (at, middle) = (left - 58.0, TOP + height / 2.0);
    let turn = format!(" transform=\"rotate(-90 {at:.1} {middle:.1})\"");
    svg.push_str(&text(at, middle, "middle", &turn, unit));
    svg
}

fn curve(left: f64, number: usize, line: &Curve, range: (f64, f64)) -> String {
    let colour = COLOURS[number % COLOURS.len()];
    let mut svg = String::from("<path d=\"");
    for (index, (agents, value)) in line.points.iter().enumerate() {
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(svg, "{verb}{:.1} {:.1}", x(left, *agents), y(*value, range));
    }
    let _ = writeln!(svg, "\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    for (agents, value) in &line.points {
        svg.push_str(&shape(number, colour, x(left, *agents), y(*value, range)));
    }
    let (key_x, key_y) = (left + PLOT.0 - 100.0 * (2.0 - number as f64) + 20.0, TOP - 14.0);
    svg.push_str(&shape(number, colour, key_x, key_y));
    svg.push_str(&text(key_x + 10.0, key_y + 4.0, "start", "", &line.name));
    svg
}

/// A mark: a disc for the first line, a square for the second.
fn shape(number: usize, colour: &str, x: f64, y: f64) -> String {
    if number == 0 {
        return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>\n");
    }
    let (x, y) = (x - 4.0, y - 4.0);
    format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"8\" height=\"8\" fill=\"{colour}\"/>\n")
}

/// A number of agents, short enough for the axis.
fn short(agents: f64) -> String {
    match agents {
        agents if agents >= 1e6 => format!("{} M", agents / 1e6),
        agents if agents >= 1e3 => format!("{} k", agents / 1e3),
        agents => format!("{agents}"),
    }
}

/// A number with separators between thousands.
fn number(value: f64) -> String {
    if value < 1.0 {
        return format!("{}", (value * 1e4).round() / 1e4);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(goal: &str, agents: u32, active: u32, lanes: u32, ns: Option<f64>) -> Value {
        let point = json!({ "agents": agents, "active": active, "lanes": lanes });
        json!({ "goal": goal, "unit": "ns", "ours": ns, "point": point })
    }

    #[test]
    fn points_with_a_time_become_marks() {
        let rows = [
            row("S14", 50, 50, 1, Some(7_500.0)),
            row("S14", 1_000_000, 1_000_000, 1, None),
            row("S14", 50, 50, 2, Some(8_000.0)),
            row("S9", 100_000, 50, 1, Some(7_700.0)),
            json!({ "goal": "S14", "unit": "power", "ours": 1.0 }),
        ];
        let found: Vec<_> = rows.iter().filter_map(found).collect();
        assert_eq!(found.len(), 3);
        let svg = draw(&found).expect("a picture");
        for words in ["ns per turn", "µs per tick", "2 lanes", "the same 50 active", "1 M"] {
            assert!(svg.contains(words), "{words}");
        }
        assert!(draw(&[]).is_err(), "without curves there is no picture");
    }

    #[test]
    fn marks_enclose_all_values() {
        let line = Curve { name: String::new(), points: vec![(1.0, 150.0), (10.0, 1_100.0)] };
        assert_eq!(marks(&[line]), [100.0, 200.0, 500.0, 1_000.0, 2_000.0]);
        let flat = Curve { name: String::new(), points: vec![(1.0, 8.6), (10.0, 9.0)] };
        assert_eq!(marks(&[flat]), [2.0, 5.0, 10.0, 20.0]);
        assert_eq!((number(1e6), number(0.5)), ("1,000,000".to_owned(), "0.5".to_owned()));
    }
}
