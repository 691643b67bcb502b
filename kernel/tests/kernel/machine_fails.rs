//! Failures of the machine: they end the run at the last closed tick, and no guest learns of them
//! (SEMANTICS T10, L1).

use std::sync::Arc;

use wasm_engine::{
    exit::{Exit, HasExitCode},
    machine::{Kernel, Parts, Placing, Threads, TickError, TraceOptions},
    run::RunError,
};
use wasm_engine_abi::record::InputFact;
use wasm_engine_core::FactsBuilder;
use wasm_engine_core_scripts::{CMD, Recorder, Scene, at};
use wasm_engine_guest::{
    MachineFailure,
    engine::{MemoryProfile, deterministic_engine},
};

use wasm_engine_setup::Restart;

use crate::support::{module, prog};

/// A kernel of one agent on an engine that has a seat for one, though there are two modules.
fn cramped(workers: u32) -> Kernel {
    let mut scene = Scene::of(1);
    scene.template("other", Restart::Never);
    let memory_bytes_max = scene.setup.limits.memory_bytes_max;
    let modules: Vec<_> = scene.guests.iter().map(|guest| module(*guest)).collect();
    Kernel::new(Parts {
        setup: Arc::new(scene.setup),
        modules: &modules,
        name: "cramped".to_owned(),
        engine: deterministic_engine(MemoryProfile { seats: 1, memory_bytes_max, layout: None })
            .expect("the engine starts"),
        code_cache: None,
        threads: Threads::unpinned(workers),
        placing: Placing::Private,
        trace: TraceOptions::default(),
        region_bytes_max: u64::MAX,
    })
    .expect("the kernel starts")
}

#[test]
fn t10_2_an_instance_that_cannot_be_made_ends_the_run_at_the_last_closed_tick() {
    for workers in [0, 1] {
        let mut kernel = cramped(workers);
        let mut sink = Recorder::default();
        let mut facts = FactsBuilder::default();
        facts.begin(0);
        let last = kernel.tick(facts.finish(), &mut sink).expect("one has room");
        facts.begin(1);
        let order = (0..60).fold(prog(), |order, _| order.spawn("other", &prog()));
        facts.push(InputFact { source: 0, seq: 0, topic: CMD }, order.bytes());
        let failed = kernel.tick(facts.finish(), &mut sink).expect_err("so many have none");
        let TickError::Machine { tick: 1, source } = &failed else { panic!("{failed:?}") };
        assert_eq!(source.failure, MachineFailure::Instantiate);
        let (agent, lanes) = (source.agent, workers + 1);
        assert!(agent.index() > 0 && agent == at(agent.index()), "who: {agent}");
        assert_eq!(source.lane, agent.index() % lanes, "where");
        assert_eq!((kernel.core().digest(), kernel.core().stats().faults), (last.digest, 0));
        assert_eq!(RunError::from(failed).exit(), Exit::Failure);
    }
}

/// What needs a system that keeps a process from taking memory, and the program itself.
#[cfg(all(target_os = "linux", feature = "cli"))]
mod without_memory {
    use std::{
        fs,
        process::{Command, Output},
    };

    use wasm_engine::{
        exit::Exit,
        replay::{ReplayOptions, verify},
    };
    use wasm_engine_abi::{frame::item, record::kind};
    use wasm_engine_log::{outputs::OUTPUTS_FILE, tamper::records};

    use crate::support::{
        ALL, CACHES, SCRIPT, prog,
        run::{Folder, toml_string},
        wasm,
    };

    /// In this tick an agent takes more memory than the process may have.
    const FAILING: u64 = 5;
    const TICKS: u64 = 9;
    /// Memory that an agent may have, and that the process may have, in KiB.
    const AGENT_KIB: u32 = 1 << 20;
    const PROCESS_KIB: u32 = 512 << 10;

