//! The agents of a lane: awake in a seat, or asleep.
//!
//! ```text
//!            start                    another needs the seat, and it did not run for long
//!  nowhere ---------> awake: a seat  ------------------------------------> asleep: a difference
//!     ^                 |   ^                                                   |
//!     +---- end --------+   +----------------- its next turn -------------------+
//! ```
//! Why: an instance with its memory takes some 6 KiB of the machine and an agent that is at rest
//! differs from its module by some hundred bytes. So there are as many seats as can be afforded,
//! all in one store, whose own data stay in the cache; an agent without a seat is what its memory
//! and globals differ by from the module's image, which is all of its state (admission refuses what
//! could hide more). Who sleeps is physical: no result depends on it.
//!
//! A seat whose memory grew fits only who had as much, for a memory cannot shrink. When such seats
//! and those that nobody holds are more than those in use, all are given back at once: everybody
//! sleeps, and a new store begins empty.

mod kept_states;

use std::collections::BTreeMap;
use std::sync::Arc;

use wasm_engine_abi::frame::{ItemFrame, TurnCommand, turn};
use wasm_engine_abi::{AgentId, Digest};

use crate::areas::Sources;
use crate::dirty_pages::DirtyPages;
use crate::error::Stop;
use crate::image::{DifferenceReader, DifferenceWriter, Image};
use crate::lane_store::LaneStore;
use crate::prefetch;
use crate::program::LaneShared;
use crate::seat::{GuestInbox, Holder, Seat};
use crate::sleeper::Sleeper;
use crate::state_digest::StateDigest;
use crate::turn::{Host, TurnContext};

/// Seats that nobody holds are kept up to this many, however few are in use.
const SPARE_SEATS: usize = 1024;
/// Lines of a difference that are asked for ahead.
const DIFFERENCE_LINES: usize = 4;
/// Seats whose memories grew that are looked at for one of the right size.
const GROWN_SEARCHED: usize = 16;

/// Where an agent is.
#[derive(Debug, Default)]
enum Presence {
    #[default]
    Nowhere,
    /// In the seat of this number.
    Awake(u32),
    Asleep(Box<Sleeper>),
}

/// The seats of one program.
#[derive(Debug, Default)]
struct Pool {
    image: Option<Image>,
    /// All of them.
    seats: Vec<u32>,
    /// Those that nobody holds, at the image.
    idle: Vec<u32>,
    /// The same, but with memories that grew.
    grown: Vec<u32>,
    /// Where in `seats` the search for one to be put to sleep goes on.
    hand: usize,
}

/// The agents of a lane.
pub(crate) struct Seats {
    shared: Arc<LaneShared>,
    store: LaneStore,
    seats: Vec<Seat>,
    pools: Vec<Pool>,
    /// By slot of the agent; grows to the highest that was used.
    agents: Vec<Presence>,
    /// Save points, by slot of the agent.
    saved: BTreeMap<u32, Sleeper>,
    /// Seats that nobody holds.
    free: usize,
    /// Agents that sleep.
    asleep: usize,
    dirty: DirtyPages,
    writer: DifferenceWriter,
    /// A memory at its image, to lay differences over.
    scratch: Vec<u8>,
}

impl Seats {
    pub(crate) fn new(shared: Arc<LaneShared>, context: TurnContext) -> Self {
        Self {
            store: LaneStore::new(
                shared.engine.wasmtime(),
                Host::new(
                    shared.programs.iter().map(|program| Arc::clone(&program.terms)),
                    context,
                ),
            ),
            seats: Vec::new(),
            pools: shared.programs.iter().map(|_| Pool::default()).collect(),
            agents: Vec::new(),
            saved: BTreeMap::new(),
            free: 0,
            asleep: 0,
            dirty: DirtyPages::new(),
            writer: DifferenceWriter::default(),
            scratch: Vec::new(),
            shared,
        }
    }

    /// The lane's working state.
    #[inline]
    pub(crate) fn context(&self) -> &TurnContext {
        &self.store.data().turn
    }

    #[inline]
    pub(crate) fn context_mut(&mut self) -> &mut TurnContext {
        &mut self.store.data_mut().turn
    }

    /// Agents awake and asleep.
    #[inline]
    pub(crate) fn agents(&self) -> (u32, u32) {
        // There are fewer agents than numbers for their slots.
        ((self.seats.len() - self.free) as u32, self.asleep as u32)
    }

    /// Asks for where the agent in this slot is.
    #[inline]
    pub(crate) fn prefetch_agent(&self, slot: u32) {
        if let Some(agent) = self.agents.get(slot as usize) {
            prefetch::value(agent);
        }
    }

