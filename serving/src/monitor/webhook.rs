//! Alerts to a webhook: a thread that stores what turned, sends it, and tries again.
//!
//! Nothing waits for it. HTTP without TLS: receivers are on the line's own network, or behind a proxy there.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use takt_monitoring::DiskError;
use takt_monitoring::alert::Turned;
use takt_monitoring::events::UnixMillis;
use takt_monitoring::notify::{Origin, Queue, message, wait};

use super::config::WebhookSettings;

/// Messages that may wait to be stored; a pane makes one at most.
const WAITING: usize = 64;

/// Longest sleep while there is nothing to send.
const IDLE: Duration = Duration::from_secs(3600);

/// Handle to the thread, which ends with it.
pub(super) struct Webhook {
    origin: Origin,
    /// `None` once it is being dropped.
    messages: Option<SyncSender<Vec<u8>>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What became of messages since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WebhookReport {
    /// Waiting to be delivered.
    pub waiting: u64,
    /// Delivered.
    pub delivered: u64,
    /// Refused by the receiver with a status that says not to try again.
    pub refused: u64,
    /// Lost: they made room for others, or the disk refused.
    pub dropped: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Why the last attempt failed; none after one that did not.
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    last_error: RwLock<Option<String>>,
}

/// How an attempt ended that the receiver heard of.
enum Answer {
    Taken,
    Refused(u16),
}

impl Webhook {
    /// Starts the thread; what waits in `root` from an earlier life is sent first. Without the queue or the thread there
    /// is no webhook, which is said.
    pub(super) fn start(settings: &WebhookSettings, root: &Path) -> Option<Self> {
        let off = |error: &dyn std::fmt::Display| tracing::error!(%error, "the webhook is off");
        let (queue, dropped) =
            Queue::open(&root.join("webhook"), settings.max_messages).inspect_err(|error| off(error)).ok()?;
        let shared = Arc::new(Shared::default());
        shared.dropped.fetch_add(dropped.0 as u64, Relaxed);
        let (messages, inbox) = sync_channel(WAITING);
        let sender = Sender::new(settings, queue, inbox, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("takt-webhook".into()).spawn(move || sender.run());
        let thread = thread.inspect_err(|error| off(error)).ok()?;
        let origin = Origin { instance: settings.instance.clone(), receiver: "takt".to_owned() };
        Some(Self { origin, messages: Some(messages), shared, thread: Some(thread) })
    }

    /// Hands over what turned at the end of a pane. Never waits.
    pub(super) fn tell(&self, turned: &[Turned], at: UnixMillis) {
        let Some(messages) = self.messages.as_ref().filter(|_| !turned.is_empty()) else { return };
        if messages.try_send(message(turned, at, &self.origin)).is_err() {
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// What became of messages.
    pub(super) fn report(&self) -> WebhookReport {
        let Shared { waiting, delivered, refused, dropped, failures, last_error } = &*self.shared;
        WebhookReport {
            waiting: waiting.load(Relaxed),
            delivered: delivered.load(Relaxed),
            refused: refused.load(Relaxed),
            dropped: dropped.load(Relaxed),
            failures: failures.load(Relaxed),
            last_error: last_error.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.messages = None;
        // At most as long as an attempt may take.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the webhook's thread panicked; please report this");
        }
    }
}

/// The thread's own.
struct Sender {
    url: String,
    agent: ureq::Agent,
    queue: Queue,
    inbox: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    /// Attempts that failed since one did not.
    failed: u32,
    next: Instant,
}

impl Sender {
    fn new(settings: &WebhookSettings, queue: Queue, inbox: Receiver<Vec<u8>>, shared: Arc<Shared>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // Receivers are near; what the environment says is for the way out of the plant.
            .proxy(None)
            .user_agent(concat!("takt/", env!("CARGO_PKG_VERSION")))
            .build();
        let (url, agent) = (settings.url.clone(), config.into());
        Self { url, agent, queue, inbox, shared, failed: 0, next: Instant::now() }
    }

    fn run(mut self) {
        loop {
            self.shared.waiting.store(self.queue.len() as u64, Relaxed);
            let sleep = match self.queue.is_empty() {
                true => IDLE,
                false => self.next.saturating_duration_since(Instant::now()),
            };
            match self.inbox.recv_timeout(sleep) {
                Ok(message) => self.store(&message),
                Err(RecvTimeoutError::Timeout) if !self.queue.is_empty() => self.attempt(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn store(&mut self, message: &[u8]) {
        match self.queue.push(message) {
            Ok(dropped) => self.shared.dropped.fetch_add(dropped.0 as u64, Relaxed),
            Err(error) => {
                tracing::warn!(%error, "an alert can't be stored for the webhook and is lost there");
                self.shared.dropped.fetch_add(1, Relaxed)
            }
        };
    }

    fn attempt(&mut self) {
        match self.deliver() {
            Ok(answer) => {
                match answer {
                    Answer::Taken => self.shared.delivered.fetch_add(1, Relaxed),
                    Answer::Refused(status) => {
                        tracing::warn!(status, url = self.url, "the webhook refuses an alert; it is not sent again");
                        self.shared.refused.fetch_add(1, Relaxed)
                    }
                };
                if let Err(error) = self.queue.pop() {
                    self.note(&error);
                }
                self.failed = 0;
                self.say(None);
                self.next = Instant::now();
            }
            Err(why) => {
                self.shared.failures.fetch_add(1, Relaxed);
                self.failed = self.failed.saturating_add(1);
                if self.failed == 1 {
                    tracing::warn!(url = self.url, why, "the webhook can't be reached; alerts wait on the disk");
                }
                self.say(Some(why));
                let random = ulid::Ulid::new().random() as u64;
                self.next = Instant::now() + wait(self.failed, random);
            }
        }
    }

    /// Sends the oldest message.
    fn deliver(&mut self) -> Result<Answer, String> {
        let Some(body) = self.queue.first().map_err(|error| error.to_string())? else { return Ok(Answer::Taken) };
        let sent = self.agent.post(&self.url).content_type("application/json").send(&body[..]);
        match sent.map_err(|error| error.to_string())?.status().as_u16() {
            200..=299 => Ok(Answer::Taken),
            // Too busy, or too slow: that may pass.
            status @ (408 | 429 | 500..=599) => Err(format!("it answers with status {status}")),
            status => Ok(Answer::Refused(status)),
        }
    }

    fn say(&self, error: Option<String>) {
        *self.shared.last_error.write().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn note(&self, error: &DiskError) {
        tracing::warn!(%error, "an alert that was delivered can't be removed; it is sent again after a restart");
    }
}
