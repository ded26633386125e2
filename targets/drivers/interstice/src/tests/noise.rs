//! Any bytes are looked at, and nothing panics; changed bytes of sums are found.

// tidy: small because it tests all file formats alike.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::node_report::table;
use super::super::node_snapshot::row_file;
use super::super::scan;
use super::{guide, node};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        // Small numbers are kinds and lengths that fit.
        prop::collection::vec(0_u8..16, 0..200),
    ]) {
        let found = scan(&bytes);
        prop_assert!(found.sound_to <= bytes.len());
        guide::looked(&bytes);
        table(Some(&bytes), Some(&bytes));
        drop(row_file(&bytes));
    }

    #[test]
    fn a_changed_byte_of_the_guides_log_is_always_found(at: prop::sample::Index, flip in 1_u8..=255) {
        let mut bytes = guide::log(6);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let inspection = guide::looked(&bytes);
        prop_assert!(!inspection.sound);
        let good_to = inspection.detail["last_valid_offset"].as_u64().unwrap_or(u64::MAX);
        prop_assert!(good_to <= at as u64, "no record that was changed is called good");
    }

    #[test]
    fn changed_bytes_of_the_nodes_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut log, mut row) = (node::log(), node::row(3));
        for (at, byte) in changes {
            let (in_log, in_row) = (at.index(log.len()), at.index(row.len()));
            log[in_log] = byte;
            row[in_row] = byte;
        }
        table(Some(&log), Some(&row));
        drop(row_file(&row));
    }
}
