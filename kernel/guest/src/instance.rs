//! One incarnation of an agent: a store, its instance, its inbox; and every call into it.
//!
//! Each call has its own fuel budget (SEMANTICS A1). A call ends with a code, with a fault of the
//! guest, or with a failure of the machine; which of the latter two is decided by the type of the
//! error, never by its text, so that it is the same everywhere.

use std::sync::Arc;

use bytemuck::{Pod, bytes_of};
use wasm_engine_abi::calls::INITIALIZE;
use wasm_engine_abi::frame::{Context, ItemFrame, ItemHeader, TurnCommand, fault};
use wasm_engine_abi::limits::INBOX_BYTES_MIN;
use wasm_engine_abi::{AgentId, Digest};
use wasmtime::{
    Engine, Extern, Global, Memory, ModuleExport, Store, Trap, TypedFunc, Val, WasmParams,
    WasmResults,
};
use xxhash_rust::xxh3::Xxh3Default;

use crate::admission::DEPTH_WORDS_MAX;
use crate::areas::Sources;
use crate::call_note::Trace;
use crate::error::{MachineFailure, Stop};
use crate::memory_limiter::{GrowFailed, MemoryLimiter};
use crate::program::Program;
use crate::turn::{Host, HostError, TurnContext};

/// Bytes of an item's header before its payload.
const HEADER_BYTES: usize = size_of::<ItemHeader>();
/// Bytes of a context before the arguments.
const CONTEXT_BYTES: usize = size_of::<Context>();

/// Where an agent takes its items, checked once per incarnation.
#[derive(Clone, Copy, Debug, Default)]
struct GuestInbox {
    at: usize,
    capacity: usize,
}

impl GuestInbox {
    /// The inbox that a module names, if it is 8-aligned, inside the memory and large enough.
    fn checked(at: i32, capacity: i32, memory_bytes: usize) -> Option<Self> {
        let (at, capacity) = (at as u32 as usize, capacity as u32 as usize);
        let inside = at.checked_add(capacity).is_some_and(|end| end <= memory_bytes);
        let fits = at.is_multiple_of(8) && capacity >= INBOX_BYTES_MIN as usize && inside;
        fits.then_some(Self { at, capacity })
    }

    /// The pointer that guests get; an address was an `i32` when it was checked.
    fn pointer(self) -> i32 {
        self.at as u32 as i32
    }
}

/// One incarnation of an agent.
pub(crate) struct Instance {
    store: Store<Host>,
    program: Arc<Program>,
    instance: wasmtime::Instance,
    memory: Memory,
    depth: Global,
    globals: Box<[Global]>,
    init: TypedFunc<(), i32>,
    receive: TypedFunc<i32, i32>,
    step: TypedFunc<i32, i32>,
    shutdown: TypedFunc<(), i32>,
    inbox: GuestInbox,
    agent: AgentId,
    incarnation: u32,
}

impl Instance {
    /// A new instance; no guest code runs.
    ///
    /// # Errors
    /// Failures of the machine only: what is admitted can be instantiated.
    pub(crate) fn new(
        engine: &Engine,
        program: &Arc<Program>,
        command: &TurnCommand,
    ) -> Result<Box<Self>, Stop> {
        let failed = |error: wasmtime::Error| {
            Stop::Machine(MachineFailure::Instantiate, format!("{error:#}"))
        };
        let bytes_max = usize::try_from(program.memory_bytes_max).unwrap_or(usize::MAX);
        let limiter = MemoryLimiter::new(bytes_max);
        let mut store = Store::new(engine, Host::new(Arc::clone(&program.terms), limiter));
        store.limiter(Host::limiter);
        // In some layouts segments are written by compiled code, which takes fuel. How much there
        // is to write, admission has bounded; no turn pays for it.
        store.set_fuel(u64::MAX).map_err(|error| Stop::engine(&error))?;
        let instance = program.code.instantiate(&mut store).map_err(failed)?;
        let exports = &program.exports;
        let memory = kind(find(&mut store, &instance, &exports.memory)?.into_memory())?;
        let depth = kind(find(&mut store, &instance, &exports.depth)?.into_global())?;
        let globals = exports
            .globals
            .iter()
            .map(|export| kind(find(&mut store, &instance, export)?.into_global()))
            .collect::<Result<_, Stop>>()?;
        store.data_mut().set_memory(memory);
        Ok(Box::new(Self {
            memory,
            depth,
            globals,
            init: function(&mut store, &instance, &exports.init)?,
            receive: function(&mut store, &instance, &exports.receive)?,
            step: function(&mut store, &instance, &exports.step)?,
            shutdown: function(&mut store, &instance, &exports.shutdown)?,
            inbox: GuestInbox::default(),
            agent: AgentId::from_bits(command.agent),
            incarnation: command.incarnation,
            program: Arc::clone(program),
            instance,
            store,
        }))
    }

    /// Bytes of the longest payload that the inbox takes; 0 before it was named.
    pub(crate) fn item_bytes_max(&self) -> u32 {
        // An inbox lies in a memory of at most 4 GiB, and its capacity was an `i32`.
        self.inbox.capacity.saturating_sub(HEADER_BYTES) as u32
    }

