//! ResNets (He et al. 2016), with the stride of a bottleneck in its 3x3 convolution as torchvision has it.

use super::builder::{Act, Builder, Kernel, Value, scaled};
use super::{ArchError, check};
use crate::Model;

/// What a ResNet is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResNetOptions {
    /// Classes it tells apart.
    pub classes: usize,
    /// Channels, height and width of the images.
    pub input: [usize; 3],
    /// Factor on all numbers of channels.
    pub width: f64,
}

impl Default for ResNetOptions {
    fn default() -> Self {
        Self { classes: 2, input: [3, 224, 224], width: 1.0 }
    }
}

#[derive(Clone, Copy)]
enum Block {
    Basic,
    Bottleneck,
}

/// ResNet-18.
///
/// # Errors
/// An option makes no sense.
pub fn resnet18(options: &ResNetOptions, seed: u64) -> Result<Model, ArchError> {
    imagenet("resnet18", options, Block::Basic, [2, 2, 2, 2], seed)
}

/// ResNet-50.
///
/// # Errors
/// An option makes no sense.
pub fn resnet50(options: &ResNetOptions, seed: u64) -> Result<Model, ArchError> {
    imagenet("resnet50", options, Block::Bottleneck, [3, 4, 6, 3], seed)
}

/// The ResNet for small images of section 4.2: three stages of 16, 32 and 64 channels with `blocks` basic blocks each, no
/// pooling in the stem; `6 * blocks + 2` layers.
///
/// # Errors
/// An option makes no sense.
pub fn resnet_cifar(options: &ResNetOptions, blocks: usize, seed: u64) -> Result<Model, ArchError> {
    check(options.classes, options.input, options.width)?;
    let (mut net, input) = Builder::new("resnet_cifar", options.input, seed);
    let stem = net.conv_bn("conv1", &input, scaled(16, options.width), Kernel::new(3, 1), Act::Relu);
    let trunk = stages(&mut net, stem, Block::Basic, &[(16, blocks), (32, blocks), (64, blocks)], options.width);
    net.finish(&trunk, options.classes)
}

fn imagenet(
    name: &str,
    options: &ResNetOptions,
    block: Block,
    counts: [usize; 4],
    seed: u64,
) -> Result<Model, ArchError> {
    check(options.classes, options.input, options.width)?;
    let (mut net, input) = Builder::new(name, options.input, seed);
    let stem = net.conv_bn("conv1", &input, scaled(64, options.width), Kernel::new(7, 2), Act::Relu);
    let pooled = net.max_pool("maxpool", &stem);
    let [first, second, third, fourth] = counts;
    let trunk =
        stages(&mut net, pooled, block, &[(64, first), (128, second), (256, third), (512, fourth)], options.width);
    net.finish(&trunk, options.classes)
}

/// Stages of `(channels, blocks)`; each but the first halves the image.
fn stages(net: &mut Builder, mut trunk: Value, block: Block, stages: &[(usize, usize)], width: f64) -> Value {
    for (stage, &(channels, blocks)) in stages.iter().enumerate() {
        for at in 0..blocks {
            let stride = if at == 0 && stage > 0 { 2 } else { 1 };
            let name = format!("layer{}.{at}", stage + 1);
            trunk = residual(net, &name, &trunk, block, scaled(channels, width), stride);
        }
    }
    trunk
}

fn residual(net: &mut Builder, name: &str, input: &Value, block: Block, channels: usize, stride: usize) -> Value {
    let conv = |part: &str| format!("{name}.{part}");
    let branch = match block {
        Block::Basic => {
            let inner = net.conv_bn(&conv("conv1"), input, channels, Kernel::new(3, stride), Act::Relu);
            net.conv_bn(&conv("conv2"), &inner, channels, Kernel::new(3, 1), Act::None)
        }
        Block::Bottleneck => {
            let inner = net.conv_bn(&conv("conv1"), input, channels, Kernel::new(1, 1), Act::Relu);
            let inner = net.conv_bn(&conv("conv2"), &inner, channels, Kernel::new(3, stride), Act::Relu);
            net.silent_conv_bn(&conv("conv3"), &inner, 4 * channels, Kernel::new(1, 1))
        }
    };
    let shortcut = if stride != 1 || input.channels != branch.channels {
        net.conv_bn(&conv("downsample"), input, branch.channels, Kernel::new(1, stride), Act::None)
    } else {
        input.clone()
    };
    let sum = net.add(&conv("add"), &branch, &shortcut);
    net.act(&conv("relu"), &sum, Act::Relu)
}
