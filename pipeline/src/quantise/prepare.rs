//! What comes before calibration: one operator for one thing, no BatchNormalization, and a check that there is something to
//! do.

use takt_graph::Model;
use takt_graph::clean;
use takt_graph::graph::Fresh;
use takt_graph::onnx::NodeProto;
use takt_graph::patch::{Pass, Patch, no_check, run};
use takt_graph::shape::Facts;

use super::QuantiseError;

/// The first node by which a model says that it is quantised; `None` in single precision.
pub(crate) fn integers(model: &Model) -> Option<&NodeProto> {
    model.graph().node.iter().find(|node| node.op_type().contains("QuantizeLinear"))
}

/// Folds BatchNormalization and writes means over the image as pooling, for which runtimes have integer kernels.
pub(super) fn prepare(model: &mut Model) -> Result<(), QuantiseError> {
    if let Some(node) = integers(model) {
        return Err(QuantiseError::Already { node: node.label() });
    }
    let graph = model.graph();
    let index = graph.index();
    let inputs = graph.input.iter().map(|input| input.name().to_owned());
    let required: Vec<_> = inputs.filter(|name| index.initializer(name).is_none()).collect();
    if required.len() != 1 {
        return Err(QuantiseError::Inputs { found: required });
    }
    clean::fold_batch_norm(model)?;
    run(model, &[&MeanToPool], &mut no_check)?;
    Ok(())
}

/// ReduceMean over height and width becomes GlobalAveragePool.
struct MeanToPool;

impl Pass for MeanToPool {
    fn name(&self) -> &'static str {
        "mean-to-pool"
    }

    fn propose(&self, model: &Model, facts: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let index = graph.index();
        let mut fresh = Fresh::of(graph);
        let mut patch = Patch::default();
        for (place, node) in graph.node.iter().enumerate().filter(|(_, node)| node.is("ReduceMean")) {
            let (Some(input), Some(output)) = (node.input_name(0), node.output_name(0)) else { continue };
            let axes = match node.input_name(1).and_then(|name| index.constant(name)) {
                Some(axes) => axes.i64s().map_err(|fault| format!("initialiser '{}': {fault}", axes.name()))?,
                None => node.ints("axes").unwrap_or_default().to_vec(),
            };
            let mut axes: Vec<i64> = axes.into_iter().map(|axis| if axis < 0 { axis + 4 } else { axis }).collect();
            axes.sort_unstable();
            if facts.get(input).rank() != Some(4) || axes != [2, 3] {
                continue;
            }
            let keeps = node.int("keepdims").unwrap_or(1) != 0;
            let pooled = if keeps { output.to_owned() } else { fresh.name(&format!("{output}.pooled")) };
            let mut nodes = vec![NodeProto::new("GlobalAveragePool", node.name(), &[input], &[&pooled])];
            if !keeps {
                let name = fresh.name(&format!("{}.flatten", node.name()));
                nodes.push(NodeProto::new("Flatten", &name, &[&pooled], &[output]).with_int("axis", 1));
            }
            patch.replace(place, nodes);
        }
        Ok(patch)
    }
}