    /// Whether a command is meant for this incarnation.
    #[inline]
    pub(crate) fn is_of(&self, command: &TurnCommand) -> bool {
        self.agent.to_bits() == command.agent && self.incarnation == command.incarnation
    }

    /// Gives host calls the lane's working state for one turn.
    #[inline]
    pub(crate) fn begin_context(&mut self, context: Box<TurnContext>) {
        self.store.data_mut().begin_context(context);
    }

    /// Takes it back.
    #[inline]
    pub(crate) fn end_context(&mut self) -> Option<Box<TurnContext>> {
        self.store.data_mut().end_context()
    }

    /// The init turn: lets the module initialise itself, asks for the inbox, then calls
    /// `agent_init` with context and arguments in it.
    ///
    /// What comes before it is part of the call of `agent_init` for `random` (SEMANTICS A6) and may
    /// have effects, but gives no code. Arguments that do not fit are [`fault::BAD_INBOX`].
    pub(crate) fn init(&mut self, command: &TurnCommand, args: &[u8]) -> Result<(), Stop> {
        let program = Arc::clone(&self.program);
        if let Some(export) = &program.exports.initialize {
            self.ask::<()>(INITIALIZE, export)?;
        }
        let at = self.ask("agent_inbox", &program.exports.inbox)?;
        let capacity = self.ask("agent_inbox_cap", &program.exports.inbox_cap)?;
        let memory_bytes = self.memory.data_size(&self.store);
        let inbox = GuestInbox::checked(at, capacity, memory_bytes);
        let inbox = inbox.filter(|inbox| CONTEXT_BYTES + args.len() <= inbox.capacity);
        let Some(inbox) = inbox else {
            return Err(self.bad_inbox(at, capacity, args.len(), memory_bytes));
        };
        self.inbox = inbox;
        self.write(&Context::of(command, command.args_len))?;
        self.inbox_bytes(CONTEXT_BYTES, args.len())?.0.copy_from_slice(args);
        let entry = self.entry("agent_init");
        call(&mut self.store, entry, &self.init, ())
    }

    /// Says what is wrong with the inbox that a module names.
    #[cold]
    fn bad_inbox(&mut self, at: i32, capacity: i32, args: usize, memory_bytes: usize) -> Stop {
        let Some(context) = self.store.data_mut().context() else { return no_work() };
        let (at, capacity) = (at as u32, capacity as u32);
        context.function = "agent_inbox";
        context.detail = format!(
            "the inbox is {capacity} bytes at {at}; it must lie at a multiple of 8 inside the \
             memory of {memory_bytes} bytes and have at least {INBOX_BYTES_MIN}, and \
             {CONTEXT_BYTES} for the context with the {args} of the arguments"
        );
        Stop::Fault(fault::BAD_INBOX)
    }

    /// A step turn: `agent_receive` for each item, then `agent_step`.
    ///
    /// No item is longer than the inbox: whatever is, commit and open refuse (SEMANTICS A2).
    #[inline]
    pub(crate) fn step(
        &mut self,
        command: &TurnCommand,
        items: &[ItemFrame],
        areas: &Sources,
        epoch: u64,
    ) -> Result<(), Stop> {
        let pointer = self.inbox.pointer();
        for item in items {
            self.put_item(item, areas, epoch)?;
            let entry = self.entry("agent_receive");
            call(&mut self.store, entry, &self.receive, pointer)?;
        }
        self.write(&Context::of(command, 0))?;
        let entry = self.entry("agent_step");
        call(&mut self.store, entry, &self.step, pointer)
    }

    /// The shutdown turn.
    pub(crate) fn shutdown(&mut self) -> Result<(), Stop> {
        let entry = self.entry("agent_shutdown");
        call(&mut self.store, entry, &self.shutdown, ())
    }

    /// The state digest (SEMANTICS D5): xxh3-128 over the memory, its length as `u64`, then each
    /// mutable global in index order as 16 bytes, zero-extended.
    pub(crate) fn digest(&mut self) -> Result<Digest, Stop> {
        let mut hasher = Xxh3Default::new();
        let memory = self.memory.data(&self.store);
        hasher.update(memory);
        hasher.update(&(memory.len() as u64).to_le_bytes());
        for global in &self.globals {
            let value = match global.get(&mut self.store) {
                Val::I32(value) => u128::from(value as u32),
                Val::I64(value) => u128::from(value as u64),
                Val::F32(bits) => u128::from(bits),
                Val::F64(bits) => u128::from(bits),
                Val::V128(value) => value.as_u128(),
                _ => {
                    let detail = "a state global holds a reference".to_owned();
                    return Err(Stop::Machine(MachineFailure::Engine, detail));
                }
            };
            hasher.update(&value.to_le_bytes());
        }
        Ok(Digest::new(hasher.digest128()))
    }

