//! The scripted agent: does what `kernel/tests/kernel/fixtures/script.wat` does, on a memory and
//! globals of the same bytes. Where to look things up is there; a difference between the two shows
//! as another digest.

use bytemuck::bytes_of;
use wasm_engine_abi::{
    Digest,
    frame::{Context, ItemFrame, ItemHeader, TurnCommand, effect, fault, item},
    limits::INBOX_BYTES_MIN,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    program::{CHILD, FROM, SELF},
    scene::Guest,
    turn::{Bytes, Fault, Turn},
};

const PAGE: usize = 64 << 10;
const PAGES_MAX: usize = 2;
const HEADER: usize = size_of::<ItemHeader>();
const CONTEXT: usize = size_of::<Context>();
/// Where `script.wat` looks for what it is given.
const INBOX: u32 = 16384;
/// The bytes of a result, of a number to publish, and of a block to send.
const RESULT: u32 = 0;
const NUMBER: u32 = 8;
const BLOCK: u32 = 64;
const HANDLERS: u32 = 8192;

/// One incarnation of a scripted agent.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) incarnation: u32,
    memory: Vec<u8>,
    own: u64,
    from: u64,
    child: u64,
    echo: i32,
    farewell: i32,
    refused: i32,
    returns: i32,
    step: i32,
    count: u64,
    ending: i32,
    inbox: usize,
    capacity: usize,
}

/// One instruction of a program.
struct Instruction {
    op: u32,
    a: u64,
    b: u64,
    data: Bytes,
}

impl Script {
    /// A new instance; nothing has run.
    pub(crate) fn new(incarnation: u32) -> Self {
        Self {
            incarnation,
            memory: vec![0; PAGE],
            own: 0,
            from: u64::MAX,
            child: u64::MAX,
            echo: -1,
            farewell: -1,
            refused: 0,
            returns: 0,
            step: 0,
            count: 0,
            ending: 0,
            inbox: 0,
            capacity: 0,
        }
    }

    /// The state digest (D5): memory, its length, the globals in order as 16 bytes each.
    pub(crate) fn digest(&self) -> Digest {
        let short = |value: i32| u64::from(value.cast_unsigned());
        let globals = [
            self.own,
            self.from,
            self.child,
            short(self.echo),
            short(self.farewell),
            short(self.refused),
            short(self.returns),
            short(self.step),
            self.count,
            short(self.ending),
        ];
        let mut bytes = self.memory.clone();
        bytes.extend((self.memory.len() as u64).to_le_bytes());
        bytes.extend(globals.iter().flat_map(|global| u128::from(*global).to_le_bytes()));
        Digest::new(xxh3_128(&bytes))
    }

    /// The init turn (A1).
    pub(crate) fn init(
        &mut self,
        turn: &mut Turn<'_>,
        guest: Guest,
        args: &[u8],
    ) -> Result<(), Fault> {
        // Two questions for the inbox, each with a budget, then the call.
        turn.begin_call();
        turn.begin_call();
        let (at, capacity) = (guest.inbox as u32 as usize, guest.capacity as u32 as usize);
        let fits = at.is_multiple_of(8)
            && capacity >= INBOX_BYTES_MIN as usize
            && at + capacity <= self.memory.len()
            && CONTEXT + args.len() <= capacity;
        if !fits {
            return Err(fault::BAD_INBOX);
        }
        (self.inbox, self.capacity) = (at, capacity);
        turn.item_bytes_max = (capacity - HEADER) as u32;
        self.put_context(&turn.command, args.len() as u32);
        self.memory[at + CONTEXT..][..args.len()].copy_from_slice(args);
        turn.begin_call();
        self.own = self.long(INBOX + 8)?;
        self.returns = 0;
        let len = self.word(INBOX + 32)?;
        self.program(turn, (INBOX + 40, len))?;
        turn.returned(self.returns)
    }

