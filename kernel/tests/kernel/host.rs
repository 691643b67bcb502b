//! A kernel inside this program: pushing, ticking, refusals, and that a run which was pushed into
//! replays, resumes and is the same for any number of workers.
#![expect(clippy::disallowed_methods, reason = "it measures how long a pace waits")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use wasm_engine::{
    host::{Host, HostBuilder, HostCommand, HostFailure, PendingOn, PushRefusal, TickPoll},
    replay::{ReplayOptions, replay, verify},
    report::Ended,
};
use wasm_engine_abi::{
    calls::Status,
    frame::{ItemHeader, item},
    record::kind,
};
use wasm_engine_log::tamper::{self, Rec};
use wasm_engine_shm::locate::runtime_directory;
use wasm_engine_ui_bridge::{Live, SnapshotSource};

use crate::models::{COUNTS, ready};
use crate::support::{ALL, Mix, Prog, SCRIPT, prog, run::toml_string, wasm};

/// Topics of [`config`], in its order.
pub(crate) const OUT: u32 = 0;
pub(crate) const BETWEEN: u32 = 1;
pub(crate) const IN_A: u32 = 3;
pub(crate) const IN_B: u32 = 4;
/// Bytes of an item's header, with which the scripted agent publishes what it received.
const HEADER: usize = 64;

/// Live source `in` with the keys `a` and `b`, and agents that begin with these programs.
pub(crate) fn config(extra: &str, agents: &[Prog]) -> String {
    let mut text = format!(
        r#"
[limits]
agents_max = 64
memory_bytes_max = 131072

[[source]]
id = "in"
kind = "live"
topic = "in/{{key}}"
keys = ["a", "b"]
payload_bytes_max = 256
queue_bytes = 65536
{extra}
[[topic]]
name = "out"
[[topic]]
name = "between"
[[topic]]
name = "other"

[[output]]
topic = "out"
"#
    );
    for (number, init) in agents.iter().enumerate() {
        let args = toml_string(&init.args());
        text += &format!(
            "\n[[agent]]\nname = \"agent{number}\"\nmodule = \"agent.wasm\"\n\
             grant = \"declared\"\nargs = {args}\n"
        );
    }
    text
}

/// Publishes each input on `out`, header first.
pub(crate) fn echoes() -> Prog {
    prog().subscribe(IN_A).subscribe(IN_B).echo(OUT)
}

/// Agents that do something of everything with an input.
fn busy() -> Vec<Prog> {
    let on_input = prog().publish_len(BETWEEN, 100).count(OUT).random(OUT).timer(2, 5);
    let on_timer = prog().count(OUT).cast("all", b"tick");
    let one = prog()
        .subscribe(BETWEEN)
        .subscribe(IN_A)
        .join("all")
        .on(item::INPUT, &on_input)
        .on(item::TIMER, &on_timer);
    let clumsy = prog().subscribe(IN_B).on(item::INPUT, &prog().publish(OUT, b"lost").trap());
    vec![one.clone(), one.clone(), one, clumsy, echoes()]
}

pub(crate) fn builder(text: &str) -> HostBuilder {
    Host::builder().config_text(text).attach("agent.wasm", wasm(SCRIPT, ALL))
}

pub(crate) fn host(text: &str) -> Host {
    let mut host = builder(text).start().expect("it starts");
    assert_eq!(host.tick().expect("tick 0"), TickPoll::Done(0));
    host
}

/// Payloads of the outputs of the last call, behind the header.
pub(crate) fn echoed(host: &Host) -> Vec<Vec<u8>> {
    host.outputs().map(|output| output.payload[HEADER..].to_vec()).collect()
}

