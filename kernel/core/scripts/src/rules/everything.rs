//! Random programs: everything at once.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any},
    proptest,
};
use wasm_engine_abi::Digest;
use wasm_engine_core::Phase;
use wasm_engine_setup::Schedule;

use crate::{
    Machine, Mix, Rig, everything, prog, random_budget, random_command, random_program, to,
};

/// Runs random programs and gives every digest; checks that nothing is left held.
fn random_run<M: Machine>(seed: u64, choices: &[u64], workers: u32) -> (Vec<Digest>, Rig<M>) {
    let mut scene = everything(
        seed,
        [Schedule::Fifo, Schedule::RoundRobin, Schedule::Priority][seed as usize % 3],
    );
    scene.setup.agents.truncate(8);
    let mut rig = Rig::<M>::with_workers(&scene, workers);
    rig.tick();
    for (tick, choice) in choices.iter().enumerate() {
        let mut mix = Mix(*choice);
        for _ in 0..mix.below(5) {
            let program = random_program(&mut mix, 8);
            rig.tell(mix.below(8) as u32, program);
        }
        if mix.below(3) == 0 {
            let (action, subject, args) = random_command(&mut mix, 8, rig.commands_given());
            rig.command(action, subject, &args);
        }
        rig.budget = random_budget(&mut mix);
        // Sometimes a tick is skipped, as far as nothing is due (T5).
        let next = rig.next_tick().unwrap_or(tick as u64 + 3);
        rig.tick_at(next.max(rig.core().tick() + 1));
    }
    (rig.digests(), rig)
}

/// Everything is taken in the end: agents are resumed and ended one by one.
fn drain<M: Machine>(rig: &mut Rig<M>) {
    let slots = rig.core().slots();
    let alive: Vec<u64> = (0..slots)
        .map(|index| rig.core().agent(index))
        .filter(|agent| agent.phase != Phase::Free)
        .map(|agent| agent.id.to_bits())
        .collect();
    // Agent 0 to 7 may all be gone; then nobody can end the others, and the run is over.
    let Some(&doer) = alive.iter().find(|id| (**id as u32) < 8 && **id >> 32 == 0) else { return };
    let doer = doer as u32;
    let resumes = alive.iter().fold(prog(), |p, id| p.resume(*id));
    for program in
        [resumes, alive.iter().filter(|id| **id != to(doer)).fold(prog(), |p, id| p.terminate(*id))]
    {
        rig.tell(doer, program);
        for _ in 0..20 {
            rig.tick();
        }
    }
}

pub fn t4_3_l6_1_random_programs_give_equal_digests_anywhere_replay_as_live_and_leave_nothing<
    M: Machine,
>() {
    let config = ProptestConfig { cases: 10, ..ProptestConfig::default() };
    proptest!(config, |(seed in 0u64..1000, choices in vec(any::<u64>(), 1..40))| {
        random_case::<M>(seed, &choices);
    });
}

fn random_case<M: Machine>(seed: u64, choices: &[u64]) {
    let (digests, mut rig) = random_run::<M>(seed, choices, 0);
    let (two, _) = random_run::<M>(seed, choices, 2);
    assert_eq!(digests, two);
    // The recorded facts alone give the same again.
    let mut scene = everything(seed, rig.core().setup().schedule);
    scene.setup.agents.truncate(8);
    let mut again = Rig::<M>::new(&scene);
    for facts in &rig.log {
        again.feed(facts).expect("they were facts");
    }
    assert_eq!(again.digests(), digests);
    drain(&mut rig);
    let core = rig.core();
    let queued: u32 = (0..core.slots())
        .map(|index| core.agent(index))
        .filter(|agent| agent.phase != Phase::Free)
        .map(|agent| agent.inbox_items)
        .sum();
    assert_eq!(core.held().0, queued, "what is held is what inboxes hold");
}
