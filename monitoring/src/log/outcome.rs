//! An [`Outcome`] as bytes.
//!
//! ```text
//! flags u8, prediction id u128, routed_at - id's time (signed), [part text], [station], [product], model, version,
//! share in millionths, queue, decode, input, infer, output (ns), [error kind],
//! [class, label, score f32, defect score f32, verdict u8], [list, values, value f32 ...]
//! ```
//! Numbers without a width are varints; station, product, model, version, error kind and label are texts of the segment.

use std::time::Duration;

use takt_artifact::VersionDigest;
use takt_artifact::decision::{Judgement, Verdict};

use super::{BadRecord, Codec, Input, Kind, LogError, Output, Texts};
use crate::events::{
    Arm, FeatureList, Features, Latency, Outcome, PredictionId, Schema, Status, TrafficShare, UnixMillis,
};

/// Codec of the prediction log.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    texts: Texts,
}

// The two lowest bits of the flags are the arm.
const ARM: u8 = 3;
const PART: u8 = 1 << 2;
const STATION: u8 = 1 << 3;
const PRODUCT: u8 = 1 << 4;
const ERROR: u8 = 1 << 5;
const DECISION: u8 = 1 << 6;
const FEATURES: u8 = 1 << 7;

/// More features than any list has.
const MOST_FEATURES: usize = 1 << 16;
/// Bytes of a class's label or an error's kind.
const LONGEST_TEXT: usize = 4096;

impl Codec for Outcomes {
    type Record = Outcome;
    const KIND: Kind = Kind::Outcomes;
    const SCHEMA: u16 = 1;

    fn encode(&mut self, outcome: &Outcome, out: &mut Vec<u8>) -> Result<(), LogError> {
        check(outcome)?;
        let id = outcome.prediction_id;
        out.push(flags(outcome));
        out.extend_from_slice(&id.bits().to_le_bytes());
        out.signed(outcome.routed_at.0.wrapping_sub(id.time().0).cast_signed());
        if let Some(part) = &outcome.part_id {
            out.text(part);
        }
        for name in [outcome.station.as_ref(), outcome.product.as_ref(), Some(&outcome.model)].into_iter().flatten() {
            self.texts.write(name, out);
        }
        self.texts.write_digest(&outcome.version_digest, out);
        out.varint(millionths(outcome.rho));
        let Latency { queue, decode, input, infer, output } = &outcome.latency;
        for stage in [queue, decode, input, infer, output] {
            out.varint(u64::try_from(stage.as_nanos()).unwrap_or(u64::MAX));
        }
        if let Status::Error(kind) = &outcome.status {
            self.texts.write(kind, out);
        }
        if let Some(Judgement { class, label, score, defect_score, verdict }) = &outcome.decision {
            out.varint(*class as u64);
            self.texts.write(label, out);
            out.extend_from_slice(&score.to_le_bytes());
            out.extend_from_slice(&defect_score.to_le_bytes());
            out.push(verdict_byte(*verdict));
        }
        if !outcome.features.is_empty() {
            out.varint(outcome.features.list.0.into());
            out.varint(outcome.features.values.len() as u64);
            outcome.features.values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8]) -> Result<Outcome, BadRecord> {
        let mut input = Input::new(payload);
        let flags = input.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let prediction_id = PredictionId::from_bits(u128::from_le_bytes(input.array()?));
        let delta = input.signed()?;
        let outcome = Outcome {
            schema: Schema,
            prediction_id,
            routed_at: UnixMillis(prediction_id.time().0.wrapping_add_signed(delta)),
            part_id: has(PART).then(|| input.name()).transpose()?,
            station: has(STATION).then(|| self.texts.read_name(&mut input)).transpose()?,
            product: has(PRODUCT).then(|| self.texts.read_name(&mut input)).transpose()?,
            model: self.texts.read_name(&mut input)?,
            version_digest: self.version(&mut input)?,
            arm: arm(flags & ARM)?,
            rho: share(&mut input)?,
            latency: latency(&mut input)?,
            status: match has(ERROR) {
                true => Status::Error(self.texts.read(&mut input)?.into()),
                false => Status::Ok,
            },
            decision: has(DECISION).then(|| self.judgement(&mut input)).transpose()?,
            features: if has(FEATURES) { features(&mut input)? } else { Features::default() },
        };
        input.end()?;
        Ok(outcome)
    }
}