#[test]
fn what_is_pushed_comes_out_in_the_next_tick_in_the_order_of_its_source() {
    let mut host = host(&config("", &[echoes()]));
    assert_eq!(host.poll_tick().expect("nothing is due"), TickPoll::Idle);
    assert_eq!(host.next_due(), None);
    assert_eq!(host.push("in", "a", b"one"), Ok(0));
    assert_eq!(host.push("in", "b", b"two"), Ok(1));
    assert_eq!(host.push("in", "a", b""), Ok(2));
    assert_eq!(host.next_due(), Some(Duration::ZERO));
    assert_eq!(host.snapshot().expect("it runs").inputs_waiting, 3);
    assert_eq!(host.poll_tick().expect("it runs"), TickPoll::Done(1));
    assert_eq!(echoed(&host), [&b"one"[..], b"two", b""]);
    let first = host.outputs().next().expect("an output");
    assert_eq!((first.tick, first.topic, &*first.agent()), (1, "out", "agent0/0"));
    assert_eq!(host.poll_tick().expect("it runs"), TickPoll::Idle);
    assert_eq!(host.outputs().count(), 0, "those of the last call only");
    let feed = host.stream("in", "b").expect("it is there");
    assert_eq!(host.push_to(feed, b"three"), Ok(3));
    assert_eq!(host.run_until_idle(9).expect("it runs"), 1);
    assert_eq!(echoed(&host), [b"three"]);
    let report = host.close().expect("it ends");
    assert_eq!((report.ended, report.inputs, report.last_tick), (Ended::Done, 4, 2));
}

#[test]
fn a_refusal_names_what_and_leaves_everything_as_it_was() {
    let mut host = host(&config("", &[echoes()]));
    let refused = |result: Result<u64, PushRefusal>, words: &[&str]| {
        let refusal = result.expect_err("it is refused");
        let text = refusal.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        refusal
    };
    let unknown = refused(host.push("inn", "a", b""), &["`inn`", "live"]);
    assert!(matches!(unknown, PushRefusal::UnknownSource { .. }));
    let unknown = refused(host.push("in", "c", b""), &["`in`", "`c`", "source.in.keys"]);
    assert!(matches!(unknown, PushRefusal::UnknownKey { .. }));
    let long = refused(host.push("in", "a", &[0; 257]), &["257", "256", "payload_bytes_max"]);
    assert!(matches!(long, PushRefusal::TooLarge { bytes: 257, max: 256, .. }));
    // 65,536 bytes are 256 inputs of 256 bytes.
    for seq in 0..256 {
        assert_eq!(host.push("in", "a", &[0; 256]), Ok(seq));
    }
    let full = refused(host.push("in", "a", b""), &["256 inputs wait", "queue_bytes"]);
    assert!(matches!(full, PushRefusal::Full { waiting: 256, .. }));
    assert_eq!(host.tick().expect("it runs"), TickPoll::Done(1));
    assert_eq!(host.push("in", "b", b"again"), Ok(256), "there is room again");
    host.close_source("in").expect("it is there");
    let closed = refused(host.push("in", "a", b""), &["closed"]);
    assert!(matches!(closed, PushRefusal::Closed { .. }));
    host.run_until_idle(9).expect("what waited still enters");
    assert_eq!(host.snapshot().expect("it runs").inputs, 257);
    // A feed of another kernel names nothing here, or something that is.
    let two = config("", &[echoes()]).replace("\"a\", \"b\"", "\"a\", \"b\", \"c\"");
    let feed = self::host(&two).stream("in", "c").expect("it is there");
    let mut other = self::host(&config("", &[echoes()]));
    assert!(matches!(other.push_to(feed, b""), Err(PushRefusal::UnknownKey { .. })));
}

/// Pushes what `seed` says over some ticks, some of them with nothing new.
fn feed_it(host: &mut Host, seed: u64, ticks: u64) {
    let mut mix = Mix(seed);
    for _ in 0..ticks {
        for _ in 0..mix.below(4) {
            let payload = vec![mix.below(256) as u8; mix.below(200) as usize];
            let key = if mix.below(5) == 0 { "b" } else { "a" };
            host.push("in", key, &payload).expect("it has room");
        }
        host.poll_tick().expect("it runs");
    }
}

