//! What the cache keeps, what it refuses, and that no file can be used that it did not write.

use std::fs::{self, Permissions, create_dir, read, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use wasmtime::{Config, OptLevel};

use super::*;
use crate::engine::{MemoryLayout, MemoryProfile, deterministic_engine};
use MemoryLayout::{Dense, Guarded};

const WAT: &str = r#"(module (memory (export "memory") 1 1) (global $sum (mut i32) (i32.const 7))
    (func (export "add") (param i32) (result i32)
      (global.set $sum (i32.add (global.get $sum) (local.get 0)))
      (i32.store (local.get 0) (global.get $sum))
      (i32.load offset=4 (local.get 0))))"#;

fn wasm() -> Vec<u8> {
    wat::parse_str(WAT).expect("well-formed")
}

fn engine(seats: u32, memory_bytes_max: u64, layout: MemoryLayout) -> Engine {
    let layout = Some(layout);
    deterministic_engine(MemoryProfile { seats, memory_bytes_max, layout }).expect("it starts")
}

fn name_for(engine: &Engine, wasm: &[u8]) -> String {
    name(&fingerprint(engine), engine.wasmtime(), wasm)
}

/// A cache in a folder of its own, the name of a module that is kept in it, and its file.
struct Kept {
    _dir: TempDir,
    cache: CodeCache,
    engine: Engine,
    name: String,
    file: PathBuf,
}

fn kept() -> Kept {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("a/b");
    let cache = CodeCache::open(&path).expect("made");
    let engine = engine(8, 65_536, Guarded);
    let (_, origin) = cache.module(&engine, &wasm()).expect("it compiles");
    assert_eq!(origin, Origin::Kept);
    let name = name_for(&engine, &wasm());
    let file = path.join(&name);
    Kept { _dir: dir, cache, engine, name, file }
}

impl Kept {
    fn origin(&self) -> Origin {
        self.cache.module(&self.engine, &wasm()).expect("it compiles").1
    }

    fn is_kept(&self) -> bool {
        self.cache.kept(&self.engine, &self.name).is_some()
    }
}

#[test]
fn a_module_is_compiled_once_and_its_code_is_what_the_compiler_makes() {
    let kept = kept();
    let (module, origin) = kept.cache.module(&kept.engine, &wasm()).expect("kept");
    assert_eq!(origin, Origin::Cache);
    let compiled = Module::new(kept.engine.wasmtime(), wasm()).expect("it compiles");
    let code = |module: &Module| module.serialize().expect("code");
    assert_eq!(code(&module), code(&compiled));
    // A process that opens the folder later has the same key.
    let again = CodeCache::open(kept.file.parent().expect("a folder")).expect("open");
    assert_eq!(again.module(&kept.engine, &wasm()).expect("kept").1, Origin::Cache);
}

#[test]
fn a_changed_file_is_never_used_and_is_replaced() {
    let kept = kept();
    let whole = read(&kept.file).expect("the file");
    assert!(whole.len() > 1_000 && kept.is_kept());
    // All of the tag, and a sample of the code.
    for at in (0..64).chain((64..whole.len()).step_by(97)) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        write(&kept.file, &changed).expect("written");
        assert!(!kept.is_kept(), "byte {at}");
    }
    assert_eq!((kept.origin(), kept.origin()), (Origin::Kept, Origin::Cache));
    assert_eq!(read(&kept.file).expect("the file"), whole);
}

#[test]
fn a_truncated_or_longer_file_is_never_used_and_is_replaced() {
    let kept = kept();
    let whole = read(&kept.file).expect("the file");
    for len in (0..64).chain((64..whole.len()).step_by(97)).chain([whole.len() - 1]) {
        write(&kept.file, &whole[..len]).expect("written");
        assert!(!kept.is_kept(), "{len} bytes");
    }
    write(&kept.file, [&whole[..], b"\0"].concat()).expect("written");
    assert!(!kept.is_kept());
    assert_eq!((kept.origin(), kept.origin()), (Origin::Kept, Origin::Cache));
    // The length says no; nothing of it is read.
    fs::File::create(&kept.file).and_then(|file| file.set_len(1 << 40)).expect("a hole");
    assert!(!kept.is_kept());
}

