//! Who is awake and how memories lie changes no result: equal turns, fuel, faults and states.

use proptest::prelude::*;
use wasm_engine_abi::frame::{Effect, TurnCommand, TurnResult, turn};
use wasm_engine_abi::{AgentId, Digest};
use wasm_engine_guest::MachineFailure;
use wasm_engine_guest::engine::MemoryLayout;

use crate::rig::{FUEL, Order, PROBE, Rig, order, publishing, setup, wasm};

/// Agents of the test.
const AGENTS: u32 = 6;

/// What happens to one of them.
#[derive(Clone, Debug)]
enum Event {
    /// It takes a turn with this order.
    Step(u32, Order),
    /// Its state is hashed.
    Hash(u32),
    /// It ends, and a new incarnation begins.
    Restart(u32),
    /// It shuts down, and another agent takes its slot.
    Shutdown(u32),
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        // Draws, which it keeps in its memory behind the inbox and publishes.
        (1_u64..40).prop_map(|count| order(18, [count], b"")),
        any::<[u8; 24]>().prop_map(|bytes| publishing(0, &bytes)),
        (0_u64..3).prop_map(|pages| order(27, [pages], b"")),
        Just(order(40, [], b"")),
        // Out of bounds, division by zero, unreachable, endless recursion.
        (0_u64..8).prop_map(|at| order(22, [at * 32_768], b"")),
        (0_u64..2).prop_map(|by| order(21, [by], b"")),
        Just(order(20, [], b"")),
        Just(order(24, [], b"")),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let agent = 0..AGENTS;
    let event = prop_oneof![
        8 => (agent.clone(), orders()).prop_map(|(agent, order)| Event::Step(agent, order)),
        2 => agent.clone().prop_map(Event::Hash),
        1 => agent.clone().prop_map(Event::Restart),
        1 => agent.prop_map(Event::Shutdown),
    ];
    prop::collection::vec(event, 1..60)
}

/// A lane with [`AGENTS`] agents, and what their turns gave.
struct Lane {
    rig: Rig,
    commands: Vec<TurnCommand>,
    given: Vec<(TurnResult, Vec<Effect>)>,
}

impl Lane {
    fn new(seats: u32, layout: MemoryLayout) -> Self {
        let rig = Rig::seated(&wasm(PROBE), &setup(), seats, layout);
        let command = |slot| TurnCommand {
            agent: AgentId::new(slot, 0).to_bits(),
            // Every other one is of a program of its own.
            template: slot % 2,
            incarnation: 1,
            ..rig.command(turn::INIT)
        };
        let commands = (0..AGENTS).map(command).collect();
        let mut lane = Self { rig, commands, given: Vec::new() };
        (0..AGENTS).for_each(|agent| lane.init(agent));
        lane
    }

    fn take(&mut self, command: &TurnCommand, orders: &[Order]) -> TurnResult {
        let items = self.rig.items(orders);
        let command = TurnCommand { items: items.len() as u32, ..*command };
        let turn = self.rig.run(&command, &items, b"");
        let effects = turn.effects.iter().map(|effect| Effect { block: 0, ..*effect }).collect();
        self.given.push((turn.result, effects));
        turn.result
    }

    fn init(&mut self, agent: u32) {
        let command = self.commands[agent as usize];
        let result = self.take(&command, &[]);
        assert_eq!(result.fault, 0);
    }

