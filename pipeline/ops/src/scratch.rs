//! Buffers that live for one operation and are used again by the next: fresh memory costs a page fault every 4 KiB.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// As many as operations may be under way at once; more are given back to the system.
const KEPT: usize = 16;

/// Buffers not in use.
pub(crate) struct Pool<T> {
    free: Mutex<Vec<Vec<T>>>,
}

impl<T: Copy + Default> Pool<T> {
    pub const fn new() -> Self {
        Self { free: Mutex::new(Vec::new()) }
    }

    /// A buffer of this length with anything in it.
    pub fn take(&self, len: usize) -> Scratch<'_, T> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= len);
        let best = fits.min_by_key(|(_, buffer)| buffer.len()).map(|(index, _)| index);
        let largest = || free.iter().enumerate().max_by_key(|(_, buffer)| buffer.len()).map(|(index, _)| index);
        let mut buffer = best.or_else(largest).map(|index| free.swap_remove(index)).unwrap_or_default();
        drop(free);
        if buffer.len() < len {
            buffer.clear();
            buffer.resize(len, T::default());
        }
        Scratch { pool: self, buffer, len }
    }
}

/// A buffer in use.
pub(crate) struct Scratch<'a, T> {
    pool: &'a Pool<T>,
    buffer: Vec<T>,
    len: usize,
}

impl<T> Deref for Scratch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T> DerefMut for Scratch<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

impl<T> Drop for Scratch<'_, T> {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_used_again() {
        let pool = Pool::<f32>::new();
        pool.take(8).fill(7.0);
        assert_eq!(&pool.take(5)[..], [7.0; 5]);
        assert_eq!(pool.take(9).len(), 9);
        assert_eq!(pool.free.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }
}
