//! What agents know of a model: what it declares, as the configuration bounds it.

use std::collections::BTreeMap;

use wasm_engine_abi::limits::INFERENCE_BYTES_MAX;
use wasm_engine_setup::{Dim, ModelSetup, PortSetup, PortValue, REPLY_BYTES_MIN};

use crate::ModelPorts;
use crate::terms::{ModelTerms, dim_key as key};

/// Longest request or reply where it follows neither from what a model declares nor from the
/// configuration.
pub(crate) const UNBOUNDED_BYTES: u32 = 256 << 10;

/// A model of this name and batch; an error says what does not suit it.
pub(crate) fn setup(
    (name, batch): (&str, u32),
    terms: &ModelTerms,
    ports: &ModelPorts,
) -> Result<ModelSetup, String> {
    let ModelPorts { mut inputs, mut outputs } = ports.clone();
    bound(&mut inputs, &mut outputs, &terms.dims)?;
    if batch > 1 {
        inputs.iter_mut().try_for_each(|port| one_row("input", port, batch))?;
        let given = outputs.iter_mut().filter(|port| port.given);
        given.into_iter().try_for_each(|port| one_row("output", port, batch))?;
    }
    let mut setup =
        ModelSetup { name: name.to_owned(), batch, inputs, outputs, ..ModelSetup::default() };
    let longest = |what: &str, key: &str, set: Option<u32>, follows: Option<u32>| {
        let bytes = set.or(follows).unwrap_or(UNBOUNDED_BYTES);
        match bytes <= INFERENCE_BYTES_MAX {
            true => Ok(bytes),
            false => Err(format!(
                "its longest {what} has {bytes} bytes, at most {INFERENCE_BYTES_MAX} are possible; \
                 bound it with {key} or dims"
            )),
        }
    };
    setup.request_bytes_max =
        longest("request", "request_bytes_max", terms.request_bytes_max, setup.request_bytes())?;
    setup.reply_bytes_max =
        longest("reply", "reply_bytes_max", terms.reply_bytes_max, setup.reply_bytes())?
            .max(REPLY_BYTES_MIN);
    Ok(setup)
}

/// Gives dimensions that may vary their maxima, by their name or by port and axis.
fn bound(
    inputs: &mut [PortSetup],
    outputs: &mut [PortSetup],
    maxima: &BTreeMap<String, u64>,
) -> Result<(), String> {
    let (mut used, mut free) = (Vec::new(), Vec::new());
    for port in inputs.iter_mut().chain(outputs) {
        let keys: Vec<String> = match &port.value {
            PortValue::Tensor { dims, .. } => (0..dims.len()).map(|at| key(port, at)).collect(),
            _ => continue,
        };
        let PortValue::Tensor { dims, .. } = &mut port.value else { continue };
        for (dim, key) in dims.iter_mut().zip(keys).filter(|(dim, _)| dim.size.is_none()) {
            let found = maxima.get_key_value(&key).or_else(|| maxima.get_key_value(&dim.name));
            if let Some((name, max)) = found {
                used.push(name);
                dim.max = Some(*max);
            }
            free.push(if dim.name.is_empty() { key } else { dim.name.clone() });
        }
    }
    free.sort();
    free.dedup();
    match maxima.keys().find(|name| !used.contains(name)) {
        Some(other) if free.is_empty() => {
            Err(format!("dims names `{other}`, and none of its dimensions varies"))
        }
        Some(other) => Err(format!(
            "dims names `{other}`, which is none of its dimensions that vary; these are {}",
            free.join(", ")
        )),
        None => Ok(()),
    }
}

