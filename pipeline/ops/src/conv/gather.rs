//! Each output position gathers its sources: the forward pass, and with transposed geometry the gradient of the input.
//!
//! An implicit matrix product: sixteen columns (positions and images) at a time, the rows that the taps read are copied
//! into a panel that stays in the first-level cache while all rows of weights pass over it. Nothing is unfolded in
//! memory. Taps that read padding, or that a stride leaves out, cost nothing: for a 3x3 window on maps of 2x2 that is
//! more than half of all taps.

use std::ops::Range;

use rayon::prelude::*;

use super::shape::Axis;
use super::tile::{COLUMNS, Left, ROWS, Right, Run, Tile, multiply};
use super::weights::Weights;
use crate::batch::Dims;
use crate::parallel::{pieces, split_columns};
use crate::scratch::Pool;

/// Steps of the panel that is kept in the first-level cache: 16 KiB.
const STEPS: usize = 256;

/// Up to so many blocks of columns, weights are the larger part: see [`Gather::by_rows`].
const FEW_BLOCKS: usize = 16;

/// Panels of weights that a thread fills at a time there.
const TOGETHER: usize = 2;

static WEIGHTS: Pool<Left> = Pool::new();

/// A sum over taps and source channels for each output position.
pub(crate) struct Gather<'a> {
    pub source: Dims,
    pub output: Dims,
    pub groups: usize,
    /// For each output position the taps and the source positions they read.
    pub rows: &'a Axis,
    pub columns: &'a Axis,
    pub kernel: [usize; 2],
    pub weights: Weights<'a>,
}

impl Gather<'_> {
    /// `bias` is one number per output channel.
    pub fn run(&self, source: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = crate::parallel::zeros(self.output.elements());
        if self.output.plane().div_ceil(COLUMNS) <= FEW_BLOCKS {
            self.by_rows(source, bias, &mut out);
        } else {
            self.by_columns(source, bias, &mut out);
        }
        out
    }

    /// Threads divide the columns; all weights are arranged before.
    fn by_columns(&self, source: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
        let steps = self.weights.steps();
        let mut packed = WEIGHTS.take(self.groups * self.weights.panels() * steps);
        packed.par_chunks_exact_mut(self.weights.panels() * steps).enumerate().for_each(|(group, packed)| {
            let pieces = packed.par_chunks_mut(2 * TOGETHER * steps).enumerate();
            pieces.for_each(|(piece, packed)| self.weights.pack(group, piece * 2 * TOGETHER, packed));
        });
        let columns = self.output.plane();
        let blocks = columns.div_ceil(COLUMNS);
        let count = pieces(blocks);
        let bounds: Vec<usize> = (0..=count).map(|i| (blocks * i / count * COLUMNS).min(columns)).collect();
        let parts = split_columns(out, columns, &bounds);
        parts.into_par_iter().zip(&bounds).for_each(|(mut rows, start)| {
            let mut worker = Worker::new(self);
            let end = start + rows.first().map_or(0, |row| row.len());
            for block in (*start..end).step_by(COLUMNS) {
                worker.locate(block);
                for group in 0..self.groups {
                    worker.sum(group, source, &packed);
                    let rows = &mut rows[group * self.outputs()..(group + 1) * self.outputs()];
                    let bias = bias.map(|bias| &bias[group * self.outputs()..]);
                    write(&worker.tiles, bias, rows.iter_mut().map(|row| &mut row[block - start..]));
                }
            }
        });
    }

    /// Threads divide the rows, and each arranges its weights itself just before it needs them. At the end of a network
    /// there are more weights than anything else: to write them to memory and read them again would take as long as the
    /// sums.
    fn by_rows(&self, source: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
        let (plane, steps) = (self.output.plane(), self.weights.steps());
        for (group, out) in out.chunks_exact_mut(self.outputs() * plane).enumerate() {
            let starts: Vec<usize> = (0..plane).step_by(COLUMNS).collect();
            let blocks = starts.into_par_iter().map(|block| {
                let mut worker = Worker::new(self);
                worker.locate(block);
                worker.load(group, source, 0..worker.taps.len() * self.sources());
                (block, worker.panel, worker.runs)
            });
            let blocks: Vec<_> = blocks.collect();
            out.par_chunks_mut(TOGETHER * ROWS * plane).enumerate().for_each(|(piece, out)| {
                let rows = out.len() / plane;
                let mut packed = WEIGHTS.take(rows.div_ceil(ROWS) * steps);
                self.weights.pack(group, piece * TOGETHER, &mut packed);
                let bias = bias.map(|bias| &bias[group * self.outputs() + piece * TOGETHER * ROWS..]);
                for (block, panel, runs) in &blocks {
                    let mut tiles = [[[0.0; COLUMNS]; ROWS]; TOGETHER];
                    multiply(&packed, steps, panel, runs, &mut tiles);
                    write(&tiles, bias, out.chunks_exact_mut(plane).map(|row| &mut row[*block..]));
                }
            });
        }
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn sources(&self) -> usize {
        self.source.c / self.groups
    }

    fn outputs(&self) -> usize {
        self.output.c / self.groups
    }
}