#[test]
fn code_under_another_name_or_key_is_never_used() {
    let kept = kept();
    let other = name_for(&kept.engine, &wat::parse_str("(module)").expect("well-formed"));
    fs::copy(&kept.file, kept.file.with_file_name(&other)).expect("copied");
    assert!(kept.cache.kept(&kept.engine, &other).is_none());
    fs::remove_file(kept.file.with_file_name(KEY)).expect("removed");
    let cache = CodeCache::open(kept.file.parent().expect("a folder")).expect("open");
    assert!(kept.is_kept() && cache.kept(&kept.engine, &kept.name).is_none());
}

/// The name of the key's file.
const KEY: &str = "key";

#[test]
fn what_the_engine_refuses_is_compiled() {
    let kept = kept();
    let dense = engine(8, 65_536, Dense);
    let foreign =
        Module::new(dense.wasmtime(), wasm()).and_then(|it| it.serialize()).expect("code");
    for code in [&foreign[..], b"", b"no code"] {
        let tag = kept.cache.tag(&kept.name, code);
        write(&kept.file, [tag.as_bytes(), code].concat()).expect("written");
        assert_eq!((kept.origin(), kept.origin()), (Origin::Kept, Origin::Cache));
    }
}

#[test]
fn whatever_decides_code_decides_the_name() {
    let wasm = wasm();
    let engines = [engine(8, 65_536, Guarded), engine(8, 65_536, Dense)];
    let mut names: Vec<String> = engines.iter().map(|engine| name_for(engine, &wasm)).collect();
    names.push(name_for(&engines[0], &wasm[..wasm.len() - 1]));
    let mut settings = fingerprint(&engines[0]);
    for level in [OptLevel::Speed, OptLevel::None] {
        let mut config = Config::new();
        config.cranelift_opt_level(level);
        let other = wasmtime::Engine::new(&config).expect("it starts");
        names.push(name(&settings, &other, &wasm));
    }
    settings.instrumentation_version += 1;
    names.push(name(&settings, engines[0].wasmtime(), &wasm));
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "layout, module, level of optimisation, instrumentation");
    // How many agents may be awake does not decide code, where memories lie alike.
    let more = engine(64, 1 << 20, Guarded);
    assert_eq!(name_for(&engines[0], &wasm), name_for(&more, &wasm));
}

#[test]
fn a_file_that_cannot_be_written_costs_nothing_else() {
    let kept = kept();
    fs::remove_file(&kept.file).expect("removed");
    create_dir(&kept.file).expect("made");
    assert!(matches!(kept.origin(), Origin::NotKept(_)));
    // Nothing unfinished is left.
    let folder = kept.file.parent().expect("a folder");
    assert_eq!(fs::read_dir(folder).expect("the folder").count(), 2);
}

#[test]
fn the_files_unused_for_longest_go_first() {
    let mut kept = kept();
    let modules: Vec<Vec<u8>> = (0..4)
        .map(|n| wat::parse_str(format!("(module (func (export \"f{n}\")))")).expect("well-formed"))
        .collect();
    let folder = kept.file.parent().expect("a folder").to_owned();
    let left = || {
        let names = fs::read_dir(&folder).expect("the folder").flatten();
        let mut names: Vec<_> =
            names.map(|it| it.file_name().into_string().expect("text")).collect();
        names.sort();
        names
    };
    let names: Vec<String> = modules.iter().map(|module| name_for(&kept.engine, module)).collect();
    let used_long_ago = |name: &str, s| {
        let file = fs::OpenOptions::new().append(true).open(folder.join(name)).expect("a file");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(s)).expect("its time is set");
    };
    write(folder.join("somebody's notes"), "stay").expect("written");
    write(folder.join("new-0"), "what a killed process left").expect("written");
    kept.cache.module(&kept.engine, &modules[0]).expect("it compiles");
    used_long_ago("new-0", 1);
    used_long_ago(&kept.name, 2);
    used_long_ago(&names[0], 3);
    assert_eq!(kept.origin(), Origin::Cache, "used again, so it stays");
    kept.cache.bounds.files_max = 3;
    let expected = |names: &[&String]| {
        let mut expected = vec![KEY.to_owned(), "somebody's notes".to_owned()];
        expected.extend(names.iter().map(|name| (*name).clone()));
        expected.sort();
        expected
    };
    kept.cache.module(&kept.engine, &modules[1]).expect("it compiles");
    assert_eq!(left(), expected(&[&kept.name, &names[0], &names[1]]));
    kept.cache.module(&kept.engine, &modules[2]).expect("it compiles");
    assert_eq!(left(), expected(&[&kept.name, &names[1], &names[2]]));
    kept.cache.bounds.bytes_max = 1;
    kept.cache.module(&kept.engine, &modules[3]).expect("it compiles");
    assert_eq!(left(), [KEY, "somebody's notes"], "the bytes too are bounded");
}

