//! Where a classifier ends: its last layer, and what that reads.

use crate::Model;
use crate::onnx::TensorProto;
use crate::random::Random;
use crate::shape::{ShapeError, infer};
use crate::tensor::TensorError;

/// A head that cannot be replaced.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// What makes the output is no layer.
    #[error(
        "the output is not made by a Gemm, MatMul or Conv with weights of its own; a new last layer fits no other end"
    )]
    NoLayer,
    /// A layer whose weights are none.
    #[error("{node}: {fault}")]
    Weights {
        /// The last layer.
        node: String,
        /// What is wrong with it.
        fault: TensorError,
    },
    /// The graph does not follow.
    #[error(
        "with a last layer of {classes} classes the output is {found}, expected [batch, {classes}]; what follows the layer insists \
             on the old number"
    )]
    Insists {
        /// Classes asked for.
        classes: usize,
        /// The output's shape then.
        found: String,
    },
    /// Shapes that cannot be.
    #[error(transparent)]
    Shapes(#[from] ShapeError),
}

/// The end of a classifier.
struct Tail {
    /// Place of the last layer's node.
    layer: usize,
    /// Places of the nodes between it and the output.
    after: Vec<usize>,
}

/// The way from the first output back to the last layer; `None` where what makes the output is no layer.
fn tail(model: &Model) -> Option<Tail> {
    let graph = model.graph();
    let index = graph.index();
    let mut value = graph.output.first()?.name();
    let mut after = Vec::new();
    // Each step goes one node back, and nodes do not run in circles.
    for _ in 0..graph.node.len() {
        let (place, _) = index.producer(value)?;
        let node = graph.node.get(place)?;
        value = match node.op_type() {
            "Gemm" | "MatMul" | "Conv" => return Some(Tail { layer: place, after }),
            // A bias of its own, or a factor.
            "Add" | "Sub" | "Mul" | "Div" => {
                let mut computed = node.input.iter().filter(|input| index.constant(input).is_none());
                match (computed.next(), computed.next()) {
                    (Some(one), None) => one,
                    _ => return None,
                }
            }
            "Softmax" | "LogSoftmax" | "Sigmoid" | "Identity" | "Dropout" | "Flatten" | "Reshape" | "Squeeze"
            | "GlobalAveragePool" | "ReduceMean" | "QuantizeLinear" | "DequantizeLinear" => node.input_name(0)?,
            _ => return None,
        };
        after.push(place);
    }
    None
}

/// The value that the layer before the first output reads: the pooled features of a classifier, `[batch, channels]`, or
/// `[batch, channels, height, width]` where the last layer is a convolution. `None` where what makes the output is no layer.
#[must_use]
pub fn features(model: &Model) -> Option<&str> {
    model.graph().node.get(tail(model)?.layer)?.input_name(0)
}

/// Puts a fresh last layer for `classes` classes in place of the one there is, as for a net that was trained on other classes
/// (transfer learning). Its weights are evenly distributed within one over the root of the number of features, its bias is 0.
///
/// # Errors
/// The net does not end in a layer with weights of its own, or insists on its old number of classes. The model is then as it was.
pub fn replace(model: &mut Model, classes: usize, seed: u64) -> Result<(), HeadError> {
    let tensors = fresh(model, classes, seed)?;
    let before = model.clone();
    let graph = model.graph_mut();
    graph.value_info.clear();
    for tensor in tensors {
        // Old exporters list weights among the inputs, with their shapes.
        graph.input.retain(|input| input.name() != tensor.name());
        graph.set_initializer(tensor);
    }
    let declared = declare(model, classes);
    if declared.is_err() {
        *model = before;
    }
    declared
}

/// The last layer's weight and biases for another number of classes.
fn fresh(model: &Model, classes: usize, seed: u64) -> Result<Vec<TensorProto>, HeadError> {
    let graph = model.graph();
    let index = graph.index();
    let Tail { layer, after } = tail(model).ok_or(HeadError::NoLayer)?;
    let node = graph.node.get(layer).ok_or(HeadError::NoLayer)?;
    let name = node.input_name(1).ok_or(HeadError::NoLayer)?;
    let weight = index.initializer(name).filter(|_| index.consumers(name).len() == 1).ok_or(HeadError::NoLayer)?;
    let fault = |fault| HeadError::Weights { node: node.label(), fault };
    let mut shape = weight.shape().map_err(fault)?;
    let rows_first = match node.op_type() {
        "Conv" if node.int("group").unwrap_or(1) == 1 => true,
        "Conv" => return Err(HeadError::NoLayer),
        _ => node.int("transB").unwrap_or(0) == 1,
    };
    let axis = if rows_first { 0 } else { shape.len().saturating_sub(1) };
    let was = std::mem::replace(shape.get_mut(axis).ok_or(HeadError::NoLayer)?, classes);
    let elements: usize = shape.iter().product();
    let bound = 1.0 / ((elements / classes.max(1)).max(1) as f64).sqrt();
    let mut tensors = vec![TensorProto::from_f32(name, &shape, &Random::new(seed).uniform(bound, elements))];
    let nodes = after.iter().filter_map(|&place| graph.node.get(place));
    for node in [node].into_iter().chain(nodes) {
        let rest = if node.op_type() == "Gemm" || node.op_type() == "Conv" { 2 } else { 0 };
        let neutral = if node.op_type() == "Mul" || node.op_type() == "Div" { 1.0 } else { 0.0 };
        for name in node.input.iter().skip(rest).filter(|input| *input != name) {
            let Some(tensor) = index.initializer(name) else { continue };
            let mut shape = tensor.shape().map_err(fault)?;
            // A bias is as long as there are classes, whatever extents of 1 stand around it.
            if was > 1 && shape.iter().product::<usize>() == was && shape.contains(&was) {
                shape.iter_mut().filter(|extent| **extent == was).for_each(|extent| *extent = classes);
                tensors.push(TensorProto::from_f32(name, &shape, &vec![neutral; classes]));
            }
        }
    }
    Ok(tensors)
}

