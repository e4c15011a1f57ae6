//! Where a value stands in a JSON text.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::repository::fault::Position;

/// The place of the value at `path` (such as `variants[1].file`), or of the innermost one on the way that is there.
pub(super) fn place(text: &str, path: &str) -> Option<Position> {
    let mut value: &RawValue = serde_json::from_str(text).ok()?;
    for part in path.split(['.', '[']) {
        let Some(inner) = child(value, part.trim_end_matches(']')) else {
            break;
        };
        value = inner;
    }
    // Both are parts of the same text, so the difference of their addresses is the offset.
    let offset = (value.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (offset < text.len()).then(|| Position::of(text, offset))
}

fn child<'t>(value: &'t RawValue, part: &str) -> Option<&'t RawValue> {
    match part.parse::<usize>() {
        Ok(index) => serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?.get(index).copied(),
        // Keys of maps are quoted in paths.
        Err(_) => {
            serde_json::from_str::<BTreeMap<String, &RawValue>>(value.get()).ok()?.get(part.trim_matches('"')).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path() {
        let text = "{\n  \"a\": [\n    {\"b\": 1},\n    {\"b\": 2}\n  ],\n  \"c\": {\"x y\": 3}\n}";
        let line = |path| place(text, path).map(|place| place.line);
        assert_eq!(line("a"), Some(2));
        assert_eq!(place(text, "a[1].b"), Some(Position { line: 4, column: 11 }));
        assert_eq!(line("c[\"x y\"]"), Some(6));
        assert_eq!(line("a[1].missing"), Some(4), "the object that lacks it");
        assert_eq!(place("no json", "a"), None);
    }
}
