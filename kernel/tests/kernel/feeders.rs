//! Inputs that other processes hand over: through shared memory and as lines over sockets; killed
//! on either side, hostile, slow; nothing lost or doubled, and acknowledgements that hold.
#![expect(clippy::disallowed_methods, reason = "it waits for other processes")]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{fs::FileExt, net::UnixStream},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bytemuck::{Zeroable, bytes_of, bytes_of_mut};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;
use tempfile::TempDir;
use wasm_engine::{
    host::{Host, PushRefusal},
    replay::{ReplayOptions, verify},
};
use wasm_engine_abi::{
    feed::{FEED_VERSION, FeedHello, FeedRefusal, FeedRequest},
    record::{FactFields, Facts, kind},
};
use wasm_engine_feeder::{FeedError, Feeder, FeederOptions};
use wasm_engine_log::LogReader;
use wasm_engine_shm::feed::FeedGiver;

use crate::live_lines::start;
use crate::support::{ALL, Mix, SCRIPT, prog, run::toml_string, wasm};

const PATIENCE: Duration = Duration::from_secs(120);

/// Two sources of feeders, one of standard input, and an agent that publishes all of it.
fn text(sources: &[(&str, &str)]) -> String {
    let mut text = "[limits]\nagents_max = 16\nmemory_bytes_max = 131072\n".to_owned();
    text += "inbox_items_max = 8192\n[log]\nsync = \"1ms\"\n";
    text += "[[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n";
    let mut agent = prog();
    for (number, (id, keys)) in sources.iter().enumerate() {
        text += &format!("[[source]]\nid = \"{id}\"\ntopic = \"in/{id}\"\n{keys}\n");
        agent = agent.subscribe(1 + number as u32);
    }
    let args = toml_string(&agent.echo(0).args());
    text + &format!(
        "[[agent]]\nname = \"agent\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n\
         args = {args}\n"
    )
}

const FED: &str = "kind = \"feeder\"\nsocket = \"NAME.sock\"";
const LINES: &str = "kind = \"live\"\nsocket = \"NAME.sock\"\npayload = \"text\"";
const STANDARD_INPUT: &str = "kind = \"live\"\nfile = \"-\"\npayload = \"text\"";

/// A folder with a configuration of these sources.
fn folder(sources: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    let named: Vec<_> = sources.iter().map(|(id, keys)| (*id, keys.replace("NAME", id))).collect();
    let named: Vec<_> = named.iter().map(|(id, keys)| (*id, keys.as_str())).collect();
    fs::write(dir.path().join("run.toml"), text(&named)).expect("written");
    fs::write(dir.path().join("agent.wasm"), wasm(SCRIPT, ALL)).expect("written");
    dir
}

