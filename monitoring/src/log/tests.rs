use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use takt_artifact::decision::Verdict;
use tempfile::TempDir;

use super::*;
use crate::events::{FeatureList, Features, Outcome, UnixMillis};
use crate::sample::{START, after, any_outcome, outcome};

const SMALL: Limits = Limits { segment_bytes: 4 << 10, segment_age_secs: 60, total_bytes: 16 << 10, max_age_days: 1 };
const DAY: u64 = 24 * 3600 * 1000;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn numbered(range: std::ops::Range<u64>) -> Vec<Outcome> {
    range.map(|number| outcome(number, Verdict::Good)).collect()
}

fn write(dir: &Path, outcomes: &[Outcome]) -> Writer {
    let mut writer = Writer::open(dir, SMALL, START).unwrap();
    outcomes.iter().for_each(|outcome| writer.append(outcome).unwrap());
    writer
}

fn read(dir: &Path) -> (Vec<Outcome>, Vec<Skipped>) {
    let (mut outcomes, mut skipped) = (Vec::new(), Vec::new());
    for item in Reader::open(dir).unwrap() {
        match item {
            Ok(outcome) => outcomes.push(outcome),
            Err(place) => skipped.push(place),
        }
    }
    (outcomes, skipped)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_written_is_read_in_order_across_segments() {
    let dir = folder();
    let outcomes = numbered(0..200);
    write(dir.path(), &outcomes).close().unwrap();
    assert!(files(dir.path()).len() > 2, "{:?}", files(dir.path()));
    assert_eq!(read(dir.path()), (outcomes, vec![]));
}

#[test]
fn a_record_takes_some_sixty_bytes() {
    let dir = folder();
    let writer = write(dir.path(), &numbered(0..30));
    let each = (writer.stats().bytes - 24) / 30;
    assert!((50..80).contains(&each), "{each} bytes");
}

#[test]
fn a_reader_beside_the_writer_sees_what_the_last_tick_handed_over() {
    let dir = folder();
    let mut writer = write(dir.path(), &numbered(0..3));
    assert_eq!(read(dir.path()).0.len(), 0);
    writer.tick(after(1)).unwrap();
    assert_eq!(read(dir.path()), (numbered(0..3), vec![]));
}

#[test]
fn a_writer_that_goes_away_leaves_its_records_and_the_next_goes_on() {
    let dir = folder();
    drop(write(dir.path(), &numbered(0..3)));
    assert!(files(dir.path())[0].ends_with("0000000001.open"));
    let mut writer = Writer::open(dir.path(), SMALL, after(DAY)).unwrap();
    for outcome in numbered(3..5) {
        writer.append(&outcome).unwrap();
    }
    writer.close().unwrap();
    assert_eq!(read(dir.path()), (numbered(0..5), vec![]));
    let names: Vec<_> = files(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["0000000001.seg", "0000000002.seg"]);
}

#[test]
fn a_segment_is_sealed_when_it_is_old_enough() {
    let dir = folder();
    let mut writer = write(dir.path(), &numbered(0..1));
    writer.tick(after(59_999)).unwrap();
    assert_eq!(writer.stats().sealed, 0);
    writer.tick(after(60_000)).unwrap();
    assert_eq!((writer.stats().sealed, writer.stats().segments), (1, 1));
    writer.tick(after(200_000)).unwrap();
    assert_eq!(files(dir.path()).len(), 1, "nothing is made before there is a record");
}

#[test]
fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let dir = folder();
    let mut writer = write(dir.path(), &numbered(0..1000));
    writer.tick(after(1)).unwrap();
    let stats = writer.stats();
    assert!(stats.bytes <= SMALL.total_bytes && stats.removed > 5, "{stats:?}");
    assert_eq!(stats.lost, 0);
    let (kept, skipped) = read(dir.path());
    assert_eq!((kept.last(), skipped), (numbered(999..1000).last(), vec![]));
    assert_eq!(kept, numbered(1000 - kept.len() as u64..1000));
}

