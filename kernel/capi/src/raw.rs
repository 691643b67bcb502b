//! Arguments as C gives them: the only file with `unsafe` code.
//!
//! Each type here is one argument of a call from C, and its contract is that of the header: a
//! pointer that is not null names what its type says, for the length of the call, and no other
//! thread writes it meanwhile. What can be found out without believing it is checked: null,
//! lengths, ends of texts, UTF-8, sizes of structs. Nothing has to be aligned. Rust code cannot
//! make one, so the functions that take them are safe to call.
#![expect(unsafe_code, reason = "it reads and writes where C points")]

use std::{
    ffi::{c_char, c_void},
    marker::PhantomData,
};

use crate::{
    result::{Failure, we_result},
    structs::{
        CStruct, we_fault, we_host_outcome, we_host_output, we_host_poll, we_host_snapshot,
        we_log_line, we_on_fault, we_on_log, we_on_output, we_task_outcome, we_tick_report,
    },
};

/// Bytes of the longest text.
const TEXT_MAX: usize = 16 << 20;
/// Bytes of the largest struct of any version: what is beyond is no size.
const STRUCT_MAX: u32 = 4096;

/// A text that ends with NUL.
#[derive(Debug)]
#[repr(transparent)]
pub struct TextArg<'a>(*const c_char, PhantomData<&'a c_char>);

impl TextArg<'_> {
    /// The text; `what` names it in messages.
    pub(crate) fn get(&self, what: &str) -> Result<&str, Failure> {
        let first = self.0.cast::<u8>();
        if first.is_null() {
            return Err(null(what));
        }
        // SAFETY: by the contract of the type all bytes up to the NUL can be read, and none beyond
        // the first NUL is.
        let is_end = |at: &usize| unsafe { first.wrapping_add(*at).read() } == 0;
        let Some(len) = (0..=TEXT_MAX).find(is_end) else {
            let text = format!("{what} does not end within {TEXT_MAX} bytes");
            return Err(Failure::new(we_result::Length, text));
        };
        // SAFETY: these bytes were just read, and live and stay as they are for the call.
        let bytes = unsafe { std::slice::from_raw_parts(first, len) };
        std::str::from_utf8(bytes)
            .map_err(|error| Failure::new(we_result::Utf8, format!("{what} is not UTF-8: {error}")))
    }
}

/// Bytes, whose number is another argument.
#[derive(Debug)]
#[repr(transparent)]
pub struct BytesArg<'a>(*const c_void, PhantomData<&'a u8>);

impl BytesArg<'_> {
    /// The bytes; null is right where there are none.
    pub(crate) fn get(&self, len: usize, what: &str) -> Result<&[u8], Failure> {
        if len == 0 {
            return Ok(&[]);
        }
        if self.0.is_null() {
            return Err(null(what));
        }
        if isize::try_from(len).is_err() {
            let text = format!("{what} cannot have {len} bytes");
            return Err(Failure::new(we_result::Length, text));
        }
        // SAFETY: by the contract of the type so many bytes can be read and stay as they are for
        // the call; they are not null, and no more than an object may have.
        Ok(unsafe { std::slice::from_raw_parts(self.0.cast(), len) })
    }
}

/// Numbers, how many is another argument.
#[derive(Debug)]
#[repr(transparent)]
pub struct U64sArg<'a>(*const u64, PhantomData<&'a u64>);

impl U64sArg<'_> {
    /// The numbers; null is right where there are none.
    pub(crate) fn get(
        &self,
        len: usize,
        what: &str,
    ) -> Result<impl Iterator<Item = u64> + '_, Failure> {
        let bytes = BytesArg(self.0.cast(), PhantomData);
        // So many numbers as have no number of bytes no object has.
        let bytes_len = len.saturating_mul(size_of::<u64>());
        bytes.get(bytes_len, what)?;
        // SAFETY: by the contract of the type so many numbers can be read and stay as they are for
        // the call; each is read as it lies, aligned or not.
        Ok((0..len).map(|at| unsafe { self.0.wrapping_add(at).read_unaligned() }))
    }
}

/// Where one value is to be written.
#[derive(Debug)]
#[repr(transparent)]
pub struct OutArg<'a, T>(*mut T, PhantomData<&'a mut T>);

