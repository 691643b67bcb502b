//! S6: what the kernel adds to a run of the model, and what batching saves.
//!
//! The model is the weather example's, and two that take 1 MiB a request. The bare run is ONNX
//! Runtime's `Run` over the same tensors, which are there already; through the kernel a request
//! crosses the ring to the inference thread, is copied into its chunk, run in the same padded
//! shape, and its reply crosses back.

use std::path::Path;

use wasm_engine_abi::tensor::{RequestForm, TensorList, TensorWriter};
use wasm_engine_inference::onnx::{self, ModelSource, OnnxModel};
use wasm_engine_inference::registry::{LoadedModel, ModelFile, ModelHome, ModelTerms, load_model};
use wasm_engine_inference::{
    Backend, InferenceHandle, InferenceLayout, InferenceOptions, Interrupter, ListBuffer,
    ServedModel,
};
use wasm_engine_setup::{Limits, PortValue};
use wasm_engine_shm::wait::WaitMode;

use crate::measure::{Scale, apart, cores, median, ns_each, pin, quantile};
use crate::row::{Row, Unit};
use wasm_engine_measure::graphs::{image, mean};

const MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/weather/model/temperature.onnx");
const ROUND_TRIP: &str = "inference of one request, p50";
const BATCHED: &str = "inference of one of 32 requests";
const OUTSTANDING: &str = "inference of one of 4,096 outstanding requests";
const LONG: &str = "inference of a request of 1 MiB, p50";
/// Rows of a batch in the example.
const BATCH: u32 = 32;
/// Requests of a tick, as many as may be outstanding by default.
const OUTSTANDING_MAX: u64 = 4096;
/// Matrices by which a long request is multiplied: some 10^9 multiplications, a small network for
/// images.
const IMAGE_LAYERS: usize = 8;
/// How many times the bare run a long request may take.
const LONG_RATIO: f64 = 1.1;

/// The rows; without the library they say why they hold no figure.
///
/// # Panics
/// If a reply differs from that of the bare run.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let bytes = match std::fs::read(Path::new(MODEL)) {
        Ok(bytes) => bytes,
        Err(error) => return skipped(&format!("{MODEL}: {error}")),
    };
    // A thread of its own, so that pinning ends with it; the inference thread pins itself.
    let rows = apart(|| -> Result<Vec<Row>, String> {
        pin(0);
        Ok(vec![
            round_trip(&bytes, 1, scale)?,
            round_trip(&bytes, BATCH, scale)?,
            batched(&bytes, scale)?,
            outstanding(&bytes, scale)?,
            long("through 8 layers", &image(IMAGE_LAYERS), scale)?,
            long("averaged", &mean(), scale)?,
        ])
    });
    rows.unwrap_or_else(|reason| skipped(&reason))
}

fn skipped(reason: &str) -> Vec<Row> {
    [ROUND_TRIP, BATCHED, OUTSTANDING, LONG]
        .map(|case| Row::skipped("S6", case, Unit::Ns, reason))
        .into()
}

/// An inference thread with the model, and the next request.
struct Kernel {
    handle: InferenceHandle,
    next: u64,
    input: Vec<u8>,
}

impl Kernel {
    fn new(bytes: &[u8], batch: u32) -> Result<Self, String> {
        let terms = ModelTerms::default();
        let file = ModelFile {
            name: "m",
            external: &[],
            bytes,
            sha256: None,
            batch,
            home: ModelHome::Here,
            terms: &terms,
        };
        let loaded = load_model(&file, None, &Interrupter::default());
        let LoadedModel { setup, backend, .. } = loaded.map_err(|error| error.to_string())?;
        let mut limits = Limits::default();
        limits.suit(std::slice::from_ref(&setup));
        let layout = InferenceLayout::of(&limits, std::slice::from_ref(&setup))
            .map_err(|error| error.to_string())?;
        let options = InferenceOptions {
            wait: if cores() > 1 { WaitMode::Busy } else { WaitMode::Hybrid },
            clock: crate::measure::clock_ns,
            on_start: Some(Box::new(|| pin(1))),
        };
        let len = setup.row().ok_or("the model is not asked with rows")?.input_len;
        let input = input(len).iter().flat_map(|v| v.to_le_bytes()).collect();
        let served = vec![ServedModel { setup, backend, deadline_ns: None }];
        let handle = InferenceHandle::start(served, &limits, layout.on_heap(), options)
            .map_err(|error| error.to_string())?;
        Ok(Self { handle, next: 0, input })
    }

    /// Asks `count` times in one tick, then takes all replies and checks them.
    fn ask(&mut self, count: u64, expected: &[u8]) {
        let first = self.next;
        for number in first..first + count {
            self.handle.submit(number, 0, RequestForm::Row, &self.input).expect("there is room");
        }
        self.handle.flush().expect("there is room");
        for number in first..first + count {
            let reply = self.handle.wait_for(number).expect("the model answers");
            assert!(
                reply.code == 0 && reply.bytes == expected,
                "another answer than the bare run's"
            );
        }
        self.next += count;
    }
}

/// Some input without meaning but with values in the usual range.
fn input(len: usize) -> Vec<f32> {
    (0..len).map(|at| (at as f32 * 0.37).sin()).collect()
}

