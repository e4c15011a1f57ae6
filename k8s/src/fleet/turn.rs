//! What one decision goes through, in order.

use std::collections::BTreeSet;

use takt_artifact::time::UnixMillis;

use super::cause::{Cause, CauseKind, Course, Hold};
use super::decide::{Decision, Do, Order};
use super::device::{Device, Heard, Seen, Standing};
use super::evidence::{Pooled, pool};
use super::{Fleet, Want, Wish};

pub(super) struct Turn<'a> {
    want: &'a Want,
    now: UnixMillis,
    next: Fleet,
    orders: Vec<Order>,
    pooled: Vec<Pooled>,
    /// Devices that said at this look that they may begin.
    free: BTreeSet<String>,
    /// Devices that are selected and said nothing.
    silent: BTreeSet<String>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(want: &'a Want, fleet: &Fleet, now: UnixMillis) -> Self {
        let (next, orders, pooled) = (fleet.clone(), Vec::new(), Vec::new());
        Self { want, now, next, orders, pooled, free: BTreeSet::new(), silent: BTreeSet::new() }
    }

    pub(super) fn take(mut self, seen: &[Seen]) -> Decision {
        self.look(seen);
        self.pooled = pool(&self.want.plan, self.next.devices.values());
        if self.next.goal != self.want.goal && !self.going_back() {
            self.change();
        }
        match self.next.course.clone() {
            Course::Rolling | Course::Held(_) => match self.must_go() {
                Some(cause) => self.next.course = Course::Aborting(cause),
                None => self.go(),
            },
            Course::Aborting(_) | Course::RolledBack(_) | Course::Degraded(_) | Course::Succeeded => {}
        }
        if let Course::Aborting(cause) = self.next.course.clone() {
            self.go_back(&cause);
        }
        let stale = self.stale();
        let why = self.why();
        Decision { next: self.next, orders: self.orders, pooled: self.pooled, stale, why }
    }

    fn going_back(&self) -> bool {
        matches!(self.next.course, Course::Aborting(_))
    }

    /// Takes in what was seen; devices that were not selected any more are remembered.
    fn look(&mut self, seen: &[Seen]) {
        self.next.devices.values_mut().for_each(|device| device.listed = false);
        let new = seen.iter().map(|seen| seen.device.as_str()).filter(|name| !self.next.devices.contains_key(*name));
        let mut new: Vec<&str> = new.collect();
        new.sort_unstable();
        new.dedup();
        if self.next.devices.is_empty() {
            for (name, wave) in self.want.waves.assign(self.want.seed, new) {
                self.next.devices.insert(name.to_owned(), Device::new(wave));
            }
        } else {
            // Who comes later comes last.
            let last = self.want.waves.last();
            self.next.devices.extend(new.into_iter().map(|name| (name.to_owned(), Device::new(last))));
        }
        let again = self.again();
        for Seen { device: name, heard } in seen {
            if let Some(device) = self.next.devices.get_mut(name) {
                device.hear(heard, again, self.now);
            }
            match heard {
                Heard::Silent(_) => drop(self.silent.insert(name.clone())),
                // One that was tried before may begin too.
                Heard::Free | Heard::Rollout(_) => drop(self.free.insert(name.clone())),
                Heard::Serves | Heard::NotYet(_) => {}
            }
        }
    }

    /// Whether what was taken back before may be tried again: a person asks for it, or it was taken back for a change of the plan.
    fn again(&self) -> bool {
        self.want.attempt > 0 || self.next.restarts > 0
    }

    /// What is wanted is another: what is under way goes back, and then it begins anew.
    fn change(&mut self) {
        if self.next.at_work().next().is_some() {
            let text = "what is wanted changed under way: every device goes back, and the rollout begins anew";
            self.next.course = Course::Aborting(Cause::new(CauseKind::Changed, text));
        } else {
            self.begin_anew(0);
        }
    }

    /// `restarts` above 0 says that devices went back because of the change and not because of the candidate.
    fn begin_anew(&mut self, restarts: u32) {
        self.next.restarts = restarts;
        (self.next.wave, self.next.through, self.next.paused) = (0, None, false);
        (self.next.goal, self.next.attempt) = (self.want.goal.clone(), self.want.attempt);
        let names: Vec<String> = self.next.devices.keys().cloned().collect();
        for (name, wave) in self.want.waves.assign(self.want.seed, names.iter().map(String::as_str)) {
            if let Some(device) = self.next.devices.get_mut(name) {
                device.reset(wave);
            }
        }
        self.pooled = pool(&self.want.plan, self.next.devices.values());
        self.next.course = Course::Rolling;
    }

    /// Whether all go back.
    fn must_go(&self) -> Option<Cause> {
        match self.want.wish {
            Wish::Abort => return Some(Cause::new(CauseKind::Person, "a person aborted it")),
            Wish::Leave => return Some(Cause::new(CauseKind::Deleted, "the rollout is being deleted")),
            Wish::Go | Wish::Pause => {}
        }
        if let Some(pooled) = self.pooled.iter().find(|pooled| pooled.rejects()) {
            let text = format!(
                "all devices together reject it: {}, log e-value {:.2}, {:.2} decides",
                pooled.gate,
                pooled.ln_e,
                pooled.ln_threshold.unwrap_or_default()
            );
            return Some(Cause::new(CauseKind::Evidence, text));
        }
        let (failed, all) = (self.next.standing(Standing::Failed).count(), self.next.devices.len());
        let most = self.want.max_failed.at_most(all);
        (failed > most).then(|| {
            let first = self.next.standing(Standing::Failed).next();
            let first = first.map(|(name, device)| format!("; {name}: {}", device.why)).unwrap_or_default();
            let text = format!("{failed} of {all} devices took it back, {most} may (maxFailed){first}");
            Cause::new(CauseKind::TooManyFailed, text)
        })
    }

    fn go(&mut self) {
        if self.want.wish == Wish::Pause {
            self.next.course = Course::Held(Hold::Manual);
            self.next.paused = true;
            self.tell(Do::Pause, is_running);
            return;
        }
        self.next.course = Course::Rolling;
        if self.next.paused {
            // Who is silent has not heard it: it is said again.
            let unheard =
                self.next.at_work().any(|(name, device)| device.listed && self.silent.contains(name.as_str()));
            self.next.paused = unheard;
            self.tell(Do::Resume, |device| device.phase.as_deref() == Some(HELD));
        }
        self.pass_waves();
        self.begin_devices();
        if self.next.devices.values().all(|device| !device.listed) {
            self.next.course = Course::Held(Hold::NoDevices);
        } else if self.all_over() {
            self.finish();
        }
    }

    /// Waves that are through, and were watched, are followed by the next.
    fn pass_waves(&mut self) {
        while self.next.wave < self.want.waves.last() {
            self.fill_wave();
            let wave = self.next.wave;
            let mut here = self.next.devices.values().filter(|device| device.wave <= wave && device.listed).peekable();
            let through = here.peek().is_some() && here.all(Device::is_through);
            if !through {
                self.next.through = None;
                return;
            }
            let since = *self.next.through.get_or_insert(self.now);
            if self.now.since(since) < self.want.soak {
                return;
            }
            self.next.wave += 1;
            self.next.through = None;
        }
    }

    /// A wave whose devices are all gone proves nothing: the next device takes their place.
    fn fill_wave(&mut self) {
        let wave = self.next.wave;
        let listed = self.next.devices.iter_mut().filter(|(_, device)| device.listed);
        if let Some((_, device)) = listed.min_by_key(|(_, device)| device.wave) {
            device.wave = device.wave.min(wave);
        }
    }

    fn begin_devices(&mut self) {
        let wave = self.next.wave;
        let asked = self.next.standing(Standing::Asked).map(|(name, _)| name.clone());
        let asked: Vec<String> = asked.filter(|name| self.free.contains(name.as_str())).collect();
        let due = |device: &Device| device.listed && device.wave <= wave && device.standing == Standing::Waiting;
        let due: Vec<String> = self
            .next
            .devices
            .iter()
            .filter(|(name, device)| due(device) && self.free.contains(name.as_str()))
            .map(|(name, _)| name.clone())
            .collect();
        if due.is_empty() && asked.is_empty() {
            return;
        }
        let listed = self.next.devices.values().filter(|device| device.listed).count();
        if self.silent.len() > self.want.max_unavailable.at_most(listed) {
            self.next.course = Course::Held(Hold::Silent);
            return;
        }
        let retry = self.again();
        self.orders.extend(asked.into_iter().map(|device| Order { device, what: Do::Start { retry } }));
        for name in due {
            if let Some(device) = self.next.devices.get_mut(&name) {
                device.standing = Standing::Asked;
            }
        }
    }

    fn all_over(&self) -> bool {
        let over =
            |device: &Device| matches!(device.standing, Standing::Succeeded | Standing::Failed) && !device.at_work();
        self.next.wave == self.want.waves.last() && self.next.devices.values().filter(|device| device.listed).all(over)
    }

    fn finish(&mut self) {
        self.next.course = if self.next.standing(Standing::Succeeded).next().is_some() {
            Course::Succeeded
        } else {
            Course::RolledBack(Cause::new(CauseKind::NoneLeft, "every device took it back"))
        };
    }

    /// All devices serve stable alone, or are told to.
    fn go_back(&mut self, cause: &Cause) {
        self.tell(Do::Abort, |device| {
            device.standing == Standing::Asked || (device.at_work() && device.standing != Standing::Failed)
        });
        // A device whose pod is gone serves nobody.
        if self.next.at_work().any(|(_, device)| device.listed) {
            return;
        }
        if cause.kind == CauseKind::Changed && self.want.wish != Wish::Leave {
            self.begin_anew(self.next.restarts.saturating_add(1));
            return;
        }
        let kept = self.next.standing(Standing::Succeeded).count();
        self.next.course = if kept == 0 {
            Course::RolledBack(cause.clone())
        } else {
            let text = format!(
                "{}; {kept} devices have finished with the candidate and keep it: publish the old version under a higher number",
                cause.text
            );
            Course::Degraded(Cause { kind: cause.kind, text })
        };
    }

    /// Tells listed devices that answered, in the order of their names.
    fn tell(&mut self, what: Do, whom: impl Fn(&Device) -> bool) {
        let chosen = self
            .next
            .devices
            .iter()
            .filter(|(name, device)| device.listed && !self.silent.contains(name.as_str()) && whom(device));
        self.orders.extend(chosen.map(|(name, _)| Order { device: name.clone(), what }));
        if what == Do::Abort {
            // One that was asked and never began: the order to abort finds nothing, or what an earlier order began.
            let began = |device: &Device| device.standing == Standing::Asked && device.listed;
            for (name, device) in self.next.devices.iter_mut().filter(|(_, device)| began(device)) {
                if !self.silent.contains(name.as_str()) {
                    device.standing = Standing::Waiting;
                }
            }
        }
    }

    fn stale(&self) -> Vec<String> {
        let old = |device: &Device| device.silent.is_some_and(|since| self.now.since(since) > self.want.plan.max_age);
        let stale = self.next.at_work().filter(|(_, device)| device.listed && old(device));
        stale.map(|(name, _)| name.clone()).collect()
    }

    fn why(&self) -> String {
        match &self.next.course {
            Course::Held(hold) => format!("held: {hold}"),
            Course::Aborting(cause) => {
                let left: Vec<&str> =
                    self.next.at_work().filter(|(_, device)| device.listed).map(|(name, _)| name.as_str()).collect();
                format!("going back: {cause}; {} devices are on their way ({})", left.len(), some(&left))
            }
            Course::RolledBack(cause) | Course::Degraded(cause) => format!("taken back: {cause}"),
            Course::Succeeded => {
                format!("{} devices have the candidate", self.next.standing(Standing::Succeeded).count())
            }
            Course::Rolling => self.rolling(),
        }
    }

    fn rolling(&self) -> String {
        let at_work: Vec<(&String, &Device)> = self.next.at_work().collect();
        let wave = format!("wave {} of {}", self.next.wave + 1, self.want.waves.last() + 1);
        let waits = |device: &&Device| device.listed && device.wave <= self.next.wave && !device.is_through();
        match (at_work.as_slice(), self.next.devices.values().find(waits)) {
            ([(name, device)], _) => format!("{wave}: {name}: {}", device.why),
            ([], Some(device)) => format!("{wave} begins; {}", device.why).trim_end_matches(['.', ';', ' ']).to_owned(),
            ([], None) => format!("{wave} is through, and watched"),
            (many, _) => format!("{wave}: {} devices are at work", many.len()),
        }
    }
}

fn is_running(device: &Device) -> bool {
    matches!(device.standing, Standing::Rolling | Standing::Promoted) && device.phase.as_deref() != Some(HELD)
}

/// The label of a held phase; see [`takt_rollout::Phase::label`].
const HELD: &str = "held";

fn some(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(3).copied().collect();
    if names.len() > shown.len() { format!("{}, ...", shown.join(", ")) } else { shown.join(", ") }
}
