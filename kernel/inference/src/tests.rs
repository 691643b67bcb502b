//! Batching, padding, order, errors and panics with a backend whose every answer is known; and the
//! real model through the same door, where the library is there.

use wasm_engine_abi::page::model_state;
use wasm_engine_setup::Limits;
use wasm_engine_shm::wait::WaitMode;

use crate::guarded::LOST_ROWS_MAX;
use crate::{
    Backend, BackendFailure, InferenceError, InferenceHandle, InferenceLayout, InferenceOptions,
    Interrupter, ListBuffer, ModelPorts, ServedModel,
};
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::tensor::{RequestForm, TensorList, TensorWriter};
use wasm_engine_setup::ModelSetup;

pub(crate) const OK: i32 = Status::Ok as i32;
pub(crate) const FAILED: i32 = Status::ModelFailed as i32;
pub(crate) const MISMATCH: i32 = Status::Mismatch as i32;

/// Values of an input row of every model here.
const WIDTH: usize = 2;

/// What a model makes of the values of all rows of a batch.
type OfRows = Box<dyn FnMut(&[f32]) -> Result<Vec<f32>, BackendFailure> + Send>;

/// A model of `f32` rows.
struct RowModel {
    ports: ModelPorts,
    of: OfRows,
}

impl Backend for RowModel {
    fn ports(&self) -> &ModelPorts {
        &self.ports
    }

    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        let list = TensorList::parse(request).expect("a list");
        let input = list.port(0).expect("the one input");
        let output = (self.of)(input.as_slice().expect("aligned floats"))?;
        let rows = input.dims().next().expect("rows");
        reply.clear();
        let mut list = TensorWriter::new(reply).expect("it grows");
        list.tensor(0, &[rows, output.len() as u64 / rows], &output).expect("it grows");
        let _ = list.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        "rows".to_owned()
    }
}

/// A model with rows of `output` values, `batch` together, which `of` gives.
pub(crate) fn served(
    batch: usize,
    output: u64,
    of: impl FnMut(&[f32]) -> Result<Vec<f32>, BackendFailure> + Send + 'static,
) -> ServedModel {
    let mut setup = ModelSetup::of_rows("m", WIDTH as u64, output);
    setup.batch = batch as u32;
    let ModelSetup { inputs, outputs, .. } = setup.clone();
    let ports = ModelPorts { inputs, outputs };
    let backend = RowModel { ports, of: Box::new(of) };
    ServedModel { setup, backend: Box::new(backend), deadline_ns: None }
}

/// Gives, per row, the sum of the row, the sum of the whole batch and its own position: the second
/// shows who ran together, and what the padding was.
fn sums_of(input: &[f32]) -> Result<Vec<f32>, BackendFailure> {
    if input.contains(&-13.0) {
        return Err(BackendFailure::Failed("an unlucky number".to_owned()));
    }
    assert!(!input.contains(&-14.0), "a number worse than that");
    let all: f32 = input.iter().sum();
    let rows = input.chunks(WIDTH).enumerate();
    let mut sums: Vec<f32> =
        rows.flat_map(|(at, row)| [row.iter().sum(), all, at as f32]).collect();
    if input.contains(&-15.0) {
        // As many rows, and too few values in each.
        sums.truncate(input.len() / WIDTH * 2);
    }
    Ok(sums)
}

fn sums(batch: usize) -> ServedModel {
    served(batch, 3, sums_of)
}

pub(crate) fn limits(models: &[ModelSetup]) -> Limits {
    let mut limits = Limits { inferences_pending_max: 64, ..Limits::default() };
    limits.suit(models);
    limits
}

pub(crate) fn options() -> InferenceOptions {
    InferenceOptions { wait: WaitMode::Hybrid, clock: || 7, on_start: None }
}

pub(crate) fn start(models: Vec<ServedModel>) -> InferenceHandle {
    let setups: Vec<ModelSetup> = models.iter().map(|model| model.setup.clone()).collect();
    start_within(models, &limits(&setups), options())
}

