//! Where the fields of a text in protobuf text format stand. The parser proper keeps no positions; this one keeps
//! nothing else. It is run on text that has been parsed, and gives up silently where it does not understand.

use std::collections::BTreeMap;

use prost_reflect::{Kind, MessageDescriptor};

use super::tokens::Tokens;
use crate::repository::fault::Position;

/// Positions of fields by path, such as `input[0].dims` (the first of a repeated scalar stands for all).
pub(super) type Places = BTreeMap<String, Position>;

/// Finds every field of `text`, a message of type `descriptor`.
pub(super) fn places(text: &str, descriptor: &MessageDescriptor) -> Places {
    let mut scanner = Scanner { text, tokens: Tokens::of(text), places: Places::new() };
    scanner.message("", descriptor);
    scanner.places
}

struct Scanner<'t> {
    text: &'t str,
    tokens: Tokens<'t>,
    places: Places,
}

impl Scanner<'_> {
    /// Fields up to the end of the message.
    fn message(&mut self, path: &str, descriptor: &MessageDescriptor) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        while let Some((start, name)) = self.tokens.next() {
            if name == "}" || name == ">" {
                return;
            }
            let Some(field) = descriptor.get_field_by_name(name) else {
                continue; // separators
            };
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let position = Position::of(self.text, start);
            let repeated = field.is_list() || field.is_map();
            match field.kind() {
                Kind::Message(inner) => {
                    let count = seen.entry(name.to_owned()).or_default();
                    self.messages(&path, repeated.then_some(count), position, &inner);
                }
                _ => {
                    self.places.entry(path).or_insert(position);
                    self.scalar();
                }
            }
        }
    }

    /// One message, or a list of them; `count` counts those of a repeated field.
    fn messages(&mut self, path: &str, count: Option<&mut usize>, position: Position, inner: &MessageDescriptor) {
        let mut alone = 0;
        let repeated = count.is_some();
        let count = count.unwrap_or(&mut alone);
        let mut in_list = false;
        loop {
            let Some((start, token)) = self.tokens.next() else {
                return;
            };
            match token {
                "[" => in_list = true,
                "{" | "<" => {
                    let path = if repeated { format!("{path}[{count}]") } else { path.to_owned() };
                    let position = if in_list { Position::of(self.text, start) } else { position };
                    self.places.entry(path.clone()).or_insert(position);
                    *count += 1;
                    self.message(&path, inner);
                    if !in_list {
                        return;
                    }
                }
                "]" => return,
                _ => {}
            }
        }
    }

    /// A value, or a list of them.
    fn scalar(&mut self) {
        let mut in_list = false;
        for (_, token) in self.tokens.by_ref() {
            match token {
                ":" | "-" | "," => {}
                "[" => in_list = true,
                "]" => return,
                _ if in_list => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_field_is_found_on_its_line() {
        let text = r#"
name: "a # no comment { \" }"
# input { }
input [
  { name: "x" dims: [ 1, -1 ] },
  { name: "y"
    dims: 1 }
]
output < name: 'z' reshape: { shape: [ ] } >
output { name: "w" }
dynamic_batching { default_queue_policy { max_queue_size: 3 } }
parameters: { key: "k", value: { string_value: "v" } }
max_batch_size: 8;
"#;
        let descriptor = crate::protocol::descriptors::descriptor(super::super::MESSAGE).unwrap();
        let places = places(text, &descriptor);
        let line = |path: &str| places.get(path).map(|position| position.line);
        assert_eq!(line("name"), Some(2));
        assert_eq!(line("input[0].dims"), Some(5));
        assert_eq!(line("input[1]"), Some(6));
        assert_eq!(line("input[1].dims"), Some(7));
        assert_eq!(line("output[0].reshape.shape"), Some(9));
        assert_eq!(line("output[1].name"), Some(10));
        assert_eq!(line("dynamic_batching.default_queue_policy.max_queue_size"), Some(11));
        assert_eq!(line("parameters[0].value.string_value"), Some(12));
        assert_eq!(line("max_batch_size"), Some(13));
    }
}
