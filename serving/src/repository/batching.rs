//! Whether a batching section makes sense, by itself and with the model's signature.

use takt_artifact::{Signature, TensorSpec};

use super::config::{DeclaredTensor, MaxBatch, ModelConfig, Source};
use super::fault::{ConfigFault, ConfigFaults};
use crate::batch::config::BatchConfig;

/// Largest `max_batch_size` that is taken for meant.
pub(super) const LARGEST_BATCH: usize = 65_536;
/// Most sessions of one model, and most threads of one run, that are taken for meant.
pub(super) const MOST_THREADS: usize = 1024;
/// Most priorities that are taken for meant.
pub(super) const MOST_PRIORITIES: u64 = 64;

/// A key of the batching section; each format has its own name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    PreferredSizes,
    AllowedSizes,
    DefaultPriority,
}

/// Something that does not make sense; the reader of the file knows where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub key: Key,
    pub found: String,
    pub expected: String,
    pub fix: String,
}

/// Sorts the sizes, fills in the largest batch they imply, and finds what contradicts what.
pub(super) fn settle(max: &mut MaxBatch, batch: &mut BatchConfig) -> Vec<Problem> {
    for sizes in [&mut batch.preferred_sizes, &mut batch.allowed_sizes] {
        sizes.sort_unstable();
        sizes.dedup();
    }
    let largest_named = batch.preferred_sizes.last().max(batch.allowed_sizes.last()).copied();
    if let (MaxBatch::Auto, Some(size)) = (*max, largest_named) {
        *max = MaxBatch::Fixed(size);
    }
    let MaxBatch::Fixed(largest) = *max else {
        return priorities(batch).into_iter().collect();
    };
    batch.max_batch_size = largest;

    let mut problems = Vec::new();
    for (key, sizes) in [(Key::PreferredSizes, &batch.preferred_sizes), (Key::AllowedSizes, &batch.allowed_sizes)] {
        if sizes.iter().any(|size| !(1..=largest).contains(size)) {
            problems.push(Problem {
                key,
                found: format!("{sizes:?}"),
                expected: format!("sizes from 1 to max_batch_size = {largest}"),
                fix: "raise max_batch_size or remove the sizes above it".to_owned(),
            });
        }
    }
    if let Some(last) = batch.allowed_sizes.last()
        && *last < largest
    {
        problems.push(Problem {
            key: Key::AllowedSizes,
            found: format!("{:?}", batch.allowed_sizes),
            expected: format!("max_batch_size = {largest} among them"),
            fix: format!("add {largest}, or set max_batch_size = {last}"),
        });
    }
    problems.extend(priorities(batch));
    problems
}

fn priorities(batch: &BatchConfig) -> Option<Problem> {
    let BatchConfig { priority_levels, default_priority, .. } = batch;
    (!(1..=*priority_levels).contains(default_priority)).then(|| Problem {
        key: Key::DefaultPriority,
        found: default_priority.to_string(),
        expected: format!("1 (first) to {priority_levels}, the number of priorities"),
        fix: "set it to a priority that exists".to_owned(),
    })
}

impl ModelConfig {
    /// The batcher's settings for a model of this signature.
    ///
    /// # Errors
    /// Batching is asked for and the model's first dimension is not free.
    pub fn batching(&self, signature: &Signature) -> Result<BatchConfig, ConfigFaults> {
        let can_batch = signature.has_free_batch();
        let max_batch_size = match self.max_batch {
            MaxBatch::Auto if can_batch && !self.declares_full_shapes(signature) => MaxBatch::AUTO,
            MaxBatch::Auto | MaxBatch::Fixed(0) => 0,
            MaxBatch::Fixed(size) if can_batch => size,
            MaxBatch::Fixed(size) => return Err(self.cannot_batch(size, signature).into()),
        };
        Ok(BatchConfig { max_batch_size, joining: self.joining, ..self.batch.clone() })
    }

    /// As Triton's auto-completion reads it: dims of the model's own rank leave no room for a batch dimension.
    fn declares_full_shapes(&self, signature: &Signature) -> bool {
        let full = |declared: &DeclaredTensor, spec: Option<&TensorSpec>| {
            let dims = declared.reshape.as_ref().unwrap_or(&declared.dims);
            spec.is_some_and(|spec| spec.shape.len() == dims.len())
        };
        let mut inputs = self.inputs.iter().map(|tensor| (tensor, signature.input(&tensor.name)));
        let mut outputs = self.outputs.iter().map(|tensor| (tensor, signature.output(&tensor.name)));
        inputs.any(|(tensor, spec)| full(tensor, spec)) || outputs.any(|(tensor, spec)| full(tensor, spec))
    }

