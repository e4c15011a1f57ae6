//! Stages from data to a packaged version: the part of Takt that makes models, beside the part that serves them.

pub mod data;
pub mod quantise;