    /// Whoever ended begins again in its next incarnation.
    fn again(&mut self, agent: u32) {
        self.commands[agent as usize].incarnation += 1;
        self.init(agent);
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Step(agent, order) => {
                let command = self.commands[*agent as usize];
                let command = TurnCommand { kind: turn::STEP, ..command };
                let result = self.take(&command, std::slice::from_ref(order));
                if result.fault != 0 {
                    assert_eq!(result.fuel, FUEL, "the whole budget");
                    self.again(*agent);
                }
            }
            Event::Hash(agent) => {
                let command = self.commands[*agent as usize];
                let result = self.take(&TurnCommand { kind: turn::HASH, ..command }, &[]);
                assert_ne!(result.digest, Digest::default());
            }
            Event::Restart(agent) => {
                let command = self.commands[*agent as usize];
                self.take(&TurnCommand { kind: turn::DROP, ..command }, &[]);
                self.again(*agent);
            }
            Event::Shutdown(agent) => {
                let command = self.commands[*agent as usize];
                self.take(&TurnCommand { kind: turn::SHUTDOWN, ..command }, &[]);
                let id = AgentId::from_bits(command.agent);
                let next = AgentId::new(id.index(), id.generation() + 1);
                self.commands[*agent as usize].agent = next.to_bits();
                self.init(*agent);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn t4_1_who_is_awake_and_how_memories_lie_changes_no_result(events in events()) {
        let mut lanes = [
            Lane::new(AGENTS + 2, MemoryLayout::Guarded),
            Lane::new(AGENTS + 2, MemoryLayout::Dense),
            Lane::new(2, MemoryLayout::Guarded),
            Lane::new(3, MemoryLayout::Dense),
        ];
        for event in &events {
            for lane in &mut lanes {
                lane.happen(event);
            }
        }
        for agent in 0..AGENTS {
            for lane in &mut lanes {
                lane.happen(&Event::Hash(agent));
            }
        }
        let [first, others @ ..] = &lanes;
        for lane in others {
            prop_assert_eq!(&first.given, &lane.given);
        }
        for (lane, seats) in lanes.iter().zip([AGENTS + 2, AGENTS + 2, 2, 3]) {
            let (awake, asleep) = lane.rig.lane.agents();
            prop_assert!(awake <= seats && awake + asleep == AGENTS, "{} {}", awake, asleep);
        }
    }
}

/// States of all agents.
fn saved(lane: &mut Lane) -> Vec<Option<Vec<u8>>> {
    let agents: Vec<_> = lane.commands.iter().map(|command| command.agent).collect();
    let save = |agent| {
        let mut state = Vec::new();
        let there = lane.rig.lane.save(AgentId::from_bits(agent), &mut state);
        there.expect("the machine works").then_some(state)
    };
    agents.into_iter().map(save).collect()
}

/// Another lane that goes on from the states of `lane`.
fn restored(lane: &mut Lane, seats: u32, layout: MemoryLayout) -> Lane {
    let states = saved(lane);
    let mut rig = Rig::seated(&wasm(PROBE), &setup(), seats, layout);
    (rig.epoch, rig.seq) = (lane.rig.epoch, lane.rig.seq);
    for (command, state) in lane.commands.iter().zip(states) {
        let TurnCommand { agent, incarnation, template, .. } = *command;
        let (agent, state) = (AgentId::from_bits(agent), state.expect("it lives"));
        rig.lane.restore(agent, incarnation, template, &state).expect("it was just saved");
    }
    Lane { rig, commands: lane.commands.clone(), given: std::mem::take(&mut lane.given) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn l8_1_l8_2_agents_in_another_lane_go_on_as_if_they_had_stayed(events in events()) {
        let mut one = Lane::new(AGENTS + 2, MemoryLayout::Guarded);
        let mut other = Lane::new(AGENTS + 2, MemoryLayout::Guarded);
        for (at, event) in events.iter().enumerate() {
            one.happen(event);
            other.happen(event);
            // As many seats as agents, or so few that everybody sleeps.
            let layout = [MemoryLayout::Dense, MemoryLayout::Guarded][at % 2];
            other = restored(&mut other, [2, 3, AGENTS + 2][at % 3], layout);
            prop_assert_eq!(saved(&mut one), saved(&mut other), "awake or asleep");
        }
        for agent in 0..AGENTS {
            one.happen(&Event::Hash(agent));
            other.happen(&Event::Hash(agent));
        }
        prop_assert_eq!(&one.given, &other.given);
    }
}

/// Bytes that are no state of the module are refused, whatever they are.
#[test]
fn l8_4_every_cut_of_a_state_and_every_byte_outside_its_memory_is_refused() {
    let mut lane = Lane::new(2, MemoryLayout::Dense);
    lane.happen(&Event::Step(0, order(18, [40], b"")));
    let state = saved(&mut lane).swap_remove(0).expect("it lives");
    let mut rig = Rig::seated(&wasm(PROBE), &setup(), 2, MemoryLayout::Dense);
    let mut restore = |state: &[u8]| rig.lane.restore(AgentId::new(0, 0), 1, 0, state);
    let mut whole = 0;
    for cut in 0..state.len() {
        match restore(&state[..cut]) {
            // What is left ends behind a run.
            Ok(()) => whole += 1,
            Err(error) => assert_eq!(error.failure, MachineFailure::State, "cut at {cut}"),
        }
    }
    assert!(whole * 8 < state.len(), "{whole} of {} cuts", state.len());
    for at in 0..state.len() {
        for value in [state[at] ^ 1, state[at] ^ 0x80, 0xff] {
            let mut changed = state.clone();
            changed[at] = value;
            if let Err(error) = restore(&changed) {
                assert_eq!(error.failure, MachineFailure::State, "byte {at}");
            }
        }
    }
    restore(&state).expect("it was just saved");
    assert!(rig.lane.restore(AgentId::new(0, 0), 1, 9, &state).is_err(), "no such template");
    assert!(rig.lane.restore(AgentId::new(99, 0), 1, 0, &state).is_err(), "no such slot");
}

/// Whoever ends leaves nothing to whoever takes the seat.
#[test]
fn a8_2_a_seat_is_as_new_for_its_next_holder() {
    // The state after each of two restarts, of which the first follows a fault.
    let states = |orders: &[Order]| {
        let mut lane = Lane::new(2, MemoryLayout::Dense);
        orders.iter().for_each(|order| lane.happen(&Event::Step(0, order.clone())));
        lane.happen(&Event::Step(0, order(24, [], b"")));
        let first = lane.first_state();
        orders.iter().for_each(|order| lane.happen(&Event::Step(0, order.clone())));
        assert!(orders.is_empty() || lane.first_state() != first);
        lane.happen(&Event::Restart(0));
        [first, lane.first_state()]
    };
    assert_eq!(states(&[order(18, [40], b""), order(27, [1], b"")]), states(&[]));
}

impl Lane {
    fn first_state(&mut self) -> Digest {
        self.happen(&Event::Hash(0));
        self.given.last().expect("it was hashed").0.digest
    }
}
