//! Values of the library, the run over them, and the first question to a library: all unsafe code
//! of the crate but that of `binding.rs`.
//!
//! Invariant of a value: it is released once, when it is dropped, and one that lies over memory of
//! ours is gone before that memory, which the borrow in it says. Nobody outside these two modules
//! sees a pointer of the library.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{RunOptions, Session};
use ort::sys::ONNXTensorElementDataType as ElementType;
use ort::{AsPointer, ortsys, sys};
use wasm_engine_abi::tensor::ValueKind;

/// `OrtApiBase`, its functions as addresses: a library that is none may have none there.
#[repr(C)]
struct ApiBase {
    get_api: Option<unsafe extern "system" fn(u32) -> *const c_void>,
    get_version: Option<unsafe extern "system" fn() -> *const c_char>,
}

type GetApiBase = unsafe extern "system" fn() -> *const ApiBase;

/// What a library says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SaidVersion {
    /// Its version.
    pub(super) version: String,
    /// Whether it gives the API that it was asked for.
    pub(super) gives_api: bool,
}

/// Loads a library and asks it for its version, and whether it gives the API of `minor`. What `ort`
/// takes for granted, and panics without, is an error here: why the library cannot be used.
///
/// A library that gives the API stays loaded, so that it is not started twice.
pub(super) fn version_of(path: &Path, minor: u32) -> Result<SaidVersion, String> {
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
    let gives_api = !unsafe { get_api(minor) }.is_null();
    if gives_api {
        std::mem::forget(library);
    }
    Ok(SaidVersion { version, gives_api })
}

/// PortNames of inputs or outputs, as the library takes them.
pub(super) struct PortNames {
    /// What the pointers point at.
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers are into texts that belong to this struct and never change.
unsafe impl Send for PortNames {}

impl PortNames {
    pub(super) fn new(texts: Vec<CString>) -> Self {
        // A text's bytes do not move with it.
        let pointers = texts.iter().map(|text| text.as_ptr()).collect();
        Self { _texts: texts, pointers }
    }

    /// The name of a port, which ends with a zero byte and lives as long as this struct.
    pub(super) fn pointer(&self, port: usize) -> Option<*const c_char> {
        self.pointers.get(port).copied()
    }
}

/// A value of the library; one that lies over memory of ours borrows it.
pub(super) struct OrtValue<'m> {
    value: NonNull<sys::OrtValue>,
    memory: PhantomData<&'m [u8]>,
}

impl Drop for OrtValue<'_> {
    fn drop(&mut self) {
        // SAFETY: the value was given to this struct alone, which releases it once.
        ortsys![unsafe ReleaseValue(self.value.as_ptr())];
    }
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrtKind {
    Tensor,
    Sequence,
    Map,
    Other,
}

fn element_type(kind: ValueKind) -> Option<ElementType> {
    Some(match kind {
        ValueKind::F32 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        ValueKind::U8 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        ValueKind::I8 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        ValueKind::U16 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        ValueKind::I16 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        ValueKind::I32 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        ValueKind::I64 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        ValueKind::Text => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
        ValueKind::Bool => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        ValueKind::F16 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        ValueKind::F64 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        ValueKind::U32 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        ValueKind::U64 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        ValueKind::Bf16 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        ValueKind::Sequence | ValueKind::Map => return None,
    })
}

