//! From a folder of images to the tensors that training sees.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use takt_artifact::Preprocess;
use takt_image::{Limits, Preprocessor, Scratch};
use takt_pipeline::data::surface::{Counts, LabelFile, Plan, generate};
use takt_pipeline::data::{
    Augment, Batch, Batches, Batching, Dataset, Images, LoadOptions, Split, Tail, Views, epoch_order,
};
use takt_pipeline::progress::Silent;

const SIDE: usize = 32;

fn threads(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn data(folder: &Path) -> Dataset {
    let counts = Counts { train: 10, validation: 2, calibration: 2, test: 2, reference: 2 };
    let plan = Plan { size: 64, counts, ..Plan::default() };
    generate(&plan, folder, LabelFile::Csv, threads(2), &Silent, &AtomicBool::new(false)).unwrap();
    Dataset::open(folder, &LoadOptions::default()).unwrap()
}

fn preprocess() -> Preprocess {
    let text = r#"{"input": "x", "width": 32, "height": 32, "mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}"#;
    serde_json::from_str(text).unwrap()
}

fn images(data: &Dataset, cache: usize) -> Arc<Images> {
    Arc::new(Images::new(data, &preprocess(), cache).unwrap())
}

fn batching() -> Batching {
    Batching { size: threads(4), tail: Tail::Keep, views: Views::Plain, threads: threads(3) }
}

fn all(images: &Arc<Images>, order: &[usize], batching: Batching) -> Vec<Batch> {
    Batches::start(images, order, batching).unwrap().map(Result::unwrap).collect()
}

#[test]
fn training_sees_bit_by_bit_what_serving_sees_with_and_without_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let train = data.indices(Split::Train).unwrap();
    let serving = Preprocessor::new(&preprocess(), Limits::default()).unwrap();
    let mut scratch = Scratch::new();
    let mut expected = Vec::new();
    for sample in &train {
        let mut row = vec![0.0_f32; serving.elements()];
        let bytes = fs::read(data.path(&data.samples[*sample])).unwrap();
        serving.preprocess(&bytes, &mut row, &mut scratch).unwrap();
        expected.extend(row);
    }
    // None, three images of ten, all.
    for cache in [0, 3 * 3 * SIDE * SIDE, usize::MAX] {
        let images = images(&data, cache);
        for pass in 0..2 {
            let batches = all(&images, &train, batching());
            let found: Vec<f32> = batches.iter().flat_map(|batch| batch.inputs.clone()).collect();
            assert!(found == expected, "cache {cache}, pass {pass}");
        }
    }
}

#[test]
fn batches_come_in_order_with_labels_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let images = images(&data, usize::MAX);
    let order = epoch_order(&data.indices(Split::Train).unwrap(), 3, 0);
    let one = all(&images, &order, Batching { threads: threads(1), ..batching() });
    assert_eq!(
        one.iter().map(|batch| batch.shape).collect::<Vec<_>>(),
        [[4, 3, 32, 32], [4, 3, 32, 32], [2, 3, 32, 32]]
    );
    assert_eq!(one.iter().flat_map(|batch| batch.samples.clone()).collect::<Vec<_>>(), order);
    for batch in &one {
        let labels: Vec<u32> = batch.samples.iter().map(|sample| data.samples[*sample].label as u32).collect();
        assert_eq!(batch.labels, labels);
    }
    for n in [2, 5] {
        assert_eq!(all(&images, &order, Batching { threads: threads(n), ..batching() }), one);
    }
    let dropped = all(&images, &order, Batching { tail: Tail::Drop, ..batching() });
    assert_eq!(dropped, one[..2]);
}

#[test]
fn a_view_is_the_same_each_time_and_another_view_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let train = data.indices(Split::Train).unwrap();
    let view = |cache, view| {
        let views = Views::Augmented { augment: Augment::default(), seed: 1, view };
        all(&images(&data, cache), &train, Batching { views, ..batching() })
    };
    assert_eq!(view(0, 1), view(usize::MAX, 1));
    assert_ne!(view(0, 1), view(0, 2));
    assert_ne!(epoch_order(&train, 1, 0), epoch_order(&train, 1, 1));
    let bad = Views::Augmented { augment: Augment { shift: 2.0, ..Augment::default() }, seed: 1, view: 0 };
    let error = Batches::start(&images(&data, 0), &train, Batching { views: bad, ..batching() }).unwrap_err();
    assert_eq!(error.kind(), "augment");
}

#[test]
fn unreadable_images_are_all_named_before_training_and_end_a_pass_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let broken = [1, 7].map(|sample: usize| data.path(&data.samples[sample]));
    broken.iter().for_each(|path| fs::write(path, "no image").unwrap());
    let images = images(&data, usize::MAX);
    let error = images.read_all(threads(2), &Silent).unwrap_err();
    assert_eq!(error.kind(), "faults");
    let message = error.to_string();
    for path in &broken {
        assert!(message.contains(&path.display().to_string()), "{message}");
    }
    assert!(message.contains("unknown image format"), "{message}");
    let order: Vec<usize> = (0..8).collect();
    let results: Vec<_> = Batches::start(&images, &order, batching()).unwrap().collect();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].as_ref().unwrap_err().kind(), "image");
    let none = Batches::start(&images, &[99], batching()).unwrap().next().unwrap();
    assert_eq!(none.unwrap_err().kind(), "no_sample");
}

#[test]
fn whoever_stops_early_leaves_no_thread_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let images = images(&data, 0);
    let order: Vec<usize> = (0..10).cycle().take(400).collect();
    let mut batches = Batches::start(&images, &order, batching()).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().samples, [0, 1, 2, 3]);
    drop(batches);
    assert_eq!(Arc::strong_count(&images), 1);
}
