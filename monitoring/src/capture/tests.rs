use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use takt_artifact::decision::Verdict::{Defect, Good, Uncertain};
use tempfile::TempDir;

use super::*;
use crate::events::Outcome;
use crate::sample::{after, outcome};

const KIB: u64 = 1 << 10;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn config() -> CaptureConfig {
    CaptureConfig { total_bytes: 64 * KIB, ..CaptureConfig::default() }
}

/// A JPEG as far as its first bytes go; `number` makes it differ from others.
fn image(number: u64, bytes: usize) -> Vec<u8> {
    let mut image = b"\xff\xd8\xff".to_vec();
    image.extend_from_slice(&number.to_le_bytes());
    image.resize(bytes, 0);
    image
}

fn keep(store: &mut Capture, number: u64, reason: Reason) -> Kept {
    store.keep(&image(number, 2 * KIB as usize), &outcome(number, Defect), reason, after(number)).unwrap()
}

fn keep_all(store: &mut Capture, numbers: std::ops::Range<u64>) {
    for number in numbers {
        keep(store, number, Reason::Uncertain);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn kept(dir: &Path) -> Vec<Captured> {
    let (captured, unreadable) = list(dir).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    captured
}

#[test]
fn an_image_is_kept_with_its_outcome_and_read_again() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    assert_eq!(keep(&mut store, 7, Reason::Uncertain), Kept::New { evicted: 0 });
    let captured = kept(dir.path());
    assert_eq!((captured.len(), captured[0].reason, captured[0].at), (1, Reason::Uncertain, after(7)));
    assert_eq!(captured[0].outcome, outcome(7, Defect));
    assert!(captured[0].image.file.ends_with(".jpg"));
    assert_eq!(read(dir.path(), &captured[0]).unwrap(), image(7, 2 * KIB as usize));
}

#[test]
fn the_same_image_is_kept_once_for_the_better_reason() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep(&mut store, 7, Reason::Uncertain);
    assert_eq!(keep(&mut store, 7, Reason::OneInN), Kept::Known);
    assert_eq!(kept(dir.path())[0].reason, Reason::Uncertain);
    assert_eq!(keep(&mut store, 7, Reason::Drifted), Kept::Known);
    assert_eq!(kept(dir.path())[0].reason, Reason::Drifted);
    assert_eq!(store.stats().images, 1);
}

#[test]
fn a_reason_that_exceeds_its_quota_loses_its_own_oldest() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep(&mut store, 100, Reason::FalseReject);
    for number in 0..50 {
        keep(&mut store, number, Reason::Uncertain);
    }
    let captured = kept(dir.path());
    let uncertain: Vec<_> = captured.iter().filter(|c| c.reason == Reason::Uncertain).map(|c| c.at).collect();
    assert_eq!((uncertain.last(), uncertain.len()), (Some(&after(49)), captured.len() - 1));
    assert!((4..8).contains(&uncertain.len()), "a quarter of 64 KiB: {}", uncertain.len());
    let stats = store.stats();
    assert_eq!((stats.images, stats.evicted), (captured.len(), 50 - uncertain.len() as u64));
}

#[test]
fn when_all_is_full_the_oldest_of_the_fullest_reason_goes() {
    let dir = folder();
    let quota = |bytes| [(Reason::Uncertain, bytes), (Reason::Drifted, bytes)].into();
    let mut store = Capture::open(dir.path(), CaptureConfig { reason_bytes: quota(64 * KIB), ..config() }).unwrap();
    for number in 0..5 {
        keep(&mut store, number, Reason::Drifted);
    }
    for number in 5..60 {
        keep(&mut store, number, Reason::Uncertain);
    }
    let stats = store.stats();
    assert_eq!(stats.reasons[&Reason::Drifted], 5, "the older, but the fewer: {stats:?}");
    assert!(stats.bytes <= 64 * KIB && stats.reasons[&Reason::Uncertain] > 10, "{stats:?}");
    let on_disk: u64 = files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(on_disk, stats.bytes);
}

