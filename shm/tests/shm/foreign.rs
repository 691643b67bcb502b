//! Regions of another user, of another pid namespace, of a process closed to inspection: each gives
//! an error that names the region and the remedy. What the environment does not allow prints
//! SKIPPED.
#![expect(clippy::disallowed_methods, reason = "processes are waited for")]

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wasm_engine_shm::locate::{self, LocateError};
use wasm_engine_shm::region::RegionView;

use crate::live_region::{NAME, RegionReader, TestOwner, write_for_ever};
use crate::parts::{Ends, answer, part_of, wait_ready};

/// Users that own nothing else here.
const ALICE: u32 = 65_534;
const BOB: u32 = 65_533;

/// Publishes until killed, from a process closed to inspection.
pub(crate) fn write_protected(directory: &Path, in_file: bool) {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).expect("its own right");
    write_for_ever(directory, in_file);
}

/// What is known of the first owner listed.
pub(crate) fn classify_owner(directory: &Path) -> String {
    let found = locate::list_in(directory).expect("readable");
    format!("{:?}", found[0].descriptor.as_ref().expect("whole").owner())
}

/// The result of opening, in one line.
pub(crate) fn open(directory: &Path) -> String {
    let kind = |error: &LocateError| {
        format!("{error:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
    };
    match locate::open_in(directory, NAME) {
        Ok((descriptor, map)) => {
            let reader = RegionReader::of(RegionView::attach(map).expect("ready"));
            reader.read_page();
            reader.view.check().expect("whole");
            assert_eq!(descriptor.owner(), reader.view.owner());
            format!("opened, owner {:?}", reader.view.owner())
        }
        Err(error) => format!("{}: {error}", kind(&error)),
    }
}

/// A directory that any user may enter, and a copy of this program that any user may run.
struct Stage {
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Stage {
    fn new(owner: u32, mode: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("program");
        // By a process of its own: a process that another test starts at this moment would inherit
        // our descriptor of the copy, and what is open for writing cannot be run.
        let own = std::env::current_exe().expect("this program");
        assert!(Command::new("cp").arg(own).arg(&program).status().expect("cp").success());
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
        };
        set(&program, 0o755);
        set(directory.path(), 0o755);
        let run = directory.path().join("names");
        std::fs::create_dir(&run).expect("ours");
        set(&run, mode);
        if owner != 0 {
            chown(&run, Some(owner), Some(owner)).expect("root may");
        }
        Self { directory, program }
    }

    fn names(&self) -> PathBuf {
        self.directory.path().join("names")
    }

    fn command(&self, part: &str, user: u32) -> Command {
        let mut command = part_of(&self.program, part, &self.names());
        if user != 0 {
            command.uid(user).gid(user);
        }
        command
    }

    /// Starts an owner and waits until it publishes.
    fn owner(&self, part: &str, user: u32) -> Ends {
        let mut owner = Ends(self.command(part, user).spawn().expect("a process"));
        wait_ready(&mut owner.0);
        owner
    }

    /// The result for a user who opens the name.
    fn ask(&self, user: u32) -> String {
        answer(self.command("open", user).spawn().expect("a process"), "answer: ")
    }

    /// The same from inside some wrapping command.
    fn ask_in(&self, wrap: &[&str]) -> String {
        self.play_in(wrap, "open")
    }

    fn play_in(&self, wrap: &[&str], part: &str) -> String {
        answer(wrapped(wrap, self.command(part, 0)).spawn().expect("a process"), "answer: ")
    }

    /// Lets other users read the descriptor, as no runtime directory does.
    fn show_descriptor(&self) {
        let path = self.names().join("run.region");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("ours");
    }
}

/// A command run by another command.
fn wrapped(wrap: &[&str], inner: Command) -> Command {
    let mut command = Command::new(wrap[0]);
    command.args(&wrap[1..]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A command that runs another in a pid namespace of its own. An ordinary user makes a user
/// namespace with it, where that is allowed.
fn namespace() -> &'static [&'static str] {
    const ALL: [&str; 7] =
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--user", "--map-root-user"];
    let root = rustix::process::geteuid().is_root();
    if root { &ALL[..5] } else { &ALL }
}

/// Whether we may become others; prints what is skipped if not.
fn root_or_skip(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: {what}: only root can become another user");
    }
    root
}

/// Whether a wrapping command works here; prints what is skipped if not.
fn works_or_skip(wrap: &[&str], what: &str) -> bool {
    let tried = wrapped(wrap, Command::new("true")).status();
    let works = tried.is_ok_and(|status| status.success());
    if !works {
        println!("SKIPPED: {what}: `{}` does not work here", wrap.join(" "));
    }
    works
}

#[test]
fn the_region_of_another_user() {
    if !root_or_skip("the region of another user") {
        return;
    }
    let run_as = format!("belongs to user {ALICE} and this is user {BOB}; run as user {ALICE}");
    for part in ["writer", "file writer"] {
        // As in a runtime directory: closed to others.
        let stage = Stage::new(ALICE, 0o700);
        let _owner = stage.owner(part, ALICE);
        let answer = stage.ask(BOB);
        assert!(answer.starts_with("OtherUser") && answer.ends_with(&run_as), "{answer}");
        assert_eq!(stage.ask(ALICE), "opened, owner Alive");
        // The administrator may read everything.
        assert_eq!(stage.ask(0), "opened, owner Alive");
        // A directory for all, in which the descriptor is its owner's all the same.
        let stage = Stage::new(ALICE, 0o755);
        let _owner = stage.owner(part, ALICE);
        let answer = stage.ask(BOB);
        assert!(answer.starts_with("OtherUser") && answer.ends_with(&run_as), "{answer}");
        assert!(answer.contains("run.region"), "{answer}");
        // Even if the descriptor is readable, the region is not.
        stage.show_descriptor();
        let answer = stage.ask(BOB);
        assert!(answer.starts_with("OtherUser") && answer.ends_with(&run_as), "{answer}");
        assert!(answer.contains("/fd/") || answer.contains("run.bytes"), "{answer}");
    }
}

#[test]
fn the_region_of_another_user_whom_the_system_hides() {
    let what = "a process that /proc hides";
    // A mount of its own: the options of the one that everybody uses must stay as they are.
    let hide = "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 65533 --regid 65533 \
                --clear-groups \"$0\" \"$@\"";
    let hide = ["unshare", "--mount", "sh", "-c", hide];
    if !root_or_skip(what) || !works_or_skip(&hide, what) {
        return;
    }
    let stage = Stage::new(ALICE, 0o755);
    let _owner = stage.owner("writer", ALICE);
    stage.show_descriptor();
    let owner = stage.play_in(&hide, "classify owner");
    if owner == "Alive" {
        println!("SKIPPED: {what}: this system has no such mount");
        return;
    }
    assert_eq!(owner, "Hidden");
    let answer = stage.ask_in(&hide);
    assert!(answer.starts_with("OtherUser"), "{answer}");
    assert!(answer.ends_with(&format!("run as user {ALICE}")), "{answer}");
}

#[test]
fn a_process_closed_to_inspection() {
    // Root is refused nothing; an ordinary user need not become another one.
    let user = if rustix::process::geteuid().is_root() { ALICE } else { 0 };
    let stage = Stage::new(user, 0o700);
    let _owner = stage.owner("protected writer", user);
    let answer = stage.ask(user);
    assert!(answer.starts_with("Protected") && answer.contains("not dumpable"), "{answer}");
    assert!(answer.ends_with("or with backing = \"file\""), "{answer}");
    // And that helps.
    let stage = Stage::new(user, 0o700);
    let _owner = stage.owner("protected file writer", user);
    assert_eq!(stage.ask(user), "opened, owner Alive");
}

#[test]
fn an_owner_with_privileges_that_its_reader_lacks() {
    let what = "an owner with more privileges";
    let raised = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+net_raw",
        "--ambient-caps=+net_raw",
    ];
    if !root_or_skip(what) || !works_or_skip(&raised, what) {
        return;
    }
    let stage = Stage::new(ALICE, 0o700);
    let mut command = wrapped(&raised, stage.command("writer", 0));
    let mut owner = Ends(command.spawn().expect("a process"));
    wait_ready(&mut owner.0);
    let answer = stage.ask(ALICE);
    assert!(answer.starts_with("Protected") && answer.contains("privileges"), "{answer}");
}

