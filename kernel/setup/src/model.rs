//! Models as agents see them: what each takes and gives, and how long that may be.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasm_engine_abi::{
    limits::{INFERENCE_BYTES_MAX, PORTS_MAX},
    tensor::{DEPTH_MAX, ListHead, RANK_MAX, ValueKind, value_bytes},
};

/// Rows of one batch; the slot of a larger one would not be served in reasonable time.
pub const BATCH_MAX: u32 = 65_536;
/// Models of a run.
pub const MODELS_MAX: usize = 4096;
/// Bytes that a model may be declared to take: so that no sum of them overflows.
pub const MEMORY_BYTES_MAX: u64 = 1 << 50;
/// Room that every reply has, for the text of a refusal at least.
pub const REPLY_BYTES_MIN: u32 = 512;

/// A model; its handle is its index in [`Setup::models`](crate::Setup::models).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ModelSetup {
    /// Configured name, unique among models of one version.
    pub name: String,
    /// Its version, if it has one: `name@version` names it (SEMANTICS A13.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// sha256 of its files, in hexadecimal.
    pub sha256: String,
    /// Ticks from a request to its reply, at least 1 (SEMANTICS I1).
    pub latency_ticks: u64,
    /// Rows of one batch (SEMANTICS I2).
    pub batch: u32,
    /// When it is loaded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load: LoadOn,
    /// Ticks from the begin of a load to its outcome, at least 1 (SEMANTICS A13).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub load_ticks: u64,
    /// Bytes that count against [`Limits::models_bytes_max`](crate::Limits) while it is loaded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_bytes: u64,
    /// Whether it stays when room is made for others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pinned: bool,
    /// What a request holds, by port. With more than one row in a batch, a request is one of them
    /// and its tensors have a first dimension of 1.
    pub inputs: Vec<PortSetup>,
    /// What a reply holds, by port; outputs that were not chosen are `given: false`.
    pub outputs: Vec<PortSetup>,
    /// Longest request, as a list of tensors, in bytes.
    pub request_bytes_max: u32,
    /// Longest reply, as a list of tensors, in bytes.
    pub reply_bytes_max: u32,
}

/// When a model is loaded (SEMANTICS A13).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadOn {
    /// Before tick 0.
    #[default]
    Start,
    /// By the first request, which is refused as `NotLoaded`.
    Request,
    /// By a command of the host.
    Command,
}

/// An input or an output of a model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortSetup {
    /// Its name in the model.
    pub name: String,
    /// What it takes or gives.
    pub value: PortValue,
    /// Whether it is asked for; of an input always true.
    pub given: bool,
}

/// What an input takes or an output gives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortValue {
    /// A tensor.
    Tensor {
        /// Its elements.
        #[serde(with = "kind_word")]
        kind: ValueKind,
        /// Its dimensions, outermost first.
        dims: Vec<Dim>,
    },
    /// Any number of values of one kind.
    Sequence(Box<PortValue>),
    /// Keys, each with a value.
    Map {
        /// The keys.
        #[serde(with = "kind_word")]
        key: ValueKind,
        /// The values.
        value: Box<PortValue>,
    },
}

/// A dimension of a tensor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Dim {
    /// Its size, if the model fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its name, if the model gives it one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The most that the configuration allows where the size may vary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

impl Dim {
    /// A dimension of this size.
    #[must_use]
    pub fn fixed(size: u64) -> Self {
        Self { size: Some(size), ..Self::default() }
    }

    /// The largest size that it may have, if there is one.
    #[must_use]
    pub fn bound(&self) -> Option<u64> {
        self.size.or(self.max)
    }
}

/// How a model is asked by [`infer`](mod@wasm_engine_abi::calls): with one row of `f32`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowForm {
    /// The tensor that a row is.
    pub input_dims: Vec<u64>,
    /// Values of an input row.
    pub input_len: usize,
    /// Values of an output row.
    pub output_len: usize,
}

/// The name of a model, with the version behind it if it has one.
#[must_use]
pub fn full_name(name: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("{name}@{version}"),
        None => name.to_owned(),
    }
}

impl ModelSetup {
    /// A model of one `f32` input and one `f32` output, both rows of fixed length.
    #[must_use]
    pub fn of_rows(name: &str, input_len: u64, output_len: u64) -> Self {
        let port = |name: &str, len| PortSetup {
            name: name.to_owned(),
            value: PortValue::Tensor {
                kind: ValueKind::F32,
                dims: vec![Dim { name: "N".to_owned(), ..Dim::default() }, Dim::fixed(len)],
            },
            given: true,
        };
        let mut model = Self {
            name: name.to_owned(),
            latency_ticks: 1,
            load_ticks: 1,
            batch: 1,
            inputs: vec![port("x", input_len)],
            outputs: vec![port("y", output_len)],
            ..Self::default()
        };
        model.request_bytes_max = model.request_bytes().unwrap_or(INFERENCE_BYTES_MAX);
        model.reply_bytes_max = model.reply_bytes().unwrap_or(INFERENCE_BYTES_MAX);
        model
    }

