//! Random graphs: exactly what depends on a change runs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fakes::{Bench, Fake};

/// Most stages of a graph.
const MOST: usize = 8;

/// Stages whose bits of `reads` say which of the earlier ones they read; changed where `changed` says so.
fn graph(reads: &[u8], changed: u8) -> Vec<Fake> {
    let stage = |(at, reads): (usize, &u8)| {
        let inputs: Vec<String> = (0..at).filter(|bit| reads >> bit & 1 == 1).map(|bit| format!("s{bit}")).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        // Different from each other, or stages that read the same would have the same key.
        let setting = at as i64 + if changed >> at & 1 == 1 { 100 } else { 0 };
        Fake::new(&format!("s{at}"), &inputs).setting(setting)
    };
    reads.iter().enumerate().map(stage).collect()
}

/// What is changed or reads something that is, by definition.
fn affected(reads: &[u8], changed: u8) -> BTreeSet<String> {
    let mut dirty = changed;
    for (at, reads) in reads.iter().enumerate() {
        let earlier = (1u16 << at) - 1;
        if u16::from(dirty & reads) & earlier != 0 {
            dirty |= 1 << at;
        }
    }
    (0..reads.len()).filter(|at| dirty >> at & 1 == 1).map(|at| format!("s{at}")).collect()
}

proptest! {
    // Files are written by every case.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_dependants_of_a_change_run(
        reads in proptest::collection::vec(any::<u8>(), 1..=MOST),
        changed in any::<u8>(),
        backwards in any::<bool>(),
    ) {
        let bench = Bench::new();
        bench.run(graph(&reads, 0));
        prop_assert_eq!(bench.log.take().len(), reads.len());
        let mut stages = graph(&reads, changed);
        if backwards {
            // The order in which stages are given is nobody's business.
            stages.reverse();
        }
        bench.run(stages);
        let ran: Vec<String> = bench.log.take();
        prop_assert_eq!(&ran.iter().cloned().collect::<BTreeSet<_>>(), &affected(&reads, changed));
        bench.run(graph(&reads, 0));
        bench.run(graph(&reads, changed));
        prop_assert!(bench.log.take().is_empty());
    }
}
