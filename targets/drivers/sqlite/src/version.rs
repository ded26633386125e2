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
    let bytes = options()
        .into_iter()
        .flat_map(|one| one.bytes().chain(*b"\n"));
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

    #[test]
    fn the_options_are_those_of_the_pragma() {
        let db = rusqlite::Connection::open_in_memory().expect("a database");
        let mut pragma = db.prepare("PRAGMA compile_options").expect("a pragma");
        let listed: Vec<String> = pragma
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .expect("options");
        let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
        let ours = options();
        assert!(ours.iter().any(|one| one.starts_with("THREADSAFE=")));
        assert!(ours.iter().all(|one| listed.contains(one)));
        // Only the compiler is left out.
        assert!(ours.len() + 1 >= listed.len(), "{ours:?} {listed:?}");
    }
}