/// The report of a command that ends well.
fn report(child: Child) -> Value {
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// Sequences and payloads of the log, by source.
fn logged(dir: &TempDir) -> BTreeMap<u64, Vec<(u64, String)>> {
    let (mut reader, _) = LogReader::open(&dir.path().join("log")).expect("a log");
    let mut all: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
    while let Some(record) = reader.next().expect("sound") {
        if record.kind != kind::TICK_OPEN {
            continue;
        }
        for fact in Facts::parse(record.payload).expect("well-formed").iter() {
            if let Some(FactFields::Input(input)) = fact.header.fields() {
                let text = String::from_utf8_lossy(fact.payload).into_owned();
                all.entry(input.source).or_default().push((input.seq, text));
            }
        }
    }
    all
}

/// The log holds exactly the numbers before `count` of a source, each once and in order.
fn whole(logged: &BTreeMap<u64, Vec<(u64, String)>>, source: u64, count: u64) {
    let inputs = logged.get(&source).map_or(&[][..], Vec::as_slice);
    assert_eq!(inputs.len() as u64, count, "of source {source}");
    for (number, (seq, text)) in (0..).zip(inputs) {
        assert_eq!((*seq, text.as_str()), (number, number.to_string().as_str()));
    }
}

fn verified(dir: &TempDir) -> u64 {
    let verified = verify(&dir.path().join("log"), ReplayOptions::default()).expect("sound");
    assert_eq!(verified.divergence, None);
    assert!(verified.run.gaps.is_empty(), "{:?}", verified.run.gaps);
    verified.run.inputs
}

fn feeder(dir: &Path, name: &str) -> Feeder {
    let options = FeederOptions::default();
    Feeder::connect_at(&dir.join(format!("{name}.sock")), options).expect("it connects")
}

/// Starts the ignored test `name` of this file in a process of its own.
fn child(name: &str, arguments: &[(&str, &str)]) -> Child {
    Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", &format!("feeders::{name}"), "--ignored", "--nocapture"])
        .args(["--test-threads", "1"])
        .envs(arguments.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Pushes numbers until the file `FEED_STOP` is there, then says how many there are.
#[test]
#[ignore = "run by the tests below in a process of its own"]
fn child_feeds() {
    let Ok(path) = env::var("FEED_PATH") else { return };
    let stop = env::var("FEED_STOP").expect("it is given");
    let options = FeederOptions::default();
    let mut feeder = Feeder::connect_at(Path::new(&path), options).expect("it connects");
    while !Path::new(&stop).exists() {
        for _ in 0..20 {
            let number = feeder.next_seq().to_string();
            feeder.push(0, number.as_bytes()).expect("it is taken");
        }
        thread::sleep(Duration::from_micros(500));
    }
    feeder.finish(PATIENCE).expect("all is durable");
    assert_eq!(feeder.durable(), feeder.next_seq());
    println!("\nfed {}", feeder.next_seq());
}

/// Prints lines whose payloads are numbers from `FEED_FROM` on, until `FEED_STOP` is there.
#[test]
#[ignore = "run by the tests below in a process of its own"]
fn child_prints() {
    let Ok(from) = env::var("FEED_FROM") else { return };
    let stop = env::var("FEED_STOP").expect("it is given");
    let mut number: u64 = from.parse().expect("a number");
    while !Path::new(&stop).exists() {
        println!("\n{{\"payload\":\"{number}\"}}");
        number += 1;
        thread::sleep(Duration::from_micros(100));
    }
}

/// Kills and restarts a process `kills` times, then lets it end; gives its last output.
fn killed(kills: u64, stop: &Path, start: impl Fn() -> Child) -> String {
    let mut mix = Mix(kills);
    for _ in 0..kills {
        let mut victim = start();
        thread::sleep(Duration::from_millis(15 + mix.below(40)));
        victim.kill().expect("it is killed");
        victim.wait().expect("it is gone");
    }
    let last = start();
    thread::sleep(Duration::from_millis(30));
    fs::write(stop, "").expect("written");
    let output = last.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs writers of standard input, one after the other, and passes on the lines that are whole:
/// what a pipe between two programs does not. Gives how many there were.
fn supervised(kills: u64, stop: &Path, mut into: impl Write) -> u64 {
    let mut mix = Mix(kills + 1);
    let mut count = 0_u64;
    for round in 0..=kills {
        let from = count.to_string();
        let stop_at = stop.to_str().expect("a path");
        let mut victim = child("child_prints", &[("FEED_FROM", &from), ("FEED_STOP", stop_at)]);
        let mut lines = BufReader::new(victim.stdout.take().expect("it is piped"));
        let end = Instant::now() + Duration::from_millis(15 + mix.below(40));
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.starts_with('{') && line.ends_with('\n') {
                into.write_all(line.as_bytes()).expect("it is read");
                count += 1;
            }
            line.clear();
            if round < kills && Instant::now() > end {
                victim.kill().expect("it is killed");
            }
        }
        victim.wait().expect("it is gone");
    }
    count
}

fn feeders_and_lines_killed(kills: u64) {
    let dir = folder(&[("one", FED), ("two", FED), ("lines", STANDARD_INPUT)]);
    let mut kernel = start(&dir, "--log");
    let stdin = kernel.stdin.take().expect("it is piped");
    let stop = |name: &str| dir.path().join(format!("stop-{name}"));
    let fed = |name: &'static str| {
        let (path, stop) = (dir.path().join(format!("{name}.sock")), stop(name));
        move || {
            let output = killed(kills, &stop, || {
                let paths = (path.to_str().expect("a path"), stop.to_str().expect("a path"));
                child("child_feeds", &[("FEED_PATH", paths.0), ("FEED_STOP", paths.1)])
            });
            let count = output.lines().find_map(|line| line.strip_prefix("fed "));
            count.expect("it says so").parse::<u64>().expect("a number")
        }
    };
    let stop_lines = stop("lines");
    let counts = thread::scope(|scope| {
        let feeders = [scope.spawn(fed("one")), scope.spawn(fed("two"))];
        let lines = scope.spawn(|| supervised(kills, &stop_lines, stdin));
        let [one, two] = feeders.map(|thread| thread.join().expect("it ends"));
        fs::write(&stop_lines, "").expect("written");
        [one, two, lines.join().expect("it ends")]
    });
    let report = report(kernel);
    let all = logged(&dir);
    // Sources are numbered in the order of their ids.
    let [one, two, lines] = counts;
    (0..).zip([lines, one, two]).for_each(|(source, count)| whole(&all, source, count));
    let feeds = &report["feeds"];
    for (name, count) in [("one", counts[0]), ("two", counts[1])] {
        assert_eq!(feeds[name]["accepted"], count);
        assert_eq!(feeds[name]["durable"], count);
        assert_eq!((&feeds[name]["gap"], &feeds[name]["state"]), (&0.into(), &"closed".into()));
        assert!(feeds[name]["connections"].as_u64() <= Some(kills + 1));
    }
    assert_eq!(report["gaps"], serde_json::json!({}));
    assert_eq!(verified(&dir), counts.iter().sum::<u64>());
    eprintln!("{kills} kills of each: {counts:?} inputs, {feeds}");
}

#[test]
fn t7_6_feeders_and_standard_input_that_are_killed_lose_and_double_nothing() {
    feeders_and_lines_killed(6);
}

#[test]
#[ignore = "takes a minute"]
fn a_hundred_kills_of_two_feeders_and_of_standard_input() {
    feeders_and_lines_killed(100);
}

/// The kernel is killed and resumed while a feeder goes on.
fn kernel_killed(kills: u64) {
    let dir = folder(&[("one", FED)]);
    let mut kernel = start(&dir, "--log");
    let stop = dir.path().join("stop");
    let (path, stop_at) = (dir.path().join("one.sock"), stop.clone());
    let fed = thread::spawn(move || {
        let options = FeederOptions::default();
        let mut feeder = Feeder::connect_at(&path, options).expect("it connects");
        let mut acknowledged = 0;
        while !stop_at.exists() {
            let number = feeder.next_seq().to_string();
            feeder.push(0, number.as_bytes()).expect("it is taken");
            let durable = feeder.durable();
            assert!(durable >= acknowledged, "what is durable stays so");
            acknowledged = durable;
            thread::sleep(Duration::from_micros(200));
        }
        feeder.finish(PATIENCE).expect("all is durable");
        feeder.next_seq()
    });
    let mut mix = Mix(kills);
    let mut before = 0;
    for _ in 0..kills {
        thread::sleep(Duration::from_millis(60 + mix.below(150)));
        kernel.kill().expect("it is killed");
        kernel.wait().expect("it is gone");
        // Killed before anything was written there is nothing to resume.
        let begun = dir.path().join("log/outputs.jsonl").exists();
        if begun {
            let count = logged(&dir).get(&0).map_or(0, |inputs| inputs.len() as u64);
            assert!(count >= before, "what was there stays");
            before = count;
        } else {
            let _ = fs::remove_dir_all(dir.path().join("log"));
        }
        kernel = start(&dir, if begun { "--resume" } else { "--log" });
    }
    thread::sleep(Duration::from_millis(100));
    fs::write(&stop, "").expect("written");
    let count = fed.join().expect("it ends");
    let report = report(kernel);
    whole(&logged(&dir), 0, count);
    assert_eq!(
        (&report["feeds"]["one"]["durable"], &report["feeds"]["one"]["gap"]),
        (&count.into(), &0.into())
    );
    assert_eq!(verified(&dir), count);
    eprintln!("{kills} kills of the kernel: {count} inputs");
}

#[test]
fn l5_4_a_kernel_that_is_killed_goes_on_with_its_feeder_where_the_log_ends() {
    kernel_killed(6);
}

#[test]
#[ignore = "takes a minute"]
fn a_hundred_kills_of_the_kernel() {
    kernel_killed(100);
}

/// A kernel in this thread whose source `fed` listens at `fed.sock`.
fn host(dir: &TempDir, keys: &str, log: bool) -> Host {
    let fed = format!("{}\n{keys}", FED.replace("NAME", "fed"));
    fs::write(dir.path().join("run.toml"), text(&[("fed", &fed)])).expect("written");
    let builder = Host::builder().config_file(dir.path().join("run.toml"));
    let builder = builder.attach("agent.wasm", wasm(SCRIPT, ALL));
    let builder = if log { builder.log(dir.path().join("log")) } else { builder };
    builder.start().expect("it starts")
}

/// Executes ticks until the thread has ended.
fn until_ended<T: Send>(host: &mut Host, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(work);
        while !thread.is_finished() {
            host.run_until_idle(100).expect("it runs");
            thread::sleep(Duration::from_millis(1));
        }
        host.run_until_idle(100).expect("it runs");
        thread.join().expect("it ends")
    })
}

