//! The tests.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use takt_serving::state::{Access, StateDir, UnixMillis};

use crate::probe::{bad, good, stray_child};
use crate::stage::{Stage, children, command_lines, send, status, within};

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every test, by name.
        pub const ALL: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
}

cases![
    a_killed_worker_is_replaced_and_no_connection_is_refused_meanwhile,
    a_crash_loop_is_slowed_down_and_can_still_be_stopped,
    sigterm_drains_the_worker_and_ends_with_zero,
    a_worker_that_ignores_sigterm_is_killed_after_its_time,
    a_second_interrupt_does_not_wait,
    a_refused_configuration_is_passed_on_and_not_tried_again,
    a_worker_whose_supervisor_is_killed_ends_and_frees_the_port,
    a_version_that_kills_the_process_while_it_is_loaded_is_tried_once,
    a_hung_run_ends_the_worker_and_only_its_version_is_quarantined,
    a_second_supervisor_is_kept_out_of_the_state_directory,
    many_deaths_leave_no_zombie_no_stray_child_no_thread_and_no_open_file,
    the_supervisor_is_small,
];

fn a_killed_worker_is_replaced_and_no_connection_is_refused_meanwhile() {
    let mut stage = Stage::new("serve");
    let first = stage.ready();
    assert_eq!(stage.ask(), Some(first));
    send(first, Signal::KILL);
    within("another worker answers", || stage.ask().is_some_and(|pid| pid != first));
    assert_eq!(stage.expect("died"), ["0", "Signal(9)"]);
    let outage: u64 = stage.expect("ready")[1].parse().unwrap();
    println!("  death to ready: {outage} ms");
    assert!(outage < 3000, "{outage} ms");
}

fn a_crash_loop_is_slowed_down_and_can_still_be_stopped() {
    let begun = Instant::now();
    let mut stage = Stage::new("crash");
    for wait in ["0", "100", "200", "400", "800"] {
        assert_eq!(stage.expect("died"), [wait, "Signal(6)"]);
    }
    assert!(begun.elapsed() >= Duration::from_millis(700));
    // Also in the middle of a wait, which by now is 1.6 s long.
    stage.expect("died");
    let told = Instant::now();
    stage.signal(Signal::TERM);
    assert_eq!(stage.wait().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
}

fn sigterm_drains_the_worker_and_ends_with_zero() {
    let mut stage = Stage::new("serve");
    let worker = stage.ready();
    stage.signal(Signal::TERM);
    assert_eq!(stage.wait().code(), Some(0));
    assert_eq!(stage.expect("draining"), [worker.to_string()]);
    assert_eq!(stage.expect("ended"), ["Drained"]);
    assert_eq!(status(worker, "Pid"), None);
}

fn a_worker_that_ignores_sigterm_is_killed_after_its_time() {
    let mut stage = Stage::new("stubborn");
    let worker = stage.ready();
    let told = Instant::now();
    stage.signal(Signal::TERM);
    stage.signal(Signal::TERM);
    assert_eq!(stage.wait().code(), Some(1));
    assert!(told.elapsed() >= Duration::from_millis(500));
    assert_eq!(stage.expect("killed"), [worker.to_string()]);
    assert_eq!(status(worker, "Pid"), None);
}

fn a_second_interrupt_does_not_wait() {
    let mut stage = Stage::new("stubborn");
    stage.ready();
    let told = Instant::now();
    stage.signal(Signal::INT);
    stage.expect("draining");
    stage.signal(Signal::INT);
    assert_eq!(stage.wait().code(), Some(1));
    assert!(told.elapsed() < Duration::from_millis(500), "{:?}", told.elapsed());
}

fn a_refused_configuration_is_passed_on_and_not_tried_again() {
    let mut stage = Stage::new("refuse");
    assert_eq!(stage.wait().code(), Some(2));
    stage.expect("started");
    assert_eq!(stage.expect("ended"), ["Refused(2)"]);
}

fn a_worker_whose_supervisor_is_killed_ends_and_frees_the_port() {
    let mut stage = Stage::new("serve");
    let worker = stage.ready();
    stage.signal(Signal::KILL);
    assert_eq!(stage.wait().signal(), Some(9));
    within("the worker ends", || status(worker, "State").is_none_or(|state| state.starts_with('Z')));
    // Not at once: another test may have been given the port meanwhile.
    within("the port is free", || TcpStream::connect(stage.address).is_err());
}

fn a_version_that_kills_the_process_while_it_is_loaded_is_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::with_state("load-kills", dir.path());
    assert_eq!(stage.expect("died"), ["0", "Signal(6)"]);
    let worker = stage.ready();
    assert_eq!(stage.ask(), Some(worker));
    drop(stage);
    let journal = StateDir::open(dir.path(), Access::Owner).unwrap().journal().unwrap();
    assert!(journal.is_quarantined(&bad().digest) && journal.open_intents().is_empty());
}

fn a_hung_run_ends_the_worker_and_only_its_version_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path(), Access::Owner).unwrap();
    state.journal().unwrap().set_last_good(&good(), UnixMillis::from(std::time::SystemTime::now())).unwrap();
    drop(state);
    let mut stage = Stage::with_state("hang", dir.path());
    assert_eq!(stage.expect("died"), ["0", "Watchdog"]);
    stage.ready();
    drop(stage);
    let journal = StateDir::open(dir.path(), Access::Owner).unwrap().journal().unwrap();
    assert!(journal.is_quarantined(&bad().digest) && !journal.is_quarantined(&good().digest));
}

fn a_second_supervisor_is_kept_out_of_the_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::with_state("serve", dir.path());
    stage.ready();
    let error = StateDir::open(dir.path(), Access::Owner).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", stage.pid())), "{error}");
}

fn many_deaths_leave_no_zombie_no_stray_child_no_thread_and_no_open_file() {
    let mut stage = Stage::new("crash-with-child");
    let pid = stage.pid();
    // Main thread and signals: no worker, none of its threads.
    let quiet = || children(pid).is_empty() && status(pid, "Threads").as_deref() == Some("2");
    // Open files, and whether a child of a worker that died is left: seen while no worker lives.
    let at_rest = || {
        let mut seen = (0, false);
        within("a pause between two workers", || {
            let before = quiet();
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
            seen = (files, command_lines().contains(&stray_child(pid)));
            before && quiet()
        });
        seen
    };
    for _ in 0..4 {
        stage.expect("died");
    }
    let (files, _) = at_rest();
    for _ in 0..2 {
        stage.expect("died");
    }
    assert_eq!(at_rest().0, files);
    within("no child is left", || !at_rest().1);
}

fn the_supervisor_is_small() {
    let mut stage = Stage::new("serve");
    stage.ready();
    let resident = status(stage.pid(), "VmRSS").unwrap();
    println!("  resident: {resident}");
    let kilobytes: u64 = resident.split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 8 * 1024, "{resident}");
}