    /// Its name, with the version behind it if it has one.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(&self.name, self.version)
    }

    /// How it is asked with a row, if it has one `f32` input and gives one `f32` output, of which
    /// nothing but the number of rows varies.
    #[must_use]
    pub fn row(&self) -> Option<RowForm> {
        let [input] = &self.inputs[..] else { return None };
        let mut given = self.outputs.iter().filter(|output| output.given);
        let (Some(output), None) = (given.next(), given.next()) else { return None };
        let input_dims = input.value.row_dims()?;
        let len = |dims: &[u64]| {
            let product = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim))?;
            usize::try_from(product).ok().filter(|len| *len > 0)
        };
        Some(RowForm {
            input_len: len(&input_dims)?,
            output_len: len(&output.value.row_dims()?)?,
            input_dims,
        })
    }

    /// Bytes of the longest request, if the sizes of all inputs are bounded. A first dimension of
    /// several that is free counts as one row.
    #[must_use]
    pub fn request_bytes(&self) -> Option<u32> {
        list_bytes(&self.inputs, |dims| match dims {
            [first, _, ..] if first.bound().is_none() => Some(1),
            _ => None,
        })
    }

    /// Bytes of the longest reply, if the sizes of all chosen outputs are bounded. A first
    /// dimension that is free counts as one row where it is that of an input too.
    #[must_use]
    pub fn reply_bytes(&self) -> Option<u32> {
        let rows: Vec<&str> = self
            .inputs
            .iter()
            .filter_map(|input| match &input.value {
                PortValue::Tensor { dims, .. } => match &dims[..] {
                    [first, _, ..] if first.bound().is_none() => Some(&first.name[..]),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        let bytes = list_bytes(&self.outputs, |dims| {
            dims.first().filter(|first| rows.contains(&&first.name[..])).map(|_| 1)
        });
        bytes.map(|bytes| bytes.max(REPLY_BYTES_MIN))
    }

    /// Whether every number can be that of a model; a setup read from a log may be anything.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { name, batch, inputs, outputs, .. } = self;
        if self.latency_ticks == 0 || self.load_ticks == 0 {
            return Err(format!("the latency of `{name}`, or its time to load, is 0"));
        }
        if !(1..=BATCH_MAX).contains(batch) || inputs.len().max(outputs.len()) > PORTS_MAX {
            return Err(format!("`{name}` has rows or ports that no model has"));
        }
        if self.request_bytes_max.max(self.reply_bytes_max) > INFERENCE_BYTES_MAX {
            return Err(format!("`{name}` has requests or replies longer than any"));
        }
        if self.memory_bytes > MEMORY_BYTES_MAX {
            return Err(format!("`{name}` has more bytes than any model"));
        }
        match inputs.iter().chain(outputs).all(|port| port.value.is_possible(0)) {
            true => Ok(()),
            false => Err(format!("`{name}` has tensors that no model has")),
        }
    }
}

const fn one() -> u64 {
    1
}

fn is_one<T: From<u8> + PartialEq>(value: &T) -> bool {
    *value == T::from(1)
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bytes of the longest list of values for these ports; `rows` says how many rows the dimensions
/// have if their first one is nowhere bounded.
fn list_bytes(ports: &[PortSetup], rows: impl Fn(&[Dim]) -> Option<u64>) -> Option<u32> {
    let mut bytes = size_of::<ListHead>() as u64;
    for port in ports.iter().filter(|port| port.given) {
        let PortValue::Tensor { kind, dims } = &port.value else { return None };
        let mut len = u64::from(kind.element_bytes()?);
        for (axis, dim) in dims.iter().enumerate() {
            let first = || rows(dims).filter(|_| axis == 0);
            len = len.checked_mul(dim.bound().or_else(first)?)?;
        }
        let len = Some(len).filter(|len| *len <= u32::MAX.into())?;
        bytes += value_bytes(dims.len() as u32, len);
    }
    u32::try_from(bytes).ok()
}

impl PortValue {
    /// The tensor that one row is, if it is of `f32` and nothing but the number of rows varies.
    fn row_dims(&self) -> Option<Vec<u64>> {
        let Self::Tensor { kind: ValueKind::F32, dims } = self else { return None };
        let size = |(axis, dim): (usize, &Dim)| dim.size.or((axis == 0).then_some(1));
        dims.iter().enumerate().map(size).collect()
    }

    fn is_possible(&self, depth: u32) -> bool {
        match self {
            Self::Tensor { kind, dims } => {
                dims.len() <= RANK_MAX as usize
                    && !matches!(kind, ValueKind::Sequence | ValueKind::Map)
            }
            Self::Sequence(inner) | Self::Map { value: inner, .. } => {
                depth < DEPTH_MAX && inner.is_possible(depth + 1)
            }
        }
    }
}

/// As `f32[N, 3, 640, 640]`, `sequence of map of i64 to f32`.
impl fmt::Display for PortValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor { kind, dims } => {
                write!(f, "{}[", kind.text())?;
                for (axis, dim) in dims.iter().enumerate() {
                    write!(f, "{}{dim}", if axis == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Sequence(inner) => write!(f, "sequence of {inner}"),
            Self::Map { key, value } => write!(f, "map of {} to {value}", key.text()),
        }
    }
}

/// Its size, or its name and the most it may be, as in `N <= 256`.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "?" } else { &self.name };
        match (self.size, self.max) {
            (Some(size), _) => write!(f, "{size}"),
            (None, Some(max)) => write!(f, "{} <= {max}", name.escape_debug()),
            (None, None) => write!(f, "{}", name.escape_debug()),
        }
    }
}

