//! How errors become text for people.

use std::error::Error;
use std::io;

/// An error with its causes on one line, and with what to do where that is known.
#[must_use]
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut full = "";
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many errors name their cause themselves.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            full = advice_for(cause);
        }
        next = cause.source();
    }
    if text.contains(full) { text } else { text + full }
}

pub(crate) fn advice_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free space there (results that no plan needs can be pruned) and run again, it goes on where it stopped"
        }
        io::ErrorKind::FileTooLarge => {
            "; allow larger files there (ulimit -f, or another file system) and run again, it goes on where it stopped"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; give this user the right to it, or use another place"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write epoch 3")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_full_disk_is_told_with_its_causes_and_what_to_do() {
        let error = Outer(io::Error::from(io::ErrorKind::StorageFull));
        let text = told(&error);
        assert!(text.starts_with("cannot write epoch 3: no storage space; free space"), "{text}");
    }

    #[test]
    fn a_cause_that_is_named_already_is_not_told_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("epoch 3: {0}")]
        struct Telling(#[source] io::Error);
        assert_eq!(told(&Telling(io::Error::other("torn"))), "epoch 3: torn");
    }
}