/// Waits until an owner is found dead.
fn wait_dead(ask: impl Fn() -> String) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask();
        if answer.starts_with("Dead") {
            return;
        }
        assert!(Instant::now() < until, "{answer}");
    }
}

#[test]
fn a_reader_in_another_pid_namespace() {
    let what = "a reader in another pid namespace";
    if !works_or_skip(namespace(), what) {
        return;
    }
    let stage = Stage::new(0, 0o700);
    let owner = stage.owner("writer", 0);
    let answer = stage.ask_in(namespace());
    assert!(
        answer.starts_with("OtherNamespace") && answer.contains("another pid namespace"),
        "{answer}"
    );
    assert!(answer.contains(&format!("(pid {} there)", owner.0.id())), "{answer}");
    drop(owner);
    wait_dead(|| stage.ask_in(namespace()));
    let owner = stage.owner("file writer", 0);
    assert_eq!(stage.ask_in(namespace()), "opened, owner OtherNamespace");
    drop(owner);
    wait_dead(|| stage.ask_in(namespace()));
}

#[test]
fn an_owner_in_another_pid_namespace() {
    let what = "an owner in another pid namespace";
    if !works_or_skip(namespace(), what) {
        return;
    }
    let stage = Stage::new(0, 0o700);
    let start = |part| {
        let command = stage.command(part, 0);
        let mut owner = Ends(wrapped(namespace(), command).spawn().expect("a process"));
        wait_ready(&mut owner.0);
        owner
    };
    // Its pid there is 1 or 2, and here somebody else's.
    let owner = start("writer");
    let answer = stage.ask(0);
    assert!(
        answer.starts_with("OtherNamespace") && answer.contains("another pid namespace"),
        "{answer}"
    );
    let taken = locate::lock_in(&stage.names(), NAME).expect_err("its owner runs");
    assert!(matches!(taken, LocateError::Taken { .. }), "{taken}");
    drop(owner);
    wait_dead(|| stage.ask(0));
    let owner = start("file writer");
    assert_eq!(stage.ask(0), "opened, owner OtherNamespace");
    drop(owner);
    wait_dead(|| stage.ask(0));
    // A name whose owner was killed there is free here.
    TestOwner::start(&stage.names(), false).publish();
}
