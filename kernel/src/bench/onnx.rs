//! The smallest model that is asked with a row: it doubles 16 numbers. Written byte by byte, so
//! that the program needs no file.

/// Numbers of a row.
pub(super) const WIDTH: u64 = 16;

/// A field of a message that holds bytes.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    // All here are shorter than 128 bytes, but for the graph.
    let mut out = vec![field << 3 | 2];
    number_to(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// A field of a message that holds a number.
fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    number_to(value, &mut out);
    out
}

fn number_to(mut value: u64, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A tensor of `f32[1, WIDTH]` by its name.
fn port(name: &str) -> Vec<u8> {
    let dims = [number(1, 1), number(1, WIDTH)].map(|dim| bytes(1, &dim)).concat();
    let tensor = [number(1, 1), bytes(2, &dims)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// The file.
pub(super) fn doubling_model() -> Vec<u8> {
    let node = [bytes(1, b"x"), bytes(1, b"x"), bytes(2, b"y"), bytes(4, b"Add")].concat();
    let graph =
        [bytes(1, &node), bytes(2, b"double"), bytes(11, &port("x")), bytes(12, &port("y"))];
    let opset = number(2, 17);
    [number(1, 8), bytes(7, &graph.concat()), bytes(8, &opset)].concat()
}
