//! The agent slots: who exists, in which phase, with which numbers (SEMANTICS A5, A7, A10).

use std::collections::{BTreeSet, VecDeque};

use wasm_engine_abi::{AgentId, Tick};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{CheckpointError, Coded, Reader, coded, damaged, ensure, put_count};
use crate::inbox::Inbox;
use crate::subscriptions::Memberships;
use crate::tasks::TaskSlot;

/// Where an agent is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// The slot holds no agent.
    #[default]
    Free,
    /// Its init turn is pending.
    Starting,
    /// It takes turns when it has items.
    Active,
    /// It faulted and restarts at the open of this tick.
    Backoff(Tick),
    /// Its shutdown turn is pending; its address is gone already.
    Stopping,
}

impl Coded for Phase {
    fn put(&self, into: &mut Vec<u8>) {
        let (code, due): (u8, Tick) = match *self {
            Self::Free => (0, 0),
            Self::Starting => (1, 0),
            Self::Active => (2, 0),
            Self::Backoff(due) => (3, due),
            Self::Stopping => (4, 0),
        };
        (code, due).put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        Ok(match Coded::take(from)? {
            (0_u8, 0) => Self::Free,
            (1, 0) => Self::Starting,
            (2, 0) => Self::Active,
            (3, due) => Self::Backoff(due),
            (4, 0) => Self::Stopping,
            _ => return Err(damaged("an agent is in no phase")),
        })
    }
}

/// What an agent did so far, for monitors and reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Activity {
    /// Turns committed, faulted ones included.
    pub turns: u64,
    /// Items received.
    pub items: u64,
    /// Effects committed.
    pub effects: u64,
    /// Fuel used.
    pub fuel: u64,
    /// Faults.
    pub faults: u64,
    /// Last fault, one of [`wasm_engine_abi::frame::fault`].
    pub last_fault: u32,
    /// Tick of the last turn.
    pub last_tick: Tick,
    /// The last code other than 0 that its last turn returned, 0 if there was none.
    pub last_code: i32,
}

/// What every turn reads or writes of an agent, in two lines of the cache: with thousands of agents
/// a turn finds none of it there. The rest is [`Rare`].
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Agent {
    pub(crate) generation: u32,
    pub(crate) template: u32,
    pub(crate) copy: u32,
    pub(crate) incarnation: u32,
    /// Fixed by origin; feeds random and traces (A5).
    pub(crate) key: u64,
    /// Next own sequence number; runs over incarnations (A5).
    pub(crate) seq: u64,
    pub(crate) phase: Phase,
    pub(crate) paused: bool,
    /// It has a turn in the microstep under way.
    pub(crate) planned: bool,
    /// A lane holds an instance of it.
    pub(crate) instance: bool,
    /// It took a turn since the last state digest (D5).
    pub(crate) ran: bool,
    /// It changed since monitors were last trace.
    pub(crate) dirty: bool,
    /// One of its tasks is ready.
    pub(crate) has_task: bool,
    pub(crate) answers_used: u32,
    pub(crate) inbox: Inbox,
    /// Longest payload that its inbox takes; [`NOT_SAID`] until its init has said so.
    item_bytes_max: u32,
    pub(crate) tally: Tally,
}

/// No limit of an inbox yet: no payload is as long.
const NOT_SAID: u32 = u32::MAX;
const _: () = assert!(size_of::<Agent>() == 128);

/// What of [`Activity`] every turn counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) turns: u64,
    pub(crate) items: u64,
    pub(crate) effects: u64,
    pub(crate) fuel: u64,
    pub(crate) last_tick: Tick,
    pub(crate) last_code: i32,
}

coded!(Tally { turns, items, effects, fuel, last_tick, last_code });

