//! Scenes and programs made from numbers.

use wasm_engine_abi::{
    record::{BudgetFact, action},
    task::{TaskHeader, TaskId},
};
use wasm_engine_setup::{Limits, LoadOn, Restart, Schedule};

use crate::{
    machine::Machine,
    program::{CHILD, FROM, Prog, SELF, prog},
    rig::{Rig, to},
    scene::{DROP_NEWEST, DROP_OLDEST, ECHO, LATEST, OUT, REFUSE, Scene},
};

/// SplitMix64: numbers for scenarios.
#[derive(Clone, Debug)]
pub struct Mix(pub u64);

impl Mix {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }
}

/// A run with everything in it: fan-out, sends, timers, spawn, terminate, pause, resume, channels,
/// faults with restart, payloads of 0 to 4 KiB, items held past `receive_max` and microsteps,
/// random, inference.
pub fn everything(seed: u64, schedule: Schedule) -> Scene {
    let mut scene = Scene::empty();
    scene.setup.seed = seed;
    scene.setup.schedule = schedule;
    let (backoff_ticks, restarts_max, window_ticks) = (2, 3, 20);
    // By themselves in turn 3, 6, ..., or never, or all start fresh.
    let restart = match seed % 4 {
        0 => Restart::Fresh { backoff_ticks, restarts_max, window_ticks },
        by => {
            let save_every_turns = 3 * (by as u32 % 2);
            Restart::Saved { backoff_ticks, restarts_max, window_ticks, save_every_turns }
        }
    };
    scene.template("worker", restart);
    scene.template("other", Restart::Never);
    scene.setup.templates[1].priority = 3;
    scene.model("m", 2);
    // Any two of the three fit.
    scene.setup.models[0].memory_bytes = 30;
    for version in [1, 2] {
        scene.model_of("versions", version, LoadOn::Request, 50);
    }
    *scene.limits() = Limits {
        receive_max: 3,
        microsteps_max: 5,
        models_bytes_max: 100,
        inbox_items_max: 24,
        inbox_bytes_max: 16 << 10,
        turns_per_microstep_max: 13,
        fuel_per_microstep_max: 1 << 40,
        ..scene.setup.limits.clone()
    };
    // Of two topics less fits than of the others.
    scene.setup.topics[REFUSE as usize].messages_held_max = Some(30);
    scene.setup.topics[DROP_OLDEST as usize].payload_bytes_held_max = Some(2 << 10);
    for number in 0..20 {
        let again = prog().publish(REFUSE, b"again").timer(3, number);
        let init = prog()
            .subscribe([REFUSE, DROP_OLDEST, DROP_NEWEST, LATEST][number as usize % 4])
            .join(["red", "blue"][number as usize % 2])
            .on(5, &again)
            .timer(1 + number % 4, number);
        scene.agent(number as u32 % 2, init);
    }
    scene.group("all or none", &[0, 2, 6]);
    scene
}

/// A random command over `agents` configured agents and the models of [`everything`]: its action,
/// subject and bytes. A task waits for some of the first `scheduled` commands.
pub fn random_command(mix: &mut Mix, agents: u32, scheduled: u64) -> (u32, u64, Vec<u8>) {
    let agent = to(mix.below(u64::from(agents)) as u32);
    let (action, subject) = match mix.below(14) {
        0 => (action::PAUSE, agent),
        1 => (action::RESUME, agent),
        2 => (action::SPAWN, mix.below(2)),
        3 | 4 => (action::LOAD, mix.below(3)),
        5 => (action::UNLOAD, mix.below(3)),
        6 | 7 => (action::SWAP, 1 + mix.below(2)),
        _ => (action::SCHEDULE, agent),
    };
    let task = action == action::SCHEDULE;
    let args = if task { random_task(mix, agents, TaskId::of_host, scheduled) } else { vec![] };
    (action, subject, args)
}