/// Declares the first output as it follows now.
fn declare(model: &mut Model, classes: usize) -> Result<(), HeadError> {
    let name = model.graph().output.first().map(|output| output.name().to_owned()).ok_or(HeadError::NoLayer)?;
    // What is declared of outputs would be held against what follows.
    let others: Vec<_> = model.graph_mut().output.drain(..).skip(1).collect();
    let facts = infer(model)?;
    let fact = facts.get(&name);
    let fits = match fact.shape.as_deref() {
        Some([_, found]) => found.known() == i64::try_from(classes).ok(),
        _ => false,
    };
    if !fits {
        return Err(HeadError::Insists { classes, found: fact.to_string() });
    }
    model.graph_mut().output = [fact.declare(&name)].into_iter().chain(others).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ResNetOptions, resnet_cifar};
    use crate::onnx::NodeProto;

    fn net() -> Model {
        resnet_cifar(&ResNetOptions { classes: 3, input: [3, 8, 8], width: 0.5 }, 1, 1).unwrap()
    }

    /// The net with its last layer replaced by these nodes.
    fn ending(nodes: Vec<NodeProto>) -> Model {
        let mut model = net();
        let graph = model.graph_mut();
        graph.node.retain(|node| !node.is("Gemm"));
        graph.node.extend(nodes);
        graph.initializer.push(TensorProto::from_f32("w", &[32, 3], &[0.0; 96]));
        graph.initializer.push(TensorProto::from_f32("b", &[3], &[0.0; 3]));
        model
    }

    #[test]
    fn what_the_last_layer_reads_is_found_behind_what_follows_it() {
        assert_eq!(features(&net()), Some("features"));
        let apart = ending(vec![
            NodeProto::new("MatMul", "m", &["features", "w"], &["product"]),
            NodeProto::new("Add", "a", &["b", "product"], &["sum"]),
            NodeProto::new("Softmax", "s", &["sum"], &["logits"]),
        ]);
        assert_eq!(features(&apart), Some("features"));
    }

    #[test]
    fn a_fresh_head_tells_other_classes_apart_and_nothing_else_changes() {
        let shape = |model: &Model| infer(model).unwrap().get("logits").to_string();
        let apart = ending(vec![
            NodeProto::new("MatMul", "m", &["features", "w"], &["product"]),
            NodeProto::new("Add", "a", &["b", "product"], &["logits"]),
        ]);
        for mut model in [net(), apart] {
            let before = model.clone();
            replace(&mut model, 5, 1).unwrap();
            assert_eq!(shape(&model), "[batch, 5]");
            model.check().unwrap();
            let body = |model: &Model| model.graph().initializer_named("layer3.0.conv2.weight").cloned();
            assert_eq!(body(&model), body(&before));
            assert_eq!(model.graph().node, before.graph().node);
        }
    }

    #[test]
    fn a_head_that_cannot_be_replaced_leaves_the_model_as_it_was() {
        let mut sum = ending(vec![NodeProto::new("Add", "a", &["features", "pool.out"], &["logits"])]);
        assert_eq!(replace(&mut sum, 5, 1), Err(HeadError::NoLayer));
        let mut fixed = ending(vec![
            NodeProto::new("MatMul", "m", &["features", "w"], &["product"]),
            NodeProto::new("Reshape", "r", &["product", "three"], &["logits"]),
        ]);
        fixed.graph_mut().initializer.push(TensorProto::from_i64("three", &[2], &[0, 3]));
        let before = fixed.clone();
        let error = replace(&mut fixed, 5, 1).unwrap_err();
        assert!(matches!(error, HeadError::Insists { classes: 5, .. } | HeadError::Shapes(_)), "{error}");
        assert_eq!(fixed, before);
    }

    #[test]
    fn an_output_that_no_layer_makes_has_no_features() {
        assert_eq!(features(&ending(vec![NodeProto::new("Relu", "r", &["features"], &["logits"])])), None);
        let sum = ending(vec![NodeProto::new("Add", "a", &["features", "pool.out"], &["logits"])]);
        assert_eq!(features(&sum), None);
        assert_eq!(features(&ending(Vec::new())), None);
    }
}
