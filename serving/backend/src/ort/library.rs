//! Looks into an ONNX Runtime library before the `ort` crate does, which panics where a library is too old.
#![expect(unsafe_code, reason = "asks a C library for its version through its two entry points")]

use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::Library as Dynamic;
use ort::sys::{ORT_API_VERSION, OrtApi, OrtApiBase};
use serde::Serialize;

/// A library that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// The file.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
    /// Execution providers it was built with, by ONNX Runtime's names, best first.
    pub providers: Vec<String>,
}

/// Why a library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The system's loader refused it.
    #[error("'{}' cannot be loaded: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// It is a library, of something else.
    #[error("'{}' is not ONNX Runtime: it has no OrtGetApiBase", path.display())]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
    },
    /// Its C interface is older than the one this program speaks.
    #[error("'{}' is ONNX Runtime {version}, expected 1.{ORT_API_VERSION} or later", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// What it says its version is.
        version: String,
    },
}

/// Loads the library and asks it who it is. It stays loaded: unloading ONNX Runtime runs its destructors under its threads.
///
/// # Errors
/// See [`LibraryError`].
pub fn inspect(path: &Path) -> Result<Library, LibraryError> {
    let open = |error: libloading::Error| LibraryError::Open { path: path.to_owned(), reason: error.to_string() };
    // SAFETY: loading runs the initialisers of a library that the user installed to be run in this process.
    let library = Box::leak(Box::new(unsafe { Dynamic::new(path) }.map_err(open)?));
    let missing = || LibraryError::NotOnnxRuntime { path: path.to_owned() };
    // SAFETY: the symbol has this type since ONNX Runtime 1.0 (onnxruntime_c_api.h).
    let entry: libloading::Symbol<'_, unsafe extern "C" fn() -> *const OrtApiBase> =
        unsafe { library.get(b"OrtGetApiBase") }.map_err(|_| missing())?;
    // SAFETY: the entry point takes nothing and returns a static table or null; the table's strings are static.
    let (base, version) = unsafe {
        let base = entry().as_ref().ok_or_else(missing)?;
        (base, text((base.GetVersionString)()))
    };
    let too_old = || LibraryError::TooOld { path: path.to_owned(), version: version.clone() };
    if minor(&version).is_none_or(|minor| minor < ORT_API_VERSION) {
        return Err(too_old());
    }
    // SAFETY: returns a static table of at least the fields of the version asked for, or null.
    let api = unsafe { (base.GetApi)(ORT_API_VERSION).as_ref() }.ok_or_else(too_old)?;
    Ok(Library { path: path.to_owned(), version, providers: providers(api) })
}

fn providers(api: &OrtApi) -> Vec<String> {
    let mut names: *mut *mut c_char = ptr::null_mut();
    let mut count = 0;
    // SAFETY: on success `names` holds `count` C strings until they are released, once, below.
    unsafe {
        if !(api.GetAvailableProviders)(&raw mut names, &raw mut count).0.is_null() || names.is_null() {
            return Vec::new();
        }
        let listed = std::slice::from_raw_parts(names, usize::try_from(count).unwrap_or(0))
            .iter()
            .map(|&name| text(name))
            .collect();
        // Documented to return no status.
        let _ = (api.ReleaseAvailableProviders)(names, count);
        listed
    }
}

/// # Safety
/// `string` is null or a C string that lives through the call.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

fn minor(version: &str) -> Option<u32> {
    let mut parts = version.split('.');
    match (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?) {
        (1, minor) => Some(minor),
        (0, _) => None,
        _ => Some(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(minor("1.17.3"), Some(17));
        assert_eq!(minor("1.9.0"), Some(9));
        assert_eq!(minor("2.0.0"), Some(u32::MAX));
        assert_eq!(minor("unknown"), None);
    }

    #[test]
    fn a_file_that_is_no_library_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = inspect(file.path()).unwrap_err();
        assert!(matches!(error, LibraryError::Open { .. }), "{error}");
        assert!(error.to_string().contains(&file.path().display().to_string()));
    }
}
