//! The one input and the one output of a model, and what of them is a row.

use std::ffi::CString;
use std::fmt::Write as _;

use ort::value::{Outlet, TensorElementType, ValueType};

/// Floats of the input and of the output of one slot: 256 MiB each.
pub(super) const SLOT_FLOATS_MAX: usize = 1 << 26;

/// The one input or output of a model, with its first dimension fixed to the batch.
pub(super) struct Port {
    pub(super) name: CString,
    pub(super) dims: Vec<i64>,
    pub(super) row_len: usize,
}

/// Which side of a model a port is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PortSide {
    Input,
    Output,
}

impl PortSide {
    fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl Port {
    /// Checks the declared ports of one side; the error completes "does not fit a slot: ...".
    ///
    /// With a batch of one the whole tensor is the row, so it needs no dimension for rows.
    pub(super) fn of(side: PortSide, outlets: &[Outlet], batch: usize) -> Result<Self, String> {
        let word = side.word();
        let [outlet] = outlets else {
            return Err(format!("it has {} {word}s", outlets.len()));
        };
        let port = format!("{word} `{}`", outlet.name().escape_debug());
        let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = outlet.dtype() else {
            return Err(format!("{port} is {}", kind(outlet.dtype())));
        };
        let mut dims = shape.to_vec();
        let row = match batch {
            1 => {
                if let Some(first) = dims.first_mut().filter(|first| **first == -1) {
                    *first = 1;
                }
                &dims[..]
            }
            _ => rows(side, &port, &mut dims, batch)?,
        };
        let row_len = row
            .iter()
            .try_fold(1usize, |product, dim| {
                product.checked_mul(usize::try_from(*dim).ok().filter(|dim| *dim > 0)?)
            })
            .filter(|len| len.checked_mul(batch).is_some_and(|all| all <= SLOT_FLOATS_MAX))
            .ok_or_else(|| {
                format!(
                    "{port} has dimensions {} for one row, which are not all fixed or exceed \
                     {SLOT_FLOATS_MAX} floats per batch",
                    shown(row)
                )
            })?;
        let name = CString::new(outlet.name())
            .map_err(|_| format!("a zero byte in the name of {word}"))?;
        Ok(Self { name, dims, row_len })
    }
}

/// Fixes the first dimension to more rows than one; the others are those of a row.
fn rows<'d>(
    side: PortSide,
    port: &str,
    dims: &'d mut [i64],
    batch: usize,
) -> Result<&'d [i64], String> {
    let rows = i64::try_from(batch).map_err(|error| error.to_string())?;
    // A list of a fixed length is one row, even if it is as long as the batch.
    let lone = dims.len() == 1 && side == PortSide::Input && dims[0] != -1;
    let Some((first, rest)) = dims.split_first_mut() else {
        return Err(format!("{port} has no dimensions, so none for rows; set batch = 1"));
    };
    if lone {
        return Err(format!(
            "{port} is {first} values without a dimension for rows; set batch = 1"
        ));
    }
    match *first {
        -1 => *first = rows,
        1 => return Err(format!("{port} is made for one row at a time; set batch = 1")),
        fixed if fixed != rows => {
            return Err(format!(
                "{port} is made for {fixed} rows at a time; set batch = {fixed}, or batch = 1 if \
                 they are one request"
            ));
        }
        _ => {}
    }
    Ok(rest)
}

/// Dimensions for people: `[?, 4]`.
fn shown(dims: &[i64]) -> String {
    let mut text = String::from("[");
    for (at, dim) in dims.iter().enumerate() {
        let lead = if at == 0 { "" } else { ", " };
        let _ = match dim {
            -1 => write!(text, "{lead}?"),
            dim => write!(text, "{lead}{dim}"),
        };
    }
    text + "]"
}

/// The kind of a value in words.
fn kind(value: &ValueType) -> String {
    match value {
        ValueType::Tensor { ty, .. } => format!("a tensor of {}", element(*ty)),
        ValueType::Sequence(of) => format!("a sequence, each {}", kind(of)),
        ValueType::Map { key, value } => {
            format!("a map from {} to {}", element(*key), element(*value))
        }
        ValueType::Optional(of) => format!("optional, {}", kind(of)),
    }
}

fn element(ty: TensorElementType) -> String {
    match ty {
        TensorElementType::Float32 => "f32".to_owned(),
        TensorElementType::Float64 => "f64".to_owned(),
        TensorElementType::String => "texts".to_owned(),
        TensorElementType::Bool => "booleans".to_owned(),
        // Its own name, such as `i64`.
        other => other.to_string(),
    }
}
