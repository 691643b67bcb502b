//! Asks the processor for memory that will be needed soon.
//!
//! Why: the agents of a microstep are known before they run, and with thousands of them nothing of
//! the next one is in the cache. Asked for some turns ahead, it arrives while others run: at 65,536
//! agents a turn takes a quarter of the time.
#![expect(unsafe_code, reason = "the instruction is an intrinsic")]

/// Asks for the line of `address`, which need not be valid.
#[inline]
pub(crate) fn line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction exists on every processor of this target, reads nothing that a
        // program could see, and does not trap whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for all lines of a value.
#[inline]
pub(crate) fn value<T>(of: &T) {
    let first = std::ptr::from_ref(of).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
        line(first.wrapping_add(offset));
    }
}

/// Asks for some lines around `address`.
#[inline]
pub(crate) fn around(address: *const u8, before: usize, lines: usize) {
    let first = address.wrapping_sub(before);
    for number in 0..lines {
        line(first.wrapping_add(number * LINE_BYTES));
    }
}

/// Bytes of a line of the cache.
pub(crate) const LINE_BYTES: usize = 64;
