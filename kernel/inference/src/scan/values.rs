//! What can be known of a value without running the model: its element type and which integers it
//! may hold. Coarse on purpose: what is not known may be anything.

use crate::scan::proto::{AttributeProto, NodeProto, TensorProto, elem};

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    /// Its element type, if it is known.
    pub(super) elem: Option<i64>,
    /// No integer in it is smaller.
    pub(super) at_least: i64,
    /// -1 may be in it.
    pub(super) minus_one: bool,
    /// It is constant, and every element is zero: false.
    pub(super) all_zero: bool,
}

impl Known {
    /// Of a value that may be anything.
    pub(super) fn any(elem: Option<i64>) -> Self {
        Self { elem, at_least: i64::MIN, minus_one: true, all_zero: false }
    }

    /// Of a value without negative integers, such as a shape.
    fn natural(elem: i64) -> Self {
        Self { elem: Some(elem), at_least: 0, minus_one: false, all_zero: false }
    }

    /// Of integers that are listed.
    fn listed(elem: i64, numbers: &[i64]) -> Self {
        Self {
            elem: Some(elem),
            at_least: numbers.iter().copied().min().unwrap_or(0),
            minus_one: numbers.contains(&-1),
            all_zero: numbers.iter().all(|number| *number == 0),
        }
    }

    pub(super) fn of_tensor(tensor: &TensorProto<'_>) -> Self {
        fn each<const N: usize>(raw: &[u8], of: fn([u8; N]) -> i64) -> Vec<i64> {
            raw.as_chunks().0.iter().map(|bytes| of(*bytes)).collect()
        }
        if tensor.external {
            return Self::any(Some(tensor.elem));
        }
        let mut numbers = match tensor.elem {
            elem::INT32 => each(tensor.raw, |bytes| i32::from_le_bytes(bytes).into()),
            elem::INT64 => each(tensor.raw, i64::from_le_bytes),
            elem::BOOL => each(tensor.raw, |[byte]| byte.into()),
            other => return Self::any(Some(other)),
        };
        numbers.extend(&tensor.numbers);
        if tensor.sparse {
            numbers.push(0);
        }
        Self::listed(tensor.elem, &numbers)
    }

    /// Of a value that is one of the two.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            elem: self.elem.or(other.elem),
            at_least: self.at_least.min(other.at_least),
            minus_one: self.minus_one || other.minus_one,
            all_zero: self.all_zero && other.all_zero,
        }
    }

    /// Whether dividing a value such as this by one such as `by` may divide the smallest integer by
    /// -1: the processor stops the process for it, where the operands are as wide as a register.
    pub(super) fn may_overflow(self, by: Self) -> bool {
        let lowest = match self.elem.or(by.elem) {
            Some(elem::INT32) | None => i32::MIN.into(),
            Some(elem::INT64) => i64::MIN,
            Some(_) => return false,
        };
        self.at_least <= lowest && by.minus_one
    }

    /// The larger of a value and of a bound of which this is known.
    fn raised(self, bound: Self) -> Self {
        let at_least = self.at_least.max(bound.at_least);
        Self { at_least, minus_one: at_least < 0, all_zero: false, ..self }
    }

    /// The smaller of a value and of a bound of which this is known.
    fn lowered(self, bound: Self) -> Self {
        let at_least = self.at_least.min(bound.at_least);
        Self { at_least, minus_one: self.minus_one || bound.minus_one, all_zero: false, ..self }
    }
}

