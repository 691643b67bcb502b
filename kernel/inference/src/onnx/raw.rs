//! Tensors over memory of ours, the run over them, and the first question to a library: all unsafe
//! code of the crate.
//!
//! Invariant of a tensor: `memory` and `value` are made and freed together, `value` describes
//! exactly the first `len` floats of `memory`, and nobody outside this module sees either pointer.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{RunOptions, Session};
use ort::{AsPointer, ortsys, sys};

/// `OrtApiBase`, its functions as addresses: a library that is none may have none there.
#[repr(C)]
struct ApiBase {
    get_api: Option<unsafe extern "system" fn(u32) -> *const c_void>,
    get_version: Option<unsafe extern "system" fn() -> *const c_char>,
}

type GetApiBase = unsafe extern "system" fn() -> *const ApiBase;

/// Loads a library and asks it for its version, and whether it gives the API of `minor`. What `ort`
/// takes for granted, and panics without, is an error here: why the library cannot be used.
///
/// A library that passes stays loaded, so that it is not started twice.
pub(super) fn version_of(path: &Path, minor: u32) -> Result<String, String> {
    // SAFETY: loading runs the library's constructors. The file is whole by its own tables and was
    // named by the user, or is the pinned one; for the code in it answers whoever named it.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
        let error = std::error::Error::source(&error).map_or(error.to_string(), |e| e.to_string());
        format!("the dynamic loader refuses it, `ldd` shows what it misses: {error}")
    })?;
    // SAFETY: a symbol of this name has this type in every version of ONNX Runtime; of a library
    // that is none, no more can be known than that the symbol is there.
    let get_base = unsafe { library.get::<GetApiBase>(b"OrtGetApiBase\0") }
        .map_err(|_| "it has no `OrtGetApiBase`".to_owned())?;
    // SAFETY: as above; it takes nothing.
    let base = unsafe { get_base() };
    // SAFETY: null or the address of the library's static structure, which lives as long as it.
    let base = unsafe { base.as_ref() };
    let (Some(get_api), Some(get_version)) =
        (base.and_then(|base| base.get_api), base.and_then(|base| base.get_version))
    else {
        return Err("its `OrtGetApiBase` gives no API".to_owned());
    };
    // SAFETY: it takes nothing and gives null or a static text.
    let version = unsafe { get_version() };
    if version.is_null() {
        return Err("its `OrtGetApiBase` gives no version".to_owned());
    }
    // SAFETY: not null, so a text that ends with a zero byte, static in the library.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned();
    // SAFETY: any number may be asked; it gives null for those that it does not have.
    if unsafe { get_api(minor) }.is_null() {
        let version = version.escape_debug();
        return Err(format!("it says to be {version} and gives no API of version 1.{minor}"));
    }
    std::mem::forget(library);
    Ok(version)
}

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
