//! Three days of a line on which nothing is wrong: 1-minute panes, 12 features, lighting that wanders (AR(1), .9 from
//! frame to frame), six changeovers between products that look different. Then the lamp ages.

use takt_stats::correlation::decorrelation_time;
use takt_stats::eprocess::{PaneProcess, PaneTest};

use crate::line::Reference;
use crate::random::{Autoregression, Random};

const FEATURES: usize = 12;
const FRAMES_PER_PANE: usize = 240;
const PANES: usize = 72 * 60;
const CHANGEOVERS: usize = 6;
/// How brightness and contrast of a product lie, in units of their own spread.
const PRODUCTS: [f64; 3] = [0.0, 2.5, -1.5];
/// One false alarm per feature in 1e5 panes.
const C: f64 = 1e5;

struct Line {
    random: Random,
    lighting: Autoregression,
}

impl Line {
    /// A frame's features: part lighting, part the frame's own, and how the product looks.
    fn frame(&mut self, product: usize, dimmed: f64) -> [f32; FEATURES] {
        let light = self.lighting.next(&mut self.random) - dimmed;
        std::array::from_fn(|feature| {
            let loading = 1.0 - 0.05 * feature as f64;
            let own = (1.0 - loading * loading).sqrt() * self.random.normal();
            (loading * light + own + PRODUCTS[product]) as f32
        })
    }

    /// Every `step`-th of so many frames, by feature.
    fn units(&mut self, frames: usize, step: usize, product: usize, dimmed: f64) -> Vec<Vec<f32>> {
        let mut units = vec![Vec::new(); FEATURES];
        for frame in 0..frames {
            let values = self.frame(product, dimmed);
            if frame % step == 0 {
                units.iter_mut().zip(values).for_each(|(units, value)| units.push(value));
            }
        }
        units
    }
}

#[test]
fn three_good_days_alarm_at_most_as_often_as_declared_and_an_ageing_lamp_is_seen() {
    let mut random = Random(51);
    let lighting = Autoregression::new(0.9, &mut random);
    let mut line = Line { random, lighting };
    let history: Vec<f64> = line.units(50_000, 1, 0, 0.0)[0].iter().copied().map(f64::from).collect();
    let step = decorrelation_time(&history).unwrap();
    let references: Vec<Vec<Reference>> = (0..PRODUCTS.len())
        .map(|product| line.units(3_000 * step, step, product, 0.0).iter().map(|units| Reference::of(units)).collect())
        .collect();
    let tests: Vec<PaneTest> = (0..FEATURES).map(|_| PaneTest::new(PaneTest::TAU, 0.01, 3_000.0)).collect();
    let mut processes = [PaneProcess::new(C); FEATURES];
    let mut without_segments = PaneProcess::new(C);
    let (mut alarms, mut alarms_without_segments) = (0, 0);
    for pane in 0..PANES {
        let product = (pane * (CHANGEOVERS + 1) / PANES) % PRODUCTS.len();
        let units = line.units(FRAMES_PER_PANE, step, product, 0.0);
        for feature in 0..FEATURES {
            let figures = references[product][feature].figures(&units[feature]);
            let e_value = tests[feature].ln_e_value(figures.ks.lo, figures.units);
            alarms += usize::from(processes[feature].update(e_value));
        }
        let figures = references[0][0].figures(&units[0]);
        let e_value = tests[0].ln_e_value(figures.ks.lo, figures.units);
        alarms_without_segments += usize::from(without_segments.update(e_value));
    }
    let declared = (PANES * FEATURES) as f64 / C;
    assert!((alarms as f64) <= declared, "{alarms} alarms, {declared:.2} declared");
    assert!(alarms_without_segments > 100, "{alarms_without_segments}");

    let seen = (1..=30).find(|_| {
        let units = line.units(FRAMES_PER_PANE, step, 0, 2.0);
        let figures = references[0][0].figures(&units[0]);
        processes[0].update(tests[0].ln_e_value(figures.ks.lo, figures.units))
    });
    assert!(seen.is_some_and(|panes| panes <= 10), "{seen:?}");
}