fn logged(dir: &Path) -> HostBuilder {
    builder(&config("", &busy())).log(dir)
}

#[test]
fn t5_8_t7_6_l6_1_a_run_that_was_pushed_into_is_its_replay_with_any_workers() {
    let dir = TempDir::new().expect("a folder");
    let mut digests = Vec::new();
    for workers in [0, 1, 2] {
        let log = dir.path().join(format!("log{workers}"));
        let mut host = logged(&log).workers(workers).start().expect("it starts");
        feed_it(&mut host, 7, 200);
        let report = host.close().expect("it ends");
        assert!(report.inputs > 200 && report.faults > 0 && report.messages > 100);
        digests.push((report.digest, report.fuel_digest, report.last_tick));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    for workers in [0, 1, 2] {
        let log = dir.path().join(format!("log{workers}"));
        let options = || ReplayOptions { workers: 2 - workers, ..ReplayOptions::default() };
        let again = replay(&log, options()).expect("it replays");
        assert_eq!((again.digest, again.fuel_digest, again.last_tick), digests[0]);
        let verified = verify(&log, options()).expect("it verifies");
        assert_eq!((verified.divergence, verified.log_end.as_str()), (None, "in order"));
    }
    // Ticks of both kinds are in it: chosen by an input, and by a timer or by what was left.
    let records = tamper::records(&dir.path().join("log0"));
    let opens: Vec<_> = records.iter().filter(|record| record.kind == kind::TICK_OPEN).collect();
    let count = opens.iter().filter(|record| record.payload[8..12] == [1, 0, 0, 0]).count();
    assert!(count > 20 && opens.len() - count > 20, "{count} of {}", opens.len());
}

#[test]
fn t7_6_a_resumed_run_numbers_on_and_ends_as_one_that_was_not_cut_off() {
    let dir = TempDir::new().expect("a folder");
    let (unbroken, cut) = (dir.path().join("unbroken"), dir.path().join("cut"));
    let mut host = logged(&unbroken).start().expect("it starts");
    feed_it(&mut host, 3, 60);
    let mut entered = host.snapshot().expect("it runs").inputs;
    feed_it(&mut host, 4, 60);
    let expected = host.close().expect("it ends");

    let mut host = logged(&cut).start().expect("it starts");
    feed_it(&mut host, 3, 60);
    // Pushed and in no tick: lost with the process, and numbered anew.
    assert_eq!(host.push("in", "a", b"lost"), Ok(entered));
    drop(host);
    let resume = builder(&config("", &busy())).resume(&cut);
    let mut host = resume.start().expect("it goes on");
    assert_eq!(host.next_seq("in"), Ok(entered));
    entered += host.snapshot().expect("it runs").inputs_waiting;
    assert_eq!(host.next_seq("in"), Ok(entered), "nothing waits");
    feed_it(&mut host, 4, 60);
    let resumed = host.close().expect("it ends");
    assert_eq!((resumed.digest, resumed.ticks), (expected.digest, expected.ticks));
    let verified = verify(&cut, ReplayOptions::default()).expect("it verifies");
    assert_eq!(verified.divergence, None);
    let outputs = |log: &Path| std::fs::read(log.join("outputs.jsonl")).expect("read");
    assert!(outputs(&unbroken) == outputs(&cut));
}

/// Pushes and executes ticks of a run with a table until inputs are left over in the middle of it.
fn feed_until_some_are_left(host: &mut Host) {
    feed_it(host, 5, 12);
    for seed in 0..20 {
        feed_it(host, seed, 1);
        let now = host.snapshot().expect("it runs");
        if now.inputs_waiting > 0 && now.tick < Some(28) {
            return;
        }
    }
    panic!("some tick is full");
}

/// A table with rows in ticks 1 to 30, as many as a tick takes in some, and a live source.
#[test]
fn t7_3_t7_6_data_and_live_inputs_of_one_run_resume_together() {
    let dir = TempDir::new().expect("a folder");
    let rows: String = (0..30)
        .flat_map(|hour| (0..(hour % 6)).map(move |n| (hour, n)))
        .map(|(hour, n)| format!("k{n},2013-01-{:02}T{:02}:00:00Z,1\n", 1 + hour / 24, hour % 24))
        .collect();
    std::fs::write(dir.path().join("data.csv"), format!("key,time,v\n{rows}")).expect("written");
    let table = r#"
[[source]]
id = "table"
kind = "csv"
file = "data.csv"
topic = "in/a"
key = "key"
time = "time"
period_s = 3600
"#;
    let text = config(table, &[echoes()]);
    let text = text.replace("agents_max = 64", "agents_max = 64\ninputs_per_tick_max = 4");
    let file = dir.path().join("run.toml");
    std::fs::write(&file, text).expect("written");
    let start = |log: &str, resume: bool| {
        let builder = Host::builder().config_file(&file).attach("agent.wasm", wasm(SCRIPT, ALL));
        let log = dir.path().join(log);
        let builder = if resume { builder.resume(log) } else { builder.log(log) };
        builder.start().expect("it starts")
    };
    let mut host = start("unbroken", false);
    feed_until_some_are_left(&mut host);
    let cut = host.snapshot().map(|now| (now.tick, now.inputs, now.digest)).expect("it runs");
    feed_it(&mut host, 6, 60);
    let expected = host.close().expect("it ends");

    let mut host = start("cut", false);
    feed_until_some_are_left(&mut host);
    drop(host);
    let mut host = start("cut", true);
    let now = host.snapshot().expect("it runs");
    assert_eq!((now.tick, now.inputs, now.digest), cut);
    // Rows that were left over are still there; what was pushed and not logged is not.
    host.run_until_idle(100).expect("it runs");
    assert_eq!(host.next_due(), None, "all rows have entered");
    drop(host);
    for log in ["unbroken", "cut"] {
        let options = ReplayOptions::default();
        let verified = verify(&dir.path().join(log), options).expect("it verifies");
        assert_eq!(verified.divergence, None, "{log}");
    }
    assert!(expected.inputs > 75, "rows and pushed ones");
}

#[test]
fn t7_2_t7_6_a_flood_into_one_source_does_not_keep_another_out() {
    let second = "\n[[source]]\nid = \"z\"\nkind = \"live\"\ntopic = \"in/b\"\n";
    let text = config(second, &[echoes()]);
    let text = text.replace("agents_max = 64", "agents_max = 64\ninputs_per_tick_max = 4");
    let mut host = host(&text);
    let flood = |host: &mut Host, count| {
        for _ in 0..count {
            host.push("in", "a", b"flood").expect("it has room");
        }
    };
    flood(&mut host, 6);
    host.push("z", "z", b"here").expect("its key is its id");
    let mut seen = Vec::new();
    for _ in 0..3 {
        host.poll_tick().expect("it runs");
        seen.push(echoed(&host));
        flood(&mut host, 6);
    }
    let [first, second, _] = &seen[..] else { panic!("three ticks") };
    assert!(first.len() == 4 && first.iter().all(|payload| payload == b"flood"));
    // The round of the first tick is over before the flood that came later begins.
    let expected: [&[u8]; 4] = [b"flood", b"flood", b"here", b"flood"];
    assert_eq!(*second, expected);
}

#[test]
fn t5_1_t5_8_t6_1_by_a_pace_live_inputs_get_the_tick_that_the_clock_has_reached() {
    let dir = TempDir::new().expect("a folder");
    let log = dir.path().join("log");
    // Ticks of 20 ms, and a timer far away that names a tick.
    let text = config("", &[echoes().timer(0x7f7f, 1)]);
    let mut host = builder(&text).pace(50.0).log(&log).start().expect("it starts");
    let begin = Instant::now();
    assert_eq!(host.tick().expect("tick 0"), TickPoll::Done(0));
    match host.poll_tick().expect("it runs") {
        TickPoll::IdleUntil(time) => assert!(time > Duration::from_secs(600), "{time:?}"),
        other => panic!("{other:?}"),
    }
    std::thread::sleep(Duration::from_millis(110));
    host.push("in", "a", b"late").expect("it has room");
    let TickPoll::Done(tick) = host.tick().expect("it runs") else { panic!("one is due") };
    let clock = begin.elapsed().as_millis() as u64 / 20;
    assert!((5..=clock).contains(&tick), "tick {tick}, the clock is at {clock}");
    assert_eq!(echoed(&host), [b"late"]);
    // The next one may not open before its time.
    host.push("in", "a", b"at once").expect("it has room");
    let due = host.next_due().expect("one is due");
    assert!(due <= Duration::from_millis(20));
    let TickPoll::Done(next) = host.tick().expect("it waits and runs") else {
        panic!("one is due")
    };
    assert!(next > tick && begin.elapsed() >= Duration::from_millis(20 * next));
    let report = host.close().expect("it ends");
    assert_eq!((report.ended, report.ticks), (Ended::Interrupted, 3), "the timer is still due");
    assert_eq!(verify(&log, ReplayOptions::default()).expect("it verifies").divergence, None);
}

#[test]
fn a_chosen_number_that_is_changed_in_the_log_is_found() {
    let dir = TempDir::new().expect("a folder");
    let log = dir.path().join("log");
    let mut host = builder(&config("", &[echoes()])).log(&log).start().expect("it starts");
    host.tick().expect("tick 0");
    host.push("in", "a", b"x").expect("it has room");
    host.tick().expect("tick 1");
    host.close().expect("it ends");
    let divergence = |log: &Path| verify(log, ReplayOptions::default()).expect("sound").divergence;
    assert_eq!(divergence(&log), None);
    // The mark is removed, then another number, and all checksums are made right.
    let pick = |record: &Rec| record.kind == kind::TICK_OPEN && record.tick == 1;
    tamper::change(&log, pick, 8, 1);
    let found = divergence(&log).expect("it is found");
    assert_eq!(found.tick, 1);
    tamper::change(&log, pick, 8, 3);
    let found = divergence(&log).expect("it is found");
    assert!(found.tick == 1 && found.what.contains("no live fact"), "{}", found.what);
}

#[test]
fn callbacks_hear_what_agents_publish_log_and_fault() {
    let said = prog().publish(OUT, b"hello").log(2, "a line");
    let faulty = prog().subscribe(IN_B).on(item::INPUT, &prog().trap());
    let text = config("", &[prog().subscribe(IN_A).on(item::INPUT, &said), faulty]);
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hear = || {
        let heard = Arc::clone(&heard);
        move |line: String| heard.lock().expect("nobody panics").push(line)
    };
    let (output, log, fault) = (hear(), hear(), hear());
    let mut host = builder(&text)
        .on_output(move |it| output(format!("output {} {:?}", it.topic, it.payload)))
        .on_log(move |it| log(format!("log {} {} {}", it.agent, it.level, it.text)))
        .on_fault(move |it| fault(format!("fault {} in {}", it.agent, it.tick)))
        .start()
        .expect("it starts");
    host.push("in", "a", b"").expect("it has room");
    host.push("in", "b", b"").expect("it has room");
    assert_eq!(host.run_until_idle(9).expect("it runs"), 2);
    let heard = heard.lock().expect("nobody panics").clone();
    let hello = format!("output out {:?}", b"hello");
    assert_eq!(heard, ["log agent0/0 2 a line", "fault agent1/0 in 1", &hello]);
    assert_eq!(host.snapshot().expect("it runs").faults, 1);
}

#[test]
fn a_host_learns_what_is_wrong_before_anything_starts() {
    let error = |builder: HostBuilder| builder.start().expect_err("it is wrong").to_string();
    assert!(matches!(Host::builder().start(), Err(HostFailure::NoConfig)));
    let text = config("", &[echoes()]);
    let said = error(Host::builder().config_text(&text));
    assert!(said.contains("agent.agent0.module") && said.contains("agent.wasm"), "{said}");
    let said = error(builder(&text.replace("kind = \"live\"", "kind = \"alive\"")));
    assert!(said.contains("host.toml, line"), "{said}");
    let said = error(builder(&text).set("kernel.memory_layout=\"guarded\""));
    assert!(said.contains("signal handlers"), "{said}");
    for (from, to, words) in [
        ("[\"a\", \"b\"]", "[]", "source.in.keys is empty"),
        ("[\"a\", \"b\"]", "[\"a\", \"a\"]", "names `a` twice"),
        ("[\"a\", \"b\"]", "[\"a\", \"\"]", "source.in.keys holds ``"),
        ("queue_bytes = 65536", "queue_bytes = 64", "source.in.queue_bytes is 64"),
        ("queue_bytes = 65536", "folder = \"x\"", "source.in.folder is for sources of kind"),
        ("queue_bytes = 65536", "period_s = 1", "source.in.period_s is for sources of kind"),
        (
            "payload_bytes_max = 256",
            "payload_bytes_max = 4000000000",
            "source.in.payload_bytes_max",
        ),
        ("payload_bytes_max = 256", "payload_bytes_max = 65472\n", "limits.inbox_bytes_max"),
    ] {
        assert!(text.contains(from));
        let text = text.replace(from, to);
        let text = match words.contains("inbox") {
            true => text.replace("agents_max = 64", "agents_max = 64\ninbox_bytes_max = 4096"),
            false => text,
        };
        let said = error(builder(&text));
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn the_limit_of_ticks_and_a_fault_that_ends_the_run_are_returned_and_stay() {
    let mut host = builder(&config("", &[echoes()])).ticks(2).start().expect("it starts");
    assert_eq!(host.tick().expect("it runs"), TickPoll::Done(0));
    host.push("in", "a", b"").expect("it has room");
    assert_eq!(host.tick().expect("it runs"), TickPoll::Done(1));
    host.push("in", "a", b"").expect("it has room");
    assert_eq!(host.tick().expect("it has ended"), TickPoll::Ended(Ended::Ticks));
    assert_eq!(host.poll_tick().expect("it has ended"), TickPoll::Ended(Ended::Ticks));
    assert_eq!(host.next_due(), None);
    assert_eq!(host.close().expect("it ends").ended, Ended::Ticks);

    let faulty = prog().subscribe(IN_A).on(item::INPUT, &prog().trap());
    let text = config("", &[faulty]);
    let ends = builder(&text).set("kernel.on_fault=\"end_run\"").on_fault(|_| {});
    let mut host = ends.start().expect("it starts");
    host.push("in", "a", b"").expect("it has room");
    assert_eq!(host.run_until_idle(9).expect("it runs"), 2);
    assert_eq!(host.tick().expect("it has ended"), TickPoll::Ended(Ended::Fault));
    assert_eq!(host.close().expect("it ends").ended, Ended::Fault);
}

/// A callback that panics leaves a kernel that can only be closed.
#[test]
fn a_callback_that_panics_unwinds_to_the_host_and_the_kernel_refuses_further_ticks() {
    let text = config("", &[echoes()]);
    let mut host = builder(&text).on_output(|_| panic!("the host's own")).start().expect("starts");
    host.push("in", "a", b"").expect("it has room");
    host.tick().expect("tick 0 has no output");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| host.tick()));
    assert!(panicked.is_err());
    assert!(matches!(host.tick(), Err(HostFailure::Failed)));
    assert!(matches!(host.close(), Err(HostFailure::Failed)));
}

#[test]
fn i1_2_a_poll_does_not_wait_for_a_model_and_a_tick_does() {
    if !ready() {
        return;
    }
    let asks = prog().subscribe(IN_A).echo(OUT).on(item::INPUT, &prog().infer(0, &[1, 0, 0, 0]));
    let model = "\n[[model]]\nname = \"counts\"\nfile = \"counts.onnx\"\n";
    let text = config(model, &[asks]);
    let start = || builder(&text).attach("counts.onnx", COUNTS).start().expect("it starts");
    let mut waits = start();
    let mut polls = start();
    for host in [&mut waits, &mut polls] {
        host.tick().expect("tick 0");
        host.push("in", "a", b"ask").expect("it has room");
        assert_eq!(host.tick().expect("it asks"), TickPoll::Done(1));
    }
    assert_eq!(waits.tick().expect("the reply comes"), TickPoll::Done(2));
    let begin = Instant::now();
    loop {
        match polls.poll_tick().expect("it runs") {
            TickPoll::Done(2) => break,
            TickPoll::Pending(PendingOn::Model) => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "a reply comes");
    }
    let digest = |host: &Host| host.snapshot().expect("it runs").digest;
    assert_eq!(digest(&waits), digest(&polls));
    assert_eq!(waits.outputs().count(), 1, "the reply was received");
}

#[test]
fn i3_7_i5_4_an_attached_model_is_loaded_by_a_command_and_what_computes_it_is_counted() {
    if !ready() {
        return;
    }
    let asks = prog().subscribe(IN_A).echo(OUT).on(item::INPUT, &prog().infer(0, &[1, 0, 0, 0]));
    let model = "\n[[model]]\nname = \"counts\"\nfile = \"counts.onnx\"\nload = \"command\"\n\
                 providers = [\"dml\", \"cpu\"]\n";
    let text = config(model, &[asks]);
    let name = format!("attached-{}", std::process::id());
    let started = builder(&text).attach("counts.onnx", COUNTS).name(&name).start();
    let mut host = started.expect("it starts");
    let folder = runtime_directory().expect("a runtime directory");
    let mut monitor = Live::open(&folder, Some(&name)).expect("it runs");
    host.tick().expect("tick 0");
    let mut seen = Vec::new();
    for commands in [&[][..], &[HostCommand::Load("counts")]] {
        for command in commands {
            host.command(*command).expect("it is configured");
        }
        host.run_until_idle(10).expect("it loads what it is to");
        host.push("in", "a", b"ask").expect("it has room");
        host.run_until_idle(10).expect("it runs");
        let fallbacks = monitor.poll().expect("it runs").kernel.model_fallbacks;
        for output in host.outputs() {
            let header: ItemHeader = bytemuck::pod_read_unaligned(&output.payload[..HEADER]);
            if header.kind == item::REPLY {
                seen.push((header.code, fallbacks));
            }
        }
    }
    let report = host.close().expect("it ends");
    // The pinned library has the processor alone; one that has more would say so.
    let gave_way = u64::from(!report.models[0].model.providers_refused.is_empty());
    assert!(gave_way == 1 || report.models[0].model.provider == "dml", "{:?}", report.models);
    // Once when it was tried, once when it was loaded.
    assert_eq!(seen, [(Status::NotLoaded as i32, gave_way), (0, 2 * gave_way)]);
}

/// The example of the README, as it stands there, prints what the README shows.
#[test]
fn the_smallest_host_is_the_one_of_the_readme_and_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("examples/host.rs")).expect("it is there");
    let readme = std::fs::read_to_string(root.join("../README.md")).expect("it is there");
    let body = example.split_once("pub fn main").expect("its main").1;
    assert!(readme.contains(body.trim_end()), "the README shows main as it is");
    let lines = example.lines().skip_while(|line| !line.starts_with("pub fn main")).count();
    assert!(lines <= 30, "{lines} lines");
    smallest::main().expect("it runs");
}

#[path = "../../examples/host.rs"]
#[expect(unreachable_pub, reason = "its main is a program's there")]
mod smallest;
