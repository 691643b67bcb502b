//! What a request holds against what its model takes; what differs is said in words (SEMANTICS
//! I3.3), so that whoever wrote the agent can mend it.

use wasm_engine_abi::tensor::{TensorList, Value, ValueKind};
use wasm_engine_setup::{ModelSetup, PortSetup, PortValue};

/// Checks a request and gives its list; an error names the input and says what it is and what it
/// should be. `seen` is memory for reuse.
pub(crate) fn check<'r>(
    bytes: &'r [u8],
    model: &ModelSetup,
    seen: &mut Vec<bool>,
) -> Result<TensorList<'r>, String> {
    let list = TensorList::parse(bytes).map_err(|error| error.to_string())?;
    seen.clear();
    seen.resize(model.inputs.len(), false);
    for value in list.iter() {
        let Some(port) = model.inputs.get(value.port() as usize) else {
            return Err(format!(
                "there is no input {}; the model has {}",
                value.port(),
                model.inputs.len()
            ));
        };
        if std::mem::replace(&mut seen[value.port() as usize], true) {
            return Err(format!("input {} is given twice", name(port)));
        }
        if value.kind() == ValueKind::Sequence && value.inner().next().is_none() {
            return Err(format!("input {} is an empty sequence, which is not given", name(port)));
        }
        if !fits(&value, &port.value) {
            return Err(format!(
                "input {} is {}, it takes {}",
                name(port),
                ShownValue(value),
                port.value
            ));
        }
    }
    match model.inputs.iter().zip(&*seen).find(|(_, seen)| !**seen) {
        Some((port, _)) => Err(format!("input {} is missing, it takes {}", name(port), port.value)),
        None => Ok(list),
    }
}

fn name(port: &PortSetup) -> String {
    format!("`{}`", port.name.escape_debug())
}

/// Whether a value is one that a port takes.
fn fits(value: &Value<'_>, port: &PortValue) -> bool {
    match port {
        PortValue::Tensor { kind, dims } => {
            value.kind() == *kind
                && value.dims().len() == dims.len()
                && value.dims().zip(dims).all(|(size, dim)| match (dim.size, dim.max) {
                    (Some(fixed), _) => size == fixed,
                    (None, Some(max)) => size <= max,
                    (None, None) => true,
                })
        }
        PortValue::Sequence(of) => {
            value.kind() == ValueKind::Sequence && value.inner().all(|inner| fits(&inner, of))
        }
        PortValue::Map { key, value: of } => {
            let mut inner = value.inner();
            value.kind() == ValueKind::Map
                && inner.next().is_some_and(|keys| keys.kind() == *key)
                && inner.next().is_some_and(|values| match &**of {
                    // A tensor holds the value of each key.
                    PortValue::Tensor { kind, .. } => values.kind() == *kind,
                    other => fits(&values, other),
                })
        }
    }
}

/// A value as `i64[1, 12]`.
struct ShownValue<'a>(Value<'a>);

impl std::fmt::Display for ShownValue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(value) = self;
        match value.kind() {
            ValueKind::Sequence => write!(f, "a sequence of {}", value.inner().count()),
            ValueKind::Map => f.write_str("a map"),
            kind => {
                let dims: Vec<String> = value.dims().map(|dim| dim.to_string()).collect();
                write!(f, "{}[{}]", kind.text(), dims.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list_buffer::ListBuffer;
    use wasm_engine_abi::tensor::{NoRoom, TensorWriter};
    use wasm_engine_setup::Dim;

    fn model() -> ModelSetup {
        let free = |name: &str, max| Dim { name: name.to_owned(), max, size: None };
        let port = |name: &str, kind, dims| PortSetup {
            name: name.to_owned(),
            value: PortValue::Tensor { kind, dims },
            given: true,
        };
        ModelSetup {
            inputs: vec![
                port("ids", ValueKind::I64, vec![free("batch", None), free("seq", Some(4))]),
                port("rate", ValueKind::F64, vec![]),
                port("words", ValueKind::Text, vec![Dim::fixed(2)]),
            ],
            ..ModelSetup::default()
        }
    }

    fn checked(
        write: impl FnOnce(&mut TensorWriter<&mut ListBuffer>) -> Result<(), NoRoom>,
    ) -> Result<(), String> {
        let mut buffer = ListBuffer::default();
        let mut list = TensorWriter::new(&mut buffer).expect("room");
        write(&mut list).expect("room");
        let _ = list.finish();
        check(buffer.bytes(), &model(), &mut Vec::new()).map(|_| ())
    }

    #[test]
    fn i3_3_a_request_that_fits_passes_in_any_order_and_others_are_named() {
        let fits = checked(|list| {
            list.texts(2, &[2], &["a", "b"])?;
            list.tensor(0, &[3, 4], &[7_i64; 12])?;
            list.tensor(1, &[], &[16_000.0_f64])
        });
        assert_eq!(fits, Ok(()));
        let ids = |list: &mut TensorWriter<&mut ListBuffer>| list.tensor(0, &[1, 1], &[7_i64]);
        let cases: [(Result<(), String>, &str); 7] = [
            (checked(|list| list.tensor(3, &[], &[1_u8])), "there is no input 3; the model has 3"),
            (
                checked(|list| list.tensor(0, &[1, 2], &[1_i32, 2])),
                "input `ids` is i32[1, 2], it takes i64[batch, seq <= 4]",
            ),
            (
                checked(|list| list.tensor(0, &[1, 5], &[1_i64; 5])),
                "input `ids` is i64[1, 5], it takes i64[batch, seq <= 4]",
            ),
            (
                checked(|list| list.tensor(1, &[1], &[1_f64])),
                "input `rate` is f64[1], it takes f64[]",
            ),
            (
                checked(|list| {
                    ids(list)?;
                    ids(list)
                }),
                "input `ids` is given twice",
            ),
            (checked(ids), "input `rate` is missing, it takes f64[]"),
            (
                checked(|list| list.sequence(0, 0)),
                "input `ids` is an empty sequence, which is not given",
            ),
        ];
        for (result, text) in cases {
            assert_eq!(result, Err(text.to_owned()));
        }
        let text = check(b"no list", &model(), &mut Vec::new()).expect_err("7 bytes");
        assert!(text.contains("malformed at byte 0"), "{text}");
    }
}
