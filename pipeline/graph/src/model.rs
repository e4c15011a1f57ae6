//! A model: the file's contents, with a graph that has been checked.

use std::ops::RangeInclusive;

use crate::check::{self, CheckErrors};
use crate::node::is_standard;
use crate::onnx::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// Versions of ONNX's operator set that we know.
pub const OPSETS: RangeInclusive<i64> = 13..=21;

/// An ONNX model whose graph has been [checked](crate::check), with its nodes in topological order.
///
/// Copies share the weights until they are replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Everything of the file but the graph.
    rest: ModelProto,
    graph: GraphProto,
}

impl Model {
    /// Takes a decoded model.
    ///
    /// # Errors
    /// All faults of the graph, or an operator set we do not know.
    pub fn from_proto(mut proto: ModelProto) -> Result<Self, CheckErrors> {
        check::model(&proto)?;
        let mut graph = proto.graph.take().unwrap_or_default();
        graph.sort().map_err(|cycle| CheckErrors::from(check::Fault::Cycle(cycle)))?;
        Ok(Self { rest: proto, graph })
    }

    /// A model around a graph that we made.
    ///
    /// # Errors
    /// As [`Self::from_proto`].
    pub fn from_graph(graph: GraphProto, opset: i64) -> Result<Self, CheckErrors> {
        Self::from_proto(ModelProto {
            // The oldest that has operator sets up to 21 (onnx, docs/Versioning.md): the older, the more runtimes read it.
            ir_version: Some(if opset < 21 { 8 } else { 10 }),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
            producer_name: Some("takt".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(graph),
            ..ModelProto::default()
        })
    }

    /// The file's contents.
    #[must_use]
    pub fn to_proto(&self) -> ModelProto {
        ModelProto { graph: Some(self.graph.clone()), ..self.rest.clone() }
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &GraphProto {
        &self.graph
    }

    /// The graph, to be changed. Whoever leaves it other than [`Self::check`] demands will see errors later; prefer a
    /// [`Patch`](crate::patch::Patch).
    pub const fn graph_mut(&mut self) -> &mut GraphProto {
        &mut self.graph
    }

    /// Everything but the graph; `graph` is `None` here.
    #[must_use]
    pub const fn rest(&self) -> &ModelProto {
        &self.rest
    }

    /// Version of ONNX's operator set.
    #[must_use]
    pub fn opset(&self) -> i64 {
        let standard = self.rest.opset_import.iter().find(|set| is_standard(set.domain()));
        standard.map_or(0, OperatorSetIdProto::version)
    }

    /// Value of a `metadata_props` entry.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.rest.metadata_props.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
    }

    /// Sets a `metadata_props` entry.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        let entries = &mut self.rest.metadata_props;
        match entries.iter_mut().find(|entry| entry.key() == key) {
            Some(entry) => entry.value = Some(value.to_owned()),
            None => entries.push(StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }),
        }
    }

    /// Takes a `metadata_props` entry away.
    pub fn remove_metadata(&mut self, key: &str) {
        self.rest.metadata_props.retain(|entry| entry.key() != key);
    }

    /// Checks the graph again, and sorts its nodes.
    ///
    /// # Errors
    /// All faults of the graph.
    pub fn check(&mut self) -> Result<(), CheckErrors> {
        check::graph(&self.graph)?;
        self.graph.sort().map_err(|cycle| CheckErrors::from(check::Fault::Cycle(cycle)))
    }
}
