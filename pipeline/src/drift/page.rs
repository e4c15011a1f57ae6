//! A drift report as one HTML page with a plot of each column.

use std::fmt::{self, Write};

use takt_tables::drift::{Category, ColumnReport, Comparison, Histogram, Judgement, Report};

use crate::page::{self, escape};

/// Size of a plot in pixels.
const SIZE: (f64, f64) = (460.0, 130.0);

/// Categories that a plot shows.
const BARS: usize = 20;

const REFERENCE: &str = "#b8c2cc";
const CURRENT: &str = "#3b6ea5";
const DRIFT: &str = "#b3261e";

/// The report as one HTML file without any link.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    page::begin(out, &format!("Drift: {}", report.verdict))?;
    for (what, side) in [("reference", &report.reference), ("current", &report.current)] {
        write!(out, "<p class=\"note\">{what}: {}, {} rows</p>", escape(&side.path), side.rows)?;
    }
    summary(report, out)?;
    // What drifted is looked at first.
    let mut columns: Vec<&ColumnReport> = report.columns.iter().collect();
    columns.sort_by_key(|column| column.verdict != "drift");
    for column in columns {
        plot(column, out)?;
    }
    page::end(out)
}

fn summary(report: &Report, out: &mut String) -> fmt::Result {
    out.write_str("<h2>Columns</h2><table><tr><th>column</th><th>verdict</th><th>PSI</th><th>KS</th><th>p</th>")?;
    out.write_str("<th>Wasserstein</th><th>Jensen-Shannon</th><th>missing before</th><th>now</th></tr>")?;
    for column in &report.columns {
        write!(out, "<tr><td>{}</td><td class=\"{}\">{}</td>", escape(&column.column), class(column), column.verdict)?;
        match &column.comparison {
            Comparison::Skipped { reason } => {
                write!(out, "<td colspan=\"7\" class=\"note\" style=\"text-align:left\">{}</td>", escape(reason))?;
            }
            Comparison::Numbers(numbers) => {
                judged(out, numbers.psi.map(|psi| (psi.psi, psi.verdict)))?;
                judged(out, numbers.ks.map(|ks| (ks.lo, ks.verdict)))?;
                cell(out, numbers.ks.map(|ks| ks.p))?;
                cell(out, numbers.wasserstein)?;
                cell(out, numbers.jensen_shannon)?;
                missing(out, column)?;
            }
            Comparison::Categories(classes) => {
                judged(out, classes.psi.map(|psi| (psi.psi, psi.verdict)))?;
                cell(out, None)?;
                cell(out, classes.chi_square.map(|chi| chi.p))?;
                cell(out, None)?;
                cell(out, classes.jensen_shannon)?;
                missing(out, column)?;
            }
        }
        out.write_str("</tr>")?;
    }
    for name in &report.gone {
        write!(out, "<tr><td>{}</td><td class=\"no\">gone</td></tr>", escape(name))?;
    }
    for name in &report.new {
        write!(out, "<tr><td>{}</td><td>new</td></tr>", escape(name))?;
    }
    out.write_str("</table><p class=\"note\">p: Kolmogorov-Smirnov for numbers, chi-square for categories.</p>")
}

fn class(column: &ColumnReport) -> &'static str {
    match column.verdict {
        "drift" => "no",
        "ok" => "yes",
        _ => "note",
    }
}

/// A figure with its limit and bounds, red where it drifted.
fn judged(out: &mut String, figure: Option<(f64, Judgement)>) -> fmt::Result {
    let Some((value, judgement)) = figure else { return cell(out, None) };
    let class = if judgement.verdict == "drift" { "no" } else { "" };
    let bound = |bound: Option<f64>| bound.map_or_else(|| "-".to_owned(), number);
    let (limit, ok_to, from) = (number(judgement.limit), bound(judgement.ok_to), bound(judgement.drift_from));
    let title = format!("limit {limit}; ok up to {ok_to}, drift from {from} ({})", judgement.reason);
    write!(out, "<td class=\"{class}\" title=\"{}\">{}</td>", escape(&title), number(value))
}

fn cell(out: &mut String, value: Option<f64>) -> fmt::Result {
    write!(out, "<td>{}</td>", value.map_or_else(|| "-".to_owned(), number))
}

fn missing(out: &mut String, column: &ColumnReport) -> fmt::Result {
    let [before, now] = column.missing.map(|share| format!("{:.2}%", 100.0 * share));
    let drifted = column.missing_verdict.is_some_and(|judgement| judgement.verdict == "drift");
    write!(out, "<td>{before}</td><td class=\"{}\">{now}</td>", if drifted { "no" } else { "" })
}

