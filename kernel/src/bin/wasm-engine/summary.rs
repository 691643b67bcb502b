//! The first lines of a result: how it ended, what went wrong on the way, what to do about it.
//!
//! The figures stand behind them; a program reads those as JSON. What ended a command with an error
//! is said on standard error.

use std::{collections::BTreeMap, path::Path};

use wasm_engine::{
    report::{Ended, EngineDifference, FuelDifference, RunModelReport, RunReport, VerifyReport},
    units::{count, duration, of},
};
use wasm_engine_inference::ModelMeasures;

/// A run that ended.
pub(crate) fn of_run(report: &RunReport, dir: Option<&Path>) -> Vec<String> {
    let tick = count(report.last_tick);
    let end = match report.ended {
        Ended::Done => format!("done: after tick {tick} nothing is due"),
        Ended::Ticks => format!("done: tick {tick} is the last before the limit of ticks"),
        Ended::Interrupted => format!("interrupted after tick {tick}"),
        Ended::Timeout => format!("stopped by the timeout after tick {tick}"),
        Ended::Fault => format!("stopped by a fault in tick {tick}"),
    };
    let mut lines = vec![end, work(report)];
    lines.extend(troubles(report));
    if let (Some(dir), Some(durable)) = (dir, report.durable_tick) {
        let dir = shell_word(dir);
        let durable = count(durable);
        lines.push(format!(
            "log: durable through tick {durable}; `wasm-engine verify {dir}` proves it"
        ));
    }
    lines
}

/// A log that was executed again.
pub(crate) fn of_replay(report: &RunReport) -> Vec<String> {
    let what = format!("replayed: {} as the log has them", of(report.ticks, "tick"));
    let mut lines = vec![what, work(report)];
    lines.extend(troubles(report));
    lines
}

/// A log that was executed again and compared.
pub(crate) fn of_verify(report: &VerifyReport) -> Vec<String> {
    let VerifyReport { divergence, log_end, recomputed, output_lines, run } = report;
    if divergence.is_some() {
        let same = "what stands below is the replay's up to the first difference".to_owned();
        return vec!["NOT verified: the log and its replay differ".to_owned(), same];
    }
    let turns = of(run.turns, "turn");
    let mut lines = vec![format!("verified: digest {}", run.digest)];
    lines.push(format!(
        "compared: digests of {} and {turns}, {}and {} of outputs.jsonl",
        of(run.ticks, "tick"),
        if run.other_engine.is_none() { "fuel, " } else { "" },
        of(*output_lines, "line")
    ));
    match recomputed {
        Some(count) => {
            lines.push(format!("computed again: {}, bit for bit", of(*count, "inference")));
        }
        None if run.inferences > 0 => lines.push(format!(
            "replies to {} are those of the log; --recompute computes them again",
            of(run.inferences, "inference")
        )),
        None => {}
    }
    if log_end != "in order" {
        lines.push(format!("the log ends {log_end}; nothing is known of what came behind"));
    }
    lines.extend(troubles(run));
    lines
}

/// What was done, in a line.
fn work(report: &RunReport) -> String {
    let rate = report.ticks as f64 * 1e9 / report.elapsed_ns.max(1) as f64;
    format!(
        "{}, {}, {}, {} in {} ({} ticks/s), loading took {}",
        of(report.ticks, "tick"),
        of(report.turns, "turn"),
        of(report.messages, "message"),
        of(report.inferences, "inference"),
        duration(report.elapsed_ns),
        count(rate as u64),
        duration(report.load_ns),
    )
}