    /// Calls a function that comes before `agent_init`: it has a budget and gives no code.
    fn ask<R: WasmResults>(
        &mut self,
        name: &'static str,
        export: &ModuleExport,
    ) -> Result<R, Stop> {
        let question = function::<(), R>(&mut self.store, &self.instance, export)?;
        let entry = self.entry(name);
        enter(&mut self.store, entry, &question, ()).map(|(answer, _)| answer)
    }

    /// How the function of this name is entered.
    #[inline]
    fn entry(&self, name: &'static str) -> CallEntry {
        CallEntry { name, budget: self.program.terms.fuel_per_call, depth: self.depth }
    }

    /// Consumes an item: it is the cause of what follows, and lies in the inbox.
    #[inline]
    fn put_item(&mut self, item: &ItemFrame, areas: &Sources, epoch: u64) -> Result<(), Stop> {
        let (len, agent) = (item.header.len as usize, self.agent);
        if len > self.item_bytes_max() as usize {
            let detail = format!("an item of {len} bytes for {agent} is longer than its inbox");
            return Err(Stop::Machine(MachineFailure::Payload, detail));
        }
        let (bytes, context) = self.inbox_bytes(0, HEADER_BYTES + len)?;
        context.begin_item(&item.header);
        let (header, payload) = bytes.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(bytes_of(&item.header));
        if len == 0 {
            return Ok(());
        }
        areas.copy(item, epoch, payload).map_err(|detail| {
            Stop::Machine(MachineFailure::Payload, format!("item of {agent}: {detail}"))
        })
    }

    #[inline]
    fn write<T: Pod>(&mut self, value: &T) -> Result<(), Stop> {
        self.inbox_bytes(0, size_of::<T>())?.0.copy_from_slice(bytes_of(value));
        Ok(())
    }

    /// Bytes of the inbox, and the turn's context. Memories never shrink, so a checked inbox stays
    /// inside.
    #[inline]
    fn inbox_bytes(
        &mut self,
        offset: usize,
        len: usize,
    ) -> Result<(&mut [u8], &mut TurnContext), Stop> {
        let start = self.inbox.at + offset;
        let (memory, host) = self.memory.data_and_store_mut(&mut self.store);
        let bytes = memory.get_mut(start..start + len).ok_or_else(|| {
            Stop::Machine(MachineFailure::Engine, "an inbox left its memory".to_owned())
        })?;
        Ok((bytes, host.context().ok_or_else(no_work)?))
    }
}

fn find(
    store: &mut Store<Host>,
    instance: &wasmtime::Instance,
    export: &ModuleExport,
) -> Result<Extern, Stop> {
    kind(instance.get_module_export(store, export))
}

fn function<P: WasmParams, R: WasmResults>(
    store: &mut Store<Host>,
    instance: &wasmtime::Instance,
    export: &ModuleExport,
) -> Result<TypedFunc<P, R>, Stop> {
    let function = kind(find(store, instance, export)?.into_func())?;
    function.typed(&*store).map_err(|error| Stop::engine(&error))
}

/// An export is there and of its kind, as admission has checked.
fn kind<T>(found: Option<T>) -> Result<T, Stop> {
    let missing = || "an export that was admitted is gone".to_owned();
    found.ok_or_else(|| Stop::Machine(MachineFailure::Engine, missing()))
}

/// How a function of the contract is entered.
#[derive(Clone, Copy)]
struct CallEntry {
    name: &'static str,
    budget: u64,
    depth: Global,
}

/// Calls a function of the contract and notes its code; a negative one is a fault (SEMANTICS A1).
#[inline]
fn call<P: WasmParams>(
    store: &mut Store<Host>,
    entry: CallEntry,
    function: &TypedFunc<P, i32>,
    params: P,
) -> Result<(), Stop> {
    let (code, context) = enter(store, entry, function, params)?;
    context.returned(code);
    if code < 0 {
        context.function = entry.name;
        return Err(Stop::Fault(fault::NEGATIVE_CODE));
    }
    Ok(())
}

/// Calls a guest function with a budget of its own and charges what it used, or the whole of it if
/// the function does not return.
#[inline]
fn enter<'a, P: WasmParams, R: WasmResults>(
    store: &'a mut Store<Host>,
    entry: CallEntry,
    function: &TypedFunc<P, R>,
    params: P,
) -> Result<(R, &'a mut TurnContext), Stop> {
    let budget = entry.budget;
    store.set_fuel(budget).map_err(|error| Stop::engine(&error))?;
    match function.call(&mut *store, params) {
        Ok(answer) => {
            let rest = store.get_fuel().map_err(|error| Stop::engine(&error))?;
            let context = store.data_mut().context().ok_or_else(no_work)?;
            context.charge(budget - rest.min(budget), budget);
            Ok((answer, context))
        }
        Err(error) => {
            let stop = stopped(&error, store, entry.depth);
            let context = store.data_mut().context().ok_or_else(no_work)?;
            context.charge(0, budget);
            context.function = entry.name;
            context.backtrace = Trace::of(&error);
            Err(stop)
        }
    }
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

#[cold]
fn no_work() -> Stop {
    Stop::Machine(MachineFailure::Engine, HostError::OutsideTurn.to_string())
}
