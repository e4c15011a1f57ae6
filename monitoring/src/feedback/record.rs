//! What the feedback store writes: predictions without their measurements, labels, and which classes are good.

use takt_artifact::VersionDigest;
use takt_artifact::decision::Verdict;

use crate::events::{Arm, Label, LabelVerdict, Name, Outcome, PredictionId, Schema, Subject, UnixMillis};
use crate::log::{BadRecord, Codec, Input, Kind, LogError, Output, Texts, arm, arm_byte, verdict, verdict_byte};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    Predicted(Predicted),
    Labelled { label: Label, received: UnixMillis },
    Declared { version: VersionDigest, classes: Vec<(String, bool)> },
}

/// What of an outcome is needed to join it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Predicted {
    pub(super) ordinal: u64,
    pub(super) id: PredictionId,
    pub(super) routed_at: UnixMillis,
    pub(super) part: Option<Name>,
    pub(super) station: Option<Name>,
    pub(super) product: Option<Name>,
    pub(super) model: Name,
    pub(super) version: VersionDigest,
    pub(super) arm: Arm,
    pub(super) verdict: Verdict,
    pub(super) class: String,
}

impl Predicted {
    /// `None` where nothing was said of the part.
    pub(super) fn of(outcome: &Outcome, ordinal: u64) -> Option<Self> {
        let decision = outcome.decision.as_ref()?;
        Some(Self {
            ordinal,
            id: outcome.prediction_id,
            routed_at: outcome.routed_at,
            part: outcome.part_id.clone(),
            station: outcome.station.clone(),
            product: outcome.product.clone(),
            model: outcome.model.clone(),
            version: outcome.version_digest,
            arm: outcome.arm,
            verdict: decision.verdict,
            class: decision.label.clone(),
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Records {
    texts: Texts,
}

// First byte of a payload.
const PREDICTED: u8 = 1;
const LABELLED: u8 = 2;
const DECLARED: u8 = 3;

// Flags of a prediction, above arm and verdict.
const PART: u8 = 1 << 4;
const STATION: u8 = 1 << 5;
const PRODUCT: u8 = 1 << 6;

/// Bytes of a class's label.
const LONGEST_CLASS: usize = 4096;
/// Classes of a version.
const MOST_CLASSES: usize = 4096;
/// Bytes of all their labels.
const MOST_CLASS_BYTES: usize = 512 << 10;

impl Codec for Records {
    type Record = Record;
    const KIND: Kind = Kind::Feedback;
    const SCHEMA: u16 = 1;

    fn encode(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), LogError> {
        match record {
            Record::Predicted(predicted) => {
                LogError::at_most("bytes of a class's label", predicted.class.len(), LONGEST_CLASS)?;
                self.write_predicted(predicted, out);
            }
            Record::Labelled { label, received } => self.write_label(label, *received, out),
            Record::Declared { version, classes } => {
                LogError::at_most("number of classes of a version", classes.len(), MOST_CLASSES)?;
                let bytes = classes.iter().map(|(class, _)| class.len()).sum();
                LogError::at_most("bytes of a version's class labels", bytes, MOST_CLASS_BYTES)?;
                out.push(DECLARED);
                self.texts.write_digest(version, out);
                out.varint(classes.len() as u64);
                for (class, good) in classes {
                    out.text(class);
                    out.push(u8::from(*good));
                }
            }
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8]) -> Result<Record, BadRecord> {
        let mut input = Input::new(payload);
        let record = match input.byte()? {
            PREDICTED => Record::Predicted(self.read_predicted(&mut input)?),
            LABELLED => self.read_label(&mut input)?,
            DECLARED => {
                let version = self.read_version(&mut input)?;
                let count = input.count(2)?;
                let class = |_| Ok((input.text()?.to_owned(), input.byte()? != 0));
                Record::Declared { version, classes: (0..count).map(class).collect::<Result<_, BadRecord>>()? }
            }
            _ => return Err(BadRecord("its kind is unknown")),
        };
        input.end()?;
        Ok(record)
    }
}

impl Records {
    fn write_predicted(&mut self, predicted: &Predicted, out: &mut Vec<u8>) {
        let Predicted { ordinal, id, routed_at, part, station, product, model, version, arm, verdict, class } =
            predicted;
        let present = [(PART, part.is_some()), (STATION, station.is_some()), (PRODUCT, product.is_some())];
        let flags = arm_byte(*arm) | verdict_byte(*verdict) << 2;
        out.push(PREDICTED);
        out.push(present.into_iter().filter(|(_, present)| *present).fold(flags, |flags, (flag, _)| flags | flag));
        out.varint(*ordinal);
        out.extend_from_slice(&id.bits().to_le_bytes());
        out.signed(routed_at.0.wrapping_sub(id.time().0).cast_signed());
        if let Some(part) = part {
            out.text(part);
        }
        for name in [station.as_ref(), product.as_ref(), Some(model)].into_iter().flatten() {
            self.texts.write(name, out);
        }
        self.texts.write_digest(version, out);
        self.texts.write(class, out);
    }

    fn read_predicted(&mut self, input: &mut Input<'_>) -> Result<Predicted, BadRecord> {
        let flags = input.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let ordinal = input.varint()?;
        let id = PredictionId::from_bits(u128::from_le_bytes(input.array()?));
        Ok(Predicted {
            ordinal,
            id,
            routed_at: UnixMillis(id.time().0.wrapping_add_signed(input.signed()?)),
            part: has(PART).then(|| input.name()).transpose()?,
            station: has(STATION).then(|| self.texts.read_name(input)).transpose()?,
            product: has(PRODUCT).then(|| self.texts.read_name(input)).transpose()?,
            model: self.texts.read_name(input)?,
            version: self.read_version(input)?,
            arm: arm(flags & 3)?,
            verdict: verdict(flags >> 2 & 3)?,
            class: self.texts.read(input)?,
        })
    }

    fn read_version(&mut self, input: &mut Input<'_>) -> Result<VersionDigest, BadRecord> {
        self.texts.read(input)?.parse().map_err(|_| BadRecord("a version's digest is no sha256"))
    }

    fn write_label(&mut self, label: &Label, received: UnixMillis, out: &mut Vec<u8>) {
        let Label { schema: Schema, by, verdict, inspector, at } = label;
        out.push(LABELLED);
        out.varint(received.0);
        out.varint(at.0);
        self.texts.write(inspector, out);
        match verdict {
            LabelVerdict::Good => out.push(0),
            LabelVerdict::Defect => out.push(1),
            LabelVerdict::Class(class) => {
                out.push(2);
                self.texts.write(class, out);
            }
        }
        match by {
            Subject::Prediction(id) => {
                out.push(0);
                out.extend_from_slice(&id.bits().to_le_bytes());
            }
            Subject::Part { station, part_id } => {
                out.push(1);
                self.texts.write(station, out);
                out.text(part_id);
            }
            Subject::Span { station, from, until } => {
                out.push(2);
                self.texts.write(station, out);
                out.varint(from.0);
                out.varint(until.0);
            }
        }
    }

    fn read_label(&mut self, input: &mut Input<'_>) -> Result<Record, BadRecord> {
        let received = UnixMillis(input.varint()?);
        let at = UnixMillis(input.varint()?);
        let inspector = self.texts.read_name(input)?;
        let verdict = match input.byte()? {
            0 => LabelVerdict::Good,
            1 => LabelVerdict::Defect,
            2 => LabelVerdict::Class(self.texts.read_name(input)?),
            _ => return Err(BadRecord("its verdict is unknown")),
        };
        let by = match input.byte()? {
            0 => Subject::Prediction(PredictionId::from_bits(u128::from_le_bytes(input.array()?))),
            1 => Subject::Part { station: self.texts.read_name(input)?, part_id: input.name()? },
            2 => Subject::Span {
                station: self.texts.read_name(input)?,
                from: UnixMillis(input.varint()?),
                until: UnixMillis(input.varint()?),
            },
            _ => return Err(BadRecord("what it is about is unknown")),
        };
        Ok(Record::Labelled { label: Label { schema: Schema, by, verdict, inspector, at }, received })
    }
}
