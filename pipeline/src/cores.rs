//! The same work on many things, over several threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does the work on 0, 1, ... below `count` with a state per thread, and gives the results in that order. Where `stop`
/// says so, what was not begun is left out.
pub(crate) fn each<S, T: Send>(
    count: usize,
    threads: NonZeroUsize,
    state: impl Fn() -> S + Sync,
    stop: impl Fn() -> bool + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut state, mut done) = (state(), Vec::new());
        while !stop() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            done.push((index, work(&mut state, index)));
        }
        done
    };
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get().min(count)).map(|_| scope.spawn(worker)).collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.flatten().collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_a_stop_leaves_the_rest() {
        let threads = NonZeroUsize::new(3).unwrap();
        let squares = each(100, threads, || (), || false, |(), index| index * index);
        assert_eq!(squares, (0..100).map(|index| index * index).collect::<Vec<_>>());
        let begun = AtomicUsize::new(0);
        let few = each(
            1000,
            threads,
            || (),
            || begun.load(Ordering::Relaxed) > 9,
            |(), _| begun.fetch_add(1, Ordering::Relaxed),
        );
        assert!((10..20).contains(&few.len()), "{}", few.len());
        assert!(each(0, threads, || (), || false, |(), _| ()).is_empty());
    }
}