/// What is known of the outputs of a node of the standard operators from that of its inputs; `None`
/// is an input left out. Further outputs are as the last one given.
pub(super) fn outputs(node: &NodeProto<'_>, inputs: &[Option<Known>]) -> Vec<Known> {
    let input = |at: usize| inputs.get(at).copied().flatten();
    let first = input(0).unwrap_or(Known::any(None));
    let any = |elem| vec![Known::any(Some(elem))];
    let all = || inputs.iter().flatten().copied();
    match node.operator {
        b"Constant" => vec![constant(node)],
        b"ConstantOfShape" => vec![
            node.attribute(b"value")
                .and_then(|value| value.tensor.as_ref())
                .map_or(Known::any(Some(elem::FLOAT)), Known::of_tensor),
        ],
        b"Cast" => vec![cast(first, target(node, b"to"))],
        b"CastLike" => vec![cast(first, input(1).and_then(|like| like.elem))],
        b"Shape" | b"Size" | b"NonZero" => vec![Known::natural(elem::INT64)],
        b"ArgMax" | b"ArgMin" => vec![Known::natural(elem::INT64)],
        b"TopK" | b"MaxPool" => vec![first, Known::natural(elem::INT64)],
        b"Unique" => vec![first, Known::natural(elem::INT64)],
        // Elements are only moved, left out or repeated.
        b"Identity" | b"Reshape" | b"Flatten" | b"Squeeze" | b"Unsqueeze" | b"Transpose"
        | b"Gather" | b"GatherElements" | b"GatherND" | b"Slice" | b"Split" | b"Expand"
        | b"Tile" | b"DepthToSpace" | b"SpaceToDepth" | b"ReverseSequence" | b"Compress" => {
            vec![first]
        }
        b"Concat" => vec![all().reduce(Known::or).unwrap_or(first)],
        b"Where" => vec![input(1).unwrap_or(first).or(input(2).unwrap_or(first))],
        b"Max" => vec![all().reduce(Known::raised).unwrap_or(first)],
        b"Min" => vec![all().reduce(Known::lowered).unwrap_or(first)],
        b"Clip" => {
            let raised = input(1).map_or(first, |low| first.raised(low));
            vec![input(2).map_or(raised, |high| raised.lowered(high))]
        }
        b"Equal" | b"Greater" | b"GreaterOrEqual" | b"Less" | b"LessOrEqual" | b"And" | b"Or"
        | b"Xor" | b"Not" | b"IsNaN" | b"IsInf" => any(elem::BOOL),
        b"QuantizeLinear" => any(input(2).and_then(|zero| zero.elem).unwrap_or(elem::UINT8)),
        b"DequantizeLinear" => vec![Known::any(input(1).and_then(|scale| scale.elem))],
        b"MatMulInteger" | b"ConvInteger" => any(elem::INT32),
        b"QLinearMatMul" | b"QLinearConv" => vec![Known::any(input(7).and_then(|z| z.elem))],
        b"OneHot" => vec![Known::any(input(2).and_then(|values| values.elem))],
        b"EyeLike" => vec![Known::any(target(node, b"dtype").or(first.elem))],
        // Type in, type out, computed anew.
        _ => vec![Known::any(all().find_map(|known| known.elem))],
    }
}

fn constant(node: &NodeProto<'_>) -> Known {
    let number = |attribute: &AttributeProto<'_>| match attribute.name {
        b"value" | b"sparse_value" => attribute.tensor.as_ref().map(Known::of_tensor),
        b"value_int" => Some(Known::listed(elem::INT64, &[attribute.number])),
        b"value_ints" => Some(Known::listed(elem::INT64, &attribute.numbers)),
        b"value_float" | b"value_floats" => Some(Known::any(Some(elem::FLOAT))),
        _ => None,
    };
    node.attributes.iter().find_map(number).unwrap_or(Known::any(None))
}

/// The element type that an attribute names; none if it refers to one of a call.
fn target(node: &NodeProto<'_>, name: &[u8]) -> Option<i64> {
    node.attribute(name).filter(|to| to.reference.is_empty()).map(|to| to.number)
}

/// Only what surely keeps its value is known afterwards.
fn cast(from: Known, to: Option<i64>) -> Known {
    let Some(kind) = from.elem else { return Known::any(to) };
    let wider: &[i64] = match to {
        Some(elem::INT64) => {
            const { &[elem::INT8, elem::INT16, elem::INT32, elem::INT64, elem::BOOL] }
        }
        Some(elem::INT32) => const { &[elem::INT8, elem::INT16, elem::INT32, elem::BOOL] },
        _ => &[],
    };
    let unsigned = match to {
        Some(elem::INT64) => [elem::UINT8, elem::UINT16, elem::UINT32].contains(&kind),
        Some(elem::INT32) => [elem::UINT8, elem::UINT16].contains(&kind),
        _ => false,
    };
    let narrow = |bits: u32| from.at_least.max(-(1_i64 << (bits - 1)));
    match (wider.contains(&kind), to) {
        (true, to) => {
            let at_least = match kind {
                elem::INT8 => narrow(8),
                elem::INT16 => narrow(16),
                elem::INT32 => narrow(32),
                elem::BOOL => from.at_least.max(0),
                _ => from.at_least,
            };
            Known { elem: to, at_least, minus_one: from.minus_one && at_least < 0, ..from }
        }
        (false, Some(to)) if unsigned => Known::natural(to),
        (false, to) => Known { all_zero: false, ..Known::any(to) },
    }
}