/// What went wrong without ending it, each with what to do.
fn troubles(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    match &report.first_fault {
        Some(first) => lines.push(format!(
            "{} faulted, first {} in tick {}: {}; {}",
            of(report.faults, "turn"),
            first.agent,
            count(first.tick),
            first.what,
            first.advice
        )),
        None if report.faults == 0 => lines.push("no faults".to_owned()),
        None => lines.push(format!("{} faulted", of(report.faults, "turn"))),
    }
    let mut note = |number: u64, noun: &str, rest: &str| {
        if number > 0 {
            lines.push(format!("{} {rest}", of(number, noun)));
        }
    };
    note(report.restarts, "restart", "after faults, as agent.restart allows");
    note(
        report.refused,
        "delivery",
        "refused at a limit, and senders were told: raise limits.inbox_items_max and \
         limits.inbox_bytes_max, or give the topic a policy that drops",
    );
    note(
        report.dropped,
        "message",
        "dropped by the policy of their topic, as configured: raise limits.inbox_items_max to \
         keep more",
    );
    note(
        report.late_replies,
        "inference",
        "late: the run need not come out the same again, its log replays; raise \
         model.deadline_ms or take a faster model",
    );
    note(
        report.own_codes,
        "turn",
        "ended with a code of the agent's own: `wasm-engine-monitor` shows the last of each agent",
    );
    note(
        report.paused_items,
        "item",
        "wait in the inboxes of paused agents, which end no run: resume these agents",
    );
    lines.extend(of_sources(report));
    for (topic, misfits) in &report.misfits {
        lines.push(format!(
            "{} on {topic} not in the declared format, shown as hex: correct output.format or \
             what is published",
            of(*misfits, "message")
        ));
    }
    for model in &report.models {
        lines.extend(troubles_of(model, &report.model_measures));
    }
    if let Some(recovered) = &report.recovered {
        lines.push(format!("the log's end was dropped: {recovered}"));
    }
    lines.extend(of_engines(report));
    lines
}

/// What differs between the engine of a log and the one that executed it again, without a
/// difference in what came of it.
fn of_engines(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(EngineDifference { logged, here }) = &report.other_engine {
        lines.push(format!(
            "another engine: the log's is \"{logged}\", this is \"{here}\"; fuel was not compared"
        ));
    }
    if let Some(FuelDifference { tick, agent, ticks }) = &report.fuel_differs {
        let agent = agent.as_ref().map_or_else(String::new, |agent| format!(", agent {agent}"));
        lines.push(format!(
            "fuel differs from tick {} on{agent} ({} with another value of its chain), and nothing \
             else: the engine charged otherwise, or the log was changed after the run",
            count(*tick),
            of(*ticks, "tick"),
        ));
    }
    lines
}

/// What went wrong with a model, each with what to do.
fn troubles_of(model: &RunModelReport, measures: &BTreeMap<String, ModelMeasures>) -> Vec<String> {
    let RunModelReport { refused, not_loaded, loads, loads_failed, model, .. } = model;
    let name = model.full_name();
    let measures = measures.get(&name).copied().unwrap_or_default();
    let mut lines = Vec::new();
    let mut note = |number: u64, what: String| {
        if number > 0 {
            lines.push(what);
        }
    };
    note(
        *not_loaded,
        format!(
            "{} to model {name} refused, for it was not loaded: ask again when a reply says \
             NotLoaded, load it before (model.load = \"start\", or a command), or raise \
             limits.models_bytes_max if others took its room",
            of(*not_loaded, "request")
        ),
    );
    note(
        refused - not_loaded,
        format!(
            "{} to model {name} refused at a limit, and agents were told: raise \
             limits.inferences_pending_max, limits.inference_bytes_pending_max and \
             limits.inference_reply_bytes_pending_max, or ask less at once",
            of(refused - not_loaded, "request")
        ),
    );
    note(
        *loads_failed,
        format!(
            "{} of {} of model {name} failed, the warning says why: restore its files, then load \
             it again",
            count(*loads_failed),
            of(*loads, "load")
        ),
    );
    note(
        measures.refused,
        format!(
            "{} to model {name} not what it takes (Mismatch), each reply says what differs: \
             `wasm-engine model` shows its inputs",
            of(measures.refused, "request")
        ),
    );
    note(
        measures.failed,
        format!(
            "model {name} failed on {} (ModelFailed), the warning says how it did first: ask it \
             for values that it allows",
            of(measures.failed, "request")
        ),
    );
    for (provider, why) in &model.providers_refused {
        lines.push(format!(
            "model {name} was computed by {} and not by {provider}: {why}",
            model.provider
        ));
    }
    lines
}

