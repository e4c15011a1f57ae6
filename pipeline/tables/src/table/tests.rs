//! Tables of files.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{Batch, Categories, Kind, Table};
use crate::{Column, ParquetFile, TableError, Values, write_parquet};

fn put(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn refusal(path: &Path) -> (&'static str, String) {
    let error = Table::open(path).err().unwrap();
    (error.kind(), error.to_string())
}

fn numbers(table: &Table, names: &[&str]) -> Vec<Vec<f64>> {
    let mut columns = vec![Vec::new(); names.len()];
    for batch in table.numbers(names).unwrap() {
        for (column, values) in columns.iter_mut().zip(batch.unwrap().columns) {
            column.extend(values);
        }
    }
    columns
}

#[test]
fn csv_has_any_separator_and_types_that_all_fields_fit() {
    let folder = tempfile::tempdir().unwrap();
    for (name, separator) in [("a.csv", ","), ("b.csv", ";"), ("c.CSV", "\t")] {
        let text = "\u{feff}part,light,odd,good\n1,0.5,1,true\n2,,x,false\n".replace(',', separator);
        let table = Table::open(&put(folder.path(), name, &text)).unwrap();
        let columns: Vec<_> = table.columns().iter().map(|column| (column.name.as_str(), column.kind)).collect();
        let expected = [("part", Kind::Integer), ("light", Kind::Float), ("odd", Kind::Text), ("good", Kind::Boolean)];
        assert_eq!(columns, expected, "{name}");
        assert_eq!(table.rows().unwrap(), 2);
        let read = numbers(&table, &["light", "part"]);
        assert!(read[0][0] == 0.5 && read[0][1].is_nan() && read[1] == [1.0, 2.0], "{read:?}");
    }
}

#[test]
fn a_folder_is_one_table_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "2.csv", "a,b\n3,x\n");
    put(folder.path(), "1.csv", "a,b\n1,y\n2,z\n");
    put(folder.path(), ".hidden.csv", "c\n9\n");
    put(folder.path(), "notes.txt", "x");
    let table = Table::open(folder.path()).unwrap();
    assert_eq!(numbers(&table, &["a"]), [[1.0, 2.0, 3.0]]);
    let texts = table.texts().unwrap();
    assert_eq!((texts.header.join(","), texts.rows[2].join(",")), ("a,b".to_owned(), "3,x".to_owned()));
}

#[test]
fn what_is_no_table_says_what_would_be() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refusal(&folder.path().join("gone.csv")).0, "not_there");
    assert_eq!(refusal(folder.path()).0, "no_file");
    let (kind, message) = refusal(&put(folder.path(), "a.xlsx", "x"));
    assert!(kind == "ending" && message.contains("ends in '.xlsx', expected .csv or .parquet"), "{message}");
    assert_eq!(refusal(&put(folder.path(), "empty.csv", "")).0, "empty");
    let (kind, message) = refusal(&put(folder.path(), "torn.parquet", "PAR1 and then nothing"));
    assert!(kind == "read" && message.contains("torn.parquet cannot be read as a table"), "{message}");
    put(folder.path(), "b.csv", "a\n1\n");
    let (kind, message) = refusal(folder.path());
    assert!(kind == "mixed" && message.contains("2 files that end in .csv and 1 in .parquet"), "{message}");
}

#[test]
fn rows_that_break_off_are_an_error_not_fewer_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (kind, message) = refusal(&put(folder.path(), "a.csv", "a,b\n1,2\n3,4,5\n6\n"));
    assert_eq!(kind, "rows");
    assert!(message.contains("line 3: 3 fields, expected 2") && message.contains("line 4: 1 fields"), "{message}");

    let path = folder.path().join("a.parquet");
    write_parquet(&path, &[Column::new("a", Values::Integers((0..100_000).map(Some).collect()))]).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn[200..whole.len() / 2].fill(0xa5);
    fs::write(&path, torn).unwrap();
    let table = Table::open(&path).unwrap();
    let failed = table.numbers(&["a"]).unwrap().any(|batch| batch.is_err());
    assert!(failed, "damaged pages were read as if nothing had happened");
}

