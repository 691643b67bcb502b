//! Data of tensors that lie in other files: which files a model names, and the model as the library
//! gets it, which names no file of anybody's.
//!
//! ```text
//!  model + files --embed--> model' with small tensors inside + large ones by a name of ours
//! ```
//! Why: the library reads such files by itself, by a path, whenever it comes to them, so what was
//! hashed need not be what is loaded; handed over in memory it takes only those of the main graph,
//! and none whose values it needs for shapes. So tensors in subgraphs and attributes, and all that
//! are small, are put into the model. Offsets and lengths are checked here; the library sees only
//! such as were.
//!
//! What not: it opens no file, and does not hash.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::external_file::ExternalFile;
use crate::scan::{
    fault::{ScanFault, shown},
    proto::{DEPTH_MAX, MAIN_TENSOR_DEPTH},
    wire::{WireValue, entry, head, numbers},
};

/// Larger tensors of the main graph stay outside the model: what shapes depend on is smaller.
const INSIDE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a protobuf message that can be read.
const MODEL_BYTES_MAX: usize = i32::MAX as usize;

/// Bytes of one tensor that the library takes from memory.
const TENSOR_BYTES_MAX: u64 = 1 << 31;

/// A model as the library gets it.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    /// Its bytes.
    pub(crate) model: Cow<'a, [u8]>,
    /// What it refers to, by the names that it has for them.
    #[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "for the library"))]
    pub(crate) large: Vec<(String, Arc<[u8]>)>,
}

/// The names of the files in which a model has data, relative to its folder.
pub(crate) fn names(model: &[u8]) -> Result<BTreeSet<String>, ScanFault> {
    let mut embedder = Embedder::default();
    embedder.message(Message::Model, model, 0)?;
    Ok(embedder.names)
}

/// A model with the data of its files.
pub(crate) fn embed<'a>(
    model: &'a [u8],
    files: &'a [ExternalFile],
) -> Result<Embedded<'a>, ScanFault> {
    let mut embedder = Embedder { files: Some(files), ..Embedder::default() };
    let len = embedder.message(Message::Model, model, 0)?;
    if embedder.rewritten == 0 {
        return Ok(Embedded { model: Cow::Borrowed(model), large: Vec::new() });
    }
    if len > MODEL_BYTES_MAX {
        return Err(ScanFault::Refused {
            what: format!(
                "{len} bytes with the data of its subgraphs and attributes, more than {} in all",
                MODEL_BYTES_MAX
            ),
            cure: "export it with its weights as initializers of the main graph",
        });
    }
    let mut bytes = Vec::with_capacity(len);
    embedder.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    let large = embedder.large.into_iter().map(|at| (own_name(at), Arc::clone(&files[at].bytes)));
    Ok(Embedded { model: Cow::Owned(bytes), large: large.collect() })
}

/// What the library knows a file by.
fn own_name(at: usize) -> String {
    format!("external-{at}")
}

/// Messages in which tensors are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

impl Message {
    /// The message in a field of this one, if tensors may be in it.
    fn inner(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Function, 11) | (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// A model taken apart and put together again. Without files it only finds their names.
#[derive(Default)]
struct Embedder<'a> {
    files: Option<&'a [ExternalFile]>,
    names: BTreeSet<String>,
    pieces: Vec<Cow<'a, [u8]>>,
    /// Tensors that are not as they were.
    rewritten: u32,
    /// Files that the library gets.
    large: BTreeSet<usize>,
}

impl<'a> Embedder<'a> {
    /// Adds a message's content; gives how long it is.
    fn message(
        &mut self,
        message: Message,
        mut rest: &'a [u8],
        depth: u32,
    ) -> Result<usize, ScanFault> {
        if depth > DEPTH_MAX {
            return Err(ScanFault::Malformed("its graphs are nested too deep"));
        }
        if message == Message::Tensor {
            return self.tensor(rest, depth);
        }
        let mut len = 0;
        while !rest.is_empty() {
            let before = rest;
            let (field, value) = entry(&mut rest)?;
            let whole = &before[..before.len() - rest.len()];
            len += match (message.inner(field), value) {
                (Some(inner), WireValue::Bytes(bytes)) => {
                    self.field((field, whole), (inner, bytes), depth + 1)?
                }
                _ => self.add(whole),
            };
        }
        Ok(len)
    }