#[test]
fn old_segments_go_by_the_time_at_which_they_ended() {
    let dir = folder();
    let mut writer = write(dir.path(), &numbered(0..1));
    writer.tick(after(60_000)).unwrap();
    writer.append(&outcome(1, Verdict::Good)).unwrap();
    writer.tick(after(DAY + 60_000)).unwrap();
    assert_eq!(writer.stats().removed, 0, "the first ended when the second began");
    writer.tick(after(DAY + 60_001)).unwrap();
    assert_eq!(writer.stats().removed, 1);
    assert_eq!(read(dir.path()).0, numbered(1..2));
}

#[test]
fn records_of_a_board_that_did_not_know_the_time_are_not_old() {
    let dir = folder();
    let mut writer = Writer::open(dir.path(), SMALL, UnixMillis(5_000)).unwrap();
    for (number, now) in [(0, 70_000), (1, 140_000), (2, START.0), (3, START.0 + 2 * DAY)] {
        writer.append(&outcome(number, Verdict::Good)).unwrap();
        writer.tick(UnixMillis(now)).unwrap();
    }
    assert_eq!((writer.stats().segments, writer.stats().removed), (4, 0));
}

#[test]
fn a_torn_tail_costs_the_tail_and_says_where() {
    let dir = folder();
    drop(write(dir.path(), &numbered(0..10)));
    let path = &files(dir.path())[0];
    let whole = fs::metadata(path).unwrap().len();
    OpenOptions::new().write(true).open(path).unwrap().set_len(whole - 5).unwrap();
    drop(write(dir.path(), &numbered(10..12)));
    let (outcomes, skipped) = read(dir.path());
    assert_eq!(outcomes, [numbered(0..9), numbered(10..12)].concat());
    let [Skipped { file, at, bytes, damage: Damage::Torn }] = &skipped[..] else {
        panic!("{skipped:?}");
    };
    assert_eq!((at + bytes, file.extension().unwrap().to_str()), (whole - 5, Some("seg")));
    assert!(skipped[0].to_string().contains("skipped: the segment ends within a record"), "{}", skipped[0]);
}

#[test]
fn zeros_after_a_power_cut_are_no_records() {
    let dir = folder();
    drop(write(dir.path(), &numbered(0..10)));
    let path = &files(dir.path())[0];
    let whole = fs::metadata(path).unwrap().len();
    OpenOptions::new().write(true).open(path).unwrap().set_len(whole + 4096).unwrap();
    let (outcomes, skipped) = read(dir.path());
    assert_eq!((outcomes, skipped.len()), (numbered(0..10), 1));
    assert_eq!((skipped[0].at, skipped[0].bytes), (whole, 4096));
}

#[test]
fn a_damaged_header_costs_its_segment_only() {
    let dir = folder();
    write(dir.path(), &numbered(0..100)).close().unwrap();
    flip(&files(dir.path())[0], 3);
    let (outcomes, skipped) = read(dir.path());
    assert_eq!(skipped.iter().map(|skipped| skipped.damage.clone()).collect::<Vec<_>>(), [Damage::Header]);
    assert_eq!(outcomes, numbered(100 - outcomes.len() as u64..100));
    assert!(!outcomes.is_empty());
}

#[test]
fn segments_of_a_newer_takt_or_of_another_store_are_called_so() {
    for (at, value, kind) in [(10, 9_u8, "newer_schema"), (8, 2, "other_kind")] {
        let dir = folder();
        write(dir.path(), &numbered(0..1)).close().unwrap();
        let path = &files(dir.path())[0];
        let mut bytes = fs::read(path).unwrap();
        bytes[at] = value;
        let sum = crc32c::crc32c(&bytes[..20]).to_le_bytes();
        bytes[20..24].copy_from_slice(&sum);
        fs::write(path, bytes).unwrap();
        assert_eq!(read(dir.path()).1[0].damage.kind(), kind);
    }
}

#[test]
fn foreign_files_are_left_alone() {
    let dir = folder();
    fs::write(dir.path().join("notes.seg"), "mine").unwrap();
    fs::write(dir.path().join("17.txt"), "mine").unwrap();
    write(dir.path(), &numbered(0..1)).close().unwrap();
    assert_eq!((read(dir.path()).0.len(), files(dir.path()).len()), (1, 3));
}

