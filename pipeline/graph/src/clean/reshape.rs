//! Targets of `Reshape` are written out as constants. Exporters compute them from the input's shape, since the batch is not
//! known; a 0 copies it, or a -1 stands for it.

use crate::Model;
use crate::graph::Fresh;
use crate::onnx::{NodeProto, TensorProto};
use crate::patch::{Pass, Patch};
use crate::shape::{Dim, Facts, reshaped};

/// Makes the target of each `Reshape` a constant of its own, where inference can tell it.
#[derive(Debug, Clone, Copy)]
pub struct WriteOutShapes;

impl Pass for WriteOutShapes {
    fn name(&self) -> &'static str {
        "write-out-shapes"
    }

    fn propose(&self, model: &Model, facts: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let index = graph.index();
        let mut fresh = Fresh::of(graph);
        let mut patch = Patch::default();
        for (place, node) in graph.node.iter().enumerate().filter(|(_, node)| node.is("Reshape")) {
            let (Some(input), Some(target), Some(output)) =
                (node.input_name(0), node.input_name(1), node.output_name(0))
            else {
                continue;
            };
            if index.constant(target).is_some() {
                continue;
            }
            let (Some(from), Some(to)) = (&facts.get(input).shape, &facts.get(output).shape) else { continue };
            let Some(wanted) = written(from, to) else { continue };
            let name = fresh.name(&format!("{output}_shape"));
            patch.set_initializer(TensorProto::from_i64(&name, &[wanted.len()], &wanted));
            let mut written: NodeProto = node.clone();
            written.input = vec![input.to_owned(), name];
            written.remove_attribute("allowzero");
            patch.replace(place, vec![written]);
        }
        Ok(patch)
    }
}

/// Numbers that make `to` of `from`, if there are any.
pub(crate) fn written(from: &[Dim], to: &[Dim]) -> Option<Vec<i64>> {
    let copied = |(at, dim): (usize, &Dim)| match dim.known() {
        // Said outright a size of 0 would be copied too.
        Some(0) => None,
        Some(size) => Some(size),
        None if from.get(at) == Some(dim) => Some(0),
        None => Some(-1),
    };
    let numbers = to.iter().enumerate().map(copied).collect::<Option<Vec<_>>>()?;
    let dims: Vec<Dim> = numbers.iter().copied().map(Dim::from).collect();
    let made = reshaped(from, &dims, false).ok()?;
    (made == to).then_some(numbers)
}
