//! One dimension: a number, or a number times what is only known when the model runs.

use std::fmt;
use std::sync::Arc;

/// A product such as `7`, `batch` or `49 * batch`. Two dimensions are known to be equal exactly if these are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    factor: i64,
    /// Sorted.
    symbols: Vec<Arc<str>>,
}

/// More than any network multiplies.
const MAX_SYMBOLS: usize = 16;

impl Dim {
    /// A dimension that is not known before the model runs. A `?` begins names that inference made up.
    #[must_use]
    pub fn symbol(name: &str) -> Self {
        Self { factor: 1, symbols: vec![name.into()] }
    }

    /// The number, if it is known.
    #[must_use]
    pub const fn known(&self) -> Option<i64> {
        if self.symbols.is_empty() { Some(self.factor) } else { None }
    }

    /// The number as a size, if it is known and not negative.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        self.known().and_then(|known| usize::try_from(known).ok())
    }

    /// The number, given what the symbols stand for.
    pub fn eval(&self, symbol: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        self.symbols.iter().try_fold(self.factor, |product, name| product.checked_mul(symbol(name)?))
    }

    /// The product; `None` if it is too large for any tensor.
    #[must_use]
    pub fn times(&self, other: &Self) -> Option<Self> {
        let factor = self.factor.checked_mul(other.factor)?;
        if factor == 0 {
            return Some(0.into());
        }
        // A file made to harm could double them with each node.
        if self.symbols.len() + other.symbols.len() > MAX_SYMBOLS {
            return None;
        }
        let mut symbols = [self.symbols.as_slice(), &other.symbols].concat();
        symbols.sort_unstable();
        Some(Self { factor, symbols })
    }

    /// The quotient, if it is known to have no rest.
    #[must_use]
    pub fn over(&self, other: &Self) -> Option<Self> {
        if other.factor == 0 || self.factor.checked_rem(other.factor)? != 0 {
            return None;
        }
        let mut symbols = self.symbols.clone();
        for symbol in &other.symbols {
            symbols.remove(symbols.iter().position(|there| there == symbol)?);
        }
        Some(Self { factor: self.factor / other.factor, symbols })
    }

    /// The product of many; `None` if it is too large for any tensor.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        dims.into_iter().try_fold(Self::from(1), |product, dim| product.times(dim))
    }
}

impl From<i64> for Dim {
    fn from(factor: i64) -> Self {
        Self { factor, symbols: Vec::new() }
    }
}

impl From<i32> for Dim {
    fn from(factor: i32) -> Self {
        i64::from(factor).into()
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        i64::try_from(size).unwrap_or(i64::MAX).into()
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.factor, self.symbols.join("*")) {
            (factor, names) if names.is_empty() => write!(f, "{factor}"),
            (1, names) => f.write_str(&names),
            (factor, names) => write!(f, "{factor}*{names}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_quotients_of_symbols() {
        let batch = Dim::symbol("batch");
        let flat = batch.times(&49.into()).unwrap();
        assert_eq!(flat.to_string(), "49*batch");
        assert_eq!(flat.over(&batch), Some(49.into()));
        assert_eq!(flat.over(&7.into()).unwrap().to_string(), "7*batch");
        assert_eq!(flat.over(&Dim::symbol("other")), None);
        assert_eq!(Dim::from(7_i64).over(&2.into()), None);
        assert_eq!(Dim::from(i64::MAX).times(&2.into()), None);
        assert_eq!(flat.eval(&|name| (name == "batch").then_some(2)), Some(98));
    }
}
