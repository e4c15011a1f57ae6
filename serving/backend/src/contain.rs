//! The one place where a panic of a runtime becomes an error.
//!
//! tract indexes and asserts its way through graphs it does not expect (a graph output that no node makes, an axis out of
//! range), and a model file comes from outside: a bad one must cost its own load, not the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic in it is returned as its message. The caller drops whatever `work` was mutating.
///
/// # Errors
/// `work` panicked.
pub(crate) fn panics<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| format!("it panicked: {}", message(&*payload)))
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::panics;

    #[test]
    fn a_panic_becomes_its_message() {
        let outcome = panics(|| -> u8 { panic!("axis {} out of range", 7) });
        assert_eq!(outcome.unwrap_err(), "it panicked: axis 7 out of range");
        assert_eq!(panics(|| 3), Ok(3));
    }
}
