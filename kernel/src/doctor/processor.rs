//! Cores, pinning to them, and how soon a thread that sleeps runs again.

use std::sync::mpsc;

use crate::{clock, doctor::finding::Diagnosis, units};

/// Times that a thread is woken.
const WAKES: usize = 200;
/// A thread that takes longer to wake has a core that sleeps deeply, or is held by others.
const SLOW_WAKE_NS: u64 = 200_000;

pub(super) fn findings() -> Vec<Diagnosis> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    vec![core_count(cores.len()), pinning(&cores), wake_up()]
}

fn core_count(cores: usize) -> Diagnosis {
    let found = units::of(cores as u64, "core");
    match cores {
        0 => Diagnosis::limited(
            "cores",
            "the cores of this process are not known",
            "nothing is pinned, and kernel.wait = \"busy\" is refused; run on Linux",
        ),
        1 => Diagnosis::limited(
            "cores",
            found,
            "scheduler, workers and inference share it: leave kernel.workers at 0, and \
             kernel.wait at \"hybrid\" or \"park\"; allow more with taskset or the container's \
             settings",
        ),
        _ => Diagnosis::fine("cores", format!("{found} for scheduler, workers and inference")),
    }
}

/// On a thread that is not needed any more.
fn pinning(cores: &[core_affinity::CoreId]) -> Diagnosis {
    let cores = cores.to_vec();
    let pin = move || cores.iter().filter(|core| core_affinity::set_for_current(**core)).count();
    let pinned = std::thread::Builder::new().spawn(pin).map(std::thread::JoinHandle::join);
    match pinned {
        Ok(Ok(pinned)) if pinned > 0 => {
            let cores = units::of(pinned as u64, "core");
            Diagnosis::fine("pinning", format!("threads can be pinned to {cores}"))
        }
        Ok(_) => Diagnosis::limited(
            "pinning",
            "no thread can be pinned to a core",
            "times vary more; set kernel.pin = false, or allow sched_setaffinity",
        ),
        Err(error) => Diagnosis::lacking(
            "pinning",
            format!("no thread can be started: {error}"),
            "allow this user more processes (ulimit -u) and memory",
        ),
    }
}

/// From the moment in which a thread is woken until it runs.
fn wake_up() -> Diagnosis {
    let (ask, asked) = mpsc::channel::<u64>();
    let (answer, answers) = mpsc::channel::<u64>();
    let sleeper = std::thread::Builder::new().spawn(move || {
        for sent_ns in asked {
            if answer.send(clock::now_ns().saturating_sub(sent_ns)).is_err() {
                return;
            }
        }
    });
    let Ok(sleeper) = sleeper else {
        return Diagnosis::limited("wake-up", "not measured", "allow this user one more thread");
    };
    let mut times: Vec<u64> = Vec::with_capacity(WAKES);
    for _ in 0..WAKES {
        // So long that the sleeper sleeps.
        let never = std::sync::atomic::AtomicBool::new(false);
        clock::sleep_until(clock::now_ns() + 200_000, &never);
        if ask.send(clock::now_ns()).is_err() {
            break;
        }
        times.extend(answers.recv());
    }
    drop(ask);
    // It ends when nobody can ask any more, and cannot panic.
    let _ = sleeper.join();
    times.sort_unstable();
    let at = |per_100: usize| times.get(times.len() * per_100 / 100).copied().unwrap_or(0);
    let found = format!(
        "a sleeping thread runs after {}, one of a hundred after {}",
        units::duration(at(50)),
        units::duration(at(99))
    );
    if at(50) <= SLOW_WAKE_NS {
        return Diagnosis::fine("wake-up", found);
    }
    let cure = "workers that sleep answer late: use kernel.wait = \"busy\" with a core for each, \
                or limit the sleep states of the processor; on a busy machine, free a core";
    Diagnosis::limited("wake-up", found, cure)
}
