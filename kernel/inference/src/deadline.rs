//! Deadlines of models in wall time (SEMANTICS I4): when a request is late, and what follows.
//!
//! A request has its time from when it was made, or from when the thread last answered anything:
//! one that waits behind another is not late for what that one took. It is physical, and decides a
//! reply all the same: so that a deadline passed is a fact in the log.

use std::time::Duration;

use crate::batcher::ServedModel;
use crate::interrupt::Canceller;

/// Requests in a row that a model may not answer in time before it is given up: it would else hold
/// each tick for as long as its deadline.
const MISSED_MAX: u32 = 16;

/// When a request is late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Late {
    /// Its model has no deadline.
    Never,
    /// At this time, if the thread answers nothing until then.
    At {
        /// Nanoseconds of the clock.
        time_ns: u64,
        /// Which of the models that were here it was asked.
        instance: u32,
    },
    /// Its model was given up.
    Already,
}

/// What it means that a request was late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missed {
    /// Its model is asked again.
    Again,
    /// It is not.
    GivenUp,
}

/// The deadline of one model.
struct Deadline {
    /// Nanoseconds that it has.
    after_ns: Option<u64>,
    /// Of the model, behind those of models that were here before and may still run.
    cancellers: Vec<Canceller>,
    /// Models that were here.
    instance: u32,
    /// Requests that it did not answer in time, since the last one that it did.
    missed: u32,
}

/// The deadlines of all models.
pub(crate) struct Deadlines {
    clock: fn() -> u64,
    models: Vec<Deadline>,
    /// When the thread last answered anything, or a request was late.
    answered_ns: u64,
}

impl Deadlines {
    pub(crate) fn new(models: &[ServedModel], clock: fn() -> u64) -> Self {
        let deadline = |model: &ServedModel| Deadline {
            after_ns: model.deadline_ns,
            cancellers: vec![model.backend.canceller()],
            instance: 0,
            missed: 0,
        };
        Self { clock, models: models.iter().map(deadline).collect(), answered_ns: 0 }
    }

    /// Whether any model has one.
    pub(crate) fn any(&self) -> bool {
        self.models.iter().any(|model| model.after_ns.is_some())
    }

    /// When a request is late that is made now.
    pub(crate) fn of_request(&self, model: u32) -> Late {
        match &self.models[model as usize] {
            Deadline { after_ns: None, .. } => Late::Never,
            Deadline { missed: MISSED_MAX.., .. } => Late::Already,
            Deadline { after_ns: Some(after), instance, .. } => {
                Late::At { time_ns: (self.clock)().saturating_add(*after), instance: *instance }
            }
        }
    }

    /// The thread answered something.
    pub(crate) fn progressed(&mut self) {
        if self.any() {
            self.answered_ns = (self.clock)();
        }
    }

    /// Another backend stands where this model was.
    pub(crate) fn replace(&mut self, model: u32, canceller: Canceller) {
        let deadline = &mut self.models[model as usize];
        deadline.cancellers.retain(Canceller::is_shared);
        deadline.cancellers.push(canceller);
        deadline.instance += 1;
        deadline.missed = 0;
    }

    /// A model answered in time.
    pub(crate) fn answered(&mut self, model: u32) {
        self.models[model as usize].missed = 0;
    }

    /// Time until a request is late.
    pub(crate) fn time_left(&self, model: u32, late: Late) -> Option<Duration> {
        let Late::At { time_ns: late_ns, .. } = late else { return None };
        let after = self.models[model as usize].after_ns?;
        let late_ns = late_ns.max(self.answered_ns.saturating_add(after));
        Some(Duration::from_nanos(late_ns.saturating_sub((self.clock)())))
    }

    /// Asks a model to stop whose request is late; nothing if it is not.
    pub(crate) fn miss(&mut self, model: u32, late: Late) -> Option<Missed> {
        if self.time_left(model, late)? > Duration::ZERO {
            return None;
        }
        self.answered_ns = (self.clock)();
        let deadline = &mut self.models[model as usize];
        // One that runs nothing is not stopped by it.
        deadline.cancellers.iter().for_each(Canceller::cancel);
        if !matches!(late, Late::At { instance, .. } if instance == deadline.instance) {
            // It says nothing of the model that is here now.
            return Some(Missed::Again);
        }
        deadline.missed += 1;
        if deadline.missed == MISSED_MAX {
            tracing::error!(
                model,
                "a model missed its deadline {MISSED_MAX} times in a row and is not asked again; \
                 all its requests are answered as late"
            );
            return Some(Missed::GivenUp);
        }
        if deadline.missed == 1 {
            tracing::warn!(
                model,
                "a model missed its deadline; another run need not come out the same, the log of \
                 this one gives it again"
            );
        }
        Some(Missed::Again)
    }
}
