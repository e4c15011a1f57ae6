//! TensorBoard's event files: TFRecord frames around `tensorflow.Event` messages
//! (`tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto`). No crate that is kept up writes them,
//! and scalars take a page.

use std::io::{self, Write};

use prost::Message;

use super::record::EpochRecord;

/// One file, whose name begins as TensorBoard wants it.
pub const FILE: &str = "events.out.tfevents.0.takt";

/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Writes what a file begins with.
pub(super) fn begin(to: &mut impl Write) -> io::Result<()> {
    frame(to, &Event { file_version: Some(VERSION.to_owned()), ..Event::default() })
}

/// Writes an epoch's figures; the time is that since the run began.
pub(super) fn epoch(to: &mut impl Write, record: &EpochRecord) -> io::Result<()> {
    let value = |tag: &str, value: f64| Value { tag: tag.to_owned(), simple_value: Some(value as f32) };
    let value = vec![
        value("train/loss", record.loss),
        value("train/learning_rate", record.learning_rate),
        value("train/images_per_second", record.images_per_second),
        value("validation/accuracy", record.accuracy),
        value("validation/balanced_accuracy", record.balanced_accuracy),
    ];
    let event = Event {
        wall_time: record.seconds,
        step: i64::from(record.epoch),
        summary: Some(Summary { value }),
        ..Event::default()
    };
    frame(to, &event)
}

/// Length, its checksum, the message, its checksum; all little-endian.
fn frame(to: &mut impl Write, event: &Event) -> io::Result<()> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(message.len() + 16);
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(&message);
    bytes.extend(masked(&message).to_le_bytes());
    to.write_all(&bytes)
}

/// CRC-32C, rotated and shifted so that a checksum of data that holds checksums stays good.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_back_frame_by_frame() {
        let mut file = Vec::new();
        begin(&mut file).unwrap();
        let record = EpochRecord {
            epoch: 3,
            loss: 0.5,
            learning_rate: 0.1,
            accuracy: 0.75,
            balanced_accuracy: 0.625,
            images_per_second: 64.0,
            seconds: 12.0,
        };
        epoch(&mut file, &record).unwrap();
        let mut events = Vec::new();
        let mut rest = &file[..];
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
            let message = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            rest = &rest[16 + length..];
        }
        assert_eq!(events[0].file_version.as_deref(), Some(VERSION));
        assert_eq!((events[1].step, events[1].wall_time), (3, 12.0));
        let values = &events[1].summary.as_ref().unwrap().value;
        let accuracy = values.iter().find(|value| value.tag == "validation/balanced_accuracy").unwrap();
        assert_eq!(accuracy.simple_value, Some(0.625));
    }

    /// The first frame of every file that TensorFlow writes for `wall_time` 0.
    #[test]
    fn checksums_are_those_of_the_format() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let mut file = Vec::new();
        begin(&mut file).unwrap();
        assert_eq!(file.len(), 16 + 2 + VERSION.len());
    }
}