/// Fixes the first dimension of a port to one row, as requests have it where a batch has several.
fn one_row(side: &str, port: &mut PortSetup, batch: u32) -> Result<(), String> {
    let shown = format!("{side} `{}`", port.name.escape_debug());
    let PortValue::Tensor { kind, dims } = &mut port.value else {
        return Err(format!("{shown} is a {}, which has no rows; set batch = 1", port.value));
    };
    if kind.element_bytes().is_none() {
        return Err(format!("{shown} is {}, which is not stacked; set batch = 1", kind.text()));
    }
    // A list of a fixed length is one row, even if it is as long as the batch.
    let lone = dims.len() == 1 && side == "input";
    let Some(first) = dims.first_mut() else {
        return Err(format!("{shown} has no dimensions, so none for rows; set batch = 1"));
    };
    match first.size {
        Some(size) if lone => {
            return Err(format!(
                "{shown} is {size} values without a dimension for rows; set batch = 1"
            ));
        }
        Some(1) => return Err(format!("{shown} is made for one row at a time; set batch = 1")),
        Some(fixed) if fixed != u64::from(batch) => {
            return Err(format!(
                "{shown} is made for {fixed} rows at a time; set batch = {fixed}, or batch = 1 if \
                 they are one request"
            ));
        }
        _ => *first = Dim::fixed(1),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_abi::tensor::ValueKind;

    fn port(name: &str, dims: &[(&str, u64)]) -> PortSetup {
        let dim = |(name, size): &(&str, u64)| match size {
            0 => Dim { name: (*name).to_owned(), ..Dim::default() },
            size => Dim::fixed(*size),
        };
        let dims = dims.iter().map(dim).collect();
        let value = PortValue::Tensor { kind: ValueKind::I64, dims };
        PortSetup { name: name.to_owned(), value, given: true }
    }

    fn ports() -> ModelPorts {
        ModelPorts {
            inputs: vec![port("ids", &[("batch", 0), ("seq", 0)]), port("sr", &[])],
            outputs: vec![port("tags", &[("batch", 0), ("", 0)])],
        }
    }

    fn terms(dims: &[(&str, u64)]) -> ModelTerms {
        let dims = dims.iter().map(|(name, max)| ((*name).to_owned(), *max)).collect();
        ModelTerms { dims, ..ModelTerms::default() }
    }

    #[test]
    fn dimensions_are_bounded_by_name_or_by_port_and_axis() {
        let bounded = terms(&[("seq", 256), ("tags.1", 99)]);
        let setup = setup(("m", 1), &bounded, &ports()).expect("suits");
        assert_eq!(setup.inputs[0].value.to_string(), "i64[batch, seq <= 256]");
        assert_eq!(setup.outputs[0].value.to_string(), "i64[batch, ? <= 99]");
        // One row of each, and 16 bytes of head with 8 for each dimension.
        assert_eq!(setup.request_bytes_max, 8 + 32 + 256 * 8 + 16 + 8);
        assert_eq!(setup.reply_bytes_max, 8 + 32 + 99 * 8);
        // What a log keeps gives the same again.
        let again = super::setup(("m", 1), &ModelTerms::from(&setup), &ports());
        assert_eq!(again, Ok(setup));
    }

    #[test]
    fn what_is_not_bounded_has_a_length_that_the_configuration_may_set() {
        let setup = setup(("m", 1), &terms(&[]), &ports()).expect("suits");
        assert_eq!(
            (setup.request_bytes_max, setup.reply_bytes_max),
            (UNBOUNDED_BYTES, UNBOUNDED_BYTES)
        );
        let set = ModelTerms { request_bytes_max: Some(5_000_000), ..terms(&[]) };
        let setup = super::setup(("m", 1), &set, &ports()).expect("suits");
        assert_eq!(setup.request_bytes_max, 5_000_000);
        let too_long = terms(&[("seq", 1 << 40)]);
        let error =
            super::setup(("m", 1), &too_long, &ports()).map(|setup| setup.request_bytes_max);
        assert_eq!(error, Ok(UNBOUNDED_BYTES), "longer than any list: its own limit decides");
    }

    #[test]
    fn names_that_there_are_not_are_refused_with_those_that_there_are() {
        let error = setup(("m", 1), &terms(&[("sequence", 9)]), &ports()).expect_err("no such");
        assert_eq!(
            error,
            "dims names `sequence`, which is none of its dimensions that vary; these are batch, \
             seq, tags.1"
        );
        let error = setup(("m", 8), &terms(&[]), &ports()).expect_err("a scalar");
        assert!(error.contains("input `sr` has no dimensions, so none for rows"), "{error}");
        let mut rows = ports();
        rows.inputs.pop();
        let setup = setup(("m", 8), &terms(&[("seq", 4)]), &rows).expect("rows");
        assert_eq!(setup.inputs[0].value.to_string(), "i64[1, seq <= 4]");
    }
}