pub(crate) fn start_within(
    models: Vec<ServedModel>,
    limits: &Limits,
    options: InferenceOptions,
) -> InferenceHandle {
    let setups: Vec<ModelSetup> = models.iter().map(|model| model.setup.clone()).collect();
    let memory = InferenceLayout::of(limits, &setups).expect("fits").on_heap();
    InferenceHandle::start(models, limits, memory, options).expect("starts")
}

pub(crate) fn submit(handle: &mut InferenceHandle, number: u64, model: u32, row: [f32; 2]) {
    submit_bytes(handle, number, model, &bytes(&row));
}

fn submit_bytes(handle: &mut InferenceHandle, number: u64, model: u32, bytes: &[u8]) {
    handle.submit(number, model, RequestForm::Row, bytes).expect("is taken");
}

fn bytes(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(row: &[u8]) -> Vec<f32> {
    let (values, rest) = row.as_chunks();
    assert!(rest.is_empty());
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

pub(crate) fn answer(handle: &mut InferenceHandle, number: u64) -> (i32, Vec<f32>) {
    let reply = handle.wait_for(number).expect("is answered");
    assert_eq!(reply.number, number);
    let values = if reply.code == OK { floats(reply.bytes) } else { Vec::new() };
    (reply.code, values)
}

#[test]
fn i2_1_i2_2_chunks_are_filled_in_commit_order_and_the_rest_repeats_the_last_row() {
    let mut handle = start(vec![sums(3), sums(2)]);
    for tick in 0..50 {
        let base = tick * 10;
        // Model 0 gets 1, 2, 3 | 4; model 1, between them, 10, 20 | 30.
        for (at, (model, value)) in
            [(0, 1.0), (1, 10.0), (0, 2.0), (1, 20.0), (0, 3.0), (0, 4.0), (1, 30.0)]
                .into_iter()
                .enumerate()
        {
            submit(&mut handle, base + at as u64, model, [value, 0.0]);
        }
        handle.flush().expect("is taken");
        for (at, row) in [
            [1.0, 6.0, 0.0],
            [10.0, 30.0, 0.0],
            [2.0, 6.0, 1.0],
            [20.0, 30.0, 1.0],
            [3.0, 6.0, 2.0],
            // Not full: the other rows are copies of the last one.
            [4.0, 12.0, 0.0],
            [30.0, 60.0, 0.0],
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(answer(&mut handle, base + at as u64), (OK, row.to_vec()));
        }
    }
    let [first, second] = handle.rows() else { panic!("two models") };
    assert_eq!((first.requests, first.batches, first.rows_padded), (200, 100, 100));
    assert_eq!((second.requests, second.batches, second.rows_padded), (150, 100, 50));
    assert_eq!((first.errors, first.pending, first.batch, first.run_ns_sum), (0, 0, 3, 0));
    assert_eq!((first.run_ns_buckets.iter().sum::<u64>(), first.state), (100, model_state::READY));
}

#[test]
fn i3_4_what_was_asked_before_a_model_went_or_was_replaced_is_answered_by_it() {
    let mut handle = start(vec![sums(3), sums(3)]);
    let ten_times =
        served(3, 3, |input| Ok(sums_of(input)?.iter().map(|value| value * 10.0).collect()));
    for round in 0..20 {
        let base = round * 10;
        handle.install(0, sums(3).backend).expect("is taken");
        // Two of three rows: they run as they are when the model goes, in the middle of a tick.
        submit(&mut handle, base, 0, [1.0, 0.0]);
        submit(&mut handle, base + 1, 0, [2.0, 0.0]);
        submit(&mut handle, base + 2, 1, [5.0, 0.0]);
        handle.remove(0).expect("is taken");
        assert_eq!(handle.rows()[0].state, model_state::UNLOADED);
        assert_eq!(answer(&mut handle, base), (OK, vec![1.0, 5.0, 0.0]));
        assert_eq!(answer(&mut handle, base + 1), (OK, vec![2.0, 5.0, 1.0]));
        assert_eq!(answer(&mut handle, base + 2), (OK, vec![5.0, 15.0, 0.0]));
        // The core asks no such model; whoever does has an answer all the same.
        submit(&mut handle, base + 3, 0, [1.0, 0.0]);
        assert_eq!(answer(&mut handle, base + 3).0, Status::ModelFailed as i32);
    }
    handle.install(0, ten_times.backend).expect("is taken");
    assert_eq!(handle.rows()[0].state, model_state::READY);
    submit(&mut handle, 1000, 0, [1.0, 0.0]);
    assert_eq!(answer(&mut handle, 1000), (OK, vec![10.0, 30.0, 0.0]));
    assert!(handle.install(2, sums(3).backend).is_err(), "there is no such model");
}

#[test]
fn i2_1_a_full_chunk_runs_before_the_tick_closes() {
    let mut handle = start(vec![sums(2)]);
    submit(&mut handle, 5, 0, [1.0, 1.0]);
    submit(&mut handle, 8, 0, [2.0, 2.0]);
    // Nothing was flushed; only a look, so no flush is sent by the wait.
    while !handle.is_ready(8).expect("is outstanding") {
        std::thread::yield_now();
    }
    assert_eq!(answer(&mut handle, 8), (OK, vec![4.0, 6.0, 1.0]));
    assert_eq!(answer(&mut handle, 5), (OK, vec![2.0, 6.0, 0.0]));
}

#[test]
fn i2_2_what_nobody_asked_is_never_given_to_a_model() {
    // A model for which zeros, and whatever else no request holds, are illegal.
    let picky = |input: &[f32]| match input.iter().all(|value| *value >= 3.0) {
        true => sums_of(input),
        false => Err(BackendFailure::Failed("an illegal value".to_owned())),
    };
    for rows in 1..=4 {
        let mut handle = start(vec![served(4, 3, picky)]);
        for number in 0..rows {
            submit(&mut handle, number, 0, [number as f32 + 3.0, 3.0]);
        }
        handle.flush().expect("is taken");
        for number in 0..rows {
            let (code, row) = answer(&mut handle, number);
            assert_eq!((code, row[0]), (OK, number as f32 + 6.0), "{rows} rows");
        }
        assert_eq!((handle.rows()[0].errors, handle.rows()[0].batches), (0, 1));
    }
}

#[test]
fn i3_5_a_failure_is_that_of_the_rows_that_fail_alone() {
    for batch in [1, 2, 3, 8, 13] {
        for bad in 0..1_u32 << batch.min(6) {
            let mut handle = start(vec![sums(batch)]);
            let is_bad = |number: u64| bad >> number & 1 == 1;
            for number in 0..batch as u64 {
                submit(&mut handle, number, 0, [if is_bad(number) { -13.0 } else { 1.0 }, 0.0]);
            }
            handle.flush().expect("is taken");
            for number in 0..batch as u64 {
                let (code, row) = answer(&mut handle, number);
                match is_bad(number) {
                    true => assert_eq!((code, row.len()), (FAILED, 0), "{batch} {bad:b} {number}"),
                    false => assert_eq!((code, row[0]), (OK, 1.0), "{batch} {bad:b} {number}"),
                }
            }
            let row = handle.rows()[0];
            assert_eq!((row.errors, row.batches), (u64::from(bad.count_ones()), 1));
        }
    }
}

#[test]
fn replies_are_taken_once_and_in_request_order() {
    let mut handle = start(vec![sums(4), sums(1)]);
    for number in 0..6 {
        submit(&mut handle, number, (number % 2) as u32, [number as f32, 0.0]);
    }
    handle.flush().expect("is taken");
    // Model 1 runs row by row at once, model 0 at the flush; the order is that of the requests.
    let mut seen = Vec::new();
    assert_eq!(answer(&mut handle, 2).0, OK);
    while seen.len() < 5 {
        handle
            .try_collect(&mut |number, code, row| seen.push((number, code, row.len())))
            .expect("ok");
    }
    let mut model_0: Vec<u64> = seen.iter().map(|seen| seen.0).filter(|n| n % 2 == 0).collect();
    assert_eq!(model_0, [0, 4]);
    model_0 = seen.iter().map(|seen| seen.0).filter(|n| n % 2 == 1).collect();
    assert_eq!(model_0, [1, 3, 5]);
    assert!(seen.iter().all(|seen| (seen.1, seen.2) == (OK, 12)));
    for number in [2, 3, 6] {
        assert!(matches!(handle.wait_for(number), Err(InferenceError::Misuse { .. })));
        assert!(matches!(handle.is_ready(number), Err(InferenceError::Misuse { .. })));
    }
}

#[test]
fn i3_1_every_model_error_is_a_reply() {
    let mut handle = start(vec![sums(3)]);
    // A row of the wrong length takes no row and harms nobody.
    submit_bytes(&mut handle, 0, 0, &bytes(&[1.0]));
    submit(&mut handle, 1, 0, [2.0, 0.0]);
    submit_bytes(&mut handle, 2, 0, &[]);
    submit(&mut handle, 3, 0, [3.0, 0.0]);
    handle.flush().expect("is taken");
    let reply = handle.wait_for(0).expect("is answered");
    assert_eq!((reply.code, reply.bytes), (MISMATCH, &b"a row has 2 values, not 4 bytes"[..]));
    assert_eq!(answer(&mut handle, 1), (OK, vec![2.0, 8.0, 0.0]));
    assert_eq!(answer(&mut handle, 2), (MISMATCH, vec![]));
    assert_eq!(answer(&mut handle, 3), (OK, vec![3.0, 8.0, 1.0]));
    // A row that fails harms neither its neighbour nor the next chunk; so does one with too few
    // values in the result.
    for (number, bad) in [(10, -13.0), (20, -15.0)] {
        submit(&mut handle, number, 0, [bad, 0.0]);
        submit(&mut handle, number + 1, 0, [1.0, 0.0]);
        handle.flush().expect("is taken");
        submit(&mut handle, number + 2, 0, [1.0, 0.0]);
        handle.flush().expect("is taken");
        assert_eq!(answer(&mut handle, number), (FAILED, vec![]));
        assert_eq!(answer(&mut handle, number + 1), (OK, vec![1.0, 3.0, 0.0]));
        assert_eq!(answer(&mut handle, number + 2), (OK, vec![1.0, 3.0, 0.0]));
    }
    // Only misfits: nothing is run.
    submit_bytes(&mut handle, 30, 0, &[1, 2, 3]);
    handle.flush().expect("is taken");
    assert_eq!(answer(&mut handle, 30), (MISMATCH, vec![]));
    let row = handle.rows()[0];
    assert_eq!((row.requests, row.batches, row.errors), (11, 5, 5));
}

#[test]
fn i3_2_a_panic_is_a_reply_and_the_model_is_not_run_again() {
    let mut handle = start(vec![sums(2), sums(2)]);
    submit(&mut handle, 0, 0, [-14.0, 0.0]);
    submit(&mut handle, 1, 1, [1.0, 0.0]);
    handle.flush().expect("is taken");
    assert_eq!(answer(&mut handle, 0), (FAILED, vec![]));
    assert_eq!(answer(&mut handle, 1), (OK, vec![1.0, 2.0, 0.0]));
    submit(&mut handle, 2, 0, [1.0, 0.0]);
    submit(&mut handle, 3, 1, [1.0, 0.0]);
    handle.flush().expect("is taken");
    assert_eq!(answer(&mut handle, 2), (FAILED, vec![]));
    assert_eq!(answer(&mut handle, 3).0, OK);
    let states: Vec<u32> = handle.rows().iter().map(|row| row.state).collect();
    assert_eq!(states, [model_state::FAILED, model_state::READY]);
}

/// Twice the row; the process of such a model ends for what `deadly` names, and once more for each
/// of `kills`.
fn mortal(batch: usize, deadly: f32, mut kills: u32) -> ServedModel {
    served(batch, WIDTH as u64, move |input| {
        let killed = kills > 0;
        kills = kills.saturating_sub(1);
        match killed || input.contains(&deadly) {
            true => Err(BackendFailure::Ended("it ended".to_owned())),
            false => Ok(input.iter().map(|value| 2.0 * value).collect()),
        }
    })
}

#[test]
fn i3_6_a_process_that_ends_costs_only_the_row_that_ends_it_twice_alone() {
    // Whoever kills it once, for one row alone or for many together, changes no reply.
    for (batch, kills) in [(1, 1), (8, 1), (8, 2), (8, 3), (8, 4)] {
        let mut handle = start(vec![mortal(batch, -1.0, kills)]);
        for number in 0..8 {
            submit(&mut handle, number, 0, [number as f32, 1.0]);
        }
        handle.flush().expect("is taken");
        for number in 0..8 {
            let reply = (OK, vec![2.0 * number as f32, 2.0]);
            assert_eq!(answer(&mut handle, number), reply, "batch {batch}, killed {kills} times");
        }
    }
    for batch in [1, 2, 8, 16] {
        let mut handle = start(vec![mortal(batch, 3.0, 0)]);
        for number in 0..9 {
            submit(&mut handle, number, 0, [number as f32, 1.0]);
        }
        handle.flush().expect("is taken");
        for number in 0..9 {
            let good = (OK, vec![2.0 * number as f32, 2.0]);
            let reply = if number == 3 { (FAILED, vec![]) } else { good };
            assert_eq!(answer(&mut handle, number), reply, "batch {batch}");
        }
        assert_eq!((handle.rows()[0].errors, handle.rows()[0].state), (1, model_state::READY));
    }
}

#[test]
fn i3_6_a_model_whose_process_ends_for_each_request_is_given_up() {
    let most = u64::from(LOST_ROWS_MAX);
    for (good_at, state) in [(most, model_state::FAILED), (most - 1, model_state::READY)] {
        let mut handle = start(vec![mortal(1, 3.0, 0)]);
        for number in 0..2 * most - 1 {
            let row = if number == good_at { 1.0 } else { 3.0 };
            submit(&mut handle, number, 0, [row, 0.0]);
            handle.flush().expect("is taken");
            let answered = number == good_at && state == model_state::READY;
            let code = if answered { OK } else { FAILED };
            assert_eq!(answer(&mut handle, number).0, code, "request {number}");
        }
        assert_eq!(handle.rows()[0].state, state, "with an answer to request {good_at}");
    }
}

#[test]
fn i5_1_nan_passes_through_as_one_nan() {
    let mut handle = start(vec![sums(1)]);
    for (number, bits) in [(0, 0xffc0_0001_u32), (1, 0x7f80_0001), (2, 0xff80_0000)] {
        submit(&mut handle, number, 0, [f32::from_bits(bits), 0.0]);
    }
    handle.flush().expect("is taken");
    for (number, bits) in [(0, 0x7fc0_0000_u32), (1, 0x7fc0_0000), (2, 0xff80_0000)] {
        let reply = handle.wait_for(number).expect("is answered");
        assert_eq!(reply.bytes[..4], bits.to_le_bytes());
        assert_eq!(reply.bytes[8..], 0f32.to_le_bytes());
    }
}

#[test]
fn the_rings_hold_all_that_the_limits_allow() {
    // 64 outstanding requests of 8 bytes fill both limits; flushes and refusals ride along.
    let mut handle = start(vec![sums(64), sums(1)]);
    let mut number = 0;
    for round in 0..500_u64 {
        let first = number;
        for at in 0..64 {
            let model = u32::from((round * 31 + at * 7) % 3 == 0);
            submit(&mut handle, number, model, [1.0, 0.0]);
            number += 1;
            if (round + at) % 5 == 0 {
                handle.flush().expect("is taken");
            }
        }
        handle.flush().expect("is taken");
        for number in first..number {
            assert_eq!(answer(&mut handle, number).0, OK);
        }
    }
    assert_eq!(handle.rows().iter().map(|row| row.requests).sum::<u64>(), 32_000);
    // All refused: more batches than rows, one record each.
    for number in number..number + 64 {
        submit_bytes(&mut handle, number, 1, &[]);
        handle.flush().expect("is taken");
    }
    assert_eq!(answer(&mut handle, number + 63).0, MISMATCH);
}

#[test]
fn misuse_is_a_typed_error() {
    let mut handle = start(vec![sums(1)]);
    submit(&mut handle, 3, 0, [0.0; 2]);
    for (number, model) in [(3, 0), (2, 0), (4, 1)] {
        let row = RequestForm::Row;
        let error = handle.submit(number, model, row, &[]).expect_err("is refused");
        assert!(matches!(error, InferenceError::Misuse { .. }), "{error}");
    }
    let mut huge = ModelSetup::of_rows("m", 2, 1);
    huge.reply_bytes_max = u32::MAX;
    let error = InferenceLayout::of(&limits(&[]), &[huge]).expect_err("too much");
    assert!(error.to_string().contains("more than a ring can have"), "{error}");
    // No models: a thread with nothing to do.
    let mut idle = start(Vec::new());
    idle.flush().expect("nothing to flush");
    assert_eq!(idle.try_collect(&mut |_, _, _| {}).expect("nothing there"), 0);
}

#[test]
fn a_dying_thread_says_so() {
    let clock = || match std::thread::current().name() {
        Some("we-inference") => panic!("the clock broke"),
        _ => 7,
    };
    let options = InferenceOptions { clock, ..options() };
    let mut handle = start_within(vec![sums(1)], &limits(&[]), options);
    submit(&mut handle, 0, 0, [0.0; 2]);
    let error = handle.wait_for(0).expect_err("nobody answers");
    assert!(error.to_string().contains("it panicked: the clock broke"), "{error}");
    assert!(matches!(handle.wait_for(0), Err(InferenceError::Died { .. })));
}

/// Runs until it is interrupted, or, if it is deaf, until the sender is dropped.
fn endless(deaf: bool) -> (ServedModel, std::sync::mpsc::Sender<()>) {
    let (sender, end) = std::sync::mpsc::channel();
    let interrupter = Interrupter::default();
    let stop = sender.clone();
    interrupter.add(move || {
        if !deaf {
            let _ = stop.send(());
        }
    });
    let model = served(1, 3, move |input| match end.recv() {
        Ok(()) => Err(BackendFailure::Failed("it was interrupted".to_owned())),
        Err(_) => sums_of(input),
    });
    let ServedModel { setup, backend, .. } = model;
    let backend = Stoppable { backend, interrupter };
    (ServedModel { setup, backend: Box::new(backend), deadline_ns: None }, sender)
}

/// A backend with an interrupter of its own.
struct Stoppable {
    backend: Box<dyn Backend>,
    interrupter: Interrupter,
}

impl Backend for Stoppable {
    fn ports(&self) -> &ModelPorts {
        self.backend.ports()
    }
    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        self.backend.run(request, reply)
    }
    fn describe(&self) -> String {
        self.backend.describe()
    }
    fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }
}

