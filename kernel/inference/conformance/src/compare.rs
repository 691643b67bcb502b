//! Two lists of tensors: equal in every bit, equal within a tolerance, or where they differ.

use wasm_engine_abi::tensor::{
    Bf16Bits, BoolByte, Element, F16Bits, TensorList, Value, ValueKind, Values,
};

/// How much two values may differ: by `atol`, and by `rtol` of the expected one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Tolerance {
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
}

/// Two units in the last place of a [`Bf16Bits`], as the runner of the package `onnx` allows.
const BF16_RTOL: f64 = 1.0 / 64.0;

/// Where two lists differ, in words; nothing if they are equal in every bit but those of a NaN,
/// which the engine makes the quiet one of its type after the run.
pub(crate) fn bits(found: &[u8], expected: &[u8]) -> Option<String> {
    if found == expected { None } else { lists(found, expected, None) }
}

/// Where two lists differ by more than is tolerated, in words.
pub(crate) fn within(found: &[u8], expected: &[u8], tolerance: Tolerance) -> Option<String> {
    lists(found, expected, Some(tolerance))
}

fn lists(found: &[u8], expected: &[u8], tolerance: Option<Tolerance>) -> Option<String> {
    let found = match TensorList::parse(found) {
        Ok(list) => list,
        Err(error) => return Some(error.to_string()),
    };
    let expected = match TensorList::parse(expected) {
        Ok(list) => list,
        Err(error) => return Some(format!("of the expected ones, {error}")),
    };
    if found.count() != expected.count() {
        return Some(format!("{} values instead of {}", found.count(), expected.count()));
    }
    pairs(found.iter(), expected.iter(), tolerance)
}

fn pairs(found: Values<'_>, expected: Values<'_>, tolerance: Option<Tolerance>) -> Option<String> {
    found.zip(expected).find_map(|(found, expected)| {
        value(&found, &expected, tolerance)
            .map(|difference| format!("output {}: {difference}", expected.port()))
    })
}

fn value(found: &Value<'_>, expected: &Value<'_>, tolerance: Option<Tolerance>) -> Option<String> {
    if found.port() != expected.port() || found.kind() != expected.kind() {
        let shown = |one: &Value<'_>| format!("{} at port {}", one.kind().text(), one.port());
        return Some(format!("{} instead of {}", shown(found), shown(expected)));
    }
    if !found.dims().eq(expected.dims()) {
        let shown = |one: &Value<'_>| format!("{:?}", one.dims().collect::<Vec<_>>());
        return Some(format!("shape {} instead of {}", shown(found), shown(expected)));
    }
    match found.kind() {
        ValueKind::Sequence | ValueKind::Map => pairs(found.inner(), expected.inner(), tolerance),
        ValueKind::Text => texts(found, expected),
        ValueKind::F32 => floats::<f32>(found, expected, tolerance),
        ValueKind::F64 => floats::<f64>(found, expected, tolerance),
        ValueKind::F16 => floats::<F16Bits>(found, expected, tolerance),
        ValueKind::Bf16 => {
            let wider = |one: Tolerance| Tolerance { rtol: one.rtol.max(BF16_RTOL), ..one };
            floats::<Bf16Bits>(found, expected, tolerance.map(wider))
        }
        ValueKind::U8 => integers::<u8>(found, expected, tolerance),
        ValueKind::I8 => integers::<i8>(found, expected, tolerance),
        ValueKind::U16 => integers::<u16>(found, expected, tolerance),
        ValueKind::I16 => integers::<i16>(found, expected, tolerance),
        ValueKind::U32 => integers::<u32>(found, expected, tolerance),
        ValueKind::I32 => integers::<i32>(found, expected, tolerance),
        ValueKind::U64 => integers::<u64>(found, expected, tolerance),
        ValueKind::I64 => integers::<i64>(found, expected, tolerance),
        ValueKind::Bool => integers::<BoolByte>(found, expected, tolerance),
    }
}

fn texts(found: &Value<'_>, expected: &Value<'_>) -> Option<String> {
    let (found, expected) = (found.texts()?, expected.texts()?);
    found
        .zip(expected)
        .enumerate()
        .find(|(_, (found, expected))| found != expected)
        .map(|(at, (found, expected))| format!("element {at} is {found:?} instead of {expected:?}"))
}

/// A floating-point number of any width.
trait Float: Element {
    fn wide(self) -> f64;
    /// Its place among all numbers of its type, in their order.
    fn rank(self) -> i64;
}

macro_rules! float {
    ($type:ty, $bits:ty, |$one:ident| $wide:expr, $raw:expr) => {
        impl Float for $type {
            fn wide(self) -> f64 {
                let $one = self;
                $wide
            }

            fn rank(self) -> i64 {
                let $one = self;
                let bits: $bits = $raw;
                let magnitude = (bits & (<$bits>::MAX >> 1)) as i64;
                if bits > <$bits>::MAX >> 1 { -magnitude } else { magnitude }
            }
        }
    };
}

float!(f32, u32, |one| f64::from(one), one.to_bits());
float!(f64, u64, |one| one, one.to_bits());
float!(F16Bits, u16, |one| f64::from(one.to_f32()), one.0);
float!(Bf16Bits, u16, |one| f64::from(one.to_f32()), one.0);

