//! What the benchmarks share: processor time, and figures of several rounds.

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Processor time of this process so far, or NaN where the system does not tell: user and system time are fields 14 and
/// 15 of proc(5)'s stat, in ticks of 10 ms; the second field, in parentheses, may hold anything.
pub(crate) fn cpu_seconds() -> Result<f64> {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Ok(f64::NAN) };
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// The median of some figures, and their range.
pub(crate) struct Figures {
    pub(crate) median: f64,
    least: f64,
    greatest: f64,
}

impl Figures {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(figures.len() / 2), least: at(0), greatest: at(figures.len().wrapping_sub(1)) }
    }

    pub(crate) fn text(&self) -> String {
        format!("{:.1} ({:.1} to {:.1})", self.median, self.least, self.greatest)
    }
}