#[test]
fn a_footer_that_promises_more_than_the_file_has_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write_parquet(&path, &[Column::new("a", Values::Integers((0..100_000).map(Some).collect()))]).unwrap();
    let whole = fs::read(&path).unwrap();
    let footer = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize + 8;
    // The footer alone, as of a file whose beginning a copy has lost.
    fs::write(&path, [b"PAR1", &whole[whole.len() - footer..]].concat()).unwrap();
    let error = Table::open(&path).unwrap().numbers(&["a"]).unwrap().find_map(Result::err).unwrap();
    assert!(error.kind() == "read" && error.to_string().contains("the file is damaged"), "{error}");
}

#[test]
fn files_of_a_folder_have_to_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, column: Column| write_parquet(&folder.path().join(name), &[column]).unwrap();
    write("1.parquet", Column::new("part", Values::Integers(vec![Some(1), Some(2)])));
    write("2.parquet", Column::new("part", Values::Integers(vec![Some(3)])));
    let table = Table::open(folder.path()).unwrap();
    assert_eq!((numbers(&table, &["part"]).remove(0), table.rows().unwrap()), (vec![1.0, 2.0, 3.0], 3));

    let refused = || Table::open(folder.path()).unwrap().numbers(&["part"]).unwrap().find_map(Result::err).unwrap();
    write("2.parquet", Column::new("part", Values::Numbers(vec![Some(0.5)])));
    let error = refused();
    let told = "2.parquet cannot be read as a table: column 'part' is float64, expected int64 as in the files before";
    assert!(error.kind() == "read" && error.to_string().contains(told), "{error}");
    write("2.parquet", Column::new("parts", Values::Integers(vec![Some(3)])));
    assert!(refused().to_string().contains("has no column 'part'; did you mean 'parts'?"), "{}", refused());
}

#[test]
fn the_nearest_column_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let table = Table::open(&put(folder.path(), "a.csv", "brightness,label\n1,x\n")).unwrap();
    let error = table.numbers(&["brigtness"]).err().unwrap();
    assert!(error.to_string().contains("has no column 'brigtness'; did you mean 'brightness'?; it has"), "{error}");
    let error = table.numbers(&["label"]).err().unwrap();
    assert!(
        error.to_string().contains("column 'label'") && error.to_string().contains("holds string, expected numbers")
    );
}

#[test]
fn every_kind_of_column_survives_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    let columns = [
        Column::new("flag", Values::Booleans(vec![Some(true), None])),
        Column::new("count", Values::Integers(vec![Some(i64::MIN), None])),
        Column::new("single", Values::Singles(vec![Some(0.1), None])),
        Column::new("double", Values::Numbers(vec![Some(0.1), Some(f64::NEG_INFINITY)])),
        Column::new("text", Values::Texts(vec![Some("ä\n".to_owned()), None])),
        Column::new("time", Values::Times(vec![Some(1_767_571_200_000_000), None])),
    ];
    assert_eq!(write_parquet(&path, &columns).unwrap(), 2);
    let table = Table::open(&path).unwrap();
    let types: Vec<&str> = table.columns().iter().map(|column| column.exact.as_str()).collect();
    assert_eq!(types, ["bool", "int64", "float32", "float64", "string", "datetime[us, UTC]"]);
    let read = numbers(&table, &["single", "double"]);
    assert_eq!((read[0][0], read[0][1].is_nan(), read[1][1]), (f64::from(0.1_f32), true, f64::NEG_INFINITY));
    let texts = table.texts().unwrap();
    assert_eq!(texts.rows[1], ["", "", "", "-inf", "", ""]);
    assert_eq!((texts.rows[0][4].as_str(), &texts.rows[0][5][..19]), ("ä\n", "2026-01-05 00:00:00"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
}

#[test]
fn files_are_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let column = |values: Vec<Option<i64>>| [Column::new("a", Values::Integers(values))];
    let mut file = ParquetFile::create(&path, &column(Vec::new())).unwrap();
    file.write(&column(vec![Some(1), Some(2)])).unwrap();
    let other = [Column::new("b", Values::Integers(vec![Some(1)]))];
    let error = file.write(&other).unwrap_err().to_string();
    assert!(error.contains("found b, expected a"), "{error}");
    assert!(!path.exists());
    drop(file);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut file = ParquetFile::create(&path, &column(Vec::new())).unwrap();
    file.write(&column(vec![Some(1)])).unwrap();
    file.write(&column(vec![None, Some(3)])).unwrap();
    assert_eq!(file.finish().unwrap(), 3);
    assert_eq!(Table::open(&path).unwrap().rows().unwrap(), 3);
    assert!(matches!(ParquetFile::create(&folder.path().join("no/a.parquet"), &[]), Err(TableError::Io { .. })));
}

