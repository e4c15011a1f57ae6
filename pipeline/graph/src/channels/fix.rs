//! Nodes that say how many channels there are are told the new number.

use std::collections::HashSet;

use super::prune::{Kept, PruneError};
use super::segments::segments;
use super::shuffle::{self, Shuffle};
use crate::clean::written;
use crate::graph::Fresh;
use crate::onnx::{NodeProto, TensorProto};
use crate::shape::{Dim, Facts, Op, axis, cuts, parts};
use crate::{Index, Model};

/// What a pruned graph is made with.
struct Fix<'a> {
    facts: &'a Facts,
    kept: &'a Kept<'a>,
    index: Index<'a>,
    fresh: Fresh,
    /// Constants to be added.
    constants: Vec<TensorProto>,
}

/// Adapts the nodes of `pruned`, which are those of `model`.
pub(super) fn nodes(model: &Model, pruned: &mut Model, facts: &Facts, kept: &Kept<'_>) -> Result<(), PruneError> {
    let graph = model.graph();
    let mut fix = Fix { facts, kept, index: graph.index(), fresh: Fresh::of(graph), constants: Vec::new() };
    let mut nodes: Vec<Option<NodeProto>> = graph.node.iter().cloned().map(Some).collect();
    let mut shuffled = HashSet::new();
    // Nobody follows them, so what is declared of them would stay.
    let mut shuffled_values = HashSet::new();
    for (place, node) in graph.node.iter().enumerate() {
        if let Some(shuffle) = shuffle::at(graph, &fix.index, facts, place) {
            shuffled.extend(shuffle.nodes);
            let inside = shuffle.nodes.iter().take(2).filter_map(|&node| graph.node.get(node)?.output_name(0));
            shuffled_values.extend(inside.map(str::to_owned));
            fix.shuffle(&shuffle, &mut nodes);
        }
        if shuffled.contains(&place) {
            continue;
        }
        let Some(changed) = nodes.get_mut(place).and_then(Option::as_mut) else { continue };
        let op = Op::new(node, model.opset(), facts, place);
        fix.node(&op, changed).map_err(|fault| PruneError::Node { node: node.label(), fault })?;
    }
    let graph = pruned.graph_mut();
    let unused: Vec<String> = graph.node.iter().zip(&nodes).flat_map(|(old, new)| lost(old, new.as_ref())).collect();
    graph.node = nodes.into_iter().flatten().collect();
    let used: HashSet<_> = graph.node.iter().flat_map(|node| node.input.clone()).collect();
    graph.value_info.retain(|value| !shuffled_values.contains(value.name()));
    graph.initializer.retain(|tensor| used.contains(tensor.name()) || !unused.iter().any(|name| name == tensor.name()));
    fix.constants.into_iter().for_each(|constant| graph.set_initializer(constant));
    Ok(())
}

/// Inputs that a node had and has no more.
fn lost(old: &NodeProto, new: Option<&NodeProto>) -> Vec<String> {
    let kept = |name: &&String| new.is_some_and(|new| new.input.contains(name));
    old.input.iter().filter(|name| !kept(name)).cloned().collect()
}

