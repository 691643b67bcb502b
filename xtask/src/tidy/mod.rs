//! `cargo xtask tidy`: what no lint holds, as a list of findings, each with what to do.
//!
//! No compiler: files are taken apart once into code, comments and strings, and each check is one
//! file that reads these. Everyday `cargo test` runs all checks over the tree as well. What is
//! deliberate stands in a table of the check, with its reason; an entry that is no longer needed is
//! a finding too.

mod circles;
mod citations;
mod defaults;
mod finding;
mod folders;
mod graph;
mod heads;
mod house;
mod lengths;
mod markdown;
mod mask;
mod paths;
mod rules;
mod scan;
mod tree;
mod types;
mod values;
mod walls;
mod width;
mod words;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::step;
use finding::Check;
use tree::Tree;

const CHECKS: [Check; 11] = [
    heads::CHECK,
    width::CHECK,
    lengths::CHECK,
    folders::CHECK,
    types::CHECK,
    rules::CHECK,
    defaults::CHECK,
    citations::CHECK,
    words::CHECK,
    walls::CHECK,
    circles::CHECK,
];

/// The task: all checks, or those named.
///
/// # Errors
/// If a check finds something, a name is unknown, or the tree cannot be read.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let unknown = |arg: &&String| !CHECKS.iter().any(|check| check.name == arg.as_str());
    match args {
        [arg] if arg == "--help" => {
            println!("{}", help());
            return Ok(());
        }
        [arg] if arg == "--house" => {
            print!("{}", house::table(&Tree::read(&step::root()?)?));
            return Ok(());
        }
        [arg] if arg == "--rules" => {
            let root = step::root()?;
            let path = root.join(rules::TABLE);
            std::fs::write(&path, rules::table(&Tree::read(&root)?))
                .with_context(|| format!("{} cannot be written", path.display()))?;
            return Ok(());
        }
        _ => {}
    }
    if let Some(arg) = args.iter().find(unknown) {
        bail!("there is no check {arg}\n\n{}", help());
    }
    let named = |check: &Check| args.iter().any(|arg| arg == check.name);
    over(&step::root()?, |check| args.is_empty() || named(check))
}

/// Prints what the chosen checks find in a repository, and how much there is.
fn over(root: &Path, chosen: impl Fn(&Check) -> bool) -> Result<()> {
    let start = Instant::now();
    let tree = Tree::read(root)?;
    let mut findings: Vec<_> =
        CHECKS.iter().filter(|check| chosen(check)).flat_map(|check| (check.run)(&tree)).collect();
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    let (files, circles) = (tree.sources.len(), circles::count(&tree));
    let (count, took) = (findings.len(), start.elapsed().as_secs_f64());
    eprintln!("tidy: {files} Rust files, {circles} circles, {count} findings, {took:.2} s");
    if count > 0 {
        bail!("{count} findings; `cargo xtask tidy --help` says what each check holds");
    }
    Ok(())
}

fn help() -> String {
    let mut text = "\
usage: cargo xtask tidy [--house | --rules | CHECK ...]

Prints each finding as `path:line: what; what to do`. Without a name all checks run; --house prints
instead how many lines, circles and floors (files on the longest path of uses) each crate has,
--rules writes docs/RULES.md.

checks:"
        .to_owned();
    for check in &CHECKS {
        let holds = check.holds.replace('\n', &format!("\n{:12}", ""));
        text.push_str(&format!("\n  {:10}{holds}", check.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        over(&step::root().expect("a repository"), |_| true).expect("tidy");
    }

    #[test]
    fn only_checks_have_names() {
        assert!(command(&["no-such-check".to_owned()]).is_err());
    }

    #[test]
    fn the_help_names_every_check() {
        let text = help();
        assert!(
            CHECKS.iter().all(|check| text.contains(&format!("\n  {} ", check.name))),
            "{text}"
        );
    }
}
