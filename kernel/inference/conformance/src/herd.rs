//! Children that answer line by line, one at a time, each until it ends or is silent for too long.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::child;

/// Questions after which a child is replaced: what a library leaves behind cannot pile up.
const ASKED_MAX: u32 = 100;

/// What became of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HerdAnswer {
    /// The line that was answered.
    Said(String),
    /// The child ended; how.
    Ended(String),
    /// It said nothing for too long and was killed.
    Silent,
}

/// At most one child, of this very program.
pub(crate) struct Herd {
    patience: Duration,
    running: Option<HerdChild>,
}

struct HerdChild {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
    asked: u32,
}

impl Herd {
    /// No child yet; each has `patience` for an answer.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, running: None }
    }

    /// Asks one question, a single line.
    ///
    /// # Errors
    /// If no child can be started.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<HerdAnswer> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => start()?,
        };
        running.asked += 1;
        // A child that is gone shows at its answer.
        let _ = writeln!(running.questions, "{question}");
        match running.answers.recv_timeout(self.patience) {
            Ok(line) => {
                if running.asked < ASKED_MAX {
                    self.running = Some(running);
                }
                Ok(HerdAnswer::Said(line))
            }
            Err(RecvTimeoutError::Timeout) => Ok(HerdAnswer::Silent),
            Err(RecvTimeoutError::Disconnected) => {
                running.child.wait().map(|status| HerdAnswer::Ended(status.to_string()))
            }
        }
    }
}

impl Drop for HerdChild {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start() -> io::Result<HerdChild> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(child::MODE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(questions), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let (sender, answers) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(HerdChild { child, questions, answers, asked: 0 })
}
