//! What brokering costs with the engine alone: for each message 64 bytes into the receiver's
//! memory, `agent_receive` and `agent_step` with fuel set and read, one host call that copies 64
//! bytes out and hashes them once, a look at who the receiver is, and nothing else.
//!
//! Also how many rounds of the agents' arithmetic take a given time.

use std::sync::OnceLock;

use wasmtime::{Caller, Engine, Linker, Memory, Module, Store, TypedFunc};
use xxhash_rust::xxh3::xxh3_64;

use crate::guests::{INBOX_AT, Job, PAYLOAD_BYTES};
use crate::measure::ns_each;
use crate::rig::engine;

/// Rounds of arithmetic that are timed together.
const ROUNDS: u32 = 10_000;
/// Bytes of an item's header, which lies before the payload.
const HEADER_BYTES: usize = 64;
/// Where a context has the copy number.
const COPY_AT: usize = INBOX_AT + 28;
/// Fuel that no segment uses up.
const PLENTY: u64 = u64::MAX / 2;

/// One message.
#[derive(Clone, Copy)]
struct Message {
    to: usize,
    payload: [u8; PAYLOAD_BYTES],
    hash: u64,
}

/// What an agent has sent, by the parity of the round: the next round sends before all have
/// received.
struct Sent {
    memory: Option<Memory>,
    agents: usize,
    parity: usize,
    messages: [Message; 2],
}

/// An agent without a kernel.
struct Agent {
    store: Store<Sent>,
    memory: Memory,
    receive: TypedFunc<i32, i32>,
    step: TypedFunc<i32, i32>,
}

/// Agents that pass messages on without a kernel.
pub struct BareLoop {
    agents: Vec<Agent>,
    fuel: u64,
    rounds: usize,
    /// Of each agent, who sent what it receives next.
    from: Vec<usize>,
    /// Those of the next round.
    next_from: Vec<usize>,
    hashes: u64,
}

impl std::fmt::Debug for BareLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareLoop").field("agents", &self.agents.len()).finish_non_exhaustive()
    }
}

/// The host's part of `send`: checks, copies 64 bytes out, hashes them.
fn send(mut caller: Caller<'_, Sent>, to: i64, at: i32, len: i32) -> i64 {
    let Some(memory) = caller.data().memory else { return -1 };
    let (bytes, sent) = memory.data_and_store_mut(&mut caller);
    let at = at as u32 as usize;
    let Some(payload) = bytes.get(at..at + len as u32 as usize) else { return -1 };
    let to = to as usize;
    if to >= sent.agents || payload.len() != PAYLOAD_BYTES {
        return -1;
    }
    let message = &mut sent.messages[sent.parity];
    message.payload.copy_from_slice(payload);
    message.hash = xxh3_64(&message.payload);
    message.to = to;
    0
}

impl BareLoop {
    /// Agents that have sent their first messages.
    ///
    /// # Panics
    /// Never: what the kernel admits, the engine takes.
    #[must_use]
    pub fn new(count: u32, work: Job) -> Self {
        let engine = engine(count).expect("there is address space");
        let engine = engine.wasmtime();
        let module = Module::new(engine, work.admitted(count, 1).wasm).expect("it compiles");
        let mut linker = Linker::new(engine);
        linker.func_wrap("wasm_engine", "send", send).expect("a new name");
        let count = count as usize;
        let agents = (0..count).map(|copy| agent(engine, &linker, &module, copy, count)).collect();
        let mut bare = Self {
            agents,
            fuel: work.fuel(),
            rounds: 0,
            from: vec![0; count],
            next_from: vec![0; count],
            hashes: 0,
        };
        bare.route();
        bare
    }

