//! The parts of a model that the scan looks at, borrowed from its bytes.
//!
//! Field numbers are those of `onnx.proto`, which never change. A message that is there twice is
//! merged as protobuf does: scalars by the last, lists one behind the other.

use crate::scan::{
    fault::ScanFault,
    wire::{WireValue, entry, numbers},
};

/// Messages nested deeper are refused; real models have a handful of levels.
pub(super) const DEPTH_MAX: u32 = 64;
/// Depth of the initializers of the main graph, and of no other tensor.
pub(super) const MAIN_TENSOR_DEPTH: u32 = 2;

/// Numbers of element types in `TensorProto.DataType`.
pub(super) mod elem {
    pub(crate) const FLOAT: i64 = 1;
    pub(crate) const UINT8: i64 = 2;
    pub(crate) const INT8: i64 = 3;
    pub(crate) const UINT16: i64 = 4;
    pub(crate) const INT16: i64 = 5;
    pub(crate) const INT32: i64 = 6;
    pub(crate) const INT64: i64 = 7;
    pub(crate) const BOOL: i64 = 9;
    pub(crate) const UINT32: i64 = 12;
}

#[derive(Default)]
pub(super) struct ModelProto<'a> {
    pub(super) graph: GraphProto<'a>,
    pub(super) graphs: u32,
    pub(super) functions: Vec<FunctionProto<'a>>,
    pub(super) metadata_keys: Vec<&'a [u8]>,
    pub(super) producer: &'a [u8],
    pub(super) producer_version: &'a [u8],
    /// As the file says it; 0 where it does not.
    pub(super) version: i64,
    /// Domain and version of each operator set.
    pub(super) opsets: Vec<(&'a [u8], i64)>,
}

#[derive(Default)]
pub(super) struct GraphProto<'a> {
    pub(super) nodes: Vec<NodeProto<'a>>,
    pub(super) initializers: Vec<TensorProto<'a>>,
    pub(super) inputs: Vec<PortProto<'a>>,
    pub(super) outputs: Vec<PortProto<'a>>,
    /// Declared types of values in between.
    pub(super) between: Vec<PortProto<'a>>,
}

#[derive(Default)]
pub(super) struct FunctionProto<'a> {
    pub(super) name: &'a [u8],
    pub(super) domain: &'a [u8],
    pub(super) overload: &'a [u8],
    pub(super) inputs: Vec<&'a [u8]>,
    pub(super) outputs: Vec<&'a [u8]>,
    pub(super) defaults: Vec<AttributeProto<'a>>,
    pub(super) nodes: Vec<NodeProto<'a>>,
}

#[derive(Default)]
pub(super) struct NodeProto<'a> {
    pub(super) name: &'a [u8],
    pub(super) operator: &'a [u8],
    pub(super) domain: &'a [u8],
    pub(super) overload: &'a [u8],
    pub(super) inputs: Vec<&'a [u8]>,
    pub(super) outputs: Vec<&'a [u8]>,
    pub(super) attributes: Vec<AttributeProto<'a>>,
}

#[derive(Default)]
pub(super) struct AttributeProto<'a> {
    pub(super) name: &'a [u8],
    /// In a function: the attribute of the call that is meant.
    pub(super) reference: &'a [u8],
    pub(super) number: i64,
    pub(super) numbers: Vec<i64>,
    pub(super) tensor: Option<TensorProto<'a>>,
    pub(super) graphs: Vec<GraphProto<'a>>,
}

/// Name and element type of a value, if it is a tensor.
#[derive(Default)]
pub(super) struct PortProto<'a> {
    pub(super) name: &'a [u8],
    pub(super) elem: Option<i64>,
    /// Its whole `TypeProto`.
    pub(super) declared: &'a [u8],
}

#[derive(Default)]
pub(super) struct TensorProto<'a> {
    pub(super) name: &'a [u8],
    pub(super) elem: i64,
    pub(super) raw: &'a [u8],
    /// `int32_data` and `int64_data`.
    pub(super) numbers: Vec<i64>,
    /// Some elements are not listed and so zero.
    pub(super) sparse: bool,
    /// Its data are in another file, and not looked at.
    pub(super) external: bool,
}

