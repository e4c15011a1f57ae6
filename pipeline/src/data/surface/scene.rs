//! One image before it is drawn: what is seen, on which product, at which station, when and in what light.

use std::fmt;

use serde::Serialize;

use super::plan::Plan;
use crate::data::split::Split;
use crate::rng::Rng;

/// 2026-01-05T06:00:00Z, a Monday, in seconds of the Unix epoch.
const START: u64 = 1_767_592_800;

/// Seconds between two parts on the belt.
const CYCLE: u64 = 20;

/// Parts of one product in a row, in the reference.
const RUN: u32 = 250;

/// Share of good parts in the reference.
const HEALTHY: f32 = 0.95;

/// What is to be found in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// No defect, though perhaps harmless grain lines, highlights or dust.
    Ok,
    /// A curved groove with a dark and a bright edge.
    Scratch,
    /// A shallow bump or hollow, shaded by the light.
    Dent,
    /// A cloudy darker patch.
    Stain,
    /// A dark pit with a lit rim.
    Hole,
    /// A thin branching line.
    Crack,
}

/// Working shift, by the hour of the day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shift {
    /// 06 to 14
    Early,
    /// 14 to 22
    Late,
    /// 22 to 06
    Night,
}

/// One image before it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Part of the data set.
    pub split: Split,
    /// Position in the split, in order of time.
    pub index: u32,
    /// What is to be found.
    pub label: Label,
    /// Number of the product, from 0; 16 products are in training and 4 others in each other split.
    pub product: u32,
    /// Number of the inspection station, from 0: the first four are in every split, the fifth only in validation, the
    /// sixth only in the test.
    pub station: u32,
    /// Brightness of the light, 1 as installed.
    pub illumination: f32,
    /// Seconds of the Unix epoch.
    pub time: u64,
}

impl Label {
    /// Every label; `ok` first, the defects after it.
    pub const ALL: [Self; 6] = [Self::Ok, Self::Scratch, Self::Dent, Self::Stain, Self::Hole, Self::Crack];

    /// Name of the label and of its folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Scratch => "scratch",
            Self::Dent => "dent",
            Self::Stain => "stain",
            Self::Hole => "hole",
            Self::Crack => "crack",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Scene {
    /// Every scene of a split, in order of time.
    #[must_use]
    pub fn of(plan: &Plan, split: Split) -> Vec<Self> {
        let labels = labels(plan, split);
        let scenes = labels.into_iter().zip(0..);
        scenes.map(|(label, index)| Self::new(plan, split, index, label)).collect()
    }

    fn new(plan: &Plan, split: Split, index: u32, label: Label) -> Self {
        let mut rng = Rng::new(plan.seed, &[0x73, split.stream(), u64::from(index)]);
        let (first, number) = match split {
            Split::Train => (0, 16),
            Split::Validation => (16, 4),
            Split::Test => (20, 4),
            Split::Calibration => (24, 4),
            Split::Reference => (28, 4),
        };
        let stations = match split {
            Split::Train | Split::Calibration | Split::Reference => [0, 1, 2, 3, 0],
            Split::Validation => [0, 1, 2, 3, 4],
            Split::Test => [0, 1, 2, 3, 5],
        };
        // A split begins where the one before it ended.
        let before = Split::ALL.into_iter().filter(|other| *other < split);
        let parts_before: u64 = before.map(|split| u64::from(plan.counts.of(split))).sum();
        let time = START + (parts_before + u64::from(index)) * CYCLE + u64::from(rng.below(CYCLE as u32 / 2));
        let dimmed = match Shift::at(time) {
            Shift::Early => 0.0,
            Shift::Late => 0.02,
            Shift::Night => 0.06,
        };
        let flicker = rng.range(-0.08, 0.08);
        let product = rng.below(number);
        let (flicker, product) = match split {
            Split::Reference => (0.25 * flicker + wander(plan.seed, index), index / RUN % number),
            _ => (flicker, product),
        };
        Self {
            split,
            index,
            label,
            product: first + product,
            station: stations[rng.below(5) as usize],
            illumination: (1.0 + plan.knobs.lighting * (flicker - dimmed)).max(0.2),
            time,
        }
    }

    /// Path below the data set's folder, with `/`.
    #[must_use]
    pub fn file(&self) -> String {
        let (split, label) = (self.split, self.label);
        format!("{split}/{label}/{label}-{:06}.jpg", self.index)
    }

    /// Name of the station, such as `S3`.
    #[must_use]
    pub fn station_name(&self) -> String {
        format!("S{}", self.station + 1)
    }

    /// Name of the line: stations 1 to 3 stand on `L1`, 4 to 6 on `L2`.
    #[must_use]
    pub fn line_name(&self) -> String {
        format!("L{}", self.station / 3 + 1)
    }

    /// Name of the product, such as `P07`.
    #[must_use]
    pub fn product_name(&self) -> String {
        format!("P{:02}", self.product + 1)
    }

    /// Working shift.
    #[must_use]
    pub fn shift(&self) -> Shift {
        Shift::at(self.time)
    }

    /// Time in UTC as RFC 3339.
    #[must_use]
    pub fn timestamp(&self) -> String {
        takt_artifact::calendar::rfc3339(self.time)
    }
}

impl Shift {
    /// Its name, as label files have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Late => "late",
            Self::Night => "night",
        }
    }

    fn at(time: u64) -> Self {
        match time / 3600 % 24 {
            6..14 => Self::Early,
            14..22 => Self::Late,
            _ => Self::Night,
        }
    }
}

