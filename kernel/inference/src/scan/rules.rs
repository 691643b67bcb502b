//! What no model may hold, whatever its values: rules over single nodes.

use crate::scan::{
    fault::{ScanFault, Surroundings, shown},
    found::Scanned,
    proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto},
};

/// Metadata by which a model changes the settings of the library, to a file that it writes.
const CONFIGURING: &[u8] = b"ort_config";

/// Operators whose result for a row depends on the other rows of the batch, always.
const MIXING: [&[u8]; 3] =
    [b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul", b"DynamicQuantizeLSTM"];

/// Checks every node, in subgraphs and functions too.
pub(super) fn check(
    model: &ModelProto<'_>,
    surroundings: Surroundings,
) -> Result<Scanned, ScanFault> {
    if model.metadata_keys.contains(&CONFIGURING) {
        return Err(ScanFault::without(
            "metadata `ort_config`, which changes the settings of ONNX Runtime",
        ));
    }
    let mut rules = NodeRules { surroundings, found: Scanned::default() };
    rules.graph(&model.graph)?;
    for FunctionProto { nodes, defaults, .. } in &model.functions {
        nodes.iter().try_for_each(|one| rules.node(one))?;
        rules.inner_graphs(defaults)?;
    }
    Ok(rules.found)
}

/// The rules over the nodes of one model.
struct NodeRules {
    surroundings: Surroundings,
    found: Scanned,
}

impl NodeRules {
    fn graph(&mut self, graph: &GraphProto<'_>) -> Result<(), ScanFault> {
        graph.nodes.iter().try_for_each(|one| self.node(one))
    }

    fn inner_graphs(&mut self, attributes: &[AttributeProto<'_>]) -> Result<(), ScanFault> {
        self.found.hands_on |= attributes.iter().any(|one| !one.graphs.is_empty());
        attributes.iter().flat_map(|one| &one.graphs).try_for_each(|inner| self.graph(inner))
    }

    fn node(&mut self, node: &NodeProto<'_>) -> Result<(), ScanFault> {
        refuse_random(node.operator)?;
        if node.operator == b"BatchNormalization" && trains(node) {
            return Err(ScanFault::without(format!(
                "{}, which learns: its rows influence each other and it keeps state",
                described(node)
            )));
        }
        let divisor = node.attributes.iter().find(|one| divides_by(node, one));
        if let Some(count) = divisor.filter(|_| self.surroundings == Surroundings::Kernel) {
            return Err(ScanFault::Ends {
                what: format!(
                    "{} with {} `{}`, by which the library divides",
                    described(node),
                    count.number,
                    shown(count.name)
                ),
                cure: "give it at least one",
            });
        }
        if MIXING.contains(&node.operator) {
            self.found.mixing.get_or_insert_with(|| described(node));
        }
        let named = |word: &[u8]| node.operator.windows(word.len()).any(|part| part == word);
        self.found.hands_on |= named(b"Sequence") || named(b"Optional");
        self.inner_graphs(&node.attributes)
    }
}

/// A node for a message: its operator, and its name if it has one.
pub(super) fn described(node: &NodeProto<'_>) -> String {
    let operator = shown(node.operator);
    match node.name {
        [] => format!("operator {operator}"),
        name => format!("operator {operator} (node `{}`)", shown(name)),
    }
}

/// Whether an attribute counts groups or heads and is 0 for the library, which keeps it in 32 bits
/// and divides by it: the processor stops the process for that.
fn divides_by(node: &NodeProto<'_>, attribute: &AttributeProto<'_>) -> bool {
    const COUNTS: [&[u8]; 6] =
        [b"group", b"groups", b"num_groups", b"num_heads", b"q_num_heads", b"kv_num_heads"];
    // For it 0 heads are as many as the input says.
    let optional = node.operator == b"RotaryEmbedding";
    let fits = i32::try_from(attribute.number).is_ok_and(|count| count > 0);
    COUNTS.contains(&attribute.name) && attribute.reference.is_empty() && !fits && !optional
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