#[test]
fn a_host_serves_feeders_one_at_a_time_and_says_so() {
    let dir = TempDir::new().expect("a folder");
    let mut host = host(&dir, "keys = [\"a\", \"b\"]\npayload_bytes_max = 100", false);
    let path = dir.path();
    until_ended(&mut host, || {
        let mut first = feeder(path, "fed");
        assert_eq!((first.keys(), first.has_log()), (&["a".to_owned(), "b".to_owned()][..], false));
        let b = first.stream("b").expect("it is there");
        assert_eq!(first.push(b, b"x").expect("taken"), 0);
        let refused = first.push(2, b"x").expect_err("no such stream");
        assert!(matches!(refused, FeedError::UnknownKey { .. }));
        let refused = first.push(b, &[0; 101]).expect_err("too long");
        assert!(matches!(refused, FeedError::TooLarge { bytes: 101, max: 100 }));
        let mut options = FeederOptions::default();
        options.patience = Duration::from_millis(50);
        let second = Feeder::connect_at(&path.join("fed.sock"), options);
        let busy = matches!(second, Err(FeedError::Refused(FeedRefusal::Busy)));
        assert!(busy, "{second:?}");
        let waited = first.wait_durable(0, Duration::from_secs(5)).expect_err("there is no log");
        assert!(matches!(waited, FeedError::NoLog));
        first.skip(4);
        assert_eq!(first.push(b, b"y").expect("taken"), 5);
        first.finish(PATIENCE).expect("all is taken");
        let closed = Feeder::connect_at(&path.join("fed.sock"), options);
        assert!(matches!(closed, Err(FeedError::Refused(FeedRefusal::Closed))), "{closed:?}");
    });
    assert!(matches!(host.push("fed", "a", b""), Err(PushRefusal::UnknownSource { .. })));
    let report = host.close().expect("it ends");
    assert_eq!((report.inputs, report.gaps["fed"], report.feeds["fed"].gap), (2, 4, 4));
    assert!(!path.join("fed.sock").exists(), "it is removed");
}