    /// A step turn: `receive` for each item, then `step`; a payload comes with its frame.
    pub(crate) fn step<'p>(
        &mut self,
        turn: &mut Turn<'_>,
        items: impl Iterator<Item = (&'p ItemFrame, &'p [u8])>,
    ) -> Result<(), Fault> {
        let (mut received, mut task) = (0, None);
        for (frame, payload) in items {
            if frame.header.kind == item::TASK {
                task = Some((frame, payload));
                break;
            }
            received += 1;
            turn.begin_item(&frame.header);
            self.put_item(0, &frame.header, payload);
            turn.begin_call();
            self.receive(turn, self.inbox as u32)?;
            turn.returned(self.returns)?;
        }
        let Some((frame, payload)) = task else {
            self.put_context(&turn.command, 0);
            turn.begin_call();
            let refused = std::mem::take(&mut self.refused);
            let step = std::mem::take(&mut self.step);
            return turn.returned(if step == 0 { refused } else { step });
        };
        turn.begin_item(&frame.header);
        self.put_item(CONTEXT, &frame.header, payload);
        let command = TurnCommand { items: received, ..turn.command };
        self.put_context(&command, HEADER as u32 + frame.header.len);
        turn.begin_call();
        self.receive(turn, (self.inbox + CONTEXT) as u32)?;
        (self.refused, self.step) = (0, 0);
        turn.step_code = self.returns;
        turn.returned(self.returns)
    }

    /// The shutdown turn.
    pub(crate) fn shutdown(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        turn.begin_call();
        if self.farewell >= 0 {
            turn.publish(&self.memory, self.farewell.cast_unsigned(), (RESULT, 8))?;
        }
        turn.returned(self.ending)
    }

    fn put_context(&mut self, command: &TurnCommand, args_len: u32) {
        let context = Context::of(command, args_len);
        self.memory[self.inbox..][..CONTEXT].copy_from_slice(bytes_of(&context));
    }

    fn put_item(&mut self, offset: usize, header: &ItemHeader, payload: &[u8]) {
        let inbox = &mut self.memory[self.inbox..][..self.capacity][offset..];
        inbox[..HEADER].copy_from_slice(bytes_of(header));
        inbox[HEADER..][..payload.len()].copy_from_slice(payload);
    }

    /// An item, or a task, at `h`.
    fn receive(&mut self, turn: &mut Turn<'_>, h: u32) -> Result<(), Fault> {
        self.returns = 0;
        self.from = self.long(h + 8)?;
        self.count += 1;
        let (kind, len) = (self.word(h)?, self.word(h + 4)?);
        if kind == item::OUTCOME && self.word(h + 36)? == 0 && self.from != u64::MAX {
            self.child = self.from;
        }
        if self.echo >= 0 {
            let bytes = (h, HEADER as u32 + len.min(64));
            let answer = turn.publish(&self.memory, self.echo.cast_unsigned(), bytes)?;
            self.result(answer)?;
        }
        if self.is_program((h + 64, len))? {
            return self.program(turn, (h + 64, len));
        }
        let handler = HANDLERS + (kind << 10);
        let len = self.word(handler)?;
        self.program(turn, (handler + 8, len))
    }

    fn is_program(&self, (at, len): Bytes) -> Result<bool, Fault> {
        Ok(len >= 8 && self.word(at)? == u32::from_le_bytes(*b"PROG"))
    }

    fn program(&mut self, turn: &mut Turn<'_>, (at, len): Bytes) -> Result<(), Fault> {
        if !self.is_program((at, len))? {
            return Ok(());
        }
        let end = at + len;
        let mut at = at + 8;
        while at + 24 <= end && self.word(at)? != 0 {
            let low = u32::from(self.memory[at as usize + 4] & 127);
            let n = low | u32::from(self.memory[at as usize + 5]) << 7;
            let (op, a, b) = (self.word(at)?, self.long(at + 8)?, self.long(at + 16)?);
            self.execute(turn, &Instruction { op, a, b, data: (at + 24, n) })?;
            at = (at + 31 + n) & !7;
        }
        Ok(())
    }

    fn execute(&mut self, turn: &mut Turn<'_>, it: &Instruction) -> Result<(), Fault> {
        let &Instruction { op, a, b, mut data } = it;
        let (at, n) = data;
        let (a32, b32) = (a as u32, b as u32);
        if n == 0 && op <= 2 {
            self.store(BLOCK, &self.count.to_le_bytes())?;
            data = (BLOCK, b32);
        }
        // Of two texts the first takes b bytes.
        let (first, second) = ((at, b32), (at.wrapping_add(b32), n.wrapping_sub(b32)));
        let address = self.address(a);
        let memory = &self.memory;
        let answer = match op {
            1 => turn.send(memory, address, data)?,
            2 => turn.publish(memory, a32, data)?,
            3 => turn.subscription(true, a32)?,
            4 => turn.subscription(false, a32)?,
            5 => turn.membership(memory, true, data)?,
            6 => turn.membership(memory, false, data)?,
            7 => turn.cast(memory, first, second)?,
            8 if b32 != 0 => turn.infer_tensors(memory, a32, data)?,
            8 => turn.infer(memory, a32, data)?,
            9 => turn.timer(a.cast_signed(), b)?,
            10 => turn.spawn(memory, first, second)?,
            11 => turn.lifecycle("terminate", effect::TERMINATE, address)?,
            12 => turn.lifecycle("pause", effect::PAUSE, address)?,
            13 => turn.lifecycle("resume", effect::RESUME, address)?,
            14 => turn.log(memory, a32, data)?,
            31 => turn.schedule(memory, address, data)?,
            32 => turn.save(memory)?,
            15 => {
                let number = turn.random()?;
                self.publish_number(turn, a32, number.cast_unsigned())?
            }
            23 => turn.publish(memory, 0, (a32, b32))?,
            25 => self.publish_number(turn, a32, self.count)?,
            28 => {
                let last = self.long(RESULT)?;
                self.publish_number(turn, a32, last)?
            }
            29 if b32 != 0 => turn.model(memory, data)?,
            29 => turn.topic(memory, data)?,
            _ => return self.change(turn, it),
        };
        self.result(answer)
    }

    /// Instructions without an answer.
    fn change(&mut self, turn: &mut Turn<'_>, it: &Instruction) -> Result<(), Fault> {
        let &Instruction { op, a, b, data: (at, n) } = it;
        let a32 = a as u32;
        match op {
            16 => return Err(fault::UNREACHABLE),
            17 => return Err(fault::OUT_OF_FUEL),
            18 => return Err(fault::CALL_DEPTH),
            19 => self.memory.resize(PAGES_MAX * PAGE, 0),
            20 => self.returns = a32.cast_signed(),
            21 => self.echo = a32.cast_signed(),
            22 => {
                for _ in 0..b as u32 {
                    let answer = turn.publish(&self.memory, a32, (at, n))?;
                    self.result(answer)?;
                }
            }
            24 => self.step = a32.cast_signed(),
            26 => self.farewell = a32.cast_signed(),
            27 => {
                let handler = HANDLERS + (a32 << 10);
                let program = self.bytes((at, n))?.to_vec();
                self.store(handler, &n.to_le_bytes())?;
                self.store(handler + 8, &program)?;
            }
            30 => self.ending = a32.cast_signed(),
            op => unreachable!("no program has instruction {op}"),
        }
        Ok(())
    }

    fn publish_number(
        &mut self,
        turn: &mut Turn<'_>,
        topic: u32,
        number: u64,
    ) -> Result<i64, Fault> {
        self.store(NUMBER, &number.to_le_bytes())?;
        turn.publish(&self.memory, topic, (NUMBER, 8))
    }

    /// Keeps an answer; a refusal shows in the code of the step.
    fn result(&mut self, answer: i64) -> Result<(), Fault> {
        self.store(RESULT, &answer.to_le_bytes())?;
        if answer < 0 {
            self.refused = -(answer as i32);
        }
        Ok(())
    }

    fn address(&self, address: u64) -> u64 {
        match address {
            FROM => self.from,
            SELF => self.own,
            CHILD => self.child,
            other => other,
        }
    }

    fn bytes(&self, (at, len): Bytes) -> Result<&[u8], Fault> {
        let range = at as usize..at as usize + len as usize;
        self.memory.get(range).ok_or(fault::OUT_OF_BOUNDS)
    }

    fn word(&self, at: u32) -> Result<u32, Fault> {
        Ok(bytemuck::pod_read_unaligned(self.bytes((at, 4))?))
    }

    fn long(&self, at: u32) -> Result<u64, Fault> {
        Ok(bytemuck::pod_read_unaligned(self.bytes((at, 8))?))
    }

    fn store(&mut self, at: u32, bytes: &[u8]) -> Result<(), Fault> {
        let range = at as usize..at as usize + bytes.len();
        self.memory.get_mut(range).ok_or(fault::OUT_OF_BOUNDS)?.copy_from_slice(bytes);
        Ok(())
    }
}