#[test]
fn more_columns_need_as_many_values_and_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let table = Table::open(&put(folder.path(), "a.csv", "a\n1\n2\n")).unwrap();
    let wider = table.with(&[Column::new("b", Values::Integers(vec![Some(3), Some(4)]))]).unwrap();
    assert_eq!(numbers(&wider, &["b", "a"]), [[3.0, 4.0], [1.0, 2.0]]);
    assert_eq!(wider.columns().iter().map(|column| column.added).collect::<Vec<_>>(), [false, true]);
    for column in [Column::new("b", Values::Integers(vec![None])), Column::new("a", Values::Integers(vec![None; 2]))] {
        assert_eq!(table.with(&[column]).err().unwrap().kind(), "columns");
    }
}

#[test]
fn values_are_counted_the_most_frequent_first() {
    let folder = tempfile::tempdir().unwrap();
    let table = Table::open(&put(folder.path(), "a.csv", "s,n\nb,1\na,2\nb,1\nc,3\n,4\n")).unwrap();
    let counted = table.categories("s", 2).unwrap();
    assert_eq!(counted.counts, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    assert_eq!((counted.others, counted.missing), ((1, 1), 1));
    assert_eq!(table.categories("n", 9).unwrap().counts[0], ("1".to_owned(), 2));

    let path = folder.path().join("a.parquet");
    let texts = ["b", "a", "b", "c"].map(|text| Some(text.to_owned())).into_iter().chain([None]);
    let flags = [Some(true), Some(true), None, Some(false), Some(true)];
    let columns =
        [Column::new("s", Values::Texts(texts.collect())), Column::new("f", Values::Booleans(flags.to_vec()))];
    write_parquet(&path, &columns).unwrap();
    let table = Table::open(&path).unwrap();
    assert_eq!(table.categories("s", 2).unwrap(), Categories { others: (1, 1), ..counted });
    let flags = table.categories("f", 9).unwrap();
    assert_eq!((flags.counts, flags.missing), (vec![("true".to_owned(), 3), ("false".to_owned(), 1)], 1));
}

#[test]
fn whoever_stops_asking_stops_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write_parquet(&path, &[Column::new("a", Values::Integers((0..1_000_000).map(Some).collect()))]).unwrap();
    let table = Table::open(&path).unwrap();
    let first: Batch = table.numbers(&["a"]).unwrap().next().unwrap().unwrap();
    assert!(first.rows() <= 65_536 && first.columns[0][1] == 1.0, "{}", first.rows());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn numbers_come_back_in_order_whatever_the_row_groups(
        sizes in prop::collection::vec(0_usize..3000, 1..5),
        missing in 2_usize..7,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let column = |values| [Column::new("a", Values::Numbers(values))];
        let mut file = ParquetFile::create(&path, &column(Vec::new())).unwrap();
        let mut expected = Vec::new();
        for size in sizes {
            let begin = expected.len();
            let values: Vec<Option<f64>> =
                (begin..begin + size).map(|row| (row % missing != 1).then_some(row as f64)).collect();
            file.write(&column(values.clone())).unwrap();
            expected.extend(values);
        }
        file.finish().unwrap();
        let read = numbers(&Table::open(&path).unwrap(), &["a"]).remove(0);
        let read: Vec<Option<f64>> = read.into_iter().map(|value| (!value.is_nan()).then_some(value)).collect();
        prop_assert_eq!(read, expected);
    }
}
