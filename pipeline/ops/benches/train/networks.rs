//! The networks of torchvision that the benchmark trains, built by hand: ResNet-18 and -50, MobileNetV2.

use candle_core::{Device, Result, Tensor, Var};
use takt_ops::{
    Activation, Conv2dParams, PoolParams, add, add_relu, batch_norm_train, conv2d, global_avg_pool, linear, max_pool2d,
};

/// A network in training.
pub(crate) struct Network {
    pub(crate) vars: Vec<(String, Var)>,
    layers: Vec<Layer>,
    head: [Var; 2],
}

enum Layer {
    Unit(Unit),
    Pool,
    /// Units, the shortcut's unit, and whether a ReLU follows the sum.
    Residual(Vec<Unit>, Option<Unit>, bool),
}

/// Convolution, batch normalisation, activation.
struct Unit {
    weight: Var,
    gamma: Var,
    beta: Var,
    params: Conv2dParams,
    activation: Option<Activation>,
}

const LINEAR: Option<Activation> = None;
const RELU: Option<Activation> = Some(Activation::Relu);
const RELU6: Option<Activation> = Some(Activation::Clamp { low: 0.0, high: 6.0 });

impl Unit {
    fn run(&self, x: &Tensor) -> Result<Tensor> {
        let y = conv2d(x, &self.weight, None, &self.params)?;
        Ok(batch_norm_train(&y, &self.gamma, &self.beta, 1e-5, self.activation)?.0)
    }
}

impl Network {
    pub(crate) fn named(name: &str) -> Result<Self> {
        let mut builder = Builder { vars: Vec::new(), layers: Vec::new(), seed: 1 };
        let features = match name {
            "resnet18" => builder.resnet([2, 2, 2, 2], false)?,
            "resnet50" => builder.resnet([3, 4, 6, 3], true)?,
            _ => builder.mobilenet_v2()?,
        };
        let head = [builder.var(&[10, features])?, builder.var(&[10])?];
        Ok(Self { vars: builder.vars, layers: builder.layers, head })
    }

    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = images.clone();
        for layer in &self.layers {
            x = match layer {
                Layer::Unit(unit) => unit.run(&x)?,
                Layer::Pool => {
                    let params = PoolParams { kernel: [3; 2], stride: [2; 2], padding: [1; 4], dilation: [1; 2] };
                    max_pool2d(&x, &params)?
                }
                Layer::Residual(units, shortcut, relu) => {
                    let deep = units.iter().try_fold(x.clone(), |x, unit| unit.run(&x))?;
                    let shortcut = shortcut.as_ref().map(|unit| unit.run(&x)).transpose()?.unwrap_or(x);
                    if *relu { add_relu(&deep, &shortcut)? } else { add(&deep, &shortcut)? }
                }
            };
        }
        linear(&global_avg_pool(&x)?.flatten_from(1)?, &self.head[0], Some(&self.head[1]))
    }
}

struct Builder {
    vars: Vec<(String, Var)>,
    layers: Vec<Layer>,
    seed: u64,
}

impl Builder {
    fn keep(&mut self, var: Var) -> Var {
        self.vars.push((format!("{}", self.vars.len()), var.clone()));
        var
    }

    /// Uniform, with the variance of He et al. 2015.
    fn var(&mut self, shape: &[usize]) -> Result<Var> {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (6.0 / fan_in.max(1) as f32).sqrt();
        let numbers = (0..shape.iter().product::<usize>()).map(|_| {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * bound
        });
        let var = Var::from_vec(numbers.collect(), shape, &Device::Cpu)?;
        Ok(self.keep(var))
    }

    fn unit(
        &mut self,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Option<Activation>,
    ) -> Result<Unit> {
        let weight = self.var(&[outputs, inputs / groups, kernel, kernel])?;
        let gamma = self.keep(Var::ones(outputs, candle_core::DType::F32, &Device::Cpu)?);
        let beta = self.keep(Var::zeros(outputs, candle_core::DType::F32, &Device::Cpu)?);
        let padding = [kernel / 2; 4];
        let params = Conv2dParams { stride: [stride; 2], dilation: [1; 2], padding, groups };
        Ok(Unit { weight, gamma, beta, params, activation })
    }

    fn resnet(&mut self, blocks: [usize; 4], bottleneck: bool) -> Result<usize> {
        let stem = self.unit(3, 64, 7, 2, 1, RELU)?;
        self.layers.extend([Layer::Unit(stem), Layer::Pool]);
        let mut inputs = 64;
        for (stage, blocks) in blocks.into_iter().enumerate() {
            let width = 64 << stage;
            let outputs = if bottleneck { 4 * width } else { width };
            for block in 0..blocks {
                let stride = if block == 0 && stage > 0 { 2 } else { 1 };
                let units = if bottleneck {
                    vec![
                        self.unit(inputs, width, 1, 1, 1, RELU)?,
                        self.unit(width, width, 3, stride, 1, RELU)?,
                        self.unit(width, outputs, 1, 1, 1, LINEAR)?,
                    ]
                } else {
                    vec![self.unit(inputs, width, 3, stride, 1, RELU)?, self.unit(width, outputs, 3, 1, 1, LINEAR)?]
                };
                let shortcut = (stride != 1 || inputs != outputs)
                    .then(|| self.unit(inputs, outputs, 1, stride, 1, LINEAR))
                    .transpose()?;
                self.layers.push(Layer::Residual(units, shortcut, true));
                inputs = outputs;
            }
        }
        Ok(inputs)
    }

    fn mobilenet_v2(&mut self) -> Result<usize> {
        let stem = self.unit(3, 32, 3, 2, 1, RELU6)?;
        self.layers.push(Layer::Unit(stem));
        let mut inputs = 32;
        // Expansion, outputs, blocks, stride (Sandler et al. 2018, table 2).
        for (expansion, outputs, blocks, stride) in
            [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
        {
            for block in 0..blocks {
                let stride = if block == 0 { stride } else { 1 };
                let hidden = inputs * expansion;
                let mut units = Vec::new();
                if expansion > 1 {
                    units.push(self.unit(inputs, hidden, 1, 1, 1, RELU6)?);
                }
                units.push(self.unit(hidden, hidden, 3, stride, hidden, RELU6)?);
                units.push(self.unit(hidden, outputs, 1, 1, 1, LINEAR)?);
                if stride == 1 && inputs == outputs {
                    self.layers.push(Layer::Residual(units, None, false));
                } else {
                    self.layers.extend(units.into_iter().map(Layer::Unit));
                }
                inputs = outputs;
            }
        }
        let last = self.unit(inputs, 1280, 1, 1, 1, RELU6)?;
        self.layers.push(Layer::Unit(last));
        Ok(1280)
    }
}
