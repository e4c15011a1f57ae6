use proptest::prelude::*;
use takt_graph::channels::{self, Groups};
use takt_graph::cost::total;
use takt_graph::{Model, clean};

use std::sync::atomic::AtomicBool;

use super::*;
use crate::latency::{Kind, Surface, Timed, Window};
use crate::progress::Silent;
use crate::testing::{TWO, network, stripes};

static GO_ON: AtomicBool = AtomicBool::new(false);

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

/// Shares that groups of 8, 16 and 32 channels can all have, but for their rounding to blocks.
#[test]
fn uniform_keeps_the_same_share_of_every_group_and_the_most_important_channels() {
    let (model, groups) = prepared();
    for (keep, block) in [(0.5, 2), (0.25, 1), (0.7, 4), (1.0, 8)] {
        let cut =
            Settings { keep: keep.into(), block, select: Select::Uniform, keep_at_least: 0.0, ..Settings::default() };
        let (small, plan) = pruned(&model, &groups, Criterion::L2, &cut);
        assert!(total(&small).unwrap().macs as f64 <= keep * total(&model).unwrap().macs as f64);
        let half = block as f64 / 2.0;
        let end = |group: &GroupPlan, by: f64| (group.kept as f64 + by) / group.channels as f64;
        // One block is the least that is kept.
        let least = plan.groups.iter().filter(|group| group.kept > block).map(|group| end(group, -half));
        let most = plan.groups.iter().map(|group| end(group, half));
        let (least, most) = (least.fold(0.0, f64::max), most.fold(f64::MAX, f64::min));
        assert!(least <= most + 1e-6, "no share gives {plan:?}");
    }
    let importance = Importance::of(&model, &groups, Criterion::L2, None).unwrap();
    let cut = Settings { keep: 0.5.into(), block: 2, select: Select::Uniform, ..Settings::default() };
    let plan = planned(&model, &groups, &importance, &cut).unwrap();
    for (place, scores) in importance.0.iter().enumerate() {
        let dropped: Vec<usize> =
            plan.selection.iter().filter(|(group, _)| *group == place).map(|(_, unit)| unit).collect();
        let worst = dropped.iter().map(|&unit| scores[unit]).fold(0.0, f64::max);
        let kept = (0..scores.len()).filter(|unit| !dropped.contains(unit)).map(|unit| scores[unit]);
        assert!(kept.fold(f64::MAX, f64::min) >= worst, "group {place}");
    }
}

/// As rounds of cutting do it.
#[test]
fn uniform_widths_are_those_of_the_first_model_however_often_it_is_cut() {
    let (model, groups) = prepared();
    let cut = Settings { keep: 0.3.into(), block: 2, select: Select::Uniform, ..Settings::default() };
    let (_, at_once) = pruned(&model, &groups, Criterion::L2, &cut);
    let (half, _) = pruned(&model, &groups, Criterion::L2, &Settings { keep: 0.6.into(), ..cut });
    let left = channels::groups(&half).unwrap();
    let budget = Budget::macs(&half, &left).unwrap();
    let had = groups.groups.iter().map(|group| group.units.len()).collect();
    let bounds = Bounds::new(0.3 * total(&model).unwrap().macs as f64, had, &cut);
    let importance = Importance::of(&half, &left, Criterion::L2, None).unwrap();
    let twice = select(&left, &importance, &budget, &bounds, &cut).unwrap();
    let widths = |plan: &Plan| plan.groups.iter().map(|group| group.kept).collect::<Vec<_>>();
    assert_eq!(widths(&twice), widths(&at_once));
}

#[test]
fn an_impossible_target_says_what_is_possible() {
    let (model, groups) = prepared();
    let importance = Importance::of(&model, &groups, Criterion::L2, None).unwrap();
    let settings = Settings { keep: Keep::Share(0.001), keep_at_least: 0.5, block: 1, ..Settings::default() };
    let error = planned(&model, &groups, &importance, &settings).unwrap_err().to_string();
    assert!(error.contains("at least") && error.ends_with("or lower block (in a recipe keep_at_least too)"), "{error}");
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
fn a_quantised_model_is_refused_whatever_the_criterion() {
    let (mut model, groups) = prepared();
    let integers = takt_graph::onnx::NodeProto::new("QuantizeLinear", "round", &["logits", "step"], &["integers"]);
    model.graph_mut().node.push(integers);
    for criterion in [Criterion::Gamma, Criterion::L2, Criterion::Taylor] {
        let error = Importance::of(&model, &groups, criterion, None).unwrap_err().to_string();
        assert!(error.starts_with("QuantizeLinear 'round': the model is quantised already; prune the one"), "{error}");
    }
}

#[test]
fn reestimated_statistics_are_those_of_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let (_, images) = stripes(folder.path(), 6);
    let samples: Vec<usize> = (0..images.len()).collect();
    let (model, _) = prepared();
    let mut first = model.clone();
    reestimate(&mut first, &images, &samples, 9.try_into().unwrap(), TWO, &Silent, &GO_ON).unwrap().unwrap();
    assert_ne!(first, model);
    let mut second = first.clone();
    reestimate(&mut second, &images, &samples, 9.try_into().unwrap(), TWO, &Silent, &GO_ON).unwrap().unwrap();
    for (one, two) in first.graph().initializer.iter().zip(&second.graph().initializer) {
        let (Ok(one), Ok(two)) = (one.f32s(), two.f32s()) else { continue };
        assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-5), "they depend on images and weights alone");
    }
    let (mut same, stopped) = (model.clone(), AtomicBool::new(true));
    assert_eq!(reestimate(&mut same, &images, &samples, 9.try_into().unwrap(), TWO, &Silent, &stopped).unwrap(), None);
    assert_eq!(same, model);
}

