//! What no model may hold, whatever its values: rules over single nodes.

use crate::onnx::scan::{
    fault::{ScanFault, shown},
    proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto},
};

/// Metadata by which a model changes the settings of the library, to a file that it writes.
const CONFIGURING: &[u8] = b"ort_config";

/// Operators whose result for a row depends on the other rows of the batch, always.
const MIXING: [&[u8]; 3] =
    [b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul", b"DynamicQuantizeLSTM"];

/// Checks every node, in subgraphs and functions too; gives an operator that mixes rows, if there
/// is one.
pub(super) fn check(model: &ModelProto<'_>) -> Result<Option<String>, ScanFault> {
    if model.metadata_keys.contains(&CONFIGURING) {
        return Err(ScanFault::without(
            "metadata `ort_config`, which changes the settings of ONNX Runtime",
        ));
    }
    let mut mixing = None;
    graph(&model.graph, &mut mixing)?;
    for FunctionProto { nodes, defaults, .. } in &model.functions {
        nodes.iter().try_for_each(|one| node(one, &mut mixing))?;
        inner_graphs(defaults, &mut mixing)?;
    }
    Ok(mixing)
}

fn graph(graph: &GraphProto<'_>, mixing: &mut Option<String>) -> Result<(), ScanFault> {
    graph.nodes.iter().try_for_each(|one| node(one, mixing))
}

fn inner_graphs(
    attributes: &[AttributeProto<'_>],
    mixing: &mut Option<String>,
) -> Result<(), ScanFault> {
    attributes.iter().flat_map(|one| &one.graphs).try_for_each(|inner| graph(inner, mixing))
}

fn node(node: &NodeProto<'_>, mixing: &mut Option<String>) -> Result<(), ScanFault> {
    refuse_random(node.operator)?;
    if node.operator == b"BatchNormalization" && trains(node) {
        return Err(ScanFault::without(format!(
            "{}, which learns: its rows influence each other and it keeps state",
            described(node)
        )));
    }
    for name in [&b"group"[..], b"num_groups"] {
        let groups = node.attribute(name).filter(|groups| groups.reference.is_empty());
        if groups.is_some_and(|groups| groups.number < 1) {
            return Err(ScanFault::Refused {
                what: format!("{} with {} groups", described(node), groups.map_or(0, |g| g.number)),
                cure: "give it at least one",
            });
        }
    }
    if MIXING.contains(&node.operator) {
        mixing.get_or_insert_with(|| described(node));
    }
    inner_graphs(&node.attributes, mixing)
}

/// A node for a message: its operator, and its name if it has one.
pub(super) fn described(node: &NodeProto<'_>) -> String {
    let operator = shown(node.operator);
    match node.name {
        [] => format!("a {operator}"),
        name => format!("a {operator} (node `{}`)", shown(name)),
    }
}

/// Whether a BatchNormalization computes with the batch's own mean: by its attribute, or, before
/// that was there, by having more than one output.
fn trains(node: &NodeProto<'_>) -> bool {
    let mode = node.attribute(b"training_mode");
    mode.is_some_and(|mode| mode.number != 0 || !mode.reference.is_empty())
        || node.outputs.iter().skip(1).any(|name| !name.is_empty())
}

/// Operators that draw random numbers, of any domain.
fn refuse_random(operator: &[u8]) -> Result<(), ScanFault> {
    const RANDOM: [&[u8]; 6] = [
        b"Bernoulli",
        b"Multinomial",
        b"Sampling",
        b"BiasDropout",
        b"BitmaskDropout",
        b"BitmaskBiasDropout",
    ];
    if operator.starts_with(b"Random") || RANDOM.contains(&operator) {
        return Err(ScanFault::without(format!("the random operator {}", shown(operator))));
    }
    Ok(())
}
