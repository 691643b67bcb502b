//! What takes the library out of all proportion to load: graphs inside graphs, and functions that
//! unfold to far more than the file holds.
//!
//! Measured with ONNX Runtime 1.28.0. `If` inside `If`: loading doubles with each level (12 levels
//! 0.2 s, 16 levels 2 to 3 s, 18 levels 12 s), and of 2,065 real models none has more than 4.
//! Functions that call each other twice: 8,192 calls 1 s, 16,384 calls 2.4 s, and twice as long
//! with each function more, which is 60 bytes.

use std::collections::BTreeMap;

use crate::scan::{
    fault::ScanFault,
    proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto},
};

/// Levels of graphs inside graphs.
const LEVELS_MAX: u32 = 12;
/// Calls of a model's functions, unfolded.
const CALLS_MAX: u64 = 10_000;
/// Nodes in them, unfolded.
const NODES_MAX: u64 = 100_000;
/// Functions that call each other, one inside another.
const CHAIN_MAX: u32 = 32;

/// How large something is when its calls are unfolded; numbers that overflow stay the largest.
#[derive(Clone, Copy, Default)]
struct Unfolded {
    calls: u64,
    /// In functions only.
    nodes: u64,
    levels: u32,
}

impl Unfolded {
    fn with(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            nodes: self.nodes.saturating_add(other.nodes),
            levels: self.levels.max(other.levels),
        }
    }
}

/// Domain, name and overload of a function, as calls name it.
type FunctionKey<'a> = (&'a [u8], &'a [u8], &'a [u8]);

struct UnfoldedSizes<'m, 'a> {
    functions: BTreeMap<FunctionKey<'a>, &'m FunctionProto<'a>>,
    known: BTreeMap<FunctionKey<'a>, Unfolded>,
    chain: u32,
}

/// Refuses a model that takes too long to load.
pub(super) fn check(model: &ModelProto<'_>) -> Result<(), ScanFault> {
    let mut functions = BTreeMap::new();
    for function in &model.functions {
        let key = key(function.domain, function.name, function.overload);
        functions.entry(key).or_insert(function);
    }
    let mut sizes = UnfoldedSizes { functions, known: BTreeMap::new(), chain: 0 };
    let mut all = sizes.graph(&model.graph)?;
    for function in &model.functions {
        // One that nobody calls takes no time but for what is nested in it.
        let nodes = sizes.nodes(&function.nodes)?;
        let defaults = sizes.inner(&function.defaults)?;
        all.levels = all.levels.max(nodes.levels).max(defaults.levels);
    }
    if all.levels > LEVELS_MAX {
        return Err(ScanFault::Refused {
            what: format!(
                "graphs inside graphs, {} levels of them: each doubles the time that loading takes",
                all.levels
            ),
            cure: "export it with at most 12 levels",
        });
    }
    if all.calls > CALLS_MAX || all.nodes > NODES_MAX {
        let Unfolded { calls, nodes, .. } = all;
        return Err(ScanFault::Refused {
            what: format!(
                "functions that unfold to {calls} calls and {nodes} nodes, more than {CALLS_MAX} \
                 and {NODES_MAX}"
            ),
            cure: "export it without functions",
        });
    }
    Ok(())
}

fn key<'a>(domain: &'a [u8], name: &'a [u8], overload: &'a [u8]) -> FunctionKey<'a> {
    let domain = if domain == b"ai.onnx" { b"" } else { domain };
    (domain, name, overload)
}

impl<'m, 'a> UnfoldedSizes<'m, 'a> {
    fn graph(&mut self, graph: &'m GraphProto<'a>) -> Result<Unfolded, ScanFault> {
        self.nodes(&graph.nodes)
    }

    fn nodes(&mut self, nodes: &'m [NodeProto<'a>]) -> Result<Unfolded, ScanFault> {
        let mut all = Unfolded::default();
        for node in nodes {
            all = all.with(self.inner(&node.attributes)?).with(self.call(node)?);
        }
        Ok(all)
    }

    /// The graphs in attributes.
    fn inner(&mut self, attributes: &'m [AttributeProto<'a>]) -> Result<Unfolded, ScanFault> {
        let mut all = Unfolded::default();
        for graph in attributes.iter().flat_map(|attribute| &attribute.graphs) {
            let graph = self.graph(graph)?;
            all = all.with(Unfolded { levels: graph.levels + 1, ..graph });
        }
        Ok(all)
    }

    fn call(&mut self, node: &NodeProto<'a>) -> Result<Unfolded, ScanFault> {
        let key = key(node.domain, node.operator, node.overload);
        let Some(&function) = self.functions.get(&key) else { return Ok(Unfolded::default()) };
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        if self.chain == CHAIN_MAX {
            return Err(ScanFault::Malformed("its functions call each other too deep"));
        }
        self.chain += 1;
        let body = self.nodes(&function.nodes)?;
        self.chain -= 1;
        let own = Unfolded { calls: 1, nodes: node_count(&function.nodes), levels: 0 };
        let unfolded = body.with(own);
        self.known.insert(key, unfolded);
        Ok(unfolded)
    }
}

/// Nodes with those of their subgraphs, calls not unfolded.
fn node_count(nodes: &[NodeProto<'_>]) -> u64 {
    let inner = |node: &NodeProto<'_>| -> u64 {
        let graphs = node.attributes.iter().flat_map(|attribute| &attribute.graphs);
        1 + graphs.map(|graph| node_count(&graph.nodes)).sum::<u64>()
    };
    nodes.iter().map(inner).sum()
}