fn lesson<'a>(
    images: &'a std::sync::Arc<crate::data::Images>,
    train: &'a [usize],
    settings: &'a crate::train::Settings,
) -> Lesson<'a> {
    Lesson { images, train, settings, batches: 4, threads: TWO, progress: &Silent, stop: &GO_ON }
}

fn small_batches() -> crate::train::Settings {
    crate::train::Settings { batch: 9.try_into().unwrap(), augment: crate::data::Augment::NONE, ..Default::default() }
}

/// By how much a channel that adds nothing to the loss would be missed, and the mean of its group.
fn of_a_dead_channel(model: &mut Model) -> (f64, f64) {
    let groups = channels::groups(model).unwrap();
    // Within a block, so that nothing but its own layer makes the channel.
    let place = groups
        .groups
        .iter()
        .position(|group| group.members.iter().filter(|m| m.role == channels::Role::Filters).count() == 1);
    let place = place.unwrap();
    let group = &groups.groups[place];
    for (at, member) in group.members.iter().enumerate().filter(|(_, member)| member.role == channels::Role::Inputs) {
        let tensor = model.graph().initializer_named(&member.initializer).unwrap();
        let (shape, mut values) = (tensor.shape().unwrap(), tensor.f32s().unwrap());
        let inner: usize = shape[member.axis + 1..].iter().product();
        let dead = group.units[1].slices[at][0].clone();
        values
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| dead.contains(&(at / inner % shape[member.axis])))
            .for_each(|(_, value)| *value = 0.0);
        let name = member.initializer.clone();
        model.graph_mut().set_initializer(takt_graph::onnx::TensorProto::from_f32(&name, &shape, &values));
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, images) = stripes(folder.path(), 12);
    let (train, settings) = ((0..images.len()).collect::<Vec<_>>(), small_batches());
    let taylor = Taylor::measure(model, &groups, &lesson(&images, &train, &settings)).unwrap().unwrap();
    let scores = &Importance::of(model, &groups, Criterion::Taylor, Some(&taylor)).unwrap().0[place];
    (scores[1], scores.iter().sum::<f64>() / scores.len() as f64)
}

#[test]
fn a_channel_that_nobody_reads_has_no_gradient() {
    let mut model = network(3);
    clean::clean(&mut model).unwrap();
    let (dead, mean) = of_a_dead_channel(&mut model);
    assert!(dead < 1e-6 && (mean - 1.0).abs() < 1e-9, "{dead} of {mean}");
}

#[test]
fn gradients_rank_channels_where_batch_normalisation_is_folded_too() {
    let mut model = network(3);
    clean::clean(&mut model).unwrap();
    clean::fold_batch_norm(&mut model).unwrap();
    let (dead, mean) = of_a_dead_channel(&mut model);
    assert!(dead < 1e-6 && (mean - 1.0).abs() < 1e-9, "{dead} of {mean}");
}

