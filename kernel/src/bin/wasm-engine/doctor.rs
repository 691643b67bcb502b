//! `wasm-engine doctor`: what this machine lets the kernel do.

use std::{io::IsTerminal, path::PathBuf};

use wasm_engine::{
    doctor::{self, Condition, DoctorDocument},
    exit::Exit,
    units::of,
};

use crate::{cache, print::Outcome, terminal};

const KIND: &str = "doctor";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder whose disk is tried, where logs are to lie; the working directory without.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub(crate) fn doctor(args: &Args) -> Outcome {
    let document = doctor::examine(&args.dir, cache::folder().as_deref());
    let lines = lines(&document, terminal::colour(std::io::stdout().is_terminal()));
    let (exit, error) = match document.can_run {
        true => (Exit::Ok, None),
        false => (
            Exit::Failure,
            Some("no kernel runs here before what is lacking is cured, as said above".to_owned()),
        ),
    };
    Outcome::of(KIND, &document, exit, error).with_words_alone(lines)
}

fn lines(document: &DoctorDocument, colour: bool) -> Vec<String> {
    let findings = &document.findings;
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let (word, code) = match finding.condition {
            Condition::Fine => ("fine   ", 32),
            Condition::Limited => ("limited", 33),
            Condition::Lacking => ("LACKING", 31),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        let found = wasm_engine_abi::plain::PlainText(&finding.found);
        lines.push(format!("{word}  {:width$}  {found}", finding.name));
        if let Some(cure) = &finding.cure {
            lines.push(format!("         {:width$}  -> {cure}", ""));
        }
    }
    let count = |condition| findings.iter().filter(|it| it.condition == condition).count() as u64;
    let (limited, lacking) = (count(Condition::Limited), count(Condition::Lacking));
    lines.push(String::new());
    lines.push(match (lacking, limited) {
        (0, 0) => "a kernel can run here, and nothing limits it".to_owned(),
        (0, _) => format!("a kernel can run here; {} with a cure", of(limited, "limit")),
        _ => format!("no kernel runs here before this is cured: {}", of(lacking, "lack")),
    });
    lines
}
