//! A quantisation before it is written into the graph: grids, integers and biases that training can still move.

use std::collections::BTreeMap;

use candle_core::Tensor;
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options as ExecutorOptions};
use takt_graph::onnx::{NodeProto, TensorProto};
use takt_graph::shape::infer;

use super::calibrate::{self, Images, numbers};
use super::grid::Grid;
use super::insert::{Form, Names, insert};
use super::layer::Layer;
use super::observe::Range;
use super::plan::{Plan, channel_axis};
use super::report::{Agreement, LayerReport, QuantiseReport, TensorReport};
use super::search::{Search, outputs};
use super::walk::Walked;
use super::weights::Rows;
use super::{Options, QuantiseError, Quantised, Target, Watch, equalise, prepare};

/// A quantisation that is not written yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// In single precision, ready to take grids.
    model: Model,
    plan: Plan,
    /// By group.
    grids: BTreeMap<String, Grid>,
    /// By place of the node.
    layers: BTreeMap<usize, Layer>,
    /// Some of the calibration images.
    images: Vec<Tensor>,
    report: QuantiseReport,
}

/// A model whose values and weights are moved onto grids as it runs, with everything as a variable that may be trained:
/// weights and biases in single precision, and the steps of all grids.
#[derive(Debug, Clone)]
pub struct Trainable {
    /// To be trained in place; names and shapes of its initialisers must stay.
    pub model: Model,
    names: Names,
}

impl Draft {
    /// Chooses grids, integers and biases for `target` by calibration `images`, which are preprocessed as in production.
    ///
    /// # Errors
    /// The model, an option or the images do not do; see [`QuantiseError`].
    pub fn new(
        model: &Model,
        target: Target,
        images: &mut Images<'_>,
        options: &Options,
        progress: &mut Watch<'_>,
    ) -> Result<Self, QuantiseError> {
        options.check()?;
        let bytes_before = bytes(model);
        let mut model = model.clone();
        prepare::prepare(&mut model)?;
        let equalised = if options.equalise { equalise::equalise(&mut model)? } else { 0 };
        let facts = infer(&model)?;
        let plan = Plan::new(&model, &facts, target, &options.keep_float)?;
        let observed = calibrate::observe(&model, &plan, images, options.walked, progress)?;
        let search = Search { model: &model, facts: &facts, plan: &plan, observed: &observed, target, options };
        let calibration = options.calibration.map_or_else(|| search.best(progress), Ok)?;
        let grids = search.grids(calibration);
        let (values, walked) = search.walk(&grids, &observed.kept, options, progress)?;
        let seen = |value: &str| plan.grids.get(value).and_then(|group| observed.histograms.get(group));
        let report = QuantiseReport {
            target,
            calibration,
            images: observed.images,
            bytes_before,
            bytes_after: bytes_before,
            equalised,
            tensors: tensors(&values, &walked, &|value| seen(value).map(super::Histogram::range)),
            layers: walked.layers.iter().map(|(&place, layer)| layer_report(&model, place, layer)).collect(),
            float: plan.float.clone(),
            outputs: outputs(&model, &walked),
            accuracy: None,
            fusion: None,
        };
        Ok(Self { model, plan, grids, layers: walked.layers, images: observed.kept, report })
    }

    /// Writes the quantised model.
    ///
    /// # Errors
    /// A fault of ours: the graph would be broken.
    pub fn finish(&self) -> Result<Quantised, QuantiseError> {
        let mut model = self.model.clone();
        insert(&mut model, &self.plan, &self.grids, &self.layers, Form::Integers)?;
        let report = QuantiseReport { bytes_after: bytes(&model), ..self.report.clone() };
        Ok(Quantised { model, report })
    }

    /// The model as training wants it: it gives the same numbers as the one that [`Self::finish`] writes.
    ///
    /// # Errors
    /// A fault of ours: the graph would be broken.
    pub fn trainable(&self) -> Result<Trainable, QuantiseError> {
        let mut model = self.model.clone();
        let names = insert(&mut model, &self.plan, &self.grids, &self.layers, Form::Trainable)?;
        Ok(Trainable { model, names })
    }

