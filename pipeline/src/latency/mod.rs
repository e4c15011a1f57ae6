//! How long a layer takes by the channels it has left: measured on the serving runtime, in INT8, one image on one thread.
//!
//! Multiply-accumulates are not milliseconds: kernels work on whole tiles of channels, and narrow layers on large images
//! spend their time elsewhere. So each convolution and matrix product is run alone at a grid of channel counts, as the
//! target `cpu-int8-avx2` would run it, and what lies between is interpolated (Shen et al. 2022, "HALP", prune by such a
//! table too). Measured times are kept in a file, by machine and shape of layer, so that nothing is measured twice.
//!
//! A model takes a little more than the sum of its layers: what adds, pools and quantises is not measured.

mod error;
mod interleave;
mod ladder;
mod layer;
mod probe;
mod surface;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use takt_backend::Backend;
use takt_backend::report::System;
use takt_graph::Model;
use takt_graph::channels::Groups;

pub use error::LatencyError;
pub use layer::{Kind, Window};
pub use surface::Surface;

use crate::predict::onnxruntime;
use crate::progress::Progress;
use interleave::interleaved;
use layer::Layer;
use probe::Probe;
use table::Table;

/// A layer of a model, with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Place of its node in the graph.
    pub node: usize,
    /// Channels it reads.
    pub inputs: usize,
    /// Channels it makes.
    pub outputs: usize,
    /// How the two belong together.
    pub kind: Kind,
    /// Microseconds.
    pub surface: Surface,
}

/// The counts on either axis at which a layer is measured.
type Grid = [Vec<usize>; 2];

/// Times of layers on this machine.
pub struct Latencies {
    backend: Box<dyn Backend>,
    table: Table,
}

impl Timed {
    /// Microseconds with so many channels.
    #[must_use]
    pub fn at(&self, inputs: f64, outputs: f64) -> f64 {
        let [x, y] = self.kind.point(inputs, outputs);
        self.surface.at(x, y)
    }
}

impl Latencies {
    /// Takes up the file of measured times, or begins one.
    ///
    /// # Errors
    /// There is no ONNX Runtime, or the file is not what we write.
    pub fn open(path: &Path) -> Result<Self, LatencyError> {
        let backend = onnxruntime()?.ok_or(LatencyError::NoRuntime)?;
        let system = System::read();
        let processor =
            system.processor.unwrap_or_else(|| format!("{} {}", system.arch, system.cpu_features.join(" ")));
        let machine = format!("{processor}, ONNX Runtime {}", backend.version());
        Ok(Self { backend, table: Table::open(path, machine)? })
    }

    /// The layers of a model with their times at every count of channels that pruning `groups` by `block` may come to. Measures
    /// what is not known yet, and keeps it. `None` if it was stopped.
    ///
    /// # Errors
    /// The model has sizes that are not known, the runtime does not take a layer, or times cannot be kept.
    pub fn layers(
        &mut self,
        model: &Model,
        groups: &Groups,
        block: usize,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Timed>>, LatencyError> {
        let with_grid = |layer: Layer| {
            let grid = layer.grid(groups, block);
            (layer, grid)
        };
        let layers: Vec<(Layer, Grid)> = layer::layers(model)?.into_iter().map(with_grid).collect();
        progress.begin(layers.iter().map(|(layer, grid)| self.missing(layer, grid).len() as u64).sum());
        for (layer, grid) in &layers {
            // Layers of the same kind are many, so what is missing is asked for again.
            let missing = self.missing(layer, grid);
            if !missing.is_empty() && !self.measure(&layer.kind, &missing, progress, stop)? {
                return Ok(None);
            }
        }
        let timed = |(layer, grid): (Layer, Grid)| {
            let times = points(&grid).map(|point| self.table.get(&layer.kind, point).unwrap_or(0.0)).collect();
            let Layer { node, inputs, outputs, kind, .. } = layer;
            Timed { node, inputs, outputs, kind, surface: Surface::new(grid, times) }
        };
        Ok(Some(layers.into_iter().map(timed).collect()))
    }

    fn missing(&self, layer: &Layer, grid: &Grid) -> Vec<[usize; 2]> {
        points(grid).filter(|&point| self.table.get(&layer.kind, point).is_none()).collect()
    }

    /// Measures points of one shape of layer and keeps them. False if it was stopped.
    fn measure(
        &mut self,
        kind: &Kind,
        missing: &[[usize; 2]],
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<bool, LatencyError> {
        let scratch = self.table.scratch()?;
        let mut probes = Vec::with_capacity(missing.len());
        for &point in missing {
            probes.push(Probe::load(&*self.backend, kind, point, scratch.path())?);
            progress.advance();
        }
        // With the price of a call: a layer within a model costs about as much besides its arithmetic.
        let Some(times) = interleaved(&mut probes, stop)? else { return Ok(false) };
        for (&point, time) in missing.iter().zip(times) {
            self.table.put(kind, point, time);
        }
        self.table.write()?;
        Ok(true)
    }
}

/// Every pair of counts, the second running faster.
fn points([xs, ys]: &Grid) -> impl Iterator<Item = [usize; 2]> {
    xs.iter().flat_map(|&x| ys.iter().map(move |&y| [x, y]))
}
