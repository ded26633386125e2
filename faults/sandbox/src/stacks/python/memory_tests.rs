//! The reader against memory that holds anything: an interpreter in a few pages, sound and mutated.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

const BASE: u64 = 0x7000_0000_0000;
const SIZE: usize = 16 << 10;
const RUNTIME: u64 = BASE + 0x100;
const INTERPRETER: u64 = BASE + 0x200;
const THREAD: u64 = BASE + 0x300;
const C_FRAME: u64 = BASE + 0x400;
const FRAMES: u64 = BASE + 0x1000;
const CODE: u64 = BASE + 0x2000;
const FILE: u64 = BASE + 0x3000;
const NAME: u64 = BASE + 0x3100;
const LINES: u64 = BASE + 0x3200;
const TYPES: [u64; 3] = [BASE + 0x10, BASE + 0x20, BASE + 0x30];
const ID: u32 = 77;

/// An interpreter of 3.11 whose one thread has three frames, of which the inner two are one group.
fn image() -> Vec<u8> {
    let mut image = vec![0; SIZE];
    let mut put = |at: u64, bytes: &[u8]| {
        let at = (at - BASE) as usize;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let mut word = |at: u64, value: u64| put(at, &value.to_ne_bytes());
    word(RUNTIME + 40, INTERPRETER);
    word(INTERPRETER + 16, THREAD);
    word(THREAD + 16, INTERPRETER);
    word(THREAD + 160, ID.into());
    word(THREAD + 56, C_FRAME);
    word(C_FRAME + 8, FRAMES);
    for number in 0..3 {
        let frame = FRAMES + number * 0x80;
        word(frame + 48, if number < 2 { frame + 0x80 } else { 0 });
        word(frame + 32, CODE);
        word(frame + 56, CODE + 184 + 2 * number);
        word(frame + 68, u64::from(number > 0));
    }
    word(CODE + 8, TYPES[0]);
    word(CODE + 72, 40);
    word(CODE + 112, FILE);
    word(CODE + 128, NAME);
    word(CODE + 136, LINES);
    for (at, text) in [(FILE, "store.py"), (NAME, "save")] {
        word(at + 8, TYPES[1]);
        word(at + 16, text.len() as u64);
        // One byte each, compact, ASCII.
        word(at + 32, 1 << 2 | 1 << 5 | 1 << 6);
    }
    word(LINES + 8, TYPES[2]);
    word(LINES + 16, 6);
    put(FILE + 48, b"store.py");
    put(NAME + 48, b"save");
    // One unit each, one line on.
    put(LINES + 32, &[0xd8, 1, 1, 0xd8, 1, 1]);
    image
}

/// The memory, and how many pages were asked for.
fn read(image: &[u8], version: u32) -> (Result<PythonFrames, Why>, usize) {
    let symbols = Symbols {
        runtime: RUNTIME - BASE,
        version: Some(version),
        types: TYPES.map(|at| at - BASE),
        eval: Vec::new(),
    };
    let mut reads = 0;
    let mut memory = Pages::new(|from: u64, into: &mut [u8]| {
        reads += 1;
        let at = from.wrapping_sub(BASE) as usize;
        let there = image.get(at..).unwrap_or_default();
        let len = there.len().min(into.len());
        into[..len].copy_from_slice(&there[..len]);
        len
    });
    let found = Interpreter::new(symbols, BASE, "/usr/bin/python3").frames(ID, &mut memory);
    drop(memory);
    (found, reads)
}

#[test]
fn a_sound_interpreter_has_its_frames() {
    let (found, _) = read(&image(), 0x030b_02f0);
    let found = found.expect("sound");
    let lines = |group: &Vec<PythonFrame>| group.iter().map(|one| one.line).collect::<Vec<_>>();
    let groups: Vec<_> = found.groups.iter().map(lines).collect();
    assert_eq!(groups, [vec![Some(41), Some(42)], vec![None]]);
    let first = &found.groups[0][0];
    assert_eq!((&*first.file, &*first.function), ("store.py", "save"));
    assert!(!found.cut);
}

#[test]
fn what_is_not_known_has_no_frames() {
    for version in [0x030a_0df0, 0x030e_00f0, 0x030b_00c1] {
        let (found, reads) = read(&image(), version);
        let why = found.expect_err("not known");
        assert!(why.contains("is not known"), "{why}");
        assert_eq!(reads, 0);
    }
    let broken = |at: u64, value: u64| {
        let mut image = image();
        let at = (at - BASE) as usize;
        image[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        read(&image, 0x030b_02f0).0.expect_err("broken")
    };
    for (at, value, why) in [
        (INTERPRETER, THREAD, "several interpreters"),
        (THREAD + 160, 78, "none of its threads"),
        (THREAD + 16, 1, "none of its threads"),
        (CODE + 8, 1, "frames cannot be read"),
        (FILE + 8, 1, "frames cannot be read"),
        (NAME + 16, 1 << 40, "frames cannot be read"),
        (LINES + 16, u64::MAX, "frames cannot be read"),
        (FRAMES + 0x100 + 68, 0, "frames cannot be read"),
    ] {
        let found = broken(at, value);
        assert!(found.contains(why), "{at:x}: {found}");
    }
}

/// Lists that come back to themselves end, and so do frames without an end.
#[test]
fn what_goes_in_circles_ends() {
    let set = |at: u64, value: u64, image: &mut Vec<u8>| {
        let at = (at - BASE) as usize;
        image[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    };
    let mut circle = image();
    set(FRAMES + 0x100 + 48, FRAMES, &mut circle);
    let (found, _) = read(&circle, 0x030b_02f0);
    let found = found.expect("frames");
    assert!(found.cut);
    assert_eq!(found.groups.iter().flatten().count(), FRAMES_MAX);
    let mut circle = image();
    set(THREAD + 160, 78, &mut circle);
    set(THREAD + 8, THREAD, &mut circle);
    assert!(read(&circle, 0x030b_02f0).0.is_err());
}

/// Mutated and random memory: no panic, no more than so many frames, names and reads.
#[test]
fn any_memory_is_read_within_limits() {
    let sound = image();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let interesting = [0, 1, 0xff, 0x7f, 0x80, 0x70, 0x30, 0x20, 0x10];
    let mut still_found = 0;
    for round in 0..20_000 {
        let mut image = sound.clone();
        for _ in 0..random.random_range(1..12) {
            let at = match random.random_range(0..3) {
                0 => random.random_range(0..SIZE),
                _ => {
                    // Near something that is read.
                    let of = [
                        RUNTIME,
                        INTERPRETER,
                        THREAD,
                        C_FRAME,
                        FRAMES,
                        CODE,
                        FILE,
                        NAME,
                        LINES,
                    ];
                    let at = of[random.random_range(0..of.len())] - BASE;
                    at as usize + random.random_range(0..0x100)
                }
            };
            image[at] = match random.random_range(0..2) {
                0 => random.random(),
                _ => interesting[random.random_range(0..interesting.len())],
            };
        }
        if round % 50 == 0 {
            let at = random.random_range(0..SIZE);
            image.truncate(at);
        }
        let (found, reads) = read(&image, 0x030b_02f0);
        assert!(reads <= 1024, "{reads} reads");
        let Ok(found) = found else { continue };
        still_found += 1;
        let frames = || found.groups.iter().flatten();
        assert!(frames().count() <= FRAMES_MAX && found.groups.len() <= VISITED_MAX);
        assert!(frames().all(|one| one.file.chars().count() <= NAME_MAX as usize));
    }
    // It is not all refused at the door.
    assert!((2_000..18_000).contains(&still_found), "{still_found}");
}
