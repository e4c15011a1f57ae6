use proptest::prelude::*;
use takt_graph::channels::{self, Groups};
use takt_graph::cost::total;
use takt_graph::{Model, clean};

use super::*;
use crate::progress::Silent;
use crate::testing::{TWO, network, stripes};

fn prepared() -> (Model, Groups) {
    let mut model = network(3);
    clean::clean(&mut model).unwrap();
    let groups = channels::groups(&model).unwrap();
    (model, groups)
}

fn planned(
    model: &Model,
    groups: &Groups,
    importance: &Importance,
    settings: &Settings,
) -> Result<Plan, PruneStageError> {
    let budget = match settings.measure {
        Measure::Parameters => Budget::parameters(model, groups)?,
        _ => Budget::macs(model, groups)?,
    };
    let bounds = Bounds::of(groups, &budget, settings)?;
    select(groups, importance, &budget, &bounds, settings)
}

fn pruned(model: &Model, groups: &Groups, criterion: Criterion, settings: &Settings) -> (Model, Plan) {
    let importance = Importance::of(model, groups, criterion, None).unwrap();
    let plan = planned(model, groups, &importance, settings).unwrap();
    let mut small = model.clone();
    plan.apply(&mut small, groups).unwrap();
    (small, plan)
}

#[test]
fn the_forecast_is_what_the_pruned_model_costs() {
    let (model, groups) = prepared();
    for (criterion, keep) in [(Criterion::Gamma, 0.5), (Criterion::L1, 0.3), (Criterion::L2, 0.7)] {
        let settings = Settings { keep: keep.into(), block: 2, ..Settings::default() };
        let (small, plan) = pruned(&model, &groups, criterion, &settings);
        let (before, after) = (total(&model).unwrap().macs, total(&small).unwrap().macs);
        assert_eq!(plan.before, before);
        assert_eq!(plan.after, after, "{plan:?}");
        assert!(after as f64 <= keep * before as f64);
    }
}

#[test]
fn parameters_are_forecast_as_well() {
    let (model, groups) = prepared();
    let settings = Settings { measure: Measure::Parameters, keep: Keep::Share(0.4), block: 2, ..Settings::default() };
    let (small, plan) = pruned(&model, &groups, Criterion::L2, &settings);
    let found = total(&small).unwrap().parameters;
    let off = plan.after.abs_diff(found) as f64 / found as f64;
    assert!(off < 0.02, "forecast {} of {found}", plan.after);
}

#[test]
fn the_least_important_channel_goes_first() {
    let (mut model, groups) = prepared();
    let group = groups.groups.iter().find(|group| group.units.len() >= 4).unwrap();
    let scale = group.members.iter().position(|member| member.role == channels::Role::Scale).unwrap();
    let name = group.members[scale].initializer.clone();
    let mut gamma = model.graph().initializer_named(&name).unwrap().f32s().unwrap();
    let weak = group.units[2].slices[scale][0].start;
    gamma[weak] = 1e-4;
    let tensor = takt_graph::onnx::TensorProto::from_f32(&name, &[gamma.len()], &gamma);
    model.graph_mut().set_initializer(tensor);
    let importance = Importance::of(&model, &groups, Criterion::Gamma, None).unwrap();
    let place = groups.groups.iter().position(|other| other == group).unwrap();
    let least = importance.0[place].iter().copied().fold(f64::MAX, f64::min);
    assert_eq!(importance.0[place][2], least);
    let mean = importance.0[place].iter().sum::<f64>() / importance.0[place].len() as f64;
    assert!((mean - 1.0).abs() < 1e-9, "scores of a group are comparable with another's");
}

#[test]
fn an_impossible_target_says_what_is_possible() {
    let (model, groups) = prepared();
    let importance = Importance::of(&model, &groups, Criterion::L2, None).unwrap();
    let settings = Settings { keep: Keep::Share(0.001), keep_at_least: 0.5, block: 1, ..Settings::default() };
    let error = planned(&model, &groups, &importance, &settings).unwrap_err().to_string();
    assert!(error.contains("at least") && error.contains("keep_at_least"), "{error}");
}

#[test]
fn gamma_of_a_folded_model_is_refused_with_what_works() {
    let mut model = network(3);
    clean::clean(&mut model).unwrap();
    clean::fold_batch_norm(&mut model).unwrap();
    let groups = channels::groups(&model).unwrap();
    let error = Importance::of(&model, &groups, Criterion::Gamma, None).unwrap_err().to_string();
    assert!(error.contains("BatchNormalization") && error.contains("l2"), "{error}");
}

#[test]
fn reestimated_statistics_are_those_of_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let (_, images) = stripes(folder.path(), 6);
    let samples: Vec<usize> = (0..images.len()).collect();
    let (model, _) = prepared();
    let mut first = model.clone();
    reestimate(&mut first, &images, &samples, 9.try_into().unwrap(), TWO, &Silent).unwrap();
    assert_ne!(first, model);
    let mut second = first.clone();
    reestimate(&mut second, &images, &samples, 9.try_into().unwrap(), TWO, &Silent).unwrap();
    for (one, two) in first.graph().initializer.iter().zip(&second.graph().initializer) {
        let (Ok(one), Ok(two)) = (one.f32s(), two.f32s()) else { continue };
        assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-5), "they depend on images and weights alone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_plan_keeps_the_floor_and_the_blocks(keep in 0.2f64..1.0, floor in 0.0f64..0.5, block in 1usize..5) {
        let (model, groups) = prepared();
        let importance = Importance::of(&model, &groups, Criterion::L2, None).unwrap();
        let settings = Settings { keep: keep.into(), keep_at_least: floor, block, ..Settings::default() };
        match planned(&model, &groups, &importance, &settings) {
            Ok(plan) => {
                prop_assert!(plan.after as f64 <= keep * plan.before as f64 + 1.0);
                for group in &plan.groups {
                    prop_assert!(group.kept as f64 >= floor * group.channels as f64 && group.kept >= 1);
                    prop_assert!(group.kept == group.channels || group.kept % block == 0);
                }
            }
            Err(error) => prop_assert!(matches!(error, PruneStageError::OutOfReach { .. }), "{error}"),
        }
    }
}
