//! One operator at a time, by a Lease. Whoever holds it acts only while it may be sure to hold it; what it writes carries its
//! term (the lease's count of transitions), and who reads a later term than its own stops.
//!
//! Expiry is judged by this machine's own clock, from when the lease was last seen to change: the clocks of two machines need not
//! agree.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::hands::ClusterError;

/// How a lease is held.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Where the lease is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are: unique among processes, also among restarts of the same pod.
    pub identity: String,
    /// After so long without a sign of life another may take over.
    pub expires: Duration,
    /// How often a sign of life is given.
    pub renew: Duration,
}

/// What is known of the lease by whoever acts under it.
#[derive(Debug, Clone)]
pub struct Leadership {
    held: watch::Receiver<Option<Held>>,
}

/// A term that is surely ours until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The number of the term.
    pub term: i64,
    until: Instant,
}

/// What a candidate for leadership has seen.
#[derive(Debug, Clone, Default)]
struct Watched {
    version: Option<String>,
    since: Option<Instant>,
}

/// What to do about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Move {
    /// There is none: create it.
    Create,
    /// It is ours: renew it under this term.
    Renew(i64),
    /// It is nobody's, or its holder is gone: take it under this term.
    Take(i64),
    /// It is another's.
    Wait,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            name: "takt-operator".to_owned(),
            identity: String::new(),
            expires: Duration::from_secs(15),
            renew: Duration::from_secs(4),
        }
    }
}

impl Leadership {
    /// What the election says.
    #[must_use]
    pub fn new(held: watch::Receiver<Option<Held>>) -> Self {
        Self { held }
    }

    /// One that is always held: for tests, and where nobody else can be.
    #[must_use]
    pub fn always(term: i64) -> Self {
        let until = Instant::now() + Duration::from_secs(10 * 365 * 86_400);
        Self { held: watch::channel(Some(Held { term, until })).1 }
    }

    /// The term, if it is surely ours at this moment.
    #[must_use]
    pub fn term(&self) -> Option<i64> {
        self.held.borrow().filter(|held| Instant::now() < held.until).map(|held| held.term)
    }

    /// Waits until it is ours; `None` where nobody elects any more.
    pub async fn won(&mut self) -> Option<i64> {
        let held = self.held.wait_for(Option::is_some).await.ok()?;
        held.map(|held| held.term)
    }

    /// Waits until that term is ours no more.
    pub async fn lost(&mut self, term: i64) {
        // A closed channel is lost too.
        let _ = self.held.wait_for(|held| held.is_none_or(|held| held.term != term)).await;
    }
}

/// Stands for election until told to stop, and then gives the lease back, so that another need not wait.
pub async fn stand(client: Client, terms: Terms, stop: impl Future<Output = ()>, held: watch::Sender<Option<Held>>) {
    let api: Api<Lease> = Api::namespaced(client, &terms.namespace);
    let mut watched = Watched::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let began = Instant::now();
        // An API server that takes longer than the lease lasts might as well not answer.
        let attempt = tokio::time::timeout(terms.expires / 3, attempt(&api, &terms, &mut watched)).await;
        match attempt.unwrap_or(Err(ClusterError::Late)) {
            Ok(Some(term)) => {
                // Counted from before the request: nobody else counts from earlier. A third is kept for what is on its way.
                let until = began + terms.expires / 3 * 2;
                if held.borrow().is_none_or(|held| held.term != term) {
                    info!(term, identity = terms.identity, "leads");
                }
                held.send_replace(Some(Held { term, until }));
            }
            Ok(None) => lose(&held, "another operator leads"),
            Err(error) => {
                warn!(%error, "the lease can't be renewed");
                if held.borrow().is_some_and(|held| Instant::now() >= held.until) {
                    lose(&held, "the lease ran out");
                }
            }
        }
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(terms.renew) => {}
        }
    }
    let leads = held.borrow().is_some();
    held.send_replace(None);
    if leads && let Err(error) = release(&api, &terms).await {
        warn!(%error, "the lease can't be given back; another operator waits until it runs out");
    }
}

fn lose(held: &watch::Sender<Option<Held>>, why: &str) {
    if held.borrow().is_some() {
        warn!(why, "leads no more");
        held.send_replace(None);
    }
}

