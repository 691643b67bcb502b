//! The readers in C and Python, beside the Rust reader, while the region is being written.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use wasm_engine_abi::counter;
use wasm_engine_abi::page::KernelPage;
use wasm_engine_shm::counters::CounterSpec;
use wasm_engine_ui_bridge_testkit::owner::{TestOwner, event_of};
use wasm_engine_ui_bridge_testkit::readers::{
    by_name, compile, hex, parts, python, run, runtime_directory, rust,
};

/// Stops the writer, also when something fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_region_that_is_being_written_is_read_whole_by_name() {
    const POLLS: usize = 40;
    const BURST: u64 = 64;
    const PAUSE: Duration = Duration::from_millis(2);
    let directory = runtime_directory();
    let folder = TempDir::new().expect("a folder");
    let program = compile(folder.path(), ["cc", "-std=c11"], "testkit/readers/dump.c");
    let monitor = compile(folder.path(), ["cc", "-std=c11"], "examples/c/monitor.c");
    let mut owner = TestOwner::start(directory.path(), "live", 3);
    let fd = owner.region.map().fd().expect("sealed memory");
    let path = PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()));
    owner.publish(0);
    owner.tell(100);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = Stop(&stop);
        scope.spawn(|| {
            for tick in 1.. {
                owner.publish(tick);
                owner.tell(15);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A writer without any pause overtakes every reader of a table for ever; one that
                // only ever pauses is seldom caught in the act.
                if tick % BURST == 0 {
                    std::thread::park_timeout(PAUSE);
                }
            }
        });
        let rust = (0..POLLS).map(|_| rust(&path).map_err(str::to_owned)).collect();
        let paths = vec![&path; POLLS];
        let c = parts(run(Command::new(&program).args(&paths), "the reader in C"), "C");
        let python = run(python().arg("--dump").args(&paths), "python3");
        let python = parts(python, "Python");
        let [named_c, named] = by_name(&monitor, directory.path(), "live");
        drop(end);
        for (who, polls) in [("Rust", rust), ("C", c), ("Python", python)] {
            let whole: Vec<u64> =
                polls.into_iter().flatten().map(|poll| check_whole(who, &poll)).collect();
            // The writer may overtake a slow reader; not each time.
            assert!(!whole.is_empty(), "{who} never succeeded");
            assert!(whole.is_sorted(), "{who} went back in time");
        }
        for (who, output) in [("C", named_c), ("Python", named)] {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let busy = String::from_utf8_lossy(&output.stderr).contains("every attempt");
            assert!(busy || text.contains("turns") && output.status.success(), "{who}: {output:?}");
        }
    });
}

