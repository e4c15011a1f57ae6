//! Header and frames of a segment.

use super::{BadRecord, Damage, LogError};
use crate::events::UnixMillis;

/// What the records of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The prediction log.
    Outcomes = 1,
    /// The feedback store.
    Feedback = 2,
}

/// Turns records into payloads and back. One value lives as long as a segment, so that it can remember names.
pub(crate) trait Codec: Default {
    type Record;
    const KIND: Kind;
    /// Changes with the form of the records.
    const SCHEMA: u16;

    /// Appends the record, at most [`MAX_PAYLOAD`] bytes. An error leaves `self` and `out` as they were.
    fn encode(&mut self, record: &Self::Record, out: &mut Vec<u8>) -> Result<(), LogError>;

    fn decode(&mut self, payload: &[u8]) -> Result<Self::Record, BadRecord>;
}

/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 24;
/// Bytes before a payload.
pub(crate) const FRAME_BYTES: usize = 8;
/// No payload is larger; a length above is damage, and no memory is taken for it.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"takt-seg";

/// The header of a segment made at `created`.
pub(crate) fn header<C: Codec>(created: UnixMillis) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(C::KIND as u16).to_le_bytes());
    bytes.extend_from_slice(&C::SCHEMA.to_le_bytes());
    bytes.extend_from_slice(&created.0.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// When the segment was made, if its header is whole and its records are ours to read.
pub(crate) fn read_header<C: Codec>(bytes: &[u8; HEADER_BYTES]) -> Result<UnixMillis, Damage> {
    let (fields, sum) = bytes.split_last_chunk().ok_or(Damage::Header)?;
    if !fields.starts_with(MAGIC) || crc32c::crc32c(fields) != u32::from_le_bytes(*sum) {
        return Err(Damage::Header);
    }
    let [k0, k1, s0, s1, created @ ..] = &fields[MAGIC.len()..] else {
        return Err(Damage::Header);
    };
    let (kind, schema) = (u16::from_le_bytes([*k0, *k1]), u16::from_le_bytes([*s0, *s1]));
    if kind != C::KIND as u16 {
        return Err(Damage::OtherKind { found: kind });
    }
    if schema > C::SCHEMA {
        return Err(Damage::Newer { found: schema, known: C::SCHEMA });
    }
    Ok(UnixMillis(u64::from_le_bytes(created.try_into().map_err(|_| Damage::Header)?)))
}

/// Fills in the frame of the payload that lies at `start + FRAME_BYTES` to the end.
#[expect(clippy::cast_possible_truncation, reason = "a payload is at most MAX_PAYLOAD bytes")]
pub(crate) fn close(buffer: &mut [u8], start: usize) {
    let length = ((buffer.len() - start - FRAME_BYTES) as u32).to_le_bytes();
    let sum = checksum(length, &buffer[start + FRAME_BYTES..]);
    buffer[start..start + 4].copy_from_slice(&length);
    buffer[start + 4..start + FRAME_BYTES].copy_from_slice(&sum.to_le_bytes());
}

/// Over length and payload, so that a run of zeros is no frame.
pub(crate) fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), payload)
}
