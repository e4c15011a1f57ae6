//! Takes typed options out of a [`RawProvider`], collecting every fault instead of stopping at the first.

use std::collections::BTreeMap;

use super::raw::{RawProvider, Scalar};

/// One thing wrong with a provider's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider '{provider}'{}: {problem}", option.as_ref().map(|option| format!(", option '{option}'")).unwrap_or_default())]
pub struct ProviderFault {
    /// As configured.
    pub provider: String,
    /// Which option, if it is about one.
    pub option: Option<String>,
    /// What was found and what was expected.
    pub problem: String,
}

/// Hands out options by name and remembers which names exist.
#[derive(Debug)]
pub struct Reader<'a> {
    raw: &'a RawProvider,
    left: BTreeMap<&'a str, &'a Scalar>,
    known: Vec<&'static str>,
    faults: Vec<ProviderFault>,
}

impl ProviderFault {
    pub(super) fn unknown_provider(name: &str) -> Self {
        let problem =
            format!("unknown{}; expected one of {}", suggestion(name, &super::NAMES), super::NAMES.join(", "));
        Self { provider: name.to_owned(), option: None, problem }
    }
}

impl<'a> Reader<'a> {
    pub fn new(raw: &'a RawProvider) -> Self {
        let left = raw.options.iter().map(|(name, value)| (name.as_str(), value)).collect();
        Self { raw, left, known: Vec::new(), faults: Vec::new() }
    }

    /// The option under one of `names` (ours first, then ONNX Runtime's and Triton's); given under two, that is a fault.
    fn take(&mut self, names: &[&'static str]) -> Option<(&'static str, &'a Scalar)> {
        self.known.extend(names);
        let mut given =
            names.iter().filter_map(|name| self.left.remove(name).map(|value| (*name, value))).collect::<Vec<_>>();
        if given.len() > 1 {
            let others = given.iter().skip(1).map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>();
            self.fault(given[0].0, format!("given again as {}; keep one of them", others.join(" and ")));
        }
        (!given.is_empty()).then(|| given.swap_remove(0))
    }

    /// `true`, `false`, 1 or 0.
    pub fn flag(&mut self, names: &[&'static str]) -> Option<bool> {
        self.parsed(names, "true or false", |value| match value {
            Scalar::Bool(flag) => Some(*flag),
            other => match other.to_string().to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
        })
    }

    /// A whole number from `least` to `most`.
    pub fn whole(&mut self, names: &[&'static str], least: u64, most: u64) -> Option<u64> {
        let expected = if most == u64::MAX {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        self.parsed(names, &expected, |value| {
            let number = value.to_string().parse().ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// Text that is not empty and has no NUL, which ONNX Runtime could not take.
    pub fn text(&mut self, names: &[&'static str]) -> Option<String> {
        self.parsed(names, "some text", |value| Some(value.to_string()).filter(|text| is_text(text)))
    }

    /// One of `choices`, in either case.
    pub fn choice<T: Copy>(&mut self, names: &[&'static str], choices: &[(&str, T)]) -> Option<T> {
        let expected = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        self.parsed(names, &format!("one of {expected}"), |value| {
            let found = value.to_string();
            choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&found)).map(|(_, choice)| *choice)
        })
    }

    fn parsed<T>(
        &mut self,
        names: &[&'static str],
        expected: &str,
        parse: impl FnOnce(&Scalar) -> Option<T>,
    ) -> Option<T> {
        let (name, value) = self.take(names)?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.fault(name, format!("found '{value}', expected {expected}"));
        }
        parsed
    }

    /// All that is left, as text, for providers whose options are not ours to know.
    pub fn rest(&mut self) -> BTreeMap<String, String> {
        let left = std::mem::take(&mut self.left);
        for name in left
            .iter()
            .filter(|(name, value)| !is_text(name) || value.to_string().contains('\0'))
            .map(|(name, _)| *name)
        {
            self.fault(name, "has a NUL character, which ONNX Runtime cannot take".to_owned());
        }
        left.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
    }

    /// Records a fault of the option `name`.
    pub fn fault(&mut self, name: &str, problem: String) {
        self.faults.push(ProviderFault { provider: self.raw.name.clone(), option: Some(name.to_owned()), problem });
    }

    /// Whatever was not taken is unknown.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn finish(mut self) -> Result<(), Vec<ProviderFault>> {
        for name in std::mem::take(&mut self.left).into_keys() {
            let known =
                self.known.iter().filter(|known| !known.starts_with("trt_")).copied().collect::<Vec<_>>().join(", ");
            self.fault(name, format!("unknown{}; known are {known}", suggestion(name, &self.known)));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

fn suggestion(found: &str, known: &[&str]) -> String {
    let score = |name: &&&str| (strsim::normalized_damerau_levenshtein(found, name) * 1000.0) as u32;
    let closest = known.iter().max_by_key(score).filter(|name| score(name) >= 600);
    closest.map(|name| format!(", did you mean '{name}'?")).unwrap_or_default()
}
