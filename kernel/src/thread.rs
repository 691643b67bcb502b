//! Which threads there are, how they wait, and on which cores (DESIGN §3).
//!
//! Only threads that the kernel made are pinned, and only while the hot ones (scheduler, workers,
//! inference) are no more than the cores this process may use: two pinned spinners on one core
//! would stop each other. The scheduler's own thread belongs to the host and stays where it is.

use core_affinity::CoreId;
use wasm_engine_shm::wait::WaitMode;

/// Why threads cannot run as configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadError {
    /// Busy waiting with more hot threads than cores.
    #[error(
        "kernel.wait is \"busy\", which needs a core for each of {hot} hot threads (scheduler, \
         workers, inference), and this process may use {cores}; use \"hybrid\" or fewer workers"
    )]
    Busy {
        /// Hot threads.
        hot: u32,
        /// Cores in the affinity mask.
        cores: u32,
    },
}

/// The worker threads of a kernel.
#[derive(Clone, Debug)]
pub struct Threads {
    /// Worker threads beside the scheduler's lane.
    pub workers: u32,
    /// How hot threads wait.
    pub wait: WaitMode,
    /// Cores for workers and inference, in this order; empty if nothing is pinned.
    cores: Vec<CoreId>,
}

impl Threads {
    /// Plans `workers` threads out of `hot` hot ones.
    ///
    /// # Errors
    /// [`ThreadError::Busy`].
    pub fn plan(workers: u32, hot: u32, wait: WaitMode, pin: bool) -> Result<Self, ThreadError> {
        let mut cores = core_affinity::get_core_ids().unwrap_or_default();
        let count = cores.len() as u32;
        if wait == WaitMode::Busy && hot > count {
            return Err(ThreadError::Busy { hot, cores: count });
        }
        if !pin || hot > count {
            if pin && hot > 1 {
                tracing::info!(hot, cores = count, "threads are not pinned: more than cores");
            }
            cores.clear();
        } else {
            // The first core is left to the scheduler's thread.
            cores.remove(0);
        }
        Ok(Self { workers, wait, cores })
    }

    /// Threads that wait politely and run anywhere.
    #[must_use]
    pub fn unpinned(workers: u32) -> Self {
        Self { workers, wait: WaitMode::Hybrid, cores: Vec::new() }
    }

    /// The core of worker `number`, counted from 1.
    pub(crate) fn core(&self, number: u32) -> Option<CoreId> {
        self.cores.get(number as usize - 1).copied()
    }

    /// What pins the inference thread.
    pub(crate) fn pin_inference(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let core = *self.cores.get(self.workers as usize)?;
        Some(Box::new(move || {
            core_affinity::set_for_current(core);
        }))
    }
}