/// What was wrong with sources, each with what to do.
fn of_sources(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (source, gap) in &report.gaps {
        lines.push(format!(
            "INCOMPLETE: source {source} has a gap of {}, which its feeder says are lost; what \
             follows from the others is complete",
            of(*gap, "input")
        ));
    }
    for (source, feed) in &report.feeds {
        if let Some(problem) = &feed.problem {
            lines.push(format!(
                "{} of source {source} refused or ended, the first: {problem}",
                of(feed.refused, "connection")
            ));
        }
    }
    for (source, left_out) in &report.rows_left_out {
        if *left_out > 0 {
            lines.push(format!(
                "{} of source {source} left out: correct them, or remove bad_rows = \"skip\" to \
                 see each refused",
                of(*left_out, "row")
            ));
        }
    }
    lines
}

/// A path as a shell takes it.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine::report::ModelReport;

    #[test]
    fn each_trouble_is_a_line_with_what_to_do() {
        let quiet = RunReport { ticks: 3, last_tick: 2, ..RunReport::default() };
        let lines = of_run(&quiet, None);
        assert_eq!(lines[0], "done: after tick 2 nothing is due");
        assert_eq!(lines[2..], ["no faults"]);
        let busy = RunReport {
            refused: 2,
            dropped: 3000,
            late_replies: 1,
            rows_left_out: [("weather".to_owned(), 4)].into(),
            gaps: [("meter".to_owned(), 3)].into(),
            ..quiet
        };
        let text = of_run(&busy, None).join("\n");
        for part in [
            "2 deliveries",
            "limits.inbox_items_max",
            "3,000 messages dropped",
            "1 inference late",
            "model.deadline_ms",
            "4 rows of source weather",
            "INCOMPLETE: source meter has a gap of 3 inputs",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn each_trouble_with_a_model_is_a_line_with_what_to_do() {
        let model = ModelReport {
            name: "m".to_owned(),
            version: Some(2),
            provider: "cpu".to_owned(),
            providers_refused: [("cuda".to_owned(), "no device".to_owned())].into(),
            ..ModelReport::default()
        };
        let (refused, not_loaded) = (5, 3);
        let busy = RunModelReport {
            model,
            refused,
            not_loaded,
            loads: 4,
            loads_failed: 1,
            ..RunModelReport::default()
        };
        let quiet = RunModelReport {
            model: ModelReport { name: "q".to_owned(), ..ModelReport::default() },
            requests: 7,
            ..RunModelReport::default()
        };
        let measures = ModelMeasures { refused: 6, failed: 1, ..ModelMeasures::default() };
        let report = RunReport {
            models: vec![busy, quiet],
            model_measures: [("m@2".to_owned(), measures)].into(),
            ..RunReport::default()
        };
        let text = of_run(&report, None).join("\n");
        for part in [
            "3 requests to model m@2 refused, for it was not loaded: ask again",
            "2 requests to model m@2 refused at a limit",
            "1 of 4 loads of model m@2 failed",
            "6 requests to model m@2 not what it takes (Mismatch)",
            "model m@2 failed on 1 request (ModelFailed)",
            "model m@2 was computed by cpu and not by cuda: no device",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("model q"), "{text}");
    }

    #[test]
    fn a_log_is_verified_or_not() {
        use wasm_engine::report::Divergence;
        let mut report = VerifyReport { log_end: "in order".to_owned(), ..VerifyReport::default() };
        assert!(of_verify(&report)[0].starts_with("verified: digest "));
        assert!(of_verify(&report).join("\n").contains(", fuel, and "));
        let agent = Some("meter".to_owned());
        report.run.fuel_differs = Some(FuelDifference { tick: 1234, agent, ticks: 2 });
        let text = of_verify(&report).join("\n");
        assert!(text.starts_with("verified"), "{text}");
        assert!(text.contains("fuel differs from tick 1,234 on, agent meter (2 ticks"), "{text}");
        let (logged, here) = ("old".to_owned(), "new".to_owned());
        report.run.other_engine = Some(EngineDifference { logged, here });
        let text = of_verify(&report).join("\n");
        assert!(text.contains("the log's is \"old\", this is \"new\""), "{text}");
        assert!(!text.contains(", fuel, and "), "{text}");
        report.divergence = Some(Divergence::default());
        assert!(of_verify(&report)[0].starts_with("NOT verified"));
    }

    #[test]
    fn a_path_with_spaces_is_one_word() {
        for (path, word) in [("a/b.d", "a/b.d"), ("my log", "'my log'"), ("it's", r"'it'\''s'")] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
