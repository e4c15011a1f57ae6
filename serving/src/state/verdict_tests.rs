use super::*;
use crate::state::ledger::{GoodVersion, IntentKind, Ledger};
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(100_000_000);
const FAULTS: [Death; 4] = [Death::Signal(6), Death::Signal(9), Death::Exit(1), Death::Watchdog];

fn version(model: &str, n: u64) -> VersionId {
    VersionId { model: model.into(), version: n, digest: format!("{model}-{n}") }
}

/// A case under construction.
#[derive(Debug, Clone, Default)]
struct Case {
    ledger: Ledger,
    running: Vec<Running>,
}

impl Case {
    fn good(mut self, model: &str, n: u64) -> Self {
        self.ledger.set_last_good(&version(model, n), NOW);
        self
    }

    fn loading(mut self, model: &str, n: u64) -> Self {
        self.ledger.open_intent(IntentKind::Load, &version(model, n), NOW, "boot");
        self
    }

    fn running(mut self, model: &str, n: u64) -> Self {
        self.running.push(Running { version: version(model, n), since: NOW, hung: false });
        self
    }

    fn hanging(mut self, model: &str, n: u64) -> Self {
        self.running.push(Running { version: version(model, n), since: NOW, hung: true });
        self
    }

    fn judge(&self, death: Death, now: UnixMillis) -> Vec<Action> {
        let ledger = &self.ledger;
        let evidence = Evidence {
            death,
            intents: &ledger.intents,
            running: &self.running,
            strikes: &ledger.strikes,
            last_good: &ledger.last_good,
        };
        judge_death(&evidence, now)
    }

    /// Judges, records, and says which digests were quarantined and which got a strike.
    fn die(&mut self, death: Death, now: UnixMillis) -> (Vec<String>, Vec<String>) {
        let actions = self.judge(death, now);
        self.ledger.apply(&actions, now);
        (quarantined(&actions), struck(&actions))
    }
}

fn quarantined(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Quarantine { version, .. } => Some(version.digest.clone()),
            _ => None,
        })
        .collect()
}

fn struck(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Strike { version, .. } => Some(version.digest.clone()),
            _ => None,
        })
        .collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

