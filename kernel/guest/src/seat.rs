//! One instance of a module, which one agent after the other holds, and every call into it.
//!
//! Each call has its own fuel budget (SEMANTICS A1). A call ends with a code, with a fault of the
//! guest, or with a failure of the machine; which of the latter two is decided by the type of the
//! error, never by its text, so that it is the same everywhere.

use bytemuck::{Pod, bytes_of};
use wasm_engine_abi::AgentId;
use wasm_engine_abi::calls::INITIALIZE;
use wasm_engine_abi::frame::{Context, ItemFrame, ItemHeader, TurnCommand, fault, item};
use wasm_engine_abi::limits::INBOX_BYTES_MIN;
use wasmtime::{Extern, Global, Memory, ModuleExport, Store, Trap, Val, WasmResults};

use crate::admission::DEPTH_WORDS_MAX;
use crate::areas::Sources;
use crate::call_note::Trace;
use crate::dirty_pages::PAGE_BYTES;
use crate::error::{MachineFailure, Stop};
use crate::guest_memory::{AgentFunc, GuestMemory};
use crate::memory_limiter::GrowFailed;
use crate::prefetch;
use crate::profile::WASM_PAGE_BYTES;
use crate::program::{Exports, Program};
use crate::turn::{Host, HostError, TurnContext};

/// Bytes of an item's header before its payload.
const HEADER_BYTES: usize = size_of::<ItemHeader>();
/// Bytes of a context before the arguments.
const CONTEXT_BYTES: usize = size_of::<Context>();

/// Where an agent takes its items, checked once per incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GuestInbox {
    at: u32,
    capacity: u32,
}

impl GuestInbox {
    /// The inbox that a module names, if it is 8-aligned, inside the memory and large enough.
    pub(crate) fn checked(at: i32, capacity: i32, memory_bytes: usize) -> Option<Self> {
        let (at, capacity) = (at as u32, capacity as u32);
        let inside = u64::from(at) + u64::from(capacity) <= memory_bytes as u64;
        let fits = at.is_multiple_of(8) && capacity >= INBOX_BYTES_MIN && inside;
        fits.then_some(Self { at, capacity })
    }

    /// Its address and capacity.
    pub(crate) fn parts(self) -> (u32, u32) {
        (self.at, self.capacity)
    }

    /// The pointer that guests get; an address was an `i32` when it was checked.
    fn pointer(self) -> i32 {
        self.at as i32
    }
}

/// Whose incarnation holds a seat or sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    /// Address of the agent.
    pub(crate) agent: u64,
    pub(crate) incarnation: u32,
}

impl Holder {
    pub(crate) fn of(command: &TurnCommand) -> Self {
        Self { agent: command.agent, incarnation: command.incarnation }
    }

    /// The slot of its agent.
    pub(crate) fn slot(&self) -> u32 {
        AgentId::from_bits(self.agent).index()
    }
}

/// One instance. What a turn reads comes first.
#[derive(Debug)]
pub(crate) struct Seat {
    receive: AgentFunc,
    step: AgentFunc,
    bytes: GuestMemory,
    pub(crate) inbox: GuestInbox,
    pub(crate) holder: Option<Holder>,
    pub(crate) program: u32,
    /// Its holder took a turn since it was last looked for one to put to sleep.
    pub(crate) used: bool,
    pub(crate) memory: Memory,
    /// Address of what the engine reads to enter it; only asked for ahead.
    entry: usize,
    exported: Box<Exported>,
}

/// What only some turns read.
#[derive(Debug)]
struct Exported {
    instance: wasmtime::Instance,
    depth: Global,
    globals: Box<[Global]>,
}

/// Lines around an entry that a call reads: the function, the memory, the globals.
const ENTRY_LINES: usize = 6;
/// How many bytes of them lie before the entry.
const ENTRY_BEFORE_BYTES: usize = 192;

impl Seat {
    /// A new instance that nobody holds; no guest code runs.
    ///
    /// # Errors
    /// Failures of the machine only: what is admitted can be instantiated.
    pub(crate) fn new(
        store: &mut Store<Host>,
        program: &Program,
        number: u32,
    ) -> Result<Self, Stop> {
        let failed = |error: wasmtime::Error| {
            Stop::Machine(MachineFailure::Instantiate, format!("{error:#}"))
        };
        // Segments may be written by compiled code, which takes fuel. How much there is to write,
        // admission has bounded; no turn pays for it.
        store.set_fuel(u64::MAX).map_err(|error| Stop::engine(&error))?;
        let instance = program.code.instantiate(&mut *store).map_err(failed)?;
        let exports = &program.exports;
        let memory = kind(find(store, &instance, &exports.memory)?.into_memory())?;
        let depth = kind(find(store, &instance, &exports.depth)?.into_global())?;
        let globals = exports
            .globals
            .iter()
            .map(|export| kind(find(store, &instance, export)?.into_global()))
            .collect::<Result<_, Stop>>()?;
        let receive = agent_function(store, &instance, &exports.receive)?;
        let step = agent_function(store, &instance, &exports.step)?;
        Ok(Self {
            receive,
            step,
            bytes: GuestMemory::of(&memory, store),
            inbox: GuestInbox::default(),
            holder: None,
            program: number,
            used: false,
            memory,
            entry: receive.address(store).addr(),
            exported: Box::new(Exported { instance, depth, globals }),
        })
    }