#[test]
fn l9_4_a_gap_is_in_the_log_and_in_the_end_of_the_run_that_goes_on_from_it() {
    let dir = folder(&[("fed", FED)]);
    let (path, log) = (dir.path(), dir.path().join("log"));
    let toml = fs::read_to_string(path.join("run.toml")).expect("there");
    let toml = toml.replace("[log]\n", "[log]\nkeyframe_ticks = 1\n");
    fs::write(path.join("run.toml"), toml).expect("written");
    let mut kernel = start(&dir, "--log");
    let mut one = feeder(path, "fed");
    one.skip(3);
    assert_eq!(one.push(0, b"3").expect("taken"), 3);
    one.wait_durable(3, PATIENCE).expect("it is durable");
    // Tick 0 has one for certain; until one stands behind the input, ticks are executed.
    let behind = || {
        fs::read_dir(&log).expect("a log").flatten().any(|file| {
            file.file_name()
                .to_str()
                .is_some_and(|name| name.starts_with("keyframe-") && name > TICK_0)
        })
    };
    let mut pushed = 4;
    while !behind() {
        pushed = one.push(0, b"more").expect("taken") + 1;
        thread::sleep(Duration::from_millis(5));
    }
    kernel.kill().expect("it is killed");
    kernel.wait().expect("it is gone");
    let kernel = start(&dir, "--resume");
    one.skip(2);
    assert_eq!(one.push(0, b"last").expect("taken"), pushed + 2);
    one.finish(PATIENCE).expect("all is durable");
    let output = kernel.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!((&report["gaps"]["fed"], &report["feeds"]["fed"]["gap"]), (&5.into(), &5.into()));
    assert!(report["resumed_from"].is_u64(), "{report}");
    assert_eq!(logged(&dir)[&0][0], (3, "3".to_owned()));
    assert_eq!(logged(&dir)[&0].last(), Some(&(pushed + 2, "last".to_owned())));
    for from_keyframe in [false, true] {
        let options = ReplayOptions { from_keyframe, ..ReplayOptions::default() };
        let verified = verify(&log, options).expect("sound");
        assert_eq!((verified.divergence, verified.run.gaps["fed"]), (None, 5));
        assert_eq!(verified.run.resumed_from.is_some(), from_keyframe);
    }
}

