//! What nobody uses goes: nodes whose outputs lead nowhere, and initialisers.

use std::collections::HashSet;

use crate::Model;
use crate::graph::captured;
use crate::onnx::ValueInfoProto;
use crate::patch::{Pass, Patch};
use crate::shape::Facts;

/// Removes nodes and initialisers that no output of the graph depends on.
#[derive(Debug, Clone, Copy)]
pub struct RemoveDead;

impl Pass for RemoveDead {
    fn name(&self) -> &'static str {
        "remove-dead"
    }

    fn propose(&self, model: &Model, _: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let mut used: HashSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
        let mut patch = Patch::default();
        // Nodes stand in topological order, so whoever uses a value is seen before who makes it.
        for (place, node) in graph.node.iter().enumerate().rev() {
            if node.output.iter().any(|output| used.contains(output.as_str())) {
                used.extend(node.input.iter().map(String::as_str));
                used.extend(node.subgraphs().flat_map(captured));
            } else {
                patch.remove(place);
            }
        }
        // An initialiser that is an input's default belongs to the model's face.
        used.extend(graph.input.iter().map(ValueInfoProto::name));
        for tensor in graph.initializer.iter().filter(|tensor| !used.contains(tensor.name())) {
            patch.remove_initializer(tensor.name());
        }
        Ok(patch)
    }
}
