//! The list of sites is complete: read from the source, because a site that nobody lists is one
//! that no mutant weakens.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wasm_engine_shm::site::Site;

/// The sources of shm, without the tests at their ends.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shm/src");
    let (mut folders, mut files) = (vec![root], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                files.push((path, code));
            }
        }
    }
    files
}

/// The variants of the enum with the partner that each one's text names.
fn variants() -> BTreeMap<String, String> {
    let (_, code) = sources().into_iter().find(|(path, _)| path.ends_with("site.rs")).expect("it");
    let body = code.split("pub enum Site {").nth(1).and_then(|rest| rest.split("\n}").next());
    let (mut found, mut text) = (BTreeMap::new(), String::new());
    for line in body.expect("the enum").lines().map(str::trim) {
        match line.strip_prefix("///") {
            Some(more) => text.push_str(more),
            None if line.is_empty() => {}
            None => {
                let partner =
                    text.split("Partner: [`Site::").nth(1).and_then(|p| p.split('`').next());
                let partner = partner.unwrap_or_else(|| panic!("{line} names no partner"));
                found.insert(line.trim_end_matches(',').to_owned(), partner.to_owned());
                text.clear();
            }
        }
    }
    found
}

#[test]
fn the_list_is_the_enum_and_partners_name_each_other() {
    let variants = variants();
    let mut listed: Vec<String> = Site::ALL.iter().map(|site| format!("{site:?}")).collect();
    listed.sort();
    assert_eq!(listed, variants.keys().cloned().collect::<Vec<_>>(), "Site::ALL is the enum");
    for (site, partner) in &variants {
        assert_eq!(variants.get(partner), Some(site), "{site} and {partner} name each other");
    }
}

#[test]
fn every_site_is_used_and_every_ordering_has_a_site() {
    let sources = sources();
    for site in variants().keys() {
        let name = format!("Site::{site},");
        let used =
            sources.iter().any(|(path, code)| !path.ends_with("site.rs") && code.contains(&name));
        assert!(used, "{site} is used nowhere");
        // The gate weakens each use of an access alone; a fence it knows by its site only.
        let fence = format!("fence(Site::{site},");
        let fences: usize = sources.iter().map(|(_, code)| code.matches(&fence).count()).sum();
        assert!(fences < 2, "{site} is the site of two fences; give one another");
    }
    for (path, code) in &sources {
        for order in ["Acquire", "Release", "AcqRel", "SeqCst"] {
            let word = format!("Ordering::{order}");
            for (at, _) in code.match_indices(&word) {
                let before = &code[..at];
                let line = before.lines().last().unwrap_or_default();
                let comment = line.trim_start().starts_with("//");
                // The site stands in the same call, on this line or the one before.
                let call = before.rfind("Site::").is_some_and(|site| at - site < 60);
                assert!(comment || call, "{word} without a site in {}: {line}", path.display());
            }
        }
    }
}

/// `cargo xtask mutants --markdown` and the binary `models` print the rows.
#[test]
fn the_document_has_a_row_for_each() {
    use wasm_engine_loom_tests::{models, mutant::Mutant};
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROOF.md");
    let text = fs::read_to_string(path).expect("docs/PROOF.md");
    let sites = Site::ALL.iter().map(|site| format!("{site:?}"));
    let mutants = Mutant::ALL.iter().map(|mutant| format!("{mutant:?}"));
    let models = models::ALL.iter().chain(models::RED).map(|model| model.name.to_owned());
    for name in sites.chain(mutants).chain(models) {
        assert!(text.contains(&format!("\n| `{name}` |")), "docs/PROOF.md has no row for {name}");
    }
}
