//! Running a model, and the proof that it was not vacuous.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most scheduling points in one execution; more means that a loop does not end.
const BRANCHES_MAX: usize = 20_000;

/// Executions between two readings of the clock.
const EXECUTIONS_PER_READING: usize = 1_000;

/// One property of one protocol.
#[derive(Clone, Copy, Debug)]
pub struct LoomModel {
    /// Name, as in the list of tests.
    pub name: &'static str,
    /// Most preemptions per execution; `None` explores all.
    pub bound: Option<usize>,
    /// Outcomes that must be reached in some execution.
    pub reach: &'static [&'static str],
    /// One execution: spawns all roles and joins them.
    pub run: fn(&Marks),
}

/// The outcomes reached so far, over all executions.
#[derive(Clone, Debug, Default)]
pub struct Marks(Arc<Mutex<BTreeSet<&'static str>>>);

impl Marks {
    /// Notes that an outcome was reached.
    pub fn hit(&self, outcome: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(outcome);
    }

    /// Outcomes of a list that were not reached.
    fn missing(&self, of: &[&'static str]) -> Vec<&'static str> {
        let reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of.iter().copied().filter(|outcome| !reached.contains(outcome)).collect()
    }
}

/// How far a model is explored.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Most preemptions per execution; `None` explores all.
    pub bound: Option<usize>,
    /// Time after which the exploration stops, whole or not.
    pub limit: Option<Duration>,
}

/// What a check cost.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Executions explored.
    pub executions: u64,
    /// Time taken.
    pub took: Duration,
    /// Whether all executions within the bound were explored, unless the clock stopped it.
    pub whole: bool,
}

/// Explores a model with its own bound, whole.
///
/// # Panics
/// As [`check_to`].
pub fn check(model: &LoomModel) -> Report {
    check_to(model, Depth { bound: model.bound, limit: None })
}

/// Explores a model to a depth.
///
/// # Panics
/// If an execution fails, races or deadlocks, or if an outcome was not reached.
pub fn check_to(model: &LoomModel, depth: Depth) -> Report {
    let executions = Arc::new(AtomicU64::new(0));
    let marks = Marks::default();
    let start = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = depth.bound;
    builder.max_branches = BRANCHES_MAX;
    builder.max_duration = depth.limit;
    builder.max_permutations = None;
    builder.checkpoint_interval = EXECUTIONS_PER_READING;
    let (counter, run, seen) = (Arc::clone(&executions), model.run, marks.clone());
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        run(&seen);
    });
    let missing = marks.missing(model.reach);
    assert!(missing.is_empty(), "{} never reached {missing:?}", model.name);
    let took = start.elapsed();
    let whole = depth.limit.is_none_or(|limit| took < limit);
    let report = Report { executions: executions.load(Ordering::Relaxed), took, whole };
    let end = if whole { "" } else { ", stopped by the clock" };
    println!("{:24} {:>8} executions {:>9.2?}{end}", model.name, report.executions, took);
    report
}
