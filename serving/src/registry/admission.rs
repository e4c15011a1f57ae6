//! Whether a version may be loaded beside what serves: better refused than the kernel killing the whole process.

use takt_artifact::Signature;

use crate::repository::memory::resident_bytes;

/// Memory left to the rest of the machine, in bytes.
const HEADROOM: u64 = 64 << 20;

/// Holds what an artefact will need, from its size alone, against the memory that is available. Where the kernel does not
/// say what is available, everything is admitted.
///
/// # Errors
/// It does not fit; says what it needs, what there is, and what to do.
pub fn admit(artefact_bytes: u64, instances: usize, available: Option<u64>) -> Result<(), String> {
    // The inputs' share is not known before the model is read, and small beside its weights.
    let needed = resident_bytes(artefact_bytes, &Signature::default(), None, 0, instances).unwrap_or(0);
    match available {
        Some(available) if needed.saturating_add(HEADROOM) > available => Err(format!(
            "it needs about {} MiB for {instances} instance(s), and {} MiB are available, of which {} stay free; unload another \
             model, lower instances, or serve a smaller variant",
            needed >> 20,
            available >> 20,
            HEADROOM >> 20
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_both_figures() {
        let error = admit(400 << 20, 2, Some(1 << 30)).unwrap_err();
        assert!(error.contains("2000 MiB") && error.contains("1024 MiB"), "{error}");
    }

    #[test]
    fn one_that_fits_is_admitted_and_so_is_all_where_nothing_is_known() {
        admit(100 << 20, 1, Some(1 << 30)).unwrap();
        admit(u64::MAX, 4, None).unwrap();
    }
}
