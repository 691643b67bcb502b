//! What this machine lets a kernel do, found by trying it, with a cure for each lack.
//!
//! ```text
//! processor.rs  cores, pinning, how soon a thread wakes
//! memory.rs     memory, address space, sealed memory, huge pages
//! system.rs     limits of the user, folders, the disk, ONNX Runtime
//! ```
//! Nothing is changed but files that are made for a moment in folders that runs use too. A finding
//! is *lacking* if no run with the default configuration can do without it; what some runs want is
//! *limited*.

mod finding;
mod memory;
mod processor;
mod system;

use std::path::Path;

use serde::Serialize;

pub use self::finding::{Condition, Diagnosis};

/// All that was tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DoctorDocument {
    /// Whether a kernel with the default configuration can run.
    pub can_run: bool,
    /// In a fixed order.
    pub findings: Vec<Diagnosis>,
}

/// Tries everything; the disk is that of the folder `dir`, `cache` the one for compiled modules.
#[must_use]
pub fn examine(dir: &Path, cache: Option<&Path>) -> DoctorDocument {
    let findings: Vec<Diagnosis> =
        [processor::findings(), memory::findings(), system::findings(dir, cache)]
            .into_iter()
            .flatten()
            .collect();
    let can_run = findings.iter().all(|finding| finding.condition != Condition::Lacking);
    DoctorDocument { can_run, findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_fine_has_a_cure_and_what_is_fine_has_none() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let document = examine(dir.path(), Some(&dir.path().join("cache")));
        for Diagnosis { name, condition, cure, found } in &document.findings {
            assert_eq!(*condition == Condition::Fine, cure.is_none(), "{name}: {found} {cure:?}");
        }
        let mut names: Vec<_> = document.findings.iter().map(|finding| finding.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), document.findings.len(), "names tell findings apart");
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("readable").collect();
        assert!(left.iter().all(|entry| entry.as_ref().is_ok_and(|it| it.file_name() == "cache")));
    }

    #[test]
    fn a_folder_that_is_not_there_is_found() {
        let document = examine(Path::new("/nowhere/at/all"), None);
        let disk = document.findings.iter().find(|finding| finding.name == "disk");
        assert!(disk.is_some_and(|disk| disk.condition == Condition::Limited), "{document:?}");
    }
}
