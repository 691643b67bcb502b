//! Asking a model to stop that is being loaded or run, from another thread.
//!
//! ONNX Runtime looks at the request between two operators and between two rounds of a loop: an
//! operator that takes for ever by itself is not stopped by it. Whoever interrupts therefore waits
//! a while and then leaves the thread alone ([`Interrupter::leave`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A thread that would not stop was left running: see [`is_thread_left`].
static THREAD_LEFT: AtomicBool = AtomicBool::new(false);

/// Whether some thread of this process was left inside a model that would not stop. A process that
/// ends must then do so without running the library's destructors under it.
#[must_use]
pub fn is_thread_left() -> bool {
    // Relaxed: it stands for itself; whoever left the thread asks, or asks after a join.
    THREAD_LEFT.load(Ordering::Relaxed)
}

/// Stops the run of a model that is under way, once: the model can be run again. Clones stop the
/// same.
#[derive(Clone, Default)]
pub struct Canceller(Arc<Cancelling>);

#[derive(Default)]
struct Cancelling {
    asked: AtomicBool,
    stops: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Canceller(asked {})", self.is_asked())
    }
}

impl Canceller {
    /// One that stops a run by `stop`; without effect where none is under way.
    pub fn new(stop: impl Fn() + Send + 'static) -> Self {
        let stops = Mutex::new(vec![Box::new(stop) as Box<dyn Fn() + Send>]);
        Self(Arc::new(Cancelling { asked: AtomicBool::new(false), stops }))
    }

    fn stops(&self) -> MutexGuard<'_, Vec<Box<dyn Fn() + Send>>> {
        // Each change is one push, so a panic leaves nothing half done.
        self.0.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another way to stop, of what may run in place of the first.
    #[cfg(feature = "onnx")]
    pub(crate) fn add(&self, stop: impl Fn() + Send + 'static) {
        self.stops().push(Box::new(stop));
    }

    /// Asks the run that is under way to stop.
    pub fn cancel(&self) {
        // Relaxed: it stands for itself. Whoever sees the run stop has a lock or a ring between.
        self.0.asked.store(true, Ordering::Relaxed);
        self.stops().iter().for_each(|stop| stop());
    }

    /// Whether anybody else has it: the model that it stops.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether the run under way was asked to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// A new run begins, which nobody has asked to stop.
    pub fn renew(&self) {
        self.0.asked.store(false, Ordering::Relaxed);
    }
}

/// Stops what models do; clones stop the same. Stopping is for good.
#[derive(Clone, Default)]
pub struct Interrupter(Arc<Mutex<Interrupts>>);

#[derive(Default)]
struct Interrupts {
    asked: bool,
    /// The model that is being worked on.
    model: String,
    stops: Vec<Box<dyn Fn() + Send>>,
}

impl std::fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Interrupts { asked, model, .. } = &*self.lock();
        write!(f, "Interrupter(asked {asked}, at model {model})")
    }
}

impl Interrupter {
    fn lock(&self) -> MutexGuard<'_, Interrupts> {
        // Each change is one assignment or one push, so a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody else has it: the model that it stops.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Work begins on a model: that is its name for whoever interrupts.
    pub fn begin(&self, model: &str) {
        model.clone_into(&mut self.lock().model);
    }

    /// The model that is being worked on, or was last.
    #[must_use]
    pub fn model(&self) -> String {
        self.lock().model.clone()
    }

    /// Adds a way to stop; where an interrupt was asked already it is taken at once.
    pub fn add(&self, stop: impl Fn() + Send + 'static) {
        let mut interrupts = self.lock();
        if interrupts.asked {
            stop();
        }
        interrupts.stops.push(Box::new(stop));
    }

    /// Asks everything to stop.
    pub fn interrupt(&self) {
        let mut interrupts = self.lock();
        interrupts.asked = true;
        interrupts.stops.iter().for_each(|stop| stop());
    }

    /// Whether an interrupt was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.lock().asked
    }

    /// Notes that the thread did not stop and is left alone.
    pub fn leave(&self) {
        tracing::warn!(model = self.model(), "a model does not stop; its thread is left alone");
        THREAD_LEFT.store(true, Ordering::Relaxed);
    }
}
