//! `Identity` and inactive `Dropout` go; who used their output uses their input.

use crate::onnx::NodeProto;
use crate::patch::{Pass, Patch};
use crate::shape::Facts;
use crate::{Index, Model};

/// Removes `Identity`, and `Dropout` outside training mode.
#[derive(Debug, Clone, Copy)]
pub struct RemoveIdentity;

impl Pass for RemoveIdentity {
    fn name(&self) -> &'static str {
        "remove-identity"
    }

    fn propose(&self, model: &Model, facts: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let index = graph.index();
        let mut patch = Patch::default();
        for (place, node) in graph.node.iter().enumerate() {
            let (Some(from), Some(to)) = (node.output_name(0), node.input_name(0)) else { continue };
            if does_nothing(node, &index, facts) && may_go(&index, from, to) {
                patch.remove(place);
                patch.redirect(from, to);
                if index.is_output(from) {
                    // Two renamed values at a time could want each other's names.
                    return Ok(patch);
                }
            }
        }
        Ok(patch)
    }
}

fn does_nothing(node: &NodeProto, index: &Index<'_>, facts: &Facts) -> bool {
    if node.is("Identity") {
        return true;
    }
    let unused =
        |slot| node.output_name(slot).is_none_or(|name| index.consumers(name).is_empty() && !index.is_output(name));
    let inactive = node.input_name(2).is_none_or(|mode| match index.constant(mode) {
        Some(mode) => mode.i64s().is_ok_and(|mode| mode == [0]),
        None => facts.get(mode).integers() == Some(vec![0]),
    });
    node.is("Dropout") && unused(1) && inactive
}

/// An output of the graph must still be made by a node, under its name.
fn may_go(index: &Index<'_>, from: &str, to: &str) -> bool {
    !index.is_output(from) || (index.producer(to).is_some() && !index.is_output(to))
}