    /// Each agent receives one message and sends one; gives how many messages there were.
    ///
    /// # Panics
    /// If a message is lost.
    pub fn round(&mut self) -> usize {
        self.rounds += 1;
        let parity = self.rounds % 2;
        for to in 0..self.agents.len() {
            let payload = self.agents[self.from[to]].store.data().messages[1 - parity].payload;
            let agent = &mut self.agents[to];
            agent.store.data_mut().parity = parity;
            agent.memory.data_mut(&mut agent.store)[INBOX_AT + HEADER_BYTES..][..PAYLOAD_BYTES]
                .copy_from_slice(&payload);
            for call in [&agent.receive, &agent.step] {
                agent.store.set_fuel(self.fuel).expect("fuel is on");
                let code =
                    call.call(&mut agent.store, INBOX_AT as i32).expect("no message is lost");
                let left = agent.store.get_fuel().expect("fuel is on");
                assert!(code == 0 && left < self.fuel, "a call costs fuel and returns 0");
            }
            let Message { to: next, hash, .. } = agent.store.data().messages[parity];
            self.hashes = self.hashes.wrapping_add(hash);
            self.next_from[next] = to;
        }
        std::mem::swap(&mut self.from, &mut self.next_from);
        self.agents.len()
    }

    /// Looks up who receives what was sent at the start.
    fn route(&mut self) {
        for (from, agent) in self.agents.iter().enumerate() {
            self.from[agent.store.data().messages[0].to] = from;
        }
    }
}

fn agent(
    engine: &Engine,
    linker: &Linker<Sent>,
    module: &Module,
    copy: usize,
    agents: usize,
) -> Agent {
    let none = Message { to: 0, payload: [0; PAYLOAD_BYTES], hash: 0 };
    let sent = Sent { memory: None, agents, parity: 0, messages: [none; 2] };
    let mut store = Store::new(engine, sent);
    store.set_fuel(PLENTY).expect("fuel is on");
    let instance = linker.instantiate(&mut store, module).expect("its import is there");
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    store.data_mut().memory = Some(memory);
    let number = (copy as u32).to_le_bytes();
    memory.data_mut(&mut store)[COPY_AT..][..number.len()].copy_from_slice(&number);
    let init = instance.get_typed_func::<(), i32>(&mut store, "agent_init").expect("exported");
    assert_eq!(init.call(&mut store, ()).expect("it returns"), 0, "it begins");
    let mut function = |name| instance.get_typed_func(&mut store, name).expect("exported");
    let (receive, step) = (function("agent_receive"), function("agent_step"));
    Agent { store, memory, receive, step }
}

/// Rounds of arithmetic that take `ns` on this machine, measured once.
///
/// # Panics
/// Never: what the kernel admits, the engine takes.
#[must_use]
pub fn rounds_of(ns: f64) -> u32 {
    static ROUND_NS: OnceLock<f64> = OnceLock::new();
    let round_ns = ROUND_NS.get_or_init(|| {
        let engine = engine(1).expect("there is address space");
        let engine = engine.wasmtime();
        let work = Job::Listen { rounds: ROUNDS };
        let module = Module::new(engine, work.admitted(1, 1).wasm).expect("it compiles");
        let mut linker = Linker::new(engine);
        linker.func_wrap("wasm_engine", "subscribe", |_: i32| 0i64).expect("a new name");
        let mut store = Store::new(engine, ());
        store.set_fuel(PLENTY).expect("fuel is on");
        let instance = linker.instantiate(&mut store, &module).expect("its import is there");
        let step = instance.get_typed_func::<i32, i32>(&mut store, "agent_step");
        let step = step.expect("exported");
        let mut once = || step.call(&mut store, 0).expect("there is fuel");
        let times = (0..50).map(|_| ns_each(1, || assert_eq!(once(), 0)));
        times.fold(f64::INFINITY, f64::min) / f64::from(ROUNDS)
    });
    (ns / round_ns) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_round() {
        let mut bare = BareLoop::new(3, Job::Relay { rounds: 2 });
        let count: usize = (0..10).map(|_| bare.round()).sum();
        assert_eq!(count, 30);
    }
}
