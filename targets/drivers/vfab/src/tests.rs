//! Mutant damage is found, each kind by its own name; what vfab writes is found sound.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rusqlite::Connection;

use super::document::document;
use super::journal::journal;
use super::{INSPECTOR, State};
use plugpull_inspect::{InspectError, Inspection, Request};

/// The way of a job to its end.
const WAY: [&str; 6] = ["NEW", "QUEUED", "ARMED", "PLOTTING", "PAUSED", "PLOTTING"];

/// The lines of a journal in which a job goes this way.
fn lines(way: &[&str]) -> String {
    let mut text = String::new();
    for pair in way.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        text += &format!(
            "{{\"timestamp\":\"2025-11-15T10:00:00\",\"job_id\":\"j1\",\"type\":\"state_change\",\
             \"from_state\":\"{from}\",\"to_state\":\"{to}\",\"reason\":\"\",\"metadata\":{{}}}}\n\
             {{\"timestamp\":\"2025-11-15T10:00:00\",\"job_id\":\"j1\",\"type\":\"hooks_executed\",\
             \"state\":\"{to}\",\"results\":[]}}\n"
        );
    }
    text
}

/// A workspace with one sound job, and statistics in WAL mode that still lie in the log.
struct Workspace {
    directory: tempfile::TempDir,
    database: Connection,
}

impl Workspace {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("jobs/j1")).unwrap();
        let database = Connection::open(directory.path().join("vfab.db")).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode=wal;
                 CREATE TABLE job_statistics(id INTEGER PRIMARY KEY, job_id TEXT, event_type TEXT);
                 INSERT INTO job_statistics(job_id, event_type) VALUES
                 ('j1','queued'),('j1','armed'),('j1','started'),('j1','paused'),('j1','started');",
            )
            .unwrap();
        let this = Self {
            directory,
            database,
        };
        this.put("src.svg", "<svg/>");
        this.put("journal.jsonl", &lines(&WAY));
        this.put(
            "job.json",
            "{\n  \"id\": \"j1\",\n  \"state\": \"PLOTTING\"\n}",
        );
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("jobs/j1").join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    fn look(&self, after_crash: bool) -> Inspection {
        look(self.directory.path(), after_crash, &["j1"]).unwrap()
    }
}

fn look(path: &Path, after_crash: bool, expect: &[&str]) -> Result<Inspection, InspectError> {
    (INSPECTOR.inspect)(&Request {
        path: path.to_owned(),
        expect: expect.iter().map(|id| (*id).to_owned()).collect(),
        after_crash,
    })
}

fn kinds(inspection: &Inspection) -> Vec<&'static str> {
    inspection.damage.iter().map(|spot| spot.kind).collect()
}

#[test]
fn what_vfab_writes_is_sound_and_looking_writes_nothing() {
    let workspace = Workspace::new();
    let files = || {
        let names = ["vfab.db", "vfab.db-wal", "vfab.db-shm"];
        names.map(|name| fs::read(workspace.directory.path().join(name)).ok())
    };
    let before = files();
    let inspection = workspace.look(false);
    assert_eq!(inspection.damage, []);
    assert_eq!(
        inspection.facts[1],
        ("statistics events".into(), "5".into())
    );
    assert_eq!(files(), before);
    let directory = look(&workspace.file(""), false, &[]).unwrap();
    assert!(directory.sound && directory.notes[0].kind == "no-statistics");
}

/// The damage that this text of a file of the job shows is found by its kind, file and line.
fn damage_is_found(name: &str, all: &[(&str, Option<u64>, String)]) {
    for (kind, line, text) in all {
        let workspace = Workspace::new();
        workspace.put(name, text);
        let inspection = workspace.look(false);
        let found = inspection.damage.iter().find(|spot| spot.kind == *kind);
        let found = found.unwrap_or_else(|| panic!("{kind}: {:?}", inspection.damage));
        assert!(found.file.ends_with(name), "{found:?}");
        assert_eq!(found.line, *line, "{found:?}");
    }
}

#[test]
fn each_damage_to_the_document_of_a_job_is_found() {
    let all = [
        ("document", Some(1), "{\"id\"".to_owned()),
        ("document", Some(1), String::new()),
        (
            "document-id",
            Some(1),
            "{\"id\":\"j2\",\"state\":\"PLOTTING\"}".into(),
        ),
        (
            "document-state",
            Some(2),
            "{\"id\":\"j1\",\n\"state\":\"DRAWING\"}".into(),
        ),
        ("document-state", None, "{\"id\":\"j1\"}".into()),
        (
            "document-behind",
            None,
            "{\"id\":\"j1\",\"state\":\"PAUSED\"}".into(),
        ),
        (
            "document-disagrees",
            None,
            "{\"id\":\"j1\",\"state\":\"READY\"}".into(),
        ),
    ];
    damage_is_found("job.json", &all);
}