/// What only some turns read of an agent.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) args: Vec<u8>,
    pub(crate) memberships: Memberships,
    /// Timers of this incarnation that wait.
    pub(crate) timers: u32,
    /// Ticks of the restarts within the supervision window; unused in a group, which counts its
    /// own.
    pub(crate) restarts: VecDeque<Tick>,
    /// Tasks that it may take.
    pub(crate) ready_tasks: Vec<TaskSlot>,
    /// Tasks for it that have not ended.
    pub(crate) tasks_held: u32,
    /// Tasks of this incarnation that have not ended.
    pub(crate) scheduled: Vec<TaskSlot>,
    /// Its restart group (A8).
    pub(crate) group: Option<u32>,
    /// Faults.
    pub(crate) faults: u64,
    /// The last of them.
    pub(crate) last_fault: u32,
    /// Turns of this incarnation, where its template has save points; none faulted.
    pub(crate) own_turns: u64,
    /// Tick of its save point, which its lane holds (A9).
    pub(crate) saved: Option<Tick>,
}

impl Coded for Agent {
    /// What is its own: its inbox is written elsewhere, and between two ticks nothing is planned.
    fn put(&self, into: &mut Vec<u8>) {
        let Self {
            generation,
            template,
            copy,
            incarnation,
            key,
            seq,
            phase,
            paused,
            planned: _,
            instance,
            ran,
            dirty: _,
            // Of the tasks, each says who may take it.
            has_task: _,
            answers_used,
            inbox: _,
            item_bytes_max,
            tally,
        } = self;
        ((*generation, *template), (*copy, *incarnation)).put(into);
        (*key, *seq).put(into);
        phase.put(into);
        ((*paused, *instance), *ran).put(into);
        (*answers_used, *item_bytes_max).put(into);
        tally.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        let ((generation, template), (copy, incarnation)) = Coded::take(from)?;
        let (key, seq) = Coded::take(from)?;
        let phase = Coded::take(from)?;
        let ((paused, instance), ran) = Coded::take(from)?;
        let (answers_used, item_bytes_max) = Coded::take(from)?;
        let tally = Coded::take(from)?;
        Ok(Self {
            generation,
            template,
            copy,
            incarnation,
            key,
            seq,
            phase,
            paused,
            planned: false,
            instance,
            ran,
            dirty: false,
            has_task: false,
            answers_used,
            inbox: Inbox::default(),
            item_bytes_max,
            tally,
        })
    }
}

impl Coded for Rare {
    /// Memberships, timers and tasks know whose they are.
    fn put(&self, into: &mut Vec<u8>) {
        let Self {
            args,
            memberships: _,
            timers: _,
            restarts,
            ready_tasks: _,
            tasks_held: _,
            scheduled: _,
            group,
            faults,
            last_fault,
            own_turns,
            saved,
        } = self;
        args.put(into);
        restarts.put(into);
        group.put(into);
        (*faults, *last_fault).put(into);
        own_turns.put(into);
        saved.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        let (args, restarts) = (Coded::take(from)?, Coded::take(from)?);
        let (group, (faults, last_fault)) = (Coded::take(from)?, Coded::take(from)?);
        let (own_turns, saved) = (Coded::take(from)?, Coded::take(from)?);
        Ok(Self {
            args,
            memberships: Memberships::default(),
            timers: 0,
            restarts,
            ready_tasks: Vec::new(),
            tasks_held: 0,
            scheduled: Vec::new(),
            group,
            faults,
            last_fault,
            own_turns,
            saved,
        })
    }
}

impl Agent {
    /// Whether it may be planned (Q1).
    #[inline]
    pub(crate) fn runnable(&self) -> bool {
        match self.phase {
            Phase::Free | Phase::Backoff(_) => false,
            Phase::Stopping => true,
            Phase::Starting => !self.paused,
            Phase::Active => !self.paused && self.has_work(),
        }
    }

    /// Whether a step would have something to do.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        !self.inbox.is_empty() || self.has_task
    }

    /// Longest payload that its inbox takes, once its init has said so.
    #[inline]
    pub(crate) fn item_bytes_max(&self) -> Option<u32> {
        Some(self.item_bytes_max).filter(|max| *max != NOT_SAID)
    }

    pub(crate) fn set_item_bytes_max(&mut self, max: u32) {
        self.item_bytes_max = max;
    }

    /// Whether messages to its address arrive.
    #[inline]
    pub(crate) fn addressable(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Active | Phase::Backoff(_))
    }
}

