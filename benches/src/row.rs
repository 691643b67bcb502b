//! One line of a report, and the report file.
//!
//! ```text
//! { "$type": "wasm-engine/bench/1", "machine": { .. },
//!   "rows": [ { goal, case, ours, peer, peer_name, limit, ratio, unit, goal_ratio, met,
//!               note, point: { agents, active, lanes } } ] }
//! ```
//! `ratio` > 1 means that we are better, whatever the unit. `limit` is what the machine itself can
//! do, in the same unit. What is unknown is null; `note` is there only when there is something to
//! say, `point` only in the points of a curve.

use serde_json::{Value, json};

/// Value of `$type` in the file.
pub const TYPE: &str = "wasm-engine/bench/1";

/// Unit of the figures of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nanoseconds; less is better.
    Ns,
    /// Millions of messages per second; more is better.
    MillionPerS,
    /// 10^9 bytes per second; more is better.
    GigabytesPerS,
    /// A number of something unwanted; less is better.
    Count,
    /// Bytes taken; less is better.
    Bytes,
    /// A number per second; more is better.
    PerS,
    /// The power with which something grows; less is better.
    Exponent,
}

impl Unit {
    fn text(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::MillionPerS => "M/s",
            Self::GigabytesPerS => "GB/s",
            Self::Count => "count",
            Self::Bytes => "B",
            Self::PerS => "1/s",
            Self::Exponent => "power",
        }
    }

    /// How much better `ours` is than `other`.
    #[must_use]
    pub fn ratio(self, ours: f64, other: f64) -> f64 {
        match self {
            Self::Ns | Self::Count | Self::Bytes | Self::Exponent => other / ours,
            Self::MillionPerS | Self::GigabytesPerS | Self::PerS => ours / other,
        }
    }
}

/// One measured question.
#[derive(Clone, Debug)]
pub struct Row {
    /// The goal it belongs to, such as `S1`.
    pub goal: &'static str,
    /// What was measured.
    pub case: String,
    /// Our figure; none if it was skipped.
    pub ours: Option<f64>,
    /// The peer's figure in the same run.
    pub peer: Option<f64>,
    /// Who the peer is.
    pub peer_name: Option<&'static str>,
    /// The machine's own figure in the same run.
    pub limit: Option<f64>,
    /// How much better we are than the peer: median over segments measured in turn.
    pub ratio: Option<f64>,
    /// Unit of the figures.
    pub unit: Unit,
    /// The ratio that the goal demands.
    pub goal_ratio: Option<f64>,
    /// Whether it is reached; none where there is nothing to reach.
    pub met: Option<bool>,
    /// What the reader must know.
    pub note: Option<String>,
    /// Where the row is a point of a curve.
    pub point: Option<Point>,
}

/// A point of a curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Agents that exist.
    pub agents: u32,
    /// Agents that take a turn in a tick.
    pub active: u32,
    /// Lanes on which they run.
    pub lanes: u32,
}

impl Row {
    /// A row with our figure alone.
    #[must_use]
    pub fn new(goal: &'static str, case: impl Into<String>, unit: Unit, ours: f64) -> Self {
        Self {
            goal,
            case: case.into(),
            ours: Some(ours),
            peer: None,
            peer_name: None,
            limit: None,
            ratio: None,
            unit,
            goal_ratio: None,
            met: None,
            note: None,
            point: None,
        }
    }

    /// A row that says why it holds no figure.
    #[must_use]
    pub fn skipped(
        goal: &'static str,
        case: impl Into<String>,
        unit: Unit,
        reason: impl std::fmt::Display,
    ) -> Self {
        let note = Some(format!("skipped: {reason}"));
        Self { ours: None, note, ..Self::new(goal, case, unit, 0.0) }
    }

    /// Adds the peer; without a ratio of its own the row gets that of the two figures.
    #[must_use]
    pub fn against(self, name: &'static str, peer: f64, ratio: Option<f64>) -> Self {
        let own = self.ours.map(|ours| self.unit.ratio(ours, peer));
        Self { peer: Some(peer), peer_name: Some(name), ratio: ratio.or(own), ..self }
    }

