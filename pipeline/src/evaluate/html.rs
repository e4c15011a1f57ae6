//! A report as one HTML file that needs nothing else: styles inline, pictures as data.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jpeg_encoder::{ColorType, Encoder};
use takt_artifact::Preprocess;
use takt_artifact::preprocess::{Color, Filter, Layout, Resize};
use takt_image::{Limits, Preprocessor, Scratch};

use super::rate::Rate;
use super::report::Report;
use super::slices::ColumnSlices;
use super::table::{number, percent};
use crate::page::{self, escape};

/// Side of the small pictures in pixels.
const SIDE: u16 = 128;

/// Small JPEG files of the worst images below `root`, in their order; nothing for one that cannot be read any more.
#[must_use]
pub fn pictures(report: &Report, root: &Path) -> Vec<Option<Vec<u8>>> {
    let files = report.worst.iter().map(|worst| worst.file.as_ref());
    files.map(|file| small(&root.join(file?))).collect()
}

fn small(file: &Path) -> Option<Vec<u8>> {
    let spec = Preprocess {
        input: String::new(),
        width: u32::from(SIDE),
        height: u32::from(SIDE),
        layout: Layout::Nhwc,
        color: Color::Rgb,
        resize: Resize::Letterbox { fill: 232 },
        filter: Filter::Bilinear,
        scale: 1.0,
        mean: Vec::new(),
        std: Vec::new(),
        scaled_decode: true,
    };
    let bytes = fs::read(file).ok()?;
    let mut scratch = Scratch::new();
    let (_, pixels) = Preprocessor::new(&spec, Limits::default()).ok()?.decode(&bytes, &mut scratch).ok()?;
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, 80).encode(pixels.data, SIDE, SIDE, ColorType::Rgb).ok()?;
    Some(jpeg)
}

pub(super) fn render(report: &Report, pictures: &[Option<Vec<u8>>]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, pictures, &mut out);
    out
}

fn write(report: &Report, pictures: &[Option<Vec<u8>>], out: &mut String) -> std::fmt::Result {
    page::begin(out, &report.model)?;
    write!(out, "<p class=\"note\">{}, {} images</p>", escape(&report.data), report.metrics.images)?;
    gates(report, out)?;
    figures(report, out)?;
    confusion(report, out)?;
    for slices in &report.slices {
        bars(slices, out)?;
    }
    robustness(report, out)?;
    worst(report, pictures, out)?;
    page::end(out)
}

fn gates(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(gates) = &report.gates else { return Ok(()) };
    out.write_str("<h2>Gates</h2><table><tr><th>gate</th><th>measured</th><th>limit</th><th></th><th></th></tr>")?;
    for outcome in &gates.outcomes {
        let (class, word) = if outcome.passed { ("yes", "yes") } else { ("no", "no") };
        let measured = outcome.measured.map_or_else(|| "-".to_owned(), number);
        let (gate, limit, reason) = (escape(&outcome.gate), number(outcome.limit), escape(&outcome.reason));
        write!(out, "<tr><td>{gate}</td><td>{measured}</td><td>{limit}</td>")?;
        write!(
            out,
            "<td class=\"{class}\">{word}</td><td class=\"note\" style=\"text-align:left\">{reason}</td></tr>"
        )?;
    }
    out.write_str("</table>")
}

fn figures(report: &Report, out: &mut String) -> std::fmt::Result {
    let metrics = &report.metrics;
    out.write_str("<h2>Figures</h2><table>")?;
    let mut row = |name: &str, value: &str| write!(out, "<tr><td>{name}</td><td>{value}</td></tr>");
    row("accuracy", &share(&metrics.accuracy))?;
    row("balanced accuracy", &percent(metrics.balanced_accuracy))?;
    if let Some(verdicts) = &metrics.verdicts {
        row("escapes", &share(&verdicts.escape))?;
        row("false rejects", &share(&verdicts.false_reject))?;
        row("left to a person", &share(&verdicts.uncertain))?;
    }
    row("calibration error", &percent(metrics.calibration.error))?;
    if let Some(agreement) = &report.agreement {
        row("same class as the parent", &share(&agreement.agreement))?;
        let (drop, bound) = (percent(agreement.drop.drop), percent(agreement.drop.upper_95));
        row("loss against the parent", &format!("{drop}, at most {bound} (95 %)"))?;
        row("McNemar's p", &format!("{:.3}", agreement.correct.p))?;
    }
    if let Some(runtime) = &report.runtime {
        row("run by", &escape(runtime))?;
    }
    if let Some(times) = report.cost.speedup() {
        row("faster than the parent", &format!("{times:.1}x"))?;
    }
    if let Some(times) = report.cost.size_ratio() {
        row("smaller than the parent", &format!("{times:.1}x"))?;
    }
    for parity in &report.parity {
        row(&format!("{} equals fp32", escape(&parity.artefact)), &share(&parity.top1))?;
    }
    out.write_str("</table>")
}