/// Slow change of the light between parts that follow one another, within 0.06: the reference is what a line makes in
/// the order in which it makes it, and neighbours there are alike.
fn wander(seed: u64, index: u32) -> f32 {
    const PERIOD: u32 = 64;
    let at = |knot: u32| Rng::new(seed, &[0x77, u64::from(knot)]).range(-0.06, 0.06);
    let (knot, along) = (index / PERIOD, (index % PERIOD) as f32 / PERIOD as f32);
    at(knot) + (at(knot + 1) - at(knot)) * along
}

/// The split's labels in shuffled order, as many of each as the plan's share says; the reference is what a healthy line
/// makes.
fn labels(plan: &Plan, split: Split) -> Vec<Label> {
    let count = plan.counts.of(split);
    let ok_share = match split {
        Split::Reference => HEALTHY,
        _ => plan.knobs.ok_share,
    };
    let good = (count as f32 * ok_share).round() as u32;
    let defects = Label::ALL[1..].iter().copied().cycle();
    let mut labels: Vec<Label> =
        std::iter::repeat_n(Label::Ok, good as usize).chain(defects).take(count as usize).collect();
    let mut rng = Rng::new(plan.seed, &[0x6c, split.stream()]);
    for last in (1..count).rev() {
        labels.swap(last as usize, rng.below(last + 1) as usize);
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::data::surface::Counts;

    fn small() -> Plan {
        Plan {
            counts: Counts { train: 500, validation: 200, calibration: 200, test: 200, reference: 1000 },
            ..Plan::default()
        }
    }

    #[test]
    fn no_product_is_in_two_splits() {
        let products = Split::ALL.map(|split| {
            let scenes = Scene::of(&small(), split);
            scenes.iter().map(|scene| scene.product).collect::<BTreeSet<_>>()
        });
        assert_eq!(products.each_ref().map(BTreeSet::len), [16, 4, 4, 4, 4]);
        assert_eq!(products.iter().flatten().collect::<BTreeSet<_>>().len(), 32);
    }

    #[test]
    fn each_held_out_split_has_a_station_that_training_never_saw() {
        let stations = |split| -> BTreeSet<u32> {
            let scenes = Scene::of(&small(), split);
            scenes.iter().map(|scene| scene.station).collect()
        };
        assert_eq!(stations(Split::Train), BTreeSet::from([0, 1, 2, 3]));
        assert_eq!(stations(Split::Validation), BTreeSet::from([0, 1, 2, 3, 4]));
        assert_eq!(stations(Split::Test), BTreeSet::from([0, 1, 2, 3, 5]));
        assert_eq!(stations(Split::Calibration), stations(Split::Train));
        assert_eq!(stations(Split::Reference), stations(Split::Train));
    }

    #[test]
    fn labels_have_the_share_that_was_asked_for() {
        let scenes = Scene::of(&small(), Split::Train);
        let count = |label| scenes.iter().filter(|scene| scene.label == label).count();
        assert_eq!(Label::ALL.map(count), [200, 60, 60, 60, 60, 60]);
    }

    #[test]
    fn the_reference_is_a_line_at_work_runs_of_one_product_and_light_that_changes_slowly() {
        let scenes = Scene::of(&small(), Split::Reference);
        assert_eq!(scenes.iter().filter(|scene| scene.label == Label::Ok).count(), 950);
        let changeovers = scenes.windows(2).filter(|pair| pair[0].product != pair[1].product).count();
        assert_eq!(changeovers, 3);
        let correlation = |scenes: &[Scene]| {
            let light: Vec<f64> = scenes.iter().map(|scene| f64::from(scene.illumination)).collect();
            let mean = light.iter().sum::<f64>() / light.len() as f64;
            let lagged: f64 = light.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
            lagged / light.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>()
        };
        assert!(correlation(&scenes) > 0.7, "{}", correlation(&scenes));
        let train = Scene::of(&small(), Split::Train);
        assert!(correlation(&train) < 0.4, "{}", correlation(&train));
    }

    #[test]
    fn time_goes_on_within_and_between_splits() {
        let scenes: Vec<Scene> = Split::ALL.into_iter().flat_map(|split| Scene::of(&small(), split)).collect();
        assert_eq!(scenes[0].timestamp()[..16], *"2026-01-05T06:00");
        assert!(scenes.windows(2).all(|pair| pair[0].time < pair[1].time));
    }
}
