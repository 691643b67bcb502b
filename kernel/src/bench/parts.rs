//! Parts of the kernel alone: the ring between threads, the page for monitors, the inference
//! thread.

use wasm_engine_measure::{
    measure::{cores, median, ns_each, on_core},
    rings::{bytes_ring, ns_per_message, round_trips},
};
use wasm_engine_shm::{
    mem::RawMem,
    page::{self, PageReader, PageWriter},
};

use crate::bench::{
    error::BenchError,
    figure::{Figure, MachineLimits},
    options::BenchOptions,
};

/// Bytes of a message through the ring.
const MESSAGE_BYTES: usize = 64;
/// Messages that one publication carries.
const BATCH: usize = 32;
/// Words of a page: 4 KiB.
const PAGE_WORDS: usize = 512;

/// The ring between the scheduler and a worker. The messages are checked as they come.
pub(super) fn ring(options: &BenchOptions, machine: &MachineLimits) -> Vec<Figure> {
    if cores() == 1 {
        return Vec::new();
    }
    let rounds = options.of(16_000);
    let (mut medians, mut all, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in options.segments() {
        let times = round_trips::<MESSAGE_BYTES, _, _>(rounds, bytes_ring::<MESSAGE_BYTES>);
        medians.push(median(&times));
        all.extend(times);
        each.push(ns_per_message::<MESSAGE_BYTES, _, _>(
            options.of(80),
            BATCH,
            bytes_ring::<MESSAGE_BYTES>,
        ));
    }
    let line = machine.line_round_trip_ns;
    vec![
        Figure::of("ring", "ring: 64 bytes there and back", "ns", &medians)
            .over(&all)
            .beside("a bare cache line there and back", line),
        Figure::of("ring", "ring: each of 32 messages together", "ns", &each)
            .beside("copying 64 bytes", MESSAGE_BYTES as f64 / machine.memcpy_bytes_per_ns),
    ]
}

/// What monitors read: a page, written and read again.
pub(super) fn page(
    options: &BenchOptions,
    machine: &MachineLimits,
) -> Result<Vec<Figure>, BenchError> {
    let failed = |what: String| BenchError::Machine { stage: "page", what };
    let len = page::layout(PAGE_WORDS).map_err(|error| failed(error.to_string()))?;
    let mem = RawMem::heap(len);
    let writer = PageWriter::new(mem.clone(), PAGE_WORDS);
    let mut writer = writer.map_err(|error| failed(error.to_string()))?;
    let reader = PageReader::new(mem, PAGE_WORDS).map_err(|error| failed(error.to_string()))?;
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    let mut torn = false;
    on_core(0, || {
        let count = options.of(40_000);
        let mut words = [0; PAGE_WORDS];
        for segment in options.segments().map(|number| number as u64 + 1) {
            writes.push(ns_each(count, || {
                writer.publish(&[segment; PAGE_WORDS]);
            }));
            reads.push(ns_each(count, || {
                torn |= reader.read(std::hint::black_box(&mut words)).is_err();
            }));
            torn |= words != [segment; PAGE_WORDS];
        }
    });
    if torn {
        let what = "another page was read than was written".to_owned();
        return Err(BenchError::Wrong { stage: "page", what });
    }
    let copy = (8 * PAGE_WORDS) as f64 / machine.memcpy_4k_bytes_per_ns;
    Ok(vec![
        Figure::of("page", "page: 4 KiB published", "ns", &writes).beside("copying 4 KiB", copy),
        Figure::of("page", "page: 4 KiB read", "ns", &reads).beside("copying 4 KiB", copy),
    ])
}

/// A request to a model and its reply, through the inference thread; or why there is no figure.
#[cfg(feature = "onnx")]
pub(super) fn inference(
    options: &BenchOptions,
    machine: &MachineLimits,
) -> Result<Result<Figure, String>, BenchError> {
    use wasm_engine_abi::tensor::RequestForm;
    use wasm_engine_inference::{
        InferenceHandle, InferenceLayout, InferenceOptions, Interrupter, ServedModel,
        onnx::locate_library,
        registry::{LoadedModel, ModelFile, ModelHome, ModelTerms, load_model},
    };
    use wasm_engine_setup::Limits;
    use wasm_engine_shm::wait::WaitMode;

    use wasm_engine_measure::graphs;

    use crate::clock;

    if let Err(error) = locate_library(None) {
        return Ok(Err(error.to_string()));
    }
    let failed = |what: String| BenchError::Machine { stage: "inference", what };
    let (terms, bytes) = (ModelTerms::default(), graphs::doubling());
    let file = ModelFile {
        name: "double",
        external: &[],
        bytes: &bytes,
        sha256: None,
        batch: 1,
        home: ModelHome::Here,
        terms: &terms,
    };
    let loaded = load_model(&file, None, &Interrupter::default());
    let LoadedModel { setup, backend, .. } = loaded.map_err(|error| failed(error.to_string()))?;
    let mut limits = Limits::default();
    limits.suit(std::slice::from_ref(&setup));
    let layout = InferenceLayout::of(&limits, std::slice::from_ref(&setup));
    let layout = layout.map_err(|error| failed(error.to_string()))?;
    let terms = InferenceOptions { wait: WaitMode::Hybrid, clock: clock::now_ns, on_start: None };
    let served = vec![ServedModel { setup, backend, deadline_ns: None }];
    let handle = InferenceHandle::start(served, &limits, layout.on_heap(), terms);
    let mut handle = handle.map_err(|error| failed(error.to_string()))?;
    let row = |factor: f32| -> Vec<u8> {
        (0..graphs::DOUBLING_WIDTH).flat_map(|at| (factor * at as f32).to_le_bytes()).collect()
    };
    let (asked, doubled) = (row(1.5), row(3.0));
    let (mut medians, mut all, mut next) = (Vec::new(), Vec::new(), 0);
    for _ in options.segments() {
        let mut times = Vec::new();
        for _ in 0..options.of(800) {
            let begin_ns = clock::now_ns();
            let submitted = handle.submit(next, 0, RequestForm::Row, &asked);
            let reply =
                submitted.and_then(|()| handle.flush()).and_then(|()| handle.wait_for(next));
            let reply = reply.map_err(|error| failed(error.to_string()))?;
            times.push((clock::now_ns() - begin_ns) as f64);
            if reply.code != 0 || reply.bytes != doubled {
                let what = "the model's reply is not twice its request".to_owned();
                return Err(BenchError::Wrong { stage: "inference", what });
            }
            next += 1;
        }
        medians.push(median(&times));
        all.extend(times);
    }
    let figure = Figure::of("inference", "inference: a row of 16 doubled", "ns", &medians);
    Ok(Ok(figure.over(&all).beside("a bare cache line there and back", machine.line_round_trip_ns)))
}

#[cfg(not(feature = "onnx"))]
pub(super) fn inference(
    _options: &BenchOptions,
    _machine: &MachineLimits,
) -> Result<Result<Figure, String>, BenchError> {
    Ok(Err("this program was built without the feature onnx".to_owned()))
}
