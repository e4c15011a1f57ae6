//! Every layout on a few files; nothing is decoded, so a byte each will do.

use std::fs;
use std::path::Path;

use crate::data::{Dataset, Layout, LoadOptions, Split};

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn images(root: &Path, paths: &[&str]) {
    paths.iter().for_each(|path| put(root, path, "x"));
}

fn open(root: &Path) -> Dataset {
    Dataset::open(root, &LoadOptions::default()).unwrap()
}

fn refusal(root: &Path) -> (&'static str, String) {
    let error = Dataset::open(root, &LoadOptions::default()).unwrap_err();
    (error.kind(), error.to_string())
}

/// Path, label, split and metadata of every sample.
fn rows(data: &Dataset) -> Vec<(String, &str, Option<Split>, String)> {
    let row = |sample: &crate::data::Sample| {
        let path = sample.path.display().to_string();
        (path, data.classes[sample.label].as_str(), sample.split, sample.metadata.join("|"))
    };
    data.samples.iter().map(row).collect()
}

#[test]
fn labels_come_with_splits_and_any_other_column() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["a/1.jpg", "a/2.jpg"]);
    put(folder.path(), "labels.csv", "\u{feff}file;label;split;station\n a/1.jpg ; ok ;val;S1\na/2.jpg;dent;;\n");
    let data = open(folder.path());
    assert_eq!(
        (data.layout, data.classes.join(","), data.columns.join(",")),
        (Layout::Labels, "dent,ok".to_owned(), "station".to_owned())
    );
    let expected = [
        ("a/1.jpg".to_owned(), "ok", Some(Split::Validation), "S1".to_owned()),
        ("a/2.jpg".to_owned(), "dent", None, String::new()),
    ];
    assert_eq!(rows(&data), expected);
    assert_eq!(data.counts(None), [1, 1]);
    assert_eq!(data.indices(Split::Validation).unwrap(), [0]);
    let error = data.indices(Split::Test).unwrap_err().to_string();
    assert!(error.contains("no image is marked test (there is no split at all, validation)"), "{error}");
}

#[test]
fn every_fault_of_a_label_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["1.jpg", "2.jpg"]);
    put(folder.path(), "empty.jpg", "");
    let text = "file,label,split\n1.jpg,ok,train\n./1.jpg,ok,train\ngone.jpg,ok,train\n2.jpg,,train\n\
                2.jpg,rust,train\n2.jpg,ok,dev\nempty.jpg,ok,train\nd\\3.jpg,ok,train\n2.jpg\n";
    put(folder.path(), "labels.csv", text);
    let options = LoadOptions { classes: Some(vec!["ok".to_owned(), "dent".to_owned()]), ..LoadOptions::default() };
    let error = Dataset::open(folder.path(), &options).unwrap_err();
    assert_eq!(error.kind(), "faults");
    let message = error.to_string();
    for part in [
        "labels.csv: ",
        "line 3: ./1.jpg is listed twice, first in line 2; leave one row",
        "line 4: gone.jpg is listed and cannot be opened",
        "line 5: 2.jpg has no label",
        "line 6: the label 'rust' of 2.jpg is unknown, expected one of 'ok' and 'dent'",
        "line 7: the split 'dev' is unknown, expected train, validation",
        "line 8: empty.jpg is empty (0 bytes)",
        "write paths with / instead of \\",
        "line 10: 1 fields, expected 3 as in the header",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_header_without_the_columns_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "labels.csv", "path,class\n");
    let (kind, message) = refusal(folder.path());
    assert_eq!(kind, "header");
    assert!(message.contains("the header has path, class") && message.ends_with("add file and label"), "{message}");
    put(folder.path(), "labels.csv", "file,label\n");
    assert_eq!(refusal(folder.path()).0, "no_images");
}

#[test]
fn a_label_file_in_another_encoding_names_the_first_line_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["1.jpg", "2.jpg"]);
    // As Latin-1 has it.
    fs::write(folder.path().join("labels.csv"), b"file,label\n1.jpg,ok\n2.jpg,Ri\xdf\n").unwrap();
    let (kind, message) = refusal(folder.path());
    assert_eq!(kind, "not_utf8");
    assert!(message.contains("labels.csv: line 3 is not UTF-8; save the file as UTF-8"), "{message}");
}