#[test]
fn the_number_of_images_is_bounded_too() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), CaptureConfig { max_images: 3, ..config() }).unwrap();
    keep_all(&mut store, 0..10);
    assert_eq!(kept(dir.path()).iter().map(|captured| captured.at).collect::<Vec<_>>(), [after(7), after(8), after(9)]);
}

#[test]
fn what_is_too_large_or_not_wanted_is_refused_and_nothing_goes_for_it() {
    let dir = folder();
    let reason_bytes = [(Reason::Drifted, 0)].into();
    let mut store = Capture::open(dir.path(), CaptureConfig { reason_bytes, ..config() }).unwrap();
    keep(&mut store, 1, Reason::Uncertain);
    assert_eq!(keep(&mut store, 2, Reason::Drifted), Kept::Refused(Refusal::Off));
    let large = image(3, 20 * KIB as usize);
    let refused = store.keep(&large, &outcome(3, Defect), Reason::Uncertain, after(3)).unwrap();
    assert_eq!(refused, Kept::Refused(Refusal::TooLarge));
    assert_eq!(store.stats().images, 1);
}

#[test]
fn a_flagged_image_becomes_a_false_reject_when_its_label_comes() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep(&mut store, 1, Reason::Flagged);
    assert!(store.reclassify(outcome(1, Defect).prediction_id, Reason::FalseReject).unwrap());
    assert!(!store.reclassify(outcome(2, Defect).prediction_id, Reason::FalseReject).unwrap());
    assert_eq!(kept(dir.path())[0].reason, Reason::FalseReject);
    assert_eq!(store.stats().reasons[&Reason::Flagged], 0);
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_counts_alike() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep_all(&mut store, 0..5);
    let before = store.stats();
    drop(store);
    let mut store = Capture::open(dir.path(), config()).unwrap();
    assert_eq!(store.stats(), before);
    let sha256 = kept(dir.path())[0].image.sha256.clone();
    assert!(store.remove(&sha256).unwrap() && !store.remove(&sha256).unwrap());
    assert_eq!(files(dir.path()).len(), 8);
    drop(store);
    let smaller = CaptureConfig { max_images: 2, ..config() };
    assert_eq!(Capture::open(dir.path(), smaller).unwrap().stats().images, 2);
}

#[test]
fn what_a_power_cut_left_half_is_removed_and_foreign_files_stay() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep_all(&mut store, 0..4);
    drop(store);
    let captured = kept(dir.path());
    let path = |at: usize, ending: &str| dir.path().join(format!("{}.{ending}", captured[at].image.sha256));
    fs::write(path(0, "jpg"), "").unwrap();
    fs::write(path(1, "json"), "").unwrap();
    fs::remove_file(path(2, "json")).unwrap();
    fs::write(path(3, "jpg.tmp"), "half").unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let store = Capture::open(dir.path(), config()).unwrap();
    assert_eq!(store.stats().images, 1);
    assert_eq!(files(dir.path()).len(), 3, "{:?}", files(dir.path()));
    assert!(path(3, "jpg").exists() && dir.path().join("notes.txt").exists());
}

#[test]
fn images_of_a_newer_takt_are_left_alone() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep(&mut store, 1, Reason::Uncertain);
    drop(store);
    let path = dir.path().join(format!("{}.json", kept(dir.path())[0].image.sha256));
    let newer = fs::read_to_string(&path).unwrap().replacen("\"schema\":1", "\"schema\":2", 1);
    fs::write(&path, newer).unwrap();
    let store = Capture::open(dir.path(), config()).unwrap();
    assert_eq!((store.stats().images, files(dir.path()).len()), (0, 2));
}

#[test]
fn an_image_whose_bytes_changed_is_not_handed_out() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep(&mut store, 1, Reason::Uncertain);
    let captured = &kept(dir.path())[0];
    fs::write(dir.path().join(&captured.image.file), image(2, 2 * KIB as usize)).unwrap();
    assert_eq!(read(dir.path(), captured).unwrap_err().kind(), "damaged");
}

