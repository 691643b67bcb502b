//! Processes of their own: the program starts itself again with an environment variable that names
//! the part to play, which is the ignored test here.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::live_region::{read_for_ever, write_for_ever};
use crate::{attacks, foreign, names, torn, two_processes};

const PART: &str = "SHM_TEST_PART";
const DIRECTORY: &str = "SHM_TEST_DIRECTORY";

/// The entry of a second process.
#[test]
#[ignore = "a process that other tests start"]
fn part() {
    let part = std::env::var(PART).expect("started by another test, which names the part");
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("the directory of the test"));
    match part.as_str() {
        "writer" => write_for_ever(&directory, false),
        "file writer" => write_for_ever(&directory, true),
        "reader" => read_for_ever(&directory),
        "protected writer" => foreign::write_protected(&directory, false),
        "protected file writer" => foreign::write_protected(&directory, true),
        "open" => println!("answer: {}", foreign::open(&directory)),
        "classify owner" => println!("answer: {}", foreign::classify_owner(&directory)),
        "store" => two_processes::store_into_read_only(&directory),
        "lock" => names::lock_once(&directory),
        "runtime directory" => println!("answer: {}", names::runtime_directory()),
        "publish" => torn::publish_for_ever(),
        "attach" => println!("\nanswer: {}", attacks::attach(&directory)),
        attack => attacks::run(attack, &directory),
    }
}

/// A command that plays a part of this test program, or of a copy of it.
pub(crate) fn part_of(program: &Path, part: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    let args = ["--ignored", "--exact", "parts::part", "--nocapture", "--test-threads=1"];
    command.args(args).env(PART, part).env(DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Plays a part in a process of its own.
pub(crate) fn play(part: &str, directory: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    part_of(&program, part, directory).spawn().expect("a process")
}

/// Waits until a part prints a word; returns its further output.
pub(crate) fn wait_for(child: &mut Child, word: &str) -> BufReader<ChildStdout> {
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        let bytes = out.read_line(&mut line).expect("text");
        assert!(bytes > 0, "the other process ended without printing {word}");
    }
    out
}

pub(crate) fn wait_ready(child: &mut Child) {
    drop(wait_for(child, "ready"));
}

/// What a part printed after a mark.
pub(crate) fn answer(child: Child, mark: &str) -> String {
    let output = child.wait_with_output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        text.lines().find_map(|line| line.split_once(mark).map(|(_, answer)| answer.to_owned()));
    line.unwrap_or_else(|| panic!("no {mark} in: {text}"))
}

/// A signal by number: 9 KILL, 18 CONT, 19 STOP.
pub(crate) fn signal(child: &Child, number: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
    let signal = Signal::from_named_raw(number).expect("a signal");
    kill_process(pid, signal).expect("a child");
}

pub(crate) const KILL: i32 = 9;
pub(crate) const CONT: i32 = 18;
pub(crate) const STOP: i32 = 19;

/// Ends its process when dropped, so that a failed test leaves none behind.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