    /// Adds the machine's figure.
    #[must_use]
    pub fn limit(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Adds the goal: the least ratio.
    #[must_use]
    pub fn goal(self, ratio: f64) -> Self {
        let met = self.ratio.map(|have| have >= ratio);
        Self { goal_ratio: Some(ratio), met, ..self }
    }

    /// Adds a goal that is no ratio: a largest figure.
    #[must_use]
    pub fn at_most(self, max: f64) -> Self {
        let met = self.ours.map(|ours| ours <= max);
        Self { met, ..self }.note(format!("the goal is at most {max}"))
    }

    /// Adds a goal that is no ratio: a least figure.
    #[must_use]
    pub fn at_least(self, min: f64) -> Self {
        let met = self.ours.map(|ours| ours >= min);
        Self { met, ..self }.note(format!("the goal is at least {min}"))
    }

    /// Makes it a point of a curve.
    #[must_use]
    pub fn point(self, point: Point) -> Self {
        Self { point: Some(point), ..self }
    }

    /// Adds a remark.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        let note = match self.note {
            Some(before) => format!("{before}; {}", note.into()),
            None => note.into(),
        };
        Self { note: Some(note), ..self }
    }

    /// The row as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut row = json!({
            "goal": self.goal,
            "case": self.case,
            "ours": self.ours.map(rounded),
            "peer": self.peer.map(rounded),
            "peer_name": self.peer_name,
            "limit": self.limit.map(rounded),
            "ratio": self.ratio.map(rounded),
            "unit": self.unit.text(),
            "goal_ratio": self.goal_ratio.map(rounded),
            "met": self.met,
        });
        if let (Some(note), Some(row)) = (&self.note, row.as_object_mut()) {
            row.insert("note".to_owned(), json!(note));
        }
        if let (Some(point), Some(row)) = (&self.point, row.as_object_mut()) {
            let Point { agents, active, lanes } = point;
            row.insert(
                "point".to_owned(),
                json!({ "agents": agents, "active": active, "lanes": lanes }),
            );
        }
        row
    }
}

/// Four significant digits: no figure here is better known.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// A whole report.
#[must_use]
pub fn report(machine: &Value, rows: &[Value]) -> Value {
    json!({ "$type": TYPE, "machine": machine, "rows": rows })
}

/// Rows as lines of text, for a terminal.
#[must_use]
pub fn table(rows: &[Value]) -> String {
    let mut text = format!(
        "{:<4} {:<52} {:>10} {:>10} {:>10} {:<6} {:>7} {:>7} {:<4} {}\n",
        "goal", "case", "ours", "peer", "limit", "unit", "ratio", "wanted", "met", "peer, note"
    );
    for row in rows {
        let number = |key: &str| row[key].as_f64().map_or("-".to_owned(), |v| format!("{v}"));
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let met = match row["met"].as_bool() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        let mut said = [word("peer_name"), word("note")];
        said.iter_mut().filter(|text| text.is_empty()).for_each(|text| *text = "-".to_owned());
        text.push_str(&format!(
            "{:<4} {:<52} {:>10} {:>10} {:>10} {:<6} {:>7} {:>7} {:<4} {}\n",
            word("goal"),
            word("case"),
            number("ours"),
            number("peer"),
            number("limit"),
            word("unit"),
            number("ratio"),
            number("goal_ratio"),
            met,
            said.join("; ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_above_one_in_every_unit() {
        assert!(Unit::Ns.ratio(10.0, 20.0) > 1.0);
        assert!(Unit::GigabytesPerS.ratio(20.0, 10.0) > 1.0);
        let row = Row::new("S1", "x", Unit::Ns, 10.0).against("y", 9.0, None).goal(0.87);
        assert_eq!((row.met, row.to_json()["ratio"].as_f64()), (Some(true), Some(0.9)));
    }

    #[test]
    fn a_skipped_row_has_no_figure_and_a_reason() {
        let row = Row::skipped("S6", "x", Unit::Ns, "no library").to_json();
        assert!(row["ours"].is_null() && row["met"].is_null());
        assert_eq!(row["note"], "skipped: no library");
    }

    #[test]
    fn four_digits_are_kept() {
        assert_eq!(rounded(123_456.0), 123_500.0);
        assert_eq!(rounded(0.012_345_6), 0.012_35);
    }
}
