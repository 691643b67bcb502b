//! Tensors that stay bound to a session, and the run over them: unsafe code.
//!
//! Invariant: a binding belongs to one struct with its tensors, whose memory is the library's and
//! of which nobody else knows. So nobody writes an input or reads an output during a run, which
//! borrows the struct mutably.

use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use ort::session::{RunOptions, Session, SharedSessionInner};
use ort::{AsPointer, ortsys, sys};
use wasm_engine_abi::tensor::ValueKind;

use crate::onnx::raw::{OrtValue, PortNames};

/// A tensor that stays bound to a port, in memory of the library's own.
struct BoundTensor {
    value: OrtValue<'static>,
    data: NonNull<u8>,
    len: usize,
}

impl BoundTensor {
    fn new(kind: ValueKind, dims: &[i64], len: usize) -> Result<Self, ort::Error> {
        let value = OrtValue::unset(kind, dims)?;
        let data = if len == 0 { NonNull::dangling() } else { value.data()? };
        Ok(Self { value, data, len })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the value has `len` bytes there, which [`Binding::add`] made sure of and which
        // were written when it was made; it lives as long as this struct, and the library writes
        // them in a run only, which borrows the binding mutably.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; this struct is borrowed mutably, and nobody else knows of the memory
        // but the library, outside a run.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

/// Tensors of fixed shapes that stay bound to the inputs and outputs of a session.
pub(super) struct Binding {
    binding: NonNull<sys::OrtIoBinding>,
    inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
    /// What it refers to.
    session: Arc<SharedSessionInner>,
}

// SAFETY: the pointers are to objects of the library that belong to this struct alone and to no
// thread; the session may be sent and shared.
unsafe impl Send for Binding {}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: the binding was given to this struct alone, which releases it once and before the
        // session, which it still holds.
        ortsys![unsafe ReleaseIoBinding(self.binding.as_ptr())];
    }
}

impl Binding {
    /// One without tensors.
    pub(super) fn new(session: &mut Session) -> Result<Self, ort::Error> {
        let mut binding = ptr::null_mut();
        // SAFETY: the session is alive and borrowed mutably; what is made is released when this
        // struct is dropped.
        ortsys![@ort: unsafe CreateIoBinding(session.ptr_mut(), &mut binding) as Result]?;
        let binding =
            NonNull::new(binding).ok_or_else(|| ort::Error::new("no binding was made"))?;
        Ok(Self { binding, inputs: Vec::new(), outputs: Vec::new(), session: session.inner() })
    }

    /// Binds a tensor of zeros to the input or output `port` of these names. `len` is the product
    /// of its dimensions and the size of its elements.
    pub(super) fn add(
        &mut self,
        (is_input, names, port): (bool, &PortNames, usize),
        (kind, dims): (ValueKind, &[i64]),
        len: usize,
    ) -> Result<(), ort::Error> {
        let product = dims.iter().try_fold(1_usize, |product, dim| {
            usize::try_from(*dim).ok().and_then(|dim| product.checked_mul(dim))
        });
        let bytes = kind.element_bytes().and_then(|bytes| product?.checked_mul(bytes as usize));
        let name = names.pointer(port).filter(|_| bytes == Some(len));
        let name = name.ok_or_else(|| ort::Error::new("no tensor for this port"))?;
        let tensor = BoundTensor::new(kind, dims, len)?;
        // SAFETY: the tensor was just made with as many bytes, as the product of its dimensions
        // says; nobody else knows of it.
        unsafe { ptr::write_bytes(tensor.data.as_ptr(), 0, tensor.len) };
        let value = tensor.value.pointer();
        match is_input {
            true => {
                // SAFETY: binding and value are alive; the name ends with a zero byte and outlives
                // the call, which copies it and keeps the value's memory.
                ortsys![@ort: unsafe BindInput(self.binding.as_ptr(), name, value) as Result]?;
                self.inputs.push(tensor);
            }
            false => {
                // SAFETY: as above.
                ortsys![@ort: unsafe BindOutput(self.binding.as_ptr(), name, value) as Result]?;
                self.outputs.push(tensor);
            }
        }
        Ok(())
    }

    /// The elements of an input, in the order in which they were added.
    pub(super) fn input(&mut self, at: usize) -> Option<&mut [u8]> {
        self.inputs.get_mut(at).map(BoundTensor::bytes_mut)
    }

    /// The elements of an output, likewise, to be changed.
    pub(super) fn output_mut(&mut self, at: usize) -> Option<&mut [u8]> {
        self.outputs.get_mut(at).map(BoundTensor::bytes_mut)
    }

    /// The elements of the outputs, likewise.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &[u8]> {
        self.outputs.iter().map(BoundTensor::bytes)
    }

    /// Runs the session over its inputs into its outputs; it must be that for which it was made.
    pub(super) fn run(
        &mut self,
        session: &mut Session,
        options: &RunOptions,
    ) -> Result<(), ort::Error> {
        if self.session.ptr() != session.ptr() {
            return Err(ort::Error::new("a binding of another session"));
        }
        // SAFETY: the session is alive and borrowed mutably, so no other run is under way; so is
        // the binding, so nobody reads or writes its tensors. The options may be changed by another
        // thread, for that is what their flag is for.
        ortsys![@ort: unsafe RunWithBinding(
            session.ptr_mut(), options.ptr(), self.binding.as_ptr()
        ) as Result]
    }
}