    /// Asks for what its next turn reads.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let entry = std::ptr::without_provenance::<u8>(self.entry);
        prefetch::around(entry, ENTRY_BEFORE_BYTES, ENTRY_LINES);
        prefetch::around(self.bytes.base().wrapping_add(self.inbox.at as usize), 0, 2);
    }

    /// Asks for the page of its inbox, which its holder has written.
    pub(crate) fn prefetch_page(&self) {
        let inbox = self.bytes.base().wrapping_add(self.inbox.at as usize);
        prefetch::around(inbox, inbox.addr() % PAGE_BYTES, PAGE_BYTES / prefetch::LINE_BYTES);
    }

    /// Bytes of the longest payload that the inbox takes; 0 before it was named.
    pub(crate) fn item_bytes_max(&self) -> u32 {
        self.inbox.capacity.saturating_sub(HEADER_BYTES as u32)
    }

    /// The init turn: lets the module initialise itself, asks for the inbox, then calls
    /// `agent_init` with context and arguments in it.
    ///
    /// What comes before it is part of the call of `agent_init` for `random` (SEMANTICS A6) and may
    /// have effects, but gives no code. Arguments that do not fit are [`fault::BAD_INBOX`].
    pub(crate) fn init(
        &mut self,
        store: &mut Store<Host>,
        program: &Program,
        command: &TurnCommand,
        args: &[u8],
    ) -> Result<(), Stop> {
        let Exports { initialize, inbox, inbox_cap, init, .. } = &program.exports;
        if let Some(export) = initialize {
            self.ask::<()>(INITIALIZE, store, export)?;
        }
        let at = self.ask("agent_inbox", store, inbox)?;
        let capacity = self.ask("agent_inbox_cap", store, inbox_cap)?;
        // It may have grown since.
        self.bytes = GuestMemory::of(&self.memory, store);
        let inbox = GuestInbox::checked(at, capacity, self.bytes.len());
        let inbox = inbox.filter(|inbox| CONTEXT_BYTES + args.len() <= inbox.capacity as usize);
        let Some(inbox) = inbox else {
            return Err(bad_inbox(store, at, capacity, args.len(), self.bytes.len()));
        };
        self.inbox = inbox;
        self.write(store, &Context::of(command, command.args_len))?;
        self.inbox_bytes(store, CONTEXT_BYTES, args.len())?.copy_from_slice(args);
        let code = self.ask("agent_init", store, init)?;
        returned(store, "agent_init", code)
    }

    /// A step turn: `agent_receive` for each item, then `agent_step`, with the task if the last of
    /// `items` is one.
    ///
    /// No item is longer than the inbox: whatever is, commit and open refuse (SEMANTICS A2).
    #[inline]
    pub(crate) fn step(
        &self,
        store: &mut Store<Host>,
        command: &TurnCommand,
        items: &[ItemFrame],
        areas: &Sources,
        epoch: u64,
    ) -> Result<(), Stop> {
        let (items, task) = match items.split_last() {
            Some((task, items)) if task.header.kind == item::TASK => (items, Some(task)),
            _ => (items, None),
        };
        for item in items {
            self.put_item(store, 0, item, areas, epoch)?;
            self.call(store, "agent_receive", self.receive)?;
        }
        let Some(task) = task else {
            self.write(store, &Context::of(command, 0))?;
            return self.call(store, "agent_step", self.step);
        };
        self.put_item(store, CONTEXT_BYTES, task, areas, epoch)?;
        let context = Context::of(command, HEADER_BYTES as u32 + task.header.len);
        self.write(store, &Context { items: items.len() as u32, ..context })?;
        self.call(store, "agent_step", self.step)?;
        store.data_mut().turn.keep_step_code();
        Ok(())
    }

    /// The shutdown turn.
    pub(crate) fn shutdown(&self, store: &mut Store<Host>, program: &Program) -> Result<(), Stop> {
        let code = self.ask("agent_shutdown", store, &program.exports.shutdown)?;
        returned(store, "agent_shutdown", code)
    }

    /// Values of the state globals, zero-extended.
    pub(crate) fn globals(&self, store: &mut Store<Host>) -> Result<Box<[u128]>, Stop> {
        (0..self.exported.globals.len()).map(|index| self.global(store, index)).collect()
    }

    /// Value of state global `index`, zero-extended.
    pub(crate) fn global(&self, store: &mut Store<Host>, index: usize) -> Result<u128, Stop> {
        number(&self.exported.globals[index].get(store))
    }

    /// Lets the memory grow to `bytes`, if it is smaller.
    pub(crate) fn grow_to(&mut self, store: &mut Store<Host>, bytes: usize) -> Result<(), Stop> {
        let missing = bytes.saturating_sub(self.memory.data_size(&*store)) as u64;
        if missing > 0 {
            let grown = self.memory.grow(&mut *store, missing / WASM_PAGE_BYTES);
            grown.map_err(|e| Stop::Machine(MachineFailure::Grow, format!("{e:#}")))?;
        }
        self.bytes = GuestMemory::of(&self.memory, store);
        Ok(())
    }

    /// Sets state global `index`.
    pub(crate) fn set_global(
        &self,
        store: &mut Store<Host>,
        index: usize,
        value: u128,
    ) -> Result<(), Stop> {
        let global = self.exported.globals[index];
        let value = match global.get(&mut *store) {
            Val::I32(_) => Val::I32(value as i32),
            Val::I64(_) => Val::I64(value as i64),
            Val::F32(_) => Val::F32(value as u32),
            Val::F64(_) => Val::F64(value as u64),
            Val::V128(_) => Val::V128(value.into()),
            _ => return Err(holds_reference()),
        };
        global.set(store, value).map_err(|error| Stop::engine(&error))
    }

    /// Sets the counter of call depth to what it is between calls.
    pub(crate) fn reset_depth(&self, store: &mut Store<Host>) -> Result<(), Stop> {
        self.exported.depth.set(store, Val::I32(0)).map_err(|error| Stop::engine(&error))
    }

    /// Calls a function with the inbox as its argument, notes its code; a negative one is a fault
    /// (SEMANTICS A1).
    #[inline]
    fn call(
        &self,
        store: &mut Store<Host>,
        name: &'static str,
        function: AgentFunc,
    ) -> Result<(), Stop> {
        let pointer = self.inbox.pointer();
        let code = self.enter(store, name, |store| function.call(store, pointer))?;
        returned(store, name, code)
    }

    /// Calls a function without arguments.
    fn ask<R: WasmResults>(
        &self,
        name: &'static str,
        store: &mut Store<Host>,
        export: &ModuleExport,
    ) -> Result<R, Stop> {
        let function = kind(find(store, &self.exported.instance, export)?.into_func())?;
        let function = function.typed::<(), R>(&*store).map_err(|error| Stop::engine(&error))?;
        self.enter(store, name, |store| function.call(store, ()))
    }

    /// Calls a guest function with a budget of its own and charges what it used, or the whole of it
    /// if the function does not return.
    #[inline]
    fn enter<R>(
        &self,
        store: &mut Store<Host>,
        name: &'static str,
        function: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<R>,
    ) -> Result<R, Stop> {
        let budget = store.data().terms().fuel_per_call;
        store.set_fuel(budget).map_err(|error| Stop::engine(&error))?;
        match function(store) {
            Ok(answer) => {
                let rest = store.get_fuel().map_err(|error| Stop::engine(&error))?;
                store.data_mut().turn.charge(budget - rest.min(budget), budget);
                Ok(answer)
            }
            Err(error) => {
                let stop = stopped(&error, store, self.exported.depth);
                let context = &mut store.data_mut().turn;
                context.charge(0, budget);
                context.function = name;
                context.backtrace = Trace::of(&error);
                Err(stop)
            }
        }
    }

    /// Consumes an item: it is the cause of what follows, and lies so far into the inbox.
    #[inline]
    fn put_item(
        &self,
        store: &mut Store<Host>,
        offset: usize,
        item: &ItemFrame,
        areas: &Sources,
        epoch: u64,
    ) -> Result<(), Stop> {
        let len = item.header.len as usize;
        let failed = |detail| Stop::Machine(MachineFailure::Payload, detail);
        if offset + len > self.item_bytes_max() as usize {
            return Err(failed(format!("an item of {len} bytes is longer than its inbox")));
        }
        store.data_mut().turn.begin_item(&item.header);
        let bytes = self.inbox_bytes(store, offset, HEADER_BYTES + len)?;
        let (header, payload) = bytes.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(bytes_of(&item.header));
        if len == 0 {
            return Ok(());
        }
        areas.copy(item, epoch, payload).map_err(|detail| failed(format!("an item: {detail}")))
    }

    #[inline]
    fn write<T: Pod>(&self, store: &mut Store<Host>, value: &T) -> Result<(), Stop> {
        self.inbox_bytes(store, 0, size_of::<T>())?.copy_from_slice(bytes_of(value));
        Ok(())
    }

    /// Bytes of the inbox. Memories never shrink, so a checked inbox stays inside.
    #[inline]
    fn inbox_bytes<'a>(
        &self,
        store: &'a mut Store<Host>,
        offset: usize,
        len: usize,
    ) -> Result<&'a mut [u8], Stop> {
        let start = self.inbox.at as usize + offset;
        self.bytes.bytes(store, start..start + len).ok_or_else(|| {
            Stop::Machine(MachineFailure::Engine, "an inbox left its memory".to_owned())
        })
    }
}

