//! The two things a turn does so often that the engine's general way costs too much: writing into a
//! guest's inbox, and calling a function of which it is known what it takes and gives.
#![expect(unsafe_code, reason = "addresses and types are checked once, not at each turn")]

use std::ops::Range;
use std::ptr::NonNull;

use wasmtime::{Func, Memory, Store, ValRaw};

use crate::turn::Host;

/// The memory of an instance: where it begins, and how long it was when it was last asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestMemory {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the address is used only with the store that it belongs to, borrowed exclusively, and
// moves to another thread only with it: both lie in one `Seats`.
unsafe impl Send for GuestMemory {}

impl GuestMemory {
    /// That of `memory` in `store`.
    pub(crate) fn of(memory: &Memory, store: &Store<Host>) -> Self {
        // An instance without a memory is not admitted, and the memory has an address.
        let base = NonNull::new(memory.data_ptr(store)).unwrap_or(NonNull::dangling());
        Self { base, len: memory.data_size(store) }
    }

    /// Its first byte.
    pub(crate) fn base(self) -> *const u8 {
        self.base.as_ptr()
    }

    /// Bytes it had when it was made.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Some of its bytes, if all of them are inside; `store` is whose memory it is.
    #[inline]
    pub(crate) fn bytes(self, _store: &mut Store<Host>, at: Range<usize>) -> Option<&mut [u8]> {
        if at.start > at.end || at.end > self.len {
            return None;
        }
        // SAFETY: the range lies inside a memory that is `len` bytes long or longer, since memories
        // never shrink, and that does not move, for the engine is configured so and the arena never
        // moves it.
        let from = unsafe { self.base.add(at.start) };
        // SAFETY: as above; the bytes are initialised, and nobody else reads or writes them while
        // the store is borrowed: neither the guest, who would run in it, nor the host.
        Some(unsafe { std::slice::from_raw_parts_mut(from.as_ptr(), at.len()) })
    }
}

/// A function of the contract that takes an `i32` and gives one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentFunc(Func);

impl AgentFunc {
    /// The function, if that is its type.
    pub(crate) fn checked(func: Func, store: &Store<Host>) -> wasmtime::Result<Self> {
        func.typed::<i32, i32>(store)?;
        Ok(Self(func))
    }

    /// Calls it.
    #[inline]
    pub(crate) fn call(self, store: &mut Store<Host>, argument: i32) -> wasmtime::Result<i32> {
        let mut values = [ValRaw::i32(argument)];
        // SAFETY: the type was checked when it was made, so one value holds the argument first and
        // the result afterwards; the engine panics if it belongs to another store.
        unsafe { self.0.call_unchecked(store, &raw mut values)? };
        Ok(values[0].get_i32())
    }

    /// Where the engine keeps what it reads to call it.
    pub(crate) fn address(self, store: &mut Store<Host>) -> *const u8 {
        self.0.to_raw(store).cast_const().cast()
    }
}
