//! Stages with names, checked as a graph.

use std::collections::BTreeSet;
use std::fmt;

use takt_artifact::fault::closest;

use super::error::did_you_mean;
use super::stage::Stage;

/// Longest name of a stage; names become names of folders.
const LONGEST: usize = 64;

/// Stages in an order in which every stage comes after its inputs. Among the possible orders it is the one nearest to
/// that in which the stages were given.
pub struct Plan {
    stages: Vec<Named>,
}

/// A stage and its name.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) stage: Box<dyn Stage>,
}

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// There is nothing to do.
    #[error("the plan has no stage, expected at least one; add one")]
    Empty,
    /// A name that cannot be the name of a folder.
    #[error(
        "stage {found:?}: expected a name of 1 to {LONGEST} lower-case letters, digits, '-' and '_', beginning with a \
         letter; rename it"
    )]
    Name {
        /// The name.
        found: String,
    },
    /// Two stages with one name.
    #[error("stage '{name}' is there {count} times; give each stage a name of its own")]
    Duplicate {
        /// The name.
        name: String,
        /// How often.
        count: usize,
    },
    /// An input that no stage makes.
    #[error(
        "stage '{stage}' reads '{input}', which no stage makes; {}{}",
        if known.is_empty() { "there is no other; a path is written with a '/', such as './data'".to_owned() } else {
            format!("expected one of {known}, or a path, written with a '/', such as './data'")
        },
        did_you_mean(closest.as_deref())
    )]
    UnknownInput {
        /// The stage that reads it.
        stage: String,
        /// What it reads.
        input: String,
        /// The stage it is most like.
        closest: Option<String>,
        /// All stages.
        known: String,
    },
    /// A stage that reads the same input twice.
    #[error("stage '{stage}' reads '{input}' twice; name it once")]
    InputTwice {
        /// The stage that reads it.
        stage: String,
        /// What it reads.
        input: String,
    },
    /// Stages that wait for each other.
    #[error("stages wait for each other: {}; remove one of these inputs", .path.join(" <- "))]
    Cycle {
        /// Each reads the next; the first is also the last.
        path: Vec<String>,
    },
}

/// Everything that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors(pub Vec<PlanFault>);

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for PlanErrors {}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Plan {
    /// Checks stages and puts them in order.
    ///
    /// # Errors
    /// Everything that is wrong with names and inputs.
    pub fn new(stages: Vec<(String, Box<dyn Stage>)>) -> Result<Self, PlanErrors> {
        let stages: Vec<Named> = stages.into_iter().map(|(name, stage)| Named { name, stage }).collect();
        let mut faults = Vec::new();
        if stages.is_empty() {
            faults.push(PlanFault::Empty);
        }
        check_names(&stages, &mut faults);
        check_inputs(&stages, &mut faults);
        let reads = reads(&stages);
        let order = order(&reads);
        if order.len() < stages.len() {
            faults.extend(cycles(&reads, &order).into_iter().map(|path| {
                let name = |at: &usize| stages.get(*at).map(|named| named.name.clone()).unwrap_or_default();
                PlanFault::Cycle { path: path.iter().map(name).collect() }
            }));
        }
        if !faults.is_empty() {
            return Err(PlanErrors(faults));
        }
        let mut given: Vec<Option<Named>> = stages.into_iter().map(Some).collect();
        let stages = order.into_iter().filter_map(|at| given.get_mut(at).and_then(Option::take)).collect();
        Ok(Self { stages })
    }

    /// Names of the stages, inputs first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|named| named.name.as_str())
    }

    pub(super) fn stages(&self) -> &[Named] {
        &self.stages
    }

    /// `stage` and every stage that depends on it, at whatever distance.
    pub(super) fn with_dependants(&self, stage: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for Named { name, stage: reader } in &self.stages {
            if name == stage || reader.inputs().iter().any(|input| found.contains(input.as_str())) {
                found.insert(name.as_str());
            }
        }
        found
    }
}

fn check_names(stages: &[Named], faults: &mut Vec<PlanFault>) {
    let names: BTreeSet<&str> = stages.iter().map(|named| named.name.as_str()).collect();
    for name in names {
        if !is_name(name) {
            faults.push(PlanFault::Name { found: name.to_owned() });
        }
        let count = stages.iter().filter(|named| named.name == name).count();
        if count > 1 {
            faults.push(PlanFault::Duplicate { name: name.to_owned(), count });
        }
    }
}