#[cfg(feature = "tables")]
#[test]
fn labels_may_be_parquet_with_the_same_columns_and_faults() {
    use takt_tables::{Column, Values, write_parquet};

    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["1.jpg", "2.jpg"]);
    let texts = |values: &[&str]| {
        Values::Texts(values.iter().map(|text| Some((*text).to_owned()).filter(|text| !text.is_empty())).collect())
    };
    let write = |files: &[&str], labels: &[&str], splits: &[&str], light: &[Option<f64>]| {
        let columns = [
            Column::new("file", texts(files)),
            Column::new("Label", texts(labels)),
            Column::new("split", texts(splits)),
            Column::new("light", Values::Numbers(light.to_vec())),
        ];
        write_parquet(&folder.path().join("labels.parquet"), &columns).unwrap();
    };
    write(&["1.jpg", "2.jpg"], &["ok", "dent"], &["val", ""], &[Some(0.5), None]);
    let data = open(folder.path());
    assert_eq!((data.layout, data.columns.join(",")), (Layout::Labels, "light".to_owned()));
    let expected = [
        ("1.jpg".to_owned(), "ok", Some(Split::Validation), "0.5".to_owned()),
        ("2.jpg".to_owned(), "dent", None, String::new()),
    ];
    assert_eq!(rows(&data), expected);

    write(&["1.jpg", "./1.jpg", "2.jpg"], &["ok", "ok", ""], &["dev", "train", ""], &[None; 3]);
    let message = refusal(folder.path()).1;
    for part in ["labels.parquet: ", "row 1: the split 'dev' is unknown", "row 3: 2.jpg has no label"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    put(folder.path(), "labels.csv", "file,label\n1.jpg,ok\n");
    assert_eq!(refusal(folder.path()).0, "two_label_files");
}

#[cfg(not(feature = "tables"))]
#[test]
fn parquet_names_the_feature_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "labels.parquet", "PAR1");
    let (kind, message) = refusal(folder.path());
    assert_eq!(kind, "parquet");
    assert!(message.contains("--features tables") && message.contains("labels.csv"), "{message}");
    assert_eq!(refusal(&folder.path().join("labels.parquet")).0, "parquet");
}

#[test]
fn a_folder_per_class_may_lie_below_a_folder_per_split() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["train/ok/1.PNG", "train/ok/deep/2.jpg", "val/dent/3.bmp", "train/dent/4.jpg"]);
    put(folder.path(), "train/ok/notes.txt", "x");
    let data = open(folder.path());
    assert_eq!((data.layout, data.classes.join(",")), (Layout::ImageFolder, "dent,ok".to_owned()));
    let splits: Vec<_> = rows(&data).into_iter().map(|row| (row.0, row.1, row.2.unwrap().name())).collect();
    let expected = [
        ("train/dent/4.jpg", "dent", "train"),
        ("train/ok/1.PNG", "ok", "train"),
        ("train/ok/deep/2.jpg", "ok", "train"),
        ("val/dent/3.bmp", "dent", "validation"),
    ];
    assert_eq!(splits, expected.map(|(path, label, split)| (path.to_owned(), label, split)));
    let error = data.require_every_class(Split::Validation).unwrap_err();
    assert!(error.to_string().contains("validation has no image of 'ok'"), "{error}");
}

#[test]
fn a_class_may_be_called_test_among_others() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["test/1.png", "scratch/2.png"]);
    let data = open(folder.path());
    assert_eq!(data.classes, ["scratch", "test"]);
    assert!(data.samples.iter().all(|sample| sample.split.is_none()));
}

#[test]
fn empty_class_folders_and_unreadable_kinds_of_images_are_faults() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["ok/1.png", "ok/2.tif"]);
    fs::create_dir(folder.path().join("dent")).unwrap();
    let (kind, message) = refusal(folder.path());
    assert_eq!(kind, "faults");
    assert!(message.contains("the class folder dent has no image"), "{message}");
    assert!(message.contains("ok/2.tif is an image of a kind that is not read; save it as PNG"), "{message}");
}

