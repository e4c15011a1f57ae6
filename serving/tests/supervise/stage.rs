//! A supervisor under test, and the means to see what it does. Nothing waits longer than [`PATIENCE`].

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Killed when dropped, so that a failed test leaves nothing behind.
pub struct Stage {
    child: Child,
    lines: Receiver<String>,
    pub address: SocketAddr,
}

impl Stage {
    pub fn new(behaviour: &str) -> Self {
        Self::start(behaviour, None)
    }

    pub fn with_state(behaviour: &str, state: &Path) -> Self {
        Self::start(behaviour, Some(state))
    }

    fn start(behaviour: &str, state: Option<&Path>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("PROBE_ROLE", "supervisor").env("PROBE_WORKER", behaviour).stdout(Stdio::piped());
        if let Some(path) = state {
            command.env("PROBE_STATE", path);
        }
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                if line.is_err() || sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut stage = Self { child, lines, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        stage.address = stage.expect("listening")[0].parse().unwrap();
        stage
    }

    /// The words after `word` on the next line that begins with it; other lines are passed over.
    pub fn expect(&mut self, word: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("the supervisor never said {word:?}"));
            let mut words = line.split(' ').map(str::to_owned);
            if words.next().as_deref() == Some(word) {
                return words.collect();
            }
        }
    }

    pub fn ready(&mut self) -> i32 {
        self.expect("ready")[0].parse().unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        within("the supervisor ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Connects and reads who answered; the connection itself must always be accepted.
    pub fn ask(&self) -> Option<i32> {
        let mut stream = TcpStream::connect(self.address).expect("the port accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        // A worker that dies resets what it had accepted.
        stream.read_to_string(&mut answer).ok()?;
        answer.trim().parse().ok()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub fn within(what: &str, mut happens: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happens() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A figure of `/proc/<pid>/status`; `None` once the process is gone.
pub fn status(pid: i32, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The arguments of every process, zombies excluded (they have none).
pub fn command_lines() -> Vec<Vec<String>> {
    let read = |id| std::fs::read_to_string(format!("/proc/{id}/cmdline")).ok();
    let split = |line: String| line.split_terminator('\0').map(str::to_owned).collect();
    processes().filter_map(read).map(split).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Process ids whose parent is `pid`, zombies included.
pub fn children(pid: i32) -> Vec<i32> {
    processes().filter(|&id| status(id, "PPid").is_some_and(|parent| parent == pid.to_string())).collect()
}
