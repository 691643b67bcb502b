//! Compiled modules are kept between runs, and nothing of that shows in a result or fails a run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wasm_engine::{
    replay::{ReplayOptions, verify},
    run::RunOptions,
};

use crate::support::run::{Folder, config, data, options};

/// Files in a folder; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|all| all.flatten().map(|it| it.path()).collect()).unwrap_or_default()
}

/// The one module in a folder.
fn module(folder: &Path) -> PathBuf {
    let mut modules = files(folder);
    modules.retain(|file| file.file_name().is_some_and(|name| name != "key"));
    assert_eq!(modules.len(), 1, "{modules:?}");
    modules.remove(0)
}

#[test]
fn results_are_the_same_without_a_cache_with_an_empty_one_and_with_a_full_one() {
    let folder = Folder::new(48);
    let cache = folder.path("cache");
    let with = |log: &str| RunOptions {
        log_dir: Some(folder.path(log)),
        code_cache: Some(cache.clone()),
        ..options()
    };
    let plain = folder.logged("plain", None);
    assert!(!cache.exists(), "nothing is kept unless that is asked for");
    let empty = folder.run(with("empty")).expect("it runs");
    let code = fs::read(module(&cache)).expect("the module");
    let full = folder.run(with("full")).expect("it runs");
    // One that is damaged is compiled and replaced.
    let mut damaged = code.clone();
    damaged[code.len() / 2] ^= 1;
    fs::write(module(&cache), &damaged).expect("written");
    let repaired = folder.run(with("repaired")).expect("it runs");
    assert_eq!(fs::read(module(&cache)).expect("the module"), code);
    for run in [&empty, &full, &repaired] {
        assert_eq!((&run.digest, &run.fuel_digest), (&plain.digest, &plain.fuel_digest));
    }
    // A log is verified with the cache of its run, and a run's without.
    for (log, code_cache) in [("plain", Some(cache.clone())), ("full", None)] {
        let options = ReplayOptions { code_cache, workers: 1, ..ReplayOptions::default() };
        let verified = verify(&folder.path(log), options).expect("it runs");
        assert_eq!((verified.divergence, verified.run.digest), (None, plain.digest));
    }
}

#[test]
fn a_configuration_can_do_without() {
    let off = "[kernel]\ncache = false\n";
    let folder = Folder::with(&format!("{off}{}", config("")), &data(4));
    let cache = folder.path("cache");
    let options = RunOptions { code_cache: Some(cache.clone()), ..options() };
    folder.run(options).expect("it runs");
    assert!(!cache.exists());
}

#[cfg(feature = "cli")]
mod command {
    use std::process::{Child, Command, Stdio};

    use serde_json::Value;

    use super::*;
    use crate::support::run::named;

    /// The command on the folder's configuration, with caches in `caches`.
    fn command(folder: &Folder, caches: Option<&Path>, name: &str) -> Command {
        let own = named(options(), folder.dir.path()).name.expect("a name of its own");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-engine"));
        command
            .args(["run", "run.toml", "--json", "--name", &format!("{own}{name}")])
            .env_remove("RUST_LOG")
            .env_remove("HOME")
            .env_remove("XDG_CACHE_HOME")
            .current_dir(folder.dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(caches) = caches {
            command.env("XDG_CACHE_HOME", caches);
        }
        command
    }

    /// Digest and standard error of a run that succeeds.
    #[track_caller]
    fn ran(child: Child) -> (String, String) {
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success(), "{stderr}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        (document["digest"].as_str().expect("a digest").to_owned(), stderr)
    }

    fn run(folder: &Folder, caches: Option<&Path>) -> (String, String) {
        ran(command(folder, caches, "").spawn().expect("it starts"))
    }

    #[test]
    fn a_cache_that_cannot_be_is_one_line_of_advice() {
        let folder = Folder::new(4);
        let caches = folder.path("caches");
        let (digest, stderr) = run(&folder, Some(&caches));
        assert!(!stderr.contains("compiled"), "{stderr}");
        module(&caches.join("wasm-engine"));
        // A file where the folder would be; a folder that nobody can make; no home at all.
        let file = folder.path("file");
        fs::create_dir(&file).and_then(|()| fs::write(file.join("wasm-engine"), "")).expect("made");
        let cases = [Some(file.as_path()), Some(Path::new("/proc/none")), None];
        for caches in cases {
            let (found, stderr) = run(&folder, caches);
            assert_eq!(found, digest);
            let lines: Vec<&str> =
                stderr.lines().filter(|line| line.contains("compiled in each run")).collect();
            assert_eq!(lines.len(), 1, "{caches:?}: {stderr}");
            assert!(lines[0].contains("kernel.cache"), "{stderr}");
        }
        // A relative name names nothing, as the standard for such folders says.
        let (_, stderr) = run(&folder, Some(Path::new("relative")));
        assert!(stderr.contains("neither") && !folder.path("relative").exists(), "{stderr}");
        let silent = command(&folder, None, "").args(["--set", "kernel.cache=false"]).spawn();
        let (found, stderr) = ran(silent.expect("it starts"));
        assert!(found == digest && !stderr.contains("compiled"), "{stderr}");
    }

    #[test]
    fn the_home_has_the_cache_where_nothing_else_is_said() {
        let folder = Folder::new(4);
        let home = folder.path("home");
        ran(command(&folder, None, "").env("HOME", &home).spawn().expect("it starts"));
        module(&home.join(".cache/wasm-engine"));
    }

    #[test]
    fn processes_that_start_at_once_share_a_new_cache() {
        let folder = Folder::new(4);
        let caches = folder.path("caches");
        let start = |n: usize| {
            command(&folder, Some(&caches), &format!("-{n}")).spawn().expect("it starts")
        };
        let children: Vec<Child> = (0..6).map(start).collect();
        let found: Vec<_> = children.into_iter().map(ran).collect();
        assert!(found.iter().all(|(digest, _)| *digest == found[0].0));
        assert!(found.iter().all(|(_, stderr)| !stderr.contains("compiled")), "{found:?}");
        let cache = caches.join("wasm-engine");
        let code = fs::read(module(&cache)).expect("the module");
        assert_eq!(files(&cache).len(), 2, "the key, the module, and nothing unfinished");
        // What they left is whole, under the key that stayed: nobody writes it again.
        let mut log = command(&folder, Some(&caches), "");
        let (_, stderr) = ran(log.env("RUST_LOG", "wasm_engine=debug").spawn().expect("it starts"));
        assert!(stderr.contains("compiled earlier"), "{stderr}");
        assert_eq!(fs::read(module(&cache)).expect("the module"), code);
    }
}