impl Fix<'_> {
    /// The new number of elements of an axis.
    fn size(&self, value: &str, axis: usize) -> Option<Dim> {
        let kept = self.kept.indices(value, axis).map(|indices| Dim::from(indices.len()));
        kept.or_else(|| self.facts.get(value).dim(axis).cloned())
    }

    fn dims(&self, value: &str) -> Option<Vec<Dim>> {
        (0..self.facts.get(value).rank()?).map(|axis| self.size(value, axis)).collect()
    }

    fn constant(&mut self, base: &str, values: &[i64]) -> String {
        let name = self.fresh.name(base);
        self.constants.push(TensorProto::from_i64(&name, &[values.len()], values));
        name
    }

    fn node(&mut self, op: &Op<'_>, changed: &mut NodeProto) -> Result<(), String> {
        if !op.node.standard() {
            return Ok(());
        }
        match op.node.op_type() {
            "Conv" => self.conv(op, changed),
            "Split" => self.split(op, changed)?,
            "Slice" => self.slice(op, changed)?,
            "Gather" => self.gather(op, changed)?,
            "Reshape" => self.reshape(op, changed)?,
            _ => {}
        }
        Ok(())
    }

    fn conv(&self, op: &Op<'_>, changed: &mut NodeProto) {
        let groups = op.node.int("group").unwrap_or(1);
        let Some(output) = op.node.output_name(0).filter(|_| groups > 1) else { return };
        let (old, new) =
            (self.facts.get(output).dim(1).and_then(Dim::known), self.size(output, 1).and_then(|dim| dim.known()));
        if let Some((old, new)) = old.zip(new).filter(|(old, new)| old != new) {
            changed.set_int("group", new / (old / groups).max(1));
        }
    }

    fn split(&mut self, op: &Op<'_>, changed: &mut NodeProto) -> Result<(), String> {
        let input = op.node.input_name(0).unwrap_or_default();
        let along = axis(op.node.int("axis").unwrap_or(0), self.facts.get(input).rank().unwrap_or(0))?;
        if self.kept.indices(input, along).is_none() {
            return Ok(());
        }
        let old = parts(op, self.facts.get(input).dim(along).and_then(Dim::known))?.ok_or("its parts are not known")?;
        let size = |(output, old): (&String, i64)| {
            self.kept.indices(output, along).map_or(old, |kept| kept.len().try_into().unwrap_or(old))
        };
        let new: Vec<i64> = op.node.output.iter().zip(old).map(size).collect();
        let name = self.constant(&format!("{}_parts", op.node.output_name(0).unwrap_or("split")), &new);
        changed.input = vec![input.to_owned(), name];
        changed.remove_attribute("num_outputs");
        Ok(())
    }

    fn slice(&mut self, op: &Op<'_>, changed: &mut NodeProto) -> Result<(), String> {
        let (input, output) = (op.node.input_name(0).unwrap_or_default(), op.node.output_name(0).unwrap_or_default());
        let rank = self.facts.get(input).rank().unwrap_or(0);
        if (0..rank).all(|axis| self.kept.indices(input, axis).is_none()) {
            return Ok(());
        }
        let cuts = cuts(op)?.ok_or("its borders are not known")?;
        if cuts.iter().all(|cut| self.kept.indices(input, cut.axis).is_none()) {
            return Ok(());
        }
        let mut lists: [Vec<i64>; 4] = Default::default();
        for cut in cuts {
            let kept = self.kept.indices(input, cut.axis);
            let moved = |border: i64| match &kept {
                Some(kept) => {
                    kept.iter().filter(|&&index| i64::try_from(index).is_ok_and(|index| index < border)).count() as i64
                }
                // A negative end stands for "before the first" here, and would count from the end there.
                None if border < 0 => i64::MIN,
                None => border,
            };
            let values = [moved(cut.start), moved(cut.end), cut.axis as i64, cut.step];
            lists.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
        }
        let names = ["starts", "ends", "axes", "steps"];
        let names = names.iter().zip(&lists).map(|(name, list)| self.constant(&format!("{output}_{name}"), list));
        changed.input = std::iter::once(input.to_owned()).chain(names).collect();
        Ok(())
    }

    fn gather(&mut self, op: &Op<'_>, changed: &mut NodeProto) -> Result<(), String> {
        let (input, output) = (op.node.input_name(0).unwrap_or_default(), op.node.output_name(0).unwrap_or_default());
        let along = axis(op.node.int("axis").unwrap_or(0), self.facts.get(input).rank().unwrap_or(0))?;
        let Some(kept) = self.kept.indices(input, along) else { return Ok(()) };
        let size = self.facts.get(input).dim(along).and_then(Dim::known).unwrap_or(0);
        let all = op.indices(1).ok_or("its indices are not known")?;
        let picked = self.kept.indices(output, along).unwrap_or_else(|| (0..all.len()).collect());
        let new = picked.into_iter().map(|at| {
            let old = all.get(at).copied().unwrap_or(0);
            let old = if old < 0 { old + size } else { old };
            kept.iter().position(|&index| i64::try_from(index) == Ok(old)).map(|place| place as i64)
        });
        let new = new.collect::<Option<Vec<_>>>().ok_or("it picks what is dropped")?;
        let name = self.constant(&format!("{output}_indices"), &new);
        changed.input = vec![input.to_owned(), name];
        Ok(())
    }

    fn reshape(&mut self, op: &Op<'_>, changed: &mut NodeProto) -> Result<(), String> {
        let (input, output) = (op.node.input_name(0).unwrap_or_default(), op.node.output_name(0).unwrap_or_default());
        let (Some(from), Some(to)) = (self.dims(input), self.dims(output)) else { return Ok(()) };
        let (old_from, old_to) = (self.facts.get(input).shape.as_ref(), self.facts.get(output).shape.as_ref());
        if old_from == Some(&from) && old_to == Some(&to) {
            return Ok(());
        }
        segments(&from, &to).ok_or("its input and output would have different numbers of elements")?;
        let target = written(&from, &to).ok_or("its target cannot be said in numbers")?;
        let name = self.constant(&format!("{output}_shape"), &target);
        changed.input = vec![input.to_owned(), name];
        changed.remove_attribute("allowzero");
        Ok(())
    }

    /// A shuffle of fewer channels where they still divide into its groups in the same way, else a list of indices.
    fn shuffle(&mut self, shuffle: &Shuffle<'_>, nodes: &mut [Option<NodeProto>]) {
        let Some(kept) = self.kept.indices(shuffle.input, 1) else { return };
        let [first, middle, last] = shuffle.nodes;
        let sources: Vec<usize> = (0..shuffle.channels()).map(|at| shuffle.source(at)).collect();
        let new: Vec<usize> = sources.iter().filter_map(|source| kept.binary_search(source).ok()).collect();
        let smaller = Shuffle { each: kept.len() / shuffle.groups, ..shuffle.clone() };
        let still =
            smaller.channels() == kept.len() && new.iter().enumerate().all(|(at, &from)| smaller.source(at) == from);
        let spatial = self.dims(shuffle.input).unwrap_or_default();
        let (Some(Some(start)), Some(Some(end))) = (nodes.get(first).cloned(), nodes.get(last).cloned()) else {
            return;
        };
        if still && let Some((batch, spatial)) = spatial.split_first() {
            let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
            let batch = batch.known().unwrap_or(0);
            let behind: Vec<i64> = spatial[1..].iter().map(|dim| dim.known().unwrap_or(-1)).collect();
            let apart = [&[batch, size(shuffle.groups), size(smaller.each)], &*behind].concat();
            let together = [&[batch, size(kept.len())], &*behind].concat();
            if behind.iter().filter(|&&dim| dim == -1).count() < 2 {
                for (place, node, target) in [(first, start, apart), (last, end, together)] {
                    let name = self.constant(&format!("{}_shape", node.output_name(0).unwrap_or("shuffle")), &target);
                    let mut node = node;
                    node.input.truncate(1);
                    node.input.push(name);
                    node.remove_attribute("allowzero");
                    nodes[place] = Some(node);
                }
                return;
            }
        }
        let indices: Vec<i64> = new.into_iter().map(|index| i64::try_from(index).unwrap_or(i64::MAX)).collect();
        let name = self.constant(&format!("{}_indices", shuffle.output), &indices);
        let gather =
            NodeProto::new("Gather", end.name(), &[shuffle.input, &name], &[shuffle.output]).with_int("axis", 1);
        (nodes[first], nodes[middle]) = (None, None);
        nodes[last] = Some(gather);
    }
}
