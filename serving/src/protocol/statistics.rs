//! Counters of a version as the statistics extension has them.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use takt_proto::inference::{InferBatchStatistics, InferStatistics, MemoryUsage, ModelStatistics, StatisticDuration};

use crate::registry::version::ServedVersion;
use crate::telemetry::stats::Tally;

/// Everything that the protocol asks of one version.
#[must_use]
pub fn statistics(version: &ServedVersion) -> ModelStatistics {
    let stats = &version.stats;
    let batch_stats = stats
        .batches()
        .map(|(batch_size, tally)| InferBatchStatistics {
            batch_size: batch_size as u64,
            compute_input: Some(duration(&tally.input)),
            compute_infer: Some(duration(&tally.infer)),
            compute_output: Some(duration(&tally.output)),
        })
        .collect();
    ModelStatistics {
        name: version.id.model.to_string(),
        version: version.id.version.to_string(),
        last_inference: stats.last_inference_ms.load(Relaxed),
        inference_count: stats.inferences.load(Relaxed),
        execution_count: stats.executions.load(Relaxed),
        inference_stats: Some(InferStatistics {
            success: Some(duration(&stats.success)),
            fail: Some(duration(&stats.fail)),
            queue: Some(duration(&stats.queue)),
            compute_input: Some(duration(&stats.compute_input)),
            compute_infer: Some(duration(&stats.compute_infer)),
            compute_output: Some(duration(&stats.compute_output)),
            // There is no response cache.
            cache_hit: Some(StatisticDuration::default()),
            cache_miss: Some(StatisticDuration::default()),
        }),
        batch_stats,
        memory_usage: vec![MemoryUsage { r#type: "CPU".into(), id: 0, byte_size: version.artefact_bytes }],
        response_stats: HashMap::new(),
    }
}

fn duration(tally: &Tally) -> StatisticDuration {
    StatisticDuration { count: tally.count(), ns: tally.nanos() }
}
