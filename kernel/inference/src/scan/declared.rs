//! What a model's file declares, for people: inputs and outputs, operator sets, who wrote it.
//!
//! Nothing of this decides anything: what a run takes and gives comes from the library, which also
//! knows shapes that the file leaves out.

use std::collections::BTreeSet;

use wasm_engine_abi::tensor::ValueKind;
use wasm_engine_setup::{Dim, ModelNotes, PortValue};

use crate::scan::{
    fault::ScanFault,
    proto::{self, ModelProto, PortProto, each},
    wire::WireValue,
};

/// Types inside types.
const TYPES_MAX: u32 = 8;

/// What a model's file declares.
#[derive(Debug, Default)]
pub(crate) struct DeclaredModel {
    pub(crate) notes: ModelNotes,
    pub(crate) inputs: Vec<DeclaredPort>,
    pub(crate) outputs: Vec<DeclaredPort>,
}

/// An input or output.
#[derive(Debug)]
pub(crate) struct DeclaredPort {
    pub(crate) name: String,
    /// What it takes or gives; an error says what a list of tensors does not hold.
    pub(crate) value: Result<PortValue, String>,
    /// Whether the file says how many dimensions it has.
    pub(crate) ranked: bool,
}

/// Reads what the bytes of a model's file declare.
pub(crate) fn declared(bytes: &[u8]) -> Result<DeclaredModel, ScanFault> {
    let model = proto::parse(bytes)?;
    if model.graphs == 0 {
        return Err(ScanFault::Malformed("it holds no graph"));
    }
    // Old files list their weights among the inputs.
    let weights: BTreeSet<&[u8]> =
        model.graph.initializers.iter().map(|tensor| tensor.name).collect();
    let inputs = model.graph.inputs.iter().filter(|port| !weights.contains(port.name));
    Ok(DeclaredModel {
        notes: notes(&model, bytes.len()),
        inputs: inputs.map(port).collect::<Result<_, _>>()?,
        outputs: model.graph.outputs.iter().map(port).collect::<Result<_, _>>()?,
    })
}

fn text(bytes: &[u8]) -> String {
    const LEN_MAX: usize = 200;
    String::from_utf8_lossy(bytes).chars().take(LEN_MAX).collect()
}

fn notes(model: &ModelProto<'_>, bytes: usize) -> ModelNotes {
    let domain = |domain: &[u8]| match domain {
        b"" => "ai.onnx".to_owned(),
        other => text(other),
    };
    ModelNotes {
        producer: text(model.producer),
        producer_version: text(model.producer_version),
        // Exporters that know of none write 0 or the largest number.
        file_version: Some(model.version).filter(|version| !matches!(version, 0 | &i64::MAX)),
        opsets: model.opsets.iter().map(|(name, version)| (domain(name), *version)).collect(),
        bytes: bytes as u64,
        external: Vec::new(),
    }
}

fn port(port: &PortProto<'_>) -> Result<DeclaredPort, ScanFault> {
    let (value, ranked) = value(port.declared, 0)?;
    Ok(DeclaredPort { name: text(port.name), value, ranked })
}

/// A value, or what lists do not hold; and whether its dimensions are known.
type Read = (Result<PortValue, String>, bool);

/// What a `TypeProto` says.
fn value(bytes: &[u8], depth: u32) -> Result<Read, ScanFault> {
    let unknown = || "of no declared type".to_owned();
    let mut read = (Err(unknown()), false);
    if depth > TYPES_MAX {
        return Ok(read);
    }
    each(bytes, depth, &mut |field, inner, _| {
        let WireValue::Bytes(inner) = inner else { return Ok(()) };
        match field {
            1 => read = tensor(inner)?,
            4 => {
                let (of, ranked) = value(part(inner, 1)?, depth + 1)?;
                read = (of.map(|of| PortValue::Sequence(Box::new(of))), ranked);
            }
            5 => {
                let (of, ranked) = value(part(inner, 2)?, depth + 1)?;
                let key = number(inner, 1)?.map_or_else(|| Err(unknown()), kind);
                let map = |key, value| PortValue::Map { key, value: Box::new(value) };
                read = (key.and_then(|key| of.map(|of| map(key, of))), ranked);
            }
            8 => read = (Err("a sparse tensor, which a list cannot say".to_owned()), true),
            9 => read = (Err("optional, which a list cannot say".to_owned()), true),
            _ => {}
        }
        Ok(())
    })?;
    Ok(read)
}

/// The last message or text in a field.
fn part(bytes: &[u8], wanted: u64) -> Result<&[u8], ScanFault> {
    let mut found = &[][..];
    each(bytes, 0, &mut |field, value, _| {
        if let (true, WireValue::Bytes(bytes)) = (field == wanted, value) {
            found = bytes;
        }
        Ok(())
    })?;
    Ok(found)
}

/// The last number in a field, if there is one.
fn number(bytes: &[u8], wanted: u64) -> Result<Option<u64>, ScanFault> {
    let mut found = None;
    each(bytes, 0, &mut |field, value, _| {
        if let (true, WireValue::Number(number)) = (field == wanted, value) {
            found = Some(number);
        }
        Ok(())
    })?;
    Ok(found)
}

fn kind(elem: u64) -> Result<ValueKind, String> {
    let kind = u32::try_from(elem).ok().and_then(ValueKind::from_code);
    kind.filter(|kind| !matches!(kind, ValueKind::Sequence | ValueKind::Map))
        .ok_or_else(|| format!("a tensor of ONNX's kind {elem}, which requests do not hold"))
}

fn tensor(bytes: &[u8]) -> Result<Read, ScanFault> {
    let (mut dims, mut ranked) = (Vec::new(), false);
    each(bytes, 0, &mut |field, shape, _| {
        let (2, WireValue::Bytes(shape)) = (field, shape) else { return Ok(()) };
        ranked = true;
        each(shape, 0, &mut |field, dim, _| {
            let (1, WireValue::Bytes(dim)) = (field, dim) else { return Ok(()) };
            let size = number(dim, 1)?.and_then(|size| i64::try_from(size).ok());
            dims.push(Dim {
                size: size.and_then(|size| u64::try_from(size).ok()),
                name: if size.is_some() { String::new() } else { text(part(dim, 2)?) },
                max: None,
            });
            Ok(())
        })
    })?;
    let kind = number(bytes, 1)?.map_or_else(|| Err("of no declared kind".to_owned()), kind);
    Ok((kind.map(|kind| PortValue::Tensor { kind, dims }), ranked))
}