/// A kind as its word.
mod kind_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use wasm_engine_abi::tensor::ValueKind;

    pub(super) fn serialize<S: Serializer>(kind: &ValueKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.text())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ValueKind, D::Error> {
        let word = String::deserialize(from)?;
        let kind = ValueKind::ALL.iter().find(|kind| kind.text() == word);
        kind.copied().ok_or_else(|| D::Error::custom(format!("there are no tensors of `{word}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(kind: ValueKind, dims: Vec<Dim>) -> PortSetup {
        let value = PortValue::Tensor { kind, dims };
        PortSetup { name: "p".to_owned(), value, given: true }
    }

    fn free(name: &str, max: Option<u64>) -> Dim {
        Dim { name: name.to_owned(), max, size: None }
    }

    #[test]
    fn a_row_is_known_where_only_the_number_of_rows_varies() {
        let mut model = ModelSetup::of_rows("m", 149, 1);
        let row = model.row().expect("rows");
        assert_eq!((row.input_dims, row.input_len, row.output_len), (vec![1, 149], 149, 1));
        assert_eq!(model.request_bytes_max, 8 + 16 + 16 + 600);
        assert_eq!(model.reply_bytes_max, REPLY_BYTES_MIN);
        model.batch = 32;
        assert_eq!(model.row().map(|row| row.input_len), Some(149));
        // The whole tensor is the row where a batch has one row.
        model.batch = 1;
        model.inputs = vec![tensor(ValueKind::F32, vec![Dim::fixed(4)])];
        assert_eq!(model.row().map(|row| row.input_dims), Some(vec![4]));
        model.inputs = vec![tensor(ValueKind::F32, vec![free("N", None), free("T", Some(9))])];
        assert_eq!(model.row(), None, "a second dimension varies");
        model.inputs = vec![tensor(ValueKind::I64, vec![Dim::fixed(4)])];
        assert_eq!(model.row(), None, "no floats");
    }

    #[test]
    fn what_is_bounded_has_a_length_and_what_is_not_has_none() {
        let mut model = ModelSetup::of_rows("m", 1, 1);
        model.inputs = vec![
            tensor(ValueKind::I64, vec![free("N", Some(2)), free("T", Some(256))]),
            tensor(ValueKind::Bool, vec![]),
        ];
        assert_eq!(model.request_bytes(), Some(8 + (16 + 16 + 2 * 256 * 8) as u32 + 16 + 8));
        model.inputs[0] = tensor(ValueKind::I64, vec![free("N", Some(2)), free("T", None)]);
        assert_eq!(model.request_bytes(), None);
        model.inputs[0] = tensor(ValueKind::I64, vec![free("N", None)]);
        assert_eq!(model.request_bytes(), None, "one dimension is no number of rows");
        model.inputs[0] = tensor(ValueKind::F32, vec![free("N", None), Dim::fixed(3)]);
        model.outputs = vec![tensor(ValueKind::F32, vec![free("boxes", None), Dim::fixed(6)])];
        assert_eq!((model.request_bytes(), model.reply_bytes()), (Some(8 + 32 + 16 + 24), None));
        model.inputs[0] = tensor(ValueKind::F32, vec![Dim::fixed(u64::MAX), Dim::fixed(3)]);
        assert_eq!(model.request_bytes(), None, "longer than any");
        model.inputs[0] = tensor(ValueKind::Text, vec![Dim::fixed(1)]);
        assert_eq!(model.request_bytes(), None, "texts have any length");
    }

    #[test]
    fn a_model_comes_back_from_its_json_and_is_shown_in_words() {
        let mut model = ModelSetup::of_rows("m", 3, 1);
        let map = PortValue::Map {
            key: ValueKind::I64,
            value: Box::new(PortValue::Tensor { kind: ValueKind::F32, dims: Vec::new() }),
        };
        let value = PortValue::Sequence(Box::new(map));
        assert_eq!(value.to_string(), "sequence of map of i64 to f32[]");
        model.outputs.push(PortSetup { name: "p".to_owned(), value, given: false });
        model.inputs.push(tensor(ValueKind::U8, vec![free("", None), free("T", Some(7))]));
        assert_eq!(model.inputs[1].value.to_string(), "u8[?, T <= 7]");
        let json = serde_json::to_string(&model).expect("plain");
        assert_eq!(serde_json::from_str::<ModelSetup>(&json).expect("the same"), model);
        assert!(model.check().is_ok());
        assert!(serde_json::from_str::<ModelSetup>(&json.replace("u8", "u9")).is_err());
    }
}
