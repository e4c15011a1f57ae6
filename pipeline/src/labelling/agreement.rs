//! How far annotators agree, as one report.

use std::fmt::Write;

use serde::Serialize;
use takt_monitoring::agreement::{
    Batch, BatchStanding, DawidSkene, Resolved, ReviewLimits, Rulings, Source, Weights, dawid_skene, review, settle,
};

use super::annotations::Annotations;
use super::error::LabellingError;

/// Disputed items that are named for people.
const NAMED: usize = 8;

/// How far annotators agree. Coefficients are none where chance alone gives full agreement or nothing was rated twice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Schema of the JSON: 1.
    pub schema: u32,
    /// Items that were rated.
    pub items: usize,
    /// Classes, in the order that weights depend on.
    pub classes: Vec<String>,
    /// Cohen's kappa of each two annotators.
    pub cohen: Vec<Pair>,
    /// Fleiss' kappa of all; none also where items have different numbers of ratings.
    pub fleiss: Option<f64>,
    /// Krippendorff's alpha of all.
    pub krippendorff: Option<f64>,
    /// How each annotator errs, by Dawid and Skene's model.
    pub annotators: Vec<Annotator>,
    /// How frequent each class is, by the same model.
    pub prior: Vec<f64>,
    /// Whether the model came to rest.
    pub converged: bool,
    /// Each batch, with what is to be done with it.
    pub batches: Vec<Batch>,
    /// Version of the labelling guide in force.
    pub guide: u32,
    /// A label for each item, with where it comes from.
    pub labels: Vec<Resolved>,
}

/// Two annotators.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// One.
    pub first: String,
    /// The other.
    pub second: String,
    /// Cohen's kappa.
    pub kappa: Option<f64>,
}

/// One annotator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Annotator {
    /// The name.
    pub annotator: String,
    /// Probability of saying what an item is.
    pub accuracy: f64,
    /// For each true class the probability of each class that is said.
    pub confusion: Vec<Vec<f64>>,
}

/// Looks at annotations and rulings.
///
/// # Errors
/// An annotator says two things of one item of a batch.
pub fn agreement(
    annotations: &Annotations,
    rulings: &Rulings,
    weights: Weights,
    limits: &ReviewLimits,
) -> Result<Agreement, LabellingError> {
    let at = |source| LabellingError::Agreement { path: annotations.path.clone(), source };
    let ratings = &annotations.ratings;
    let names = ratings.annotators();
    let mut cohen = Vec::new();
    for (index, first) in names.iter().enumerate() {
        for second in names.iter().skip(index + 1) {
            let kappa = ratings.cohen(first, second, weights).map_err(at)?;
            cohen.push(Pair { first: first.to_string(), second: second.to_string(), kappa });
        }
    }
    let DawidSkene { prior, confusion, converged, .. } = dawid_skene(ratings);
    let annotators = names.iter().zip(confusion).map(|(name, confusion)| {
        let right = |class: usize| confusion.get(class).and_then(|said| said.get(class)).copied().unwrap_or(0.0);
        let accuracy = prior.iter().enumerate().map(|(class, prior)| prior * right(class)).sum();
        Annotator { annotator: name.to_string(), accuracy, confusion }
    });
    Ok(Agreement {
        schema: 1,
        items: ratings.items().len(),
        classes: ratings.classes().to_vec(),
        annotators: annotators.collect(),
        cohen,
        fleiss: ratings.fleiss(),
        krippendorff: ratings.krippendorff(),
        prior,
        converged,
        batches: review(&annotations.rows, limits).map_err(at)?,
        guide: rulings.guide(),
        labels: settle(ratings, rulings),
    })
}

impl Agreement {
    /// Batches that an expert should look at.
    pub fn for_review(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().filter(|batch| batch.standing == BatchStanding::Review)
    }

    /// The report as text for a terminal.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let (items, annotators, classes) = (self.items, self.annotators.len(), self.classes.len());
        writeln!(out, "{items} items, {annotators} annotators, {classes} classes\n")?;
        writeln!(out, "Fleiss' kappa          {}", figure(self.fleiss))?;
        writeln!(out, "Krippendorff's alpha   {}", figure(self.krippendorff))?;
        for Pair { first, second, kappa } in &self.cohen {
            writeln!(out, "Cohen's kappa          {}  {first}, {second}", figure(*kappa))?;
        }
        writeln!(out)?;
        for Annotator { annotator, accuracy, .. } in &self.annotators {
            writeln!(out, "{annotator:<22} right in {:.1} % (Dawid and Skene)", 100.0 * accuracy)?;
        }
        writeln!(out)?;
        for batch in &self.batches {
            let word = match batch.standing {
                BatchStanding::Accepted => "accepted",
                BatchStanding::Review => "REVIEW",
                BatchStanding::TooFewAnnotators => "too few annotators",
            };
            let (disputed, rated) = (batch.disputed.len(), batch.items);
            write!(out, "{word:<19} {}: {disputed} of {rated} items disputed", batch.batch)?;
            writeln!(out, " ({:.1} %)", 100.0 * batch.disagreement)?;
            if batch.standing == BatchStanding::Review {
                let more = disputed.saturating_sub(NAMED);
                let named = batch.disputed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                writeln!(out, "{:<19} {named}{more}", "")?;
            }
        }
        let count = |of: fn(&Source) -> bool| self.labels.iter().filter(|label| of(&label.source)).count();
        let ruled = count(|source| matches!(source, Source::Ruling { .. }));
        let (unanimous, majority) = (count(|s| *s == Source::Unanimous), count(|s| *s == Source::Majority));
        writeln!(
            out,
            "\nlabels: {unanimous} unanimous, {majority} by majority, {ruled} ruled (guide version {}), {} disputed",
            self.guide,
            count(|source| *source == Source::Disputed)
        )
    }
}
