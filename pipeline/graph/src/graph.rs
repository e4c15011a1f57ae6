//! Who makes a value and who uses it, the order of nodes, and names nobody has.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Where names lead in a graph that does not change meanwhile.
#[derive(Debug)]
pub struct Index<'a> {
    graph: &'a GraphProto,
    producers: HashMap<&'a str, (usize, usize)>,
    consumers: HashMap<&'a str, Vec<Use>>,
    initializers: HashMap<&'a str, usize>,
    inputs: HashMap<&'a str, &'a ValueInfoProto>,
    outputs: HashMap<&'a str, &'a ValueInfoProto>,
}

/// One use of a value by a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The node's place in the graph.
    pub node: usize,
    /// Which of its inputs; `None` if a body of the node reads the value from outside.
    pub slot: Option<usize>,
}

/// Nodes that wait for one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the graph runs in a circle through {}", .0.join(", "))]
pub struct Cycle(
    /// Labels of nodes on or behind the circle, at most eight.
    pub Vec<String>,
);

impl GraphProto {
    /// The index of this graph.
    #[must_use]
    pub fn index(&self) -> Index<'_> {
        Index::of(self)
    }

    /// The initialiser called `name`. Takes a look at each; use [`Index`] for many.
    #[must_use]
    pub fn initializer_named(&self, name: &str) -> Option<&TensorProto> {
        self.initializer.iter().find(|tensor| tensor.name() == name)
    }

    /// Adds an initialiser, or puts it in place of the one of that name.
    pub fn set_initializer(&mut self, tensor: TensorProto) {
        match self.initializer.iter_mut().find(|there| there.name() == tensor.name()) {
            Some(there) => *there = tensor,
            None => self.initializer.push(tensor),
        }
    }

    /// Places of the nodes such that each comes after those whose values it uses; as near to the present order as that
    /// allows.
    ///
    /// # Errors
    /// There is none.
    pub fn topological_order(&self) -> Result<Vec<usize>, Cycle> {
        let index = self.index();
        let mut waits: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.node.len()];
        let mut wakes: Vec<Vec<usize>> = vec![Vec::new(); self.node.len()];
        for (&name, &(producer, _)) in &index.producers {
            for consumer in index.consumers(name) {
                if waits[consumer.node].insert(producer) {
                    wakes[producer].push(consumer.node);
                }
            }
        }
        let mut ready: BTreeSet<usize> = (0..self.node.len()).filter(|&node| waits[node].is_empty()).collect();
        let mut order = Vec::with_capacity(self.node.len());
        while let Some(node) = ready.pop_first() {
            order.push(node);
            for &woken in &wakes[node] {
                waits[woken].remove(&node);
                if waits[woken].is_empty() {
                    ready.insert(woken);
                }
            }
        }
        if order.len() == self.node.len() {
            return Ok(order);
        }
        let stuck = (0..self.node.len()).filter(|&node| !waits[node].is_empty());
        Err(Cycle(stuck.take(8).map(|node| self.node[node].label()).collect()))
    }

    /// Puts the nodes in [topological order](Self::topological_order).
    ///
    /// # Errors
    /// There is none; nothing has changed then.
    pub fn sort(&mut self) -> Result<(), Cycle> {
        let order = self.topological_order()?;
        if !order.is_sorted() {
            let mut nodes: Vec<_> = std::mem::take(&mut self.node).into_iter().map(Some).collect();
            self.node = order.into_iter().filter_map(|node| nodes[node].take()).collect();
        }
        Ok(())
    }
}

impl<'a> Index<'a> {
    /// Of names that occur twice the last one counts; [`crate::check`] refuses such graphs.
    fn of(graph: &'a GraphProto) -> Self {
        let mut index = Self {
            graph,
            producers: HashMap::new(),
            consumers: HashMap::new(),
            initializers: graph.initializer.iter().enumerate().map(|(at, tensor)| (tensor.name(), at)).collect(),
            inputs: graph.input.iter().map(|value| (value.name(), value)).collect(),
            outputs: graph.output.iter().map(|value| (value.name(), value)).collect(),
        };
        for (place, node) in graph.node.iter().enumerate() {
            for (slot, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                index.producers.insert(name, (place, slot));
            }
            for (slot, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                index.consumers.entry(name).or_default().push(Use { node: place, slot: Some(slot) });
            }
            for name in node.subgraphs().flat_map(captured) {
                index.consumers.entry(name).or_default().push(Use { node: place, slot: None });
            }
        }
        index
    }

    /// Place of the node that makes `value`, and which of its outputs it is.
    #[must_use]
    pub fn producer(&self, value: &str) -> Option<(usize, usize)> {
        self.producers.get(value).copied()
    }