fn check_inputs(stages: &[Named], faults: &mut Vec<PlanFault>) {
    let known: Vec<&str> = stages.iter().map(|named| named.name.as_str()).collect();
    for Named { name, stage } in stages {
        let mut seen = BTreeSet::new();
        for input in stage.inputs() {
            if !seen.insert(input) {
                faults.push(PlanFault::InputTwice { stage: name.clone(), input: input.clone() });
            } else if !known.contains(&input.as_str()) {
                let others = || known.iter().copied().filter(|other| other != name);
                faults.push(PlanFault::UnknownInput {
                    stage: name.clone(),
                    input: input.clone(),
                    closest: closest(input, others()).map(str::to_owned),
                    known: others().collect::<Vec<_>>().join(", "),
                });
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    name.len() <= LONGEST && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed)
}

/// For each stage the positions of its inputs; those that are not there are left out.
fn reads(stages: &[Named]) -> Vec<Vec<usize>> {
    let position = |input: &String| stages.iter().position(|named| named.name == *input);
    stages.iter().map(|named| named.stage.inputs().iter().filter_map(position).collect()).collect()
}

/// Positions in an order that puts inputs first (Kahn's algorithm, the earliest given of those that are ready). What is
/// on or behind a cycle is missing.
fn order(reads: &[Vec<usize>]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    loop {
        let ready = |(at, inputs): &(usize, &Vec<usize>)| {
            !order.contains(at) && inputs.iter().all(|input| order.contains(input))
        };
        match reads.iter().enumerate().find(ready) {
            Some((at, _)) => order.push(at),
            None => return order,
        }
    }
}

/// Cycles that have no stage in common, each as a path along inputs that ends where it began.
fn cycles(reads: &[Vec<usize>], done: &[usize]) -> Vec<Vec<usize>> {
    let mut done = done.to_vec();
    let mut cycles = Vec::new();
    for start in 0..reads.len() {
        // Whatever is not done has an input that is not done, unless that is on a cycle found before.
        let mut path = vec![start];
        while let Some(&at) = path.last().filter(|at| !done.contains(at)) {
            let next = reads.get(at).and_then(|inputs| inputs.iter().find(|input| !done.contains(input)));
            let Some(&next) = next else { break };
            if let Some(begin) = path.iter().position(|seen| *seen == next) {
                let mut cycle = path.split_off(begin);
                done.extend(&cycle);
                cycle.push(next);
                cycles.push(cycle);
                break;
            }
            path.push(next);
        }
        done.extend(path);
    }
    cycles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::fakes::Fake;

    fn plan(stages: &[(&str, &[&str])]) -> Result<Plan, PlanErrors> {
        let boxed = |name: &str, inputs: &[&str]| -> Box<dyn Stage> { Box::new(Fake::new(name, inputs)) };
        Plan::new(stages.iter().map(|(name, inputs)| ((*name).to_owned(), boxed(name, inputs))).collect())
    }

    #[test]
    fn stages_come_after_their_inputs_and_else_as_given() {
        let plan = plan(&[("package", &["train", "data"]), ("train", &["data"]), ("other", &[]), ("data", &[])]);
        let plan = plan.unwrap();
        assert_eq!(plan.names().collect::<Vec<_>>(), ["other", "data", "train", "package"]);
        assert_eq!(plan.with_dependants("train").into_iter().collect::<Vec<_>>(), ["package", "train"]);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let error = plan(&[
            ("data", &[]),
            ("data", &[]),
            ("train", &["date", "prune"]),
            ("prune", &["train"]),
            ("distil", &["distil", "data", "data"]),
            ("Bad/Name", &[]),
            ("behind", &["prune"]),
        ])
        .unwrap_err();
        let text = error.to_string();
        let expected = [
            "stage \"Bad/Name\": expected a name of 1 to 64",
            "stage 'data' is there 2 times",
            "stage 'train' reads 'date', which no stage makes",
            "did you mean 'data'?",
            "stage 'distil' reads 'data' twice",
            "stages wait for each other: train <- prune <- train; remove",
            "stages wait for each other: distil <- distil; remove",
        ];
        for part in expected {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(error.0.len(), 6, "{text}");
    }

    #[test]
    fn an_empty_plan_is_refused() {
        assert_eq!(plan(&[]).unwrap_err().0, [PlanFault::Empty]);
    }
}
