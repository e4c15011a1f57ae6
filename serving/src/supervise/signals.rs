//! Signals as events: SIGTERM and SIGINT for ending, SIGCHLD for children.

use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::{Event, SuperviseError};

/// Forwards signals as events until dropped.
pub(super) struct SignalThread {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalThread {
    pub(super) fn start(events: SyncSender<Event>) -> Result<Self, SuperviseError> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGCHLD]).map_err(SuperviseError::system("handle signals"))?;
        let handle = signals.handle();
        let thread = thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    if events.send(Event::Signal(signal)).is_err() {
                        return;
                    }
                }
            })
            .map_err(SuperviseError::system("handle signals"))?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
        // If it waits to send, it waits for a receiver that is already gone.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
