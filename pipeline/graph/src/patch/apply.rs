//! Carries a patch out, without judging it.

use std::collections::{BTreeMap, HashSet};

use super::Patch;
use crate::onnx::{GraphProto, NodeProto};

impl Patch {
    /// Changes `graph` as the patch says.
    pub(super) fn apply(self, graph: &mut GraphProto) {
        for ((place, slot), to) in self.inputs {
            if let Some(input) = graph.node.get_mut(place).and_then(|node| node.input.get_mut(slot)) {
                *input = to;
            }
        }
        let mut replaced = self.nodes;
        let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
        graph.node = nodes.flat_map(|(place, node)| replaced.remove(&place).unwrap_or_else(|| vec![node])).collect();
        redirect(graph, &self.redirected);
        graph.initializer.retain(|tensor| !self.removed_initializers.contains(tensor.name()));
        for tensor in self.initializers.into_values() {
            graph.set_initializer(tensor);
        }
        forget_lost_values(graph);
    }
}

fn redirect(graph: &mut GraphProto, redirected: &BTreeMap<String, String>) {
    if redirected.is_empty() {
        return;
    }
    // Follows chains; a circle of redirections ends after as many steps as there are.
    let end = |name: &str| {
        let mut end = name;
        for _ in 0..redirected.len() {
            end = redirected.get(end).map_or(end, String::as_str);
        }
        end.to_owned()
    };
    let mut renamed: BTreeMap<String, String> = redirected.keys().map(|from| (from.clone(), end(from))).collect();
    // What the graph gives out keeps its name: the value that takes its place is renamed.
    let outputs: Vec<_> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    for output in outputs {
        if let Some(to) = renamed.get(&output).cloned() {
            for target in renamed.values_mut().filter(|target| **target == to) {
                target.clone_from(&output);
            }
            renamed.remove(&output);
            renamed.insert(to, output);
        }
    }
    rename(graph, &renamed);
}

/// Renames values wherever they are named, in bodies too.
fn rename(graph: &mut GraphProto, renamed: &BTreeMap<String, String>) {
    let change = |name: &mut String| {
        if let Some(to) = renamed.get(name) {
            name.clone_from(to);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(change);
        let attributes = node.attribute.iter_mut();
        attributes.flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs)).for_each(|body| {
            rename(body, renamed);
            body.output.iter_mut().filter_map(|output| output.name.as_mut()).for_each(change);
        });
    }
}

/// Removes declarations of values that are no more, and the later of two for the same value.
fn forget_lost_values(graph: &mut GraphProto) {
    let made: HashSet<&str> = graph.node.iter().flat_map(|node: &NodeProto| &node.output).map(String::as_str).collect();
    let mut seen = HashSet::new();
    graph.value_info.retain(|value| made.contains(value.name()) && seen.insert(value.name().to_owned()));
}