impl<'a> NodeProto<'a> {
    pub(super) fn attribute(&self, name: &[u8]) -> Option<&AttributeProto<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The name of its `at`-th input, unless it is left out.
    pub(super) fn input(&self, at: usize) -> Option<&'a [u8]> {
        self.inputs.get(at).copied().filter(|name| !name.is_empty())
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<ModelProto<'_>, ScanFault> {
    let mut model = ModelProto::default();
    each(bytes, 0, &mut |field, value, depth| {
        match (field, value) {
            (2, WireValue::Bytes(name)) => model.producer = name,
            (3, WireValue::Bytes(version)) => model.producer_version = version,
            (5, WireValue::Number(version)) => model.version = version.cast_signed(),
            (8, WireValue::Bytes(bytes)) => model.opsets.push(opset(bytes, depth)?),
            (7, WireValue::Bytes(bytes)) => {
                model.graphs += 1;
                graph(&mut model.graph, bytes, depth)?;
            }
            (14, WireValue::Bytes(bytes)) => each(bytes, depth, &mut |field, value, _| {
                if let (1, WireValue::Bytes(key)) = (field, value) {
                    model.metadata_keys.push(key);
                }
                Ok(())
            })?,
            (25, WireValue::Bytes(bytes)) => model.functions.push(function(bytes, depth)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(model)
}

fn opset(bytes: &[u8], depth: u32) -> Result<(&[u8], i64), ScanFault> {
    let mut made = (&[][..], 0);
    each(bytes, depth, &mut |field, value, _| {
        match (field, value) {
            (1, WireValue::Bytes(domain)) => made.0 = domain,
            (2, WireValue::Number(version)) => made.1 = version.cast_signed(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(made)
}

/// Hands every field of a message to `see`, with the depth of what is inside it.
pub(super) fn each<'a>(
    mut rest: &'a [u8],
    depth: u32,
    see: &mut dyn FnMut(u64, WireValue<'a>, u32) -> Result<(), ScanFault>,
) -> Result<(), ScanFault> {
    if depth > DEPTH_MAX {
        return Err(ScanFault::Malformed("its graphs are nested too deep"));
    }
    while !rest.is_empty() {
        let (field, value) = entry(&mut rest)?;
        see(field, value, depth + 1)?;
    }
    Ok(())
}

fn graph<'a>(into: &mut GraphProto<'a>, bytes: &'a [u8], depth: u32) -> Result<(), ScanFault> {
    each(bytes, depth, &mut |field, value, depth| {
        let WireValue::Bytes(bytes) = value else { return Ok(()) };
        match field {
            1 => into.nodes.push(node(bytes, depth)?),
            5 => {
                let mut made = TensorProto::default();
                tensor(&mut made, bytes, depth)?;
                into.initializers.push(made);
            }
            11 => into.inputs.push(port(bytes, depth)?),
            12 => into.outputs.push(port(bytes, depth)?),
            13 => into.between.push(port(bytes, depth)?),
            15 => into.initializers.push(sparse(bytes, depth)?),
            _ => {}
        }
        Ok(())
    })
}

fn function(bytes: &[u8], depth: u32) -> Result<FunctionProto<'_>, ScanFault> {
    let mut made = FunctionProto::default();
    each(bytes, depth, &mut |field, value, depth| {
        let WireValue::Bytes(bytes) = value else { return Ok(()) };
        match field {
            1 => made.name = bytes,
            4 => made.inputs.push(bytes),
            5 => made.outputs.push(bytes),
            7 => made.nodes.push(node(bytes, depth)?),
            10 => made.domain = bytes,
            11 => made.defaults.push(attribute(bytes, depth)?),
            13 => made.overload = bytes,
            _ => {}
        }
        Ok(())
    })?;
    Ok(made)
}

fn node(bytes: &[u8], depth: u32) -> Result<NodeProto<'_>, ScanFault> {
    let mut made = NodeProto::default();
    each(bytes, depth, &mut |field, value, depth| {
        let WireValue::Bytes(bytes) = value else { return Ok(()) };
        match field {
            1 => made.inputs.push(bytes),
            2 => made.outputs.push(bytes),
            3 => made.name = bytes,
            4 => made.operator = bytes,
            5 => made.attributes.push(attribute(bytes, depth)?),
            7 => made.domain = bytes,
            8 => made.overload = bytes,
            _ => {}
        }
        Ok(())
    })?;
    Ok(made)
}

fn attribute(bytes: &[u8], depth: u32) -> Result<AttributeProto<'_>, ScanFault> {
    let mut made = AttributeProto::default();
    let mut single = None;
    each(bytes, depth, &mut |field, value, depth| {
        match (field, value) {
            (1, WireValue::Bytes(name)) => made.name = name,
            (3, WireValue::Number(number)) => made.number = number.cast_signed(),
            (5, WireValue::Bytes(bytes)) => {
                tensor(made.tensor.get_or_insert_default(), bytes, depth)?;
            }
            (6, WireValue::Bytes(bytes)) => graph(single.get_or_insert_default(), bytes, depth)?,
            (8, value) => numbers(value, &mut made.numbers)?,
            // Looked through for what lies outside the file; no operator computes with them.
            (10, WireValue::Bytes(bytes)) => tensor(&mut TensorProto::default(), bytes, depth)?,
            (11, WireValue::Bytes(bytes)) => {
                let mut one = GraphProto::default();
                graph(&mut one, bytes, depth)?;
                made.graphs.push(one);
            }
            (21, WireValue::Bytes(name)) => made.reference = name,
            (22, WireValue::Bytes(bytes)) => made.tensor = Some(sparse(bytes, depth)?),
            (23, WireValue::Bytes(bytes)) => drop(sparse(bytes, depth)?),
            _ => {}
        }
        Ok(())
    })?;
    made.graphs.extend(single);
    Ok(made)
}

fn port(bytes: &[u8], depth: u32) -> Result<PortProto<'_>, ScanFault> {
    let mut made = PortProto::default();
    each(bytes, depth, &mut |field, value, depth| {
        match (field, value) {
            (1, WireValue::Bytes(name)) => made.name = name,
            (2, WireValue::Bytes(bytes)) => {
                made.declared = bytes;
                elem_type(bytes, depth, &mut made.elem)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(made)
}

/// The element type inside a `TypeProto`, however it is wrapped: tensor, sparse tensor, sequence,
/// optional.
fn elem_type(bytes: &[u8], depth: u32, into: &mut Option<i64>) -> Result<(), ScanFault> {
    each(bytes, depth, &mut |field, value, depth| {
        let (1 | 4 | 8 | 9, WireValue::Bytes(bytes)) = (field, value) else { return Ok(()) };
        each(bytes, depth, &mut |inner, value, depth| match (field, inner, value) {
            (1 | 8, 1, WireValue::Number(number)) => {
                *into = Some(number.cast_signed());
                Ok(())
            }
            (4 | 9, 1, WireValue::Bytes(bytes)) => elem_type(bytes, depth, into),
            _ => Ok(()),
        })
    })
}

fn tensor<'a>(into: &mut TensorProto<'a>, bytes: &'a [u8], depth: u32) -> Result<(), ScanFault> {
    each(bytes, depth, &mut |field, value, _| {
        match (field, value) {
            (2, WireValue::Number(number)) => into.elem = number.cast_signed(),
            (5 | 7, value) => numbers(value, &mut into.numbers)?,
            (8, WireValue::Bytes(name)) => into.name = name,
            (9, WireValue::Bytes(bytes)) => into.raw = bytes,
            // `data_location`: 0 is inside the file, 1 another file. What is left in another one
            // (`external.rs`) is an initializer of the main graph.
            (14, WireValue::Number(location)) => {
                into.external = location != 0;
                if into.external && depth != MAIN_TENSOR_DEPTH {
                    return Err(ScanFault::Malformed("a tensor in it is in two files"));
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// The values of a sparse tensor; where they lie does not matter here.
fn sparse(bytes: &[u8], depth: u32) -> Result<TensorProto<'_>, ScanFault> {
    let mut made = TensorProto { sparse: true, ..TensorProto::default() };
    each(bytes, depth, &mut |field, value, depth| {
        match (field, value) {
            (1, WireValue::Bytes(bytes)) => tensor(&mut made, bytes, depth)?,
            (2, WireValue::Bytes(bytes)) => tensor(&mut TensorProto::default(), bytes, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(made)
}
