//! Nodes: reading and writing attributes, building new ones.

use crate::onnx::attribute_proto::AttributeType;
use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};

impl NodeProto {
    /// A node of the default operator set.
    #[must_use]
    pub fn new(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        Self {
            op_type: Some(op.to_owned()),
            name: Some(name.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.iter().map(|&output| output.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The same node with an integer attribute.
    #[must_use]
    pub fn with_int(mut self, name: &str, value: i64) -> Self {
        self.set_int(name, value);
        self
    }

    /// The same node with a list of integers as attribute.
    #[must_use]
    pub fn with_ints(mut self, name: &str, values: &[i64]) -> Self {
        let entry = self.entry(name, AttributeType::Ints);
        entry.ints = values.to_vec();
        self
    }

    /// The same node with a float attribute.
    #[must_use]
    pub fn with_float(mut self, name: &str, value: f32) -> Self {
        let entry = self.entry(name, AttributeType::Float);
        entry.f = Some(value);
        self
    }

    /// Whether this is operator `op` of ONNX itself, not of a custom domain.
    #[must_use]
    pub fn is(&self, op: &str) -> bool {
        self.standard() && self.op_type() == op
    }

    /// Whether the operator is one of ONNX itself.
    #[must_use]
    pub fn standard(&self) -> bool {
        is_standard(self.domain())
    }

    /// How messages name the node: `Conv 'features.0'`, or by what it makes where it has no name.
    #[must_use]
    pub fn label(&self) -> String {
        let op = match self.standard() {
            true => self.op_type().to_owned(),
            false => format!("{}.{}", self.domain(), self.op_type()),
        };
        match (self.name(), self.output.first()) {
            ("", Some(output)) => format!("{op} that makes '{output}'"),
            ("", None) => op,
            (name, _) => format!("{op} '{name}'"),
        }
    }

    /// Name of input `slot`; `None` if it is left out.
    #[must_use]
    pub fn input_name(&self, slot: usize) -> Option<&str> {
        self.input.get(slot).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Name of output `slot`; `None` if it is left out.
    #[must_use]
    pub fn output_name(&self, slot: usize) -> Option<&str> {
        self.output.get(slot).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The attribute called `name`.
    #[must_use]
    pub fn attribute_named(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name() == name)
    }

    /// An integer attribute.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute_named(name).and_then(|attribute| attribute.i)
    }

    /// A float attribute.
    #[must_use]
    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute_named(name).and_then(|attribute| attribute.f)
    }

    /// A list of integers.
    #[must_use]
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute_named(name).map(|attribute| attribute.ints.as_slice())
    }

    /// A string attribute; `None` also where its bytes are no UTF-8.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<&str> {
        self.attribute_named(name).and_then(|attribute| std::str::from_utf8(attribute.s.as_deref()?).ok())
    }

    /// A tensor attribute.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute_named(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// Sets or adds an integer attribute.
    pub fn set_int(&mut self, name: &str, value: i64) {
        self.entry(name, AttributeType::Int).i = Some(value);
    }

    /// Removes an attribute, if it is there.
    pub fn remove_attribute(&mut self, name: &str) {
        self.attribute.retain(|attribute| attribute.name() != name);
    }

    /// The graphs that are attributes of this node: bodies of `If`, `Loop`, `Scan`.
    pub fn subgraphs(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
    }

    /// An empty attribute of that name, in place of the one there was.
    fn entry(&mut self, name: &str, kind: AttributeType) -> &mut AttributeProto {
        let fresh = AttributeProto { name: Some(name.to_owned()), r#type: Some(kind.into()), ..Default::default() };
        let at = self.attribute.iter().position(|attribute| attribute.name() == name).unwrap_or(self.attribute.len());
        match self.attribute.get_mut(at) {
            Some(attribute) => *attribute = fresh,
            None => self.attribute.push(fresh),
        }
        &mut self.attribute[at]
    }
}

/// Whether `domain` is that of ONNX's own operators, which has two names.
#[must_use]
pub fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_replaced_in_place() {
        let mut node = NodeProto::new("Conv", "c", &["x", "w"], &["y"]).with_int("group", 2).with_ints("pads", &[1, 1]);
        node.set_int("group", 4);
        assert_eq!(node.attribute.len(), 2);
        assert_eq!(node.int("group"), Some(4));
        assert_eq!(node.ints("pads"), Some(&[1, 1][..]));
        node.remove_attribute("pads");
        assert_eq!(node.ints("pads"), None);
    }

    #[test]
    fn a_node_without_a_name_is_told_by_what_it_makes() {
        assert_eq!(NodeProto::new("Relu", "", &["x"], &["y"]).label(), "Relu that makes 'y'");
        assert_eq!(NodeProto::new("Relu", "r", &["x"], &["y"]).label(), "Relu 'r'");
    }
}