/// One attempt; the term, if it is ours afterwards.
async fn attempt(api: &Api<Lease>, terms: &Terms, watched: &mut Watched) -> Result<Option<i64>, ClusterError> {
    let found = api.get_opt(&terms.name).await?;
    let next = next_move(found.as_ref(), terms, watched, Instant::now());
    let (term, lease) = match (next, found) {
        (Move::Wait, _) => return Ok(None),
        (Move::Create, _) | (_, None) => (1, lease(terms, None, 1)),
        (Move::Renew(term) | Move::Take(term), Some(found)) => (term, lease(terms, Some(found), term)),
    };
    // Of two who try at once one is refused: it had read an older version.
    let written = if lease.metadata.resource_version.is_some() {
        api.replace(&terms.name, &PostParams::default(), &lease).await
    } else {
        api.create(&PostParams::default(), &lease).await
    };
    match written.map_err(ClusterError::from) {
        Ok(_) => Ok(Some(term)),
        Err(ClusterError::Conflict | ClusterError::Gone) => Ok(None),
        Err(error) => Err(error),
    }
}

fn next_move(found: Option<&Lease>, terms: &Terms, watched: &mut Watched, now: Instant) -> Move {
    let Some(lease) = found else { return Move::Create };
    let spec = lease.spec.clone().unwrap_or_default();
    let transitions = i64::from(spec.lease_transitions.unwrap_or(0));
    let holder = spec.holder_identity.unwrap_or_default();
    if holder == terms.identity {
        return Move::Renew(transitions);
    }
    if watched.version != lease.metadata.resource_version {
        *watched = Watched { version: lease.metadata.resource_version.clone(), since: Some(now) };
    }
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let expires = seconds.map_or(terms.expires, Duration::from_secs);
    let expired = watched.since.is_some_and(|since| now.duration_since(since) >= expires);
    if holder.is_empty() || expired { Move::Take(transitions + 1) } else { Move::Wait }
}

fn lease(terms: &Terms, found: Option<Lease>, term: i64) -> Lease {
    let mut lease = found.unwrap_or_else(|| Lease {
        metadata: ObjectMeta { name: Some(terms.name.clone()), ..ObjectMeta::default() },
        spec: None,
    });
    let now = MicroTime(Timestamp::now());
    let before = lease.spec.take().unwrap_or_default();
    let same = before.holder_identity.as_deref() == Some(&terms.identity);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(terms.identity.clone()),
        lease_transitions: Some(i32::try_from(term).unwrap_or(i32::MAX)),
        lease_duration_seconds: Some(i32::try_from(terms.expires.as_secs().max(1)).unwrap_or(i32::MAX)),
        acquire_time: if same { before.acquire_time.clone() } else { Some(now.clone()) },
        renew_time: Some(now),
        ..before
    });
    lease
}

async fn release(api: &Api<Lease>, terms: &Terms) -> Result<(), ClusterError> {
    let Some(mut lease) = api.get_opt(&terms.name).await? else { return Ok(()) };
    let spec = lease.spec.get_or_insert_default();
    if spec.holder_identity.as_deref() != Some(&terms.identity) {
        return Ok(());
    }
    spec.holder_identity = Some(String::new());
    api.replace(&terms.name, &PostParams::default(), &lease).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(identity: &str) -> Terms {
        Terms { identity: identity.to_owned(), ..Terms::default() }
    }

    fn held_by(identity: &str, version: &str, transitions: i64) -> Lease {
        let mut lease = lease(&terms(identity), None, transitions);
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn a_lease_is_anothers_until_it_has_not_changed_for_its_duration() {
        let (mut watched, start) = (Watched::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (me, theirs) = (terms("b"), held_by("a", "1", 4));
        assert_eq!(next_move(Some(&theirs), &me, &mut watched, at(0)), Move::Wait);
        assert_eq!(next_move(Some(&theirs), &me, &mut watched, at(14)), Move::Wait);
        let renewed = held_by("a", "2", 4);
        assert_eq!(next_move(Some(&renewed), &me, &mut watched, at(16)), Move::Wait, "a sign of life");
        assert_eq!(next_move(Some(&renewed), &me, &mut watched, at(31)), Move::Take(5));
    }

    #[test]
    fn our_own_lease_is_renewed_under_its_term_and_one_given_back_is_taken_at_once() {
        let now = Instant::now();
        let ours = held_by("b", "1", 7);
        assert_eq!(next_move(Some(&ours), &terms("b"), &mut Watched::default(), now), Move::Renew(7));
        let mut free = held_by("a", "1", 7);
        free.spec.get_or_insert_default().holder_identity = Some(String::new());
        assert_eq!(next_move(Some(&free), &terms("b"), &mut Watched::default(), now), Move::Take(8));
        assert_eq!(next_move(None, &terms("b"), &mut Watched::default(), now), Move::Create);
    }

    #[test]
    fn who_cannot_be_sure_to_lead_does_not() {
        let past = Held { term: 3, until: Instant::now() };
        let leadership = Leadership { held: watch::channel(Some(past)).1 };
        assert_eq!(leadership.term(), None);
        assert_eq!(Leadership::always(3).term(), Some(3));
    }
}
