//! A batch size that an exporter wrote down.

use crate::Model;
use crate::shape::{Dim, Fact, infer};

/// What the extent is called that is free then.
const BATCH: &str = "batch";

/// Lets a model take any number of samples that was exported for a fixed one, as PyTorch does unless told otherwise: the first
/// extent of its input and of its outputs becomes `batch`. Whether it did; where a node insists on the size, as a Reshape does that
/// has it written out, or where there are several inputs, the model stays as it was.
pub fn free_batch(model: &mut Model) -> bool {
    let graph = model.graph();
    let index = graph.index();
    let mut inputs = graph.input.iter().filter(|input| index.initializer(input.name()).is_none());
    let (Some(input), None) = (inputs.next(), inputs.next()) else { return false };
    let name = input.name().to_owned();
    let Ok(facts) = infer(model) else { return false };
    let fact = facts.get(&name);
    let Some([first, rest @ ..]) = fact.shape.as_deref() else { return false };
    if first.known().is_none() || rest.is_empty() {
        return false;
    }
    let shape: Vec<Dim> = [Dim::symbol(BATCH)].into_iter().chain(rest.iter().cloned()).collect();
    let free = Fact::new(fact.kind, shape).declare(&name);
    let graph = model.graph_mut();
    let before = (graph.input.clone(), graph.output.clone(), std::mem::take(&mut graph.value_info));
    graph.input.iter_mut().filter(|input| input.name() == name).for_each(|input| *input = free.clone());
    if freed(model) {
        return true;
    }
    let graph = model.graph_mut();
    (graph.input, graph.output, graph.value_info) = before;
    false
}

/// Declares the outputs as they follow from the inputs; whether each is as long as the batch.
fn freed(model: &mut Model) -> bool {
    let graph = model.graph_mut();
    let names: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    let declared = std::mem::take(&mut graph.output);
    let Ok(facts) = infer(model) else {
        model.graph_mut().output = declared;
        return false;
    };
    let is_free = |name: &String| {
        let first = facts.get(name).shape.as_ref().and_then(|shape| shape.first());
        first.is_some_and(|first| first.known().is_none())
    };
    let all = names.iter().all(is_free);
    model.graph_mut().output = names.iter().map(|name| facts.get(name).declare(name)).collect();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ResNetOptions, resnet_cifar};
    use crate::onnx::{NodeProto, TensorProto};

    /// A small net whose input is declared for one image, as PyTorch exports it.
    fn fixed() -> Model {
        let mut model = resnet_cifar(&ResNetOptions { classes: 3, input: [3, 16, 16], width: 0.5 }, 1, 1).unwrap();
        let one = |dims: &[i64]| {
            let shape = dims.iter().map(|&dim| Dim::from(dim)).collect();
            Fact::new(Some(crate::onnx::tensor_proto::DataType::Float), shape)
        };
        let graph = model.graph_mut();
        graph.input = vec![one(&[1, 3, 16, 16]).declare("image")];
        graph.output = vec![one(&[1, 3]).declare("logits")];
        model
    }

    fn shapes(model: &Model) -> [String; 2] {
        let facts = infer(model).unwrap();
        ["image", "logits"].map(|name| facts.get(name).to_string())
    }

    #[test]
    fn a_fixed_batch_becomes_free() {
        let mut model = fixed();
        assert_eq!(shapes(&model), ["[1, 3, 16, 16]", "[1, 3]"]);
        assert!(free_batch(&mut model));
        assert_eq!(shapes(&model), ["[batch, 3, 16, 16]", "[batch, 3]"]);
        model.check().unwrap();
        assert!(!free_batch(&mut model), "it is free already");
    }

    #[test]
    fn a_net_that_insists_on_its_batch_stays_as_it_was() {
        let mut model = fixed();
        let graph = model.graph_mut();
        graph.node.retain(|node| !node.is("Flatten"));
        let reshape = NodeProto::new("Reshape", "flat", &["pool.out", "one"], &["features"]);
        let place = graph.node.len() - 1;
        graph.node.insert(place, reshape);
        graph.initializer.push(TensorProto::from_i64("one", &[2], &[1, 32]));
        let before = model.clone();
        assert!(!free_batch(&mut model));
        assert_eq!(model, before);
    }
}
