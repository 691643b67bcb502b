//! Tensors over memory of ours, and the run over them: all unsafe code of the crate.
//!
//! Invariant: `memory` and `value` are made and freed together, `value` describes exactly the
//! first `len` floats of `memory`, and nobody outside this module sees either pointer.

use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::slice;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{RunOptions, Session};
use ort::{AsPointer, ortsys, sys};

/// A cache line, so that every tensor begins on one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A value of the library over zeroed memory that we own.
pub(super) struct Tensor {
    value: NonNull<sys::OrtValue>,
    memory: NonNull<[Line]>,
    len: usize,
}

// SAFETY: the value and the memory belong to this struct alone, the library ties neither to a
// thread, and every access to the memory goes through `&self` or `&mut self`.
unsafe impl Send for Tensor {}

impl Tensor {
    /// A tensor of `len` zeros, which must be the product of `dims`; ONNX Runtime must be
    /// initialised. The library refuses a shape that needs more than `len` floats.
    pub(super) fn new(dims: &[i64], len: usize) -> Result<Self, ort::Error> {
        let info =
            MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?;
        let lines = vec![Line([0.0; 16]); len.div_ceil(16)].into_boxed_slice();
        let memory = NonNull::from(Box::leak(lines));
        let mut value = ptr::null_mut();
        // SAFETY: the data pointer heads at least len * 4 bytes, which outlive the value: both
        // are freed in `drop`, the value first. `info` and `dims` outlive the call, which copies
        // what it needs of them.
        let made = ortsys![@ort: unsafe CreateTensorWithDataAsOrtValue(
            info.ptr(),
            memory.cast().as_ptr(),
            len * size_of::<f32>(),
            dims.as_ptr(),
            dims.len(),
            sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            &mut value
        ) as Result];
        match (made, NonNull::new(value)) {
            (Ok(()), Some(value)) => Ok(Self { value, memory, len }),
            (made, _) => {
                // SAFETY: leaked above, and no value was made over it.
                drop(unsafe { Box::from_raw(memory.as_ptr()) });
                made.and_then(|()| Err(ort::Error::new("no value was made")))
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        // SAFETY: `memory` holds at least `len` initialised floats for the life of `self`, and
        // the library writes them only in `run`, which borrows the output mutably.
        unsafe { slice::from_raw_parts(self.memory.cast().as_ptr(), self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_slice`; `&mut self` makes this the only access, and the library
        // touches the memory only in `run`, which needs a borrow of its own.
        unsafe { slice::from_raw_parts_mut(self.memory.cast().as_ptr(), self.len) }
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: the value was made in `new`, is released once, and no run is under way, for
        // `run` borrows the tensor.
        ortsys![unsafe ReleaseValue(self.value.as_ptr())];
        // SAFETY: leaked in `new`; the value, the only other user, is gone.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

/// Runs the session over the two tensors. The library checks names, types and shapes against
/// the model, the output's before it writes, and returns an error for any that differs.
pub(super) fn run(
    session: &mut Session,
    options: &RunOptions,
    input_name: &CStr,
    input: &Tensor,
    output_name: &CStr,
    output: &mut Tensor,
) -> Result<(), ort::Error> {
    let input_names = [input_name.as_ptr()];
    let output_names = [output_name.as_ptr()];
    let inputs = [input.value.as_ptr().cast_const()];
    let mut outputs = [output.value.as_ptr()];
    // SAFETY: the session is alive and borrowed mutably, so no other run is under way; the
    // arrays hold one live pointer each and outlive the call, and so do the options, which another
    // thread may change during it, for that is what their flag is for.
    // The input is only read, the output only written, and they are different memory. The
    // output is bound, so the library leaves its pointer as it is.
    ortsys![@ort: unsafe Run(
        session.ptr_mut(),
        options.ptr(),
        input_names.as_ptr(),
        inputs.as_ptr(),
        1,
        output_names.as_ptr(),
        1,
        outputs.as_mut_ptr()
    ) as Result]
}
