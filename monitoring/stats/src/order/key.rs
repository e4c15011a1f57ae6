//! Integers that are ordered as the numbers are they stand for.

/// The key of a number that is not NaN: positive above negative, and negative in reverse. -0 and +0 have one key.
pub(crate) fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    bits ^ (sign_mask(bits) | 1 << 63)
}

/// The number of a key.
pub(super) fn number(key: u64) -> f64 {
    f64::from_bits(key ^ (sign_mask(!key) | 1 << 63))
}

/// All ones where the highest bit is set.
fn sign_mask(bits: u64) -> u64 {
    (bits as i64 >> 63) as u64
}
