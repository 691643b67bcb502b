//! Names, locks and descriptors in the hands of others: raced for, removed, replaced, damaged.

use std::io::BufRead;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use wasm_engine_shm::locate::{self, Descriptor, LocateError, OwnerProcess};
use wasm_engine_shm::map::MapError;
use wasm_engine_shm::region::RegionView;

use crate::live_region::{NAME, RegionReader, TestOwner};
use crate::parts::{Ends, answer, part_of, play, wait_for, wait_ready};

/// Waits for the start, locks the name, prints the result, and keeps the lock until the end.
pub(crate) fn lock_once(directory: &Path) {
    let wait = |name: &str| {
        while !directory.join(name).exists() {
            std::thread::yield_now();
        }
    };
    println!("ready");
    wait("go");
    let name_lock = locate::lock_in(directory, NAME);
    match &name_lock {
        Ok(_) => println!("answer: locked"),
        Err(LocateError::Taken { .. }) => println!("answer: taken"),
        Err(other) => println!("answer: {other}"),
    }
    wait("end");
}

#[test]
fn of_owners_that_race_for_a_name_one_gets_it() {
    for _ in 0..4 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut children: Vec<_> = (0..4).map(|_| Ends(play("lock", dir.path()))).collect();
        let outs: Vec<_> = children.iter_mut().map(|c| wait_for(&mut c.0, "ready")).collect();
        std::fs::write(dir.path().join("go"), "").expect("writable");
        let answers: Vec<String> = outs
            .into_iter()
            .map(|out| out.lines().map_while(Result::ok).find(|line| line.contains("answer")))
            .map(|line| line.expect("an answer"))
            .collect();
        std::fs::write(dir.path().join("end"), "").expect("writable");
        let count = |end: &str| answers.iter().filter(|answer| answer.ends_with(end)).count();
        assert_eq!((count("locked"), count("taken")), (1, 3), "{answers:?}");
    }
}

#[test]
fn a_removed_lock_does_not_free_the_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = Ends(play("writer", dir.path()));
    wait_ready(&mut writer.0);
    std::fs::remove_file(dir.path().join("run.lock")).expect("there");
    let taken = locate::lock_in(dir.path(), NAME).expect_err("its owner runs");
    assert!(matches!(taken, LocateError::Taken { .. }), "{taken}");
    RegionReader::attach(dir.path()).read_page();
    writer.0.kill().expect("alive");
    writer.0.wait().expect("a child");
    // Without its owner the name is free, lock file or not.
    let name_lock = locate::lock_in(dir.path(), NAME).expect("free");
    assert!(!name_lock.path().exists(), "the left-over is gone");
}

#[test]
fn a_descriptor_is_replaced_in_one_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let owner = TestOwner::start(dir.path(), false);
    let one = Descriptor::of(owner.region.map(), owner.region.identity()).expect("shared");
    let two = Descriptor { generation: one.generation + 1, ..one.clone() };
    // What an owner left that was killed while it wrote.
    std::fs::write(dir.path().join(".run.region.new"), vec![1; 5000]).expect("writable");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..2_000 {
                owner
                    .name_lock
                    .publish(if round % 2 == 0 { &two } else { &one })
                    .expect("writable");
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            let (found, _) = locate::open_in(dir.path(), NAME).expect("always one of both");
            assert!(found == one || found == two);
        }
    });
}

#[test]
fn a_descriptor_of_an_earlier_boot_or_process_is_a_left_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let owner = TestOwner::start(dir.path(), true);
    let good = Descriptor::of(owner.region.map(), owner.region.identity()).expect("shared");
    assert_eq!(good.owner(), OwnerProcess::Alive);
    let boot = Descriptor { boot_id: [7; 16], ..good.clone() };
    // The pid was given to another process since.
    let reused = Descriptor { pid_start_time: good.pid_start_time + 1, ..good.clone() };
    for (descriptor, owner_is) in [(boot, OwnerProcess::OtherBoot), (reused, OwnerProcess::Dead)] {
        owner.name_lock.publish(&descriptor).expect("writable");
        assert_eq!(descriptor.owner(), owner_is);
        let error = locate::open_in(dir.path(), NAME).expect_err("a left-over");
        assert!(matches!(error, LocateError::Dead { .. }), "{error}");
    }
}

#[test]
fn an_owner_leaves_what_is_not_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let owner = TestOwner::start(dir.path(), true);
    let bytes = owner.name_lock.file_path();
    // Somebody replaces its files.
    std::fs::remove_file(&bytes).expect("there");
    std::fs::write(&bytes, "another's").expect("writable");
    let mut other = std::fs::read(owner.name_lock.path()).expect("there");
    // Version 1, which has no checksum, of pid 1.
    other.truncate(1024);
    other[8] = 1;
    other[12..16].copy_from_slice(&1u32.to_le_bytes());
    std::fs::write(owner.name_lock.path(), &other).expect("writable");
    drop(owner);
    assert_eq!(std::fs::read_to_string(&bytes).expect("still there"), "another's");
    assert_eq!(std::fs::read(dir.path().join("run.region")).expect("still there"), other);
}

/// The error of opening; a pipe without a writer must not block it.
fn refusal(directory: &Path) -> String {
    locate::open_in(directory, NAME).expect_err("must be refused").to_string()
}

