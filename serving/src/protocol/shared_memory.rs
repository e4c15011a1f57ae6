//! System shared memory (the protocol's `system_shared_memory` extension).
//!
//! Regions are POSIX shared memory objects, which on Linux are files in `/dev/shm`. They are read and written through
//! the file (`pread`, `pwrite`), not mapped: one copy into or out of the server is needed anyway, and a client that
//! shrinks its region then gets an error instead of killing the server with SIGBUS.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};

use super::parameters::RegionSlice;
use crate::error::{ErrorKind, InferError};

/// A registered region as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionStatus {
    /// Name it was registered under.
    pub name: String,
    /// Key of the shared memory object, such as `/frames`.
    pub key: String,
    /// First byte of the object that belongs to the region.
    pub offset: u64,
    /// Length in bytes.
    pub byte_size: u64,
}

struct Region {
    status: RegionStatus,
    file: File,
}

/// All registered regions.
pub struct SharedMemory {
    root: PathBuf,
    regions: RwLock<BTreeMap<String, Arc<Region>>>,
}

impl SharedMemory {
    /// No regions; objects are looked for in `/dev/shm`.
    #[must_use]
    pub fn new() -> Self {
        Self::in_folder(Path::new("/dev/shm"))
    }

    fn in_folder(root: &Path) -> Self {
        Self { root: root.to_owned(), regions: RwLock::default() }
    }

    /// Registers a region of an object that a client made.
    ///
    /// # Errors
    /// The name is taken, the key is malformed, or the object is missing or too small.
    pub fn register(&self, status: RegionStatus) -> Result<(), InferError> {
        let object = status.key.strip_prefix('/').unwrap_or(&status.key);
        if object.is_empty() || object.contains('/') || object == "." || object == ".." {
            return Err(InferError::invalid(format!(
                "shared memory key '{}' of region '{}' is not of the form '/name'",
                status.key, status.name
            )));
        }
        if status.byte_size == 0 {
            return Err(InferError::invalid(format!("shared memory region '{}' has a byte size of 0", status.name)));
        }
        let path = self.root.join(object);
        let file = File::options().read(true).write(true).open(&path).map_err(|error| {
            InferError::invalid(format!(
                "Unable to open shared memory region: '{}' with key '{}': {error}; create the object before registering it",
                status.name, status.key
            ))
        })?;
        let length = file.metadata().map_err(|error| failed(&status.name, &error))?.len();
        if status.offset.checked_add(status.byte_size).is_none_or(|end| end > length) {
            return Err(InferError::invalid(format!(
                "shared memory region '{}' of {} bytes at offset {} does not fit into '{}', which has {length}",
                status.name, status.byte_size, status.offset, status.key
            )));
        }
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        if regions.contains_key(&status.name) {
            return Err(InferError::invalid(format!(
                "shared memory region '{}' already in manager; unregister it first",
                status.name
            )));
        }
        regions.insert(status.name.clone(), Arc::new(Region { status, file }));
        Ok(())
    }

    /// Forgets one region, or all where the name is empty. Unknown names are no error (as Triton).
    pub fn unregister(&self, name: &str) {
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        if name.is_empty() {
            regions.clear();
        } else {
            regions.remove(name);
        }
    }

    /// One region, or all where the name is empty.
    ///
    /// # Errors
    /// No region of that name.
    pub fn status(&self, name: &str) -> Result<Vec<RegionStatus>, InferError> {
        if name.is_empty() {
            let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
            return Ok(regions.values().map(|region| region.status.clone()).collect());
        }
        Ok(vec![self.find(name, ErrorKind::NotFound)?.status.clone()])
    }

    /// Copies a tensor out of a region.
    ///
    /// # Errors
    /// Unknown region, or bytes outside it.
    pub fn read(&self, slice: &RegionSlice, tensor: &str) -> Result<Bytes, InferError> {
        let region = self.find(&slice.region, ErrorKind::InvalidArgument)?;
        let at = region.place(slice, slice.len, tensor)?;
        let mut data = BytesMut::zeroed(slice.len);
        region.file.read_exact_at(&mut data, at).map_err(|error| failed(&slice.region, &error))?;
        Ok(data.freeze())
    }

