//! Causes over tables.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Cameras, shifts and classes; camera c2 sees 40 where the others see 98 (DRIFT golden).
fn write(folder: &Path) -> PathBuf {
    let mut text = "cam,shift,class,expected,came\n".to_owned();
    for cam in ["c1", "c2", "c3"] {
        for shift in ["early", "late"] {
            for class in ["ok", "dent"] {
                let came = if cam == "c2" { 40 } else { 98 };
                text += &format!("{cam},{shift},{class},100,{came}\n");
            }
        }
    }
    let path = folder.join("parts.csv");
    fs::write(&path, text).unwrap();
    path
}

fn seek(path: &Path, dimensions: &[&str], method: Method) -> Result<CauseReport, RootCauseError> {
    let (expected, came) = (Amount::Sum("expected".to_owned()), Amount::Sum("came".to_owned()));
    let sides = Sides::Columns { data: path, measure: [&expected, &came], per: None };
    let dimensions: Vec<String> = dimensions.iter().map(|name| (*name).to_owned()).collect();
    Ok(root_cause(&sides, &dimensions, method, &AtomicBool::new(false))?.unwrap())
}

#[test]
fn the_camera_that_fell_is_named_with_the_papers_figures() {
    let folder = tempfile::tempdir().unwrap();
    let report = seek(&write(folder.path()), &["cam", "shift", "class"], Method::Auto).unwrap();
    let Causes::Adtributor(causes) = &report.causes else { panic!("{report:?}") };
    assert_eq!((causes.len(), causes[0].dimension.as_str(), causes[0].elements[0].element.as_str()), (1, "cam", "c2"));
    assert!((causes[0].surprise - 0.013_593_482_497_109_621).abs() < 1e-12, "{causes:?}");
    assert!((causes[0].explanatory_power - 0.9375).abs() < 1e-12);
    let text = report.render();
    assert!(text.contains("came: 1200 expected, 944 came (-21.3 %)") && text.contains("94 %"), "{text}");
}

#[test]
fn two_tables_of_parts_are_compared_by_their_rates() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, defects: [usize; 2]| {
        let row = |station: usize, part: usize| {
            let verdict = if part < defects[station] { "defect" } else { "good" };
            format!("s{station},{verdict}\n")
        };
        let rows = (0..2).flat_map(|station| (0..100).map(move |part| row(station, part))).collect::<String>();
        let path = folder.path().join(name);
        fs::write(&path, format!("station,verdict\n{rows}")).unwrap();
        path
    };
    let (before, now) = (write("a.csv", [4, 4]), write("b.csv", [4, 24]));
    let (measure, per) = (Amount::parse("verdict=defect"), Amount::Rows);
    let sides = Sides::Tables { reference: &before, current: &now, measure: &measure, per: Some(&per) };
    let stop = AtomicBool::new(false);
    let report = root_cause(&sides, &["station".to_owned()], Method::Auto, &stop).unwrap().unwrap();
    assert_eq!((report.forecast, report.actual), (0.04, 0.14));
    let Causes::Adtributor(causes) = &report.causes else { panic!("{report:?}") };
    assert_eq!(causes[0].elements[0].element, "s1");
    let error = root_cause(&sides, &["station".to_owned()], Method::Riskloc, &stop).unwrap_err().to_string();
    assert!(error.contains("verdict=defect per rows is a rate"), "{error}");
}

#[test]
fn what_is_missing_or_twice_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let told = |dimensions: &[&str]| seek(&path, dimensions, Method::Auto).unwrap_err().to_string();
    assert!(told(&["camm"]).contains("did you mean 'cam'?"));
    assert!(told(&["cam", "cam"]).contains("'cam' twice"));
    assert!(told(&[]).contains("1 to 16"));
}