    /// An agent that publishes in every tick, and one that takes all memory of its limit at once.
    fn folder() -> Folder {
        let steady = prog().on(item::TIMER, &prog().count(0).timer(1, 1)).timer(1, 1);
        let greedy = prog().on(item::TIMER, &prog().grow()).timer(FAILING, 1);
        let agent = |name: &str, args: &str| {
            let args = toml_string(args);
            format!(
                "[[agent]]\nname = \"{name}\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n\
                 args = {args}\n"
            )
        };
        let limits = format!(
            "[limits]\nagents_max = 2\nfuel_per_call = 1000000000\nmemory_bytes_max = {}\n\
             [[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n",
            u64::from(AGENT_KIB) << 10
        );
        let agents = agent("steady", &steady.args()) + &agent("greedy", &greedy.args());
        let folder = Folder::with(&(limits + &agents), "");
        let memory = "(memory (export \"memory\") 1 2)";
        assert!(SCRIPT.contains(memory), "the fixture is another one");
        let large = format!("(memory (export \"memory\") 1 {})", AGENT_KIB / 64);
        // At once: page by page nothing would be left to say so with.
        let grow = "(memory.grow (i32.const 1))";
        assert!(SCRIPT.contains(grow), "the fixture is another one");
        let all = format!("(memory.grow (i32.const {}))", AGENT_KIB / 64 - 1);
        let module = wasm(&SCRIPT.replace(memory, &large).replace(grow, &all), ALL);
        fs::write(folder.path("agent.wasm"), module).expect("written");
        folder
    }

    /// The program on the folder's configuration, with so much memory if that is bounded.
    fn engine(folder: &Folder, memory_kib: &str, log: [&str; 2]) -> Output {
        // Tests run side by side: the folder is each one's own.
        let own = folder.dir.path().file_name().expect("a name").to_string_lossy();
        let name = format!("memory-{}-{}", own.replace('.', "t"), log[1]);
        Command::new("sh")
            .args(["-c", &format!("ulimit -d {memory_kib} && exec \"$@\""), "sh"])
            .arg(env!("CARGO_BIN_EXE_wasm-engine"))
            .args(["run", "run.toml", "--ticks", &TICKS.to_string(), "--name", &name])
            .args(log)
            .current_dir(folder.dir.path())
            .env("XDG_CACHE_HOME", CACHES)
            .output()
            .expect("it starts")
    }

    /// A run that failed, with its log in `log`.
    fn failed(folder: &Folder) -> Output {
        let output = engine(folder, &PROCESS_KIB.to_string(), ["--log", "log"]);
        assert_eq!(output.status.code(), Some(Exit::Failure.code().into()), "{output:?}");
        output
    }

    #[test]
    fn t10_2_t10_3_a_memory_that_cannot_grow_ends_the_run_with_exit_code_1_and_it_can_go_on() {
        let folder = folder();
        let output = failed(&folder);
        let error = String::from_utf8_lossy(&output.stderr);
        for part in [&format!("tick {FAILING}"), "lane 0", "1.0", "memory_bytes_max"] {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
        let verified = verify(&folder.path("log"), ReplayOptions::default()).expect("a log");
        assert_eq!((verified.divergence, verified.run.faults), (None, 0));
        // With the memory it goes on as if nothing had been: no guest was told.
        let outputs =
            |log: &str| fs::read_to_string(folder.path(log).join(OUTPUTS_FILE)).expect("outputs");
        assert_eq!(outputs("log").lines().count() as u64, FAILING - 1, "of the closed ticks");
        for log in [["--resume", "log"], ["--log", "unbroken"]] {
            let output = engine(&folder, "unlimited", log);
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(outputs("log").lines().count() as u64, TICKS - 1);
        assert_eq!(outputs("log"), outputs("unbroken"));
    }

    #[test]
    fn l1_2_the_facts_of_a_tick_are_in_the_log_before_its_first_turn_is_taken() {
        let folder = folder();
        failed(&folder);
        // The run ended in the first microstep of a tick.
        let records = records(&folder.path("log"));
        let ticks = |kind| {
            let of_kind = records.iter().filter(move |record| record.kind == kind);
            of_kind.map(|record| record.tick).collect::<Vec<_>>()
        };
        assert_eq!(ticks(kind::TICK_CLOSE), (0..FAILING).collect::<Vec<_>>());
        assert_eq!(ticks(kind::TICK_OPEN), (0..=FAILING).collect::<Vec<_>>());
    }
}