/// Each cell as dark as its share of the row.
fn confusion(report: &Report, out: &mut String) -> std::fmt::Result {
    let classes = &report.metrics.classes;
    out.write_str("<h2>Confusion</h2><table><tr><th>label</th>")?;
    classes.iter().try_for_each(|class| write!(out, "<th>{}</th>", escape(&class.class)))?;
    out.write_str("<th>recall</th><th>precision</th></tr>")?;
    for (index, (class, row)) in classes.iter().zip(&report.metrics.confusion).enumerate() {
        write!(out, "<tr><td>{}</td>", escape(&class.class))?;
        let total = row.iter().sum::<u64>().max(1);
        for (column, count) in row.iter().enumerate() {
            let shade = *count as f64 / total as f64;
            let colour = if column == index { "46,125,79" } else { "179,38,30" };
            write!(out, "<td style=\"background:rgba({colour},{shade:.3})\">{count}</td>")?;
        }
        write!(out, "<td>{}</td><td>{}</td></tr>", share(&class.recall), share(&class.precision))?;
    }
    out.write_str("</table>")
}

fn bars(slices: &ColumnSlices, out: &mut String) -> std::fmt::Result {
    write!(out, "<h2>By {}</h2>", escape(&slices.column))?;
    if let Some(reason) = &slices.skipped {
        return write!(out, "<p class=\"note\">no slices: {}</p>", escape(reason));
    }
    let height = 24 * slices.slices.len();
    write!(out, "<svg width=\"680\" height=\"{height}\" role=\"img\" font-size=\"12\">")?;
    for (index, slice) in slices.slices.iter().enumerate() {
        let (y, width) = (24 * index, 300.0 * slice.balanced_accuracy);
        let worst = slices.worst.as_ref().is_some_and(|worst| worst.value == slice.value);
        let colour = match (slice.images < slices.min_count, worst) {
            (true, _) => "#b8c2cc",
            (false, true) => "#b3261e",
            (false, false) => "#3b6ea5",
        };
        let (value, balanced) = (escape(&slice.value), percent(slice.balanced_accuracy));
        write!(out, "<text x=\"0\" y=\"{}\">{value}</text>", y + 16)?;
        write!(out, "<rect x=\"200\" y=\"{}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>", y + 4)?;
        write!(out, "<text x=\"510\" y=\"{}\">{balanced}, {} images</text>", y + 16, slice.images)?;
    }
    out.write_str("</svg>")?;
    match slices.gap {
        Some(gap) => write!(out, "<p class=\"note\">gap {}</p>", percent(gap)),
        None => Ok(()),
    }
}

fn robustness(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.robustness.is_empty() {
        return Ok(());
    }
    out.write_str("<h2>Robustness</h2><table><tr><th>trial</th><th>balanced accuracy</th><th>loss</th></tr>")?;
    for trial in &report.robustness {
        let name = format!("{} ({})", escape(&trial.name), trial.corruption);
        let (accuracy, drop) = (percent(trial.balanced_accuracy), percent(trial.drop));
        write!(out, "<tr><td>{name}</td><td>{accuracy}</td><td>{drop}</td></tr>")?;
    }
    out.write_str("</table>")
}

fn worst(report: &Report, pictures: &[Option<Vec<u8>>], out: &mut String) -> std::fmt::Result {
    if report.worst.is_empty() {
        return Ok(());
    }
    out.write_str("<h2>Most wrong</h2>")?;
    for (index, worst) in report.worst.iter().enumerate() {
        out.write_str("<figure>")?;
        match pictures.get(index) {
            Some(Some(jpeg)) => write!(out, "<img alt=\"\" src=\"data:image/jpeg;base64,{}\">", STANDARD.encode(jpeg))?,
            _ => out.write_str("<div></div>")?,
        }
        let file = worst.file.as_ref().map(|file| escape(&file.display().to_string())).unwrap_or_default();
        let (label, predicted) = (escape(&worst.label), escape(&worst.predicted));
        let confidence = percent(worst.confidence);
        write!(
            out,
            "<figcaption>{label}, taken for <b>{predicted}</b> ({confidence})<br><span class=\"note\">{file}</span>"
        )?;
        out.write_str("</figcaption></figure>")?;
    }
    Ok(())
}

fn share(rate: &Rate) -> String {
    rate.value.map_or_else(|| "-".to_owned(), |value| format!("{} ({} of {})", percent(value), rate.hits, rate.total))
}