#[test]
fn a_wait_for_a_model_that_never_returns_can_be_ended_and_its_thread_stopped_or_left() {
    for deaf in [false, true] {
        let (model, _end) = endless(deaf);
        let mut handle = start(vec![model]);
        submit(&mut handle, 0, 0, [1.0, 2.0]);
        let mut asked = 0;
        let reply = handle.wait_until(0, &mut || {
            asked += 1;
            asked > 3
        });
        assert_eq!((reply.expect("no failure"), asked), (None, 4));
        // The request is still outstanding.
        assert!(!handle.is_ready(0).expect("is outstanding"));
        drop(handle);
        assert_eq!(crate::is_thread_left(), deaf);
    }
}

/// SEMANTICS I5: same rows, same bits, however they are spread over ticks and chunks.
#[cfg(feature = "onnx")]
#[test]
fn i5_2_the_real_model_gives_equal_bits_in_any_chunk() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/weather/model/temperature.onnx");
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file = crate::registry::ModelFile {
        name: "temperature",
        bytes: &bytes,
        external: &[],
        sha256: None,
        batch: 16,
        home: crate::registry::ModelHome::Here,
        terms: &crate::registry::ModelTerms::default(),
    };
    let loaded = match crate::registry::load_model(&file, None, &crate::Interrupter::default()) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_ORT").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            return;
        }
    };
    let len = loaded.setup.row().expect("it is asked with rows").input_len;
    assert_eq!(loaded.setup.sha256.len(), 64);
    assert!(loaded.fingerprint.ends_with("batch=16"), "{}", loaded.fingerprint);
    let mut handle = start(vec![ServedModel {
        setup: loaded.setup,
        backend: loaded.backend,
        deadline_ns: None,
    }]);
    let row = |seed: usize| -> Vec<u8> {
        (0..len)
            .flat_map(|at| (((seed * 37 + at * 11) % 101) as f32 - 20.0).to_le_bytes())
            .collect()
    };
    let mut bits = Vec::new();
    let mut number = 0;
    for chunk in [1, 16, 5, 40] {
        let mut of_this = Vec::new();
        for seed in 0..40 {
            submit_bytes(&mut handle, number + seed, 0, &row(seed as usize));
            if seed % chunk == chunk - 1 {
                handle.flush().expect("is taken");
            }
        }
        for seed in 0..40 {
            let reply = handle.wait_for(number + seed).expect("is answered");
            assert_eq!((reply.code, reply.bytes.len()), (OK, 4));
            of_this.push(reply.bytes.to_vec());
        }
        number += 40;
        bits.push(of_this);
    }
    assert!(bits.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(handle.rows()[0].errors, 0);
}

