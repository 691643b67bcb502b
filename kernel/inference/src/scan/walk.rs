//! Follows values through graphs, subgraphs and calls of functions, and refuses the nodes for which
//! the values matter: integer divisions that may overflow, other values by which the library ends
//! the process, and a Dropout that may train.

use std::collections::BTreeMap;

use crate::scan::{
    fault::{ScanFault, Surroundings},
    proto::{FunctionProto, GraphProto, ModelProto, NodeProto, PortProto, elem},
    rules::described,
    values::{self, Known},
};

/// Nodes that are followed, calls of functions unfolded; real models have some thousands.
const NODES_MAX: u32 = 2_000_000;
/// Calls of functions inside each other.
const CALLS_MAX: usize = 32;

const CURE: &str = "divide as float, by a constant other than -1, or by what Clip or Max keeps \
                    above 0";

/// Values by name: those of a graph, then those around it.
type Scopes<'a> = Vec<BTreeMap<&'a [u8], Known>>;

struct ValueWalk<'m, 'a> {
    functions: &'m [FunctionProto<'a>],
    surroundings: Surroundings,
    nodes: u32,
    calls: usize,
}

/// Follows the values of a model.
pub(super) fn check(model: &ModelProto<'_>, surroundings: Surroundings) -> Result<(), ScanFault> {
    let mut walk = ValueWalk { functions: &model.functions, surroundings, nodes: 0, calls: 0 };
    walk.graph(&model.graph, &[], &mut Vec::new()).map(drop)
}

impl<'m, 'a> ValueWalk<'m, 'a> {
    /// Gives what is known of the outputs. `given` are the inputs, where the caller knows them.
    fn graph(
        &mut self,
        graph: &'m GraphProto<'a>,
        given: &[Option<Known>],
        scopes: &mut Scopes<'a>,
    ) -> Result<Vec<Known>, ScanFault> {
        let mut scope = BTreeMap::new();
        for (at, port) in graph.inputs.iter().enumerate() {
            let known = given.get(at).copied().flatten().and_then(|known| known.elem);
            scope.insert(port.name, Known::any(port.elem.or(known)));
        }
        for tensor in &graph.initializers {
            scope.insert(tensor.name, Known::of_tensor(tensor));
        }
        scopes.push(scope);
        self.nodes(&graph.nodes, &graph.between, scopes)?;
        let outputs = graph.outputs.iter().map(|port| {
            let known = known_of(scopes, port.name);
            Known { elem: known.elem.or(port.elem), ..known }
        });
        let outputs = outputs.collect();
        scopes.pop();
        Ok(outputs)
    }

    fn nodes(
        &mut self,
        nodes: &'m [NodeProto<'a>],
        declared: &[PortProto<'a>],
        scopes: &mut Scopes<'a>,
    ) -> Result<(), ScanFault> {
        let declared: BTreeMap<&[u8], Option<i64>> =
            declared.iter().map(|port| (port.name, port.elem)).collect();
        for node in nodes {
            self.nodes += 1;
            if self.nodes > NODES_MAX {
                return Err(ScanFault::Malformed("its functions unfold to millions of nodes"));
            }
            let inputs: Vec<Option<Known>> =
                (0..node.inputs.len()).map(|at| Some(known_of(scopes, node.input(at)?))).collect();
            refuse_training(node, &inputs)?;
            if self.surroundings == Surroundings::Kernel {
                refuse_ending(node, &inputs)?;
            }
            let known = self.outputs(node, &inputs, scopes)?;
            let Some(scope) = scopes.last_mut() else { unreachable!("a graph has a scope") };
            for (at, name) in node.outputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let found = known.get(at).or(known.last()).copied().unwrap_or(Known::any(None));
                let elem = found.elem.or(declared.get(name).copied().flatten());
                scope.insert(name, Known { elem, ..found });
            }
        }
        Ok(())
    }

    fn outputs(
        &mut self,
        node: &'m NodeProto<'a>,
        inputs: &[Option<Known>],
        scopes: &mut Scopes<'a>,
    ) -> Result<Vec<Known>, ScanFault> {
        let mut inner: Vec<Vec<Known>> = Vec::new();
        for graph in node.attributes.iter().flat_map(|attribute| &attribute.graphs) {
            inner.push(self.graph(graph, inputs, scopes)?);
        }
        if let Some(known) = self.call(node, inputs)? {
            return Ok(known);
        }
        match (node.operator, inner.first()) {
            (b"If", Some(then)) => {
                let or = |at: usize, one: Known| {
                    inner.iter().filter_map(|branch| branch.get(at)).fold(one, |a, b| a.or(*b))
                };
                Ok(then.iter().enumerate().map(|(at, one)| or(at, *one)).collect())
            }
            // The first output of a loop's body is its condition; values change in each round.
            (b"Loop", Some(body)) => {
                Ok(body.iter().skip(1).map(|known| Known::any(known.elem)).collect())
            }
            (_, Some(body)) => Ok(body.iter().map(|known| Known::any(known.elem)).collect()),
            (_, None) if standard(node.domain) => Ok(values::outputs(node, inputs)),
            // Nothing is known of what other operators give.
            (_, None) => Ok(vec![Known::any(foreign(node, inputs))]),
        }
    }

    /// Follows the body of a model's own function, if `node` calls one.
    fn call(
        &mut self,
        node: &NodeProto<'a>,
        inputs: &[Option<Known>],
    ) -> Result<Option<Vec<Known>>, ScanFault> {
        let functions = self.functions;
        let is_called = |function: &&FunctionProto<'_>| {
            (function.name, function.overload) == (node.operator, node.overload)
                && (function.domain == node.domain
                    || standard(function.domain) && standard(node.domain))
        };
        let Some(function) = functions.iter().find(is_called) else { return Ok(None) };
        if self.calls == CALLS_MAX {
            return Err(ScanFault::Malformed("its functions call each other too deep"));
        }
        self.calls += 1;
        let given = |at: usize| inputs.get(at).copied().flatten().unwrap_or(Known::any(None));
        let names = function.inputs.iter().enumerate();
        let mut scopes = vec![names.map(|(at, name)| (*name, given(at))).collect()];
        self.nodes(&function.nodes, &[], &mut scopes)?;
        self.calls -= 1;
        Ok(Some(function.outputs.iter().map(|name| known_of(&scopes, name)).collect()))
    }
}