/// Where a number or a handle is to be written.
pub type OutU64<'a> = OutArg<'a, u64>;
/// Where the address of a text is to be written.
pub type OutText<'a> = OutArg<'a, *const c_char>;

impl<T: Copy> OutArg<'_, T> {
    /// Refuses null.
    pub(crate) fn check(&self, what: &str) -> Result<(), Failure> {
        if self.0.is_null() { Err(null(what)) } else { Ok(()) }
    }

    /// Writes, unless nobody wants to know.
    pub(crate) fn write(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: by the contract of the type it can be written; it need not be aligned.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

/// Where a struct is to be written whose first field is its size, as the caller knows it.
#[derive(Debug)]
#[repr(transparent)]
pub struct StructOut<'a, T>(*mut T, PhantomData<&'a mut T>);

/// Where a [`we_host_poll`] is to be written.
pub type OutPoll<'a> = StructOut<'a, we_host_poll>;
/// Where a [`we_host_output`] is to be written.
pub type OutOutput<'a> = StructOut<'a, we_host_output>;
/// Where a [`we_host_outcome`] is to be written.
pub type OutOutcome<'a> = StructOut<'a, we_host_outcome>;
/// Where a [`we_task_outcome`] is to be written.
pub type OutTaskOutcome<'a> = StructOut<'a, we_task_outcome>;
/// Where a [`we_host_snapshot`] is to be written.
pub type OutSnapshot<'a> = StructOut<'a, we_host_snapshot>;
/// Where a [`we_tick_report`] is to be written.
pub type OutTickReport<'a> = StructOut<'a, we_tick_report>;

impl<T: CStruct> StructOut<'_, T> {
    /// Refuses null and what is not the size of this struct in any version.
    pub(crate) fn check(&self, what: &str) -> Result<(), Failure> {
        if self.0.is_null() {
            return Err(null(what));
        }
        let size = self.size();
        if (T::LEAST..=STRUCT_MAX).contains(&size) {
            return Ok(());
        }
        let text = format!("{what}->size is {size}; set it to sizeof *{what} before the call");
        Err(Failure::new(we_result::Size, text))
    }

    fn size(&self) -> u32 {
        // SAFETY: by the contract of the type a struct is there, which begins with its size.
        unsafe { self.0.cast::<u32>().read_unaligned() }
    }

    /// Writes as much as the caller's struct has of it, behind the size; to be checked before.
    pub(crate) fn write(&self, value: &T) {
        let len = size_of::<T>().min(self.size() as usize).saturating_sub(size_of::<u32>());
        let from = std::ptr::from_ref(value).cast::<u8>().wrapping_add(size_of::<u32>());
        let to = self.0.cast::<u8>().wrapping_add(size_of::<u32>());
        // SAFETY: both have so many bytes behind the size: the value by its type, the caller's by
        // the size it states. They do not overlap, since the value is a Rust one.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
    }
}

/// What a callback gets back as it was given: an address that nothing here looks at.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct CallerContext(*mut c_void);

impl CallerContext {
    /// As a number, which may go to another thread.
    pub(crate) fn number(self) -> usize {
        self.0.expose_provenance()
    }
}

fn context(number: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(number)
}

pub(crate) fn call_on_output(callback: we_on_output, number: usize, output: &we_host_output) {
    if let Some(callback) = callback {
        // SAFETY: the caller gave a function of this type that may be called until the host is
        // closed; the struct and what it points to live until it has returned.
        unsafe { callback(context(number), output) };
    }
}

pub(crate) fn call_on_log(callback: we_on_log, number: usize, line: &we_log_line) {
    if let Some(callback) = callback {
        // SAFETY: as in `call_on_output`.
        unsafe { callback(context(number), line) };
    }
}

pub(crate) fn call_on_fault(callback: we_on_fault, number: usize, fault: &we_fault) {
    if let Some(callback) = callback {
        // SAFETY: as in `call_on_output`.
        unsafe { callback(context(number), fault) };
    }
}

fn null(what: &str) -> Failure {
    Failure::new(we_result::Null, format!("{what} is null"))
}