    /// Asks for the seat of the agent in this slot.
    #[inline]
    pub(crate) fn prefetch_seat(&self, slot: u32) {
        match self.agents.get(slot as usize) {
            Some(Presence::Awake(seat)) => prefetch::value(&self.seats[*seat as usize]),
            Some(Presence::Asleep(sleeper)) => prefetch::value(&**sleeper),
            _ => {}
        }
    }

    /// Asks for what the next turn of the agent in this slot reads.
    #[inline]
    pub(crate) fn prefetch_instance(&self, slot: u32) {
        match self.agents.get(slot as usize) {
            Some(Presence::Awake(seat)) => self.seats[*seat as usize].prefetch(),
            Some(Presence::Asleep(sleeper)) => {
                prefetch::around(sleeper.difference.as_ptr(), 0, DIFFERENCE_LINES);
            }
            _ => {}
        }
    }

    /// Gives a new incarnation a seat; a former one of the same slot is gone.
    pub(crate) fn start(&mut self, command: &TurnCommand) -> Result<u32, Stop> {
        if self.shared.programs.get(command.template as usize).is_none() {
            return Err(Stop::command("there is no such template"));
        }
        let slot = AgentId::from_bits(command.agent).index();
        if slot >= self.shared.agents_max {
            return Err(Stop::command("there is no such agent slot"));
        }
        self.end(slot)?;
        let number = self.vacant(command.template, None)?;
        // Its init has yet to name one.
        self.seats[number as usize].inbox = GuestInbox::default();
        self.sit(slot, number, Holder::of(command));
        Ok(number)
    }

    /// The seat of the incarnation whose turn it is; wakes it.
    #[inline]
    pub(crate) fn held(&mut self, command: &TurnCommand) -> Result<u32, Stop> {
        let slot = AgentId::from_bits(command.agent).index();
        let number = match self.agents.get(slot as usize) {
            Some(Presence::Awake(number)) => *number,
            Some(Presence::Asleep(_)) => self.wake(slot)?,
            Some(Presence::Nowhere) | None => {
                return Err(Stop::command("no instance lives in the slot"));
            }
        };
        if self.seats[number as usize].holder != Some(Holder::of(command)) {
            return Err(Stop::command("another incarnation lives in the slot"));
        }
        Ok(number)
    }

    /// Lets the holder of a seat take its turn.
    #[inline]
    pub(crate) fn turn(
        &mut self,
        number: u32,
        command: &TurnCommand,
        items: &[ItemFrame],
        args: &[u8],
        areas: &Sources,
        epoch: u64,
    ) -> Result<(), Stop> {
        let Self { store, seats, shared, .. } = self;
        let seat = &mut seats[number as usize];
        seat.used = true;
        store.data_mut().begin_turn(seat.program, seat.memory, command);
        match command.kind {
            turn::STEP => seat.step(store, command, items, areas, epoch),
            turn::INIT => seat.init(store, &shared.programs[seat.program as usize], command, args),
            _ => seat.shutdown(store, &shared.programs[seat.program as usize]),
        }
    }

    /// Bytes of the longest payload that the holder's inbox takes.
    pub(crate) fn item_bytes_max(&self, number: u32) -> u32 {
        self.seats[number as usize].item_bytes_max()
    }

    /// The agent in this slot is gone: its seat is free, or its difference dropped.
    pub(crate) fn end(&mut self, slot: u32) -> Result<(), Stop> {
        let Some(agent) = self.agents.get_mut(slot as usize) else { return Ok(()) };
        match std::mem::take(agent) {
            Presence::Awake(number) => {
                self.leave(number, false)?;
                self.seats[number as usize].reset_depth(&mut self.store)?;
                self.give_back_if_many()
            }
            Presence::Asleep(_) => {
                self.asleep -= 1;
                Ok(())
            }
            Presence::Nowhere => Ok(()),
        }
    }

    /// The state digest; none where nobody is.
    pub(crate) fn digest(&mut self, slot: u32) -> Result<Option<Digest>, Stop> {
        match self.agents.get(slot as usize) {
            Some(Presence::Awake(number)) => {
                let seat = &self.seats[*number as usize];
                let globals = seat.globals(&mut self.store)?;
                let (memory, dirty) = (seat.memory.data(&*self.store), &mut self.dirty);
                let mut digest = StateDigest::default();
                dirty.each(memory.as_ptr(), memory.len(), |run| digest.run(memory, run));
                Ok(Some(digest.finish(memory, &globals)))
            }
            Some(Presence::Asleep(sleeper)) => {
                let image = self.pools[sleeper.program as usize].image.as_ref();
                let image =
                    image.ok_or_else(|| Stop::command("an agent sleeps without an image"))?;
                Ok(Some(sleeper.digest(image, &mut self.scratch)))
            }
            Some(Presence::Nowhere) | None => Ok(None),
        }
    }

