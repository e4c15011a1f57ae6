//! Changes to a graph. A pass *proposes* a [`Patch`]; the [driver](run) applies it to a copy, holds the result against the
//! rules, against the shapes there were and against what the caller demands, and only then takes it.

mod apply;
mod driver;

use std::collections::{BTreeMap, BTreeSet};

pub use driver::{Pass, PassError, Report, no_check, run};

use crate::onnx::{NodeProto, TensorProto};

/// A change to a graph, said in terms of the graph as it is. Empty means: nothing to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    /// What stands in the place of a node; nothing, if it goes.
    nodes: BTreeMap<usize, Vec<NodeProto>>,
    /// Values to be read from elsewhere by everybody.
    redirected: BTreeMap<String, String>,
    /// Values to be read from elsewhere by one input of one node.
    inputs: BTreeMap<(usize, usize), String>,
    /// Initialisers to be added or put in the place of others.
    initializers: BTreeMap<String, TensorProto>,
    removed_initializers: BTreeSet<String>,
}

impl Patch {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Removes the node at `place`. Someone else must make its outputs, or nobody use them.
    pub fn remove(&mut self, place: usize) {
        self.replace(place, Vec::new());
    }

    /// Puts `nodes` in the place of the node at `place`.
    pub fn replace(&mut self, place: usize, nodes: Vec<NodeProto>) {
        self.nodes.insert(place, nodes);
    }

    /// Whether the patch already changes the node at `place`.
    #[must_use]
    pub fn touches(&self, place: usize) -> bool {
        self.nodes.contains_key(&place) || self.inputs.range((place, 0)..=(place, usize::MAX)).next().is_some()
    }

    /// Lets everybody who uses `from` use `to`. Where the graph gives out `from`, the value keeps that name.
    pub fn redirect(&mut self, from: &str, to: &str) {
        self.redirected.insert(from.to_owned(), to.to_owned());
    }

    /// Lets input `slot` of the node at `place` read `to`.
    pub fn connect(&mut self, place: usize, slot: usize, to: &str) {
        self.inputs.insert((place, slot), to.to_owned());
    }

    /// Adds an initialiser, or puts it in the place of the one of its name.
    pub fn set_initializer(&mut self, tensor: TensorProto) {
        self.initializers.insert(tensor.name().to_owned(), tensor);
    }

    /// Removes an initialiser that nobody uses any more.
    pub fn remove_initializer(&mut self, name: &str) {
        self.removed_initializers.insert(name.to_owned());
    }
}