/// The name of the keyframe of tick 0.
const TICK_0: &str = "keyframe-00000000000000000000";

/// Connects as a feeder does and gives what it is handed.
fn handed(path: &Path, request: &[u8]) -> (UnixStream, FeedHello, Option<OwnedFd>) {
    let mut stream = UnixStream::connect(path.join("fed.sock")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream.write_all(request).expect("it is heard");
    let mut hello = FeedHello::zeroed();
    let bytes = bytes_of_mut(&mut hello);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(&stream, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags);
    let got = got.map_or(0, |got| got.bytes);
    let file = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    if got > 0 {
        stream.read_exact(&mut bytes[got..]).expect("the rest");
    }
    (stream, hello, file)
}

/// The same, with a right request; until the kernel has seen that the one before is gone, it is
/// busy with that.
fn handed_when_free(path: &Path) -> (UnixStream, FeedHello, Option<OwnedFd>) {
    loop {
        let answer = handed(path, bytes_of(&FeedRequest::THIS));
        if answer.1.code != FeedRefusal::Busy as u32 {
            return answer;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_hostile_feeder_is_disconnected_and_hurts_nobody() {
    let dir = TempDir::new().expect("a folder");
    let mut host = host(&dir, "payload_bytes_max = 4000", true);
    let path = dir.path();
    let mut mix = Mix(7);
    let good = until_ended(&mut host, || {
        // What is no request, or of another version.
        let (_stream, hello, file) = handed(path, &[0xff; 16]);
        assert!(hello == FeedHello::zeroed() && file.is_none());
        let other = FeedRequest { version: FEED_VERSION + 1, ..FeedRequest::THIS };
        let (_stream, hello, file) = handed(path, bytes_of(&other));
        assert_eq!((hello.code, file.is_none()), (FeedRefusal::Version as u32, true));
        drop(UnixStream::connect(path.join("fed.sock")));
        let mut good = 0;
        for round in 0..60_u64 {
            let (stream, hello, file) = handed_when_free(path);
            assert_eq!((hello.code, hello.next_seq), (0, good), "round {round}");
            let file = fs::File::from(file.expect("memory"));
            let again = file.try_clone().expect("a descriptor");
            let (mut giver, _) =
                FeedGiver::join(again, hello.ring_bytes as usize, hello.keys_bytes as usize)
                    .expect("it is a feeder's memory");
            assert!(file.set_len(0).is_err(), "its length is sealed");
            match round % 6 {
                // Anything over everything: head, records, what only the kernel writes.
                0 => {
                    let bytes: Vec<u8> = (0..4096).map(|_| mix.below(256) as u8).collect();
                    file.write_all_at(&bytes, mix.below(600)).expect("written");
                }
                // A head that is no head.
                1 => file.write_all_at(&mix.below(1 << 40).to_le_bytes(), 512).expect("written"),
                2 => giver.ring.push(9, good, b"no such stream").expect("it has room"),
                3 => giver.ring.push(0, u64::MAX, b"no such sequence").expect("it has room"),
                4 => giver.ring.push(0, good, &[1; 4001]).expect("it has room"),
                // A record, then a length beyond what was published.
                _ => {
                    let number = good.to_string();
                    giver.ring.push(0, good, number.as_bytes()).expect("it has room");
                    giver.ring.push(0, good + 1, b"x").expect("it has room");
                    file.write_all_at(&u32::MAX.to_le_bytes(), 640 + 32).expect("written");
                    good += 1;
                }
            }
            giver.ring.publish();
            let _ = (&stream).write_all(&[0; 300]);
            if round % 6 > 1 {
                // The kernel hangs up.
                let mut bytes = [0; 64];
                while (&stream).read(&mut bytes).is_ok_and(|read| read > 0) {}
            } else {
                thread::sleep(Duration::from_millis(10));
            }
        }
        let mut feeder = feeder(path, "fed");
        assert_eq!(feeder.next_seq(), good);
        feeder.push(0, good.to_string().as_bytes()).expect("taken");
        feeder.wait_durable(good, PATIENCE).expect("it is durable");
        good + 1
    });
    let report = host.close().expect("it ends");
    assert_eq!((report.inputs, report.feeds["fed"].accepted), (good, good));
    assert!(report.feeds["fed"].refused >= 42, "{:?}", report.feeds["fed"]);
    assert!(report.feeds["fed"].problem.is_some());
    whole(&logged(&dir), 0, good);
    assert_eq!(verified(&dir), good);
}

#[test]
fn a_flood_waits_for_the_ticks_and_keeps_nobody_out() {
    let dir = folder(&[("flood", FED), ("calm", FED)]);
    let kernel = start(&dir, "--log");
    let path = dir.path();
    let (flood, calm) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut feeder = feeder(path, "flood");
            for number in 0..100_000_u64 {
                feeder.push(0, number.to_string().as_bytes()).expect("taken");
            }
            feeder.finish(PATIENCE).expect("all is durable");
            feeder.next_seq()
        });
        let mut feeder = feeder(path, "calm");
        for number in 0..20_u64 {
            feeder.push(0, number.to_string().as_bytes()).expect("taken");
            feeder.wait_durable(number, PATIENCE).expect("it is durable");
        }
        feeder.finish(PATIENCE).expect("all is durable");
        (flood.join().expect("it ends"), feeder.next_seq())
    });
    report(kernel);
    let all = logged(&dir);
    whole(&all, 0, calm);
    whole(&all, 1, flood);
    assert_eq!(verified(&dir), flood + calm);
}

