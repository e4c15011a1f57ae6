//! `model.toml`: how a model is run, written by a person. Every key is optional; this file says what is the default
//! anyway:
//!
//! ```toml
#![doc = include_str!("example.toml")]
//! ```
//!
//! `labels` is a list of class names, or the name of a file in the model's folder with one per line. The tables:
//!
//! ```toml
#![doc = include_str!("tables.toml")]
//! ```

mod monitor;
mod reader;
mod tables;

use std::num::NonZeroUsize;
use std::path::Path;

use self::reader::{Document, Entry, Section};
use super::batching::{self, Key, LARGEST_BATCH, MOST_THREADS};
use super::config::{Joining, MaxBatch, ModelConfig, OnNewVersion, OutputLabels, Source, Warmup};
use super::fault::{ConfigFaults, read_text};
use super::labels;
use super::policy::VersionPolicy;

/// File name in the model's folder.
pub const FILE: &str = "model.toml";

/// Reads the `model.toml` in the folder of the model `name`.
///
/// # Errors
/// Every fault of the file.
pub fn read(name: &str, folder: &Path) -> Result<ModelConfig, ConfigFaults> {
    let file = folder.join(FILE);
    let text = read_text(&file)?;
    parse(name, &file, &text)
}

/// Reads the text of the `model.toml` at `file`.
///
/// # Errors
/// Every fault of the text.
pub fn parse(name: &str, file: &Path, text: &str) -> Result<ModelConfig, ConfigFaults> {
    let document = Document::new(file, text);
    let mut config = ModelConfig::new(name, Source::Toml(file.to_owned()));
    if let Some(top) = document.top() {
        model(top, &mut config);
    }
    let (faults, positions) = document.into_parts();
    ConfigFaults::none_of(faults)?;
    config.positions = positions;
    Ok(config)
}

fn model(mut top: Section<'_>, config: &mut ModelConfig) {
    if let Some(name) = top.take("name") {
        own_name(&name, &config.name);
    }
    if let Some(size) = top.take("max_batch_size") {
        max_batch(size, config);
    }
    if let Some(count) = top.take("instances").and_then(|entry| entry.size(1..=MOST_THREADS)) {
        config.instances = NonZeroUsize::new(count).unwrap_or(config.instances);
    }
    if let Some(count) = top.take("intra_op_threads").and_then(|entry| entry.size(1..=MOST_THREADS)) {
        config.intra_op_threads = NonZeroUsize::new(count);
    }
    if let Some(strict) = top.take("strict").and_then(Entry::boolean) {
        config.strict = strict;
    }
    if let Some(warmup) = top.take("warmup").and_then(Entry::boolean) {
        config.warmup = if warmup { Warmup::On } else { Warmup::Off };
    }
    config.variant = top.take("variant").and_then(|entry| entry.text("the name of a variant, such as \"cpu-int8\""));
    if let Some(policy) = top.take("version_policy").and_then(version_policy) {
        config.version_policy = policy;
    }
    if let Some(what) = top.take("on_new_version").as_ref().and_then(on_new_version) {
        config.on_new_version = what;
    }
    if let Some(names) = top.take("labels").and_then(|entry| class_names(entry, config.source.path())) {
        config.bare.labels = vec![OutputLabels { output: None, names }];
    }
    config.bare.preprocess = top.take("preprocess").and_then(Entry::parse);
    config.bare.decision = top.take("decision").and_then(Entry::parse);
    config.inputs = tables::tensors(top.sections("inputs"));
    config.outputs = tables::tensors(top.sections("outputs"));
    config.providers = top.take("providers").map(tables::providers).unwrap_or_default();
    tables::limits(top.section("limits"), &mut config.limits);
    monitor::monitor(top.section("monitor"), &mut config.monitor);
    config.joining = Joining::Dynamic;

    let batching = tables::batching(top.section("batching"), &mut config.batch);
    for problem in batching::settle(&mut config.max_batch, &mut config.batch) {
        let key = match problem.key {
            Key::PreferredSizes => "preferred_sizes",
            Key::AllowedSizes => "allowed_sizes",
            Key::DefaultPriority => "default_priority",
        };
        batching.fault(key, &problem.found, &problem.expected, &problem.fix);
    }
    batching.finish();
    top.finish();
}

fn own_name(entry: &Entry<'_>, folder: &str) {
    if !entry.is(folder) {
        let expected = format!("\"{folder}\", the name of the folder");
        entry.refuse(&expected, "a model is named by its folder: remove the key, or rename the folder");
    }
}

fn max_batch(entry: Entry<'_>, config: &mut ModelConfig) {
    if entry.is("auto") {
        config.max_batch = MaxBatch::Auto;
    } else if entry.is_text() {
        entry.refuse(&format!("a whole number from 0 to {LARGEST_BATCH}, or \"auto\""), "");
    } else if let Some(size) = entry.size(0..=LARGEST_BATCH) {
        config.max_batch = MaxBatch::Fixed(size);
    }
}

fn version_policy(entry: Entry<'_>) -> Option<VersionPolicy> {
    const EXPECTED: &str = "\"latest\", { latest = 2 }, \"all\", or a list of versions such as [1, 3]";
    if entry.is("latest") {
        return Some(VersionPolicy::default());
    }
    if entry.is("all") {
        return Some(VersionPolicy::All);
    }
    if entry.is_list() {
        let versions = entry.items()?;
        let versions: Option<_> = versions.into_iter().map(|version| version.integer(1..=u64::MAX)).collect();
        return versions.map(VersionPolicy::Specific);
    }
    if entry.is_table() {
        let mut table = entry.table()?;
        let count = table.take("latest").and_then(|entry| entry.size(1..=LARGEST_BATCH));
        table.finish();
        return count.and_then(NonZeroUsize::new).map(VersionPolicy::Latest);
    }
    entry.refuse(EXPECTED, "");
    None
}

fn on_new_version(entry: &Entry<'_>) -> Option<OnNewVersion> {
    if entry.is("serve") {
        return Some(OnNewVersion::Serve);
    }
    if entry.is("ignore") {
        return Some(OnNewVersion::Ignore);
    }
    let fix =
        if entry.is("rollout") { "gradual rollouts are not in this release of Takt yet; use \"serve\"" } else { "" };
    entry.refuse("\"serve\" or \"ignore\"", fix);
    None
}

fn class_names(entry: Entry<'_>, file: &Path) -> Option<Vec<String>> {
    if let Some(name) = entry.peek_text() {
        return labels::read(file.parent().unwrap_or(file), name)
            .map_err(|bad| entry.refuse_as(bad.found, bad.expected, "a list of names works too"))
            .ok();
    }
    let items = entry.items()?;
    items
        .into_iter()
        .map(|item| item.text("a class name, or instead of the list the name of a file of labels"))
        .collect()
}

#[cfg(test)]
mod tests;
