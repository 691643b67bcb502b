//! What kernels leave in the process of their host: threads, signal handlers, descriptors,
//! mappings, memory; many of them at once; and what a fork of the process may do.
#![expect(unsafe_code, reason = "it sets a signal handler and forks, as hosts do")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use tempfile::TempDir;
use wasm_engine::{
    host::{Host, HostBuilder, HostFailure, PushRefusal, TickPoll},
    replay::{ReplayOptions, inspect, verify},
};
use wasm_engine_abi::frame::item;

use crate::host::{BETWEEN, IN_A, IN_B, OUT, builder, config, echoes};
use crate::support::prog;

/// Exit code of a child in which all held.
const WELL: i32 = 42;

/// Runs the ignored test `name` of this file in a process of its own.
fn child(name: &str) -> i32 {
    let status = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", &format!("host_process::{name}"), "--ignored", "--nocapture"])
        .args(["--test-threads", "1"])
        .env("WASM_ENGINE_TEST_CHILD", "1")
        .stdout(Stdio::null())
        .status()
        .expect("the child starts");
    status.code().unwrap_or(-1)
}

/// An agent that goes wrong in three ways: a trap, memory that is not there, a division.
fn faulty() -> String {
    let trap = prog().subscribe(IN_A).on(item::INPUT, &prog().publish(BETWEEN, b"x").trap());
    let outside = prog().subscribe(IN_B).on(item::INPUT, &prog().publish_from(1 << 30, 8));
    config("", &[trap, outside, echoes()])
}

fn faults(builder: HostBuilder) -> Host {
    let mut host = builder.on_fault(|_| {}).start().expect("it starts");
    host.push("in", "a", b"").expect("it has room");
    host.push("in", "b", b"").expect("it has room");
    host.run_until_idle(9).expect("it runs");
    assert_eq!(host.snapshot().expect("it runs").faults, 2);
    host
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("procfs").count()
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_counts_threads() {
    let before = threads();
    let host = faults(builder(&faulty()));
    assert_eq!(threads(), before, "none is started, and none that compiled is left");
    host.close().expect("it ends");
    assert_eq!(threads(), before);
    // A worker, a log with the threads of its outputs and keyframes: what is asked for is there
    // and ends.
    let dir = TempDir::new().expect("a folder");
    let host = faults(builder(&faulty()).workers(1).log(dir.path().join("log")));
    assert_eq!(threads(), before + 4);
    host.close().expect("it ends");
    assert_eq!(threads(), before);
    std::process::exit(WELL);
}

#[test]
fn a_kernel_has_the_threads_that_were_asked_for_and_no_other() {
    assert_eq!(child("child_counts_threads"), WELL);
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_keeps_what_is_global() {
    static HOOKED: AtomicBool = AtomicBool::new(false);
    std::panic::set_hook(Box::new(|_| HOOKED.store(true, Ordering::Relaxed)));
    let variables = || env::vars_os().collect::<Vec<_>>();
    let before = variables();
    let dir = TempDir::new().expect("a folder");
    let host = faults(builder(&faulty()).workers(1).log(dir.path().join("log")));
    assert!(!tracing::dispatcher::has_been_set(), "no subscriber");
    host.close().expect("it ends");
    assert_eq!(variables(), before);
    assert!(!HOOKED.load(Ordering::Relaxed), "an agent's fault is no panic");
    let panicked = std::panic::catch_unwind(|| panic!("the host's own"));
    std::process::exit(if panicked.is_err() && HOOKED.load(Ordering::Relaxed) { WELL } else { 1 });
}

#[test]
fn a_host_keeps_its_panic_hook_its_subscriber_and_its_variables() {
    assert_eq!(child("child_keeps_what_is_global"), WELL);
}

extern "C" fn on_fault(_: libc::c_int) {
    // SAFETY: it may be called in a signal handler.
    unsafe { libc::_exit(WELL) }
}

const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS];

/// The handlers of this process.
fn handlers() -> [usize; 4] {
    SIGNALS.map(|signal| {
        // SAFETY: all zeros is a value of it.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: nothing is changed, and the place for what is there now is ours.
        let read = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
        assert_eq!(read, 0);
        action.sa_sigaction
    })
}

/// Sets a handler for a fault of the host's own, which ends the process well.
fn set_handler() {
    // SAFETY: all zeros is a value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the handler does only what a handler may do.
    let set = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) };
    assert_eq!(set, 0);
}