fn later(seconds: u64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

#[test]
fn a_version_that_was_being_loaded_is_quarantined_and_its_intent_closed() {
    for death in FAULTS.into_iter().chain([Death::Unwitnessed]) {
        let mut case = Case::default().good("m", 1).loading("m", 2);
        assert_eq!(case.die(death, NOW), (vec!["m-2".into()], none()), "{death:?}");
        assert!(case.ledger.intents.is_empty());
    }
}

#[test]
fn the_first_version_of_a_model_is_quarantined_if_loading_it_is_seen_to_kill() {
    for death in FAULTS {
        assert_eq!(Case::default().loading("m", 1).die(death, NOW).0, ["m-1"], "{death:?}");
    }
}

#[test]
fn the_first_load_of_a_model_survives_two_deaths_that_nobody_saw() {
    for death in [Death::Unwitnessed, Death::Reboot] {
        let mut case = Case::default();
        for n in 0..2 {
            case = case.loading("m", 1);
            assert_eq!(case.die(death, later(n)), (none(), vec!["m-1".into()]), "{death:?}");
        }
        assert_eq!(case.loading("m", 1).die(death, later(2)).0, ["m-1"], "{death:?}");
    }
}

#[test]
fn a_power_cut_during_a_load_is_only_a_strike_even_with_an_alternative() {
    let mut case = Case::default().good("m", 1).loading("m", 2);
    assert_eq!(case.die(Death::Reboot, NOW), (none(), vec!["m-2".into()]));
}

#[test]
fn what_ran_before_a_restart_of_the_machine_is_not_judged() {
    assert!(Case::default().good("m", 1).running("m", 2).judge(Death::Reboot, NOW).is_empty());
}

#[test]
fn a_running_candidate_is_quarantined_at_the_first_death() {
    for death in FAULTS.into_iter().chain([Death::Unwitnessed]) {
        assert_eq!(Case::default().good("m", 1).running("m", 2).die(death, NOW).0, ["m-2"], "{death:?}");
    }
}

#[test]
fn bystanders_of_a_stronger_suspect_get_no_strike() {
    let mut beside_candidate =
        Case::default().good("m", 1).good("n", 1).running("m", 1).running("n", 1).running("m", 2);
    assert_eq!(beside_candidate.die(Death::Signal(6), NOW), (vec!["m-2".into()], none()));
    let mut beside_load = Case::default().good("m", 1).running("m", 1).loading("n", 1);
    assert_eq!(beside_load.die(Death::Signal(6), NOW), (vec!["n-1".into()], none()));
    let mut beside_hang = Case::default().good("m", 1).good("n", 1).running("m", 2).loading("m", 3).hanging("n", 2);
    assert_eq!(beside_hang.die(Death::Watchdog, NOW), (vec!["n-2".into()], none()));
    assert!(beside_hang.ledger.intents.is_empty());
}

#[test]
fn a_version_that_hangs_while_it_is_warmed_is_quarantined_as_loading() {
    let actions = Case::default().loading("m", 1).hanging("m", 1).judge(Death::Watchdog, NOW);
    assert_eq!(quarantined(&actions), ["m-1"]);
}

#[test]
fn the_mark_of_a_hang_counts_only_if_the_watchdog_ended_the_process() {
    let mut case = Case::default().good("m", 1).good("n", 1).hanging("m", 2).running("n", 2);
    assert_eq!(case.die(Death::Signal(11), NOW).0, ["m-2", "n-2"]);
}

#[test]
fn the_only_good_version_gets_strikes_and_is_never_quarantined() {
    let mut case = Case::default().good("m", 1).running("m", 1);
    for n in 0..10 {
        assert_eq!(case.die(Death::Signal(6), later(n)), (none(), vec!["m-1".into()]));
    }
    let mut while_loading = Case::default().good("m", 1);
    for n in 0..10 {
        while_loading = while_loading.loading("m", 1);
        assert_eq!(while_loading.die(Death::Signal(6), later(n)).0, none());
    }
}

#[test]
fn a_version_that_was_never_good_and_is_alone_gets_strikes_while_it_runs() {
    let mut case = Case::default().running("m", 1);
    for n in 0..10 {
        assert_eq!(case.die(Death::Signal(6), later(n)), (none(), vec!["m-1".into()]));
    }
}

#[test]
fn the_third_strike_in_ten_minutes_returns_to_the_earlier_good_version() {
    let mut case = Case::default().good("m", 1).good("m", 2).running("m", 2);
    assert_eq!(case.die(Death::Signal(6), later(0)).0, none());
    assert_eq!(case.die(Death::Watchdog, later(300)).0, none());
    assert_eq!(case.die(Death::Signal(9), later(600)).0, ["m-2"]);
    assert_eq!(case.ledger.last_good["m"].current.digest, "m-1");
}

#[test]
fn strikes_older_than_ten_minutes_do_not_count() {
    let mut case = Case::default().good("m", 1).good("m", 2).running("m", 2);
    for n in 0..20 {
        assert_eq!(case.die(Death::Signal(6), later(n * 301)).0, none(), "death {n}");
    }
}

#[test]
fn a_clock_set_back_keeps_strikes_alive() {
    let mut case = Case::default().good("m", 1).good("m", 2).running("m", 2);
    case.die(Death::Signal(6), later(5000));
    case.die(Death::Signal(6), later(5001));
    assert_eq!(case.die(Death::Signal(6), NOW).0, ["m-2"]);
}

#[test]
fn several_instances_of_a_version_count_once() {
    let actions = Case::default().good("m", 1).running("m", 1).running("m", 1).judge(Death::Signal(6), NOW);
    assert_eq!(struck(&actions), ["m-1"]);
}

#[test]
fn an_orderly_end_blames_nobody_and_closes_what_was_open() {
    for death in [Death::Requested, Death::Exit(0)] {
        let mut case = Case::default().good("m", 1).loading("m", 2).running("m", 2);
        assert_eq!(case.die(death, NOW), (none(), none()));
        assert!(case.ledger.intents.is_empty());
    }
}

#[test]
fn the_reason_says_how_it_died_and_what_it_did() {
    let actions = Case::default().good("m", 1).running("m", 2).judge(Death::Signal(6), NOW);
    assert!(matches!(&actions[0], Action::Quarantine { reason, .. }
        if reason == "the process was killed by signal 6 while it was running"));
}

fn any_version() -> impl Strategy<Value = VersionId> {
    ("[mn]", 1..5_u64).prop_map(|(model, n)| version(&model, n))
}

fn any_death() -> impl Strategy<Value = Death> {
    prop_oneof![
        Just(Death::Signal(6)),
        Just(Death::Exit(1)),
        Just(Death::Exit(0)),
        Just(Death::Watchdog),
        Just(Death::Unwitnessed),
        Just(Death::Reboot),
        Just(Death::Requested),
    ]
}

prop_compose! {
    fn any_hands()(
        loading in prop::collection::vec(any_version(), 0..3),
        running in prop::collection::vec((any_version(), any::<bool>()), 0..4),
    ) -> (Vec<VersionId>, Vec<Running>) {
        let running = running.into_iter().map(|(version, hung)| Running { version, since: NOW, hung }).collect();
        (loading, running)
    }
}

proptest! {
    /// A life of a server: versions become good, processes die with versions in hand, again and again.
    #[test]
    fn whatever_happens_only_the_guilty_are_judged_and_no_model_loses_its_last_good_version(
        good in prop::collection::vec(any_version(), 0..4),
        deaths in prop::collection::vec((any_hands(), any_death(), 0..400_u64), 1..8),
    ) {
        let mut case = Case::default();
        for version in &good {
            case.ledger.set_last_good(version, NOW);
        }
        let mut seconds = 0;
        for ((loading, running), death, pause) in deaths {
            seconds += pause;
            let before = case.ledger.last_good.clone();
            let in_hand = |case: &Case, id: &VersionId| case.ledger.quarantine_of(&id.digest).is_none();
            case.running = running.into_iter().filter(|run| in_hand(&case, &run.version)).collect();
            for version in loading.iter().filter(|version| in_hand(&case, version)).cloned().collect::<Vec<_>>() {
                case.ledger.open_intent(IntentKind::Load, &version, NOW, "boot");
            }
            let intents = case.ledger.intents.clone();
            let actions = case.judge(death, later(seconds));

            let mut judged = BTreeSet::new();
            let mut closed = BTreeSet::new();
            for action in &actions {
                match action {
                    Action::Quarantine { version, .. } | Action::Strike { version, .. } => {
                        prop_assert!(judged.insert(version.digest.clone()), "judged twice: {version}");
                        let loaded = intents.iter().any(|intent| &intent.version == version);
                        let ran = case.running.iter().any(|run| &run.version == version);
                        prop_assert!(loaded || ran, "judged without having been in hand: {version}");
                        prop_assert!(!matches!(death, Death::Requested | Death::Exit(0)));
                    }
                    Action::CloseIntent { id } => prop_assert!(closed.insert(*id)),
                }
            }
            prop_assert_eq!(closed, intents.iter().map(|intent| intent.id).collect());

            case.ledger.apply(&actions, later(seconds));
            prop_assert!(case.ledger.intents.is_empty());
            for (model, last) in &before {
                prop_assert!(case.ledger.last_good.contains_key(model), "{model} lost {last:?}");
            }
            for last in case.ledger.last_good.values() {
                let goods: Vec<&GoodVersion> = [Some(&last.current), last.earlier.as_ref()].into_iter().flatten().collect();
                for good in goods {
                    prop_assert!(case.ledger.quarantine_of(&good.digest).is_none());
                }
            }
        }
    }

    /// Rule 3 of a rollout: a death seen during a load never lets that digest be tried again by itself.
    #[test]
    fn a_witnessed_death_during_the_load_of_a_candidate_always_quarantines_it(
        others in prop::collection::vec(any_version(), 0..3),
        signal in 1..32_i32,
    ) {
        let mut case = Case::default().good("m", 1).loading("m", 9);
        case.running = others.into_iter().map(|version| Running { version, since: NOW, hung: false }).collect();
        prop_assert!(case.die(Death::Signal(signal), NOW).0.contains(&"m-9".to_owned()));
    }
}
