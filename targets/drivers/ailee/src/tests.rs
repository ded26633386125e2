//! Mutant damage is found, each kind by its own name; what the node writes is found sound.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::report::look;
use super::root::sha256;
use super::*;
use plugpull_inspect::{Inspection, Request};

/// What the facts about the node name as the root of the empty state.
const EMPTY_ROOT: &str = "c8113438d69a00d3e8efc6ce769d3bfe325b498060fb9a2070a38456b00a0005";

fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn state() -> State {
    State {
        balances: vec![
            Balance {
                peer: b"alice".into(),
                amount: 70,
            },
            Balance {
                peer: br#"bo"b\"#.into(),
                amount: u64::MAX,
            },
        ],
        escrows: vec![Escrow {
            task: b"t1".into(),
            client: b"alice".into(),
            amount: 5,
            locked: true,
            created_at: 12,
        }],
        pegins: vec![PegIn {
            peg: b"p1".into(),
            txid: b"00ff".into(),
            vout: 1,
            amount: 100,
            source: b"bc1".into(),
            dest: b"alice".into(),
            status: -1,
            confirmations: 6,
            initiated: 1,
            completed: 2,
        }],
        pegouts: Vec::new(),
        tasks: vec![Task {
            task: b"t1".into(),
            kind: 0,
            priority: 3,
            submitter: b"alice".into(),
            submitted_at: 11,
            payload_hash: Vec::new(),
            anchor_hash: b"aa".into(),
        }],
    }
}

/// A snapshot as the node writes it.
fn written(state: &State, timestamp: u64, anchored: bool) -> String {
    let mut text = format!("SNAPSHOT v1\ntimestamp_ms {timestamp}\n");
    text += &format!("balances {}\n", state.balances.len());
    for row in &state.balances {
        text += &format!("balance {} {}\n", quote(&row.peer), row.amount);
    }
    text += &format!("escrows {}\n", state.escrows.len());
    for row in &state.escrows {
        let locked = u8::from(row.locked);
        text += &format!("escrow {} {} ", quote(&row.task), quote(&row.client));
        text += &format!("{} {locked} {}\n", row.amount, row.created_at);
    }
    text += &format!("pegins {}\n", state.pegins.len());
    for row in &state.pegins {
        text += &format!(
            "pegin {} {} {} ",
            quote(&row.peg),
            quote(&row.txid),
            row.vout
        );
        text += &format!(
            "{} {} {} ",
            row.amount,
            quote(&row.source),
            quote(&row.dest)
        );
        text += &format!("{} {} ", row.status, row.confirmations);
        text += &format!("{} {}\n", row.initiated, row.completed);
    }
    text += &format!("pegouts {}\n", state.pegouts.len());
    for row in &state.pegouts {
        text += &format!("pegout {} {} ", quote(&row.peg), quote(&row.source));
        text += &format!("{} {} {} ", quote(&row.dest), row.burn, row.release);
        text += &format!("{} {} ", row.status, quote(&row.anchor_hash));
        text += &format!("{} {}\n", row.initiated, row.completed);
    }
    text += &format!("tasks {}\n", state.tasks.len());
    for row in &state.tasks {
        text += &format!("task {} {} {} ", quote(&row.task), row.kind, row.priority);
        text += &format!("{} {} ", quote(&row.submitter), row.submitted_at);
        text += &format!("{} {}\n", quote(&row.payload_hash), quote(&row.anchor_hash));
    }
    if anchored {
        let root = state_root(state);
        let payload = format!("{root}:{timestamp}:meta");
        let hash = sha256(payload.as_bytes());
        text += &format!("anchor \"{root}\" {timestamp} \"meta\" \"{payload}\" \"{hash}\"\n");
    } else {
        text += "anchor none\n";
    }
    text + "END_SNAPSHOT\n"
}

fn sound_file() -> String {
    written(&State::default(), 1, true) + &written(&state(), 2, true) + &written(&state(), 3, false)
}

