//! States that come back: save points, and what a keyframe gives (SEMANTICS A9, L8).
//!
//! A save point is a sleeper of its own beside the agent: what the state behind a turn changed of
//! its module's image. Who goes back to it sleeps with a copy and wakes for its next turn.

use crate::error::Stop;
use crate::seat::{Holder, Seat};
use crate::seats::{Presence, Seats};
use crate::sleeper::Sleeper;

impl Seats {
    /// The state of the agent in this slot, which is awake behind its turn, is its save point.
    pub(crate) fn keep(&mut self, slot: u32) -> Result<(), Stop> {
        let Some(Presence::Awake(number)) = self.agents.get(slot as usize) else {
            return Err(Stop::command("who is to be saved is not awake"));
        };
        let number = *number;
        let memory_bytes = self.compare(number)?;
        let Seat { holder, program, inbox, .. } = self.seats[number as usize];
        let holder = holder.ok_or_else(|| Stop::command("who is to be saved has no seat"))?;
        let difference = self.writer.finish();
        let saved = Sleeper { holder, program, inbox, memory_bytes, difference };
        self.saved.insert(slot, saved);
        Ok(())
    }

    /// Appends the save point of the agent in this slot; false if it has none.
    pub(crate) fn kept(&self, slot: u32, into: &mut Vec<u8>) -> bool {
        let saved = self.saved.get(&slot);
        saved.inspect(|saved| saved.put(into)).is_some()
    }

    /// An incarnation has the state of its agent's save point, and sleeps.
    pub(crate) fn go_back(&mut self, holder: Holder) -> Result<(), Stop> {
        let slot = holder.slot();
        self.end(slot)?;
        let saved = self.saved.get(&slot).filter(|saved| saved.holder.agent == holder.agent);
        let saved = saved.ok_or_else(|| Stop::command("an agent has no save point"))?;
        let sleeper = saved.of(holder);
        self.put_asleep(slot, sleeper);
        Ok(())
    }

    /// The agent in this slot is no more, and so is its save point.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.saved.remove(&slot);
    }

    /// Gives the agent in a slot a save point that [`Seats::kept`] gave.
    pub(crate) fn restore_kept(
        &mut self,
        holder: Holder,
        program: u32,
        state: &[u8],
    ) -> Result<(), Stop> {
        let saved = self.sleeper(holder, program, state)?;
        self.saved.insert(holder.slot(), saved);
        Ok(())
    }

    /// Puts an agent with a saved state into its slot, asleep; who was there is gone.
    pub(crate) fn restore(
        &mut self,
        holder: Holder,
        program: u32,
        state: &[u8],
    ) -> Result<(), Stop> {
        let sleeper = self.sleeper(holder, program, state)?;
        let slot = holder.slot();
        self.end(slot)?;
        self.put_asleep(slot, sleeper);
        Ok(())
    }

    /// The sleeper that a saved state of this program is.
    fn sleeper(&mut self, holder: Holder, program: u32, state: &[u8]) -> Result<Sleeper, Stop> {
        let Some(code) = self.shared.programs.get(program as usize) else {
            return Err(Stop::state("there is no such template"));
        };
        if holder.slot() >= self.shared.agents_max {
            return Err(Stop::state("there is no such agent slot"));
        }
        let memory_bytes_max = code.terms.memory_bytes_max;
        if self.pools[program as usize].image.is_none() {
            // To every program without a seat one is kept.
            let number = self.add(program)?;
            self.pools[program as usize].idle.push(number);
            self.free += 1;
        }
        let Some(image) = &self.pools[program as usize].image else {
            return Err(Stop::command("a seat has no image"));
        };
        Sleeper::saved(holder, program, state, image, memory_bytes_max)
    }

    fn put_asleep(&mut self, slot: u32, sleeper: Sleeper) {
        if self.agents.len() <= slot as usize {
            self.agents.resize_with(slot as usize + 1, Presence::default);
        }
        self.agents[slot as usize] = Presence::Asleep(Box::new(sleeper));
        self.asleep += 1;
    }
}
