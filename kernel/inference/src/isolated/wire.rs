//! Frames in the two pipes: a head, then as many bytes as it says, in this machine's byte order.
//!
//! Both ends are the same program on the same machine. What comes from the process of a model may
//! still be nonsense, for its library may have written anywhere: lengths are checked before
//! anything is sized by them.

use std::io::{self, Read, Write};

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use wasm_engine_setup::ProviderUse;

use crate::backend::ModelPorts;

/// Opens each frame of a kernel, in the first one and in all others: "wasm-mp1".
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"wasm-mp1");

/// Longest text in an answer, in bytes.
pub(super) const TEXT_MAX: usize = 4096;

/// Longest JSON text, in bytes: names of a thousand ports and their dimensions.
pub(super) const JSON_MAX: u64 = 64 << 20;

/// Which model a process loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) name: String,
    /// The outputs that replies hold, if not all.
    pub(super) outputs: Option<Vec<String>>,
    /// Names of the other files in which it has data.
    pub(super) files: Vec<String>,
    /// What computes it, in the order in which that is tried.
    pub(super) providers: Vec<String>,
}

/// What a process says of its model; every one says the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) ports: ModelPorts,
    pub(super) fingerprint: String,
    pub(super) mixing: Option<String>,
    pub(super) providers: ProviderUse,
}

/// What a frame is.
pub(super) mod kind {
    /// To the process: load a model. The payload begins with a JSON text of `a` bytes that says
    /// which; the model is the rest. A frame follows for each of its other files.
    pub(in crate::isolated) const START: u64 = 1;
    /// To the process: run a list of tensors.
    pub(in crate::isolated) const RUN: u64 = 2;
    /// From it: the model is loaded. A JSON text says what it declares.
    pub(in crate::isolated) const READY: u64 = 3;
    /// From it: it cannot be used. `a` is an exit code; a text.
    pub(in crate::isolated) const REFUSED: u64 = 4;
    /// From it: the list of tensors that it gave.
    pub(in crate::isolated) const REPLY: u64 = 5;
    /// From it: the run failed; a text.
    pub(in crate::isolated) const FAILED: u64 = 6;
    /// To the process: the next of the model's other files, all of it.
    pub(in crate::isolated) const FILE: u64 = 7;
}

/// What stands before the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct FrameHead {
    magic: u64,
    pub(super) kind: u64,
    pub(super) a: u64,
    pub(super) b: u64,
    pub(super) len: u64,
}

/// Writes a frame of the parts' bytes.
pub(super) fn write(
    to: &mut impl Write,
    (kind, a, b): (u64, u64, u64),
    parts: &[&[u8]],
) -> io::Result<()> {
    let len = parts.iter().map(|part| part.len() as u64).sum();
    to.write_all(bytemuck::bytes_of(&FrameHead { magic: MAGIC, kind, a, b, len }))?;
    parts.iter().try_for_each(|part| to.write_all(part))?;
    to.flush()
}

/// Reads a head.
pub(super) fn read_head(from: &mut impl Read) -> io::Result<FrameHead> {
    let mut head = FrameHead::zeroed();
    from.read_exact(bytemuck::bytes_of_mut(&mut head))?;
    match head.magic {
        MAGIC => Ok(head),
        _ => Err(invalid("what arrived is no frame")),
    }
}

/// Reads `len` bytes into `payload`, which grows with what is there.
pub(super) fn read_payload(
    from: &mut impl Read,
    len: u64,
    payload: &mut Vec<u8>,
) -> io::Result<()> {
    payload.clear();
    let read = from.take(len).read_to_end(payload)?;
    match read as u64 == len {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What is wrong with a frame.
pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_a_short_or_foreign_one_is_an_error() {
        let mut bytes = Vec::new();
        write(&mut bytes, (kind::RUN, 7, 9), &[b"one", b"", b"two"]).expect("written");
        let mut from = &bytes[..];
        let head = read_head(&mut from).expect("a head");
        assert_eq!((head.kind, head.a, head.b, head.len), (kind::RUN, 7, 9, 6));
        let mut payload = b"before".to_vec();
        read_payload(&mut from, head.len, &mut payload).expect("a payload");
        assert_eq!(payload, b"onetwo");
        // A length that nobody could hold is an end of the data, not of the memory.
        assert!(read_payload(&mut &bytes[..], u64::MAX, &mut payload).is_err());
        assert!(read_head(&mut &bytes[..39]).is_err());
        bytes[0] ^= 1;
        assert!(read_head(&mut &bytes[..]).is_err());
    }
}
