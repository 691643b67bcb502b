//! What needs the library is skipped, aloud, where none is found; `REQUIRE_ORT=1` makes that fail.

use std::{env, fs};

use wasm_engine_abi::tensor::{TensorList, TensorWriter};
use wasm_engine_setup::ModelSetup;

use super::*;
use crate::registry::{self, LoadedModel, ModelError, ModelFile, ModelHome, ModelTerms};
use crate::scan::{self, ScanFault, Scanned, Surroundings};
use crate::{Backend, BackendFailure, Interrupter, ListBuffer};

/// What the scan says of a model in the kernel's process.
pub(super) fn scanned(bytes: &[u8]) -> Result<Scanned, ScanFault> {
    scan::model(bytes, Surroundings::Kernel)
}

/// A model that was loaded and tried.
pub(super) struct TriedModel {
    pub(super) setup: ModelSetup,
    pub(super) fingerprint: String,
    pub(super) backend: Box<dyn Backend>,
}

impl std::fmt::Debug for TriedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.setup)
    }
}

impl TriedModel {
    /// Lengths of a row in and out.
    pub(super) fn lens(&self) -> (usize, usize) {
        let row = self.setup.row().expect("it is asked with rows");
        (row.input_len, row.output_len)
    }

    /// What a batch of rows gives.
    pub(super) fn run(&mut self, rows: &[f32]) -> Result<Vec<f32>, BackendFailure> {
        let mut dims = self.setup.row().expect("it is asked with rows").input_dims;
        if self.setup.batch > 1 {
            dims[0] = self.setup.batch.into();
        }
        let (mut request, mut reply) = (ListBuffer::default(), ListBuffer::default());
        let mut list = TensorWriter::new(&mut request).expect("it grows");
        list.tensor(0, &dims, rows).expect("as many values");
        let _ = list.finish();
        self.backend.run(request.bytes(), &mut reply)?;
        let list = TensorList::parse(reply.bytes()).expect("a list");
        let values = list.iter().next().expect("one output");
        Ok(values.as_slice().expect("aligned floats").to_vec())
    }
}

pub(super) fn load_with(
    name: &str,
    bytes: &[u8],
    batch: u32,
    interrupter: &Interrupter,
) -> Result<TriedModel, ModelError> {
    let terms = ModelTerms::default();
    let home = ModelHome::Here;
    let file = ModelFile { name, bytes, external: &[], sha256: None, batch, home, terms: &terms };
    let LoadedModel { setup, fingerprint, backend } =
        registry::load_model(&file, None, interrupter)?;
    Ok(TriedModel { setup, fingerprint, backend })
}

fn load(name: &str, bytes: &[u8], batch: u32) -> Result<TriedModel, ModelError> {
    load_with(name, bytes, batch, &Interrupter::default())
}

/// A protobuf field with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(number < 16 && bytes.len() < 1 << 14, "the test writer knows short fields only");
    let mut out = vec![number << 3 | 2];
    out.extend([bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8]);
    out.extend(bytes);
    out
}

/// A protobuf field with a number below 128.
fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// A graph input or output; a dimension of 0 is symbolic, `None` leaves the shape out.
pub(super) fn port(name: &str, kind: u8, dims: Option<&[u8]>) -> Vec<u8> {
    let mut tensor = number(1, kind);
    if let Some(dims) = dims {
        let dim = |dim: &u8| if *dim == 0 { field(2, b"N") } else { number(1, *dim) };
        let shape: Vec<u8> = dims.iter().flat_map(|one| field(1, &dim(one))).collect();
        tensor.extend(field(2, &shape));
    }
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// `y = operator(x, ...)`, float to float, one symbolic and one fixed dimension.
pub(super) fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    let mut out: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    out.extend(outputs.iter().flat_map(|name| field(2, name.as_bytes())));
    out.extend(field(4, operator.as_bytes()));
    out
}

pub(super) fn model(nodes: &[Vec<u8>], inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    graph.extend(field(2, b"g"));
    graph.extend(inputs.iter().flat_map(|port| field(11, port)));
    graph.extend(outputs.iter().flat_map(|port| field(12, port)));
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}