    /// Adds a field with a message, as it was if nothing in it changes.
    fn field(
        &mut self,
        (field, whole): (u64, &'a [u8]),
        (inner, bytes): (Message, &'a [u8]),
        depth: u32,
    ) -> Result<usize, ScanFault> {
        let (at, rewritten) = (self.pieces.len(), self.rewritten);
        self.pieces.push(Cow::Borrowed(&[]));
        let len = self.message(inner, bytes, depth)?;
        if self.rewritten == rewritten {
            self.pieces.truncate(at);
            return Ok(self.add(whole));
        }
        let head = head(field, len);
        let total = head.len() + len;
        self.pieces[at] = Cow::Owned(head);
        Ok(total)
    }

    fn add(&mut self, bytes: impl Into<Cow<'a, [u8]>>) -> usize {
        let bytes = bytes.into();
        let len = bytes.len();
        self.pieces.push(bytes);
        len
    }

    fn tensor(&mut self, bytes: &'a [u8], depth: u32) -> Result<usize, ScanFault> {
        let Some(outside) = ExternalTensor::read(bytes)? else { return Ok(self.add(bytes)) };
        let Some(files) = self.files else {
            self.names.insert(outside.file);
            return Ok(self.add(bytes));
        };
        let (at, data) = outside.data(files)?;
        self.rewritten += 1;
        let (mut rest, mut len) = (bytes, 0);
        while !rest.is_empty() {
            let before = rest;
            let (field, _) = entry(&mut rest)?;
            if !matches!(field, RAW | EXTERNAL | LOCATION) {
                len += self.add(&before[..before.len() - rest.len()]);
            }
        }
        if depth != MAIN_TENSOR_DEPTH || data.len() <= INSIDE_BYTES_MAX {
            return Ok(len + self.add(head(RAW, data.len())) + self.add(data));
        }
        self.large.insert(at);
        let mut entries = vec![(LOCATION << 3) as u8, 1];
        let (offset, length) = (outside.offset.to_string(), data.len().to_string());
        for (key, value) in [("location", own_name(at)), ("offset", offset), ("length", length)] {
            let text = |field, text: &str| [head(field, text.len()), text.into()].concat();
            let pair = [text(1, key), text(2, &value)].concat();
            entries.extend([head(EXTERNAL, pair.len()), pair].concat());
        }
        Ok(len + self.add(entries))
    }
}

/// Fields of a tensor.
const RAW: u64 = 9;
const EXTERNAL: u64 = 13;
const LOCATION: u64 = 14;

/// A tensor whose data are in another file.
struct ExternalTensor {
    tensor: String,
    file: String,
    offset: u64,
    len: u64,
}

impl ExternalTensor {
    /// What a tensor says of its data, if they are in another file.
    fn read(mut rest: &[u8]) -> Result<Option<Self>, ScanFault> {
        let (mut elem, mut dims, mut name) = (0, Vec::new(), &[][..]);
        let (mut outside, mut within, mut pairs) = (0, false, Vec::new());
        while !rest.is_empty() {
            match entry(&mut rest)? {
                (1, value) => numbers(value, &mut dims)?,
                (2, WireValue::Number(number)) => elem = number,
                (4..=7 | 10 | 11, _) => within = true,
                (8, WireValue::Bytes(bytes)) => name = bytes,
                (RAW, WireValue::Bytes(bytes)) => within |= !bytes.is_empty(),
                (EXTERNAL, WireValue::Bytes(bytes)) => pairs.push(pair(bytes)?),
                (LOCATION, WireValue::Number(number)) => outside = number,
                _ => {}
            }
        }
        match outside {
            0 => return Ok(None),
            1 if within => return Err(ScanFault::Malformed("a tensor in it is in two files")),
            1 => {}
            _ => return Err(ScanFault::Malformed("a tensor in it is nowhere")),
        }
        let tensor = shown(name);
        let refused = |what: String| ScanFault::Refused { what, cure: "export it again" };
        let len = tensor_bytes(elem, &dims).ok_or_else(|| {
            refused(format!("tensor `{tensor}` in another file, of a kind or size that has none"))
        })?;
        if len > TENSOR_BYTES_MAX {
            return Err(ScanFault::Refused {
                what: format!(
                    "tensor `{tensor}` of {len} bytes, and the library takes {TENSOR_BYTES_MAX}"
                ),
                cure: "export it with that tensor in two",
            });
        }
        let (mut location, mut offset, mut length) = (None, None, None);
        for (key, value) in pairs {
            let number = || {
                let text = std::str::from_utf8(value).ok()?;
                text.parse::<u64>().ok().filter(|_| text.bytes().all(|c| c.is_ascii_digit()))
            };
            let before = match key {
                b"location" => location.replace(value).is_some(),
                b"offset" => offset.replace(number()).is_some(),
                b"length" => length.replace(number()).is_some(),
                // Of the file, and no part of what is loaded.
                b"checksum" => false,
                _ => true,
            };
            if before {
                let what = format!("tensor `{tensor}` with `{}` of its file", shown(key));
                return Err(ScanFault::without(what));
            }
        }
        let (Some(offset), Some(length)) = (offset.unwrap_or(Some(0)), length.unwrap_or(Some(len)))
        else {
            return Err(refused(format!("tensor `{tensor}` whose position in its file is none")));
        };
        if length != len {
            return Err(refused(format!(
                "tensor `{tensor}` of {len} bytes, to which it gives {length} bytes of its file"
            )));
        }
        let location = location.unwrap_or_default();
        let file = inside(location).map_err(|why| ScanFault::Refused {
            what: format!("data in the file `{}`, {why}", shown(location)),
            cure: "export it with its data in files beside it",
        })?;
        Ok(Some(Self { tensor, file, offset, len }))
    }

    /// Its data, and which file they are in.
    fn data<'a>(&self, files: &'a [ExternalFile]) -> Result<(usize, &'a [u8]), ScanFault> {
        let Self { tensor, file, offset, len } = self;
        let Some(at) = files.iter().position(|one| one.name == *file) else {
            let what = format!("data in the file `{}`, which is not there", file.escape_debug());
            return Err(ScanFault::Refused { what, cure: "restore the file" });
        };
        let bytes = &files[at].bytes;
        let end = offset.checked_add(*len).and_then(|end| usize::try_from(end).ok());
        let data = end.and_then(|end| bytes.get(usize::try_from(*offset).ok()?..end));
        data.map(|data| (at, data)).ok_or_else(|| ScanFault::Refused {
            what: format!(
                "tensor `{tensor}` with {len} bytes from byte {offset} on of the file `{}`, which \
                 has {}",
                file.escape_debug(),
                bytes.len()
            ),
            cure: "restore the file or export it again",
        })
    }
}

/// Key and value.
fn pair(mut rest: &[u8]) -> Result<(&[u8], &[u8]), ScanFault> {
    let (mut key, mut value) = (&[][..], &[][..]);
    while !rest.is_empty() {
        match entry(&mut rest)? {
            (1, WireValue::Bytes(bytes)) => key = bytes,
            (2, WireValue::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Bytes of a tensor, unless its elements have no fixed size.
fn tensor_bytes(elem: u64, dims: &[i64]) -> Option<u64> {
    // Numbers are those of `TensorProto.DataType`.
    let bits = match elem {
        25 | 26 => 2,
        21..=23 => 4,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    };
    let count = dims
        .iter()
        .try_fold(1_u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?))?;
    Some(count.checked_mul(bits)?.div_ceil(8))
}

/// A file's name relative to the folder of its model, in one spelling; an error says why it is
/// none, behind the name.
fn inside(location: &[u8]) -> Result<String, &'static str> {
    let name = std::str::from_utf8(location).map_err(|_| "whose name is no text")?;
    if name.starts_with('/') {
        return Err("whose path is absolute");
    }
    if name.contains(['\\', '\0']) {
        return Err("whose name has a character that separates or ends paths elsewhere");
    }
    let parts: Vec<&str> =
        name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.contains(&"..") {
        true => Err("which lies outside its folder"),
        false if parts.is_empty() => Err("which has no name"),
        false => Ok(parts.join("/")),
    }
}
