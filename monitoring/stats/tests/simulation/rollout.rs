//! One version against another, looked at after every event.

mod attribution;
mod disagreement;
mod labels;
mod scores;
mod stations;