fn request() -> Request {
    Request {
        path: "l2_snapshots.dat".into(),
        ..Request::default()
    }
}

fn looked(bytes: impl AsRef<[u8]>) -> Inspection {
    look(bytes.as_ref(), &request())
}

fn kinds(inspection: &Inspection) -> Vec<&'static str> {
    inspection.damage.iter().map(|spot| spot.kind).collect()
}

#[test]
fn the_empty_state_has_the_known_root() {
    assert_eq!(state_root(&State::default()), EMPTY_ROOT);
}

#[test]
fn what_the_node_writes_is_sound() {
    let inspection = looked(sound_file());
    assert_eq!(inspection.damage, []);
    assert_eq!(inspection.notes, []);
    assert!(inspection.sound);
    let anchors: Vec<_> = inspection
        .table
        .rows
        .iter()
        .map(|row| row[5].as_str())
        .collect();
    assert_eq!(anchors, ["verifies", "verifies", "none"]);
    let file = parse(sound_file().as_bytes());
    assert_eq!(file.snapshots[1].state, state());
    assert!(looked("").sound);
}

#[test]
fn a_tail_that_a_crash_cut_is_ignored_wherever_it_was_cut() {
    let sound = sound_file();
    let began = sound.rfind("SNAPSHOT v1").unwrap_or(0);
    for end in began + 1..sound.len() {
        let inspection = looked(&sound[..end]);
        assert_eq!(inspection.damage, [], "cut at {end}");
        assert_eq!(inspection.notes.len(), 1, "cut at {end}");
        assert_eq!(inspection.notes[0].offset, Some(began as u64));
    }
}

#[test]
fn going_on_after_a_tail_that_ends_with_its_line_is_no_damage() {
    let whole = written(&state(), 2, true);
    let line = whole.find("escrows").unwrap_or(0);
    let inspection = looked(whole[..line].to_owned() + &sound_file());
    assert_eq!(inspection.damage, []);
    assert_eq!(inspection.notes[0].kind, "incomplete");
    assert_eq!(inspection.table.rows.len(), 4);
}

#[test]
fn going_on_after_a_torn_line_is_found_and_costs_the_snapshot_that_was_glued() {
    let whole = written(&state(), 2, true);
    for (torn, next) in [
        ("balances 2\nbalance \"al", written(&state(), 3, true)),
        (
            "balances 2\nbalance \"al",
            written(&State::default(), 3, false),
        ),
        ("balances", written(&state(), 3, true)),
    ] {
        let at = whole.find(torn).unwrap_or(0) + torn.len();
        let text = whole[..at].to_owned() + &next + &written(&State::default(), 4, true);
        let inspection = looked(&text);
        let spot = inspection.damage.iter().find(|spot| spot.kind == "glued");
        assert_eq!(
            spot.and_then(|spot| spot.offset),
            Some(at as u64),
            "{inspection:?}"
        );
        let last = inspection.table.rows.last().map(|row| row[5].as_str());
        assert_eq!(last, Some("verifies"), "what comes after is read");
    }
}

