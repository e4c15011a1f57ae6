//! A weight for each node. Exporters store equal tensors once and let several nodes read them; trained or pruned, they are
//! not equal any more.

use std::collections::HashSet;

use crate::Model;
use crate::graph::Fresh;
use crate::patch::{Pass, Patch};
use crate::shape::Facts;

/// Gives every input that reads a shared initialiser a copy of its own. Copies share memory until they change.
///
/// Small integers stay shared: nobody trains axes and shapes, and pruning writes them anew.
#[derive(Debug, Clone, Copy)]
pub struct SplitShared;

impl Pass for SplitShared {
    fn name(&self) -> &'static str {
        "split-shared"
    }

    fn propose(&self, model: &Model, _: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let index = graph.index();
        let mut fresh = Fresh::of(graph);
        let mut patch = Patch::default();
        let mut seen = HashSet::new();
        for (place, node) in graph.node.iter().enumerate() {
            for (slot, name) in node.input.iter().enumerate() {
                let Some(tensor) = index.constant(name).filter(|tensor| tensor.count().is_ok_and(|count| count > 1))
                else {
                    continue;
                };
                let in_body = index.consumers(name).iter().any(|usage| usage.slot.is_none());
                if tensor.i64s().is_ok() || in_body || index.is_output(name) || seen.insert(name.as_str()) {
                    continue;
                }
                let mut copy = tensor.clone();
                let own = fresh.name(name);
                copy.name = Some(own.clone());
                patch.set_initializer(copy);
                patch.connect(place, slot, &own);
            }
        }
        Ok(patch)
    }
}