/// Where tensors over memory of ours lie, as the library says it; made once, for it costs as much
/// as a tensor.
pub(super) struct OurMemory(MemoryInfo<'static>);

impl OurMemory {
    pub(super) fn new() -> Result<Self, ort::Error> {
        let (device, kind) = (AllocationDevice::CPU, MemoryType::Default);
        MemoryInfo::new(device, 0, AllocatorType::Device, kind).map(Self)
    }
}

impl<'m> OrtValue<'m> {
    fn made(result: Result<(), ort::Error>, value: *mut sys::OrtValue) -> Result<Self, ort::Error> {
        result?;
        let value = NonNull::new(value).ok_or_else(|| ort::Error::new("no value was made"))?;
        Ok(Self { value, memory: PhantomData })
    }

    /// A tensor whose elements are `data`, in place. The library refuses one of another length than
    /// its shape has.
    pub(super) fn over(
        memory: &OurMemory,
        kind: ValueKind,
        dims: &[i64],
        data: &'m [u8],
    ) -> Result<Self, ort::Error> {
        let element = element_type(kind).filter(|_| kind != ValueKind::Text);
        let element = element.ok_or_else(|| ort::Error::new("no tensor in place"))?;
        let mut value = ptr::null_mut();
        // SAFETY: the data outlive the value, which borrows them; the library only reads inputs.
        // `memory` and `dims` outlive the call, which copies what it needs of them.
        let result = ortsys![@ort: unsafe CreateTensorWithDataAsOrtValue(
            memory.0.ptr(),
            data.as_ptr().cast_mut().cast::<c_void>(),
            data.len(),
            dims.as_ptr(),
            dims.len(),
            element,
            &mut value
        ) as Result];
        Self::made(result, value)
    }

    /// A tensor in memory of the library's own, whose elements are not set.
    pub(super) fn unset(kind: ValueKind, dims: &[i64]) -> Result<Self, ort::Error> {
        let element = element_type(kind).filter(|_| kind != ValueKind::Text);
        let element = element.ok_or_else(|| ort::Error::new("no tensor of elements"))?;
        let mut value = ptr::null_mut();
        // SAFETY: the allocator is the library's own and lives as long as it; `dims` outlive the
        // call, which copies them.
        let result = ortsys![@ort: unsafe CreateTensorAsOrtValue(
            allocator()?, dims.as_ptr(), dims.len(), element, &mut value
        ) as Result];
        Self::made(result, value)
    }

    /// The value, which stays this struct's.
    pub(super) fn pointer(&self) -> *mut sys::OrtValue {
        self.value.as_ptr()
    }

    /// Where the elements of a tensor that is no text begin.
    pub(super) fn data(&self) -> Result<NonNull<u8>, ort::Error> {
        let mut data: *mut c_void = ptr::null_mut();
        // SAFETY: the value is alive and a tensor, whose memory is given.
        ortsys![@ort: unsafe GetTensorMutableData(self.value.as_ptr(), &mut data) as Result]?;
        NonNull::new(data.cast()).ok_or_else(|| ort::Error::new("a tensor has no memory"))
    }

    /// A tensor of texts, which are copied; as many as `dims` say.
    pub(super) fn of_texts<'t>(
        dims: &[i64],
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Self, ort::Error> {
        let mut value = ptr::null_mut();
        // SAFETY: the allocator is the library's own and lives as long as it; `dims` outlive the
        // call, which copies them.
        let result = ortsys![@ort: unsafe CreateTensorAsOrtValue(
            allocator()?,
            dims.as_ptr(),
            dims.len(),
            ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
            &mut value
        ) as Result];
        let value = Self::made(result, value)?;
        for (index, text) in texts.enumerate() {
            let mut buffer: *mut c_char = ptr::null_mut();
            // SAFETY: the value is a tensor of texts and alive; the library checks the index and
            // gives memory of that many bytes.
            ortsys![@ort: unsafe GetResizedStringTensorElementBuffer(
                value.value.as_ptr(), index, text.len(), &mut buffer
            ) as Result]?;
            let buffer = NonNull::new(buffer).ok_or_else(|| ort::Error::new("no text was made"))?;
            // SAFETY: the buffer has `text.len()` bytes, is the library's and so no part of `text`.
            unsafe { ptr::copy_nonoverlapping(text.as_ptr(), buffer.as_ptr().cast(), text.len()) };
        }
        Ok(value)
    }

    /// A sequence of these values, or a map of keys and values.
    pub(super) fn of_values(values: &[Self], is_map: bool) -> Result<Self, ort::Error> {
        let pointers: Vec<_> = values.iter().map(|one| one.value.as_ptr().cast_const()).collect();
        let kind = match is_map {
            true => sys::ONNXType::ONNX_TYPE_MAP,
            false => sys::ONNXType::ONNX_TYPE_SEQUENCE,
        };
        let mut value = ptr::null_mut();
        // SAFETY: the pointers are those of live values and outlive the call; the new value holds
        // what it needs of them, and borrows the same memory as they do.
        let result = ortsys![@ort: unsafe CreateValue(
            pointers.as_ptr(), pointers.len(), kind, &mut value
        ) as Result];
        Self::made(result, value)
    }

    pub(super) fn kind(&self) -> Result<OrtKind, ort::Error> {
        let mut kind = sys::ONNXType::ONNX_TYPE_UNKNOWN;
        // SAFETY: the value is alive; the library writes one of its kinds.
        ortsys![@ort: unsafe GetValueType(self.value.as_ptr(), &mut kind) as Result]?;
        Ok(match kind {
            sys::ONNXType::ONNX_TYPE_TENSOR => OrtKind::Tensor,
            sys::ONNXType::ONNX_TYPE_SEQUENCE => OrtKind::Sequence,
            sys::ONNXType::ONNX_TYPE_MAP => OrtKind::Map,
            _ => OrtKind::Other,
        })
    }

    /// Of a tensor its elements' kind, if it is one of ours, and its dimensions.
    pub(super) fn shape(&self, dims: &mut Vec<i64>) -> Result<Option<ValueKind>, ort::Error> {
        let mut info = ptr::null_mut();
        // SAFETY: the value is alive; what is made is released below.
        ortsys![@ort: unsafe GetTensorTypeAndShape(self.value.as_ptr(), &mut info) as Result]?;
        let mut element = ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        let mut rank = 0;
        let result = (|| {
            // SAFETY: `info` was just made; the library writes one of its element types.
            ortsys![@ort: unsafe GetTensorElementType(info, &mut element) as Result]?;
            // SAFETY: as above.
            ortsys![@ort: unsafe GetDimensionsCount(info, &mut rank) as Result]?;
            dims.clear();
            dims.resize(rank, 0);
            // SAFETY: as above; `dims` has room for `rank` numbers.
            ortsys![@ort: unsafe GetDimensions(info, dims.as_mut_ptr(), rank) as Result]
        })();
        // SAFETY: made above and released once.
        ortsys![unsafe ReleaseTensorTypeAndShapeInfo(info)];
        result?;
        let known = ValueKind::from_code((element as i32).cast_unsigned());
        Ok(known.filter(|kind| element_type(*kind).is_some()))
    }

    /// The bytes of a tensor of `len` bytes that is no text; `len` must follow from its own shape.
    pub(super) fn bytes(&self, len: usize) -> Result<&[u8], ort::Error> {
        if len == 0 {
            return Ok(&[]);
        }
        let data = self.data()?;
        // SAFETY: `len` is the product of the dimensions and the size of the elements that the
        // library gave for this value, so its memory, in this process, has as many bytes; nobody
        // writes them, for the run that made the value is over.
        Ok(unsafe { slice::from_raw_parts(data.as_ptr(), len) })
    }

    /// The texts of a tensor of `count` texts: their bytes, and where each begins.
    pub(super) fn texts(&self, count: usize) -> Result<(Vec<u8>, Vec<usize>), ort::Error> {
        let mut len = 0;
        // SAFETY: the value is alive; the library checks that it holds texts.
        ortsys![@ort: unsafe GetStringTensorDataLength(self.value.as_ptr(), &mut len) as Result]?;
        // One byte more, so that there is memory even for none.
        let (mut bytes, mut offsets) = (vec![0; len + 1], vec![0; count]);
        // SAFETY: the buffers have as many elements as is said; the library checks both numbers.
        ortsys![@ort: unsafe GetStringTensorContent(
            self.value.as_ptr(),
            bytes.as_mut_ptr().cast(),
            len,
            offsets.as_mut_ptr(),
            offsets.len()
        ) as Result]?;
        bytes.truncate(len);
        Ok((bytes, offsets))
    }

    /// The values inside a sequence or a map: of a map its keys and its values.
    pub(super) fn inner(&self, is_map: bool) -> Result<Vec<Self>, ort::Error> {
        let mut count = 2;
        if !is_map {
            // SAFETY: the value is alive; the library checks that it is a sequence.
            ortsys![@ort: unsafe GetValueCount(self.value.as_ptr(), &mut count) as Result]?;
        }
        let count = i32::try_from(count).map_err(|_| ort::Error::new("it is too long"))?;
        (0..count)
            .map(|index| {
                let mut value = ptr::null_mut();
                // SAFETY: the value is alive; the library checks the index. What it gives is a
                // copy or holds the same memory, which outlives it as it does this value.
                let result = ortsys![@ort: unsafe GetValue(
                    self.value.as_ptr(), index, allocator()?, &mut value
                ) as Result];
                Self::made(result, value)
            })
            .collect()
    }
}

/// The library's allocator for the processor's memory, which lives as long as the library.
fn allocator() -> Result<*mut sys::OrtAllocator, ort::Error> {
    let mut allocator = ptr::null_mut();
    // SAFETY: the library writes the address of its own static allocator.
    ortsys![@ort: unsafe GetAllocatorWithDefaultOptions(&mut allocator) as Result]?;
    Ok(allocator)
}

/// Runs the session over these inputs, in the order of their names, and gives its outputs in that
/// of theirs. The library checks names, types and shapes against the model.
pub(super) fn run<'m>(
    session: &mut Session,
    options: &RunOptions,
    inputs: (&PortNames, &[OrtValue<'m>]),
    output_names: &PortNames,
) -> Result<Vec<OrtValue<'m>>, ort::Error> {
    let mut outputs = vec![ptr::null_mut(); output_names.pointers.len()];
    let result = call(session, options, inputs, (output_names, &mut outputs));
    // Whatever was made is released, also after a failure.
    let count = outputs.len();
    let values: Vec<_> = outputs
        .into_iter()
        .filter_map(|value| Some(OrtValue { value: NonNull::new(value)?, memory: PhantomData }))
        .collect();
    result?;
    match values.len() == count {
        true => Ok(values),
        false => Err(ort::Error::new("an output is missing")),
    }
}

/// As [`run`], into outputs that are there already and that no input shares memory with.
pub(super) fn run_into<'m>(
    session: &mut Session,
    options: &RunOptions,
    inputs: (&PortNames, &[OrtValue<'m>]),
    (output_names, outputs): (&PortNames, &mut [OrtValue<'m>]),
) -> Result<(), ort::Error> {
    let mut pointers: Vec<_> = outputs.iter().map(|output| output.value.as_ptr()).collect();
    call(session, options, inputs, (output_names, &mut pointers))
}

/// Calls the library's run; each output is null or a live value that nothing else refers to.
fn call(
    session: &mut Session,
    options: &RunOptions,
    (input_names, inputs): (&PortNames, &[OrtValue<'_>]),
    (output_names, outputs): (&PortNames, &mut [*mut sys::OrtValue]),
) -> Result<(), ort::Error> {
    if input_names.pointers.len() != inputs.len() || output_names.pointers.len() != outputs.len() {
        return Err(ort::Error::new("there are other values than names"));
    }
    let pointers: Vec<_> = inputs.iter().map(|input| input.value.as_ptr().cast_const()).collect();
    // SAFETY: the session is alive and borrowed mutably, so no other run is under way; the arrays
    // hold as many live pointers as is said and outlive the call, and so do the options, which
    // another thread may change during it, for that is what their flag is for. Inputs are only
    // read. Where an output is null the library makes it; one that is an input passed through may
    // lie over the same memory of ours, which outlives it. Where it is not, nobody else uses it.
    ortsys![@ort: unsafe Run(
        session.ptr_mut(),
        options.ptr(),
        input_names.pointers.as_ptr(),
        pointers.as_ptr(),
        pointers.len(),
        output_names.pointers.as_ptr(),
        outputs.len(),
        outputs.as_mut_ptr()
    ) as Result]
}
