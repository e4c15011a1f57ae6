//! What the commands that make models share: bars, the stop signal, threads and memory.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use takt_pipeline::progress::Progress;
use takt_pipeline::stage::Shop;
use takt_pipeline::train::{EpochRecord, Observer};

/// Flags of every command that makes a model.
#[derive(Debug, Clone, Args)]
pub struct ShopArgs {
    /// Threads that decode images [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// Mebibytes of decoded images to keep in memory
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    cache_mib: usize,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// A number of threads that a machine can have.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 1024;
    let found = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MOST);
    found.ok_or_else(|| format!("expected a number from 1 to {MOST}"))
}

/// Bars on the terminal and the flag that a signal sets.
pub struct Workshop {
    args: ShopArgs,
    bars: Bars,
    stop: Arc<AtomicBool>,
}

/// A bar where standard error is a terminal, nothing elsewhere.
pub struct Bar(ProgressBar);

/// One bar at a time; epochs leave a line each.
struct Bars {
    bar: Bar,
    epochs: u32,
}

/// A flag that the first SIGINT or SIGTERM sets, so that work ends at the next step; the second ends the process.
pub fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

impl Bar {
    /// A bar of that look.
    pub fn new(template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template);
        Self(ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn begin(&self, total: u64) {
        self.0.reset();
        self.0.set_message("");
        self.0.set_length(total);
    }

    fn advance(&self) {
        self.0.inc(1);
    }
}

impl Workshop {
    /// `epochs` is how many a run has, for the estimate of the time left; 0 where there are none.
    pub fn new(args: ShopArgs, epochs: u32) -> anyhow::Result<Self> {
        let bars = Bars { bar: Bar::new("{bar:30} {pos}/{len} {msg} {eta}"), epochs };
        Ok(Self { args, bars, stop: stop_flag()? })
    }

    /// For the stages.
    pub fn shop(&self) -> Shop<'_> {
        Shop {
            threads: self.threads(),
            cache_bytes: self.cache_bytes(),
            observer: self.observer(),
            progress: self.progress(),
            stop: self.stop(),
            weigh: Some(super::weigh::ask),
        }
    }

    /// Threads that decode.
    pub fn threads(&self) -> NonZeroUsize {
        self.args.threads.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Bytes of decoded images that may be kept.
    pub fn cache_bytes(&self) -> usize {
        self.args.cache_mib << 20
    }

    /// The flag that a signal sets.
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Where to tell of steps and epochs.
    pub fn observer(&self) -> &dyn Observer {
        &self.bars
    }

    /// Where to tell of everything else that is counted.
    pub fn progress(&self) -> &dyn Progress {
        &self.bars.bar
    }

    /// A line above the bar.
    #[expect(clippy::print_stderr, reason = "the log of a run is for the person at the terminal")]
    pub fn line(&self, text: &str) {
        self.bars.bar.0.suspend(|| eprintln!("{text}"));
    }

    /// Whether output is for machines.
    pub fn json(&self) -> bool {
        self.args.json
    }
}

impl Observer for Bars {
    fn step(&self, epoch: u32, step: usize, steps: usize, loss: f32) {
        if step == 1 && epoch == 1 {
            self.bar.0.reset();
        }
        self.bar.0.set_length(u64::from(self.epochs.max(epoch)) * steps as u64);
        self.bar.0.set_position(u64::from(epoch - 1) * steps as u64 + step as u64);
        self.bar.0.set_message(format!("epoch {epoch} loss {loss:.3}"));
    }

    #[expect(clippy::print_stderr, reason = "the log of a run is for the person at the terminal")]
    fn epoch(&self, record: &EpochRecord) {
        let EpochRecord { epoch, loss, accuracy, balanced_accuracy, images_per_second, .. } = record;
        let line = format!(
            "epoch {epoch:>3}  loss {loss:.4}  accuracy {:.2} %  balanced {:.2} %  {images_per_second:.0} images/s",
            100.0 * accuracy,
            100.0 * balanced_accuracy
        );
        self.bar.0.suspend(|| eprintln!("{line}"));
    }
}