    fn cannot_batch(&self, size: usize, signature: &Signature) -> ConfigFault {
        let tensors = signature.inputs.iter().chain(&signature.outputs);
        let fixed: Vec<String> = tensors
            .filter(|spec| spec.shape.first() != Some(&-1))
            .map(|spec| format!("'{}' has shape {:?}", spec.name, spec.shape))
            .collect();
        let zero = match self.source {
            Source::Pbtxt(_) => "max_batch_size: 0",
            Source::Toml(_) | Source::Defaults(_) => "max_batch_size = 0",
        };
        self.fault(
            "max_batch_size",
            format!("{size}, and in the model {}", fixed.join(", ")),
            "a free first dimension (-1) in every input and output of a model that batches",
            format!("export the model with a dynamic batch dimension, or set {zero}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use takt_artifact::DataType;

    use super::*;
    use crate::batch::config::Joining;

    fn signature(batch: i64) -> Signature {
        let tensor = |name: &str, shape: &[i64]| TensorSpec {
            name: name.to_owned(),
            datatype: DataType::Fp32,
            shape: shape.to_vec(),
        };
        Signature { inputs: vec![tensor("x", &[batch, 3, 8, 8])], outputs: vec![tensor("y", &[batch, 2])] }
    }

    fn config(max_batch: MaxBatch) -> ModelConfig {
        ModelConfig { max_batch, ..ModelConfig::new("m", Source::Toml("model.toml".into())) }
    }

    fn largest(config: &ModelConfig, batch: i64) -> usize {
        config.batching(&signature(batch)).unwrap().max_batch_size
    }

    #[test]
    fn a_model_that_says_nothing_batches_if_it_can() {
        assert_eq!(largest(&config(MaxBatch::Auto), -1), MaxBatch::AUTO);
        assert_eq!(largest(&config(MaxBatch::Auto), 1), 0);
    }

    #[test]
    fn whether_requests_are_joined_reaches_the_batcher() {
        for joining in [Joining::Never, Joining::Dynamic] {
            let config = ModelConfig { joining, ..config(MaxBatch::Fixed(8)) };
            assert_eq!(config.batching(&signature(-1)).unwrap().joining, joining);
        }
    }

    #[test]
    fn dims_of_full_rank_leave_no_batch_dimension() {
        let mut config = config(MaxBatch::Auto);
        config.inputs.push(DeclaredTensor {
            name: "x".to_owned(),
            datatype: None,
            dims: vec![1, 3, 8, 8],
            reshape: None,
        });
        assert_eq!(largest(&config, -1), 0);
        config.inputs[0].dims.remove(0);
        assert_eq!(largest(&config, -1), MaxBatch::AUTO);
    }

    #[test]
    fn batching_a_model_of_fixed_batch_is_refused_with_its_shapes() {
        let faults = config(MaxBatch::Fixed(4)).batching(&signature(1)).unwrap_err();
        insta::assert_snapshot!(faults, @"model.toml: max_batch_size: found 4, and in the model 'x' has shape [1, 3, 8, 8], 'y' has shape [1, 2], expected a free first dimension (-1) in every input and output of a model that batches; export the model with a dynamic batch dimension, or set max_batch_size = 0");
    }

    #[test]
    fn sizes_are_sorted_and_set_the_largest_batch() {
        let mut batch = BatchConfig { preferred_sizes: vec![8, 4, 4], ..BatchConfig::default() };
        let mut max = MaxBatch::Auto;
        assert_eq!(settle(&mut max, &mut batch), []);
        assert_eq!((max, batch.max_batch_size), (MaxBatch::Fixed(8), 8));
        assert_eq!(batch.preferred_sizes, [4, 8]);
    }

    #[test]
    fn sizes_beyond_the_largest_batch_are_refused() {
        let mut batch = BatchConfig {
            preferred_sizes: vec![0, 32],
            allowed_sizes: vec![1, 8],
            default_priority: 3,
            ..BatchConfig::default()
        };
        let problems = settle(&mut MaxBatch::Fixed(16), &mut batch);
        let keys: Vec<Key> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(keys, [Key::PreferredSizes, Key::AllowedSizes, Key::DefaultPriority]);
    }
}
