//! Supervisor and worker as real processes: killed, hung, refused, orphaned.
//!
//! This binary plays all the parts. Without `PROBE_ROLE` it is the tests; the tests start it again as a supervisor, which
//! starts it again as workers. So it brings its own small test runner, which speaks the part of libtest's command line that
//! cargo and nextest use.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of it is test code, and its parts speak over standard output"
)]

mod cases;
mod probe;
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::var("PROBE_ROLE").as_deref() {
        Ok("supervisor") => probe::supervisor(),
        Ok("worker") => probe::worker(),
        _ => tests(),
    }
}

fn tests() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        // None is ignored by default.
        for (name, _) in cases::ALL.iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |test: &str| {
        let fits = |name: &&String| {
            if has("--exact") { test == **name } else { test.contains(name.as_str()) }
        };
        names.is_empty() || names.iter().any(fits)
    };
    let mut failed = 0;
    for (name, case) in cases::ALL.iter().filter(|(name, _)| wanted(name)) {
        let passed = catch_unwind(AssertUnwindSafe(case)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed.min(1))
}