/// A fault of the host's own code.
fn crash() -> ! {
    // SAFETY: the handler that was set ends the process; should it not, the parent sees it.
    unsafe { libc::raise(libc::SIGSEGV) };
    std::process::exit(1);
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_keeps_its_handlers() {
    set_handler();
    let before = handlers();
    let host = faults(builder(&faulty()));
    assert_eq!(handlers(), before, "agents faulted, and no signal was needed");
    host.close().expect("it ends");
    assert_eq!(handlers(), before);
    crash();
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_allows_the_engines_handlers() {
    set_handler();
    let before = handlers();
    let host = faults(builder(&faulty()).signal_handlers(true));
    let now = handlers();
    assert!(now[..3].iter().zip(&before).all(|(now, before)| now != before), "{now:?} {before:?}");
    drop(host);
    // It is no agent's, so it goes on to the handler that was there before.
    crash();
}

#[test]
fn a_host_keeps_its_signal_handlers_and_faults_of_its_own_reach_them() {
    assert_eq!(child("child_keeps_its_handlers"), WELL);
    assert_eq!(child("child_allows_the_engines_handlers"), WELL);
}

#[test]
fn faults_and_digests_are_the_same_with_the_engines_handlers_and_without() {
    let digest = |signals| {
        let host = faults(builder(&faulty()).signal_handlers(signals));
        let now = host.snapshot().expect("it runs");
        let report = host.close().expect("it ends");
        (now.digest, now.fuel_digest, report.first_fault, report.memory_layout)
    };
    let (with, without) = (digest(true), digest(false));
    assert_eq!((with.0, with.1, &with.2), (without.0, without.1, &without.2));
    assert_eq!((with.3.as_str(), without.3.as_str()), ("guarded", "dense"));
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_forks() {
    let dir = TempDir::new().expect("a folder");
    let log = dir.path().join("log");
    let mut host =
        builder(&config("", &[echoes()])).workers(1).log(&log).start().expect("it starts");
    host.push("in", "a", b"before").expect("it has room");
    assert_eq!(host.run_until_idle(9).expect("it runs"), 2);
    // SAFETY: what the child does below is done by this thread alone, and it ends without
    // destructors of others.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let refused = matches!(host.push("in", "a", b""), Err(PushRefusal::Forked))
            && matches!(host.tick(), Err(HostFailure::Forked))
            && matches!(host.poll_tick(), Err(HostFailure::Forked))
            && matches!(host.run_until_idle(1), Err(HostFailure::Forked))
            && host.next_due().is_none();
        let said = host.tick().expect_err("it is a fork").to_string().contains("forked");
        let closed = matches!(host.close(), Err(HostFailure::Forked));
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(if refused && said && closed { WELL } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: the place for the status is ours.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((waited, libc::WEXITSTATUS(status)), (pid, WELL));
    // The parent's kernel did not notice.
    host.push("in", "a", b"after").expect("it has room");
    assert!(matches!(host.tick().expect("it runs"), TickPoll::Done(2)));
    host.close().expect("it ends");
    let verified = verify(&log, ReplayOptions::default()).expect("it verifies");
    assert_eq!((verified.divergence, verified.log_end.as_str()), (None, "in order"));
    std::process::exit(WELL);
}

#[test]
fn a_forked_child_is_refused_and_its_parent_goes_on() {
    assert_eq!(child("child_forks"), WELL);
}

/// A host whose log is in `log` under `dir`, new or gone on with.
fn logging(dir: &Path, resume: bool) -> Host {
    let text = config("", &[echoes()]) + "\n[log]\nsync = \"2ms\"\n";
    let (builder, log) = (builder(&text), dir.join("log"));
    let builder = if resume { builder.resume(log) } else { builder.log(log) };
    builder.start().expect("it starts")
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_pushes_until_it_is_killed() {
    let dir = PathBuf::from(env::var_os("WASM_ENGINE_TEST_DIR").expect("started by its parent"));
    let mut host = logging(&dir, false);
    for number in 0_u64.. {
        host.push("in", "a", &number.to_le_bytes()).expect("it has room");
        host.run_until_idle(9).expect("it runs");
    }
}

#[test]
fn l5_2_t7_6_what_was_pushed_and_logged_survives_kill_9_without_gap_or_double() {
    for ticks in [1, 400, 3000] {
        let dir = TempDir::new().expect("a folder");
        let mut child = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", "host_process::child_pushes_until_it_is_killed", "--ignored"])
            .env("WASM_ENGINE_TEST_DIR", dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("the child starts");
        let outputs = dir.path().join("log/outputs.jsonl");
        let logged = || inspect(&dir.path().join("log")).ok().and_then(|log| log.last_open);
        while logged() < Some(ticks) {
            assert!(child.try_wait().expect("it can be asked").is_none(), "it runs for ever");
            std::thread::yield_now();
        }
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
        let mut host = logging(dir.path(), true);
        let logged = host.next_seq("in").expect("it is there");
        assert_eq!(host.snapshot().expect("it runs").inputs, logged, "each number once");
        assert!(logged > 0);
        // The host pushes again from there, as the number says.
        for number in logged..logged + 50 {
            assert_eq!(host.push("in", "a", &number.to_le_bytes()), Ok(number));
            host.run_until_idle(9).expect("it runs");
        }
        host.close().expect("it ends");
        let options = ReplayOptions::default();
        let verified = verify(&dir.path().join("log"), options).expect("it verifies");
        assert_eq!((verified.divergence, verified.run.inputs), (None, logged + 50));
        let text = fs::read_to_string(&outputs).expect("it is there");
        assert_eq!(text.lines().count() as u64, logged + 50);
    }
}

/// Some inputs and ticks; gives the digest.
fn exercise(host: &mut Host, rounds: u8) -> String {
    for round in 0..rounds {
        let key = if round % 3 == 0 { "b" } else { "a" };
        host.push("in", key, &[round; 90]).expect("it has room");
        host.run_until_idle(3).expect("it runs");
    }
    host.snapshot().expect("it runs").digest.to_string()
}

fn count_and_echo() -> String {
    config("", &[echoes(), prog().subscribe(IN_A).on(item::INPUT, &prog().count(OUT).random(OUT))])
}

#[test]
fn kernels_of_one_process_do_not_notice_each_other() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let start = || builder(&count_and_echo()).start().expect("it starts");
    let alone = exercise(&mut start(), 30);
    let mut hosts: Vec<_> = (0..6).map(|_| start()).collect();
    // In one thread, in turns.
    let mut last = Vec::new();
    for round in 0..30 {
        for host in &mut hosts {
            let key = if round % 3 == 0 { "b" } else { "a" };
            host.push("in", key, &[round; 90]).expect("it has room");
            host.run_until_idle(3).expect("it runs");
        }
        last = hosts.iter().map(|host| host.snapshot().expect("it runs").digest).collect();
    }
    assert!(last.iter().all(|digest| digest.to_string() == alone));
    // In several threads, one of them made elsewhere.
    let moved = is_send(start());
    let threads: Vec<_> = std::iter::once(Some(moved))
        .chain((0..3).map(|_| None))
        .map(|made| {
            std::thread::spawn(move || {
                let start = || builder(&count_and_echo()).workers(1).start().expect("it starts");
                exercise(&mut made.unwrap_or_else(start), 30)
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("it does not panic"), alone);
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// What is allocated and not freed. Resident memory says less: the system takes pages away and
    /// makes them huge when it likes, and the allocator keeps freed ones.
    allocated_bytes: usize,
    descriptors: usize,
    threads: usize,
    mappings: usize,
}

fn held() -> Held {
    // SAFETY: it reads the allocator's counts under its locks, and may be called at any time.
    #[cfg(target_env = "gnu")]
    let counts = unsafe { libc::mallinfo2() };
    #[cfg(target_env = "gnu")]
    let allocated_bytes = counts.uordblks + counts.hblkhd;
    #[cfg(not(target_env = "gnu"))]
    let allocated_bytes = 0;
    Held {
        allocated_bytes,
        descriptors: fs::read_dir("/proc/self/fd").expect("procfs").count(),
        threads: threads(),
        mappings: fs::read_to_string("/proc/self/maps").expect("procfs").lines().count(),
    }
}

/// Kernels made, used and ended: plain ones, some with a log, a worker and a name, some dropped.
fn cycles(count: u32, folder: &TempDir, cache: bool) {
    for cycle in 0..count {
        let log = folder.path().join("log");
        let mut builder = builder(&count_and_echo());
        if cache {
            builder = builder.code_cache(folder.path().join("cache"));
        }
        let whole = cycle % 4 == 3;
        if whole {
            let name = format!("cycles-{}", std::process::id());
            builder = builder.log(&log).workers(1).name(name);
        }
        let mut host = builder.start().expect("it starts");
        exercise(&mut host, 3);
        if cycle % 8 == 0 {
            drop(host);
        } else {
            host.close().expect("it ends");
        }
        if whole {
            fs::remove_dir_all(&log).expect("it was closed");
        }
    }
}

/// Holds what the first `warm` cycles leave against what there is after `count` more.
fn cycles_do_not_grow(warm: u32, count: u32) {
    let folder = TempDir::new().expect("a folder");
    cycles(warm, &folder, true);
    cycles(4, &folder, false);
    let before = held();
    cycles(count, &folder, true);
    cycles(4, &folder, false);
    let after = held();
    eprintln!("{count} cycles: {before:?}, {after:?}");
    assert_eq!((after.descriptors, after.threads), (before.descriptors, before.threads));
    assert!(after.mappings <= before.mappings + 8, "{before:?}, {after:?}");
    assert!(after.allocated_bytes <= before.allocated_bytes + (1 << 20), "{before:?}, {after:?}");
    std::process::exit(WELL);
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_makes_and_ends_some_kernels() {
    cycles_do_not_grow(16, 40);
}

#[test]
fn kernels_made_and_ended_leave_nothing() {
    assert_eq!(child("child_makes_and_ends_some_kernels"), WELL);
}

#[test]
#[ignore = "the same for 1,000 kernels, half a minute"]
fn a_thousand_kernels_made_and_ended_leave_nothing() {
    if env::var_os("WASM_ENGINE_TEST_CHILD").is_some() {
        cycles_do_not_grow(32, 1000);
    }
    assert_eq!(child("a_thousand_kernels_made_and_ended_leave_nothing"), WELL);
}
