//! A module's exports, state and inbox: with `imports.rs` the only unsafe code of the SDK, and of
//! any agent made with it.
//!
//! What it relies on: a module instance has one thread, the kernel never calls an export while
//! another runs, and it writes to the inbox only between calls (the guest contract, in
//! `wasm_engine_abi::calls`). Nothing here decides anything; types are in `host.rs`, `item.rs`.

use core::cell::{RefCell, UnsafeCell};

use wasm_engine_abi::frame::Context;
use wasm_engine_abi::limits::INBOX_BYTES_MIN;

use crate::{Agent, Code, Host, Init, Item, Step, Task};

/// The state and the inbox of a module.
///
/// The inbox is first, so that it has the alignment that the contract asks for.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Instance<A, const INBOX: usize> {
    inbox: UnsafeCell<[u8; INBOX]>,
    agent: RefCell<Option<A>>,
}

// SAFETY: without the threads proposal, which the engine refuses, an instance of a wasm32 module
// is reached by one thread only. On other targets no static of this type is ever made.
#[cfg(target_arch = "wasm32")]
unsafe impl<A, const INBOX: usize> Sync for Instance<A, INBOX> {}

impl<A: Agent, const INBOX: usize> Instance<A, INBOX> {
    /// Before `agent_init`.
    ///
    /// # Panics
    /// At compile time, if the inbox is smaller than the contract allows.
    #[must_use]
    pub const fn new() -> Self {
        assert!(INBOX >= INBOX_BYTES_MIN as usize, "the inbox must have at least 128 bytes");
        Self { inbox: UnsafeCell::new([0; INBOX]), agent: RefCell::new(None) }
    }

    /// `agent_inbox`.
    pub fn inbox_address(&self) -> i32 {
        self.inbox.get() as usize as i32
    }

    /// `agent_init`.
    pub fn init(&self, host: &mut Host) -> i32 {
        let Some((context, rest)) = self.context(0) else { return Code::BAD_ITEM.value() };
        let Some(args) = rest.get(..context.args_len as usize) else {
            return Code::BAD_ITEM.value();
        };
        match A::init(&Init::new(context, args), host) {
            Ok(agent) => {
                *self.agent.borrow_mut() = Some(agent);
                0
            }
            // Without a state nothing can go on, so a code of the agent's own is a fault as well.
            Err(code) if code.value() < 0 => code.value(),
            Err(code) => Code::fault(code.value().unsigned_abs() as u16).value(),
        }
    }

    /// `agent_receive`.
    pub fn receive(&self, pointer: i32, host: &mut Host) -> i32 {
        let item = self.at(pointer).and_then(|offset| Item::parse(self.bytes().get(offset..)?));
        let Some(item) = item else { return Code::BAD_ITEM.value() };
        self.with(|agent| agent.receive(&item, host))
    }

    /// `agent_step`.
    pub fn step(&self, pointer: i32, host: &mut Host) -> i32 {
        let context = self.at(pointer).and_then(|offset| self.context(offset));
        let Some((context, rest)) = context else { return Code::BAD_ITEM.value() };
        // Behind the context lies a task, or nothing.
        let task = match context.args_len {
            0 => None,
            len => match rest.get(..len as usize).and_then(Item::parse) {
                Some(item) => Some(Task::new(item)),
                None => return Code::BAD_ITEM.value(),
            },
        };
        self.with(|agent| {
            if let Some(task) = task {
                agent.task(&task, host)?;
            }
            agent.step(&Step::new(context), host)
        })
    }

    /// `agent_shutdown`.
    pub fn shutdown(&self, host: &mut Host) -> i32 {
        self.with(|agent| agent.shutdown(host))
    }

    fn with(&self, call: impl FnOnce(&mut A) -> Result<(), Code>) -> i32 {
        let mut agent = self.agent.borrow_mut();
        let Some(agent) = agent.as_mut() else { return Code::NO_STATE.value() };
        call(agent).map_or_else(Code::value, |()| 0)
    }