    /// Appends the state of the agent in this slot; false if nobody is there.
    pub(crate) fn save(&mut self, slot: u32, into: &mut Vec<u8>) -> Result<bool, Stop> {
        match self.agents.get(slot as usize) {
            Some(Presence::Awake(number)) => {
                let number = *number;
                let memory_bytes = self.compare(number)?;
                let head = Sleeper::head(memory_bytes, self.seats[number as usize].inbox);
                into.extend_from_slice(&head);
                into.extend_from_slice(self.writer.bytes());
                Ok(true)
            }
            Some(Presence::Asleep(sleeper)) => {
                sleeper.put(into);
                Ok(true)
            }
            Some(Presence::Nowhere) | None => Ok(false),
        }
    }

    /// Writes by what the holder of a seat differs from the image; gives the bytes of its memory.
    fn compare(&mut self, number: u32) -> Result<usize, Stop> {
        let Self { store, seats, pools, dirty, writer, .. } = self;
        let seat = &seats[number as usize];
        let Some(image) = &pools[seat.program as usize].image else {
            return Err(Stop::command("a seat has no image"));
        };
        writer.begin();
        for (index, first) in image.globals.iter().enumerate() {
            let value = seat.global(store, index)?;
            if value != *first {
                writer.global(index, value);
            }
        }
        let memory = seat.memory.data(&**store);
        dirty.each(memory.as_ptr(), memory.len(), |run| {
            image.differing(run.start, &memory[run], |at, bytes| writer.run(at, bytes));
        });
        Ok(memory.len())
    }

    /// A seat of this program that nobody holds, with a memory of this many bytes; without, with
    /// that of the image.
    fn vacant(&mut self, program: u32, memory_bytes: Option<usize>) -> Result<u32, Stop> {
        for attempt in 0..3 {
            if let Some(number) = self.idle(program, memory_bytes) {
                self.free -= 1;
                return Ok(number);
            }
            if self.may_add(program) {
                return self.add(program);
            }
            match attempt {
                0 => self.put_one_to_sleep(program)?,
                // The seats there are do not fit: their memories grew.
                _ => self.give_all_back()?,
            }
        }
        Err(Stop::command("an empty lane has no seat"))
    }

    fn idle(&mut self, program: u32, memory_bytes: Option<usize>) -> Option<u32> {
        let Self { pools, seats, store, .. } = self;
        let pool = &mut pools[program as usize];
        let image_bytes = pool.image.as_ref().map(|image| image.memory_bytes);
        if memory_bytes.is_none() || memory_bytes == image_bytes {
            return pool.idle.pop();
        }
        let wanted = memory_bytes?;
        let fits = |number: &u32| seats[*number as usize].memory.data_size(&**store) == wanted;
        // The one that grew last is the likeliest to fit.
        match pool.grown.iter().rev().take(GROWN_SEARCHED).position(fits) {
            Some(at) => Some(pool.grown.swap_remove(pool.grown.len() - 1 - at)),
            // One at the image can grow; no memory is smaller than the image's.
            None => pool.idle.pop(),
        }
    }

    /// Whether there may be one more seat for this program: to each that has none one is kept.
    fn may_add(&self, program: u32) -> bool {
        let without = |(other, pool): (usize, &Pool)| {
            usize::from(other != program as usize && pool.seats.is_empty())
        };
        let kept: usize = self.pools.iter().enumerate().map(without).sum();
        self.seats.len() + kept < self.shared.seats_max
    }

    fn add(&mut self, program: u32) -> Result<u32, Stop> {
        let Self { store, seats, pools, shared, dirty, .. } = self;
        let code = &shared.programs[program as usize];
        store.data_mut().begin_instance(program);
        let seat = Seat::new(store, code, program)?;
        let pool = &mut pools[program as usize];
        if pool.image.is_none() {
            let globals = seat.globals(store)?;
            let memory = seat.memory.data(&**store);
            let mut end = 0;
            dirty.each(memory.as_ptr(), memory.len(), |run| end = run.end);
            pool.image = Some(Image::new(&memory[..end], memory.len(), globals));
        }
        let number = seats.len() as u32;
        seats.push(seat);
        pool.seats.push(number);
        Ok(number)
    }

