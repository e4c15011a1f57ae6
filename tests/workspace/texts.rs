//! What no file of the repository says, and where certain words end.

use std::fs;
use std::path::{Path, PathBuf};

use crate::metadata::root;

/// Folders that are made, not written.
const NOT_OURS: [&str; 4] = ["target", ".git", ".takt", ".venv"];

/// Where protobuf types may be named: at the wire, and where Triton's configuration, itself a protobuf message, is read
/// and written.
const PROTOBUF: [&str; 5] = [
    "serving/src/grpc/",
    "serving/src/http/",
    "serving/src/protocol/",
    "serving/src/repository/pbtxt/",
    "serving/src/repository/to_proto.rs",
];

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    // Written in two parts, or this file would name them.
    let folders = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    for (path, text) in text_files(&root()) {
        for (number, line) in text.lines().enumerate() {
            let found = folders.iter().find(|folder| line.contains(*folder));
            assert!(found.is_none(), "{}:{}: names {found:?}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn protobuf_types_end_at_the_wire() {
    let sources = text_files(&root().join("serving/src"));
    let named = sources.iter().filter(|(_, text)| text.contains("takt_proto"));
    let inside: Vec<_> = named.map(|(path, _)| path).filter(|path| !may_name_protobuf(path)).collect();
    assert!(inside.is_empty(), "these name takt_proto, which belongs to {PROTOBUF:?}: {inside:?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in
        text_files(&root()).into_iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "md"))
    {
        let folder = root().join(&path);
        let folder = folder.parent().expect("a file lies in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = target.is_empty() || target.contains("://");
            assert!(
                outside || folder.join(target).exists(),
                "{}: links to {target}, which is not there",
                path.display()
            );
        }
    }
}

fn may_name_protobuf(path: &Path) -> bool {
    PROTOBUF.iter().any(|place| path.to_string_lossy().starts_with(place))
}

/// All files of UTF-8 text below `folder`, with their paths from the root.
pub fn text_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().expect("an entry has a name");
        if NOT_OURS.iter().any(|not_ours| *name == **not_ours) {
            continue;
        }
        if path.is_dir() {
            files.extend(text_files(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
        }
    }
    files
}