/// A state global as a number, zero-extended.
fn number(value: &Val) -> Result<u128, Stop> {
    Ok(match *value {
        Val::I32(value) => u128::from(value as u32),
        Val::I64(value) => u128::from(value as u64),
        Val::F32(bits) => u128::from(bits),
        Val::F64(bits) => u128::from(bits),
        Val::V128(value) => value.as_u128(),
        _ => return Err(holds_reference()),
    })
}

#[cold]
fn holds_reference() -> Stop {
    Stop::Machine(MachineFailure::Engine, "a state global holds a reference".to_owned())
}

/// Says what is wrong with the inbox that a module names.
#[cold]
fn bad_inbox(
    store: &mut Store<Host>,
    at: i32,
    capacity: i32,
    args: usize,
    memory_bytes: usize,
) -> Stop {
    let context: &mut TurnContext = &mut store.data_mut().turn;
    let (at, capacity) = (at as u32, capacity as u32);
    context.function = "agent_inbox";
    context.detail = format!(
        "the inbox is {capacity} bytes at {at}; it must lie at a multiple of 8 inside the memory \
         of {memory_bytes} bytes and have at least {INBOX_BYTES_MIN}, and {CONTEXT_BYTES} for the \
         context with the {args} of the arguments"
    );
    Stop::Fault(fault::BAD_INBOX)
}

