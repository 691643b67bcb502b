//! Who is awake and how memories lie changes no result: equal turns, fuel, faults and states.

use proptest::prelude::*;
use wasm_engine_abi::frame::{Effect, TurnCommand, TurnResult, turn};
use wasm_engine_abi::{AgentId, Digest};
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
