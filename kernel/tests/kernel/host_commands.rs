//! What a host tells its kernel to do: outcomes, refusals, and that it is in the log.

use tempfile::TempDir;
use wasm_engine::{
    host::{CommandOutcome, CommandRefusal, Host, HostCommand, TickPoll},
    replay::{ReplayOptions, verify},
};
use wasm_engine_abi::{AgentId, calls::Status};

use crate::host::{OUT, builder, config, echoed, echoes, host};
use crate::support::prog;

fn outcomes(host: &Host) -> Vec<Status> {
    host.command_outcomes().map(|outcome| outcome.status).collect()
}

#[test]
fn t5_8_t7_8_a_command_names_the_next_tick_and_has_one_outcome() {
    let mut host = host(&config("", &[echoes(), echoes()]));
    let one = host.agent("agent1/0").expect("it is configured");
    assert_eq!(host.agent("agent1"), None, "the name of an agent, not of an entry");
    let first = host.command(HostCommand::Pause(one)).expect("it is taken");
    assert_eq!(host.next_due(), Some(std::time::Duration::ZERO));
    host.push("in", "a", b"x").expect("there is room");
    host.command(HostCommand::Pause(one)).expect("it is taken");
    assert_eq!(host.tick().expect("it runs"), TickPoll::Done(1));
    assert_eq!(outcomes(&host), [Status::Ok, Status::Already]);
    assert_eq!(host.command_outcomes().next().map(|outcome| outcome.command.seq), Some(first));
    assert_eq!(echoed(&host), [b"x"], "one of the two is paused, and was before the input came");
    host.command(HostCommand::Resume(one)).expect("it is taken");
    host.tick().expect("it runs");
    assert_eq!((outcomes(&host), echoed(&host)), (vec![Status::Ok], vec![b"x".to_vec()]));
    let args = prog().publish(OUT, b"made").args();
    let spawn = HostCommand::Spawn { agent: "agent0", args: args.as_bytes() };
    host.command(spawn).expect("it is taken");
    host.tick().expect("it runs");
    let made = host.command_outcomes().map(|outcome| outcome.agent).next().expect("an outcome");
    assert_eq!(host.outputs().map(|output| output.from).collect::<Vec<_>>(), [made]);
    host.command(HostCommand::Terminate(made)).expect("it is taken");
    host.command(HostCommand::Terminate(AgentId::new(7, 7))).expect("it is taken");
    host.run_until_idle(9).expect("it runs");
    assert_eq!(outcomes(&host), [Status::Ok, Status::Gone]);
    assert_eq!(host.poll_tick().expect("it runs"), TickPoll::Idle);
    assert_eq!(host.command_outcomes().count(), 0, "those of the last call only");
    let report = host.close().expect("it ends");
    assert_eq!((report.commands, report.commands_refused, report.faults), (6, 2, 0));
}

#[test]
fn a_command_that_is_not_taken_says_why_and_changes_nothing() {
    let mut host = host(&config("", &[echoes()]));
    let spawn = HostCommand::Spawn { agent: "agent9", args: b"" };
    let unknown = CommandRefusal::UnknownAgent { name: "agent9".to_owned() };
    assert_eq!(host.command(spawn), Err(unknown));
    let long = vec![0; 4097];
    let spawn = HostCommand::Spawn { agent: "agent0", args: &long };
    assert_eq!(host.command(spawn), Err(CommandRefusal::TooLong { len: 4097, max: 4096 }));
    let refused = host.command(HostCommand::Load("m")).expect_err("there are no models");
    assert!(refused.to_string().contains("is no model of the run"), "{refused}");
    let pause = HostCommand::Pause(AgentId::new(0, 0));
    for _ in 0..4096 {
        host.command(pause).expect("it is taken");
    }
    assert_eq!(host.command(pause), Err(CommandRefusal::Full));
    assert_eq!(host.tick().expect("it runs"), TickPoll::Done(1));
    assert_eq!(host.command_outcomes().count(), 4096);
    host.command(pause).expect("there is room again");
}

/// Commands and inputs by turns; gives the digest after each tick.
fn driven(host: &mut Host, rounds: std::ops::Range<u64>) {
    for round in rounds {
        let agent = AgentId::new((round % 2) as u32, 0);
        let args = prog().publish(OUT, b"made").args();
        let command = match round % 4 {
            0 => HostCommand::Pause(agent),
            1 => HostCommand::Spawn { agent: "agent0", args: args.as_bytes() },
            2 => HostCommand::Resume(agent),
            _ => HostCommand::Terminate(AgentId::new(2 + round as u32 / 4, 0)),
        };
        host.command(command).expect("it is taken");
        host.push("in", "a", &round.to_le_bytes()).expect("there is room");
        host.tick().expect("it runs");
    }
}

#[test]
fn l6_1_l5_4_commands_of_a_host_replay_and_number_on_when_resumed() {
    let dir = TempDir::new().expect("a folder");
    // An input and a command of the configuration come with them.
    let text = config("", &[echoes(), echoes()])
        + "[[command]]\ntick = 3\naction = \"spawn\"\nagent = \"agent1\"\n";
    let log = |name: &str| dir.path().join(name);
    let mut whole = builder(&text).log(log("whole")).start().expect("it starts");
    whole.tick().expect("tick 0");
    driven(&mut whole, 0..20);
    let report = whole.close().expect("it ends");
    assert_eq!((report.commands, report.last_tick), (21, 20));
    for cut in [1, 4, 9] {
        let part = log(&format!("part{cut}"));
        let mut host = builder(&text).log(part.clone()).start().expect("it starts");
        host.tick().expect("tick 0");
        driven(&mut host, 0..cut);
        drop(host.close().expect("it ends"));
        let mut host = builder(&text).resume(part.clone()).start().expect("it goes on");
        driven(&mut host, cut..20);
        let seqs: Vec<_> =
            host.command_outcomes().map(|CommandOutcome { command, .. }| command.seq).collect();
        assert_eq!(seqs, [(1 << 63) + 19], "cut after {cut}");
        assert_eq!(host.close().expect("it ends").digest, report.digest, "cut after {cut}");
        for workers in [0, 2] {
            let options = ReplayOptions { workers, ..ReplayOptions::default() };
            let verified = verify(&part, options).expect("verifies");
            assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
        }
    }
}