fn unary(operator: &str, input: &[u8], output: &[u8]) -> Vec<u8> {
    let (x, y) = (port("x", 1, Some(input)), port("y", 1, Some(output)));
    model(&[node(operator, &["x"], &["y"])], &[x], &[y])
}

/// True if the library runs; false, with the reason said, if there is none.
pub(super) fn ready() -> bool {
    let result = locate_library(None).and_then(|library| init(&library));
    if let Err(error) = &result {
        assert!(env::var_os("REQUIRE_ORT").is_none(), "{error}");
        eprintln!("SKIPPED: {error}");
    }
    result.is_ok()
}

pub(super) fn temperature() -> Vec<u8> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/weather/model/temperature.onnx");
    fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn scan_accepts_plain_models_and_every_cut_is_typed() {
    let bytes = temperature();
    assert_eq!(scanned(&bytes), Ok(Scanned::default()));
    // Cut within the graph: the scan must notice, wherever it is.
    for len in (0..bytes.len() - 64).step_by(97) {
        assert!(matches!(scanned(&bytes[..len]), Err(ScanFault::Malformed(_))), "{len}");
    }
}

#[test]
fn scan_refuses_random_operators_at_any_depth() {
    for operator in ["RandomNormalLike", "RandomUniform", "Bernoulli", "Multinomial"] {
        let plain = unary(operator, &[0, 3], &[0, 3]);
        assert!(matches!(scanned(&plain), Err(ScanFault::Refused { .. })), "{operator}");
        // The same node as the body of an `If`: Node.attribute(5).g(6).node(1).
        let body = field(1, &node(operator, &["x"], &["y"]));
        let outer = [node("If", &["c"], &["y"]), field(5, &field(6, &body))].concat();
        let nested = model(&[outer], &[], &[]);
        assert!(matches!(scanned(&nested), Err(ScanFault::Refused { .. })), "{operator}");
    }
    let training = model(&[node("Dropout", &["x", "", "t"], &["y"])], &[], &[]);
    assert!(matches!(scanned(&training), Err(ScanFault::Refused { .. })));
    let inference = model(&[node("Dropout", &["x", "r", ""], &["y"])], &[], &[]);
    assert_eq!(scanned(&inference), Ok(Scanned::default()));
}

#[test]
fn scan_refuses_data_that_are_nowhere_and_deep_nesting() {
    let external = field(7, &field(5, &[number(14, 1), number(2, 1)].concat()));
    assert!(matches!(scan::embed(&external, &[]), Err(ScanFault::Refused { .. })));
    // What is left outside is an initializer of the main graph.
    let constant = field(5, &field(5, &number(14, 1)));
    assert!(matches!(scanned(&field(7, &field(1, &constant))), Err(ScanFault::Malformed(_))));
    assert_eq!(scanned(&field(7, &field(5, &number(14, 0)))), Ok(Scanned::default()));
    let mut graph = Vec::new();
    for _ in 0..100 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    assert!(matches!(scanned(&field(7, &graph)), Err(ScanFault::Malformed(_))));
}

#[test]
fn i5_2_temperature_runs_and_rows_are_independent() {
    if !ready() {
        return;
    }
    let bytes = temperature();
    let mut model = load("temperature", &bytes, 16).expect("the model loads");
    assert_eq!((model.lens(), model.setup.batch), ((149, 1), 16));
    // The example of temperature.json: 25 equal hours, observed at 12 h.
    let mut row = [50.0, 40.0, 70.0, 8.0, 1015.0].repeat(25);
    row.extend((0..24).map(|hour| f32::from(hour == 12)));
    let mut first = None;
    for row_index in 0..16 {
        for filler in [0.0, 1e6, f32::NAN] {
            let mut rows = vec![filler; 16 * 149];
            rows[row_index * 149..][..149].copy_from_slice(&row);
            let y = model.run(&rows).expect("runs")[row_index];
            assert_eq!(first.get_or_insert(y).to_bits(), y.to_bits(), "row {row_index}");
        }
    }
    let mut single = load("temperature", &bytes, 1).expect("the model loads");
    let y = single.run(&row).expect("runs")[0];
    assert_eq!(first.map(f32::to_bits), Some(y.to_bits()));
    assert!((y - EXAMPLE_Y).abs() < 1e-3, "{y}");
    let text = model.fingerprint;
    assert!(text.starts_with("onnxruntime 1.") && text.ends_with("batch=16"), "{text}");
}

