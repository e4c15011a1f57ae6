//! Models in memory: which versions are wanted ([`desired`]), how one gets in ([`load`]), who decides (`owner`, asked
//! through [`handle`]), and what requests and people see ([`table`], [`index`]).

pub mod admission;
pub mod counts;
pub mod desired;
pub mod golden;
pub mod handle;
pub mod image_input;
pub mod index;
pub mod load;
pub mod meaning;
mod owner;
mod publish;
pub mod table;
pub mod version;