/// The tick of the kernel's page, which must belong to all of it.
fn check_whole(who: &str, poll: &str) -> u64 {
    let page = poll.lines().find_map(|line| line.strip_prefix("page 1 number ")).expect("a page");
    let (_, hex) = page.split_once(' ').expect("its bytes");
    let field = |name: &str| {
        let fields = KernelPage::FIELDS;
        let at = fields.iter().find(|field| field.name == name).expect("a field").offset * 2;
        let bytes: Vec<u8> = (at..at + 16)
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    let n = field("tick") + 1;
    let expected = [n * 31, n * 117, n * 24_000, 0x0123_4567_89ab_cdef ^ n];
    let read = [field("turns"), field("items"), field("fuel"), field("digest")];
    assert_eq!(read, expected, "{who} read a torn page");
    check_events(who, poll);
    check_counters(who, poll);
    field("tick")
}

/// Each event is what its number says, and none is missing that is not counted as lost.
fn check_events(who: &str, poll: &str) {
    let mut next = 0;
    for line in poll.lines() {
        let mut words = line.split(' ');
        let (what, position) = (words.next(), words.next());
        let number = || position.and_then(|p| p.split_once('.')?.1.parse().ok());
        match what {
            Some("message") => {
                assert_eq!(number(), Some(next), "{who} missed events");
                let expected = hex(bytemuck::bytes_of(&event_of(next)));
                assert_eq!(words.next(), Some(&*expected), "{who} read a torn event");
                next += 1;
            }
            Some("lost") => {
                assert_eq!(number(), Some(next), "{who} missed events");
                next += words.next().and_then(|lost| lost.parse::<u64>().ok()).expect("a number");
            }
            Some("passed") => {
                let [passed, _, polling, reading] = [(); 4].map(|()| words.next());
                assert_eq!(passed, Some(&*next.to_string()), "{who}: delivered + lost = passed");
                assert!(polling.and(reading).is_some() && next > 0);
                return;
            }
            _ => {}
        }
    }
    panic!("{who} said nothing of events");
}

/// Each counter of the kernel's page is a multiple of one more than some tick.
fn check_counters(who: &str, poll: &str) {
    let value = |label: &str| {
        let line = poll.lines().find(|line| line.contains(&format!("|{label}|"))).expect("there");
        line.split(' ').nth(3).and_then(|value| value.parse::<u64>().ok()).expect("a number")
    };
    for (label, factor) in [("turns", 31), ("items", 117), ("fuel", 24_000)] {
        assert_eq!(value(label) % factor, 0, "{who} read a torn counter");
        assert!(value(label) > 0);
    }
}

#[test]
fn a_counter_that_is_replaced_is_never_taken_for_another() {
    const POLLS: usize = 100;
    const INDEX: usize = counter::LOG.len() - 1;
    const EVEN: CounterSpec<'_> = CounterSpec {
        id: 0xe,
        kind: "gauge",
        unit: "1",
        group: 1,
        label: "even",
        help: "always an even number",
    };
    const ODD: CounterSpec<'_> = CounterSpec {
        id: 0xd,
        kind: "counter",
        unit: "ns",
        label: "odd, with a longer name",
        help: "none, or an odd number",
        ..EVEN
    };
    let (directory, folder) = (runtime_directory(), TempDir::new().expect("a folder"));
    let program = compile(folder.path(), ["cc", "-std=c11"], "testkit/readers/dump.c");
    let mut owner = TestOwner::start(directory.path(), "replaced", 4);
    let fd = owner.region.map().fd().expect("sealed memory");
    let path = PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()));
    owner.publish(0);
    owner.log.reuse(INDEX, &EVEN);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = Stop(&stop);
        scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                owner.log.reuse(INDEX, if n % 2 == 0 { &EVEN } else { &ODD });
                // Longer now and then, so that a slow reader is not always too late.
                for _ in 0..n % 4000 {
                    owner.log.set(INDEX, n);
                }
            }
        });
        let rust = (0..POLLS).map(|_| rust(&path).map_err(str::to_owned)).collect();
        let paths = vec![&path; POLLS];
        let c = parts(run(Command::new(&program).args(&paths), "the reader in C"), "C");
        let python = parts(run(python().arg("--dump").args(&paths), "python3"), "Python");
        drop(end);
        for (who, polls) in [("Rust", rust), ("C", c), ("Python", python)] {
            let polls: Vec<String> = polls.into_iter().map(|poll| poll.expect("sound")).collect();
            let last = |poll: &String| poll.lines().last().expect("a line").to_owned();
            for line in polls.iter().map(last).filter(|line| !line.contains("|log_sync_ns|")) {
                let (numbers, texts) = line.split_at(line.find('|').expect("texts"));
                let (numbers, kind) = numbers.rsplit_once(' ').expect("a kind");
                let (id, value) = numbers.rsplit_once(' ').expect("a value");
                let number = value.parse::<u64>().ok();
                let said = match id {
                    "counter 8 0000000e" => {
                        number.is_none_or(|n| n % 2 == 0)
                            && kind == EVEN.kind
                            && texts == "|1|even|always an even number"
                    }
                    "counter 8 0000000d" => {
                        number.is_none_or(|n| n == 0 || n % 2 == 1)
                            && kind == ODD.kind
                            && texts == "|ns|odd, with a longer name|none, or an odd number"
                    }
                    _ => false,
                };
                assert!(said && (number.is_some() || value == "gone"), "{who}: {line}");
            }
        }
    });
}
