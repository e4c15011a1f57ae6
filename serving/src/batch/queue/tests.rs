use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn config(max_batch_size: usize) -> BatchConfig {
    BatchConfig { max_batch_size, max_delay: Duration::from_millis(5), max_queue: 0, ..BatchConfig::default() }
}

fn meta(now: Instant) -> Meta {
    Meta { rows: 1, priority: 1, shape: 0, arrived: now, expires: None, deadline: None }
}

fn run<T: std::fmt::Debug>(step: Step<T>) -> Batch<T> {
    match step {
        Step::Run(batch) => batch,
        other => panic!("expected a batch, got {other:?}"),
    }
}

#[test]
fn a_full_batch_closes_at_once() {
    let now = Instant::now();
    let mut queue = Queue::new(config(2));
    for item in 0..3 {
        queue.push(item, meta(now)).unwrap();
    }
    let batch = run(queue.next(now, Duration::ZERO, false));
    assert_eq!((batch.rows, batch.reason), (2, CloseReason::Size));
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_lone_request_waits_for_the_delay_and_then_runs() {
    let now = Instant::now();
    let mut queue = Queue::new(config(8));
    queue.push("a", meta(now)).unwrap();
    assert_eq!(queue.next(now, Duration::ZERO, false), Step::WaitUntil(now + Duration::from_millis(5)));
    let batch = run(queue.next(now + Duration::from_millis(5), Duration::ZERO, false));
    assert_eq!(batch.reason, CloseReason::Delay);
}

#[test]
fn a_deadline_closes_the_batch_in_time_for_its_run() {
    let now = Instant::now();
    let mut queue = Queue::new(config(8));
    queue.push("a", Meta { deadline: Some(now + Duration::from_millis(4)), ..meta(now) }).unwrap();
    let estimate = Duration::from_millis(3);
    assert_eq!(queue.next(now, estimate, false), Step::WaitUntil(now + Duration::from_millis(1)));
    let batch = run(queue.next(now + Duration::from_millis(1), estimate, false));
    assert_eq!(batch.reason, CloseReason::Deadline);
}

#[test]
fn the_largest_preferred_size_that_waits_closes_without_delay() {
    let now = Instant::now();
    let mut queue = Queue::new(BatchConfig { preferred_sizes: vec![2, 4], ..config(8) });
    for item in 0..5 {
        queue.push(item, meta(now)).unwrap();
    }
    let batch = run(queue.next(now, Duration::ZERO, false));
    assert_eq!((batch.rows, batch.reason), (4, CloseReason::Preferred));
}

#[test]
fn another_shape_closes_the_batch_before_it() {
    let now = Instant::now();
    let mut queue = Queue::new(config(8));
    queue.push("a", meta(now)).unwrap();
    queue.push("b", Meta { shape: 1, ..meta(now) }).unwrap();
    let batch = run(queue.next(now, Duration::ZERO, false));
    assert_eq!((batch.rows, batch.reason), (1, CloseReason::Shape));
}

#[test]
fn full_queue_refuses_without_waiting() {
    let now = Instant::now();
    let mut queue = Queue::new(BatchConfig { max_queue: 1, ..config(8) });
    queue.push("a", meta(now)).unwrap();
    assert_eq!(queue.push("b", meta(now)), Err(Full("b")));
}

#[test]
fn a_timeout_is_rejected_or_put_behind_as_configured() {
    let now = Instant::now();
    let late = Meta { expires: Some(now), ..meta(now) };
    let mut reject = Queue::new(config(1));
    reject.push("late", late.clone()).unwrap();
    assert_eq!(reject.expire(now), vec![("late", Expiry::Timeout)]);
    assert!(reject.is_empty());

    let mut delay = Queue::new(BatchConfig { timeout_action: TimeoutAction::Delay, ..config(1) });
    delay.push("late", late).unwrap();
    delay.push("in time", meta(now)).unwrap();
    assert_eq!(delay.expire(now), vec![]);
    let order: Vec<_> = delay.take_all().into_iter().map(|(item, _)| item).collect();
    assert_eq!(order, ["in time", "late"]);
}

#[test]
fn a_passed_deadline_leaves_the_queue_even_under_delay() {
    let now = Instant::now();
    let mut queue = Queue::new(BatchConfig { timeout_action: TimeoutAction::Delay, ..config(1) });
    queue.push("gone", Meta { deadline: Some(now), ..meta(now) }).unwrap();
    assert_eq!(queue.expire(now), vec![("gone", Expiry::Deadline)]);
}

#[test]
fn a_model_without_batch_dimension_runs_requests_alone() {
    let now = Instant::now();
    let mut queue = Queue::new(config(0));
    queue.push(1, meta(now)).unwrap();
    queue.push(2, meta(now)).unwrap();
    assert_eq!(run(queue.next(now, Duration::ZERO, false)).items.len(), 1);
}

#[test]
fn batches_are_padded_to_the_next_allowed_size() {
    let config = BatchConfig { allowed_sizes: vec![1, 4, 8], ..config(8) };
    assert_eq!([1, 2, 4, 5, 8].map(|rows| padded_rows(&config, rows)), [1, 4, 4, 8, 8]);
}

/// What happens to a queue, in a random order.
#[derive(Debug, Clone)]
enum Event {
    Push { rows: usize, priority: u32, shape: u64, expires: Option<u64>, deadline: Option<u64> },
    Look,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let limit = || proptest::option::weighted(0.3, 0u64..30);
    prop_oneof![
        4 => (1usize..4, 1u32..4, 0u64..2, limit(), limit()).prop_map(|(rows, priority, shape, expires, deadline)| {
            Event::Push { rows, priority, shape, expires, deadline }
        }),
        2 => Just(Event::Look),
        1 => (0u64..10).prop_map(Event::Wait),
    ]
}

fn any_config() -> impl Strategy<Value = BatchConfig> {
    (4usize..9, vec(1usize..9, 0..3), 0u64..8, 0usize..20, any::<bool>()).prop_map(
        |(max_batch_size, preferred_sizes, delay, max_queue, reject)| BatchConfig {
            max_batch_size,
            preferred_sizes,
            max_delay: Duration::from_millis(delay),
            max_queue,
            timeout_action: if reject { TimeoutAction::Reject } else { TimeoutAction::Delay },
            priority_levels: 3,
            ..BatchConfig::default()
        },
    )
}

proptest! {
    /// Nothing is lost, nothing leaves twice, no batch is above the maximum or mixes shapes, what expired never runs,
    /// and within a priority (of requests that cannot fall behind) the order of arrival is kept.
    #[test]
    fn every_request_leaves_exactly_once_and_in_order(config in any_config(), events in vec(event(), 1..80)) {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (mut now, mut next_id) = (0u64, 0u64);
        let mut queue = Queue::new(config.clone());
        let (mut accepted, mut left, mut ran) = (Vec::new(), Vec::new(), Vec::new());
        let mut look = |queue: &mut Queue<u64>, now: u64, drain: bool| -> Result<bool, TestCaseError> {
            left.extend(queue.expire(at(now)).into_iter().map(|(id, _)| id));
            let Step::Run(batch) = queue.next(at(now), Duration::ZERO, drain) else { return Ok(false) };
            prop_assert!(batch.rows <= config.max_batch_size);
            prop_assert_eq!(batch.rows, batch.items.iter().map(|(_, meta)| meta.rows).sum::<usize>());
            prop_assert!(batch.items.iter().all(|(_, meta)| meta.shape == batch.items[0].1.shape));
            for (id, meta) in batch.items {
                prop_assert!(meta.deadline.is_none_or(|limit| limit > at(now)));
                prop_assert!(meta.expires.is_none_or(|limit| limit > at(now)));
                left.push(id);
                ran.push((id, meta));
            }
            Ok(true)
        };
        for event in events {
            match event {
                Event::Push { rows, priority, shape, expires, deadline } => {
                    let meta = Meta {
                        rows, priority, shape, arrived: at(now),
                        expires: expires.map(|ms| at(now + ms)), deadline: deadline.map(|ms| at(now + ms)),
                    };
                    if queue.push(next_id, meta).is_ok() {
                        accepted.push(next_id);
                    }
                    next_id += 1;
                }
                Event::Look => { look(&mut queue, now, false)?; }
                Event::Wait(ms) => now += ms,
            }
            prop_assert!(config.max_queue == 0 || queue.len() <= config.max_queue);
        }
        while look(&mut queue, now, true)? {}
        prop_assert!(queue.is_empty());
        left.sort_unstable();
        prop_assert_eq!(left, accepted);
        for priority in 1..=3 {
            let ids: Vec<u64> =
                ran.iter().filter(|(_, meta)| meta.priority == priority && meta.expires.is_some()).map(|(id, _)| *id).collect();
            prop_assert!(ids.is_sorted(), "priority {}: {:?}", priority, ids);
        }
    }

    /// A queue that waits is never told to wait for a time that has passed: an instance thread cannot spin.
    #[test]
    fn a_wait_always_lies_ahead(config in any_config(), pushes in vec((1usize..4, 0u64..5), 1..20)) {
        let now = Instant::now();
        let mut queue = Queue::new(config);
        for (rows, deadline) in pushes {
            let deadline = Some(now + Duration::from_millis(deadline));
            let _ = queue.push((), Meta { rows, deadline, ..meta(now) });
        }
        queue.expire(now);
        if let Step::WaitUntil(at) = queue.next(now, Duration::from_millis(1), false) {
            prop_assert!(at > now);
        }
    }
}

#[test]
fn requests_are_never_joined_where_the_model_says_so() {
    let now = Instant::now();
    let mut queue = Queue::new(BatchConfig { joining: Joining::Never, ..config(8) });
    for item in 0..2 {
        queue.push(item, Meta { rows: 3, ..meta(now) }).unwrap();
    }
    let batch = run(queue.next(now, Duration::ZERO, false));
    assert_eq!((batch.items.len(), batch.rows, batch.reason), (1, 3, CloseReason::Size), "and none waits for company");
    assert_eq!(queue.len(), 1);
}