/// The model without a kernel, a request of the same rows as a padded batch has, and the first
/// row's result.
fn bare(bytes: &[u8], batch: u32) -> Result<(OnnxModel, ListBuffer, Vec<u8>), String> {
    let source = ModelSource { name: "bare", bytes, external: &[], outputs: None, providers: &[] };
    let mut model =
        onnx::load(source, &Interrupter::default()).map_err(|error| error.to_string())?;
    let PortValue::Tensor { dims, .. } = &model.ports().inputs[0].value else {
        return Err("the model takes no tensor".to_owned());
    };
    let mut dims: Vec<u64> = dims.iter().map(|dim| dim.size.unwrap_or(batch.into())).collect();
    dims[0] = batch.into();
    let len = dims[1..].iter().product::<u64>() as usize;
    let rows = input(len).repeat(batch as usize);
    let (mut request, mut reply) = (ListBuffer::default(), ListBuffer::default());
    let mut list = TensorWriter::new(&mut request).map_err(|error| error.to_string())?;
    list.tensor(0, &dims, &rows).map_err(|error| error.to_string())?;
    let _ = list.finish();
    model.run(request.bytes(), &mut reply).map_err(|error| error.to_string())?;
    let list = TensorList::parse(reply.bytes()).map_err(|error| error.to_string())?;
    let output = list.iter().next().ok_or("the model gives nothing")?.data();
    let first = output[..output.len() / batch as usize].to_vec();
    Ok((model, request, first))
}

/// What a request through the kernel takes and what the bare run does, in ns: medians over
/// segments of the p50 of each.
struct Compared {
    ours: f64,
    bare: f64,
    /// What is added.
    added: f64,
    ratio: f64,
    /// On the inference thread.
    inside: f64,
}

fn compared(bytes: &[u8], batch: u32, count: usize, scale: Scale) -> Result<Compared, String> {
    let mut kernel = Kernel::new(bytes, batch)?;
    let (mut model, request, expected) = bare(bytes, batch)?;
    let (mut ours, mut inside, mut runs, mut added) = (vec![], vec![], vec![], vec![]);
    for _ in 0..scale.segments {
        let (mut asked, mut ran) = (Vec::new(), Vec::new());
        for _ in 0..count {
            asked.push(ns_each(1, || kernel.ask(1, &expected)));
            ran.push(kernel.handle.rows()[0].run_ns_last as f64);
        }
        let bare: Vec<f64> = model
            .bare(request.bytes(), |run| (0..count).map(|_| ns_each(1, &mut *run)).collect())
            .map_err(|error| error.to_string())?;
        let (asked, bare) = (quantile(&asked, 0.5), quantile(&bare, 0.5));
        ours.push(asked);
        inside.push(quantile(&ran, 0.5));
        runs.push(bare);
        added.push(asked - bare);
    }
    Ok(Compared {
        ratio: crate::measure::median_ratio(&ours, &runs),
        ours: median(&ours),
        bare: median(&runs),
        added: median(&added),
        inside: median(&inside),
    })
}

fn round_trip(bytes: &[u8], batch: u32, scale: Scale) -> Result<Row, String> {
    let Compared { ours, bare, added, inside, .. } = compared(bytes, batch, scale.of(500), scale)?;
    let row = Row::new("S6", format!("{ROUND_TRIP}, batch of {batch}"), Unit::Ns, ours)
        .against("bare Run of the same shape", bare, None)
        .limit(bare)
        .note(format!(
            "adds {added:.0} ns to the bare run, which the goal limits to 2000; on the inference \
             thread the run takes {inside:.0} ns, so {:.0} ns are ours",
            ours - inside
        ));
    Ok(Row { goal_ratio: Some(bare / (bare + 2_000.0)), met: Some(added <= 2_000.0), ..row })
}

fn long(what: &str, bytes: &[u8], scale: Scale) -> Result<Row, String> {
    let Compared { ours, bare, added, ratio, .. } = compared(bytes, 1, scale.of(30), scale)?;
    let row = Row::new("S6", format!("{LONG}, {what}"), Unit::Ns, ours)
        .against("bare Run of the same shape", bare, Some(1.0 / ratio))
        .limit(bare)
        .note(format!("adds {added:.0} ns to the bare run, {ratio:.3} times it"));
    Ok(Row { goal_ratio: Some(1.0 / LONG_RATIO), met: Some(ratio <= LONG_RATIO), ..row })
}

fn outstanding(bytes: &[u8], scale: Scale) -> Result<Row, String> {
    let mut kernel = Kernel::new(bytes, BATCH)?;
    let (mut model, request, expected) = bare(bytes, BATCH)?;
    let count = scale.of(4);
    let (mut ours, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..scale.segments {
        let all = ns_each(count, || kernel.ask(OUTSTANDING_MAX, &expected));
        ours.push(all / OUTSTANDING_MAX as f64);
        let batches = count * OUTSTANDING_MAX as usize / BATCH as usize;
        let run = model
            .bare(request.bytes(), |run| ns_each(batches, run))
            .map_err(|error| error.to_string())?;
        runs.push(run / f64::from(BATCH));
    }
    let ratio = crate::measure::median_ratio(&runs, &ours);
    Ok(Row::new("S6", OUTSTANDING, Unit::Ns, median(&ours))
        .against("its share of the bare Run of 32", median(&runs), Some(ratio))
        .limit(median(&runs)))
}

fn batched(bytes: &[u8], scale: Scale) -> Result<Row, String> {
    let (mut one, mut many) = (Kernel::new(bytes, 1)?, Kernel::new(bytes, BATCH)?);
    let (expected, of_batch) = (bare(bytes, 1)?.2, bare(bytes, BATCH)?.2);
    let count = scale.of(100);
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..scale.segments {
        alone.push(ns_each(count, || one.ask(1, &expected)));
        let all = ns_each(count, || many.ask(u64::from(BATCH), &of_batch));
        together.push(all / f64::from(BATCH));
    }
    let ratio = crate::measure::median_ratio(&alone, &together);
    Ok(Row::new("S6", BATCHED, Unit::Ns, median(&together))
        .against("one by one", median(&alone), Some(ratio))
        .goal(15.0))
}
