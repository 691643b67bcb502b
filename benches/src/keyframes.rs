//! S16: how long a tick stops for a checkpoint of 1,000 agents of 64 KiB each, and for how long a
//! kernel is put where one has it.
//!
//! ```text
//!  10 of 1,000 ran    1 % of the agents took a turn since the last copy
//!  all ran            each wrote 1 % of its memory: the marks are of agents, so all is copied
//! ```
//! Every agent has filled its memory, so its difference from its module's image is nearly all of
//! it. Beside each stands a copy of as many bytes in the same seconds. Checked first: a kernel put
//! where the checkpoint has it has the same bytes, and ends its next ticks with the same digests.

use std::hint::black_box;

use wasm_engine_log::keyframes::{AgentStates, KeyframeJob};

use crate::guests::Job;
use crate::measure::{Scale, apart, clock_ns, median, median_ratio, pin};
use crate::rig::{Case, Rig};
use crate::row::{Row, Unit};

const AGENTS: u32 = 1_000;
/// Longest stop, in ns.
const STOP_MAX_NS: f64 = 1e6;
/// Copies that are timed.
const COPIES: usize = 40;

/// The rows.
///
/// # Panics
/// If a restored kernel is another one.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let agents = scale.of(AGENTS as usize).max(100) as u32;
    let case = |groups, rotate| {
        let case = Case::all(agents).of_groups(groups, rotate).without_states();
        Case { work: Job::Fill, ..case }
    };
    // Both are checked, then both are measured.
    let cases = [(case(agents / 10, true), "10"), (case(1, false), "all")];
    cases.iter().for_each(|(case, _)| check(*case));
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|(case, ran)| {
            let name = format!("checkpoint of {agents} agents of 64 KiB, {ran} of which ran");
            stop(*case, name, scale.of(COPIES).max(5))
        })
        .collect();
    rows.push(restore(cases[1].0, agents));
    rows
}

/// The stop of a tick, and a copy of as many bytes.
fn stop(case: Case, name: String, copies: usize) -> Row {
    apart(|| {
        pin(0);
        let mut rig = Rig::new(case);
        let mut job = KeyframeJob::default();
        rig.kernel().mark_changes();
        // The first copies all, and makes the buffers large enough.
        rig.kernel().checkpoint(&mut job).expect("the machine works");
        let (mut ours, mut peer, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut into = vec![0_u8; job.states.len() + job.keyframe.core.len()];
        for _ in 0..copies {
            rig.tick();
            let begin = clock_ns();
            rig.kernel().checkpoint(&mut job).expect("the machine works");
            ours.push((clock_ns() - begin) as f64);
            let parts = [&job.keyframe.core, &job.states];
            bytes = parts.iter().map(|part| part.len()).sum();
            into.resize(bytes.max(into.len()), 0);
            let begin = clock_ns();
            let mut at = 0;
            for part in parts {
                into[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            black_box(&mut into);
            peer.push((clock_ns() - begin) as f64);
        }
        Row::new("S16", name, Unit::Ns, median(&ours))
            .against("memcpy of as many bytes", median(&peer), Some(median_ratio(&peer, &ours)))
            .at_most(STOP_MAX_NS)
            .note(format!("{bytes} bytes are copied, {} of them the core", job.keyframe.core.len()))
    })
}

/// The whole state of a rig.
fn state(rig: &mut Rig) -> KeyframeJob {
    let mut job = KeyframeJob::default();
    rig.kernel().mark_changes();
    rig.kernel().checkpoint(&mut job).expect("the machine works");
    AgentStates::default().complete(&mut job);
    job
}

/// A new kernel put where another is.
fn restore(case: Case, agents: u32) -> Row {
    apart(|| {
        pin(0);
        let mut rig = Rig::new(case);
        rig.tick();
        let job = state(&mut rig);
        let mut other = Rig::new(case);
        let begin = clock_ns();
        other.restore(&job);
        let ours = (clock_ns() - begin) as f64;
        let begin = clock_ns();
        black_box(job.keyframe.agents.clone());
        let peer = (clock_ns() - begin) as f64;
        let name = format!("restoring {agents} agents of 64 KiB, all asleep then");
        Row::new("S16", name, Unit::Ns, ours).against("copying their states", peer, None)
    })
}

/// What is restored is what was copied, and goes on as it does.
fn check(case: Case) {
    let mut rig = Rig::new(case);
    (0..7).for_each(|_| rig.tick());
    let job = state(&mut rig);
    let mut other = Rig::new(case.on(1));
    other.restore(&job);
    let again = state(&mut other);
    assert!(again.keyframe == job.keyframe, "another state came back");
    for _ in 0..5 {
        rig.tick();
        other.tick();
        assert_eq!(rig.last(), other.last(), "the restored kernel goes another way");
    }
    assert_eq!(rig.faults(), 0, "no agent faults");
}