    /// Takes over what was trained. What the report says of layers and values remains that of before; the outputs are looked at
    /// again.
    ///
    /// # Errors
    /// An initialiser is gone or has other elements.
    pub fn take(&mut self, trained: &Trainable) -> Result<(), QuantiseError> {
        let index = trained.model.graph().index();
        let tensor = |name: &str| {
            let missing = || QuantiseError::Lost { name: name.to_owned() };
            index.initializer(name).ok_or_else(missing)
        };
        let floats = |name: &str| tensor(name)?.f32s().map_err(fault(name));
        let mut grids = self.grids.clone();
        for (group, name) in &trained.names.steps {
            if let (Some(grid), [step]) = (grids.get_mut(group), floats(name)?.as_slice()) {
                grid.scale = *step;
            }
        }
        let mut layers = BTreeMap::new();
        for (&place, names) in &trained.names.layers {
            let (Some(node), Some(layer)) = (self.model.graph().node.get(place), self.layers.get(&place)) else {
                continue;
            };
            let rows = Rows::read(tensor(&names.weight)?, channel_axis(node)).map_err(fault(&names.weight))?;
            let bias = names.bias.as_ref().map(|name| floats(name)).transpose()?;
            let group = node.input_name(0).and_then(|input| self.plan.grids.get(input));
            let input_scale = group.and_then(|group| grids.get(group)).map_or(layer.input_scale, |grid| grid.scale);
            layers.insert(place, layer.trained(rows, &floats(&names.scale)?, bias, input_scale));
        }
        for tensor in &mut self.report.tensors {
            let group = self.plan.grids.get(&tensor.name);
            if let Some(grid) = group.and_then(|group| grids.get(group)) {
                tensor.grid = *grid;
            }
        }
        (self.grids, self.layers) = (grids, layers);
        self.report.outputs = self.agreement()?;
        Ok(())
    }

    /// How near the outputs come to single precision as things stand.
    fn agreement(&self) -> Result<Vec<(String, Agreement)>, QuantiseError> {
        let options = ExecutorOptions { frozen: true, ..ExecutorOptions::default() };
        let exact = Executor::new(&self.model, &options)?;
        let rounded = Executor::new(&self.finish()?.model, &options)?;
        let names = self.model.graph().output.iter().map(|output| output.name().to_owned());
        let mut outputs: Vec<(String, Agreement)> = names.map(|name| (name, Agreement::default())).collect();
        for batch in self.images.iter().map(std::slice::from_ref) {
            let (exact, rounded) = (exact.run(batch, Mode::Eval)?, rounded.run(batch, Mode::Eval)?);
            for ((_, agreement), (exact, rounded)) in outputs.iter_mut().zip(exact.outputs.iter().zip(&rounded.outputs))
            {
                agreement.add(&numbers(exact)?, &numbers(rounded)?);
            }
        }
        Ok(outputs)
    }
}

fn fault(name: &str) -> impl FnOnce(takt_graph::TensorError) -> QuantiseError {
    let name = name.to_owned();
    move |fault| QuantiseError::Tensor { name, fault }
}

fn tensors(grids: &BTreeMap<String, Grid>, walked: &Walked, seen: &dyn Fn(&str) -> Option<Range>) -> Vec<TensorReport> {
    let report = |(name, &grid): (&String, &Grid)| TensorReport {
        name: name.clone(),
        grid,
        seen: seen(name).unwrap_or_default(),
        agreement: walked.agreement.get(name).copied().unwrap_or_default(),
    };
    grids.iter().map(report).collect()
}

fn layer_report(model: &Model, place: usize, layer: &Layer) -> LayerReport {
    let node = model.graph().node.get(place).map(NodeProto::label).unwrap_or_default();
    LayerReport { node, weights: layer.quantised.integers.len(), moved: layer.moved, agreement: layer.agreement }
}

/// Bytes of all initialisers.
fn bytes(model: &Model) -> usize {
    let tensors = model.graph().initializer.iter();
    tensors.filter_map(|tensor: &TensorProto| tensor.expected_bytes().ok().flatten()).sum()
}
