//! Parquet: the types that are read are told before anything is.

use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::{
    ArrowDataType, LazyFrame, ParquetReader, PlRefPath, ScanArgsParquet, Schema, SchemaExt, SerReader,
};

use super::guarded;
use crate::error::TableError;

/// The files as a query's source, and what the first one says of its columns. The engine is not asked yet: waking it takes
/// more memory than reading a small table does.
pub(super) fn scan(files: &[PathBuf]) -> Result<(LazyFrame, Schema), TableError> {
    let mut types = None;
    for file in files {
        let found = check(file)?;
        types.get_or_insert(found);
    }
    let (Some(first), Some(types)) = (files.first(), types) else {
        return Ok((LazyFrame::default(), Schema::default()));
    };
    let paths = paths(files)?;
    // Names of files are names, whatever stars are in them.
    let args = ScanArgsParquet { glob: false, cache: false, ..ScanArgsParquet::default() };
    let frame = guarded(first, || LazyFrame::scan_parquet_files(paths.into_iter().collect(), args))?;
    Ok((frame, types))
}

/// The files as polars names them: its paths are UTF-8.
pub(super) fn paths(files: &[PathBuf]) -> Result<Vec<PlRefPath>, TableError> {
    let path = |file: &PathBuf| PlRefPath::try_from_path(file).map_err(TableError::read(file));
    files.iter().map(path).collect()
}

/// Reads the file's footer and refuses the types that polars, built as small as it is here, panics on.
fn check(file: &Path) -> Result<Schema, TableError> {
    let opened = File::open(file).map_err(TableError::io("open", file))?;
    let schema = guarded(file, || ParquetReader::new(opened).schema())?;
    let unread =
        schema.iter().filter_map(|(name, field)| Some(format!("column '{name}' is {}", unread(&field.dtype)?)));
    let columns: Vec<String> = unread.collect();
    if columns.is_empty() {
        Ok(Schema::from_arrow_schema(&schema))
    } else {
        Err(TableError::Unread { path: file.to_owned(), columns })
    }
}

/// What the type is, where it is not read.
fn unread(dtype: &ArrowDataType) -> Option<&'static str> {
    match dtype {
        ArrowDataType::Decimal(..)
        | ArrowDataType::Decimal32(..)
        | ArrowDataType::Decimal64(..)
        | ArrowDataType::Decimal256(..) => Some("decimal"),
        ArrowDataType::FixedSizeList(..) => Some("a list of fixed size"),
        ArrowDataType::Float16 => Some("float16"),
        ArrowDataType::Int128 | ArrowDataType::UInt128 => Some("a number of 128 bits"),
        ArrowDataType::Interval(_) => Some("an interval"),
        ArrowDataType::Union(_) => Some("a union"),
        ArrowDataType::Extension(_) => Some("an extension type"),
        ArrowDataType::List(inner) | ArrowDataType::LargeList(inner) | ArrowDataType::Map(inner, _) => {
            unread(&inner.dtype)
        }
        ArrowDataType::Dictionary(_, inner, _) => unread(inner),
        ArrowDataType::Struct(fields) => fields.iter().find_map(|field| unread(&field.dtype)),
        _ => None,
    }
}
