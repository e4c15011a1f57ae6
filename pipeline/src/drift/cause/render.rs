//! Ranked causes as text for a terminal.

use std::fmt::Write;

use super::{CauseReport, Causes};

impl CauseReport {
    /// The report as text for a terminal.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let change = self.actual - self.forecast;
        write!(out, "{}: {} expected, {} came", self.measure, figure(self.forecast), figure(self.actual))?;
        if self.forecast != 0.0 && change.is_finite() {
            write!(out, " ({:+.1} %)", 100.0 * change / self.forecast)?;
        }
        writeln!(out, "\n")?;
        match &self.causes {
            causes if causes.is_empty() => {
                let dimensions = self.dimensions.join(", ");
                writeln!(out, "no cause stands out among {dimensions}: the change is spread evenly, or there is none")?;
            }
            Causes::Adtributor(causes) => {
                writeln!(out, "{:<5}{:<20}{:<24}{:>10}{:>11}", "rank", "dimension", "element", "explains", "surprise")?;
                for (rank, cause) in (1..).zip(causes) {
                    for element in &cause.elements {
                        let (name, power) = (&element.element, 100.0 * element.explanatory_power);
                        write!(out, "{rank:<5}{:<20}{name:<24}", cause.dimension)?;
                        writeln!(out, "{:>10}{:>11.5}", format!("{power:.0} %"), element.surprise)?;
                    }
                }
            }
            Causes::Riskloc(causes) => {
                writeln!(out, "{:<5}{:<44}{:>10}{:>7}", "rank", "elements", "explains", "risk")?;
                for (rank, cause) in (1..).zip(causes) {
                    let named = cause.elements.iter().map(|(dimension, element)| format!("{dimension}={element}"));
                    let power = 100.0 * cause.explanatory_power;
                    let elements = named.collect::<Vec<_>>().join(", ");
                    writeln!(out, "{rank:<5}{elements:<44}{:>10}{:>7.2}", format!("{power:.0} %"), cause.risk)?;
                }
            }
        }
        Ok(())
    }
}

/// Whole numbers as such, others with four digits.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:.4}") }
}
