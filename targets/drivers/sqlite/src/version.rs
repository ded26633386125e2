//! With which options SQLite was compiled: they change what is tested, so they are part of the
//! version.

use std::ffi::CStr;

use rusqlite::ffi;

/// The compile options of the SQLite that is linked in, as `PRAGMA compile_options` lists them,
/// but for the compiler's own version.
pub(crate) fn options() -> Vec<&'static str> {
    let all = (0..).map_while(option);
    all.filter(|one| !one.starts_with("COMPILER=")).collect()
}

/// Names the options: 32 bits of FNV-1a over their lines.
pub(crate) fn digest() -> u32 {
    digest_of(&options())
}

fn digest_of(options: &[&str]) -> u32 {
    let bytes = options.iter().flat_map(|one| one.bytes().chain(*b"\n"));
    bytes.fold(0x811c_9dc5, |digest: u32, byte| {
        (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The compile option of this number; none behind the last.
fn option(number: i32) -> Option<&'static str> {
    #[expect(
        unsafe_code,
        reason = "rusqlite has no safe way to this without a database"
    )]
    // SAFETY: any number may be passed; the answer is null or a string constant of SQLite's
    // (https://www.sqlite.org/c3ref/compileoption_get.html).
    let text = unsafe {
        let text = ffi::sqlite3_compileoption_get(number);
        (!text.is_null()).then(|| CStr::from_ptr::<'static>(text))
    };
    text?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `PRAGMA compile_options` lists, but for the compiler's own version.
    fn listed() -> Vec<String> {
        let db = rusqlite::Connection::open_in_memory().expect("a database");
        let mut pragma = db.prepare("PRAGMA compile_options").expect("a pragma");
        let listed: Vec<String> = pragma
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .expect("options");
        let is_compiler = |one: &String| one.starts_with("COMPILER=");
        assert!(listed.iter().any(is_compiler), "{listed:?}");
        listed.into_iter().filter(|one| !is_compiler(one)).collect()
    }

    #[test]
    fn the_options_are_those_of_the_pragma() {
        assert_eq!(options(), listed());
    }

    /// What SQLite is compiled with here: `libsqlite3-sys` says it, whose build script also reads
    /// `LIBSQLITE3_FLAGS` and `SQLITE_MAX_...` from the environment. Where the build was started with
    /// these, or a `.cargo/config.toml` above that place sets them, this fails.
    const OPTIONS: &[&str] = &[
        "DEFAULT_AUTOVACUUM",
        "DEFAULT_CACHE_SIZE=-2000",
        "DEFAULT_FILE_FORMAT=4",
        "DEFAULT_FOREIGN_KEYS",
        "DEFAULT_JOURNAL_SIZE_LIMIT=-1",
        "DEFAULT_MMAP_SIZE=0",
        "DEFAULT_PAGE_SIZE=4096",
        "DEFAULT_PCACHE_INITSZ=20",
        "DEFAULT_RECURSIVE_TRIGGERS",
        "DEFAULT_SECTOR_SIZE=4096",
        "DEFAULT_SYNCHRONOUS=2",
        "DEFAULT_WAL_AUTOCHECKPOINT=1000",
        "DEFAULT_WAL_SYNCHRONOUS=2",
        "DEFAULT_WORKER_THREADS=0",
        "DIRECT_OVERFLOW_READ",
        "ENABLE_API_ARMOR",
        "ENABLE_COLUMN_METADATA",
        "ENABLE_DBSTAT_VTAB",
        "ENABLE_FTS3",
        "ENABLE_FTS3_PARENTHESIS",
        "ENABLE_FTS5",
        "ENABLE_LOAD_EXTENSION",
        "ENABLE_RTREE",
        "ENABLE_STAT4",
        "HAVE_ISNAN",
        "MALLOC_SOFT_LIMIT=1024",
        "MAX_ATTACHED=10",
        "MAX_COLUMN=2000",
        "MAX_COMPOUND_SELECT=500",
        "MAX_DEFAULT_PAGE_SIZE=8192",
        "MAX_EXPR_DEPTH=1000",
        "MAX_FUNCTION_ARG=1000",
        "MAX_LENGTH=1000000000",
        "MAX_LIKE_PATTERN_LENGTH=50000",
        "MAX_MMAP_SIZE=0x7fff0000",
        "MAX_PAGE_COUNT=0xfffffffe",
        "MAX_PAGE_SIZE=65536",
        "MAX_SCHEMA=10000000",
        "MAX_SQL_LENGTH=1000000000",
        "MAX_TRIGGER_DEPTH=1000",
        "MAX_VARIABLE_NUMBER=32766",
        "MAX_VDBE_OP=250000000",
        "MAX_WORKER_THREADS=8",
        "MUTEX_PTHREADS",
        "SOUNDEX",
        "SYSTEM_MALLOC",
        "TEMP_STORE=1",
        "THREADSAFE=1",
        "USE_URI",
    ];

    #[test]
    fn the_options_do_not_depend_on_who_builds() {
        // What the compiler can do, and nothing that SQLite does otherwise.
        let compilers = |one: &&str| one.starts_with("ATOMIC_INTRINSICS");
        let ours: Vec<&str> = options()
            .into_iter()
            .filter(|one| !compilers(one))
            .collect();
        assert_eq!(ours, OPTIONS);
    }

    #[test]
    fn another_option_is_another_version() {
        let mut other = options();
        assert_eq!(digest_of(&other), digest());
        other.push("OMIT_WAL");
        assert_ne!(digest_of(&other), digest());
    }
}
