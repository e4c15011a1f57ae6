//! MobileNetV2 (Sandler et al. 2018).

use super::builder::{Act, Builder, Kernel, Value, scaled};
use super::{ArchError, check};
use crate::Model;

/// What a MobileNetV2 is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MobileNetOptions {
    /// Classes it tells apart.
    pub classes: usize,
    /// Channels, height and width of the images.
    pub input: [usize; 3],
    /// Factor on all numbers of channels.
    pub width: f64,
}

impl Default for MobileNetOptions {
    fn default() -> Self {
        Self { classes: 2, input: [3, 224, 224], width: 1.0 }
    }
}

/// Expansion, channels, blocks, stride of the first block: table 2 of the paper.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// MobileNetV2. The last convolution does not become narrower than 1280 below `width` 1 in the paper; here it does, since
/// who asks for a small net wants one.
///
/// # Errors
/// An option makes no sense.
pub fn mobilenet_v2(options: &MobileNetOptions, seed: u64) -> Result<Model, ArchError> {
    check(options.classes, options.input, options.width)?;
    let (mut net, input) = Builder::new("mobilenet_v2", options.input, seed);
    let mut trunk = net.conv_bn("stem", &input, scaled(32, options.width), Kernel::new(3, 2), Act::Relu6);
    for (stage, (expansion, channels, blocks, stride)) in STAGES.into_iter().enumerate() {
        for at in 0..blocks {
            let name = format!("stage{}.{at}", stage + 1);
            let stride = if at == 0 { stride } else { 1 };
            trunk = inverted(&mut net, &name, &trunk, expansion, scaled(channels, options.width), stride);
        }
    }
    let head = net.conv_bn("head", &trunk, scaled(1280, options.width), Kernel::new(1, 1), Act::Relu6);
    net.finish(&head, options.classes)
}

/// Inverted residual: wide between, narrow at both ends.
fn inverted(net: &mut Builder, name: &str, input: &Value, expansion: usize, channels: usize, stride: usize) -> Value {
    let mut inner = input.clone();
    if expansion != 1 {
        let wide = input.channels * expansion;
        inner = net.conv_bn(&format!("{name}.expand"), input, wide, Kernel::new(1, 1), Act::Relu6);
    }
    let kernel = Kernel { size: 3, stride, depthwise: true };
    let inner = net.conv_bn(&format!("{name}.depthwise"), &inner.clone(), inner.channels, kernel, Act::Relu6);
    let out = net.conv_bn(&format!("{name}.project"), &inner, channels, Kernel::new(1, 1), Act::None);
    if stride == 1 && input.channels == channels { net.add(&format!("{name}.add"), input, &out) } else { out }
}