/// All slots.
#[derive(Debug)]
pub(crate) struct Agents {
    slots: Vec<Agent>,
    /// By slot too.
    rare: Vec<Rare>,
    agents_max: u32,
    /// Slots below `slots.len()` that hold no agent and may be used.
    free: BTreeSet<u32>,
    /// Slots freed in this tick, free from the next one (A5).
    freed: Vec<u32>,
    alive: u32,
}

impl Agents {
    pub(crate) fn new(agents_max: u32) -> Self {
        Self {
            slots: Vec::new(),
            rare: Vec::new(),
            agents_max,
            free: BTreeSet::new(),
            freed: Vec::new(),
            alive: 0,
        }
    }

    /// Appends all slots; which are free, they say themselves.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let Self { slots, rare, agents_max: _, free: _, freed: _, alive: _ } = self;
        put_count(slots.len(), into);
        for (agent, rare) in slots.iter().zip(rare) {
            agent.put(into);
            rare.put(into);
        }
    }

    /// Reads them, at most `agents_max`, of which `check` admits each.
    pub(crate) fn take(
        agents_max: u32,
        from: &mut Reader<'_>,
        check: impl Fn(&Agent, &Rare) -> Result<(), CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let mut agents = Self::new(agents_max);
        let count = from.count()?;
        ensure(count <= agents_max as usize, "it has more agents than can be")?;
        for index in 0..count as u32 {
            let (agent, rare) = Coded::take(from)?;
            check(&agent, &rare)?;
            if agent.phase == Phase::Free {
                agents.free.insert(index);
            } else {
                agents.alive += 1;
            }
            agents.slots.push(agent);
            agents.rare.push(rare);
        }
        Ok(agents)
    }

    pub(crate) fn alive(&self) -> u32 {
        self.alive
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Agent {
        &self.slots[index as usize]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Agent {
        &mut self.slots[index as usize]
    }

    #[inline]
    pub(crate) fn rare(&self, index: u32) -> &Rare {
        &self.rare[index as usize]
    }

    #[inline]
    pub(crate) fn rare_mut(&mut self, index: u32) -> &mut Rare {
        &mut self.rare[index as usize]
    }

    /// What the agent in slot `index` did so far.
    pub(crate) fn activity(&self, index: u32) -> Activity {
        let Tally { turns, items, effects, fuel, last_tick, last_code } = self.at(index).tally;
        let Rare { faults, last_fault, .. } = *self.rare(index);
        Activity { turns, items, effects, fuel, faults, last_fault, last_tick, last_code }
    }

    /// The address of the agent in slot `index`.
    #[inline]
    pub(crate) fn id(&self, index: u32) -> AgentId {
        AgentId::new(index, self.at(index).generation)
    }

    /// The slot of an address that still receives mail (A7).
    #[inline]
    pub(crate) fn resolve(&self, id: AgentId) -> Option<u32> {
        let agent = self.slots.get(id.index() as usize)?;
        (agent.generation == id.generation() && agent.addressable()).then_some(id.index())
    }

    /// The slot of `id` if that incarnation of it still lives: in backoff it does not, although
    /// mail to the address is kept (A9).
    pub(crate) fn living(&self, id: AgentId, incarnation: u32) -> Option<u32> {
        let index = self.resolve(id)?;
        let agent = self.at(index);
        let lives = agent.incarnation == incarnation && !matches!(agent.phase, Phase::Backoff(_));
        lives.then_some(index)
    }

    /// Puts a new agent into the lowest free slot (A5), its init turn pending; none if all slots
    /// are taken.
    pub(crate) fn create(
        &mut self,
        template: u32,
        copy: u32,
        key: u64,
        args: Vec<u8>,
    ) -> Option<u32> {
        let (index, generation) = match self.free.pop_first() {
            Some(index) => (index, self.at(index).generation + 1),
            None if (self.slots.len() as u32) < self.agents_max => {
                self.slots.push(Agent::default());
                self.rare.push(Rare::default());
                (self.slots.len() as u32 - 1, 0)
            }
            None => return None,
        };
        let slot = self.at_mut(index);
        let (ran, dirty) = (slot.ran, slot.dirty);
        let phase = Phase::Starting;
        let item_bytes_max = NOT_SAID;
        *slot = Agent {
            generation,
            template,
            copy,
            key,
            phase,
            ran,
            dirty,
            item_bytes_max,
            ..Agent::default()
        };
        *self.rare_mut(index) = Rare { args, ..Rare::default() };
        self.alive += 1;
        Some(index)
    }

    /// Empties slot `index`; it is free from the next tick.
    pub(crate) fn release(&mut self, index: u32) {
        let agent = self.at_mut(index);
        agent.phase = Phase::Free;
        agent.instance = false;
        self.freed.push(index);
        self.alive -= 1;
    }

    /// A tick opens: slots freed in the last one may be used.
    pub(crate) fn open(&mut self) {
        self.free.extend(self.freed.drain(..));
    }
}

/// Key of an agent of the configuration (A5).
pub(crate) fn configured_key(name: &str, copy: u32) -> u64 {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&copy.to_le_bytes());
    xxh3_64(&bytes)
}

