//! The tables of `model.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use takt_artifact::DataType;
use takt_backend::Provider;
use takt_backend::provider::RawProvider;

use super::reader::{Entry, Section};
use crate::batch::config::{BatchConfig, TimeoutAction};
use crate::repository::batching::{LARGEST_BATCH, MOST_PRIORITIES};
use crate::repository::config::{DeclaredTensor, Limits};

/// Longest wait that is taken for meant.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const MOST_WAITING: usize = 10_000_000;
const MOST_PIXELS: u64 = 1 << 40;
const MOST_ENCODED_BYTES: usize = 1 << 31;

/// Reads `[batching]`; the caller looks at how the keys fit together and finishes the table.
pub(super) fn batching<'d>(mut table: Section<'d>, batch: &mut BatchConfig) -> Section<'d> {
    if let Some(sizes) = table.take("preferred_sizes").and_then(sizes) {
        batch.preferred_sizes = sizes;
    }
    if let Some(sizes) = table.take("allowed_sizes").and_then(sizes) {
        batch.allowed_sizes = sizes;
    }
    if let Some(delay) = table.take("max_delay_ms").and_then(|entry| entry.milliseconds(LONGEST_WAIT)) {
        batch.max_delay = delay;
    }
    if let Some(size) = table.take("max_queue").and_then(|entry| entry.size(0..=MOST_WAITING)) {
        batch.max_queue = size;
    }
    if let Some(timeout) = table.take("timeout_ms").and_then(|entry| entry.milliseconds(LONGEST_WAIT)) {
        batch.default_timeout = (!timeout.is_zero()).then_some(timeout);
    }
    if let Some(allow) = table.take("allow_timeout_override").and_then(Entry::boolean) {
        batch.allow_timeout_override = allow;
    }
    if let Some(action) = table.take("timeout_action").as_ref().and_then(timeout_action) {
        batch.timeout_action = action;
    }
    if let Some(levels) = table.take("priority_levels").and_then(|entry| entry.integer(1..=MOST_PRIORITIES)) {
        batch.priority_levels = u32::try_from(levels).unwrap_or(1);
    }
    if let Some(priority) = table.take("default_priority").and_then(|entry| entry.integer(1..=MOST_PRIORITIES)) {
        batch.default_priority = u32::try_from(priority).unwrap_or(1);
    }
    table
}

/// Reads `[limits]`.
pub(super) fn limits(mut table: Section<'_>, limits: &mut Limits) {
    if let Some(timeout) = table.take("run_timeout_ms").and_then(|entry| entry.milliseconds(LONGEST_WAIT)) {
        if timeout.is_zero() {
            table.fault("run_timeout_ms", "0", "more than 0", "a run that may take no time never succeeds");
        }
        limits.run_timeout = timeout;
    }
    if let Some(pixels) = table.take("max_pixels").and_then(|entry| entry.integer(1..=MOST_PIXELS)) {
        limits.images.max_pixels = pixels;
    }
    if let Some(bytes) = table.take("max_encoded_bytes").and_then(|entry| entry.size(1..=MOST_ENCODED_BYTES)) {
        limits.images.max_encoded_bytes = bytes;
    }
    if let Some(side) = table.take("max_image_side").and_then(|entry| entry.integer(1..=MOST_PIXELS)) {
        limits.images.max_side = u32::try_from(side).unwrap_or(u32::MAX);
    }
    table.finish();
}

/// Reads `[[inputs]]` or `[[outputs]]`.
pub(super) fn tensors(tables: Vec<Section<'_>>) -> Vec<DeclaredTensor> {
    tables.into_iter().filter_map(tensor).collect()
}

fn tensor(mut table: Section<'_>) -> Option<DeclaredTensor> {
    let name = table.take("name").map(|entry| entry.text("the tensor's name in the ONNX graph"));
    let datatype = table.take("datatype").as_ref().and_then(datatype);
    let dims = table.take("dims").map(dims);
    let reshape = table.take("reshape").and_then(self::dims);
    if name.is_none() {
        table.fault("", "no name", "name = \"...\"", "give the tensor's name in the ONNX graph");
    }
    if dims.is_none() {
        table.fault(
            "",
            "no dims",
            "dims = [...]",
            "give its shape, without the batch dimension where the model batches",
        );
    }
    table.finish();
    Some(DeclaredTensor { name: name??, datatype, dims: dims??, reshape })
}

fn datatype(entry: &Entry<'_>) -> Option<DataType> {
    let text = entry.peek_text().unwrap_or_default();
    let parsed = text.parse::<DataType>().ok();
    if parsed.is_none() {
        let names = DataType::ALL.map(DataType::name).join(", ");
        entry.refuse(&format!("one of {names}, in quotes"), "");
    }
    parsed
}

fn dims(entry: Entry<'_>) -> Option<Vec<i64>> {
    const EXPECTED: &str = "a whole number of at least 1, or -1 where the dimension is free";
    let dims: Option<Vec<i64>> = entry.items()?.into_iter().map(|dim| dim.signed(EXPECTED)).collect();
    dims
}

fn sizes(entry: Entry<'_>) -> Option<Vec<usize>> {
    entry.items()?.into_iter().map(|size| size.size(1..=LARGEST_BATCH)).collect()
}

fn timeout_action(entry: &Entry<'_>) -> Option<TimeoutAction> {
    match entry.peek_text() {
        Some("reject") => Some(TimeoutAction::Reject),
        Some("delay") => Some(TimeoutAction::Delay),
        _ => {
            entry.refuse("\"reject\" or \"delay\"", "");
            None
        }
    }
}

/// Reads `[[providers]]`, or a list of their names.
pub(super) fn providers(entry: Entry<'_>) -> Vec<Provider> {
    let items = entry.items().unwrap_or_default();
    items.into_iter().filter_map(provider).collect()
}

fn provider(entry: Entry<'_>) -> Option<Provider> {
    let fix = "name it, or write a table with its name and options";
    let place = entry.place();
    let raw = if let Some(name) = entry.peek_text() {
        RawProvider { name: name.to_owned(), options: BTreeMap::new() }
    } else if entry.is_table() {
        let mut table = entry.table()?;
        let name = table.take("name");
        if name.is_none() {
            table.fault("", "no name", "name = \"...\" of a provider", fix);
        }
        let options = table.rest().into_iter().filter_map(|option| {
            let name = option.name().to_owned();
            Some((name, option.scalar()?))
        });
        let options = options.collect();
        RawProvider { name: name?.text("the name of a provider")?, options }
    } else {
        entry.refuse("a provider", fix);
        return None;
    };
    Provider::try_from(&raw)
        .map_err(|faults| {
            for fault in faults {
                place.provider_fault(&fault);
            }
        })
        .ok()
}
