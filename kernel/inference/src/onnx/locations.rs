//! Where the library is looked for when nobody names a file.
//!
//! Few, in a fixed order, each of which only whoever installed the program or runs it can
//! write to: no code is picked up from the working directory or from a stray parent folder.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::onnx::pinned::LIBRARY_FILE;

/// Inside a folder that `pip install --target` was given, and in `site-packages`.
const IN_PACKAGES: &str = "onnxruntime/capi";

/// What the locations follow from.
#[derive(Debug, Default)]
pub(super) struct LibraryLocations {
    /// The program.
    pub(super) exe: PathBuf,
    /// The Python environment that is active.
    pub(super) python: Option<PathBuf>,
    /// Folders for data of the user's programs.
    pub(super) data: Vec<PathBuf>,
}

impl LibraryLocations {
    /// Those of the program `exe`, as the environment has them.
    pub(super) fn of(exe: PathBuf) -> Self {
        let absolute =
            |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = match cfg!(windows) {
            true => vec![absolute("LOCALAPPDATA")],
            false => {
                vec![absolute("XDG_DATA_HOME"), absolute("HOME").map(share)]
            }
        };
        Self { exe, python: absolute("VIRTUAL_ENV"), data: data.into_iter().flatten().collect() }
    }

    /// The files to be tried, in order, each once.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut folders = beside(&self.exe);
        folders.extend(self.python.iter().flat_map(|python| site_packages(python)));
        folders.extend(self.data.iter().map(|data| data.join("wasm-engine").join(IN_PACKAGES)));
        let mut seen = BTreeSet::new();
        let files = folders.into_iter().map(|folder| folder.join(LIBRARY_FILE));
        files.filter(|file| seen.insert(file.clone())).collect()
    }
}

fn share(home: PathBuf) -> PathBuf {
    home.join(".local/share")
}

/// The folders beside a program. Only cargo's own target directory, known by a file that cargo
/// writes into it, extends the search upwards.
fn beside(exe: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let Some(dir) = exe.parent() else { return out };
    out.push(dir.to_owned());
    out.extend(dir.parent().map(|parent| parent.join("onnxruntime")));
    // The tag is missing where somebody else made the directory, the other file where cargo may not
    // cache what the compiler says.
    let is_target = |path: &&Path| {
        ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|file| path.join(file).is_file())
    };
    let Some(target) = dir.ancestors().find(is_target) else { return out };
    out.push(target.join("onnxruntime"));
    out.extend(target.parent().iter().flat_map(|project| site_packages(&project.join(".venv"))));
    out
}

/// Where the package is in a Python environment.
fn site_packages(python: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![python.join("Lib/site-packages").join(IN_PACKAGES)];
    }
    let versions = fs::read_dir(python.join("lib"));
    let mut versions: Vec<PathBuf> = versions
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort();
    versions.into_iter().map(|one| one.join("site-packages").join(IN_PACKAGES)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_up_to_cargos_target_directory_only() {
        let project = tempfile::tempdir().expect("a directory");
        let target = project.path().join("target");
        let exe = target.join("debug/deps/test");
        fs::create_dir_all(exe.parent().expect("it has one")).expect("writable");
        let wanted = target.join("onnxruntime").join(LIBRARY_FILE);
        let locations = LibraryLocations { exe, ..LibraryLocations::default() };
        assert!(!locations.files().contains(&wanted), "nothing marks it as cargo's");
        for file in ["CACHEDIR.TAG", ".rustc_info.json"] {
            fs::write(target.join(file), "").expect("writable");
            assert!(locations.files().contains(&wanted), "{file}");
            fs::remove_file(target.join(file)).expect("just written");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_environment_and_the_users_folder_come_after_what_lies_beside_the_program() {
        let folder = tempfile::tempdir().expect("a directory");
        let python = folder.path().join("env");
        for version in ["python3.12", "python3.11"] {
            fs::create_dir_all(python.join("lib").join(version)).expect("writable");
        }
        let data = vec!["/data".into(), "/home/.local/share".into(), "/data".into()];
        let locations =
            LibraryLocations { exe: "/opt/bin/program".into(), python: Some(python.clone()), data };
        let wanted = [
            PathBuf::from("/opt/bin"),
            "/opt/onnxruntime".into(),
            python.join("lib/python3.11/site-packages/onnxruntime/capi"),
            python.join("lib/python3.12/site-packages/onnxruntime/capi"),
            "/data/wasm-engine/onnxruntime/capi".into(),
            "/home/.local/share/wasm-engine/onnxruntime/capi".into(),
        ];
        assert_eq!(locations.files(), wanted.map(|folder| folder.join(LIBRARY_FILE)));
        let nowhere =
            LibraryLocations { exe: "/".into(), python: Some("/none".into()), data: Vec::new() };
        assert_eq!(nowhere.files(), Vec::<PathBuf>::new());
    }
}