#[test]
fn each_damage_to_the_journal_of_a_job_is_found() {
    let whole = lines(&WAY);
    let first_cut = whole.split_inclusive('\n').skip(2).collect::<String>();
    let replaced = |from: &str, to: &str| whole.replacen(from, to, 1);
    let all = [
        (
            "journal-line",
            Some(1),
            replaced("{\"timestamp\"", "{\"timestamp"),
        ),
        ("journal-line", Some(1), replaced("state_change", "x\"y")),
        ("journal-line", Some(11), whole.clone() + "\n"),
        ("journal-line", Some(11), whole.clone() + "7\n"),
        ("journal-tail", Some(10), whole.trim_end().to_owned()),
        ("journal-tail", Some(11), whole.clone() + "{\"type\":\"sta"),
        ("journal-job", Some(1), replaced("\"j1\"", "\"j9\"")),
        ("journal-first", Some(1), first_cut),
        (
            "journal-chain",
            Some(3),
            replaced("\"from_state\":\"QUEUED\"", "\"from_state\":\"PLOTTING\""),
        ),
        (
            "journal-transition",
            Some(1),
            replaced("\"to_state\":\"QUEUED\"", "\"to_state\":\"ARMED\""),
        ),
        (
            "journal-after-end",
            Some(3),
            lines(&["NEW", "ABORTED", "QUEUED"]),
        ),
        (
            "journal-chain",
            Some(11),
            whole.clone() + "{\"type\":\"recovery\",\"to_state\":\"ARMED\"}\n",
        ),
    ];
    damage_is_found("journal.jsonl", &all);
}

#[test]
fn a_drawing_that_is_gone_or_empty_and_a_job_that_is_gone_are_found() {
    let workspace = Workspace::new();
    workspace.put("src.svg", "");
    assert_eq!(kinds(&workspace.look(false)), ["source"]);
    fs::remove_file(workspace.file("src.svg")).unwrap();
    assert_eq!(kinds(&workspace.look(false)), ["source"]);
    workspace.put("multipen.plob", "x");
    assert_eq!(kinds(&workspace.look(false)), [""; 0]);
    let gone = look(workspace.directory.path(), false, &["j2"]).unwrap();
    assert_eq!(kinds(&gone), ["missing-job"]);
}

#[test]
fn what_a_crash_may_leave_is_no_damage_right_after_one() {
    let workspace = Workspace::new();
    workspace.put("job.json", "{\"id\":\"j1\",\"state\":\"PAUSED\"}");
    let last = "DELETE FROM job_statistics WHERE id = (SELECT max(id) FROM job_statistics)";
    workspace.database.execute(last, []).unwrap();
    workspace.put("journal.jsonl", &(lines(&WAY) + "{\"ty"));
    assert_eq!(
        kinds(&workspace.look(false)),
        ["journal-tail", "document-behind", "statistics-behind"]
    );
    let crashed = workspace.look(true);
    assert_eq!(kinds(&crashed), [""; 0]);
    assert_eq!(crashed.notes.len(), 3);
    // Two steps behind is damage after a crash too.
    workspace.put("job.json", "{\"id\":\"j1\",\"state\":\"ARMED\"}");
    workspace.database.execute(last, []).unwrap();
    assert_eq!(
        kinds(&workspace.look(true)),
        ["document-disagrees", "statistics-differ"]
    );
}

#[test]
fn damaged_statistics_are_found() {
    let workspace = Workspace::new();
    workspace
        .database
        .execute(
            "INSERT INTO job_statistics(job_id, event_type) VALUES('j1','failed')",
            [],
        )
        .unwrap();
    assert_eq!(kinds(&workspace.look(false)), ["statistics-differ"]);

    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("jobs")).unwrap();
    let path = directory.path().join("vfab.db");
    fs::write(
        &path,
        "no database, but some text that is long enough to be looked at",
    )
    .unwrap();
    assert_eq!(
        kinds(&look(directory.path(), false, &[]).unwrap()),
        ["statistics-unreadable"]
    );

    fs::remove_file(&path).unwrap();
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE job_statistics(id INTEGER PRIMARY KEY, job_id TEXT, event_type TEXT);
             CREATE INDEX by_job ON job_statistics(job_id);
             INSERT INTO job_statistics(job_id, event_type) VALUES('a','queued'),('b','queued');
             PRAGMA writable_schema=on;
             UPDATE sqlite_schema SET sql='CREATE INDEX by_job ON job_statistics(event_type)' \
             WHERE name='by_job';",
        )
        .unwrap();
    drop(database);
    assert_eq!(
        kinds(&look(directory.path(), false, &[]).unwrap()),
        ["statistics-integrity"]
    );
}

#[test]
fn what_is_no_workspace_is_not_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        look(directory.path(), false, &[]),
        Err(InspectError::NotThis { .. })
    ));
    let missing = look(&directory.path().join("x"), false, &[]);
    assert!(matches!(missing, Err(InspectError::Unreadable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        journal(&bytes, "j1");
        document(&bytes, "j1");
    }

    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = lines(&WAY).into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        journal(&bytes, "j1");
    }

    #[test]
    fn a_way_is_sound_exactly_when_every_step_is_in_the_table(
        steps in prop::collection::vec(0_usize..11, 1..6),
    ) {
        const ALL: [&str; 11] = [
            "NEW", "ANALYZED", "OPTIMIZED", "READY", "QUEUED", "ARMED", "PLOTTING", "PAUSED",
            "COMPLETED", "ABORTED", "FAILED",
        ];
        let way: Vec<&str> = std::iter::once("NEW").chain(steps.iter().map(|i| ALL[*i])).collect();
        let states: Vec<State> = way.iter().filter_map(|word| State::parse(word)).collect();
        let legal = states.windows(2).all(|pair| pair[0].next().contains(&pair[1]));
        prop_assert_eq!(journal(lines(&way).as_bytes(), "j1").broken.is_empty(), legal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_database_with_changed_bytes_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let workspace = Workspace::new();
        for name in ["vfab.db", "vfab.db-wal"] {
            let path = workspace.directory.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            fs::write(&path, bytes).unwrap();
        }
        workspace.look(false);
    }
}
