//! What the request path does for the monitor: count, and hand over without waiting.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use takt_artifact::decision::{Judgement, Verdict};
use takt_artifact::judge::Confidence;
use takt_image::ImageStatistics;
use takt_monitoring::capture::{CaptureConfig, Hints, Reason};
use takt_monitoring::drift::{Counters, Seen};
use takt_monitoring::events::{Arm, Latency, Name, PredictionId, Status, TrafficShare, UnixMillis};
use takt_monitoring::features::{IMAGE_LEN, VISION_LEN, Vision};

use super::budget::Budget;
use super::note::Note;
use super::stations::Stations;
use crate::error::{ErrorKind, InferError};
use crate::request::{Origin, StageTimes};

/// What is known of one answered row.
#[derive(Debug, Clone, Copy)]
pub struct ObservedRow<'a> {
    /// The verdict, where the version judges.
    pub judgement: Option<&'a Judgement>,
    /// How sure it is.
    pub confidence: Option<Confidence>,
    /// Figures of the image, where they were taken.
    pub image: Option<ImageStatistics>,
    /// The image as it came, where one came.
    pub encoded: Option<&'a Bytes>,
}

/// A request's place in a rollout; without one it is all stable's.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// Who answered it.
    pub arm: Arm,
    /// The candidate's share when it was routed.
    pub rho: TrafficShare,
}

impl Default for Placed {
    fn default() -> Self {
        Self { arm: Arm::Stable, rho: TrafficShare::NONE }
    }
}

/// What is handed to the hub.
#[derive(Debug)]
pub(super) struct Event {
    /// The hub's number of the version.
    pub(super) watch: u64,
    pub(super) note: Note,
    /// The image, where it is worth keeping.
    pub(super) keep: Option<(Bytes, Reason)>,
}

/// The monitor's end in a version that serves. Nothing in it waits.
#[derive(Debug)]
pub struct VersionTap {
    pub(super) watch: u64,
    /// Over the grid of the reference; none while it is being learned.
    pub(super) counters: ArcSwapOption<Counters>,
    pub(super) events: SyncSender<Event>,
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) stations: Arc<Stations>,
    pub(super) images: Budget,
    /// What makes an image worth keeping; none where images are not kept.
    pub(super) capture: Option<CaptureConfig>,
    /// How many images a second may be kept.
    pub(super) keeps: Budget,
    /// Whether the last window had drifted.
    pub(super) drifted: AtomicBool,
}

impl VersionTap {
    /// Whether the image of a request that arrives now is to be measured.
    #[must_use]
    pub fn measures_image(&self, now: Instant) -> bool {
        self.images.take(now)
    }

    /// Whether images may be worth keeping, and so have to be at hand when the answer comes.
    #[must_use]
    pub fn keeps_images(&self) -> bool {
        self.capture.is_some()
    }

    /// A request arrived, of that many rows.
    pub fn arrived(&self, origin: &Origin, rows: usize) {
        self.stations.with(origin.station.as_deref(), |counters| {
            counters.inputs.fetch_add(rows as u64, Relaxed);
        });
    }

