//! What a command hands back, and how it is printed: one document, as text or as JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use wasm_engine::{
    exit::{Exit, HasExitCode},
    report::{FaultReport, RunReport, document},
    units,
};
use wasm_engine_abi::plain::{PlainJson, PlainText};

/// Entries of a long object or array that the text rendering shows.
const ENTRIES_MAX: usize = 24;

/// The result of a command: its document and its exit code.
pub(crate) struct Outcome {
    document: Map<String, Value>,
    exit: Exit,
    /// What stands before the figures where people read them.
    summary: Vec<String>,
    /// The last words on standard error about faults.
    faults: Option<String>,
    /// Whether standard output belongs to something else.
    aside: bool,
    /// Whether the summary is all that people are shown, already in its final form.
    words_alone: bool,
}

impl Outcome {
    /// A result. `error` says what ended it where `exit` is not ok.
    pub(crate) fn of(
        kind: &str,
        report: &impl Serialize,
        exit: Exit,
        error: Option<String>,
    ) -> Self {
        let (summary, faults) = (Vec::new(), None);
        let document = document(kind, report);
        let mut outcome =
            Self { document, exit, summary, faults, aside: false, words_alone: false };
        if let Some(error) = error {
            outcome.set_error(error);
        }
        outcome
    }

    /// A failure without a result.
    pub(crate) fn failed(kind: &str, exit: Exit, error: String) -> Self {
        Self::of(kind, &Map::new(), exit, Some(error))
    }

    /// The system gives no thread.
    pub(crate) fn no_thread(kind: &str, error: &io::Error) -> Self {
        let advice = "allow this user more processes (ulimit -u)";
        let problem = format!("no thread can be started: {error}; {advice}");
        Self::failed(kind, Exit::Failure, problem)
    }

    /// The failure that `error` is.
    pub(crate) fn error(kind: &str, error: &(impl HasExitCode + std::error::Error)) -> Self {
        Self::failed(kind, error.exit(), chain(error))
    }

    /// Says in words, before the figures, what came out.
    pub(crate) fn with_summary(self, summary: Vec<String>) -> Self {
        Self { summary, ..self }
    }

    /// Shows people these lines alone, as they are.
    pub(crate) fn with_words_alone(self, summary: Vec<String>) -> Self {
        Self { summary, words_alone: true, ..self }
    }

    /// Prints on standard error, if standard output belongs to something else.
    pub(crate) fn aside(self, aside: bool) -> Self {
        Self { aside, ..self }
    }

    /// Says behind the result that agents faulted: an end that looks good is not one.
    pub(crate) fn with_faults(mut self, report: &RunReport) -> Self {
        let Some(first) = &report.first_fault else { return self };
        let turns = if report.faults == 1 { "turn" } else { "turns" };
        let FaultReport { agent, tick, what, advice, .. } = first;
        let exit = match self.exit {
            Exit::Ok => "; the exit code is 0 all the same, kernel.on_fault = \"fail\" makes it 6",
            _ => "",
        };
        self.faults = Some(format!(
            "{} {turns} faulted, first {} in tick {tick}: {}; {advice}{exit}",
            report.faults,
            PlainText(agent),
            PlainText(what)
        ));
        self
    }

    fn set_error(&mut self, error: String) {
        self.document.insert("error".to_owned(), error.trim_end().into());
        self.document.insert("exit_code".to_owned(), self.exit.code().into());
    }

    /// Prints the document and gives the process's exit code.
    pub(crate) fn print(self, json: bool) -> Exit {
        let written = match self.aside {
            true => self.write(json, &mut io::stderr()),
            false => self.write(json, &mut io::stdout().lock()),
        };
        // Who reads the summary on a terminal has read it there.
        let said = !json && !self.summary.is_empty() && io::stdout().is_terminal() && !self.aside;
        if let Some(faults) = self.faults.as_ref().filter(|_| !said) {
            // A terminal that is gone changes nothing.
            let _ = writeln!(io::stderr(), "warning: {faults}");
        }
        match written {
            // A reader that has seen enough is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(io::stderr(), "error: the result cannot be printed: {error}");
                Exit::Failure
            }
            _ => self.exit,
        }
    }

    fn write(&self, json: bool, out: &mut impl Write) -> io::Result<()> {
        if json {
            writeln!(out, "{}", PlainJson(&serde_json::to_string(&self.document)?))?;
            return out.flush();
        }
        if let Some(Value::String(error)) = self.document.get("error") {
            let lead = if error.starts_with("error:") { "" } else { "error: " };
            // Usage errors have lines; within them nothing is obeyed.
            let lines: Vec<String> =
                error.lines().map(|line| PlainText(line).to_string()).collect();
            let _ = writeln!(io::stderr(), "{lead}{}", lines.join("\n"));
        }
        if self.words_alone {
            self.summary.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            return out.flush();
        }
        for line in &self.summary {
            writeln!(out, "{}", PlainText(line))?;
        }
        let figures = text(&self.document);
        if !self.summary.is_empty() && !figures.is_empty() {
            writeln!(out)?;
        }
        out.write_all(figures.as_bytes())?;
        out.flush()
    }
}

