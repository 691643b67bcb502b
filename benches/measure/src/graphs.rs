//! Models for measuring, written as ONNX files: what the examples' models are too small for.
//!
//! A file is messages of protobuf, of which a writer of fields is all that is needed here: field
//! numbers are those of `onnx.proto`.

/// Bytes of a field with bytes inside.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(number) << 3 | 2, &mut out);
    varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

/// Bytes of a field with a number.
fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(field) << 3, &mut out);
    varint(value, &mut out);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A tensor of floats as an input or output.
fn port(name: &str, dims: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|dim| field(1, &number(1, *dim))).collect();
    let tensor = [number(1, 1), field(2, &dims)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// A constant of floats.
fn initializer(name: &str, dims: &[u64], value: impl Fn(u64) -> f32) -> Vec<u8> {
    let data: Vec<u8> = (0..dims.iter().product()).flat_map(|at| value(at).to_le_bytes()).collect();
    let mut out: Vec<u8> = dims.iter().flat_map(|dim| number(1, *dim)).collect();
    out.extend([number(2, 1), field(8, name.as_bytes()), field(9, &data)].concat());
    out
}

/// `output = operator(inputs)`; `axes` and `keepdims` are those of a reduction.
fn node(operator: &str, inputs: &[&str], output: &str, axes: &[u64]) -> Vec<u8> {
    const INTS: u64 = 7;
    let mut out: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    out.extend([field(2, output.as_bytes()), field(4, operator.as_bytes())].concat());
    if !axes.is_empty() {
        let axes: Vec<u8> = axes.iter().flat_map(|axis| number(8, *axis)).collect();
        out.extend(field(5, &[field(1, b"axes"), axes, number(20, INTS)].concat()));
    }
    out
}

fn model(nodes: &[Vec<u8>], initializers: &[Vec<u8>], input: &[u8], output: &[u8]) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    graph.extend(field(2, b"measured"));
    graph.extend(initializers.iter().flat_map(|one| field(5, one)));
    graph.extend([field(11, input), field(12, output)].concat());
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}

/// Width of [`doubling`].
pub const DOUBLING_WIDTH: u64 = 16;

/// The smallest model that is asked with a row: `y[1, 16] = x + x`.
#[must_use]
pub fn doubling() -> Vec<u8> {
    let row = |name| port(name, &[1, DOUBLING_WIDTH]);
    model(&[node("Add", &["x", "x"], "y", &[])], &[], &row("x"), &row("y"))
}

/// Weights below 1 in both directions.
fn weight(at: u64) -> f32 {
    (at as f32 * 0.61).sin() * 0.1
}

/// Side of an image.
const IMAGE_SIDE: u64 = 512;

/// `x[1, 512, 512]`, 1 MiB of `f32`, `layers` times multiplied by a matrix and rectified; `y` is
/// the mean of its rows. Each layer multiplies 2^27 times.
#[must_use]
pub fn image(layers: usize) -> Vec<u8> {
    let mut nodes = Vec::new();
    let mut last = "x".to_owned();
    for layer in 0..layers {
        let (m, h) = (format!("m{layer}"), format!("h{layer}"));
        nodes.push(node("MatMul", &[&last, "w"], &m, &[]));
        nodes.push(node("Relu", &[&m], &h, &[]));
        last = h;
    }
    nodes.push(node("ReduceMean", &[&last], "y", &[1]));
    let weights = initializer("w", &[IMAGE_SIDE, IMAGE_SIDE], weight);
    model(&nodes, &[weights], &image_in(), &image_out())
}

fn image_in() -> Vec<u8> {
    port("x", &[1, IMAGE_SIDE, IMAGE_SIDE])
}

fn image_out() -> Vec<u8> {
    port("y", &[1, 1, IMAGE_SIDE])
}

/// The mean of the rows of the same `x`, and nothing else.
#[must_use]
pub fn mean() -> Vec<u8> {
    let nodes = [node("ReduceMean", &["x"], "y", &[1])];
    model(&nodes, &[], &image_in(), &image_out())
}

/// Width of [`deep`].
pub const DEEP_WIDTH: u64 = 256;

/// A row of `x[1, 256]` through `layers` times 256 rows of `tanh(h * W + x)`; `y[1, 256]` is their
/// mean. Each layer multiplies 2^24 times.
#[must_use]
pub fn deep(layers: usize) -> Vec<u8> {
    let mut nodes = vec![node("Add", &["x", "c"], "h0", &[])];
    for layer in 0..layers {
        let name = |what: &str, at: usize| format!("{what}{at}");
        let (h, m, a) = (name("h", layer), name("m", layer), name("a", layer));
        nodes.push(node("MatMul", &[&h, "w"], &m, &[]));
        nodes.push(node("Add", &[&m, "x"], &a, &[]));
        nodes.push(node("Tanh", &[&a], &name("h", layer + 1), &[]));
    }
    let last = format!("h{layers}");
    nodes.push(node("ReduceMean", &[&last], "y", &[0]));
    let square = [DEEP_WIDTH, DEEP_WIDTH];
    let weights = [initializer("w", &square, weight), initializer("c", &square, weight)];
    let row = |name| port(name, &[1, DEEP_WIDTH]);
    model(&nodes, &weights, &row("x"), &row("y"))
}