#[test]
fn other_things_instead_of_a_descriptor_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let owner = TestOwner::start(dir.path(), false);
    let (path, aside) = (owner.name_lock.path(), dir.path().join("aside"));
    std::fs::rename(&path, &aside).expect("ours");
    let clear = || {
        let _ = std::fs::remove_file(&path);
    };
    symlink(&aside, &path).expect("made");
    assert!(refusal(dir.path()).contains("it is a symbolic link"));
    clear();
    symlink(&path, &path).expect("made");
    assert!(refusal(dir.path()).contains("it is a symbolic link"));
    clear();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(refusal(dir.path()).contains("it is a pipe"));
        assert!(locate::list_in(dir.path()).expect("listed")[0].descriptor.is_err());
    } else {
        println!("SKIPPED: a pipe instead of a descriptor: mkfifo does not work here");
    }
    clear();
    std::fs::create_dir(&path).expect("made");
    assert!(refusal(dir.path()).contains("it is a pipe, a device or a directory"));
    std::fs::remove_dir(&path).expect("ours");
    std::fs::write(&path, vec![b'W'; 1 << 20]).expect("writable");
    assert!(refusal(dir.path()).contains("does not begin with WENGLOC1"));
    std::fs::write(&path, b"WENGLOC2 and something").expect("writable");
    assert!(refusal(dir.path()).contains("same release"));
    std::fs::write(&path, []).expect("writable");
    assert!(refusal(dir.path()).contains("too short"));
    // The lock and the draft of the next descriptor likewise.
    let lock = dir.path().join("other.lock");
    symlink(&aside, &lock).expect("made");
    let error = locate::lock_in(dir.path(), "other").expect_err("a link");
    assert!(matches!(error, LocateError::Io { what: "open", .. }), "{error}");
    symlink(&aside, dir.path().join(".run.region.new")).expect("made");
    let before = std::fs::read(&aside).expect("there");
    let descriptor = Descriptor::of(owner.region.map(), owner.region.identity()).expect("shared");
    owner.name_lock.publish(&descriptor).expect_err("a link");
    assert_eq!(std::fs::read(&aside).expect("there"), before, "written through a link");
}

#[test]
fn damaged_descriptors_are_refused_and_lead_nowhere() {
    for in_file in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let owner = TestOwner::start(dir.path(), in_file);
        let path = owner.name_lock.path();
        let good = std::fs::read(&path).expect("there");
        // One bit of each byte; the unit test of the decoder turns them all.
        for byte in 0..good.len() {
            let (mut bytes, bit) = (good.clone(), byte % 8);
            bytes[byte] ^= 1 << bit;
            std::fs::write(&path, &bytes).expect("writable");
            let error = locate::open_in(dir.path(), NAME).expect_err("damaged");
            assert!(
                matches!(error, LocateError::Descriptor { .. }),
                "byte {byte}, bit {bit}: {error}"
            );
        }
        for len in (0..good.len()).step_by(13) {
            std::fs::write(&path, &good[..len]).expect("writable");
            let error = locate::open_in(dir.path(), NAME).expect_err("truncated");
            assert!(matches!(error, LocateError::Descriptor { .. }), "{len} bytes: {error}");
        }
        // Version 1 has no checksum: a flip may lead elsewhere, never to anything but an answer.
        for bit in 0..76 * 8 {
            let mut bytes = good[..1024].to_vec();
            bytes[8] = 1;
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).expect("writable");
            if let Ok((_, map)) = locate::open_in(dir.path(), NAME) {
                let _ = RegionView::attach(map);
            }
        }
        let mut longer = good[..1024].to_vec();
        longer[8] = 1;
        longer.extend([7; 500]);
        std::fs::write(&path, &longer).expect("writable");
        locate::open_in(dir.path(), NAME).expect("version 1, with something appended");
        std::fs::write(&path, &good).expect("writable");
        locate::open_in(dir.path(), NAME).expect("as it was");
    }
}

#[test]
fn a_region_of_another_length_than_in_its_descriptor_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let owner = TestOwner::start(dir.path(), true);
    let file =
        std::fs::File::options().write(true).open(owner.name_lock.file_path()).expect("ours");
    file.set_len(4096).expect("truncated");
    let error = locate::open_in(dir.path(), NAME).expect_err("truncated");
    assert!(matches!(error, LocateError::Map(MapError::Lost { .. })), "{error}");
    file.set_len(64).expect("truncated");
    let error = locate::open_in(dir.path(), NAME).expect_err("truncated");
    assert!(matches!(error, LocateError::Map(MapError::Length { .. })), "{error}");
}

/// What becomes of the runtime directory that the environment names.
pub(crate) fn runtime_directory() -> String {
    locate::runtime_directory().map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

#[test]
fn a_runtime_directory_that_others_may_enter_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let set = |mode: u32| {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).expect("ours");
    };
    let program = std::env::current_exe().expect("this program");
    let ask = |path: &Path, expected: &str| {
        let mut command = part_of(&program, "runtime directory", path);
        let child = command.env("XDG_RUNTIME_DIR", path).spawn().expect("a process");
        let found = answer(child, "answer: ");
        assert!(found.contains(expected), "{}: {found}", path.display());
    };
    set(0o755);
    ask(dir.path(), "is open to other users");
    set(0o720);
    ask(dir.path(), "is open to other users");
    set(0o700);
    ask(dir.path(), "accepted");
    ask(&dir.path().join("new"), "accepted");
    let link = dir.path().join("link");
    symlink(dir.path(), &link).expect("made");
    ask(&link, "is not a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("writable");
    ask(&file, "is not a directory");
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: a directory of another user: only root can give one away");
        return;
    }
    std::os::unix::fs::chown(dir.path(), Some(65_534), None).expect("root may");
    ask(dir.path(), "belongs to another user");
}