#[test]
fn a_description_cannot_lead_out_of_the_folder() {
    let dir = folder();
    let mut store = Capture::open(dir.path(), config()).unwrap();
    keep(&mut store, 1, Reason::Uncertain);
    let captured = &kept(dir.path())[0];
    let path = dir.path().join(format!("{}.json", captured.image.sha256));
    let text = fs::read_to_string(&path).unwrap().replace(&captured.image.file, "../secret");
    fs::write(&path, text).unwrap();
    let (captured, unreadable) = list(dir.path()).unwrap();
    assert!(captured.is_empty() && unreadable[0].error.to_string().contains("image.file: found '../secret'"));
}

#[test]
fn a_disk_that_fails_is_an_error_and_leaves_nothing_half() {
    let dir = folder();
    let at = dir.path().join("store");
    let mut store = Capture::open(&at, config()).unwrap();
    fs::remove_dir(&at).unwrap();
    let error = store.keep(&image(1, 100), &outcome(1, Defect), Reason::Uncertain, after(1)).unwrap_err();
    assert_eq!((error.kind(), store.stats().images), ("io", 0));
    fs::create_dir(&at).unwrap();
    assert_eq!(keep(&mut store, 1, Reason::Uncertain), Kept::New { evicted: 0 });
}

#[test]
fn the_best_reason_is_chosen_and_those_without_quota_are_passed_over() {
    let config = CaptureConfig { one_in: NonZeroU32::new(4), ..config() };
    let of = |config: &CaptureConfig, outcome: &Outcome, hints| {
        config.reason(outcome.prediction_id, outcome.decision.as_ref().map(|decision| decision.verdict), hints)
    };
    let reason = |outcome: &Outcome, disagreeing, drifted| of(&config, outcome, Hints { disagreeing, drifted });
    assert_eq!(reason(&outcome(1, Uncertain), true, true), Some(Reason::Disagreeing));
    assert_eq!(reason(&outcome(1, Uncertain), false, true), Some(Reason::Drifted));
    assert_eq!(reason(&outcome(1, Uncertain), false, false), Some(Reason::Uncertain));
    assert_eq!(reason(&outcome(1, Defect), false, false), Some(Reason::Flagged));
    assert_eq!(reason(&outcome(1, Good), false, false), None);
    assert_eq!(reason(&outcome(4, Good), false, false), Some(Reason::OneInN));
    let none = CaptureConfig { reason_bytes: [(Reason::Flagged, 0)].into(), ..config.clone() };
    assert_eq!(of(&none, &outcome(4, Defect), Hints::default()), Some(Reason::OneInN));
    let never = CaptureConfig { one_in: None, ..config.clone() };
    assert_eq!(of(&never, &outcome(4, Good), Hints::default()), None);
}

#[test]
fn settings_without_sense_are_refused_all_at_once() {
    assert_eq!(CaptureConfig::default().faults(), []);
    let config =
        CaptureConfig { total_bytes: 10, reason_bytes: [(Reason::OneInN, 20)].into(), max_images: 0, one_in: None };
    let paths: Vec<_> = config.faults().into_iter().map(|fault| fault.path).collect();
    assert_eq!(paths, ["total_bytes", "max_images", "reason_bytes.one_in_n"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_sequence_of_images_exceeds_the_bounds_and_a_restart_finds_the_same(
        offered in prop::collection::vec((0_u64..40, prop::sample::select(Reason::ALL.to_vec()), 100_usize..20_000), 1..60),
    ) {
        let dir = folder();
        let mut store = Capture::open(dir.path(), CaptureConfig { max_images: 12, ..config() }).unwrap();
        for (at, (number, reason, bytes)) in (0..).zip(offered) {
            store.keep(&image(number, bytes), &outcome(number, Defect), reason, after(at)).unwrap();
            let stats = store.stats();
            prop_assert!(stats.bytes <= 64 * KIB && stats.images <= 12, "{:?}", stats);
        }
        let stats = CaptureStats { evicted: 0, ..store.stats() };
        drop(store);
        let mut again = Capture::open(dir.path(), CaptureConfig { max_images: 12, ..config() }).unwrap().stats();
        again.reasons.retain(|_, images| *images > 0);
        let mut expected = stats;
        expected.reasons.retain(|_, images| *images > 0);
        prop_assert_eq!(again, expected);
    }
}
