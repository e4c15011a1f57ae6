//! From classes of elements to groups of units.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::slices::Slices;
use super::{Group, Groups, Locked, Member, Role, Unit};
use crate::Model;
use crate::onnx::tensor_proto::DataType;

/// Indices of a class, by the place of a member.
type Found = BTreeMap<usize, Vec<usize>>;

pub(super) fn collect(model: &Model, mut slices: Slices<'_>) -> Groups {
    let classes = slices.classes();
    let mut members = Vec::new();
    let mut locked = Vec::new();
    // By class, in the order in which they appear.
    let mut order = Vec::new();
    let mut found: HashMap<u32, Found> = HashMap::new();
    for tensor in &model.graph().initializer {
        for axis in 0..tensor.dims.len() {
            let Some(of_axis) = classes.of(tensor.name(), axis) else { continue };
            let initializer = tensor.name().to_owned();
            let mut reasons = of_axis.iter().filter_map(|&class| slices.reason(class));
            // Lists of sizes and axes are no weights.
            let is_weight = tensor.kind() != Ok(DataType::Int64);
            if let Some(reason) = reasons.next().filter(|_| is_weight) {
                let (count, reason) = (reasons.count() + 1, reason.to_owned());
                locked.push(Locked { initializer: initializer.clone(), axis, count, reason });
            }
            for (index, &class) in of_axis.iter().enumerate().filter(|&(_, &class)| slices.reason(class).is_none()) {
                let members_of = found.entry(class).or_insert_with(|| {
                    order.push(class);
                    Found::new()
                });
                members_of.entry(members.len()).or_default().push(index);
            }
            let role = slices.roles.get(&(tensor.name(), axis)).copied().unwrap_or(Role::Other);
            members.push(Member { initializer, axis, role });
        }
    }
    let groups = group(&order, &found, &members);
    Groups { groups, locked, classes }
}

fn group(order: &[u32], found: &HashMap<u32, Found>, members: &[Member]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Vec<usize>, usize> = HashMap::new();
    for &class in order {
        let Some(slices) = found.get(&class) else { continue };
        let through: Vec<usize> = slices.keys().copied().collect();
        let place = *places.entry(through).or_insert_with_key(|through| {
            let members = through.iter().map(|&member| members[member].clone()).collect();
            groups.push(Group { members, units: Vec::new() });
            groups.len() - 1
        });
        groups[place].units.push(Unit { slices: slices.values().map(|indices| ranges(indices)).collect(), class });
    }
    groups
}

/// Sorted indices as ranges.
fn ranges(indices: &[usize]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for &index in indices {
        match ranges.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => ranges.push(index..index + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), [0..3, 5..6, 7..9]);
        assert!(ranges(&[]).is_empty());
    }
}
