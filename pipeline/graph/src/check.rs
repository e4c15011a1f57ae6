//! Holds a model against the rules of the ONNX format (onnx, docs/IR.md) and against what we can work with. All faults are
//! told at once.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::graph::Cycle;
use crate::model::OPSETS;
use crate::node::is_standard;
use crate::onnx::{GraphProto, ModelProto, TensorProto};
use crate::tensor::TensorError;

/// Bodies within bodies that we follow.
const MAX_DEPTH: usize = 16;

/// One fault of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no graph: an empty file decodes to that.
    #[error("found no graph; is this an ONNX model, and is it whole?")]
    NoGraph,
    /// The operator set is not declared.
    #[error("found no version of ONNX's operator set, expected {} to {}", OPSETS.start(), OPSETS.end())]
    NoOpset,
    /// The operator set is not one we know.
    #[error("found operator set {found}, expected {} to {}; convert or export the model anew", OPSETS.start(), OPSETS.end())]
    Opset {
        /// Its version.
        found: i64,
    },
    /// A node has no operator.
    #[error("node {place} has no operator")]
    NoOperator {
        /// Its place in the graph.
        place: usize,
    },
    /// A name is given twice.
    #[error("value '{name}' is made twice: by {first} and by {second}")]
    Duplicate {
        /// The name.
        name: String,
        /// Who makes it.
        first: String,
        /// Who makes it too.
        second: String,
    },
    /// A node uses what nobody makes.
    #[error("{node} uses '{name}', which is no input, no initialiser and no node's output")]
    Missing {
        /// The node.
        node: String,
        /// The value.
        name: String,
    },
    /// The graph gives out what nobody makes.
    #[error("the graph gives out '{0}', which is no input, no initialiser and no node's output")]
    MissingOutput(String),
    /// A value that needs a name has none.
    #[error("{0} has no name")]
    Nameless(&'static str),
    /// An initialiser's elements are not what it says.
    #[error("initialiser '{name}': {fault}")]
    Tensor {
        /// The initialiser.
        name: String,
        /// What is wrong with it.
        fault: TensorError,
    },
    /// Nodes wait for one another.
    #[error(transparent)]
    Cycle(Cycle),
    /// Bodies within bodies.
    #[error("{node} holds more than {MAX_DEPTH} graphs within graphs")]
    Depth {
        /// The node.
        node: String,
    },
}

/// All faults of a model, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckErrors(Vec<Fault>);

