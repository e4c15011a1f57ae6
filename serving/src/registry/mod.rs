//! Models in memory: which versions are wanted ([`desired`]), how one gets in ([`load`]), who decides ([`owner`]), and
//! what requests see ([`table`]).

pub mod admission;
pub mod counts;
pub mod desired;
pub mod golden;
pub mod image_input;
pub mod index;
pub mod load;
pub mod meaning;
pub mod owner;
pub mod table;
pub mod version;