fn known_of(scopes: &Scopes<'_>, name: &[u8]) -> Known {
    let found = scopes.iter().rev().find_map(|scope| scope.get(name).copied());
    found.unwrap_or(Known::any(None))
}

fn standard(domain: &[u8]) -> bool {
    domain.is_empty() || domain == b"ai.onnx"
}

/// The element type that an operator of another domain gives, where it is surely no integer.
fn foreign(node: &NodeProto<'_>, inputs: &[Option<Known>]) -> Option<i64> {
    const FLOATING: [&[u8]; 12] = [
        b"Gelu",
        b"FastGelu",
        b"BiasGelu",
        b"QuickGelu",
        b"LayerNormalization",
        b"SimplifiedLayerNormalization",
        b"SkipLayerNormalization",
        b"SkipSimplifiedLayerNormalization",
        b"FusedMatMul",
        b"MatMulNBits",
        b"Attention",
        b"RotaryEmbedding",
    ];
    let first = inputs.first().copied().flatten().and_then(|known| known.elem);
    FLOATING.contains(&node.operator).then_some(first.unwrap_or(elem::FLOAT))
}

/// Nodes that may end the process.
fn refuse_ending(node: &NodeProto<'_>, inputs: &[Option<Known>]) -> Result<(), ScanFault> {
    let input = |at: usize| inputs.get(at).copied().flatten();
    if let (b"Div" | b"Mod", Some(by)) = (node.operator, input(1)) {
        let divided = input(0).unwrap_or(Known::any(None));
        // With `fmod` the remainder is computed as float.
        let float =
            node.operator == b"Mod" && node.attribute(b"fmod").is_some_and(|mode| mode.number == 1);
        if divided.may_overflow(by) && !float {
            return Err(ScanFault::Ends {
                what: format!(
                    "{} of integers that may divide the smallest one by -1, which ends the process",
                    described(node)
                ),
                cure: CURE,
            });
        }
    }
    // Input 2 is the diagonal, which the library adds to an address; input 4 the length of a frame,
    // by which it divides.
    for (operator, at, at_least, what) in [
        (&b"Trilu"[..], 1, -(1_i64 << 62), "a diagonal that may be the smallest integer"),
        (b"STFT", 3, 1, "a frame length that may be 0"),
    ] {
        if node.operator == operator && input(at).is_some_and(|known| known.at_least < at_least) {
            return Err(ScanFault::Ends {
                what: format!("{} with {what}, which ends the process", described(node)),
                cure: "give it a constant, or what Clip or Max bounds",
            });
        }
    }
    Ok(())
}

/// A Dropout that may train.
fn refuse_training(node: &NodeProto<'_>, inputs: &[Option<Known>]) -> Result<(), ScanFault> {
    // Input 3 is `training_mode`.
    if let (b"Dropout", Some(mode)) = (node.operator, inputs.get(2).copied().flatten())
        && !mode.all_zero
    {
        let what = format!("{} whose training mode is not a constant false", described(node));
        return Err(ScanFault::without(what));
    }
    Ok(())
}
