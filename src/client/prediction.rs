//! What a server says of one image.

use std::time::Duration;

use serde::Serialize;
use takt_artifact::decision::{Judgement, Verdict};
use takt_proto::inference::ModelInferResponse;
use takt_proto::inference::infer_parameter::ParameterChoice;
use tonic::metadata::MetadataMap;

use super::failure::Failure;

/// What a server says of one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The model that answered.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Which version that is, whatever its number; absent where the server is not Takt.
    pub version_digest: Option<String>,
    /// What feedback refers to.
    pub prediction_id: Option<String>,
    /// Why this version answered, such as `stable`.
    pub route: Option<String>,
    /// What ran the model.
    pub provider: Option<String>,
    /// The version's verdict; absent where it has no decision.
    pub judgement: Option<Judgement>,
    /// The greatest values of every output.
    pub outputs: Vec<Ranking>,
    /// From sending the request to its answer.
    pub latency_ms: f64,
}

/// The greatest values of an output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// The output.
    pub output: String,
    /// Its greatest values, the greatest first; as the model gives them, before any activation.
    pub top: Vec<Ranked>,
}

/// One value of an output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// Index of the class.
    pub class: usize,
    /// Its label, where the model has labels.
    pub label: Option<String>,
    /// The value.
    pub value: f32,
}

impl Prediction {
    /// Reads an answer.
    pub(super) fn read(
        metadata: &MetadataMap,
        answer: &ModelInferResponse,
        latency: Duration,
    ) -> Result<Self, Failure> {
        let header = |key: &str| Some(metadata.get(key)?.to_str().ok()?.to_owned());
        let ranked = answer.outputs.iter().zip(&answer.raw_output_contents);
        let ranked = ranked.filter(|(output, _)| output.datatype == "BYTES");
        let outputs = ranked
            .map(|(output, data)| Ok(Ranking { output: output.name.clone(), top: ranking(&output.name, data)? }))
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            model: answer.model_name.clone(),
            version: answer.model_version.clone(),
            version_digest: header("x-takt-version-digest"),
            prediction_id: header("x-takt-prediction-id"),
            route: header("x-takt-route"),
            provider: header("x-takt-provider"),
            judgement: judgement(answer)?,
            outputs,
            latency_ms: latency.as_secs_f64() * 1e3,
        })
    }

    /// `good`, `defect`, `uncertain`, or `-` without a decision.
    pub fn verdict(&self) -> &'static str {
        match self.judgement.as_ref().map(|judgement| judgement.verdict) {
            Some(Verdict::Good) => "good",
            Some(Verdict::Defect) => "defect",
            Some(Verdict::Uncertain) => "uncertain",
            None => "-",
        }
    }

    /// The class of the verdict, or without a decision that of the greatest value.
    pub fn class(&self) -> Option<String> {
        let judged = self.judgement.as_ref().map(|judgement| judgement.label.clone());
        judged.or_else(|| self.outputs.first()?.top.first().map(Ranked::name))
    }

    /// The score of the verdict, or without a decision the greatest value.
    pub fn score(&self) -> Option<f32> {
        let judged = self.judgement.as_ref().map(|judgement| judgement.score);
        judged.or_else(|| self.outputs.first()?.top.first().map(|ranked| ranked.value))
    }
}

impl Ranked {
    /// The label, or the index where there is none.
    pub fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.class.to_string())
    }
}

/// The verdict on the one image of the request.
fn judgement(answer: &ModelInferResponse) -> Result<Option<Judgement>, Failure> {
    let choice = answer.parameters.get("takt_decision").and_then(|parameter| parameter.parameter_choice.as_ref());
    let Some(ParameterChoice::StringParam(json)) = choice else { return Ok(None) };
    let judgements: Vec<Judgement> = serde_json::from_str(json)
        .map_err(|error| Failure::answer(format!("the verdict '{json}' cannot be read: {error}")))?;
    Ok(judgements.into_iter().next())
}

/// Elements of the classification extension: each its length (u32, little-endian) and `<value>:<class>[:<label>]`.
fn ranking(output: &str, mut data: &[u8]) -> Result<Vec<Ranked>, Failure> {
    let wrong = |what: &str| {
        Failure::answer(format!(
            "classes of output '{output}' cannot be read: {what}, expected '<value>:<class>[:<label>]'"
        ))
    };
    let mut ranked = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (text, rest) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(|| wrong("cut off"))?;
        let text = str::from_utf8(text).map_err(|_| wrong("not UTF-8"))?;
        let mut parts = text.splitn(3, ':');
        let value = parts.next().and_then(|value| value.parse().ok()).ok_or_else(|| wrong(text))?;
        let class = parts.next().and_then(|class| class.parse().ok()).ok_or_else(|| wrong(text))?;
        ranked.push(Ranked { class, label: parts.next().map(str::to_owned), value });
        data = rest;
    }
    Ok(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(texts: &[&str]) -> Vec<u8> {
        let element = |text: &&str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
        texts.iter().flat_map(element).collect()
    }

    #[test]
    fn classes_are_read_with_and_without_labels() {
        let ranked = ranking("y", &elements(&["2.5:1:a:b", "-1.000000:0"])).unwrap();
        assert_eq!(ranked[0], Ranked { class: 1, label: Some("a:b".to_owned()), value: 2.5 });
        assert_eq!(ranked[1], Ranked { class: 0, label: None, value: -1.0 });
    }

    #[test]
    fn broken_elements_are_refused() {
        for data in [elements(&["x:1"]), elements(&["1.0"]), vec![9, 0, 0, 0, b'1']] {
            let failure = ranking("y", &data).unwrap_err();
            assert!(failure.message.contains("output 'y'"), "{failure}");
        }
    }
}