/// Why the folder at `path` cannot be used.
fn refused(path: &Path) -> String {
    CodeCache::open(path).expect_err("it is refused").to_string()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn a_folder_that_others_can_write_or_that_is_none_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("cache");
    CodeCache::open(&path).expect("made");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
    for mode in [0o777, 0o720, 0o702] {
        set_mode(&path, mode);
        assert!(refused(&path).contains("open to other users"), "{mode:o}");
    }
    set_mode(&path, 0o755);
    CodeCache::open(&path).expect("others may read what is no secret");
    let link = dir.path().join("link");
    symlink(&path, &link).expect("linked");
    assert!(refused(&link).contains("is a link or no directory"));
    let dangling = dir.path().join("dangling");
    symlink(dir.path().join("nothing"), &dangling).expect("linked");
    assert!(refused(&dangling).contains("is a link or no directory"));
    let file = dir.path().join("file");
    write(&file, "").expect("written");
    assert!(refused(&file).contains("is a link or no directory"));
    assert!(refused(&file.join("below")).contains("cannot be used"));
    assert!(refused(Path::new("/proc/no/such")).contains("cannot be used"));
}

#[test]
fn a_key_that_is_none_or_that_others_can_read_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let (path, key) = (dir.path().join("cache"), dir.path().join("cache").join(KEY));
    CodeCache::open(&path).expect("made");
    assert_eq!(fs::metadata(&key).expect("it is there").permissions().mode() & 0o777, 0o600);
    for mode in [0o640, 0o604, 0o620] {
        set_mode(&key, mode);
        assert!(refused(&path).contains("open to other users"), "{mode:o}");
    }
    set_mode(&key, 0o600);
    for len in [0, 31] {
        write(&key, vec![7; len]).expect("written");
        assert!(refused(&path).contains("is not a key of 32 bytes"), "{len}");
    }
    write(&key, [7; 33]).expect("written");
    assert!(refused(&path).contains("key"));
    fs::remove_file(&key).expect("removed");
    let elsewhere = dir.path().join("elsewhere");
    write(&elsewhere, [7; 32]).expect("written");
    set_mode(&elsewhere, 0o600);
    symlink(&elsewhere, &key).expect("linked");
    assert!(refused(&path).contains("cannot be used"));
    fs::remove_file(&key).expect("removed");
    create_dir(&key).expect("made");
    set_mode(&key, 0o700);
    assert!(refused(&path).contains("cannot be used"));
}

/// Only the administrator can give files away; others skip this.
#[test]
fn what_belongs_to_another_user_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let (path, key) = (dir.path().join("cache"), dir.path().join("cache").join(KEY));
    CodeCache::open(&path).expect("made");
    for given in [&key, &path] {
        if std::os::unix::fs::chown(given, Some(12_345), None).is_err() {
            return;
        }
        assert!(refused(&path).contains("belongs to another user"), "{}", given.display());
    }
}

#[test]
fn those_that_open_a_new_folder_at_once_agree_on_a_key() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("cache");
    let start = Barrier::new(8);
    let open = || {
        start.wait();
        CodeCache::open(&path).expect("made").key
    };
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(keys.iter().all(|key| key == &keys[0] && key != &[0; 32]));
    assert_eq!(fs::read_dir(&path).expect("the folder").count(), 1, "the key alone");
}