    /// A request was answered.
    pub fn answered<'a>(
        &self,
        origin: &Origin,
        placed: Placed,
        prediction: PredictionId,
        times: &StageTimes,
        rows: impl ExactSizeIterator<Item = ObservedRow<'a>>,
    ) {
        // A copy is no throughput.
        let counted = if placed.arm == Arm::Shadow { 0 } else { rows.len() as u64 };
        let station = self.stations.with(origin.station.as_deref(), |counters| {
            counters.outputs.fetch_add(counted, Relaxed);
            counters.name.clone()
        });
        let (product, part) = (name(origin.product.as_deref()), name(origin.part_id.as_deref()));
        let station = station.or_else(|| name(origin.station.as_deref()));
        let (routed_at, latency) = (UnixMillis::from(SystemTime::now()), latency(times));
        let counters = self.counters.load();
        for (row, ObservedRow { judgement, confidence, image, encoded }) in rows.enumerate() {
            let values = features(image.as_ref(), confidence.as_ref());
            if let Some(counters) = &*counters {
                counters.observe(&Seen {
                    product: origin.product.as_deref(),
                    station: origin.station.as_deref(),
                    part: origin.part_id.as_deref(),
                    values: &values,
                    image: image.is_some(),
                    answer: confidence.is_some(),
                    class: judgement.map(|judgement| judgement.class),
                });
            }
            let (measured, prediction) = (image.is_some() || confidence.is_some(), prediction.row(row));
            let verdict = judgement.map(|judgement| judgement.verdict);
            let keep = encoded.and_then(|image| Some((image.clone(), self.worth_keeping(prediction, verdict)?)));
            let note = Note {
                prediction,
                part: part.clone(),
                station: station.clone(),
                product: product.clone(),
                placed,
                routed_at,
                latency,
                status: Status::Ok,
                judged: judgement.map(Into::into),
                values: measured.then_some(values),
            };
            self.hand_over(note, keep);
        }
    }

    /// A request failed.
    pub fn failed(&self, origin: &Origin, placed: Placed, error: &InferError) {
        if error.kind() == ErrorKind::BadImage {
            self.stations.with(origin.station.as_deref(), |counters| {
                counters.undecodable.fetch_add(1, Relaxed);
            });
        }
        let prediction = PredictionId::at(SystemTime::now().into());
        let note = Note {
            prediction,
            part: name(origin.part_id.as_deref()),
            station: name(origin.station.as_deref()),
            product: name(origin.product.as_deref()),
            placed,
            routed_at: prediction.time(),
            latency: Latency::default(),
            status: Status::Error(Cow::Borrowed(error.kind().label())),
            judged: None,
            values: None,
        };
        self.hand_over(note, None);
    }

    /// Why the image of an outcome is to be kept, if it is. The disk gets a few a second at most, however many there are.
    fn worth_keeping(&self, prediction: PredictionId, verdict: Option<Verdict>) -> Option<Reason> {
        let hints = Hints { disagreeing: false, drifted: self.drifted.load(Relaxed) };
        let reason = self.capture.as_ref()?.reason(prediction, verdict, hints)?;
        self.keeps.take(Instant::now()).then_some(reason)
    }

    fn hand_over(&self, note: Note, keep: Option<(Bytes, Reason)>) {
        if self.events.try_send(Event { watch: self.watch, note, keep }).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// What clients call things that cannot be a name is left out.
fn name(text: Option<&str>) -> Option<Name> {
    Name::new(text?).ok()
}

fn latency(times: &StageTimes) -> Latency {
    let StageTimes { queue, decode, input, infer, output } = *times;
    Latency { queue, decode, input, infer, output }
}

/// The features in their order; NaN where there is none.
fn features(image: Option<&ImageStatistics>, confidence: Option<&Confidence>) -> Vision {
    let mut values = [f32::NAN; VISION_LEN];
    if let Some(image) = image {
        values[..IMAGE_LEN].copy_from_slice(&image.values());
    }
    if let Some(Confidence { top, entropy, margin }) = confidence {
        values[IMAGE_LEN..].copy_from_slice(&[*top, *entropy, *margin]);
    }
    values
}

#[cfg(test)]
mod tests {
    use takt_monitoring::features::VISION_NAMES;

    use super::*;

    #[test]
    fn the_list_of_features_is_what_is_measured() {
        assert_eq!(VISION_NAMES[..IMAGE_LEN], ImageStatistics::NAMES);
        let confidence = Confidence { top: 0.75, entropy: 0.5, margin: 0.25 };
        let values = features(None, Some(&confidence));
        assert!(values[..IMAGE_LEN].iter().all(|value| value.is_nan()));
        assert_eq!(values[IMAGE_LEN..], [0.75, 0.5, 0.25]);
        assert_eq!(VISION_NAMES[IMAGE_LEN..], ["top_probability", "score_entropy", "margin"]);
    }
}
