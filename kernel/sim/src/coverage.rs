//! What a simulation has met: a run in which a point never fired has shown nothing about it.

use std::fmt;

macro_rules! points {
    ($($point:ident $name:literal,)*) => {
        /// Something that can go wrong, or that must happen for a check to mean anything.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Point { $(#[doc = $name] $point,)* }

        /// Every point, in the order of the enumeration.
        pub const POINTS: &[(Point, &str)] = &[$((Point::$point, $name),)*];
    };
}

points! {
    AgentTrap "an agent traps",
    AgentFuel "an agent uses its fuel up",
    AgentDepth "an agent's calls nest too deep",
    AgentMemory "an agent gets a program that takes all the memory that it may have",
    AgentRestart "an agent restarts after a fault",
    Refused "a delivery is refused",
    Dropped "a delivery is dropped by its topic's policy",
    ModelFails "a model fails",
    ModelLate "a model is late: the tick waits for it",
    ModelHangs "a model never answers: the process is killed as it waits",
    ClockJump "the clock jumps",
    ThreadStopped "the log's thread stands still until its ring is full",
    DiskFull "the disk is full",
    DiskFails "the disk fails",
    ShortWrite "a write stops half way",
    FaultResuming "the disk fails while a log is resumed",
    KillOperation "the machine stops in the middle of an operation of the storage",
    KillResuming "the machine stops while a log is resumed",
    KillBeforeOpen "the process is killed between two ticks",
    KillOpened "the process is killed when a tick is in the log and not executed",
    KillExecuted "the process is killed when a tick is executed and its end is not in the log",
    CrashProcess "the process ends, what was written stays",
    CrashMachine "the machine ends, what was not synced is left to chance",
    Unpromised "the machine ends under a log that never syncs: nothing is promised",
    NameLost "a crash takes a name out of the directory",
    Torn "a resumed log has a torn end",
    LostTick "a crash takes a tick away that was not durable",
    Redone "a tick that was left open is executed again",
    Resumed "a run goes on behind a crash",
    BegunAnew "nothing was durable: the run begins anew",
    Closed "a log is closed in order",
    Damage "a bit in the middle of a log is changed, and it is found",
    LiveInputs "inputs come live: what a crash takes away does not come again",
    DueInputs "inputs are those of data: the run ends as one that never stopped",
}

/// How often each point was met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coverage(Vec<u64>);

impl Default for Coverage {
    fn default() -> Self {
        Self(vec![0; POINTS.len()])
    }
}

impl Coverage {
    /// Counts `times` more.
    pub fn add(&mut self, point: Point, times: u64) {
        self.0[point as usize] += times;
    }

    /// Counts one more.
    pub fn hit(&mut self, point: Point) {
        self.add(point, 1);
    }

    /// Counts what another has met.
    pub fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
    }

    /// Names of the points that were never met.
    #[must_use]
    pub fn missed(&self) -> Vec<&'static str> {
        let missed = POINTS.iter().zip(&self.0).filter(|(_, count)| **count == 0);
        missed.map(|((_, name), _)| *name).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((_, name), count) in POINTS.iter().zip(&self.0) {
            writeln!(f, "{count:>12}  {name}")?;
        }
        Ok(())
    }
}
