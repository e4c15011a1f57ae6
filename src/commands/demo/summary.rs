//! What the demonstration's answers come to.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use takt_proto::inference::ModelStatisticsRequest;

use crate::client::{self, Failure, Prediction, ServerUrl, told};

/// An image with its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answered {
    /// The file's name.
    pub file: String,
    /// What it shows, from its name.
    pub truth: String,
    /// What the server said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// Why it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// All of them together.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Number of images.
    pub images: usize,
    /// Images without an answer.
    pub failed: usize,
    /// Images whose class is what they show.
    pub right: usize,
    /// Median over the images with an answer.
    pub p50_latency_ms: f64,
    /// Number of runs per batch size, ascending.
    pub batches: Vec<(u64, u64)>,
    /// What runs the model.
    pub provider: Option<String>,
}

impl Answered {
    /// An answer to the image in `file`.
    pub fn new(file: &Path, answer: Result<Prediction, Failure>) -> Self {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let truth = name.split_once('-').map_or("?", |(class, _)| class).to_owned();
        let (prediction, error) = match answer {
            Ok(prediction) => (Some(prediction), None),
            Err(failure) => (None, Some(failure)),
        };
        Self { file: name, truth, prediction, error }
    }

    /// Whether the class is what the image shows.
    pub fn is_right(&self) -> bool {
        self.prediction.as_ref().and_then(Prediction::class).is_some_and(|class| class == self.truth)
    }
}

impl Summary {
    /// Sums up, and asks the server for the batches it ran.
    pub async fn ask(answers: &[Answered], url: &ServerUrl, model: &str) -> anyhow::Result<Self> {
        let request = ModelStatisticsRequest { name: model.to_owned(), version: String::new() };
        let statistics = client::connect(url).await?.model_statistics(request).await.map_err(told)?.into_inner();
        let batches = statistics.model_stats.iter().flat_map(|version| &version.batch_stats);
        let batches = batches.map(|batch| (batch.batch_size, batch.compute_infer.map_or(0, |sum| sum.count))).collect();
        let predictions: Vec<&Prediction> =
            answers.iter().filter_map(|answered| answered.prediction.as_ref()).collect();
        Ok(Self {
            images: answers.len(),
            failed: answers.len() - predictions.len(),
            right: answers.iter().filter(|answered| answered.is_right()).count(),
            p50_latency_ms: median(predictions.iter().map(|prediction| prediction.latency_ms).collect()),
            batches,
            provider: predictions.first().and_then(|prediction| prediction.provider.clone()),
        })
    }
}

/// The lower median; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, failed, right, p50_latency_ms, batches, provider } = self;
        write!(f, "{right} of {images} right")?;
        if *failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        let batches: Vec<String> = batches
            .iter()
            .map(|(size, runs)| format!("{runs} run{} of {size}", if *runs == 1 { "" } else { "s" }))
            .collect();
        writeln!(
            f,
            "; p50 {p50_latency_ms:.1} ms one at a time; {}; on {}",
            if batches.is_empty() { "no runs".to_owned() } else { batches.join(", ") },
            provider.as_deref().unwrap_or("an unknown provider")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_is_in_the_files_name() {
        let answered = Answered::new(Path::new("images/dent-000003.jpg"), Err(Failure::answer("none")));
        assert_eq!((answered.truth.as_str(), answered.is_right()), ("dent", false));
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lower_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0, 4.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
