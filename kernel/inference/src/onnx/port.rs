//! What a model declares, as agents and requests know it.

use std::ffi::CString;

use ort::value::{Outlet, TensorElementType, ValueType};
use wasm_engine_abi::limits::PORTS_MAX;
use wasm_engine_abi::tensor::ValueKind;
use wasm_engine_setup::{Dim, PortSetup, PortValue};

/// Which side of a model a port is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PortSide {
    Input,
    Output,
}

impl PortSide {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// The ports of one side and their names; the error completes "cannot be asked: ...".
pub(super) fn ports(
    side: PortSide,
    outlets: &[Outlet],
) -> Result<(Vec<PortSetup>, Vec<CString>), String> {
    if outlets.len() > PORTS_MAX {
        return Err(format!(
            "it has {} {}s, at most {PORTS_MAX} are possible",
            outlets.len(),
            side.word()
        ));
    }
    outlets
        .iter()
        .map(|outlet| {
            let name = CString::new(outlet.name())
                .map_err(|_| format!("a zero byte is in the name of an {}", side.word()))?;
            let value = value(outlet.dtype()).map_err(|what| {
                format!("{} `{}` is {what}", side.word(), outlet.name().escape_debug())
            })?;
            Ok((PortSetup { name: outlet.name().to_owned(), value, given: true }, name))
        })
        .collect()
}

/// What a port takes or gives; an error says what it is instead.
fn value(kind: &ValueType) -> Result<PortValue, String> {
    match kind {
        ValueType::Tensor { ty, shape, dimension_symbols } => {
            let names = dimension_symbols.iter().map(String::as_str);
            let names = names.chain(std::iter::repeat(""));
            let dims = shape
                .iter()
                .zip(names)
                .map(|(size, name)| Dim {
                    size: u64::try_from(*size).ok(),
                    name: if *size < 0 { name.to_owned() } else { String::new() },
                    max: None,
                })
                .collect();
            Ok(PortValue::Tensor { kind: element(*ty)?, dims })
        }
        ValueType::Sequence(of) => Ok(PortValue::Sequence(Box::new(value(of)?))),
        ValueType::Map { key, value } => Ok(PortValue::Map {
            key: element(*key)?,
            value: Box::new(PortValue::Tensor { kind: element(*value)?, dims: Vec::new() }),
        }),
        ValueType::Optional(_) => Err("optional, which a list cannot say".to_owned()),
    }
}

fn element(ty: TensorElementType) -> Result<ValueKind, String> {
    Ok(match ty {
        TensorElementType::Float32 => ValueKind::F32,
        TensorElementType::Uint8 => ValueKind::U8,
        TensorElementType::Int8 => ValueKind::I8,
        TensorElementType::Uint16 => ValueKind::U16,
        TensorElementType::Int16 => ValueKind::I16,
        TensorElementType::Int32 => ValueKind::I32,
        TensorElementType::Int64 => ValueKind::I64,
        TensorElementType::String => ValueKind::Text,
        TensorElementType::Bool => ValueKind::Bool,
        TensorElementType::Float16 => ValueKind::F16,
        TensorElementType::Float64 => ValueKind::F64,
        TensorElementType::Uint32 => ValueKind::U32,
        TensorElementType::Uint64 => ValueKind::U64,
        TensorElementType::Bfloat16 => ValueKind::Bf16,
        other => return Err(format!("a tensor of {other}, which requests do not hold")),
    })
}
