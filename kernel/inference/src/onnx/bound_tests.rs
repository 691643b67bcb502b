//! Models asked again and again: whether a shape is bound must not show in a reply. What needs the
//! library is skipped, aloud, where none is found; `REQUIRE_ORT=1` makes that fail.

use wasm_engine_abi::tensor::TensorWriter;

use super::tests::{model, node, port, ready, temperature};
use super::{ModelSource, OnnxModel, load};
use crate::{Backend, BackendFailure, Interrupter, ListBuffer};

/// A model that was never run.
fn fresh(bytes: &[u8]) -> OnnxModel {
    let source = ModelSource { name: "m", bytes, external: &[], outputs: None, providers: &[] };
    load(source, &Interrupter::default()).expect("loads")
}

/// A request of one tensor of floats.
fn request(dims: &[u64], value: impl Fn(usize) -> f32) -> ListBuffer {
    let count = dims.iter().product::<u64>() as usize;
    let values: Vec<f32> = (0..count).map(value).collect();
    let mut bytes = ListBuffer::default();
    let mut list = TensorWriter::new(&mut bytes).expect("it grows");
    list.tensor(0, dims, &values).expect("as many values");
    let _ = list.finish();
    bytes
}

fn reply(model: &mut OnnxModel, request: &ListBuffer) -> Result<Vec<u8>, BackendFailure> {
    let mut reply = ListBuffer::default();
    model.run(request.bytes(), &mut reply)?;
    Ok(reply.bytes().to_vec())
}

/// Asks one model all of these and each of them of a model that was never asked; gives how many
/// shapes the one has bound.
#[track_caller]
fn same_as_fresh(bytes: &[u8], requests: &[ListBuffer]) -> usize {
    let mut one = fresh(bytes);
    for (number, request) in requests.iter().enumerate() {
        let (again, first) = (reply(&mut one, request), reply(&mut fresh(bytes), request));
        assert_eq!(again, first, "request {number}");
    }
    one.bound_shapes()
}

/// Values that differ from request to request.
fn values(number: usize) -> impl Fn(usize) -> f32 {
    move |at| ((at * 7 + number * 13) % 31) as f32 * 0.37 - 3.0
}

#[test]
fn i5_2_a_shape_that_comes_again_is_bound_and_gives_the_same_bits() {
    if !ready() {
        return;
    }
    // Each shape several times in turn, each twice; then all in turn.
    let in_turn = (0..40).map(|number| (number / 5 % 4 + 1, number));
    let mixed = (40..52).map(|number| (number % 6 + 1, number));
    let requests: Vec<ListBuffer> = in_turn
        .chain(mixed)
        .map(|(rows, number)| request(&[rows as u64, 149], values(number)))
        .collect();
    assert_eq!(same_as_fresh(&temperature(), &requests), 4);
}

#[test]
fn more_shapes_than_are_bound_replace_each_other() {
    if !ready() {
        return;
    }
    let requests: Vec<ListBuffer> =
        (0..60).map(|number| request(&[number as u64 / 3 % 10 + 1, 149], values(number))).collect();
    assert_eq!(same_as_fresh(&temperature(), &requests), 8);
}

#[test]
fn long_requests_are_not_bound() {
    if !ready() {
        return;
    }
    let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 1, Some(&[0, 3])));
    let relu = model(&[node("Relu", &["x"], &["y"])], &[x], &[y]);
    // 32 KiB in and as many out are the longest.
    let of = |rows: u64| (0..4).map(|n| request(&[rows, 3], values(n))).collect::<Vec<_>>();
    assert_eq!(same_as_fresh(&relu, &of(2730)), 1);
    assert_eq!(same_as_fresh(&relu, &of(2731)), 0);
    assert_eq!(same_as_fresh(&relu, &of(0)), 1, "nothing is asked and nothing given");
}

#[test]
fn outputs_that_are_handed_on_are_right_however_often_they_are_asked() {
    if !ready() {
        return;
    }
    let float = |name: &str| port(name, 1, Some(&[0, 3]));
    let relu = || node("Relu", &["x"], &["y"]);
    let requests: Vec<ListBuffer> = (0..8).map(|n| request(&[2, 3], values(n))).collect();
    // An output that is the input, beside one that is computed; and copies of both.
    let input = model(&[relu()], &[float("x")], &[float("y"), float("x")]);
    assert_eq!(same_as_fresh(&input, &requests), 0);
    let copies = [relu(), node("Identity", &["x"], &["z"]), node("Identity", &["y"], &["w"])];
    let copies = model(&copies, &[float("x")], &[float("y"), float("z"), float("w")]);
    same_as_fresh(&copies, &requests);
    // What a graph inside a graph gives may be handed on for some requests only.
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
    for (name, dims) in
        [("if", &[1, 4][..]), ("constant_out", &[1, 1]), ("initializer_out", &[1, 1])]
    {
        let bytes = std::fs::read(format!("{dir}/{name}.onnx")).expect("a case");
        let requests: Vec<ListBuffer> = (0..6).map(|n| request(dims, values(n))).collect();
        let bound = same_as_fresh(&bytes, &requests);
        assert!(name != "if" || bound == 0, "{bound}");
    }
}

#[test]
fn outputs_whose_shape_depends_on_the_values_are_right_and_end_the_binding() {
    if !ready() {
        return;
    }
    let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 7, Some(&[2, 0])));
    let nonzero = model(&[node("NonZero", &["x"], &["y"])], &[x], &[y]);
    let with = |count: usize| request(&[2, 3], move |at| f32::from(u8::from(at < count)));
    // As many until it is bound, then fewer, more and none.
    let equal: Vec<ListBuffer> = (0..4).map(|_| with(3)).collect();
    assert_eq!(same_as_fresh(&nonzero, &equal), 1);
    let counts = [3, 3, 3, 2, 3, 3, 3, 6, 0, 1];
    let requests: Vec<ListBuffer> = counts.into_iter().map(with).collect();
    assert_eq!(same_as_fresh(&nonzero, &requests), 0);
}

#[test]
fn a_request_that_fails_ends_nothing() {
    if !ready() {
        return;
    }
    // A table of three: requests from 1000 to 1002 are answered, others fail.
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/cases/index_7_to_9.onnx"));
    let bytes = bytes.expect("a case");
    let asked = [1000.0, 1001.0, 1002.0, 5.0, 1001.0, 5.0, 1000.0];
    let requests: Vec<ListBuffer> =
        asked.into_iter().map(|value| request(&[1, 1], move |_| value)).collect();
    assert_eq!(same_as_fresh(&bytes, &requests), 1);
}
