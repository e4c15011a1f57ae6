use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn share(percent: u32) -> TrafficShare {
    TrafficShare::of_millionths(percent * 10_000)
}

fn router(salt: u128, percent: u32) -> Router {
    Router::new(Salt::new(salt), share(percent), share(10))
}

#[test]
fn the_hash_is_the_same_on_every_machine_and_in_every_release() {
    // SipHash-1-3, key 00..0f, input 00..0e: from the reference implementation's vectors, as Rust's own tests have them.
    let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    let input: Vec<u8> = (0..15).collect();
    assert_eq!(Salt(key).hash(Purpose::Route, &input), 0xd320_d86d_2a51_9956);
}

#[test]
fn shares_are_met_and_shadows_are_drawn_apart() {
    let router = router(7, 5);
    let units: Vec<String> = (0..100_000).map(|i| format!("part-{i}")).collect();
    let canary = units.iter().filter(|unit| router.arm(unit.as_bytes()) == Arm::Canary).count();
    assert!((4_700..5_300).contains(&canary), "{canary}");
    let both =
        units.iter().filter(|u| router.arm(u.as_bytes()) == Arm::Canary && router.shadowed(u.as_bytes())).count();
    assert!((400..600).contains(&both), "{both}");
}

#[test]
fn nobody_is_drawn_without_a_share_and_everybody_with_all_of_it() {
    for unit in ["", "a", "part-17"] {
        assert_eq!(router(1, 0).arm(unit.as_bytes()), Arm::Stable);
        assert_eq!(router(1, 100).arm(unit.as_bytes()), Arm::Canary);
        assert!(!Router::new(Salt::new(1), share(5), TrafficShare::NONE).shadowed(unit.as_bytes()));
    }
}

#[test]
fn a_small_share_of_few_stations_is_one_station_in_every_epoch() {
    let names = ["a", "b", "c", "d"];
    let drawn: BTreeSet<String> = (0..100)
        .map(|epoch| {
            let draw = draw(Salt::new(3), epoch, names, share(5));
            assert_eq!((draw.counts(), draw.probability()), ((1, 4), 0.25));
            names.into_iter().find(|name| draw.arm(name) == Arm::Canary).unwrap().to_owned()
        })
        .collect();
    assert_eq!(drawn.len(), 4, "each is drawn at some time");
}

#[test]
fn a_lone_station_stays_with_stable_until_all_go() {
    assert_eq!(draw(Salt::new(3), 0, ["a"], share(50)).counts(), (0, 1));
    assert_eq!(draw(Salt::new(3), 0, ["a"], share(100)).counts(), (1, 1));
    assert_eq!(draw(Salt::new(3), 0, [], share(50)).counts(), (0, 0));
}

#[test]
fn a_salt_survives_text() {
    let salt = Salt::new(0x0123_4567_89ab_cdef_0000_0000_0000_0001);
    let text = serde_json::to_string(&salt).unwrap();
    assert_eq!(text, "\"0123456789abcdef0000000000000001\"");
    assert_eq!(serde_json::from_str::<Salt>(&text).unwrap(), salt);
    assert!(serde_json::from_str::<Salt>("\"+123456789abcdef0000000000000001\"").is_err());
    assert_ne!(salt.next("plan"), salt.next("another"));
}

proptest! {
    #[test]
    fn rising_shares_never_take_a_unit_off_the_candidate(salt: u128, unit: Vec<u8>, a in 0_u32..=100, b in 0_u32..=100) {
        let (low, high) = (a.min(b), a.max(b));
        if router(salt, low).arm(&unit) == Arm::Canary {
            prop_assert_eq!(router(salt, high).arm(&unit), Arm::Canary);
        }
    }

    #[test]
    fn rising_shares_never_take_a_station_off_the_candidate(salt: u128, epoch: u64, n in 0_usize..30, a in 0_u32..=100, b in 0_u32..=100) {
        let names: Vec<String> = (0..n).map(|i| format!("cam-{i}")).collect();
        let drawn = |percent| draw(Salt::new(salt), epoch, names.iter().map(String::as_str), share(percent));
        let (low, high) = (drawn(a.min(b)), drawn(a.max(b)));
        for name in &names {
            prop_assert!(low.arm(name) == Arm::Stable || high.arm(name) == Arm::Canary);
        }
    }
}
