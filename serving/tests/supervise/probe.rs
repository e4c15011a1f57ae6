//! The parts that are not the test: a supervisor that says on its standard output what it does, and workers that behave
//! as `PROBE_WORKER` says.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use takt_serving::state::{Access, IntentKind, StateDir, UnixMillis, VersionId};
use takt_serving::supervise::{self, Inherited, Listeners, Notice, SupervisorSpec, Watchdog};

pub fn good() -> VersionId {
    VersionId { model: "m".into(), version: 1, digest: "good".into() }
}

pub fn bad() -> VersionId {
    VersionId { model: "m".into(), version: 2, digest: "bad".into() }
}

/// Command line of a child that outlives its worker, told from all others by the supervisor's process id.
pub fn stray_child(supervisor: i32) -> Vec<String> {
    vec!["sleep".into(), format!("600.{supervisor:07}")]
}

pub fn supervisor() -> ExitCode {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = Listeners::bind([("grpc", any_port), ("http", any_port)]).unwrap();
    println!("listening {}", listeners.address("grpc").unwrap());
    let program = std::env::current_exe().unwrap();
    let spec = SupervisorSpec {
        command: Box::new(move || {
            let mut command = Command::new(&program);
            command.env("PROBE_ROLE", "worker");
            command
        }),
        listeners,
        state: state_path().map(|path| StateDir::open(&path, Access::Owner).unwrap()),
        exit_timeout: Duration::from_millis(300),
        grace: Duration::from_millis(200),
        observe: Box::new(|notice| println!("{}", line(notice))),
    };
    let ended = supervise::run(spec).unwrap();
    println!("ended {ended:?}");
    ExitCode::from(ended.exit_code())
}

fn line(notice: &Notice) -> String {
    match notice {
        Notice::Started { pid } => format!("started {pid}"),
        Notice::Ready { pid, outage, .. } => format!("ready {pid} {}", outage.map_or(0, |outage| outage.as_millis())),
        Notice::Died { death, restart_in, .. } => format!("died {} {death:?}", restart_in.as_millis()),
        Notice::Draining { pid, .. } => format!("draining {pid}"),
        Notice::Killed { pid } => format!("killed {pid}"),
        Notice::NotStarted { reason, .. } => format!("not-started {reason}"),
    }
}

pub fn worker() -> ExitCode {
    let mut inherited = Inherited::from_env().unwrap().expect("started as a worker");
    let behaviour = std::env::var("PROBE_WORKER").unwrap();
    match behaviour.as_str() {
        "refuse" => return ExitCode::from(2),
        "crash" => {
            inherited.link.ready().unwrap();
            std::process::abort();
        }
        "crash-with-child" => {
            // Holds every descriptor that it can get hold of.
            let supervisor = rustix::process::getppid().unwrap().as_raw_nonzero().get();
            let [program, argument] = &stray_child(supervisor)[..] else { unreachable!() };
            Command::new(program).arg(argument).spawn().unwrap();
            inherited.link.ready().unwrap();
            std::process::abort();
        }
        "stubborn" => {
            let _ignored = signal_hook::iterator::Signals::new([SIGTERM]).unwrap();
            inherited.link.ready().unwrap();
            loop {
                std::thread::park();
            }
        }
        "load-kills" => load_that_kills(),
        "hang" => run_that_hangs(),
        _ => {}
    }
    serve(&mut inherited)
}

/// Answers every connection with its process id, until it is told to end.
fn serve(inherited: &mut Inherited) -> ExitCode {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM]).unwrap();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            std::process::exit(0);
        }
    });
    let _watch = inherited.link.on_supervisor_gone(|| std::process::exit(0)).unwrap();
    assert!(inherited.listeners.take("http").is_some());
    let listener = inherited.listeners.take("grpc").unwrap();
    inherited.link.ready().unwrap();
    for connection in listener.incoming() {
        let _ = writeln!(connection.unwrap(), "{}", std::process::id());
    }
    ExitCode::FAILURE
}

/// Loading the bad version kills the process; once it is quarantined there is nothing to load.
fn load_that_kills() {
    let dir = StateDir::open(&state_path().unwrap(), Access::Worker).unwrap();
    let journal = dir.journal().unwrap();
    if !journal.is_quarantined(&bad().digest) {
        let _intent =
            journal.open_intent(IntentKind::Load, &bad(), UnixMillis::from(std::time::SystemTime::now())).unwrap();
        std::process::abort();
    }
}

/// A run of the bad version hangs while one of the good version is under way.
fn run_that_hangs() {
    let dir = StateDir::open(&state_path().unwrap(), Access::Worker).unwrap();
    if dir.journal().unwrap().is_quarantined(&bad().digest) {
        return;
    }
    let table = dir.running_table().unwrap();
    let marks = table.clone();
    let watchdog = Watchdog::start(move |hang| marks.mark_hung(&hang.model, hang.version)).unwrap();
    let (mut good_slot, mut bad_slot) = (table.claim().unwrap(), table.claim().unwrap());
    let clock = watchdog.register("m", 2, Duration::from_millis(20));
    good_slot.begin(&good());
    bad_slot.begin(&bad());
    clock.begin();
    loop {
        std::thread::park();
    }
}

fn state_path() -> Option<PathBuf> {
    std::env::var_os("PROBE_STATE").map(PathBuf::from)
}