/// The first order says what happens for a small step: the derivative of the loss along a channel's gamma and beta.
#[test]
fn gradient_times_weight_is_how_the_loss_changes_with_the_channel() {
    let (model, groups) = prepared();
    let folder = tempfile::tempdir().unwrap();
    let (_, images) = stripes(folder.path(), 3);
    let (train, settings) = ((0..images.len()).collect::<Vec<_>>(), small_batches());
    let lesson = lesson(&images, &train, &settings);
    let scores = Taylor::measure(&model, &groups, &lesson).unwrap().unwrap().scores();
    let objective = crate::train::Objective::new(&settings, 3, &images, &train).unwrap();
    let views = crate::data::Views::Augmented { augment: settings.augment, seed: settings.seed, view: 0 };
    let batching = crate::data::Batching { size: settings.batch, tail: crate::data::Tail::Keep, views, threads: TWO };
    let order = crate::data::epoch_order(&train, settings.seed, 0);
    let loss = |scale: f32, group: &channels::Group, unit: usize| -> f64 {
        let mut model = model.clone();
        for (at, member) in group.members.iter().enumerate() {
            if !matches!(member.role, channels::Role::Scale | channels::Role::Shift) {
                continue;
            }
            let mut values = model.graph().initializer_named(&member.initializer).unwrap().f32s().unwrap();
            group.units[unit].slices[at].iter().cloned().flatten().for_each(|index| values[index] *= scale);
            let tensor = takt_graph::onnx::TensorProto::from_f32(&member.initializer, &[values.len()], &values);
            model.graph_mut().set_initializer(tensor);
        }
        let executor = takt_graph::execute::Executor::new(&model, &Default::default()).unwrap();
        let batch = crate::data::Batches::start(&images, &order, batching).unwrap().next().unwrap().unwrap();
        let (_, loss) = objective.run(&executor, batch, None).unwrap();
        f64::from(loss.to_scalar::<f32>().unwrap())
    };
    let step = 0.05;
    for (group, scores) in groups.groups.iter().zip(&scores) {
        let change = (loss(1.0 + step, group, 0) - loss(1.0 - step, group, 0)).abs() / (2.0 * f64::from(step));
        // A twentieth of the weight is no small step for a ReLU, and losses are single precision.
        assert!((change - scores[0]).abs() < 0.1 * change + 2e-4, "{} instead of {change}", scores[0]);
    }
}

#[test]
fn gradients_are_demanded_where_they_rank() {
    let (model, groups) = prepared();
    let error = Importance::of(&model, &groups, Criterion::Taylor, None).unwrap_err().to_string();
    assert!(error.contains("gradients"), "{error}");
}

/// Times that fall only where two blocks have gone, as those of kernels with wide tiles do.
#[test]
fn a_flat_stretch_of_measured_times_is_crossed() {
    let (model, groups) = prepared();
    let layers: Vec<Timed> = takt_graph::cost::per_node(&model)
        .unwrap()
        .into_iter()
        .filter(|cost| cost.macs > 0)
        .map(|cost| {
            let weight = model.graph().node[cost.node].input_name(1).unwrap();
            let dims = model.graph().initializer_named(weight).unwrap().shape().unwrap();
            let window = Window { kernel: [3, 3], strides: [1, 1], pads: [1; 4], dilations: [1, 1], image: [16, 16] };
            // By its outputs alone: 8 and 7 to 5 channels cost the same.
            let surface = Surface::new([vec![1], vec![4, 5, 8, 12, 16]], vec![1.0, 2.0, 2.0, 2.0, 3.0]);
            Timed { node: cost.node, inputs: dims[1], outputs: dims[0], kind: Kind::Conv(window), surface }
        })
        .collect();
    let budget = Budget::latency(&model, &groups, layers);
    let importance = Importance::of(&model, &groups, Criterion::L2, None).unwrap();
    let settings = Settings { measure: Measure::Latency, keep: Keep::Share(0.7), block: 1, ..Settings::default() };
    let bounds = Bounds::of(&groups, &budget, &settings).unwrap();
    let plan = select(&groups, &importance, &budget, &bounds, &settings).unwrap();
    let kept: Vec<usize> = plan.groups.iter().map(|group| group.kept).collect();
    assert!(budget.cost(&kept) <= 0.7 * budget.whole(), "{kept:?}");
    assert!(plan.groups.iter().any(|group| group.channels == 8 && group.kept <= 4), "{plan:?}");
}

#[test]
fn a_time_is_asked_for_in_the_unit_of_time() {
    let (model, groups) = prepared();
    let budget = Budget::macs(&model, &groups).unwrap();
    let settings = Settings { keep: Keep::Milliseconds(5.0), block: 0, ..Settings::default() };
    let error = Bounds::of(&groups, &budget, &settings).unwrap_err().to_string();
    assert!(error.contains("found 5ms") && error.contains("block is 0"), "all at once: {error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_plan_keeps_the_floor_and_the_blocks(
        keep in 0.2f64..1.0, floor in 0.0f64..0.5, block in 1usize..5, uniform: bool,
    ) {
        let select = if uniform { Select::Uniform } else { Select::Greedy };
        let (model, groups) = prepared();
        let importance = Importance::of(&model, &groups, Criterion::L2, None).unwrap();
        let settings = Settings { keep: keep.into(), keep_at_least: floor, block, select, ..Settings::default() };
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