    /// Offset in the inbox of what the kernel points at.
    fn at(&self, pointer: i32) -> Option<usize> {
        let offset = (pointer as u32).wrapping_sub(self.inbox_address() as u32) as usize;
        (offset < INBOX).then_some(offset)
    }

    fn context(&self, offset: usize) -> Option<(Context, &[u8])> {
        let (head, rest) = self.bytes().get(offset..)?.split_at_checked(size_of::<Context>())?;
        Some((bytemuck::pod_read_unaligned(head), rest))
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the cell is valid, initialised memory of this instance, and nobody writes to it
        // while a call runs: the kernel writes between calls, this crate never does.
        unsafe { &*self.inbox.get() }
    }
}

impl<A: Agent, const INBOX: usize> Default for Instance<A, INBOX> {
    fn default() -> Self {
        Self::new()
    }
}

/// The bytes of a manifest as an array, which a custom section needs.
///
/// # Panics
/// If `N` is not the length; only at compile time, where `export!` calls it.
#[must_use]
pub const fn section_bytes<const N: usize>(text: &str) -> [u8; N] {
    assert!(N > 0 && text.len() == N, "the manifest must not be empty");
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => panic!("the manifest is cut short"),
    }
}

/// Makes a module of an [`Agent`](crate::Agent): exports, inbox and manifest section.
///
/// - `manifest`: the text of the section, see `wasm_engine_abi::manifest`; `include_str!` works.
/// - `inbox`: bytes of the inbox. The longest item that can arrive is this less 64 for its header,
///   the longest arguments this less 40.
/// - `panic_handler`: in a `no_std` module, a panic tells the kernel its message and place and
///   becomes the wasm instruction `unreachable`.
/// - `panic_hook`: the same in a module with `std`; without it, its panics end in `unreachable`
///   without a word.
///
/// Once per module. On targets other than wasm32 nothing is exported.
///
/// ```ignore
/// wasm_engine_agent::export!(Forecaster, manifest = MANIFEST, inbox = 1024, panic_handler);
/// ```
#[macro_export]
macro_rules! export {
    ($agent:ty, manifest = $manifest:expr, inbox = $inbox:expr $(, $option:ident)? $(,)?) => {
        const _: () = {
            const WASM_ENGINE_MANIFEST: &str = $manifest;
            const WASM_ENGINE_INBOX: usize = $inbox;
            const _: $crate::export_support::Instance<$agent, WASM_ENGINE_INBOX> =
                $crate::export_support::Instance::new();

            const _: [u8; WASM_ENGINE_MANIFEST.len()] =
                $crate::export_support::section_bytes(WASM_ENGINE_MANIFEST);

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                // Not marked as used: that would keep a second copy in the module's data.
                #[unsafe(link_section = "wasm_engine.manifest")]
                static SECTION: [u8; WASM_ENGINE_MANIFEST.len()] =
                    $crate::export_support::section_bytes(WASM_ENGINE_MANIFEST);
                static INSTANCE: $crate::export_support::Instance<$agent, WASM_ENGINE_INBOX> =
                    $crate::export_support::Instance::new();

                #[unsafe(no_mangle)]
                extern "C" fn agent_init() -> i32 {
                    $($crate::export!(@at_init $option);)?
                    INSTANCE.init(&mut $crate::Host::kernel())
                }
                #[unsafe(no_mangle)]
                extern "C" fn agent_receive(item: i32) -> i32 {
                    INSTANCE.receive(item, &mut $crate::Host::kernel())
                }
                #[unsafe(no_mangle)]
                extern "C" fn agent_step(context: i32) -> i32 {
                    INSTANCE.step(context, &mut $crate::Host::kernel())
                }
                #[unsafe(no_mangle)]
                extern "C" fn agent_shutdown() -> i32 {
                    INSTANCE.shutdown(&mut $crate::Host::kernel())
                }
                #[unsafe(no_mangle)]
                extern "C" fn agent_inbox() -> i32 {
                    INSTANCE.inbox_address()
                }
                #[unsafe(no_mangle)]
                extern "C" fn agent_inbox_cap() -> i32 {
                    WASM_ENGINE_INBOX as i32
                }
                $($crate::export!(@$option);)?
            };
        };
    };
    (@panic_handler) => {
        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::export_support::say(&info.message(), info.location());
            core::arch::wasm32::unreachable()
        }
    };
    (@at_init panic_handler) => {};
    (@panic_hook) => {};
    (@at_init panic_hook) => {
        ::std::panic::set_hook(::std::boxed::Box::new(|info| {
            let message = info.payload_as_str().unwrap_or("a panic without words");
            $crate::export_support::say(&message, info.location());
        }))
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use wasm_engine_abi::frame::{ItemHeader, item};

    struct Sum(u32);

    impl Agent for Sum {
        fn init(init: &Init<'_>, _host: &mut Host) -> Result<Self, Code> {
            match init.args() {
                b"own" => Err(Code::own(5)),
                b"refused" => Err(Status::Busy.into()),
                args => Ok(Self(args.len() as u32)),
            }
        }

        fn receive(&mut self, item: &Item<'_>, _host: &mut Host) -> Result<(), Code> {
            self.0 += item.payload().len() as u32;
            Ok(())
        }

        fn step(&mut self, step: &Step, _host: &mut Host) -> Result<(), Code> {
            Err(Code::own(self.0 as u16 + step.items() as u16))
        }
    }

    fn write_at<const N: usize>(instance: &mut Instance<Sum, N>, offset: usize, parts: &[&[u8]]) {
        let mut at = offset;
        for part in parts {
            instance.inbox.get_mut()[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }

    fn started(args: &[u8]) -> (Instance<Sum, 256>, i32) {
        let mut instance = Instance::<Sum, 256>::new();
        let context = Context { args_len: args.len() as u32, ..Context::default() };
        write_at(&mut instance, 0, &[bytemuck::bytes_of(&context), args]);
        let code = instance.init(&mut Host::recording());
        (instance, code)
    }

    #[test]
    fn a_turn_goes_through_the_inbox() {
        let (mut instance, code) = started(b"abc");
        assert_eq!(code, 0);
        let mut host = Host::recording();
        let header = ItemHeader { kind: item::MESSAGE, len: 4, ..ItemHeader::default() };
        write_at(&mut instance, 128, &[bytemuck::bytes_of(&header), b"data"]);
        let inbox = instance.inbox_address();
        assert_eq!(instance.receive(inbox + 128, &mut host), 0);
        let context = Context { items: 1, ..Context::default() };
        write_at(&mut instance, 0, &[bytemuck::bytes_of(&context)]);
        assert_eq!(instance.step(instance.inbox_address(), &mut host), 3 + 4 + 1);
        assert_eq!(instance.shutdown(&mut host), 0);
    }

    #[test]
    fn what_lies_outside_the_inbox_is_refused() {
        let (mut instance, _) = started(b"");
        let mut host = Host::recording();
        let header = ItemHeader { kind: item::MESSAGE, len: 193, ..ItemHeader::default() };
        write_at(&mut instance, 0, &[bytemuck::bytes_of(&header)]);
        let inbox = instance.inbox_address();
        for pointer in [inbox, inbox + 200, inbox + 256, inbox - 1, 0, i32::MAX, i32::MIN] {
            assert_eq!(instance.receive(pointer, &mut host), -901, "{pointer}");
        }
        assert_eq!(instance.step(inbox + 217, &mut host), -901);
    }

    #[test]
    fn without_a_state_every_call_is_a_fault() {
        let (own, code) = started(b"own");
        assert_eq!(code, -1005);
        assert_eq!(own.shutdown(&mut Host::recording()), -900);
        assert_eq!(started(b"refused").1, Status::Busy as i32);
    }
}