#[test]
fn what_a_model_was_asked_is_measured() {
    let mut handle = start(vec![sums(1), sums(4)]);
    // Two good rows and a bad one; six in two batches for the other model, and one that is none.
    for (number, value) in [(0, 1.0), (1, 2.0), (2, -13.0)] {
        submit(&mut handle, number, 0, [value, 0.0]);
    }
    (3..9).for_each(|number| submit(&mut handle, number, 1, [1.0, 2.0]));
    submit_bytes(&mut handle, 9, 1, &[0; 4]);
    let codes: Vec<i32> =
        (0..10).map(|number| handle.wait_for(number).expect("is answered").code).collect();
    assert_eq!(codes, [OK, OK, FAILED, OK, OK, OK, OK, OK, OK, MISMATCH]);
    let measures = handle.measures();
    let [one, four] = &measures[..] else { panic!("two models") };
    assert_eq!((one.requests, one.request_bytes), (3, 24));
    assert_eq!((one.answered, one.reply_bytes, one.failed), (2, 24, 1));
    assert_eq!((one.refused, one.late), (0, 0));
    assert_eq!((one.run_ns.count, one.batch_rows.max, one.queue_ns.count), (3, 1, 3));
    assert_eq!((four.requests, four.answered, four.refused), (7, 6, 1));
    // One that was refused waited for no run.
    assert_eq!((four.run_ns.count, four.queue_ns.count), (2, 6));
    assert_eq!((four.batch_rows.max, four.batch_rows.mean), (4, 3.0));
    assert_eq!(four.batch_rows.variance, 1.0);
}