#[test]
fn mvtec_has_defects_in_test_and_masks_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        "bottle/train/good/000.png",
        "bottle/test/good/000.png",
        "bottle/test/broken/000.png",
        "bottle/test/broken/001.png",
        "bottle/ground_truth/broken/000_mask.png",
        "cable/train/good/000.png",
        "cable/test/good/000.png",
    ];
    images(folder.path(), &paths);
    let data = open(folder.path());
    assert_eq!((data.layout, data.classes.join(",")), (Layout::MvtecAd, "broken,good".to_owned()));
    assert_eq!(data.samples.len(), 6);
    let rows = rows(&data);
    assert_eq!(rows[0], ("bottle/train/good/000.png".to_owned(), "good", Some(Split::Train), "bottle|".to_owned()));
    let mask = "bottle|bottle/ground_truth/broken/000_mask.png".to_owned();
    assert_eq!(rows[1], ("bottle/test/broken/000.png".to_owned(), "broken", Some(Split::Test), mask));
    // One category by itself.
    let one = open(&folder.path().join("bottle"));
    assert_eq!((one.layout, one.samples.len()), (Layout::MvtecAd, 4));
}

#[test]
fn dagm_reads_its_label_files() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["Class1/Train/0001.PNG", "Class1/Train/0002.PNG", "Class1/Test/0001.PNG"]);
    put(folder.path(), "Class1/Train/Label/0002_label.PNG", "x");
    let train = "\u{feff}1\r\n1\t0\t0001.PNG\t0\tnot\r\n2\t1\t0002.PNG\t1\t0002_label.PNG\r\n";
    put(folder.path(), "Class1/Train/Label/Labels.txt", train);
    put(folder.path(), "Class1/Test/Label/Labels.txt", "1\n1\t0\t0001.PNG\t0\tnot\n");
    let data = open(folder.path());
    assert_eq!((data.layout, data.classes.join(",")), (Layout::Dagm2007, "defect,ok".to_owned()));
    let rows = rows(&data);
    let mask = "Class1|Class1/Train/Label/0002_label.PNG".to_owned();
    assert_eq!(rows[1], ("Class1/Train/0002.PNG".to_owned(), "defect", Some(Split::Train), mask));
    assert_eq!(rows[2].2, Some(Split::Test));
    put(folder.path(), "Class1/Test/Label/Labels.txt", "1\nnonsense\n1\t7\t0001.PNG\t0\tnot\n");
    let message = refusal(folder.path()).1;
    assert!(message.contains("Labels.txt line 2: found 'nonsense', expected number, 0 or 1"), "{message}");
    assert!(message.contains("line 3"), "{message}");
}

#[test]
fn folders_of_no_known_layout_say_what_is_in_them_and_what_would_be_known() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["1.png"]);
    let (kind, message) = refusal(folder.path());
    assert_eq!(kind, "unknown_layout");
    assert!(message.contains("1 files, such as 1.png, and no folder") && message.contains("mvtec-ad"), "{message}");
    assert_eq!(refusal(&folder.path().join("nowhere")).0, "not_a_folder");
}

#[test]
fn a_layout_that_was_asked_for_is_not_guessed_again() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["ok/1.png"]);
    put(folder.path(), "labels.csv", "file,label\nok/1.png,fine\n");
    let with = |layout| LoadOptions { layout: Some(layout), ..LoadOptions::default() };
    let data = Dataset::open(folder.path(), &with(Layout::ImageFolder)).unwrap();
    assert_eq!(data.classes, ["ok"]);
    for (layout, missing) in [(Layout::MvtecAd, "train/good"), (Layout::Dagm2007, "Labels.txt")] {
        let error = Dataset::open(folder.path(), &with(layout)).unwrap_err();
        assert_eq!(error.kind(), "other_layout");
        assert!(error.to_string().contains(missing), "{error}");
    }
    fs::remove_file(folder.path().join("labels.csv")).unwrap();
    let error = Dataset::open(folder.path(), &with(Layout::Labels)).unwrap_err();
    assert!(error.to_string().contains("there is no labels.csv"), "{error}");
}

#[test]
fn the_digest_is_of_what_reaches_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), &["ok/1.png", "dent/2.png"]);
    let digest = || open(folder.path()).digest().unwrap();
    let first = digest();
    assert_eq!(first, digest());
    put(folder.path(), "ok/1.png", "y");
    assert_ne!(first, digest());
}
