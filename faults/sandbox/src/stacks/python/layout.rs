//! Where CPython keeps what is read of it, for each version that is known.
//!
//! 3.11 and 3.12 have their places from the headers of `Include/internal` (`pycore_runtime.h`,
//! `pycore_interp.h`, `pycore_frame.h`) and `Include/cpython` (`pystate.h`, `code.h`, `unicodeobject.h`),
//! which do not change within a minor version. 3.13 says them itself, in the `_Py_DebugOffsets` at the
//! begin of `_PyRuntime`, whose form is fixed within a minor version as well. No other version is read.

use super::super::memory::Pages;

/// What stands in front of an object: its count of references, and its type.
pub(super) const TYPE_AT: u64 = 8;
/// Of a `str` and a `bytes` alike (`PyASCIIObject.length`, `PyVarObject.ob_size`).
pub(super) const LENGTH_AT: u64 = 16;
/// `PyASCIIObject.state`.
pub(super) const STATE_AT: u64 = 32;
/// `PyBytesObject.ob_sval`.
pub(super) const BYTES_AT: u64 = 32;
/// A place that is further away than this is none.
const FAR: u64 = 1 << 20;

/// How the outermost frame of a call of the evaluation loop is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// By a flag of its own (3.11).
    Flag(u64),
    /// By a frame behind it that belongs to the C stack (since 3.12): `owner` is there, and is 3.
    Shim(u64),
}

/// Distances from the begin of each structure, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Of the runtime: the first interpreter.
    pub(super) interpreters: u64,
    /// Of an interpreter: the next one, and its first thread.
    pub(super) next_interpreter: u64,
    pub(super) threads: u64,
    /// Of a thread: the next one, its interpreter, and its number in its PID namespace.
    pub(super) next_thread: u64,
    pub(super) interpreter: u64,
    pub(super) native_id: u64,
    /// The innermost frame: of the thread; before 3.13 of what the thread points to at the first place.
    pub(super) c_frame: Option<u64>,
    pub(super) innermost: u64,
    /// Of a frame: the one that called it, its code object, and where it is in that.
    pub(super) previous: u64,
    pub(super) code: u64,
    pub(super) instruction: u64,
    pub(super) entry: Entry,
    /// Of a code object.
    pub(super) first_line: u64,
    pub(super) filename: u64,
    pub(super) qualified_name: u64,
    pub(super) lines: u64,
    pub(super) instructions: u64,
    /// How long the head of a `str` is: of one of ASCII alone, and of any other.
    pub(super) ascii_head: u64,
    pub(super) unicode_head: u64,
}

const V3_11: Layout = Layout {
    interpreters: 40,
    next_interpreter: 0,
    threads: 16,
    next_thread: 8,
    interpreter: 16,
    native_id: 160,
    c_frame: Some(56),
    innermost: 8,
    previous: 48,
    code: 32,
    instruction: 56,
    entry: Entry::Flag(68),
    first_line: 72,
    filename: 112,
    qualified_name: 128,
    lines: 136,
    instructions: 184,
    ascii_head: 48,
    unicode_head: 72,
};

const V3_12: Layout = Layout {
    interpreters: 40,
    next_interpreter: 0,
    threads: 72,
    next_thread: 8,
    interpreter: 16,
    native_id: 144,
    c_frame: Some(56),
    innermost: 0,
    previous: 8,
    code: 0,
    instruction: 56,
    entry: Entry::Shim(70),
    first_line: 68,
    filename: 112,
    qualified_name: 128,
    lines: 136,
    instructions: 192,
    ascii_head: 40,
    unicode_head: 56,
};

/// How many words `_Py_DebugOffsets` of 3.13 has, and how it begins.
pub(super) const OFFSETS: usize = 73;
const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");

/// Whether frames of this version are known, from its name (`PY_VERSION_HEX`).
pub(super) fn known(version: u32) -> bool {
    // A release, and neither an alpha, a beta nor a candidate.
    version & 0xf0 == 0xf0 && (0x030b..=0x030d).contains(&(version >> 16))
}

impl Layout {
    /// That of a version, where its runtime is at this address. The error says why there is none.
    pub(super) fn of<R: FnMut(u64, &mut [u8]) -> usize>(
        version: u32,
        runtime: u64,
        memory: &mut Pages<R>,
    ) -> Result<Self, &'static str> {
        match version >> 16 {
            _ if !known(version) => Err("its version is not known"),
            0x030b => Ok(V3_11),
            0x030c => Ok(V3_12),
            _ => {
                let mut bytes = [0; OFFSETS * 8];
                memory
                    .copy(runtime, &mut bytes)
                    .ok_or("its memory cannot be read")?;
                let (words, _) = bytes.as_chunks::<8>();
                let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
                Self::from_debug_offsets(&words, version)
            }
        }
    }

    /// What a 3.13 says of itself, as the words of its `_Py_DebugOffsets`.
    fn from_debug_offsets(words: &[u64], version: u32) -> Result<Self, &'static str> {
        let [cookie, of, free_threaded, ..] = *words else {
            return Err("its memory cannot be read");
        };
        if words.len() != OFFSETS || cookie != COOKIE || of != u64::from(version) {
            return Err("what it says of itself is not known");
        }
        if free_threaded != 0 {
            return Err("it has no global lock, and is not known");
        }
        let fixed = [words[45], words[65], words[66], words[68], words[69]];
        if fixed != [TYPE_AT, LENGTH_AT, BYTES_AT, STATE_AT, LENGTH_AT]
            || words[3..].iter().any(|distance| *distance >= FAR)
        {
            return Err("what it says of itself is not known");
        }
        Ok(Self {
            interpreters: words[5],
            next_interpreter: words[8],
            threads: words[9],
            next_thread: words[21],
            interpreter: words[22],
            native_id: words[25],
            c_frame: None,
            innermost: words[23],
            previous: words[29],
            code: words[30],
            instruction: words[31],
            entry: Entry::Shim(words[33]),
            first_line: words[39],
            filename: words[35],
            qualified_name: words[37],
            lines: words[38],
            instructions: words[43],
            ascii_head: words[70],
            // Behind that the text as UTF-8 and its length.
            unicode_head: words[70] + 16,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_of_three_versions_are_known() {
        for version in [0x030b_02f0, 0x030b_07f0, 0x030c_01f0, 0x030d_00f0] {
            assert!(known(version), "{version:x}");
        }
        for version in [0, 0x0307_10f0, 0x030a_0df0, 0x030d_00c1, 0x030e_00f0] {
            assert!(!known(version), "{version:x}");
        }
    }

    #[test]
    fn what_a_runtime_says_of_itself_is_held_to_what_is_known() {
        let version = 0x030d_00f0;
        let mut words = vec![0; OFFSETS];
        words[..2].copy_from_slice(&[COOKIE, u64::from(version)]);
        (words[45], words[65], words[66]) = (TYPE_AT, LENGTH_AT, BYTES_AT);
        (words[68], words[69], words[70]) = (STATE_AT, LENGTH_AT, 40);
        let sound = Layout::from_debug_offsets(&words, version).expect("sound");
        assert_eq!((sound.ascii_head, sound.unicode_head), (40, 56));
        let broken = |at: usize, word: u64| {
            let mut words = words.clone();
            words[at] = word;
            Layout::from_debug_offsets(&words, version).is_err()
        };
        assert!(broken(0, 0) && broken(1, 0x030d_01f0) && broken(2, 1));
        assert!(broken(45, 16) && broken(23, u64::MAX));
        assert!(Layout::from_debug_offsets(&words[1..], version).is_err());
    }
}
