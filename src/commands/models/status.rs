//! `takt models status`: one model as its server describes it.

use std::fmt;

use serde::Serialize;
use takt_proto::inference::model_config::SchedulingChoice;
use takt_proto::inference::model_metadata_response::TensorMetadata;
use takt_proto::inference::{
    ModelConfig, ModelConfigRequest, ModelMetadataRequest, ModelStatistics, ModelStatisticsRequest, StatisticDuration,
};

use super::patient;
use crate::client::{Grpc, told};

/// What a model takes and gives, how it runs, and what it did.
#[derive(Debug, Serialize)]
pub struct Status {
    name: String,
    versions: Vec<String>,
    platform: String,
    /// Of the version that answers when none is asked for; absent where the server is not Takt.
    version_digest: Option<String>,
    provider: Option<String>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    config: Config,
    statistics: Vec<Statistics>,
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Config {
    /// 0 where the model has no batch dimension.
    max_batch_size: i32,
    instances: i32,
    /// Absent where requests do not share runs.
    batching: Option<Batching>,
}

#[derive(Debug, Serialize)]
struct Batching {
    preferred_sizes: Vec<i32>,
    max_delay_us: u64,
    /// 0 where it has no limit.
    max_queue_size: u32,
}

#[derive(Debug, Serialize)]
struct Statistics {
    version: String,
    images: u64,
    runs: u64,
    answered: u64,
    failed: u64,
    mean_queue_ms: f64,
    mean_infer_ms: f64,
    batches: Vec<Batches>,
}

/// Runs of one batch size.
#[derive(Debug, Serialize)]
struct Batches {
    size: u64,
    runs: u64,
    mean_infer_ms: f64,
}

/// Asks for everything about a model.
pub async fn ask(server: &mut Grpc, model: &str) -> anyhow::Result<Status> {
    let (name, version) = (model.to_owned(), String::new());
    let request = ModelMetadataRequest { name: name.clone(), version: version.clone() };
    let answer = server.model_metadata(patient(request)).await.map_err(told)?;
    let header = |key: &str| Some(answer.metadata().get(key)?.to_str().ok()?.to_owned());
    let (version_digest, provider) = (header("x-takt-version-digest"), header("x-takt-provider"));
    let metadata = answer.into_inner();
    let request = ModelConfigRequest { name: name.clone(), version: version.clone() };
    let config = server.model_config(patient(request)).await.map_err(told)?.into_inner().config.unwrap_or_default();
    let request = ModelStatisticsRequest { name, version };
    let statistics = server.model_statistics(patient(request)).await.map_err(told)?.into_inner().model_stats;
    Ok(Status {
        name: metadata.name,
        versions: metadata.versions,
        platform: metadata.platform,
        version_digest,
        provider,
        inputs: metadata.inputs.into_iter().map(Tensor::from).collect(),
        outputs: metadata.outputs.into_iter().map(Tensor::from).collect(),
        config: Config::from(&config),
        statistics: statistics.into_iter().map(Statistics::from).collect(),
    })
}

impl From<TensorMetadata> for Tensor {
    fn from(TensorMetadata { name, datatype, shape }: TensorMetadata) -> Self {
        Self { name, datatype, shape }
    }
}

impl From<&ModelConfig> for Config {
    fn from(config: &ModelConfig) -> Self {
        let batching = match &config.scheduling_choice {
            Some(SchedulingChoice::DynamicBatching(batching)) => Some(Batching {
                preferred_sizes: batching.preferred_batch_size.clone(),
                max_delay_us: batching.max_queue_delay_microseconds,
                max_queue_size: batching.default_queue_policy.as_ref().map_or(0, |policy| policy.max_queue_size),
            }),
            _ => None,
        };
        let instances = config.instance_group.iter().map(|group| group.count).sum();
        Self { max_batch_size: config.max_batch_size, instances, batching }
    }
}

impl From<ModelStatistics> for Statistics {
    fn from(statistics: ModelStatistics) -> Self {
        let sums = statistics.inference_stats.unwrap_or_default();
        let count = |sum: Option<StatisticDuration>| sum.map_or(0, |sum| sum.count);
        let batches = statistics.batch_stats.into_iter().map(|batch| Batches {
            size: batch.batch_size,
            runs: count(batch.compute_infer),
            mean_infer_ms: mean_ms(batch.compute_infer),
        });
        Self {
            version: statistics.version,
            images: statistics.inference_count,
            runs: statistics.execution_count,
            answered: count(sums.success),
            failed: count(sums.fail),
            mean_queue_ms: mean_ms(sums.queue),
            mean_infer_ms: mean_ms(sums.compute_infer),
            batches: batches.collect(),
        }
    }
}

fn mean_ms(sum: Option<StatisticDuration>) -> f64 {
    sum.filter(|sum| sum.count > 0).map_or(0.0, |sum| sum.ns as f64 / sum.count as f64 / 1e6)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model      {}, versions {}", self.name, self.versions.join(", "))?;
        let digest = self.version_digest.as_deref().map(|digest| format!(", digest {digest}")).unwrap_or_default();
        writeln!(f, "runs on    {}{digest}", self.provider.as_deref().unwrap_or(&self.platform))?;
        for (what, tensors) in [("input ", &self.inputs), ("output", &self.outputs)] {
            for Tensor { name, datatype, shape } in tensors {
                writeln!(f, "{what}     {name} {datatype} {shape:?}")?;
            }
        }
        let Config { max_batch_size, instances, batching } = &self.config;
        let ending = if *instances == 1 { "" } else { "s" };
        write!(f, "config     {instances} instance{ending}, ")?;
        match batching {
            None => writeln!(f, "largest batch {max_batch_size}, requests do not share runs")?,
            Some(Batching { preferred_sizes, max_delay_us, max_queue_size }) => {
                let delay = *max_delay_us as f64 / 1e3;
                writeln!(f, "batches up to {max_batch_size}, waiting at most {delay} ms for company")?;
                if !preferred_sizes.is_empty() {
                    writeln!(f, "           preferred sizes {preferred_sizes:?}")?;
                }
                if *max_queue_size > 0 {
                    writeln!(f, "           at most {max_queue_size} requests queue")?;
                }
            }
        }
        self.statistics.iter().try_for_each(|statistics| statistics.fmt(f))
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, images, runs, answered, failed, mean_queue_ms, mean_infer_ms, batches } = self;
        writeln!(
            f,
            "version {version:<2} {answered} requests answered, {failed} failed; {images} images in {runs} runs"
        )?;
        writeln!(f, "           on average {mean_queue_ms:.2} ms in the queue and {mean_infer_ms:.2} ms in the model")?;
        for Batches { size, runs, mean_infer_ms } in batches {
            writeln!(f, "           batches of {size:<3} {runs} runs of {mean_infer_ms:.2} ms on average")?;
        }
        Ok(())
    }
}