fn floats<T: Float>(
    found: &Value<'_>,
    expected: &Value<'_>,
    tolerance: Option<Tolerance>,
) -> Option<String> {
    let mut differing = Differing::default();
    for at in 0..count(expected) {
        let (Some(one), Some(other)) = (found.get::<T>(at), expected.get::<T>(at)) else { break };
        let (wide, wanted) = (one.wide(), other.wide());
        let same = wide.is_nan() && wanted.is_nan()
            || one.rank() == other.rank() && wide.is_sign_negative() == wanted.is_sign_negative();
        let close = |by: Tolerance| {
            wide == wanted
                || wanted.is_finite() && (wide - wanted).abs() <= by.atol + by.rtol * wanted.abs()
        };
        if !same && !tolerance.is_some_and(close) {
            let ulp = one.rank().abs_diff(other.rank());
            differing.note(ulp, || format!("element {at} is {wide:e} instead of {wanted:e}"));
        }
    }
    differing.summary(count(expected), "ulp")
}

/// A whole number or a truth value.
trait Whole: Element {
    fn wide(self) -> i128;
}

macro_rules! whole {
    ($($type:ty)+) => {
        $(impl Whole for $type {
            fn wide(self) -> i128 {
                i128::from(self)
            }
        })+
    };
}

whole!(u8 i8 u16 i16 u32 i32 u64 i64);

impl Whole for BoolByte {
    fn wide(self) -> i128 {
        i128::from(self.0)
    }
}

fn integers<T: Whole>(
    found: &Value<'_>,
    expected: &Value<'_>,
    tolerance: Option<Tolerance>,
) -> Option<String> {
    let mut differing = Differing::default();
    for at in 0..count(expected) {
        let (Some(one), Some(other)) = (found.get::<T>(at), expected.get::<T>(at)) else { break };
        let (one, other) = (one.wide(), other.wide());
        let apart = one.abs_diff(other);
        let close = |by: Tolerance| apart as f64 <= by.atol + by.rtol * other.unsigned_abs() as f64;
        if apart != 0 && !tolerance.is_some_and(close) {
            let apart = u64::try_from(apart).unwrap_or(u64::MAX);
            differing.note(apart, || format!("element {at} is {one} instead of {other}"));
        }
    }
    differing.summary(count(expected), "steps")
}

fn count(value: &Value<'_>) -> usize {
    usize::try_from(value.elements()).unwrap_or(usize::MAX)
}

/// How many elements differ, the first of them, and by how much the worst does.
#[derive(Default)]
struct Differing {
    count: usize,
    first: Option<String>,
    most: u64,
}

impl Differing {
    fn note(&mut self, apart: u64, words: impl FnOnce() -> String) {
        self.count += 1;
        self.most = self.most.max(apart);
        self.first.get_or_insert_with(words);
    }

    fn summary(self, of: usize, unit: &str) -> Option<String> {
        let Self { count, first, most } = self;
        first.map(|first| format!("{first}; {count} of {of} differ, by {most} {unit} at most"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of one tensor of rank 1.
    fn list(kind: u32, elements: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        for word in [1, 1, 0, kind, 1, data.len() as u32] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(elements.to_le_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn f32s(values: &[f32]) -> Vec<u8> {
        let data: Vec<u8> = values.iter().flat_map(|one| one.to_le_bytes()).collect();
        list(1, values.len() as u64, &data)
    }

    #[test]
    fn bits_are_bits_and_the_difference_is_named() {
        let one = f32s(&[1.0, 2.0, 0.0]);
        assert_eq!(bits(&one, &one), None);
        let other = f32s(&[1.0, 2.000_000_2, -0.0]);
        assert_eq!(
            bits(&other, &one).as_deref(),
            Some(
                "output 0: element 1 is 2.000000238418579e0 instead of 2e0; 2 of 3 differ, by 1 \
                 ulp at most"
            )
        );
        let shorter = f32s(&[1.0]);
        assert_eq!(bits(&shorter, &one).as_deref(), Some("output 0: shape [1] instead of [3]"));
        let whole = list(7, 1, &5_i64.to_le_bytes());
        let text = bits(&whole, &shorter).expect("another type");
        assert_eq!(text, "output 0: i64 at port 0 instead of f32 at port 0");
        let off = list(7, 1, &(-5_i64).to_le_bytes());
        assert!(bits(&off, &whole).is_some_and(|text| text.ends_with("by 10 steps at most")));
        assert!(bits(&one[1..], &one).is_some());
    }

    #[test]
    fn tolerances_are_those_of_numpy() {
        let by = Tolerance { rtol: 1e-3, atol: 1e-7 };
        let nan = f32s(&[f32::NAN, f32::INFINITY, 1.0]);
        assert_eq!(bits(&f32s(&[-f32::NAN, f32::INFINITY, 1.0]), &nan), None);
        assert_eq!(within(&nan, &nan, by), None);
        assert_eq!(within(&f32s(&[f32::NAN, f32::INFINITY, 1.0009]), &nan, by), None);
        assert!(within(&f32s(&[f32::NAN, f32::MAX, 1.0]), &nan, by).is_some());
        assert!(within(&f32s(&[0.0, f32::INFINITY, 1.0]), &nan, by).is_some());
        assert!(within(&f32s(&[f32::NAN, f32::INFINITY, 1.002]), &nan, by).is_some());
        let bf16 = |bits: u16| list(16, 1, &bits.to_le_bytes());
        assert_eq!(within(&bf16(0x3f81), &bf16(0x3f80), by), None);
        assert!(within(&bf16(0x3f84), &bf16(0x3f80), by).is_some());
    }
}