#[test]
fn each_damage_is_found_by_its_name_and_place() {
    let text = sound_file();
    let second = text.match_indices("SNAPSHOT v1\n").map(|(at, _)| at);
    let second = second
        .filter(|at| *at == 0 || text[..*at].ends_with('\n'))
        .nth(1);
    let second = second.unwrap_or(0);
    let root = state_root(&state());
    let root_at = text.find(&root).unwrap_or(0);
    let anchor = text[..root_at].rfind("anchor ").unwrap_or(0);
    let replaced = |from: &str, to: &str| {
        let at = text[second..].find(from).unwrap_or(0) + second;
        text[..at].to_owned() + to + &text[at + from.len()..]
    };
    let at = |needle: &str| text[second..].find(needle).unwrap_or(0) + second;
    for (kind, damaged, offset) in [
        (
            "root-mismatch",
            replaced("\"alice\" 70", "\"alice\" 71"),
            anchor,
        ),
        (
            "count",
            replaced("balances 2", "balances 3"),
            at("balances 2"),
        ),
        (
            "grammar",
            replaced("\"alice\" 70", "\"alice\" 7O"),
            at("70") + 1,
        ),
        (
            "grammar",
            replaced("\"alice\" 70", "\"alice\"  70"),
            at("\" 70") + 2,
        ),
        ("grammar", replaced("\\\"b", "\\xb"), at("\\\"b")),
        (
            "grammar",
            replaced("END_SNAPSHOT", "END_SNAPSHOD"),
            at("END_SNAPSHOT") + 11,
        ),
        (
            "grammar",
            replaced(" 18446744073709551615", " 18446744073709551616"),
            at("18446744073709551615"),
        ),
        ("anchor-payload", replaced(" \"meta\"", " \"beta\""), anchor),
        ("anchor-hash", replaced(":meta", ":meda"), anchor),
        ("order", replaced("\"alice\" 70", "\"zlice\" 70"), second),
        (
            "duplicate-key",
            replaced("\"bo\\\"b\\\\\"", "\"alice\""),
            second,
        ),
        (
            "line-in-value",
            replaced("\"alice\" 70", "\"al\nice\" 70"),
            at("ice\" 70"),
        ),
        ("stray-bytes", "x\n".to_owned() + &text, 0),
    ] {
        let inspection = looked(&damaged);
        let found = inspection.damage.iter().find(|spot| spot.kind == kind);
        assert_eq!(
            found.and_then(|spot| spot.offset),
            Some(offset as u64),
            "{kind}: {:?}",
            inspection.damage
        );
        assert!(!inspection.sound);
    }
}

#[test]
fn an_expected_anchor_that_is_gone_is_found() {
    let expecting = |root: String| Request {
        expect: vec![root],
        ..request()
    };
    let there = look(sound_file().as_bytes(), &expecting(state_root(&state())));
    assert_eq!(kinds(&there), [""; 0]);
    let only_first = written(&State::default(), 1, true);
    let gone = look(only_first.as_bytes(), &expecting(state_root(&state())));
    assert_eq!(kinds(&gone), ["missing-anchor"]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_looked_at_and_every_byte_belongs_somewhere(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "(SNAPSHOT v1\n|END_SNAPSHOT\n|balances 1\n|balance |\"a\" |[0-9]{1,22}|\n| |\\\\|\"){0,40}"
                .prop_map(String::into_bytes),
        ]
    ) {
        looked(&bytes);
        let file = parse(&bytes);
        let mut parts: Vec<_> = file.snapshots.iter().map(|s| (s.offset, s.end)).collect();
        parts.extend(&file.strays);
        parts.sort_unstable();
        let mut at = 0;
        for (from, to) in parts {
            prop_assert_eq!(from, at);
            prop_assert!(to > from);
            at = to;
        }
        prop_assert_eq!(at, bytes.len());
    }

    /// Everything but the two numbers after `timestamp_ms`, which nothing commits to.
    #[test]
    fn any_changed_byte_of_an_anchored_file_is_found(at: prop::sample::Index, flip in 1_u8..=255) {
        let text = written(&State::default(), 1, true) + &written(&state(), 2, true);
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        prop_assume!(!text[line..].starts_with("timestamp_ms"));
        prop_assert!(!looked(&bytes).sound, "byte {} of {:?}", at, text);
    }

    #[test]
    fn cut_glued_and_moved_pieces_never_panic(cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let text = sound_file();
        let mut bytes = Vec::new();
        for pair in cuts.windows(2) {
            let (a, b) = (pair[0].index(text.len()), pair[1].index(text.len()));
            bytes.extend_from_slice(&text.as_bytes()[a.min(b)..a.max(b)]);
        }
        looked(&bytes);
    }
}