impl Outcomes {
    fn version(&mut self, input: &mut Input<'_>) -> Result<VersionDigest, BadRecord> {
        self.texts.read(input)?.parse().map_err(|_| BadRecord("a version's digest is no sha256"))
    }

    fn judgement(&mut self, input: &mut Input<'_>) -> Result<Judgement, BadRecord> {
        Ok(Judgement {
            class: usize::try_from(input.varint()?)
                .map_err(|_| BadRecord("a class has a number beyond all classes"))?,
            label: self.texts.read(input)?,
            score: f32::from_le_bytes(input.array()?),
            defect_score: f32::from_le_bytes(input.array()?),
            verdict: verdict(input.byte()?)?,
        })
    }
}

/// Names and numbers bound themselves; these three do not.
fn check(outcome: &Outcome) -> Result<(), LogError> {
    LogError::at_most("number of features", outcome.features.values.len(), MOST_FEATURES)?;
    if let Some(decision) = &outcome.decision {
        LogError::at_most("bytes of a class's label", decision.label.len(), LONGEST_TEXT)?;
    }
    match &outcome.status {
        Status::Error(kind) => LogError::at_most("bytes of an error's kind", kind.len(), LONGEST_TEXT),
        Status::Ok => Ok(()),
    }
}

fn flags(outcome: &Outcome) -> u8 {
    let present = [
        (PART, outcome.part_id.is_some()),
        (STATION, outcome.station.is_some()),
        (PRODUCT, outcome.product.is_some()),
        (ERROR, outcome.status != Status::Ok),
        (DECISION, outcome.decision.is_some()),
        (FEATURES, !outcome.features.is_empty()),
    ];
    present.into_iter().filter(|(_, present)| *present).fold(arm_byte(outcome.arm), |flags, (flag, _)| flags | flag)
}

pub(crate) const fn arm_byte(arm: Arm) -> u8 {
    match arm {
        Arm::Stable => 0,
        Arm::Canary => 1,
        Arm::Shadow => 2,
    }
}

pub(crate) const fn arm(byte: u8) -> Result<Arm, BadRecord> {
    match byte {
        0 => Ok(Arm::Stable),
        1 => Ok(Arm::Canary),
        2 => Ok(Arm::Shadow),
        _ => Err(BadRecord("its arm is unknown")),
    }
}

pub(crate) const fn verdict_byte(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Good => 0,
        Verdict::Defect => 1,
        Verdict::Uncertain => 2,
    }
}

pub(crate) const fn verdict(byte: u8) -> Result<Verdict, BadRecord> {
    match byte {
        0 => Ok(Verdict::Good),
        1 => Ok(Verdict::Defect),
        2 => Ok(Verdict::Uncertain),
        _ => Err(BadRecord("its verdict is unknown")),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000")]
fn millionths(share: TrafficShare) -> u64 {
    (share.get() * 1e6).round() as u64
}

fn share(input: &mut Input<'_>) -> Result<TrafficShare, BadRecord> {
    let millionths = u32::try_from(input.varint()?).unwrap_or(u32::MAX);
    TrafficShare::new(f64::from(millionths) / 1e6).map_err(|_| BadRecord("a share is above 1"))
}

fn latency(input: &mut Input<'_>) -> Result<Latency, BadRecord> {
    let mut stage = || input.varint().map(Duration::from_nanos);
    Ok(Latency { queue: stage()?, decode: stage()?, input: stage()?, infer: stage()?, output: stage()? })
}

fn features(input: &mut Input<'_>) -> Result<Features, BadRecord> {
    let list = u16::try_from(input.varint()?).map_err(|_| BadRecord("a feature list has a number beyond 16 bits"))?;
    let count = input.count(4)?;
    let values = input.take(count * 4)?.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Ok(Features { list: FeatureList(list), values })
}
