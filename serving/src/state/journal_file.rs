//! The journal's files: replaced atomically, and read again whatever happened to them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::ledger::Ledger;
use super::{StateError, UnixMillis};

const NEWEST: &str = "journal.json";
const PREVIOUS: &str = "journal.previous.json";
/// Name under which the previous journal is prepared.
const PREVIOUS_LINK: &str = "journal.previous.link";
const CORRUPT_PREFIX: &str = "journal.corrupt-";
/// Unreadable journals kept for people.
const KEEP_CORRUPT: usize = 4;
/// A journal never gets near this; a larger file is something else.
const MAX_BYTES: u64 = 8 << 20;

/// What reading the journal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// There was none: a new state directory.
    Fresh,
    /// Read as it was written.
    Intact,
    /// The newest was missing or unreadable; the one before it was used. Quarantine changes are in both, so at most one
    /// other change is lost.
    Previous,
    /// Neither could be read: quarantine and last good versions are forgotten. Somebody should look.
    Lost,
}

/// Replaces `dir/name`: a reader, now or after a power cut, sees the old bytes or the new ones.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), StateError> {
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(StateError::io("create", &temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(StateError::io("write", &temporary))?;
    let path = dir.join(name);
    fs::rename(&temporary, &path).map_err(StateError::io("replace", &path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StateError::io("sync the directory", dir))
}

/// Writes the ledger as the newest journal; what was the newest becomes the previous one.
pub(super) fn store(dir: &Path, ledger: &Ledger) -> Result<(), StateError> {
    let bytes = serde_json::to_vec_pretty(ledger)
        .map_err(|error| StateError::io("encode", &dir.join(NEWEST))(io::Error::other(error)))?;
    keep_previous(dir)?;
    replace(dir, NEWEST, &bytes)
}

/// Makes the newest journal the previous one too. By a second link, so that at no moment there is no newest; where the
/// file system has no links, by a rename, and then the previous one stands in for it until the new one is written.
fn keep_previous(dir: &Path) -> Result<(), StateError> {
    let (newest, previous, link) = (dir.join(NEWEST), dir.join(PREVIOUS), dir.join(PREVIOUS_LINK));
    let _ = fs::remove_file(&link);
    let kept = match fs::hard_link(&newest, &link) {
        Ok(()) => fs::rename(&link, &previous),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => fs::rename(&newest, &previous),
    };
    kept.map_err(StateError::io("set aside", &newest))
}

/// Reads the journal. A file that cannot be understood is moved aside and logged; one that the system will not hand over
/// is an error.
pub(super) fn load(dir: &Path) -> Result<(Ledger, Recovery), StateError> {
    let newest = read(dir, NEWEST)?;
    if let Found::Ledger(ledger) = newest {
        return Ok((*ledger, Recovery::Intact));
    }
    let previous = read(dir, PREVIOUS)?;
    match (newest, previous) {
        (Found::Nothing, Found::Nothing) => Ok((Ledger::default(), Recovery::Fresh)),
        (_, Found::Ledger(ledger)) => {
            tracing::error!(
                dir = %dir.display(), quarantined = ledger.quarantined.len(),
                "{NEWEST} is missing or unreadable; {PREVIOUS} is used in its place"
            );
            Ok((*ledger, Recovery::Previous))
        }
        _ => {
            tracing::error!(
                dir = %dir.display(),
                "no journal can be read: quarantined and last good versions are forgotten; look at {CORRUPT_PREFIX}* \
                 and quarantine by hand what must not be served"
            );
            Ok((Ledger::default(), Recovery::Lost))
        }
    }
}

enum Found {
    Nothing,
    Corrupt,
    Ledger(Box<Ledger>),
}

fn read(dir: &Path, name: &str) -> Result<Found, StateError> {
    let path = dir.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(StateError::io("open", &path)(source)),
    };
    let mut bytes = Vec::new();
    // A bad sector (EIO) is corruption too: the bytes are gone, the other generation may not be.
    let reason = match file.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MAX_BYTES => format!("it has more than {MAX_BYTES} bytes"),
        Ok(_) => match serde_json::from_slice(&bytes) {
            Ok(ledger) => return Ok(Found::Ledger(Box::new(ledger))),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let aside = dir.join(format!("{CORRUPT_PREFIX}{}-{name}", UnixMillis::from(std::time::SystemTime::now()).0));
    tracing::error!(file = %path.display(), moved_to = %aside.display(), reason, "journal cannot be read");
    fs::rename(&path, &aside).map_err(StateError::io("move aside", &path))?;
    forget_old_corrupt(dir);
    Ok(Found::Corrupt)
}

/// Best effort: a directory that cannot be listed keeps them all.
fn forget_old_corrupt(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(CORRUPT_PREFIX))
        .collect();
    names.sort_unstable();
    for name in names.iter().rev().skip(KEEP_CORRUPT) {
        let _ = fs::remove_file(dir.join(name));
    }
}