    /// The node at a place.
    #[must_use]
    pub fn node(&self, place: usize) -> Option<&'a NodeProto> {
        self.graph.node.get(place)
    }

    /// The node that makes `value`.
    #[must_use]
    pub fn producing_node(&self, value: &str) -> Option<&'a NodeProto> {
        self.producer(value).and_then(|(node, _)| self.graph.node.get(node))
    }

    /// All uses by nodes, in order.
    #[must_use]
    pub fn consumers(&self, value: &str) -> &[Use] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The place of the one node that uses `value`, if there is one, it uses it once, and the graph does not give it out.
    #[must_use]
    pub fn only_consumer(&self, value: &str) -> Option<usize> {
        match self.consumers(value) {
            [Use { node, slot: Some(_) }] if !self.is_output(value) => Some(*node),
            _ => None,
        }
    }

    /// The initialiser called `name`, unless the graph's user may override it.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<&'a TensorProto> {
        if self.inputs.contains_key(name) { None } else { self.initializer(name) }
    }

    /// The initialiser called `name`.
    #[must_use]
    pub fn initializer(&self, name: &str) -> Option<&'a TensorProto> {
        self.initializers.get(name).and_then(|&at| self.graph.initializer.get(at))
    }

    /// Whether the graph takes a value of that name.
    #[must_use]
    pub fn is_input(&self, name: &str) -> bool {
        self.inputs.contains_key(name)
    }

    /// Whether the graph gives out a value of that name.
    #[must_use]
    pub fn is_output(&self, name: &str) -> bool {
        self.outputs.contains_key(name)
    }
}

/// Names that a body reads from the graph around it.
pub(crate) fn captured(body: &GraphProto) -> BTreeSet<&str> {
    let mut inside: HashSet<&str> = body.input.iter().map(ValueInfoProto::name).collect();
    inside.extend(body.initializer.iter().map(TensorProto::name));
    inside.extend(body.node.iter().flat_map(|node| &node.output).map(String::as_str));
    let outputs = body.output.iter().map(ValueInfoProto::name);
    let inputs = body.node.iter().flat_map(|node| &node.input).map(String::as_str);
    let deeper = body.node.iter().flat_map(NodeProto::subgraphs).flat_map(captured);
    outputs.chain(inputs).chain(deeper).filter(|name| !name.is_empty() && !inside.contains(name)).collect()
}

/// Gives names that nothing in a graph has, the same ones each time.
#[derive(Debug, Clone)]
pub struct Fresh {
    taken: HashSet<String>,
}

impl Fresh {
    /// Knows all names of values and nodes in `graph` and its bodies.
    #[must_use]
    pub fn of(graph: &GraphProto) -> Self {
        let mut fresh = Self { taken: HashSet::new() };
        fresh.learn(graph);
        fresh
    }

    /// `base` if it is free, else `base_1` and so on.
    pub fn name(&mut self, base: &str) -> String {
        let numbered = (1..).map(|number| format!("{base}_{number}"));
        let mut names = std::iter::once(base.to_owned()).chain(numbered);
        let name = names.find(|name| !name.is_empty() && !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    fn learn(&mut self, graph: &GraphProto) {
        let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(ValueInfoProto::name);
        self.taken.extend(values.chain(graph.initializer.iter().map(TensorProto::name)).map(str::to_owned));
        for node in &graph.node {
            self.taken.extend(node.input.iter().chain(&node.output).cloned());
            self.taken.insert(node.name().to_owned());
            node.subgraphs().for_each(|body| self.learn(body));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> GraphProto {
        GraphProto {
            node: vec![
                NodeProto::new("Relu", "second", &["b"], &["c"]),
                NodeProto::new("Relu", "first", &["a"], &["b"]),
                NodeProto::new("Relu", "other", &["a"], &["d"]),
            ],
            ..GraphProto::default()
        }
    }

    #[test]
    fn sorting_moves_only_what_it_must() {
        let mut graph = chain();
        graph.sort().unwrap();
        let names: Vec<_> = graph.node.iter().map(NodeProto::name).collect();
        assert_eq!(names, ["first", "second", "other"]);
    }

    #[test]
    fn a_circle_is_told_with_its_nodes() {
        let mut graph = chain();
        graph.node[1].input[0] = "c".to_owned();
        let told = graph.sort().unwrap_err().to_string();
        assert_eq!(told, "the graph runs in a circle through Relu 'second', Relu 'first'");
        assert_eq!(graph.node.len(), 3, "nothing is lost");
    }

    #[test]
    fn what_a_body_reads_from_outside_is_a_use() {
        let mut graph = chain();
        let body = GraphProto { node: vec![NodeProto::new("Relu", "", &["d"], &["e"])], ..GraphProto::default() };
        let attribute = crate::onnx::AttributeProto { g: Some(body), ..Default::default() };
        graph.node[0].attribute.push(attribute);
        assert_eq!(graph.index().consumers("d"), [Use { node: 0, slot: None }]);
        assert_eq!(graph.index().only_consumer("d"), None);
        assert_eq!(graph.topological_order().unwrap(), [1, 2, 0]);
    }

    #[test]
    fn fresh_names_are_free_and_the_same_each_time() {
        let mut fresh = Fresh::of(&chain());
        assert_eq!([fresh.name("b"), fresh.name("b"), fresh.name("z")], ["b_1", "b_2", "z"]);
    }
}