impl CheckErrors {
    /// The faults.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

impl From<Fault> for CheckErrors {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl std::error::Error for CheckErrors {}

impl fmt::Display for CheckErrors {
    /// The first few; who has thousands of faults has one cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (place, fault) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{fault}", if place == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Checks a whole model.
///
/// # Errors
/// All faults.
pub fn model(model: &ModelProto) -> Result<(), CheckErrors> {
    let Some(inside) = &model.graph else { return Err(Fault::NoGraph.into()) };
    let mut faults = Vec::new();
    match model.opset_import.iter().find(|set| is_standard(set.domain())) {
        None => faults.push(Fault::NoOpset),
        Some(set) if !OPSETS.contains(&set.version()) => faults.push(Fault::Opset { found: set.version() }),
        Some(_) => {}
    }
    faults.extend(graph(inside).err().map(|errors| errors.0).unwrap_or_default());
    if faults.is_empty() { Ok(()) } else { Err(CheckErrors(faults)) }
}

/// Checks a graph and the bodies in it.
///
/// # Errors
/// All faults.
pub fn graph(graph: &GraphProto) -> Result<(), CheckErrors> {
    let mut faults = Vec::new();
    scope(graph, &HashSet::new(), 0, &mut faults);
    if faults.is_empty()
        && let Err(cycle) = graph.topological_order()
    {
        faults.push(Fault::Cycle(cycle));
    }
    if faults.is_empty() { Ok(()) } else { Err(CheckErrors(faults)) }
}

/// `outside`: names that the graphs around this one know.
fn scope(graph: &GraphProto, outside: &HashSet<&str>, depth: usize, faults: &mut Vec<Fault>) {
    let known = makers(graph, faults);
    for tensor in &graph.initializer {
        if let Err(fault) = tensor.check() {
            faults.push(Fault::Tensor { name: tensor.name().to_owned(), fault });
        }
    }
    let visible = |name: &str| known.contains_key(name) || outside.contains(name);
    for (place, node) in graph.node.iter().enumerate() {
        if node.op_type().is_empty() {
            faults.push(Fault::NoOperator { place });
        }
        let missing = node.input.iter().filter(|name| !name.is_empty() && !visible(name));
        faults.extend(missing.map(|name| Fault::Missing { node: node.label(), name: name.clone() }));
        if depth == MAX_DEPTH && node.subgraphs().next().is_some() {
            faults.push(Fault::Depth { node: node.label() });
            continue;
        }
        for body in node.subgraphs() {
            let around: HashSet<&str> = outside.iter().copied().chain(known.keys().copied()).collect();
            scope(body, &around, depth + 1, faults);
        }
    }
    let missing = graph.output.iter().filter(|output| !visible(output.name()));
    faults.extend(missing.map(|output| Fault::MissingOutput(output.name().to_owned())));
}

/// Who makes which value. An initialiser may have the name of an input: it is the input's default.
fn makers<'a>(graph: &'a GraphProto, faults: &mut Vec<Fault>) -> HashMap<&'a str, String> {
    let mut known: HashMap<&str, String> = HashMap::new();
    let mut add = |name: &'a str, maker: String| match known.insert(name, maker) {
        Some(first) => {
            let second = known.get(name).cloned().unwrap_or_default();
            faults.push(Fault::Duplicate { name: name.to_owned(), first, second });
        }
        None if name.is_empty() => faults.push(Fault::Nameless("an input or initialiser of the graph")),
        None => {}
    };
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    for tensor in graph.initializer.iter().chain(sparse) {
        add(tensor.name(), "an initialiser".to_owned());
    }
    let defaults: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    for input in graph.input.iter().filter(|input| !defaults.contains(input.name())) {
        add(input.name(), "the graph's inputs".to_owned());
    }
    for node in &graph.node {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            add(name, node.label());
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{AttributeProto, NodeProto, OperatorSetIdProto, ValueInfoProto};

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.to_owned()), ..Default::default() }
    }

    fn relu() -> GraphProto {
        GraphProto {
            node: vec![NodeProto::new("Relu", "r", &["x"], &["y"])],
            input: vec![value("x")],
            output: vec![value("y")],
            ..Default::default()
        }
    }

    fn opset(version: i64) -> Vec<OperatorSetIdProto> {
        vec![OperatorSetIdProto { domain: None, version: Some(version) }]
    }

    #[test]
    fn an_operator_set_we_do_not_know_is_refused() {
        let proto = |opset_import| ModelProto { opset_import, graph: Some(relu()), ..Default::default() };
        assert!(model(&proto(opset(13))).is_ok());
        assert_eq!(model(&proto(opset(12))).unwrap_err().faults(), [Fault::Opset { found: 12 }]);
        assert_eq!(model(&proto(opset(22))).unwrap_err().faults(), [Fault::Opset { found: 22 }]);
        assert_eq!(model(&proto(vec![])).unwrap_err().faults(), [Fault::NoOpset]);
        assert_eq!(model(&ModelProto::default()).unwrap_err().faults(), [Fault::NoGraph]);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut broken = relu();
        broken.node.push(NodeProto::new("Add", "a", &["x", "gone"], &["y"]));
        broken.output.push(value("nowhere"));
        broken.initializer.push(TensorProto { dims: vec![4], ..TensorProto::from_f32("w", &[1], &[0.0]) });
        let told = graph(&broken).unwrap_err().to_string();
        for part in [
            "value 'y' is made twice: by Relu 'r' and by Add 'a'",
            "Add 'a' uses 'gone'",
            "gives out 'nowhere'",
            "initialiser 'w': found 4 bytes for dimensions [4] of FLOAT, expected 16",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn graphs_within_graphs_end_somewhere() {
        let mut deep = relu();
        for _ in 0..=MAX_DEPTH {
            let mut node = NodeProto::new("If", "if", &["x"], &["y"]);
            let mut body = std::mem::take(&mut deep);
            body.input.clear();
            node.attribute.push(AttributeProto { g: Some(body), ..Default::default() });
            deep = GraphProto {
                node: vec![node],
                input: vec![value("x")],
                output: vec![value("y")],
                ..Default::default()
            };
        }
        let errors = graph(&deep).unwrap_err();
        assert_eq!(errors.faults(), [Fault::Depth { node: "If 'if'".to_owned() }]);
    }

    #[test]
    fn a_body_may_use_what_is_around_it() {
        let mut outer = relu();
        let body = GraphProto {
            node: vec![NodeProto::new("Relu", "inner", &["x"], &["z"])],
            output: vec![value("z")],
            ..Default::default()
        };
        let mut node = NodeProto::new("If", "if", &["x"], &["w"]);
        node.attribute.push(AttributeProto { g: Some(body), ..Default::default() });
        outer.node.push(node);
        assert!(graph(&outer).is_ok());
    }

    #[test]
    fn an_initialiser_may_be_the_default_of_an_input() {
        let mut graph_ = relu();
        graph_.initializer.push(TensorProto::from_f32("x", &[1], &[0.0]));
        assert!(graph(&graph_).is_ok());
    }
}