/// `example.y` of temperature.json.
const EXAMPLE_Y: f32 = 50.757_977;

#[test]
fn unfit_models_are_typed_errors() {
    if !ready() {
        return;
    }
    let load = |bytes: &[u8], batch| load("m", bytes, batch).map(drop);
    assert!(load(&unary("Relu", &[0, 3], &[0, 3]), 4).is_ok());
    assert!(load(&unary("Relu", &[4, 3], &[4, 3]), 4).is_ok());
    let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 1, Some(&[0, 3])));
    let z = port("z", 1, Some(&[0, 3]));
    let add = node("Add", &["x", "z"], &["y"]);
    let refused = |what: &str, bytes: &[u8], words: &str| {
        let error = load(bytes, 4).expect_err(what);
        assert!(matches!(error, ModelError::Terms { .. }), "{what}: {error}");
        assert!(error.to_string().contains(words), "{what}: {error}");
        load(bytes, 1).unwrap_or_else(|error| panic!("{what}, one row at a time: {error}"));
    };
    refused("another batch", &unary("Relu", &[5, 3], &[5, 3]), "made for 5 rows at a time");
    refused("a scalar", &unary("Relu", &[], &[]), "has no dimensions");
    let shape = node("Shape", &["x"], &["y"]);
    let of_shape = model(&[shape], std::slice::from_ref(&x), &[port("y", 7, Some(&[2]))]);
    refused("an output without rows", &of_shape, "made for 2 rows at a time");
    // What a request can say is asked.
    let relu = node("Relu", &["x"], &["y"]);
    let two_in = model(&[add], &[x.clone(), z.clone()], std::slice::from_ref(&y));
    let two_out = model(&[relu, node("Relu", &["x"], &["z"])], std::slice::from_ref(&x), &[y, z]);
    for bytes in [unary("Relu", &[0, 0], &[0, 0]), two_in, two_out] {
        load(&bytes, 4).expect("any tensors");
    }
    let turned = model(&[node("Transpose", &["x"], &["y"])], &[x], &[port("y", 1, None)]);
    let error = load(&turned, 4).expect_err("rows become columns");
    assert!(error.to_string().contains("output `y` is made for 3 rows"), "{error}");
    for bytes in [&b""[..], b"garbage, not a model"] {
        let error = load(bytes, 4).expect_err("no model");
        assert!(matches!(error, ModelError::Model(OnnxError::ModelMalformed { .. })), "{error}");
    }
    let random = unary("RandomNormalLike", &[0, 3], &[0, 3]);
    let error = load(&random, 4).expect_err("random");
    assert!(matches!(error, ModelError::Model(OnnxError::ModelRefused { .. })), "{error}");
    let unknown = unary("NoSuchOperator", &[0, 3], &[0, 3]);
    let error = load(&unknown, 4).expect_err("unknown");
    assert!(
        matches!(error, ModelError::Model(OnnxError::Runtime { action: "load", .. })),
        "{error}"
    );
}

#[test]
fn a_model_runs_on_another_thread_and_lies_about_its_shape_in_vain() {
    if !ready() {
        return;
    }
    // Says [N, 3] and is [3, N]: only a run can tell, and with rows the one in `load` does.
    let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 1, Some(&[0, 0])));
    let lying = model(&[node("Transpose", &["x"], &["y"])], &[x], &[y]);
    assert!(load("lying", &lying, 4).is_err());
    let mut model = load("relu", &unary("Relu", &[0, 3], &[0, 3]), 2).expect("loads");
    let rows = [-1.0, 2.0, f32::INFINITY, 0.5, f32::NAN, -0.0];
    let y = model.run(&rows).expect("runs");
    assert_eq!(y[..4], [0.0, 2.0, f32::INFINITY, 0.5]);
    let moved = std::thread::spawn(move || model.run(&rows).map(|y| y[1])).join();
    assert!(matches!(moved, Ok(Ok(2.0))));
}
