//! Each output position gathers its sources: the forward pass, and with transposed geometry the gradient of the input.
//!
//! An implicit matrix product: sixteen columns (positions and images) at a time, the rows that the taps read are copied
//! into a panel that stays in the first-level cache while all rows of weights pass over it. Nothing is unfolded in
//! memory. Taps that read padding, or that a stride leaves out, cost nothing: for a 3x3 window on maps of 2x2 that is
//! more than half of all taps.

use rayon::prelude::*;

use super::shape::Axis;
use super::tile::{COLUMNS, Left, ROWS, Right, Run, Tile, multiply};
use crate::batch::Dims;
use crate::parallel::{pieces, split_columns};

/// Steps of the panel that is kept in the first-level cache: 16 KiB.
const STEPS: usize = 256;

/// A sum over taps and source channels for each output position.
pub(crate) struct Gather<'a> {
    pub source: Dims,
    pub output: Dims,
    pub groups: usize,
    /// For each output position the taps and the source positions they read.
    pub rows: &'a Axis,
    pub columns: &'a Axis,
    pub kernel: [usize; 2],
}

impl Gather<'_> {
    /// `packed` are the weights as [`super::weights`] arranges them, `bias` one number per output channel.
    pub fn run(&self, source: &[f32], packed: &[Left], bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = vec![0.0; self.output.elements()];
        let columns = self.output.plane();
        let blocks = columns.div_ceil(COLUMNS);
        let count = pieces(blocks);
        let bounds: Vec<usize> = (0..=count).map(|i| (blocks * i / count * COLUMNS).min(columns)).collect();
        let parts = split_columns(&mut out, columns, &bounds);
        parts.into_par_iter().zip(&bounds).for_each(|(mut rows, start)| {
            let mut worker = Worker::new(self, packed);
            let end = start + rows.first().map_or(0, |row| row.len());
            for block in (*start..end).step_by(COLUMNS) {
                let width = COLUMNS.min(end - block);
                worker.locate(block, width);
                for group in 0..self.groups {
                    worker.sum(group, source);
                    worker.write(group, bias, &mut rows, block - start, width);
                }
            }
        });
        out
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
    packed: &'a [Left],
    pieces: Vec<Piece>,
    /// Taps that read something in at least one piece.
    taps: Vec<usize>,
    panel: Vec<Right>,
    runs: Vec<Run>,
    tiles: Vec<Tile>,
}

impl<'a> Worker<'a> {
    fn new(gather: &'a Gather<'a>, packed: &'a [Left]) -> Self {
        let tiles = vec![[[0.0; COLUMNS]; ROWS]; gather.outputs().div_ceil(ROWS)];
        Self { gather, packed, pieces: Vec::new(), taps: Vec::new(), panel: Vec::new(), runs: Vec::new(), tiles }
    }

    /// Finds out what the columns of a block read.
    fn locate(&mut self, block: usize, width: usize) {
        let Gather { source, output, rows, columns, kernel, .. } = self.gather;
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
    fn sum(&mut self, group: usize, source: &[f32]) {
        let channels = self.gather.sources();
        let plane = self.gather.source.plane();
        let source = &source[group * channels * plane..(group + 1) * channels * plane];
        let steps = self.gather.taps() * channels;
        let packed = &self.packed[group * self.tiles.len() * steps..(group + 1) * self.tiles.len() * steps];
        self.tiles.fill([[0.0; COLUMNS]; ROWS]);
        let total = self.taps.len() * channels;
        for start in (0..total).step_by(STEPS) {
            let end = total.min(start + STEPS);
            self.panel.clear();
            self.runs.clear();
            let mut step = start;
            while step < end {
                let (tap, channel) = (self.taps[step / channels], step % channels);
                let len = (channels - channel).min(end - step);
                self.add_run(Run { left: tap * channels + channel, right: step - start, len });
                self.copy(&source[channel * plane..(channel + len) * plane], tap);
                step += len;
            }
            multiply(packed, steps, &self.panel, &self.runs, &mut self.tiles);
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

    fn write(&self, group: usize, bias: Option<&[f32]>, rows: &mut [&mut [f32]], start: usize, width: usize) {
        let first = group * self.gather.outputs();
        let sums = self.tiles.as_flattened().iter();
        for (row, sums) in (first..first + self.gather.outputs()).zip(sums) {
            let bias = bias.map_or(0.0, |bias| bias[row]);
            for (out, sum) in rows[row][start..start + width].iter_mut().zip(sums) {
                *out = sum + bias;
            }
        }
    }
}
