//! Writes a large table, validates it, reads it through. By hand.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "by hand")]
use std::path::Path;
use std::time::Instant;
use takt_tables::validate::{Suite, validate};
use takt_tables::{Column, ParquetFile, Table, Values};

fn columns(begin: u64, rows: u64) -> Vec<Column> {
    let unit = |row: u64, column: u64| {
        let mut x =
            (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ column.wrapping_mul(0xd1b5_4a32_d192_ed03)).wrapping_add(1);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut all: Vec<Column> = (0..7)
        .map(|c| {
            Column::new(format!("x{c}"), Values::Numbers((begin..begin + rows).map(|r| Some(unit(r, c))).collect()))
        })
        .collect();
    all.push(Column::new("part", Values::Integers((begin..begin + rows).map(|r| Some(r as i64)).collect())));
    all.push(Column::new(
        "station",
        Values::Texts((begin..begin + rows).map(|r| Some(format!("S{}", r % 7))).collect()),
    ));
    all.push(Column::new(
        "label",
        Values::Texts(
            (begin..begin + rows)
                .map(|r| Some(["ok", "dent", "scratch"][(unit(r, 9) * 3.0) as usize].to_owned()))
                .collect(),
        ),
    ));
    all
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (what, path) = (args.next().unwrap(), args.next().unwrap());
    let begun = Instant::now();
    match what.as_str() {
        "write" => {
            let rows: u64 = args.next().unwrap().parse().unwrap();
            let mut file = ParquetFile::create(Path::new(&path), &columns(0, 0)).unwrap();
            let mut begin = 0;
            while begin < rows {
                let n = (rows - begin).min(131_072);
                file.write(&columns(begin, n)).unwrap();
                begin += n;
            }
            file.finish().unwrap();
        }
        "validate" => {
            let suite = Suite::read(Path::new(&args.next().unwrap())).unwrap();
            let report = validate(&Table::open(Path::new(&path)).unwrap(), &suite).unwrap();
            println!("{}", report.render_table());
        }
        "numbers" => {
            let table = Table::open(Path::new(&path)).unwrap();
            let names: Vec<String> = (0..7).map(|c| format!("x{c}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut sums = vec![0.0; 7];
            for batch in table.numbers(&names).unwrap() {
                for (sum, column) in sums.iter_mut().zip(&batch.unwrap().columns) {
                    *sum += column.iter().sum::<f64>();
                }
            }
            println!("{sums:?}");
        }
        _ => println!("{:?}", Table::open(Path::new(&path)).unwrap().categories("station", 10).unwrap()),
    }
    println!("{:.2} s", begun.elapsed().as_secs_f64());
}