#[test]
fn lines_over_a_socket_are_acknowledged_to_those_who_ask() {
    let dir = folder(&[("lines", LINES)]);
    let mut kernel = start(&dir, "--log");
    let connect = || {
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(dir.path().join("lines.sock")) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    };
    let line = |number: u64| format!("{{\"payload\":\"{number}\"}}\n");
    // One that is killed in the middle of a line that could be read, one that asks nothing.
    let mut silent = connect();
    silent.write_all((line(0) + &line(1) + "{\"payload\":\"half\"}").as_bytes()).expect("sent");
    drop(silent);
    let mut asking = connect();
    asking.write_all(b"#acknowledge\n").expect("sent");
    let mut said = BufReader::new(asking.try_clone().expect("a socket"));
    let mut wait_for = |wanted: &dyn Fn(&Value) -> bool| loop {
        let mut text = String::new();
        assert!(said.read_line(&mut text).expect("it is said") > 0);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        if wanted(&value) {
            return value;
        }
    };
    wait_for(&|said| said["next"] == 2);
    for number in 2..500 {
        asking.write_all(line(number).as_bytes()).expect("sent");
    }
    asking.write_all(b"no JSON\n").expect("sent");
    let last = wait_for(&|said| said["durable"] == 498);
    assert_eq!(
        last,
        serde_json::json!(
            {"accepted": 498, "left_out": 1, "durable": 498, "next": 500}
        )
    );
    kernel.kill().expect("it is killed");
    kernel.wait().expect("it is gone");
    whole(&logged(&dir), 0, 500);
    assert_eq!(verified(&dir), 500);
}

#[test]
fn what_cannot_be_listened_to_is_refused_in_words() {
    let dir = TempDir::new().expect("a folder");
    let start = |keys: &str| {
        let builder = Host::builder().config_text(text(&[("fed", keys)]));
        let started = builder.attach("agent.wasm", wasm(SCRIPT, ALL)).start();
        started.expect_err("it is refused").to_string()
    };
    let says = |keys: &str, parts: &[&str]| {
        let said = start(keys);
        parts.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
    };
    says("kind = \"feeder\"", &["name the kernel", "source.fed.socket"]);
    says("kind = \"feeder\"\nfile = \"x\"", &["source.fed.file", "remove it"]);
    says("kind = \"feeder\"\npayload = \"text\"", &["source.fed.payload", "remove it"]);
    says("kind = \"feeder\"\nkey = \"k\"", &["source.fed.key", "remove it"]);
    says("kind = \"live\"\nsocket = \"s\"", &["source.fed.payload", "is missing"]);
    let both = "kind = \"live\"\nsocket = \"s\"\nfile = \"f\"\npayload = \"text\"";
    says(both, &["source.fed.socket", "remove one"]);
    says("kind = \"feeder\"\npayload_bytes_max = 1000000000", &["payload_bytes_max", "lower it"]);
    let long = dir.path().join("x".repeat(120));
    says(&format!("kind = \"feeder\"\nsocket = {long:?}"), &["cannot listen", "another path"]);
    let taken = host(&dir, "", false);
    let path = dir.path().join("fed.sock");
    says(&format!("kind = \"feeder\"\nsocket = {path:?}"), &["taken", "source.fed.socket"]);
    drop(taken);
}
