//! Follows values through graphs, subgraphs and calls of functions, and refuses the nodes for which
//! the values matter: integer divisions that may overflow, other values by which the library ends
//! the process, and a Dropout that may train. On the way it counts what the library would do to
//! load the model, which a small file can make more than anyone waits for.

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
/// Calls of functions in all: the library unfolds them in a time that grows with their square, and
/// takes seconds for these.
const UNFOLDED_MAX: u32 = 16_384;
/// Nodes in graphs inside others, each as often as the library looks at it, which is twice as often
/// for every graph around it; it takes seconds for these. Real models have some thousands.
const REPEATED_MAX: u64 = 1 << 17;

const CURE: &str = "divide as float, by a constant other than -1, or by what Clip or Max keeps \
                    above 0";

/// Values by name: those of a graph, then those around it.
type Scopes<'a> = Vec<BTreeMap<&'a [u8], Known>>;

struct ValueWalk<'m, 'a> {
    functions: &'m [FunctionProto<'a>],
    surroundings: Surroundings,
    nodes: u32,
    /// Nodes inside other graphs, counted as [`REPEATED_MAX`] says.
    repeated: u64,
    /// Graphs around the one that is followed, through calls too.
    around: u32,
    calls: usize,
    /// Calls until now.
    unfolded: u32,
}

/// Follows the values of a model.
pub(super) fn check(model: &ModelProto<'_>, surroundings: Surroundings) -> Result<(), ScanFault> {
    let mut walk = ValueWalk {
        functions: &model.functions,
        surroundings,
        nodes: 0,
        repeated: 0,
        around: 0,
        calls: 0,
        unfolded: 0,
    };
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
            self.count_node()?;
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

    fn count_node(&mut self) -> Result<(), ScanFault> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(ScanFault::Malformed("its functions unfold to millions of nodes"));
        }
        if self.around > 0 {
            let times = 1_u64.checked_shl(self.around).unwrap_or(u64::MAX);
            self.repeated = self.repeated.saturating_add(times);
        }
        if self.repeated > REPEATED_MAX {
            let what = "its graphs lie so deep inside each other that loading it would never end";
            return Err(ScanFault::Malformed(what));
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
            self.around += 1;
            inner.push(self.graph(graph, inputs, scopes)?);
            self.around -= 1;
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
        self.unfolded += 1;
        if self.unfolded > UNFOLDED_MAX {
            return Err(ScanFault::Malformed("its functions unfold to more than 16,384 calls"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::proto::AttributeProto;

    fn node<'a>(operator: &'a [u8], inside: Option<GraphProto<'a>>) -> NodeProto<'a> {
        let attribute = |graph| AttributeProto { graphs: vec![graph], ..AttributeProto::default() };
        let attributes = inside.map(attribute).into_iter().collect();
        NodeProto { operator, attributes, ..NodeProto::default() }
    }

    fn graph(nodes: Vec<NodeProto<'_>>) -> GraphProto<'_> {
        GraphProto { nodes, ..GraphProto::default() }
    }

    fn checked(
        nodes: Vec<NodeProto<'_>>,
        functions: Vec<FunctionProto<'_>>,
    ) -> Option<&'static str> {
        let model = ModelProto { graph: graph(nodes), functions, ..ModelProto::default() };
        match check(&model, Surroundings::Own) {
            Ok(()) => None,
            Err(ScanFault::Malformed(words)) => Some(words),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// `width` nodes inside `depth` graphs, one in the other.
    fn nested(depth: u32, width: usize) -> NodeProto<'static> {
        let mut inner = graph((0..width).map(|_| node(b"Neg", None)).collect());
        for _ in 1..depth {
            inner = graph(vec![node(b"If", Some(inner))]);
        }
        node(b"If", Some(inner))
    }

    #[test]
    fn graphs_inside_each_other_are_bounded_by_what_loading_them_takes() {
        // One speech detector has four levels.
        assert_eq!(checked(vec![nested(4, 1_000)], Vec::new()), None);
        assert_eq!(checked(vec![nested(15, 1)], Vec::new()), None);
        for (depth, width) in [(17, 1), (20, 1), (63, 1), (64, 1), (70, 1), (8, 1_000)] {
            let words = checked(vec![nested(depth, width)], Vec::new()).expect("too deep");
            assert!(words.contains("so deep inside each other"), "{depth}, {width}: {words}");
        }
        // A call inside a graph counts as what it unfolds to.
        let body =
            || FunctionProto { name: b"F", nodes: vec![nested(9, 1)], ..FunctionProto::default() };
        let inside = |depth: u32| {
            let mut call = node(b"F", None);
            for _ in 0..depth {
                call = node(b"If", Some(graph(vec![call])));
            }
            call
        };
        assert_eq!(checked(vec![inside(1)], vec![body()]), None);
        assert!(checked(vec![inside(9)], vec![body()]).is_some());
    }

    #[test]
    fn functions_that_call_each_other_twice_are_bounded_by_their_calls() {
        const NAMES: [&[u8]; 15] = [
            b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"a", b"b", b"c", b"d",
            b"e",
        ];
        let functions = |depth: usize| {
            let made = (0..depth).map(|at| FunctionProto {
                name: NAMES[at],
                nodes: match NAMES[..depth].get(at + 1) {
                    Some(next) => vec![node(next, None), node(next, None)],
                    None => vec![node(b"Neg", None)],
                },
                ..FunctionProto::default()
            });
            made.collect::<Vec<_>>()
        };
        assert_eq!(checked(vec![node(b"0", None)], functions(13)), None);
        let words = checked(vec![node(b"0", None)], functions(15)).expect("too many");
        assert!(words.contains("more than 16,384 calls"), "{words}");
    }
}