    /// Copies a tensor into a region.
    ///
    /// # Errors
    /// Unknown region, bytes outside it, or a tensor larger than the slice.
    pub fn write(&self, slice: &RegionSlice, data: &[u8], tensor: &str) -> Result<(), InferError> {
        if data.len() > slice.len {
            return Err(InferError::invalid(format!(
                "shared memory size specified with the request for output '{tensor}' ({} bytes) should be at least {} bytes \
                 to hold the results",
                slice.len,
                data.len()
            )));
        }
        let region = self.find(&slice.region, ErrorKind::InvalidArgument)?;
        let at = region.place(slice, data.len(), tensor)?;
        region.file.write_all_at(data, at).map_err(|error| failed(&slice.region, &error))
    }

    fn find(&self, name: &str, kind: ErrorKind) -> Result<Arc<Region>, InferError> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.get(name).cloned().ok_or_else(|| {
            InferError::new(kind, format!("Unable to find shared memory region: '{name}'; register it first"))
        })
    }
}

impl Default for SharedMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Region {
    /// Where a slice of the region begins in the object.
    fn place(&self, slice: &RegionSlice, len: usize, tensor: &str) -> Result<u64, InferError> {
        let end = (slice.offset as u64).checked_add(len as u64);
        if end.is_none_or(|end| end > self.status.byte_size) {
            return Err(InferError::invalid(format!(
                "Invalid offset + byte size for shared memory region: '{}': tensor '{tensor}' wants {len} bytes at offset {}, \
                 the region has {}",
                slice.region, slice.offset, self.status.byte_size
            )));
        }
        Ok(self.status.offset + slice.offset as u64)
    }
}

fn failed(region: &str, error: &io::Error) -> InferError {
    InferError::invalid(format!(
        "shared memory region '{region}' can't be accessed: {error}; was the object removed or shrunk?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(key: &str, offset: u64, byte_size: u64) -> RegionStatus {
        RegionStatus { name: "frames".into(), key: key.into(), offset, byte_size }
    }

    fn slice(offset: usize, len: usize) -> RegionSlice {
        RegionSlice { region: "frames".into(), offset, len }
    }

    #[test]
    fn a_tensor_travels_through_a_region_at_its_offset() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("object"), [0u8, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        let memory = SharedMemory::in_folder(folder.path());
        memory.register(region("/object", 2, 6)).unwrap();
        assert_eq!(&memory.read(&slice(1, 2), "in").unwrap()[..], [3, 4]);
        memory.write(&slice(4, 2), &[9, 9], "out").unwrap();
        assert_eq!(std::fs::read(folder.path().join("object")).unwrap(), [0, 1, 2, 3, 4, 5, 9, 9]);
    }

    #[test]
    fn what_lies_outside_the_region_or_the_object_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("object"), [0u8; 8]).unwrap();
        let memory = SharedMemory::in_folder(folder.path());
        for (key, offset, size, says) in [
            ("/object", 4, 5, "does not fit"),
            ("/object", u64::MAX, 2, "does not fit"),
            ("/missing", 0, 1, "Unable to open"),
            ("/../object", 0, 1, "not of the form"),
            ("/object", 0, 0, "byte size of 0"),
        ] {
            let error = memory.register(region(key, offset, size)).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
        memory.register(region("/object", 0, 4)).unwrap();
        assert!(memory.register(region("/object", 0, 4)).unwrap_err().message().contains("already in manager"));
        assert!(memory.read(&slice(2, 3), "in").unwrap_err().message().contains("Invalid offset"));
        assert!(memory.write(&slice(0, 1), &[1, 2], "out").unwrap_err().message().contains("at least 2 bytes"));
        assert!(memory.read(&RegionSlice { region: "other".into(), offset: 0, len: 1 }, "in").is_err());
    }

    #[test]
    fn a_region_that_shrank_gives_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("object"), [0u8; 8]).unwrap();
        let memory = SharedMemory::in_folder(folder.path());
        memory.register(region("/object", 0, 8)).unwrap();
        File::options().write(true).open(folder.path().join("object")).unwrap().set_len(2).unwrap();
        assert!(memory.read(&slice(0, 8), "in").unwrap_err().message().contains("removed or shrunk"));
    }
}