/// Key of a spawned agent (A5).
pub(crate) fn spawned_key(parent: u64, spawn_seq: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&parent.to_le_bytes());
    bytes[8..].copy_from_slice(&spawn_seq.to_le_bytes());
    xxh3_64(&bytes)
}

/// Key of an agent that the host spawned (A5).
pub(crate) fn host_key(template: &str, command_seq: u64) -> u64 {
    // No configured name begins with a zero byte.
    let mut bytes = vec![0];
    bytes.extend_from_slice(template.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&command_seq.to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_5_a5_6_a7_1_a_freed_slot_is_free_from_the_next_tick_and_gets_a_new_generation() {
        let mut agents = Agents::new(2);
        let create = |agents: &mut Agents| agents.create(0, 0, 0, Vec::new());
        assert_eq!(
            (create(&mut agents), create(&mut agents), create(&mut agents)),
            (Some(0), Some(1), None)
        );
        let old = agents.id(0);
        agents.release(0);
        assert_eq!(create(&mut agents), None, "same tick");
        agents.open();
        assert_eq!(create(&mut agents), Some(0));
        assert_eq!(agents.resolve(old), None);
        assert_eq!(agents.resolve(agents.id(0)), Some(0));
        assert_eq!(agents.alive(), 2);
    }

    #[test]
    fn a5_1_a_key_is_the_hash_of_its_origin() {
        let mut named = b"worker\0".to_vec();
        named.extend_from_slice(&3_u32.to_le_bytes());
        assert_eq!(configured_key("worker", 3), xxh3_64(&named));
        let spawned: Vec<u8> = [9_u64, 7].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(spawned_key(9, 7), xxh3_64(&spawned));
        // A change of either breaks every log: its random numbers and traces are others.
        assert_eq!(configured_key("worker", 3), 0xacd8_9931_02a0_bdf1, "breaks A5");
        assert_eq!(spawned_key(9, 7), 0x13ee_2d35_3cba_1f9d, "breaks A5");
        let keys = [("worker", 0), ("worker", 1), ("worker1", 0), ("", 0)];
        let mut keys: Vec<_> =
            keys.iter().map(|(name, copy)| configured_key(name, *copy)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn a5_5_a_new_agent_gets_the_lowest_free_slot() {
        let mut agents = Agents::new(5);
        let create = |agents: &mut Agents| agents.create(0, 0, 0, Vec::new());
        for slot in 0..4 {
            assert_eq!(create(&mut agents), Some(slot));
        }
        for slot in [3, 0, 2] {
            agents.release(slot);
        }
        agents.open();
        for expected in [Some(0), Some(2), Some(3), Some(4), None] {
            assert_eq!(create(&mut agents), expected);
        }
    }
}