#[test]
fn a_full_disk_costs_what_was_buffered_and_is_tried_again_at_the_next_tick() {
    let dir = folder();
    let mut segments = Segments::<super::outcome::Outcomes>::open(dir.path(), SMALL, START).unwrap();
    for outcome in numbered(0..2) {
        segments.append(&outcome).unwrap();
    }
    segments.flush().unwrap();
    segments.append(&outcome(2, Verdict::Good)).unwrap();
    segments.break_file(File::options().write(true).open("/dev/full").unwrap());
    let error = segments.tick(after(1)).unwrap_err();
    assert_eq!(error.kind(), "disk_full");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(segments.append(&outcome(3, Verdict::Good)).unwrap_err().kind(), "paused");
    segments.tick(after(2)).unwrap();
    segments.append(&outcome(4, Verdict::Good)).unwrap();
    let stats = segments.stats();
    assert_eq!((stats.records, stats.lost), (5, 2));
    drop(segments);
    assert_eq!(read(dir.path()), ([numbered(0..2), numbered(4..5)].concat(), vec![]));
}

#[test]
fn a_folder_that_goes_away_and_comes_back_costs_what_falls_between() {
    let dir = folder();
    let log = dir.path().join("log");
    let mut writer = Writer::open(&log, SMALL, START).unwrap();
    fs::remove_dir(&log).unwrap();
    assert_eq!(writer.append(&outcome(0, Verdict::Good)).unwrap_err().kind(), "io");
    assert_eq!(writer.append(&outcome(1, Verdict::Good)).unwrap_err().kind(), "paused");
    fs::create_dir(&log).unwrap();
    writer.tick(after(1)).unwrap();
    writer.append(&outcome(2, Verdict::Good)).unwrap();
    assert_eq!(writer.stats().lost, 2);
    writer.close().unwrap();
    assert_eq!(read(&log), (numbered(2..3), vec![]));
}

#[test]
fn an_outcome_beyond_all_sense_is_refused_and_harms_no_other() {
    let dir = folder();
    let mut writer = write(dir.path(), &numbered(0..1));
    let features = Features { list: FeatureList(1), values: vec![0.0; 100_000] };
    let error = writer.append(&Outcome { features, ..outcome(1, Verdict::Good) }).unwrap_err();
    assert!(error.to_string().contains("number of features: found 100000, expected at most 65536"), "{error}");
    writer.append(&outcome(2, Verdict::Good)).unwrap();
    assert_eq!(writer.stats().lost, 1);
    writer.close().unwrap();
    assert_eq!(read(dir.path()).0, [numbered(0..1), numbered(2..3)].concat());
}

#[test]
fn limits_without_sense_are_refused_all_at_once() {
    let limits = Limits { segment_bytes: 10, segment_age_secs: 0, total_bytes: 10, max_age_days: 0 };
    let paths: Vec<_> = limits.faults().into_iter().map(|fault| fault.path).collect();
    assert_eq!(paths, ["segment_bytes", "total_bytes", "segment_age_secs", "max_age_days"]);
    assert_eq!(Limits::default().faults(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_outcomes_survive(outcomes in prop::collection::vec(any_outcome(), 1..20)) {
        let dir = folder();
        write(dir.path(), &outcomes).close().unwrap();
        prop_assert_eq!(read(dir.path()), (outcomes, vec![]));
    }

    #[test]
    fn a_flipped_byte_costs_a_tail_and_never_gives_a_wrong_record(at in any::<prop::sample::Index>()) {
        let dir = folder();
        write(dir.path(), &numbered(0..20)).close().unwrap();
        let path = &files(dir.path())[0];
        let bytes = fs::metadata(path).unwrap().len();
        flip(path, at.index(usize::try_from(bytes).unwrap()));
        let (outcomes, skipped) = read(dir.path());
        prop_assert_eq!(&outcomes, &numbered(0..outcomes.len() as u64));
        prop_assert!(outcomes.len() < 20 && skipped.len() == 1);
        prop_assert_eq!(skipped[0].at + skipped[0].bytes, bytes);
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = super::outcome::Outcomes::default().decode(&payload);
    }
}