/// The bytes of a random task that waits for up to two of the `count` that `named` gives, later
/// ones rather.
fn random_task(mix: &mut Mix, agents: u32, named: impl Fn(u64) -> TaskId, count: u64) -> Vec<u8> {
    let befores = mix.below(3).min(count);
    let after: Vec<_> = (0..befores).map(|_| named(count - 1 - mix.below(count.min(12)))).collect();
    let header = TaskHeader {
        priority: mix.below(9) as i32 - 4,
        attempts: 1 + mix.below(3) as u32,
        on_failure: mix.below(3) as u32,
        after: after.len() as u32,
    };
    let agent = to(mix.below(u64::from(agents)) as u32);
    let program = match mix.below(6) {
        0 => prog().trap(),
        1 => prog().code(3),
        2 => prog().pause(agent).send_len(agent, 65),
        3 => prog().terminate(CHILD).timer(2, 7),
        _ => prog().random(OUT).count(OUT),
    };
    [bytemuck::bytes_of(&header), bytemuck::cast_slice(&after), program.bytes()].concat()
}

/// In some ticks a budget of turns: fuel is not the same on each machine.
pub fn random_budget(mix: &mut Mix) -> Option<BudgetFact> {
    (mix.below(4) == 0).then(|| BudgetFact { turns: 1 + mix.below(6), fuel: 0 })
}

/// One random program over `agents` configured agents.
pub fn random_program(mix: &mut Mix, agents: u32) -> Prog {
    let mut program = prog();
    for _ in 0..1 + mix.below(4) {
        let agent = match mix.below(8) {
            0 => FROM,
            1 => SELF,
            2 => CHILD,
            _ => to(mix.below(u64::from(agents)) as u32),
        };
        let topic = REFUSE + mix.below(4) as u32;
        let len = [0, 1, 63, 64, 65, 500, 4096][mix.below(7) as usize];
        program = match mix.below(28) {
            0..=3 => program.publish_len(topic, len),
            4..=6 => program.send_len(agent, len),
            7 => program.send_prog(agent, prog().random(OUT).count(OUT)),
            8 => program.timer(1 + mix.below(5), mix.number()),
            9 => program.spawn("worker", &prog().echo(ECHO).subscribe(topic).farewell(OUT)),
            10 => program.send_len(CHILD, len).terminate(CHILD),
            11 => program.terminate(agent).random(OUT),
            12 => program.pause(agent),
            13 | 14 => program.resume(to(mix.below(u64::from(agents)) as u32)),
            15 => program.join("red").cast("blue", b"to all"),
            16 => program.leave("red").unsubscribe(topic),
            17 => program.subscribe(topic),
            18 => program.infer(mix.below(4) as u32, &(mix.number() as u32).to_le_bytes()),
            19 => program.random(OUT),
            20 => program.trap(),
            21 => program.flood(topic, 6, b"flood"),
            22 => program.code(-1),
            23 => {
                let by = mix.below(u64::from(agents)) as u32;
                let named = |seq| TaskId { agent: to(by), seq };
                program.schedule(agent, &random_task(mix, agents, named, 24))
            }
            24 | 25 => program.save(),
            _ => program.log(3, "a line").count(OUT),
        };
    }
    program
}

/// Drives `rig` through `ticks` ticks of random inputs.
pub fn drive<M: Machine>(rig: &mut Rig<M>, seed: u64, ticks: u64, agents: u32) {
    let mut mix = Mix(seed);
    for tick in 0..ticks {
        if tick > 0 {
            for _ in 0..mix.below(6) {
                let program = random_program(&mut mix, agents);
                rig.tell(mix.below(u64::from(agents)) as u32, program);
            }
            if mix.below(3) == 0 {
                let (action, subject, args) =
                    random_command(&mut mix, agents, rig.commands_given());
                rig.command(action, subject, &args);
            }
            rig.budget = random_budget(&mut mix);
        }
        rig.tick();
    }
}
