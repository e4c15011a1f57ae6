//! Where a classifier ends: its last layer, and what that reads.

use crate::Model;

/// The value that the layer before the first output reads: the pooled features of a classifier, `[batch, channels]`, or
/// `[batch, channels, height, width]` where the last layer is a convolution. `None` where what makes the output is no layer.
#[must_use]
pub fn features(model: &Model) -> Option<&str> {
    let graph = model.graph();
    let index = graph.index();
    let mut value = graph.output.first()?.name();
    // Each step goes one node back, and nodes do not run in circles.
    for _ in 0..graph.node.len() {
        let (place, _) = index.producer(value)?;
        let node = graph.node.get(place)?;
        value = match node.op_type() {
            "Gemm" | "MatMul" | "Conv" => return node.input_name(0),
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
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ResNetOptions, resnet_cifar};
    use crate::onnx::{NodeProto, TensorProto};

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
    fn an_output_that_no_layer_makes_has_no_features() {
        assert_eq!(features(&ending(vec![NodeProto::new("Relu", "r", &["features"], &["logits"])])), None);
        let sum = ending(vec![NodeProto::new("Add", "a", &["features", "pool.out"], &["logits"])]);
        assert_eq!(features(&sum), None);
        assert_eq!(features(&ending(Vec::new())), None);
    }
}