fn find(
    store: &mut Store<Host>,
    instance: &wasmtime::Instance,
    export: &ModuleExport,
) -> Result<Extern, Stop> {
    kind(instance.get_module_export(store, export))
}

fn agent_function(
    store: &mut Store<Host>,
    instance: &wasmtime::Instance,
    export: &ModuleExport,
) -> Result<AgentFunc, Stop> {
    let function = kind(find(store, instance, export)?.into_func())?;
    AgentFunc::checked(function, store).map_err(|error| Stop::engine(&error))
}

/// An export is there and of its kind, as admission has checked.
fn kind<T>(found: Option<T>) -> Result<T, Stop> {
    let missing = || "an export that was admitted is gone".to_owned();
    found.ok_or_else(|| Stop::Machine(MachineFailure::Engine, missing()))
}

/// Notes the code that a function of the contract returned; a negative one is a fault.
#[inline]
fn returned(store: &mut Store<Host>, name: &'static str, code: i32) -> Result<(), Stop> {
    let context = &mut store.data_mut().turn;
    context.returned(code);
    if code < 0 {
        context.function = name;
        return Err(Stop::Fault(fault::NEGATIVE_CODE));
    }
    Ok(())
}

/// Whose failure an error is, and which.
#[cold]
fn stopped(error: &wasmtime::Error, store: &mut Store<Host>, depth: Global) -> Stop {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let deep = || matches!(depth.get(store), Val::I32(d) if d as u32 > DEPTH_WORDS_MAX);
        return match trap {
            Trap::UnreachableCodeReached if deep() => Stop::Fault(fault::CALL_DEPTH),
            Trap::UnreachableCodeReached => Stop::Fault(fault::UNREACHABLE),
            Trap::MemoryOutOfBounds | Trap::TableOutOfBounds => Stop::Fault(fault::OUT_OF_BOUNDS),
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
                Stop::Fault(fault::ARITHMETIC)
            }
            Trap::IndirectCallToNull | Trap::BadSignature => Stop::Fault(fault::INDIRECT_CALL),
            Trap::OutOfFuel => Stop::Fault(fault::OUT_OF_FUEL),
            // The native fence behind the depth that is counted.
            Trap::StackOverflow => Stop::Fault(fault::CALL_DEPTH),
            _ => Stop::engine(error),
        };
    }
    if let Some(GrowFailed(detail)) = error.downcast_ref::<GrowFailed>() {
        return Stop::Machine(MachineFailure::Grow, detail.clone());
    }
    match error.downcast_ref::<HostError>() {
        Some(HostError::Misuse) => Stop::Fault(fault::MISUSE),
        Some(HostError::OutboxFull) => {
            Stop::Machine(MachineFailure::Outbox, HostError::OutboxFull.to_string())
        }
        Some(HostError::OutsideTurn) | None => Stop::engine(error),
    }
}
