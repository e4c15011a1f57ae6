use super::*;
use crate::cost::total;
use crate::shape::infer;

#[test]
fn networks_have_the_shapes_they_promise() {
    let options = ResNetOptions { classes: 5, input: [1, 64, 48], width: 0.25 };
    let mobile = MobileNetOptions { classes: 5, input: [1, 64, 48], width: 0.25 };
    for model in [
        resnet18(&options, 1).unwrap(),
        resnet50(&options, 1).unwrap(),
        resnet_cifar(&options, 1, 1).unwrap(),
        mobilenet_v2(&mobile, 1).unwrap(),
    ] {
        let facts = infer(&model).unwrap();
        assert_eq!(facts.get("image").to_string(), "[batch, 1, 64, 48]");
        assert_eq!(facts.get("logits").to_string(), "[batch, 5]");
    }
}

/// 3,504,872 parameters in torchvision's documentation, and two statistics for each of 17,056 channels.
#[test]
fn a_mobilenet_is_as_large_as_published() {
    let model = mobilenet_v2(&MobileNetOptions { classes: 1000, ..MobileNetOptions::default() }, 0).unwrap();
    let cost = total(&model).unwrap();
    assert_eq!((cost.macs / 1_000_000, cost.parameters), (300, 3_504_872 + 2 * 17_056 + 2));
}

#[test]
fn the_same_seed_gives_the_same_net() {
    let options = ResNetOptions { input: [3, 16, 16], ..ResNetOptions::default() };
    let net = |seed| resnet_cifar(&options, 1, seed).unwrap();
    assert_eq!(net(7), net(7));
    assert_ne!(net(7), net(8));
}

#[test]
fn initial_weights_have_the_deviation_of_he() {
    let options = ResNetOptions { input: [3, 16, 16], ..ResNetOptions::default() };
    let model = resnet_cifar(&options, 1, 3).unwrap();
    let weights = model.graph().initializer_named("layer3.0.conv2.weight").unwrap().f32s().unwrap();
    let variance = weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weights.len() as f64;
    // 36,864 weights: the estimate is within 1 % of the truth in 5 deviations of itself (sqrt(2 / n) = 0.7 %).
    let expected = 2.0 / (64.0 * 9.0);
    assert!((variance / expected - 1.0).abs() < 0.04, "{variance} against {expected}");
}

#[test]
fn the_branches_of_a_deep_net_begin_silent() {
    let model = resnet50(&ResNetOptions { width: 0.25, ..ResNetOptions::default() }, 1).unwrap();
    let is_all = |name: &str, expected: f32| {
        let gamma = model.graph().initializer_named(name).unwrap().f32s().unwrap();
        assert!(gamma.iter().all(|gamma| *gamma == expected), "{name}: {gamma:?}");
    };
    is_all("layer3.0.conv3.bn.weight", 0.0);
    is_all("layer3.0.conv2.bn.weight", 1.0);
    is_all("layer3.0.downsample.bn.weight", 1.0);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let fault = |options: ResNetOptions| resnet18(&options, 0).unwrap_err().to_string();
    assert_eq!(fault(ResNetOptions { classes: 1, ..Default::default() }), "found classes 1, expected at least 2");
    assert!(fault(ResNetOptions { input: [3, 4, 224], ..Default::default() }).starts_with("found input [3, 4, 224]"));
    assert!(fault(ResNetOptions { width: 0.0, ..Default::default() }).starts_with("found width 0"));
}
