//! Reading segments, whatever happened to them.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::iter::FusedIterator;
use std::path::{Path, PathBuf};

use super::frame::{Codec, FRAME_BYTES, HEADER_BYTES, MAX_PAYLOAD, checksum, read_header};
use super::outcome::Outcomes;
use super::segments::{list, sealed_path};
use super::{BadRecord, LogError};
use crate::events::Outcome;

/// The outcomes of a prediction log, oldest segment first, in the order in which they were written. May run beside a
/// writer: it then sees what was written when it came to a segment.
///
/// What cannot be read is one error per place; reading goes on with the next segment.
#[derive(Debug)]
pub struct Reader {
    records: Records<Outcomes>,
}

/// Bytes that were not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {bytes} bytes from byte {at} are skipped: {damage}", file.display())]
pub struct Skipped {
    /// The segment.
    pub file: PathBuf,
    /// Where the first of them lies.
    pub at: u64,
    /// How many there are, up to the segment's end.
    pub bytes: u64,
    /// Why.
    pub damage: Damage,
}

/// Why the rest of a segment cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not begin as a segment does.
    #[error("the header is damaged, or this is no segment of Takt")]
    Header,
    /// It is a segment of another store.
    #[error("it holds records of another kind ({found}); give the folder of the right store")]
    OtherKind {
        /// Kind number in the header.
        found: u16,
    },
    /// A newer Takt wrote it.
    #[error("written by a newer Takt: schema {found}, this reads up to {known}; update Takt on this machine")]
    Newer {
        /// Its schema.
        found: u16,
        /// The newest this code reads.
        known: u16,
    },
    /// It ends within a frame: the process or the power went while it was written.
    #[error("the segment ends within a record, as after a power cut")]
    Torn,
    /// The bytes are not those that were written.
    #[error("a checksum does not hold; the disk may be failing")]
    Checksum,
    /// The checksum holds and the record makes no sense.
    #[error("a record cannot be understood: {what}")]
    Record {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system did not hand it over.
    #[error("it cannot be read: {message}")]
    Io {
        /// What the system said.
        message: String,
    },
}

impl Damage {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::OtherKind { .. } => "other_kind",
            Self::Newer { .. } => "newer_schema",
            Self::Torn => "torn",
            Self::Checksum => "checksum",
            Self::Record { .. } => "record",
            Self::Io { .. } => "io",
        }
    }
}

impl From<BadRecord> for Damage {
    fn from(BadRecord(what): BadRecord) -> Self {
        Self::Record { what }
    }
}

impl Reader {
    /// Reads the log in `dir`.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Ok(Self { records: Records::open(dir)? })
    }
}

impl Iterator for Reader {
    type Item = Result<Outcome, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        self.records.next()
    }
}

impl FusedIterator for Reader {}

/// The records of a directory's segments.
#[derive(Debug)]
pub(crate) struct Records<C> {
    dir: PathBuf,
    /// Oldest last.
    coming: Vec<(u64, PathBuf)>,
    segment: Option<Segment<C>>,
}

#[derive(Debug)]
struct Segment<C> {
    number: u64,
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next frame begins.
    at: u64,
    bytes: u64,
    codec: C,
    payload: Vec<u8>,
}

impl<C: Codec> Records<C> {
    pub(crate) fn open(dir: &Path) -> Result<Self, LogError> {
        let mut coming = list(dir)?;
        coming.reverse();
        Ok(Self { dir: dir.to_owned(), coming, segment: None })
    }

    /// Number of the segment that the last item came from.
    pub(crate) fn segment(&self) -> Option<u64> {
        self.segment.as_ref().map(|segment| segment.number)
    }

    /// `None` where it was removed meanwhile.
    fn begin(&self, number: u64, path: PathBuf) -> Option<Result<Segment<C>, Skipped>> {
        let gone = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
        // A writer may have sealed it since it was listed.
        let (file, path) = match File::open(&path) {
            Err(error) if gone(&error) => (File::open(sealed_path(&self.dir, number)), sealed_path(&self.dir, number)),
            opened => (opened, path),
        };
        match file.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Err(error) if gone(&error) => None,
            Err(error) => Some(Err(Skipped { file: path, at: 0, bytes: 0, damage: io(&error) })),
            Ok((bytes, file)) => Some(Segment::begin(number, path, file, bytes)),
        }
    }
}

impl<C: Codec> Iterator for Records<C> {
    type Item = Result<C::Record, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(segment) = &mut self.segment
                && segment.at < segment.bytes
            {
                return Some(segment.next());
            }
            let (number, path) = self.coming.pop()?;
            match self.begin(number, path) {
                Some(Ok(segment)) => self.segment = Some(segment),
                Some(Err(skipped)) => return Some(Err(skipped)),
                None => {}
            }
        }
    }
}

impl<C: Codec> Segment<C> {
    fn begin(number: u64, path: PathBuf, file: File, bytes: u64) -> Result<Self, Skipped> {
        let mut file = BufReader::new(file);
        let mut header = [0; HEADER_BYTES];
        let read = file.read_exact(&mut header).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Damage::Header,
            _ => io(&error),
        });
        match read.and_then(|()| read_header::<C>(&header)) {
            Ok(_) => Ok(Self {
                number,
                path,
                file,
                at: HEADER_BYTES as u64,
                bytes,
                codec: C::default(),
                payload: Vec::new(),
            }),
            Err(damage) => Err(Skipped { file: path, at: 0, bytes, damage }),
        }
    }

    /// The next record; after an error the segment is at its end.
    fn next(&mut self) -> Result<C::Record, Skipped> {
        self.read().map_err(|damage| {
            let skipped = Skipped { file: self.path.clone(), at: self.at, bytes: self.bytes - self.at, damage };
            self.at = self.bytes;
            skipped
        })
    }

    fn read(&mut self) -> Result<C::Record, Damage> {
        // Never past the length seen at first: what a writer adds meanwhile belongs to the next reading.
        let left = self.bytes - self.at;
        if left < FRAME_BYTES as u64 {
            return Err(Damage::Torn);
        }
        let length = self.four()?;
        let sum = u32::from_le_bytes(self.four()?);
        let payload = u64::from(u32::from_le_bytes(length));
        if payload == 0 || payload > MAX_PAYLOAD as u64 {
            return Err(Damage::Checksum);
        }
        let frame = FRAME_BYTES as u64 + payload;
        if frame > left {
            return Err(Damage::Torn);
        }
        self.payload.resize(usize::try_from(payload).map_err(|_| Damage::Checksum)?, 0);
        self.file.read_exact(&mut self.payload).map_err(|error| io(&error))?;
        if checksum(length, &self.payload) != sum {
            return Err(Damage::Checksum);
        }
        let record = self.codec.decode(&self.payload)?;
        self.at += frame;
        Ok(record)
    }

    fn four(&mut self) -> Result<[u8; 4], Damage> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes).map_err(|error| io(&error))?;
        Ok(bytes)
    }
}

fn io(error: &std::io::Error) -> Damage {
    match error.kind() {
        ErrorKind::UnexpectedEof => Damage::Torn,
        _ => Damage::Io { message: error.to_string() },
    }
}
