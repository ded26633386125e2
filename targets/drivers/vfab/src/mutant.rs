//! The mutants of the fake: what managers of jobs get wrong.

// tidy: small because it is a list.

plugpull_driver::mutants! {
    DocumentInPlace "document-in-place"
        "job.json is emptied and written again, and not synced";
    DocumentFirst "document-first"
        "job.json is written before the journal";
    DocumentLeftBehind "document-left-behind"
        "recovery does not look whether job.json is behind the journal";
    JournalNotSynced "journal-not-synced"
        "the journal is not synced";
    TornTailKept "torn-tail-kept"
        "a torn line stays in the journal, and the next one is glued to it";
    SourceNotSynced "source-not-synced"
        "the drawing is not synced when a job is added";
    AddedInPlace "added-in-place"
        "a job is made in its place, file by file";
    StatesSkipped "states-skipped"
        "a queued job is plotted without being armed";
    CompletedReopened "completed-reopened"
        "recovery queues the last completed job again";
    RecoveryAborts "recovery-aborts"
        "recovery aborts interrupted jobs, where it should resume them";
    DrawnAgain "drawn-again"
        "a resumed job is drawn from its first stroke";
    RestNotDrawn "rest-not-drawn"
        "a resumed job is completed without drawing the rest";
    StatisticsNotMended "statistics-not-mended"
        "recovery does not look whether the statistics are behind the journal";
    FullDiskAcked "full-disk-acked"
        "a job that finds no space is answered as if it were done";
}