/// A document for people: the same keys, one on a line, what is inside indented.
fn text(document: &Map<String, Value>) -> String {
    let hidden = |key: &str| matches!(key, "$type" | "error" | "exit_code");
    let shown: Vec<_> = document.iter().filter(|(key, _)| !hidden(key)).collect();
    let mut text = String::new();
    write_entries(&shown, 0, &mut text);
    text
}

fn write_entries(entries: &[(&String, &Value)], indent: usize, text: &mut String) {
    let width = entries.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    for (key, value) in
        entries.iter().take(ENTRIES_MAX.max(if indent == 0 { entries.len() } else { 0 }))
    {
        text.push_str(&" ".repeat(indent));
        match value {
            Value::Object(map) if !map.is_empty() => {
                text.push_str(&format!("{}\n", PlainText(key)));
                let inner: Vec<_> = map.iter().collect();
                write_entries(&inner, indent + 2, text);
            }
            // To be copied from the terminal.
            Value::Array(lines) if *key == "configuration" => {
                text.push_str(&format!("{key}\n"));
                for line in lines.iter().map(scalar) {
                    text.push_str(&format!("{}{}\n", " ".repeat(indent + 2), PlainText(&line)));
                }
            }
            Value::Array(items) if items.iter().any(|item| item.is_object()) => {
                text.push_str(&format!("{key}\n"));
                let headings: Vec<String> = (0..).zip(items).map(heading).collect();
                let inner: Vec<_> = headings.iter().zip(items).collect();
                write_entries(&inner, indent + 2, text);
            }
            _ => {
                let shown = with_unit(key, value);
                let key = PlainText(key).to_string();
                text.push_str(&format!("{key:width$}  {}\n", PlainText(&shown)));
            }
        }
    }
    if indent > 0 && entries.len() > ENTRIES_MAX {
        let more = entries.len() - ENTRIES_MAX;
        text.push_str(&format!("{}... and {more} more, see --json\n", " ".repeat(indent)));
    }
}

/// What an entry of a list stands under: its name, else its index.
fn heading((index, item): (usize, &Value)) -> String {
    let named = ["name", "id", "file"].iter().find_map(|key| item.get(key)?.as_str());
    named.map_or_else(|| index.to_string(), str::to_owned)
}

/// A figure; behind one of which its key says the unit, how people say it.
fn with_unit(key: &str, value: &Value) -> String {
    let text = scalar(value);
    match value.as_u64() {
        Some(ns) if key.ends_with("_ns") && ns >= 1000 => {
            format!("{text} ({})", units::duration(ns))
        }
        Some(bytes) if key.split('_').any(|word| word == "bytes") && bytes >= 1000 => {
            format!("{text} ({})", units::bytes(bytes))
        }
        _ => text,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An error and its causes, each said once: many already repeat what they stem from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_text_shows_what_the_document_holds() {
        let value = json!({
            "$type": "wasm-engine/run/1",
            "digest": "00ff",
            "load_ns": 1_500_000,
            "none": null,
            "outputs": { "a/b": { "n": 1 }, "c": [1, 2] },
            "parts": [{ "x": 1 }],
        });
        let Value::Object(map) = value else { unreachable!("an object") };
        let expected = "digest   00ff\nload_ns  1500000 (1.50 ms)\nnone     -\noutputs\n  a/b\n\
            \x20   n  1\n  c    [1,2]\nparts\n  0\n    x  1\n";
        assert_eq!(text(&map), expected);
    }

    #[test]
    fn a_terminal_obeys_nothing_in_json_and_it_is_the_same_document() {
        let evil = "\u{1b}[2J \u{7f}\u{9b}31m \u{202e}\u{2066} \"\\ °";
        let mut written = Vec::new();
        let failed = Outcome::failed("run", Exit::Usage, evil.to_owned());
        failed.write(true, &mut written).expect("memory takes it");
        let written = String::from_utf8(written).expect("text");
        let line = written.strip_suffix('\n').expect("one line");
        assert!(line.chars().all(wasm_engine_abi::plain::is_plain), "{line}");
        let document: Value = serde_json::from_str(line).expect("a document");
        assert_eq!(document["error"], evil);
    }

    #[test]
    fn words_stand_before_figures_and_not_in_json() {
        let report = json!({ "n": 1 });
        let outcome = Outcome::of("run", &report, Exit::Ok, None);
        let outcome = outcome.with_summary(vec!["done: \u{1b}[2J".to_owned()]);
        let (mut text, mut document) = (Vec::new(), Vec::new());
        outcome.write(false, &mut text).expect("memory takes it");
        outcome.write(true, &mut document).expect("memory takes it");
        let (text, document) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(&document));
        assert!(text.starts_with("done: ") && text.ends_with("\n\nn  1\n"), "{text}");
        assert!(!text.contains('\u{1b}') && !document.contains("done"), "{text}{document}");
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Map<String, Value> = (0..100).map(|n| (format!("k{n:03}"), json!(n))).collect();
        let map: Map<String, Value> =
            [("outputs".to_owned(), Value::Object(many))].into_iter().collect();
        let text = text(&map);
        assert_eq!(text.lines().count(), 1 + ENTRIES_MAX + 1);
        assert!(text.ends_with("... and 76 more, see --json\n"));
    }
}
