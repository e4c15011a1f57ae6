//! Columns over cores.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::TableError;

/// Does the work for each item, at most `at_once` of them at a time, on as many cores as there are; in the items' order.
///
/// # Errors
/// The first one that came; what was not begun then is not done.
pub(super) fn each<I: Sync, T: Send>(
    items: &[I],
    at_once: usize,
    work: impl Fn(&I) -> Result<T, TableError> + Sync,
) -> Result<Vec<T>, TableError> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return Ok(done) };
            match work(item) {
                Ok(result) => done.push((index, result)),
                Err(error) => {
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let mut done: Vec<(usize, T)> = Vec::with_capacity(items.len());
    thread::scope(|scope| {
        // This thread is one of them.
        let others = (1..cores.min(at_once).min(items.len())).map(|_| scope.spawn(run)).collect::<Vec<_>>();
        let mut ended = vec![run()];
        for other in others {
            match other.join() {
                Ok(found) => ended.push(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for found in ended {
            done.extend(found?);
        }
        Ok(())
    })?;
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_items_and_one_error_ends_all() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(each(&items, 4, |item| Ok(item * 2)).unwrap(), (0..200).step_by(2).collect::<Vec<_>>());
        assert_eq!(each(&items[..0], 4, |item| Ok(*item)).unwrap(), [0_usize; 0]);
        let refused = |item: &usize| match item {
            7 => Err(TableError::NotThere { path: PathBuf::from("seven") }),
            item => Ok(*item),
        };
        assert_eq!(each(&items, 4, refused).unwrap_err().kind(), "not_there");
    }
}
