//! Counters on the request path: for each value one binary search and one relaxed addition.
//!
//! They only ever grow (and wrap); who seals a pane reads them and takes the increments since the last time. So no
//! request waits for a seal, and none is lost to one.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use takt_artifact::profile::{ANY_SEGMENT, Bins, Feature, Grid, Profile, Segment};

use super::pane::{FeatureCounts, Pane, SegmentCounts};
use crate::features::{CLASS, IMAGE_LEN, VISION_NAMES, Vision};

/// One prediction, as drift sees it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Product or recipe, where the client names it.
    pub product: Option<&'a str>,
    /// Station, where the client names it.
    pub station: Option<&'a str>,
    /// Part, where the client names it. Further views of the part that the station showed last are not counted: the
    /// unit of the statistics is the part.
    pub part: Option<&'a str>,
    /// Features of the image and the answer; NaN where one is missing.
    pub values: &'a Vision,
    /// Whether the image was measured: not every one is under load, and a tensor has no image.
    pub image: bool,
    /// Whether the answer was judged.
    pub answer: bool,
    /// Index of the class in the version's labels, where it judges.
    pub class: Option<usize>,
}

/// Counters of one version over the grids of its profile.
#[derive(Debug)]
pub struct Counters {
    segments: Vec<SegmentCounters>,
    by_product: HashMap<Box<str>, usize>,
    any: Option<usize>,
    hasher: RandomState,
}

#[derive(Debug)]
struct SegmentCounters {
    name: String,
    stations: HashMap<Box<str>, StationCounter>,
    unknown: StationCounter,
    numeric: Vec<NumericCounter>,
    class: Option<ClassCounter>,
}

#[derive(Debug, Default)]
struct StationCounter {
    units: AtomicU32,
    /// Hash of the part that was seen last; 0 is none.
    last_part: AtomicU64,
}

#[derive(Debug)]
struct NumericCounter {
    /// Place in [`Vision`].
    index: usize,
    grid: Grid,
    slots: Box<[AtomicU32]>,
    missing: AtomicU32,
}

#[derive(Debug)]
struct ClassCounter {
    /// Slot of each class of the version; `None` for one that the reference does not know.
    slot_of: Vec<Option<usize>>,
    slots: Box<[AtomicU32]>,
    missing: AtomicU32,
}

impl Counters {
    /// Counters over `profile`, at zero. `labels` are the version's classes in the order of its output.
    #[must_use]
    pub fn new(profile: &Profile, labels: &[String]) -> Self {
        let segments: Vec<_> =
            profile.segments.iter().map(|(name, segment)| SegmentCounters::new(name, segment, labels)).collect();
        let by_product =
            segments.iter().enumerate().map(|(i, s)| (s.name.as_str().into(), i)).collect::<HashMap<_, _>>();
        let any = by_product.get(ANY_SEGMENT).copied();
        Self { segments, by_product, any, hasher: RandomState::new() }
    }

    /// Counts one prediction, in the segment of its product or else in the one for any. A product for which there is
    /// neither is not counted.
    pub fn observe(&self, seen: &Seen<'_>) {
        let known = seen.product.and_then(|product| self.by_product.get(product).copied());
        let Some(segment) = known.or(self.any).and_then(|i| self.segments.get(i)) else { return };
        let station = seen.station.and_then(|station| segment.stations.get(station)).unwrap_or(&segment.unknown);
        if let Some(part) = seen.part {
            // 0 is kept for "none".
            let hash = self.hasher.hash_one((seen.station, part)) | 1;
            if station.last_part.swap(hash, Relaxed) == hash {
                return;
            }
        }
        station.units.fetch_add(1, Relaxed);
        for counter in &segment.numeric {
            let measured = if counter.index < IMAGE_LEN { seen.image } else { seen.answer };
            if measured {
                counter.observe(seen.values[counter.index]);
            }
        }
        if let Some(counter) = segment.class.as_ref().filter(|_| seen.answer) {
            counter.observe(seen.class);
        }
    }

    /// Reads everything, as counts since the beginning; differences of two readings are panes.
    #[must_use]
    pub fn read(&self) -> Pane {
        let segments = self.segments.iter().map(|segment| (segment.name.clone(), segment.read())).collect();
        Pane { segments }
    }
}

impl SegmentCounters {
    fn new(name: &str, segment: &Segment, labels: &[String]) -> Self {
        let numeric = VISION_NAMES.iter().enumerate().filter_map(|(index, name)| match segment.features.get(*name) {
            Some(Feature { bins: Bins::Grid(grid), .. }) => Some(NumericCounter {
                index,
                grid: grid.clone(),
                slots: zeros(grid.slots()),
                missing: AtomicU32::default(),
            }),
            _ => None,
        });
        let class = match segment.features.get(CLASS) {
            Some(Feature { bins: Bins::Categories(names), .. }) => Some(ClassCounter {
                slot_of: labels.iter().map(|label| names.iter().position(|name| name == label)).collect(),
                slots: zeros(names.len()),
                missing: AtomicU32::default(),
            }),
            _ => None,
        };
        let stations = segment.units.keys().map(|name| (name.as_str().into(), StationCounter::default())).collect();
        Self { name: name.to_owned(), stations, unknown: StationCounter::default(), numeric: numeric.collect(), class }
    }

    fn read(&self) -> SegmentCounts {
        let units: BTreeMap<_, _> =
            self.stations.iter().map(|(name, counter)| (name.to_string(), counter.units.load(Relaxed))).collect();
        let numeric = self.numeric.iter().map(|counter| {
            let counts = FeatureCounts { slots: load(&counter.slots), missing: counter.missing.load(Relaxed) };
            (VISION_NAMES[counter.index].to_owned(), counts)
        });
        let class = self.class.iter().map(|counter| {
            let counts = FeatureCounts { slots: load(&counter.slots), missing: counter.missing.load(Relaxed) };
            (CLASS.to_owned(), counts)
        });
        SegmentCounts { units, unknown: self.unknown.units.load(Relaxed), features: numeric.chain(class).collect() }
    }
}

impl NumericCounter {
    fn observe(&self, value: f32) {
        match self.grid.slot(value).and_then(|slot| self.slots.get(slot)) {
            Some(slot) => slot.fetch_add(1, Relaxed),
            None => self.missing.fetch_add(1, Relaxed),
        };
    }
}

impl ClassCounter {
    fn observe(&self, class: Option<usize>) {
        let slot = class.and_then(|class| *self.slot_of.get(class)?).and_then(|slot| self.slots.get(slot));
        slot.unwrap_or(&self.missing).fetch_add(1, Relaxed);
    }
}

fn zeros(len: usize) -> Box<[AtomicU32]> {
    (0..len).map(|_| AtomicU32::new(0)).collect()
}

fn load(slots: &[AtomicU32]) -> Vec<u32> {
    slots.iter().map(|slot| slot.load(Relaxed)).collect()
}
