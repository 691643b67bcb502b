//! Which threads there are, how they wait, and on which cores.
//!
//! Only threads that the kernel made are pinned, and only while the hot ones (scheduler, workers,
//! inference) are no more than the cores this process may use: two pinned spinners on one core
//! would stop each other. The scheduler's own thread belongs to whoever calls the kernel; it is
//! pinned only if that is asked for, as the command line does.

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

/// What to tell a user whose hot threads must share cores; nothing where each has its own, and
/// nothing where it is an error anyway.
fn advice(hot: u32, cores: u32, wait: WaitMode) -> Option<String> {
    let waits = match wait {
        _ if hot <= cores => return None,
        WaitMode::Busy => return None,
        WaitMode::Hybrid => {
            "; who spins while waiting takes a core from another: use fewer \
                             workers or kernel.wait = \"park\""
        }
        WaitMode::Park => "; more workers than cores make nothing faster",
    };
    Some(format!(
        "{hot} hot threads (scheduler, workers, inference) share {cores} cores, so none is \
         pinned{waits}"
    ))
}

/// The worker threads of a kernel.
#[derive(Clone, Debug)]
pub struct Threads {
    /// Worker threads beside the scheduler's lane.
    pub workers: u32,
    /// How hot threads wait.
    pub wait: WaitMode,
    /// Whether there may be further threads: one that fills the region behind the first tick, and
    /// the process's pool in which modules are compiled.
    pub helpers: bool,
    /// Core for the scheduler; none if nothing is pinned.
    scheduler: Option<CoreId>,
    /// Cores for workers and inference, in this order; empty if nothing is pinned.
    cores: Vec<CoreId>,
}

impl Threads {
    /// Plans `workers` threads out of `hot` hot ones.
    ///
    /// # Errors
    /// [`ThreadError::Busy`].
    pub fn plan(workers: u32, hot: u32, wait: WaitMode, pin: bool) -> Result<Self, ThreadError> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        if let Some(advice) = advice(hot, cores.len() as u32, wait) {
            tracing::info!("{advice}");
        }
        Self::on(cores, workers, hot, wait, pin)
    }

    /// As [`Threads::plan`], on `cores`.
    fn on(
        mut cores: Vec<CoreId>,
        workers: u32,
        hot: u32,
        wait: WaitMode,
        pin: bool,
    ) -> Result<Self, ThreadError> {
        let count = cores.len() as u32;
        if wait == WaitMode::Busy && hot > count {
            return Err(ThreadError::Busy { hot, cores: count });
        }
        if !pin || hot > count {
            cores.clear();
        }
        let scheduler = (!cores.is_empty()).then(|| cores.remove(0));
        Ok(Self { workers, wait, helpers: true, scheduler, cores })
    }

    /// Threads that wait politely and run anywhere.
    #[must_use]
    pub fn unpinned(workers: u32) -> Self {
        let wait = WaitMode::Hybrid;
        Self { workers, wait, helpers: true, scheduler: None, cores: Vec::new() }
    }

    /// Pins the calling thread, which is the scheduler's, where threads are pinned; gives its core.
    /// Threads that it starts later inherit the core.
    pub(crate) fn pin_scheduler(&self) -> Option<u32> {
        let core = self.scheduler?;
        core_affinity::set_for_current(core).then_some(core.id as u32)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(count: usize) -> Vec<CoreId> {
        // Numbers of an affinity mask have gaps.
        (0..count).map(|n| CoreId { id: 2 * n + 1 }).collect()
    }

    fn pinned(threads: &Threads) -> Vec<usize> {
        threads.cores.iter().map(|core| core.id).collect()
    }

    #[test]
    fn threads_are_pinned_only_where_each_hot_one_has_a_core() {
        let plan = |count, workers, hot, pin| {
            Threads::on(cores(count), workers, hot, WaitMode::Hybrid, pin).expect("not busy")
        };
        // Scheduler, two workers, inference: the scheduler's core is left to it.
        let threads = plan(4, 2, 4, true);
        assert_eq!(pinned(&threads), [3, 5, 7]);
        assert_eq!(threads.scheduler.map(|core| core.id), Some(1));
        assert_eq!(threads.core(1).map(|core| core.id), Some(3));
        assert_eq!(threads.core(2).map(|core| core.id), Some(5));
        assert!(threads.pin_inference().is_some());
        assert!(pinned(&plan(3, 2, 4, true)).is_empty(), "four on three");
        assert_eq!(plan(3, 2, 4, true).scheduler, None);
        assert!(pinned(&plan(4, 2, 4, false)).is_empty(), "not wanted");
        assert!(plan(3, 2, 3, true).pin_inference().is_none(), "there is none");
    }

    #[test]
    fn busy_waiting_is_refused_with_the_reason_where_cores_are_short() {
        let busy = |count| Threads::on(cores(count), 1, 3, WaitMode::Busy, true);
        assert_eq!(busy(3).map(|threads| pinned(&threads)), Ok(vec![3, 5]));
        let error = busy(2).expect_err("three spinners on two cores");
        assert_eq!(error, ThreadError::Busy { hot: 3, cores: 2 });
        let text = error.to_string();
        for word in ["kernel.wait", "3 hot threads", "may use 2", "hybrid"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn advice_is_given_only_where_threads_share_cores() {
        for wait in [WaitMode::Hybrid, WaitMode::Park] {
            assert_eq!(advice(2, 2, wait), None);
            let text = advice(4, 2, wait).expect("four on two");
            assert!(text.starts_with("4 hot threads") && text.contains("2 cores"), "{text}");
        }
        assert!(advice(4, 2, WaitMode::Hybrid).expect("they spin").contains("park"));
        assert_eq!(advice(4, 2, WaitMode::Busy), None, "that is an error");
    }
}