    fn sit(&mut self, slot: u32, number: u32, holder: Holder) {
        if self.agents.len() <= slot as usize {
            self.agents.resize_with(slot as usize + 1, Presence::default);
        }
        self.agents[slot as usize] = Presence::Awake(number);
        self.seats[number as usize].holder = Some(holder);
    }

    /// Puts the holder of a seat of this program to sleep that did not run for long, if there is
    /// one.
    fn put_one_to_sleep(&mut self, program: u32) -> Result<(), Stop> {
        let Self { pools, seats, .. } = self;
        let pool = &mut pools[program as usize];
        // Twice round: in the first everybody may have been used.
        for _ in 0..2 * pool.seats.len() {
            let number = pool.seats[pool.hand];
            pool.hand = (pool.hand + 1) % pool.seats.len();
            let seat = &mut seats[number as usize];
            let used = std::mem::take(&mut seat.used);
            if !used && seat.holder.is_some() {
                // Likely the one for whom the next is needed.
                seats[pool.seats[pool.hand] as usize].prefetch_page();
                return self.sleep(number);
            }
        }
        Ok(())
    }

    /// The holder of a seat, if there is one, goes to sleep.
    fn sleep(&mut self, number: u32) -> Result<(), Stop> {
        let seat = &self.seats[number as usize];
        let Some(holder) = seat.holder else { return Ok(()) };
        let (program, inbox) = (seat.program, seat.inbox);
        let memory_bytes = seat.memory.data_size(&*self.store);
        self.leave(number, true)?;
        let difference = self.writer.finish();
        let sleeper = Sleeper { holder, program, inbox, memory_bytes, difference };
        let slot = holder.slot();
        self.agents[slot as usize] = Presence::Asleep(Box::new(sleeper));
        self.asleep += 1;
        Ok(())
    }

    /// Takes a seat from its holder and makes it equal to the image again; with `keep`, the writer
    /// has the difference.
    fn leave(&mut self, number: u32, keep: bool) -> Result<(), Stop> {
        let Self { store, seats, pools, dirty, writer, .. } = self;
        let seat = &mut seats[number as usize];
        let pool = &mut pools[seat.program as usize];
        let Some(image) = &pool.image else { return Err(Stop::command("a seat has no image")) };
        writer.begin();
        for (index, first) in image.globals.iter().enumerate() {
            let value = seat.global(store, index)?;
            if value != *first {
                writer.global(index, value);
                seat.set_global(store, index, *first)?;
            }
        }
        let memory = seat.memory.data_mut(&mut **store);
        let len = memory.len();
        dirty.each(memory.as_ptr(), len, |run| {
            image.restore(run.start, &mut memory[run], |at, bytes| {
                if keep {
                    writer.run(at, bytes);
                }
            });
        });
        (seat.holder, seat.used) = (None, false);
        let same = len == image.memory_bytes;
        if same { &mut pool.idle } else { &mut pool.grown }.push(number);
        self.free += 1;
        Ok(())
    }

    fn wake(&mut self, slot: u32) -> Result<u32, Stop> {
        let agent = std::mem::take(&mut self.agents[slot as usize]);
        let Presence::Asleep(sleeper) = agent else {
            return Err(Stop::command("the agent does not sleep"));
        };
        self.asleep -= 1;
        let number = self.vacant(sleeper.program, Some(sleeper.memory_bytes))?;
        let Self { store, seats, .. } = self;
        let seat = &mut seats[number as usize];
        store.data_mut().begin_instance(sleeper.program);
        seat.grow_to(store, sleeper.memory_bytes)?;
        seat.inbox = sleeper.inbox;
        let mut difference = DifferenceReader::new(&sleeper.difference);
        while let Some((index, value)) = difference.global() {
            seat.set_global(store, index, value)?;
        }
        difference.lay_over(seat.memory.data_mut(&mut **store));
        self.sit(slot, number, sleeper.holder);
        Ok(number)
    }

    /// Gives seats back when most of many are held by nobody.
    fn give_back_if_many(&mut self) -> Result<(), Stop> {
        let held = self.seats.len() - self.free;
        if self.free > SPARE_SEATS && self.free > 2 * held { self.give_all_back() } else { Ok(()) }
    }

    /// Gives all seats back; who is awake goes to sleep.
    fn give_all_back(&mut self) -> Result<(), Stop> {
        for number in 0..self.seats.len() as u32 {
            self.sleep(number)?;
        }
        self.seats.clear();
        for pool in &mut self.pools {
            *pool = Pool { image: pool.image.take(), ..Pool::default() };
        }
        self.free = 0;
        self.store.renew(self.shared.engine.wasmtime());
        Ok(())
    }
}