/// Writes rows of tiles, with their bias, to the beginnings of rows of the result.
fn write<'a>(tiles: &[Tile], bias: Option<&[f32]>, rows: impl Iterator<Item = &'a mut [f32]>) {
    for (index, (row, sums)) in rows.zip(tiles.as_flattened()).enumerate() {
        let bias = bias.map_or(0.0, |bias| bias[index]);
        for (out, sum) in row.iter_mut().zip(sums) {
            *out = sum + bias;
        }
    }
}

/// Columns of a block that belong to one position.
struct Piece {
    /// First column within the block.
    column: usize,
    len: usize,
    /// Where in a source channel the first column's image of each tap lies.
    sources: Vec<Option<usize>>,
}

struct Worker<'a> {
    gather: &'a Gather<'a>,
    pieces: Vec<Piece>,
    /// Taps that read something in at least one piece.
    taps: Vec<usize>,
    panel: Vec<Right>,
    runs: Vec<Run>,
    tiles: Vec<Tile>,
}

impl<'a> Worker<'a> {
    fn new(gather: &'a Gather<'a>) -> Self {
        Self {
            gather,
            pieces: Vec::new(),
            taps: Vec::new(),
            panel: Vec::new(),
            runs: Vec::new(),
            tiles: vec![[[0.0; COLUMNS]; ROWS]; gather.weights.panels()],
        }
    }

    /// Finds out what the columns of a block read.
    fn locate(&mut self, block: usize) {
        let Gather { source, output, rows, columns, kernel, .. } = self.gather;
        let width = COLUMNS.min(output.plane() - block);
        self.pieces.clear();
        let mut column = 0;
        while column < width {
            let (position, image) = ((block + column) / output.n, (block + column) % output.n);
            let len = (output.n - image).min(width - column);
            let mut sources = vec![None; self.gather.taps()];
            for row in rows.window(position / output.w) {
                for meeting in columns.window(position % output.w) {
                    let at = (row.at * source.w + meeting.at) * source.n + image;
                    sources[row.tap * kernel[1] + meeting.tap] = Some(at);
                }
            }
            self.pieces.push(Piece { column, len, sources });
            column += len;
        }
        self.taps.clear();
        let read = |tap: &usize| self.pieces.iter().any(|piece| piece.sources[*tap].is_some());
        self.taps.extend((0..self.gather.taps()).filter(read));
    }

    /// Sums over all taps and source channels of a group.
    fn sum(&mut self, group: usize, source: &[f32], packed: &[Left]) {
        let steps = self.gather.weights.steps();
        let packed = &packed[group * self.tiles.len() * steps..(group + 1) * self.tiles.len() * steps];
        self.tiles.fill([[0.0; COLUMNS]; ROWS]);
        let total = self.taps.len() * self.gather.sources();
        for start in (0..total).step_by(STEPS) {
            self.load(group, source, start..total.min(start + STEPS));
            multiply(packed, steps, &self.panel, &self.runs, &mut self.tiles);
        }
    }

    /// Fills the panel with some of the steps that read something: tap, then channel.
    fn load(&mut self, group: usize, source: &[f32], steps: Range<usize>) {
        let (channels, plane) = (self.gather.sources(), self.gather.source.plane());
        let source = &source[group * channels * plane..(group + 1) * channels * plane];
        self.panel.clear();
        self.runs.clear();
        let mut step = steps.start;
        while step < steps.end {
            let (tap, channel) = (self.taps[step / channels], step % channels);
            let len = (channels - channel).min(steps.end - step);
            self.add_run(Run { left: tap * channels + channel, right: step - steps.start, len });
            self.copy(&source[channel * plane..(channel + len) * plane], tap);
            step += len;
        }
    }

    fn add_run(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.left + last.len == run.left => last.len += run.len,
            _ => self.runs.push(run),
        }
    }

    /// Copies what a tap reads of each channel into the panel.
    fn copy(&mut self, channels: &[f32], tap: usize) {
        let plane = self.gather.source.plane();
        if let [Piece { len: COLUMNS, sources, .. }] = self.pieces.as_slice()
            && let Some(at) = sources[tap]
        {
            let rows = channels.chunks_exact(plane).filter_map(|channel| channel[at..].first_chunk::<COLUMNS>());
            self.panel.extend(rows);
            return;
        }
        for channel in channels.chunks_exact(plane) {
            let mut row = [0.0; COLUMNS];
            for piece in &self.pieces {
                if let Some(at) = piece.sources[tap] {
                    row[piece.column..piece.column + piece.len].copy_from_slice(&channel[at..at + piece.len]);
                }
            }
            self.panel.push(row);
        }
    }
}
