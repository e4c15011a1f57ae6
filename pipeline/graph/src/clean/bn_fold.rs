//! Folds a BatchNormalization into the convolution before it (Jacob et al. 2018, section 3.2):
//! `w' = w * gamma / sqrt(var + eps)`, `b' = (b - mean) * gamma / sqrt(var + eps) + beta`.

use crate::graph::Fresh;
use crate::onnx::{NodeProto, TensorProto};
use crate::patch::{Pass, Patch};
use crate::shape::Facts;
use crate::{Index, Model};

/// Folds BatchNormalization into Conv, where nobody else sees the value between.
#[derive(Debug, Clone, Copy)]
pub struct FoldBatchNorm;

/// What ONNX takes where the node says nothing.
const EPSILON: f32 = 1e-5;

impl Pass for FoldBatchNorm {
    fn name(&self) -> &'static str {
        "fold-batch-norm"
    }

    fn propose(&self, model: &Model, _: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let index = graph.index();
        let mut fresh = Fresh::of(graph);
        let mut patch = Patch::default();
        for (place, norm) in graph.node.iter().enumerate().filter(|(_, node)| node.is("BatchNormalization")) {
            if norm.int("training_mode").unwrap_or(0) != 0 {
                continue;
            }
            let Some((conv_place, conv)) = convolution(norm, &index, &graph.node) else { continue };
            let Some(folded) = fold(conv, norm, &index, &mut fresh)? else { continue };
            let (mut node, weight, bias) = folded;
            node.output = norm.output.iter().take(1).cloned().collect();
            patch.set_initializer(weight);
            patch.set_initializer(bias);
            patch.remove(conv_place);
            patch.replace(place, vec![node]);
        }
        Ok(patch)
    }
}

fn convolution<'a>(norm: &NodeProto, index: &Index<'_>, nodes: &'a [NodeProto]) -> Option<(usize, &'a NodeProto)> {
    let between = norm.input_name(0)?;
    index.only_consumer(between)?;
    let (place, _) = index.producer(between)?;
    nodes.get(place).filter(|node| node.is("Conv")).map(|node| (place, node))
}

type Folded = (NodeProto, TensorProto, TensorProto);

/// `None` where something is not a constant.
fn fold(conv: &NodeProto, norm: &NodeProto, index: &Index<'_>, fresh: &mut Fresh) -> Result<Option<Folded>, String> {
    let constant = |node: &NodeProto, slot| node.input_name(slot).and_then(|name| index.constant(name));
    let statistics: Option<Vec<_>> = (1..5).map(|slot| constant(norm, slot)).collect();
    let (Some(weight), Some(statistics)) = (constant(conv, 1), statistics) else { return Ok(None) };
    let old_bias = match conv.input_name(2) {
        None => None,
        Some(_) => match constant(conv, 2) {
            None => return Ok(None),
            bias => bias,
        },
    };
    let read =
        |tensor: &TensorProto| tensor.f32s().map_err(|fault| format!("initialiser '{}': {fault}", tensor.name()));
    let statistics = statistics.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let [gamma, beta, mean, var] = statistics.as_slice() else { return Ok(None) };
    let mut values = read(weight)?;
    let filters = gamma.len();
    let bias = old_bias.map_or_else(|| Ok(vec![0.0; filters]), read)?;
    if filters == 0
        || !values.len().is_multiple_of(filters)
        || [beta, mean, var, &bias].iter().any(|list| list.len() != filters)
    {
        return Err(format!("{}: found {filters} scales for weight {:?}", norm.label(), weight.dims));
    }
    let epsilon = norm.float("epsilon").unwrap_or(EPSILON);
    // Twice the precision: a small variance makes a large factor.
    let factor: Vec<f64> =
        gamma.iter().zip(var).map(|(&g, &v)| f64::from(g) / (f64::from(v) + f64::from(epsilon)).sqrt()).collect();
    let each = values.len() / filters;
    #[expect(clippy::cast_possible_truncation, reason = "back to single precision")]
    for (filter, factor) in values.chunks_exact_mut(each.max(1)).zip(&factor) {
        filter.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
    }
    #[expect(clippy::cast_possible_truncation, reason = "back to single precision")]
    let shifted = |at: usize| ((f64::from(bias[at]) - f64::from(mean[at])) * factor[at] + f64::from(beta[at])) as f32;
    let bias: Vec<f32> = (0..filters).map(shifted).collect();
    let shape = weight.shape().map_err(|fault| fault.to_string())?;
    let weight = TensorProto::from_f32(&fresh.name(&format!("{}_folded", weight.name())), &shape, &values);
    let bias = TensorProto::from_f32(&fresh.name(&format!("{}_bias", weight.name())), &[filters], &bias);
    let mut node = conv.clone();
    node.input = vec![conv.input[0].clone(), weight.name().to_owned(), bias.name().to_owned()];
    Ok(Some((node, weight, bias)))
}