fn plot(column: &ColumnReport, out: &mut String) -> fmt::Result {
    let colour = if column.verdict == "drift" { DRIFT } else { CURRENT };
    match &column.comparison {
        Comparison::Numbers(numbers) => match &numbers.histogram {
            Some(histogram) => {
                heading(column, colour, out)?;
                curves(histogram, colour, out)
            }
            None => Ok(()),
        },
        Comparison::Categories(classes) if !classes.categories.is_empty() => {
            heading(column, colour, out)?;
            bars(&classes.categories, colour, out)
        }
        Comparison::Categories(_) | Comparison::Skipped { .. } => Ok(()),
    }
}

fn heading(column: &ColumnReport, colour: &str, out: &mut String) -> fmt::Result {
    let [before, now] = column.values;
    write!(out, "<h2>{}</h2><p class=\"note\">", escape(&column.column))?;
    write!(out, "<span style=\"color:{REFERENCE}\">&#9632;</span> reference, {before} values ")?;
    write!(out, "<span style=\"color:{colour}\">&#9632;</span> current, {now} values</p>")
}

/// The reference as an area, the current data as a line above it.
fn curves(histogram: &Histogram, colour: &str, out: &mut String) -> fmt::Result {
    let (width, height) = SIZE;
    let highest = histogram.reference.iter().chain(&histogram.current).copied().fold(f64::MIN_POSITIVE, f64::max);
    let bins = histogram.reference.len().max(1) as f64;
    let steps = |shares: &[f64]| -> String {
        let corners = shares.iter().enumerate().flat_map(|(bin, share)| {
            let y = height * (1.0 - share / highest);
            [(bin as f64, y), (bin as f64 + 1.0, y)]
        });
        corners.map(|(x, y)| format!("{:.1},{y:.1} ", width * x / bins)).collect()
    };
    let (reference, current) = (steps(&histogram.reference), steps(&histogram.current));
    write!(out, "<svg width=\"{width}\" height=\"{}\" role=\"img\" font-size=\"11\">", height + 18.0)?;
    write!(out, "<polygon points=\"0,{height} {reference}{width},{height}\" fill=\"{REFERENCE}\"/>")?;
    write!(out, "<polyline points=\"{current}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>")?;
    for (index, edge) in histogram.edges.iter().enumerate() {
        // As many labels as have room.
        if index % 7 == 3 {
            let (x, y) = (width * (index as f64 + 1.0) / bins, height + 14.0);
            write!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", number(*edge))?;
        }
    }
    out.write_str("</svg>")
}

/// Two bars for each category.
fn bars(categories: &[Category], colour: &str, out: &mut String) -> fmt::Result {
    let shown = &categories[..categories.len().min(BARS)];
    write!(out, "<svg width=\"680\" height=\"{}\" role=\"img\" font-size=\"12\">", 28 * shown.len())?;
    for (index, category) in shown.iter().enumerate() {
        let y = 28 * index;
        let name = category.name.as_deref().map_or_else(|| "all others".to_owned(), escape);
        write!(out, "<text x=\"0\" y=\"{}\">{name}</text>", y + 16)?;
        for (row, share, fill) in [(y + 2, category.reference, REFERENCE), (y + 13, category.current, colour)] {
            write!(out, "<rect x=\"200\" y=\"{row}\" width=\"{:.1}\" height=\"10\" fill=\"{fill}\"/>", 380.0 * share)?;
        }
        let (before, now) = (100.0 * category.reference, 100.0 * category.current);
        write!(out, "<text x=\"590\" y=\"{}\">{before:.1}% &#8594; {now:.1}%</text>", y + 16)?;
    }
    out.write_str("</svg>")?;
    match categories.len() - shown.len() {
        0 => Ok(()),
        more => write!(out, "<p class=\"note\">and {more} more</p>"),
    }
}

/// Four significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e5).contains(&size) => {
            let digits = (3 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use takt_tables::drift::{Settings, compare};
    use takt_tables::{Column, Table, Values};

    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_names_are_harmless() {
        let table = |shift: f64, labels: [&str; 2]| {
            let numbers = (0..4000).map(|row| Some(f64::from(row % 100) / 100.0 + shift)).collect();
            let labels = (0..4000).map(|row| Some(labels[row % 2].to_owned())).collect();
            let columns =
                [Column::new("<light>", Values::Numbers(numbers)), Column::new("label", Values::Texts(labels))];
            Table::of_columns("<b>", &columns).unwrap()
        };
        let (before, now) = (table(0.0, ["ok", "dent"]), table(0.5, ["ok", "<i>"]));
        let page = page(&compare(&before, &now, &Settings::default()).unwrap());
        for part in ["Drift: drift", "&lt;light&gt;", "&lt;i&gt;", "<polygon points=", "<rect x=", "limit 0.1500"] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("<b>") && !page.contains("<i>") && !page.contains("http"), "{page}");
    }

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!([0.0, 0.15, 12.345, 1e-9, 123_456_789.0].map(number), ["0", "0.1500", "12.35", "1.0e-9", "1.2e8"]);
    }
}
