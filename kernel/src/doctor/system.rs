//! Limits of the user, the folders that runs use, the disk, and the library for models.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use wasm_engine_guest::code_cache::CodeCache;
use wasm_engine_shm::locate;

use crate::{
    clock,
    doctor::finding::{Diagnosis, text_of},
    units,
};

/// Descriptors that a run with a log, models and monitors needs at most.
const FILES_MIN: u64 = 64;
/// Threads likewise, with some workers.
const THREADS_MIN: u64 = 32;
/// Writes that are forced to the disk.
const SYNCS: usize = 20;
/// What the disk takes longer for than a log syncs by default.
const SLOW_SYNC_NS: u64 = 100_000_000;

pub(super) fn findings(dir: &Path, cache: Option<&Path>) -> Vec<Diagnosis> {
    let mut findings = limits();
    findings.extend([runtime_folder(), cache_folder(cache), disk(dir), library()]);
    findings
}

/// The soft limit of `/proc/self/limits` whose line begins with `name`; none if it is unlimited.
fn limit(name: &str) -> Option<u64> {
    let text = text_of("/proc/self/limits")?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn limits() -> Vec<Diagnosis> {
    let at_least = |name, line, min: u64, noun, flag: &str| match limit(line) {
        Some(allowed) if allowed < min => Diagnosis::limited(
            name,
            units::of(allowed, noun),
            format!("a run may need {min}: raise it ({flag})"),
        ),
        Some(allowed) => Diagnosis::fine(name, units::of(allowed, noun)),
        None => Diagnosis::fine(name, "unlimited"),
    };
    let size = match limit("Max file size") {
        Some(bytes) => Diagnosis::limited(
            "file size",
            format!("at most {}", units::bytes(bytes)),
            "a log ends the run when a file is full: lower log.segment_bytes below it, or raise \
             it (ulimit -f unlimited)",
        ),
        None => Diagnosis::fine("file size", "unlimited"),
    };
    vec![
        at_least("open files", "Max open files", FILES_MIN, "file", "ulimit -n"),
        at_least("threads", "Max processes", THREADS_MIN, "thread", "ulimit -u"),
        size,
    ]
}

/// Where monitors find runs.
fn runtime_folder() -> Diagnosis {
    let name = "runtime folder";
    match locate::runtime_directory() {
        Ok(folder) => Diagnosis::fine(name, format!("{}, of this user alone", folder.display())),
        Err(error) => Diagnosis::lacking(
            name,
            error.to_string(),
            "set XDG_RUNTIME_DIR to a folder of your own with mode 0700",
        ),
    }
}

fn cache_folder(cache: Option<&Path>) -> Diagnosis {
    let name = "module cache";
    let none = "modules are compiled in each run";
    let Some(cache) = cache else {
        let cure = format!("{none}; set XDG_CACHE_HOME or HOME");
        return Diagnosis::limited(name, "no folder is known", cure);
    };
    match CodeCache::open(cache) {
        Ok(_) => Diagnosis::fine(name, cache.display().to_string()),
        Err(error) => {
            Diagnosis::limited(name, error.to_string(), format!("{none} until it is cured"))
        }
    }
}

/// A file that goes with the value.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed was not made.
        let _ = fs::remove_file(&self.0);
    }
}

/// What forcing 4 KiB to the disk of `dir` takes, as a log does.
fn disk(dir: &Path) -> Diagnosis {
    let path = dir.join(format!(".wasm-engine-doctor-{}", std::process::id()));
    let cannot = |error: std::io::Error| {
        let found = format!("{} takes no file: {error}", dir.display());
        Diagnosis::limited("disk", found, "a log goes elsewhere: name a folder with --dir")
    };
    let mut file = match File::create_new(&path) {
        Ok(file) => file,
        Err(error) => return cannot(error),
    };
    let _scratch = Scratch(path);
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begin_ns = clock::now_ns();
        if let Err(error) = file.write_all(&[1; 4096]).and_then(|()| file.sync_data()) {
            return cannot(error);
        }
        times.push(clock::now_ns() - begin_ns);
    }
    times.sort_unstable();
    let (median, most) = (times[SYNCS / 2], times[SYNCS - 1]);
    let found = format!(
        "4 KiB are durable in {} after {}, at most {}{}",
        dir.display(),
        units::duration(median),
        units::duration(most),
        file_system(dir).map_or_else(String::new, |kind| format!(" ({kind})"))
    );
    match file_system(dir) {
        Some(kind @ ("tmpfs" | "ramfs")) => Diagnosis::limited(
            "disk",
            found,
            format!("{kind} is gone with the machine: write logs to a disk"),
        ),
        _ if median > SLOW_SYNC_NS => Diagnosis::limited(
            "disk",
            found,
            "a log syncs every 100 ms by default: raise log.sync, or write it to another disk",
        ),
        _ => Diagnosis::fine("disk", found),
    }
}

/// The kind of file system that a folder lies in, of those that matter.
#[cfg(target_os = "linux")]
fn file_system(dir: &Path) -> Option<&'static str> {
    // Magic numbers of the kernel's interface, statfs(2).
    match u64::try_from(rustix::fs::statfs(dir).ok()?.f_type).ok()? & 0xffff_ffff {
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        0x6969 => Some("nfs"),
        0xff53_4d42 | 0xfe53_4d42 => Some("cifs"),
        0x794c_7630 => Some("overlay"),
        0xef53 => Some("ext4"),
        0x5846_5342 => Some("xfs"),
        0x9123_683e => Some("btrfs"),
        0x2fc1_2fc1 => Some("zfs"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_dir: &Path) -> Option<&'static str> {
    None
}

#[cfg(feature = "onnx")]
fn library() -> Diagnosis {
    use wasm_engine_inference::onnx::{LIBRARY_CURE, LIBRARY_VERSION, init, locate_library};

    let name = "ONNX Runtime";
    let found = match locate_library(None).and_then(|found| init(&found).map(|()| found)) {
        Ok(found) => found,
        // It says what to do.
        Err(error) => {
            let follows = "runs with models are refused, all others work";
            return Diagnosis::limited(name, error.to_string(), follows);
        }
    };
    let text = format!("version {} in {}", found.version(), found.path().display());
    match found.version() {
        // Not every file says it.
        LIBRARY_VERSION | "unknown" => Diagnosis::fine(name, text),
        _ => Diagnosis::limited(
            name,
            text,
            format!(
                "it serves, but tested is {LIBRARY_VERSION}: values may have other bits, and logs \
                 are compared with their own version only; {LIBRARY_CURE}"
            ),
        ),
    }
}

#[cfg(not(feature = "onnx"))]
fn library() -> Diagnosis {
    let cure = "runs with models are refused: build with the feature onnx";
    Diagnosis::limited("ONNX Runtime", "this program was built without it", cure)
}
