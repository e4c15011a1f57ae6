//! What holds for the repository as a whole: which crate may know which, what dependencies may be, and what no file says.

mod edges;
mod images;
mod licences;
mod metadata;
mod texts;
