//! By priority plus age, then by position (SEMANTICS Q2).

use wasm_engine_abi::Tick;

use crate::codec::{CheckpointError, Coded as _, Reader, ensure};
use crate::schedule::verdict::Verdict;

#[derive(Clone, Copy, Debug)]
struct Entry {
    agent: u32,
    since: Tick,
    position: u64,
}

/// The runnable agents, sorted when a microstep is planned: age changes the order of those who
/// wait, so no order kept between ticks would hold.
///
/// A removed agent leaves a dead entry behind, recognised by its outdated position, until then.
#[derive(Debug)]
pub(crate) struct Priority {
    entries: Vec<Entry>,
    /// Position of each agent, 0 if it is not there.
    position: Vec<u64>,
    /// Of each agent that is there; a task may raise it while it waits.
    priority: Vec<i32>,
    next_position: u64,
    len: usize,
    aging_ticks: u64,
}

impl Priority {
    pub(super) fn new(agents_max: u32, aging_ticks: u64) -> Self {
        let slots = agents_max as usize;
        Self {
            entries: Vec::with_capacity(slots),
            position: vec![0; slots],
            priority: vec![0; slots],
            next_position: 1,
            len: 0,
            aging_ticks: aging_ticks.max(1),
        }
    }

    pub(super) fn insert(&mut self, agent: u32, priority: i32, now: Tick) {
        if self.position[agent as usize] != 0 {
            return;
        }
        self.position[agent as usize] = self.next_position;
        self.priority[agent as usize] = priority;
        self.entries.push(Entry { agent, since: now, position: self.next_position });
        self.next_position += 1;
        self.len += 1;
    }

    /// Gives an agent another priority; its position, and since when it waits, stay.
    pub(super) fn set_priority(&mut self, agent: u32, priority: i32) {
        self.priority[agent as usize] = priority;
    }

    pub(super) fn remove(&mut self, agent: u32) {
        if std::mem::take(&mut self.position[agent as usize]) != 0 {
            self.len -= 1;
        }
    }

    /// Appends who is in it, by position: positions are only compared.
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        let Self { entries, position, priority, next_position: _, len: _, aging_ticks: _ } = self;
        let held = |entry: &&Entry| position[entry.agent as usize] == entry.position;
        let mut held: Vec<_> = entries.iter().filter(held).collect();
        held.sort_unstable_by_key(|entry| entry.position);
        let terms = |entry: &Entry| {
            let Entry { agent, since, position: _ } = *entry;
            (agent, (priority[agent as usize], since))
        };
        held.into_iter().map(terms).collect::<Vec<_>>().put(into);
    }

    /// Reads it, into an empty one, in tick `now`; `admit` says whether an agent may be in it.
    pub(super) fn take(
        &mut self,
        from: &mut Reader<'_>,
        now: Tick,
        mut admit: impl FnMut(u32) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        for (agent, (priority, since)) in Vec::<(u32, (i32, Tick))>::take(from)? {
            ensure(since <= now, "an agent is runnable from a later tick on")?;
            admit(agent)?;
            self.insert(agent, priority, since);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn plan(&mut self, now: Tick, mut verdict_of: impl FnMut(u32) -> Verdict) {
        let (aging, position, priority) = (self.aging_ticks, &self.position, &self.priority);
        self.entries.retain(|entry| position[entry.agent as usize] == entry.position);
        // Positions are unique, so the unstable sort has no equal keys.
        self.entries.sort_unstable_by_key(|entry| {
            let age = i64::try_from((now - entry.since) / aging).unwrap_or(i64::MAX / 2);
            (std::cmp::Reverse(i64::from(priority[entry.agent as usize]) + age), entry.position)
        });
        let taken = self
            .entries
            .iter()
            .take_while(|entry| verdict_of(entry.agent) == Verdict::Take)
            .count();
        for entry in self.entries.drain(..taken) {
            self.position[entry.agent as usize] = 0;
            self.len -= 1;
        }
    }
}
