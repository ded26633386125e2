//! Inputs made from sound ones.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::subject::{Shape, Subject};

/// The longest input, in bytes.
const LONGEST: usize = 1 << 20;
/// Texts that mean something to some reader of them.
const WORDS: [&str; 25] = [
    "../escaped",
    "../../../../tmp/plugpull-fuzz-escape",
    "/tmp/plugpull-fuzz-escape",
    "..",
    ".",
    "",
    "a/b",
    "a\0b",
    "\u{1b}[31mred",
    "<script>pp</script>",
    "]]>",
    "\n::stop-commands::pp",
    "::error title=pp::",
    "|`*_[x](y)",
    "\u{202e}\u{feff}",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
    "nan",
    "5%",
    "1s",
    "op=write",
    "recovery",
    "'\"\\",
];
/// Numbers at the edge of something.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    127,
    128,
    255,
    4095,
    4096,
    u32::MAX as u64,
    1 << 44,
    i64::MAX as u64,
    u64::MAX,
];

/// The input of this number: nothing else decides it.
#[must_use]
pub fn input(subject: &Subject, seeds: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let base = pick(seeds, &mut rng).cloned().unwrap_or_default();
    let other = pick(seeds, &mut rng).cloned().unwrap_or_default();
    let mut bytes = match subject.shape {
        Shape::Json if rng.random_bool(0.8) => json(&base, &mut rng),
        Shape::Frames if rng.random_bool(0.8) => frames(&base, &mut rng),
        shape => {
            let mut bytes = base;
            for _ in 0..rng.random_range(1..=6) {
                change(&mut bytes, &other, shape != Shape::Bytes, &mut rng);
            }
            bytes
        }
    };
    bytes.truncate(LONGEST);
    bytes
}

fn pick<'a, T>(from: &'a [T], rng: &mut impl Rng) -> Option<&'a T> {
    from.get(rng.random_range(0..from.len().max(1)))
}

/// A range of at least one byte where there is one.
fn range(len: usize, rng: &mut impl Rng) -> std::ops::Range<usize> {
    let from = rng.random_range(0..=len);
    let most = (len - from).min(if rng.random_bool(0.8) { 16 } else { len });
    from..from + rng.random_range(0..=most)
}

/// One change of bytes.
fn change(bytes: &mut Vec<u8>, other: &[u8], text: bool, rng: &mut impl Rng) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..9) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        2 if at < bytes.len() => bytes[at] = rng.random(),
        3 => {
            let range = range(bytes.len(), rng);
            bytes.drain(range);
        }
        4 => {
            let piece = bytes[range(bytes.len(), rng)].to_vec();
            let times = if rng.random_bool(0.05) { 5000 } else { 2 };
            let times = times.min(LONGEST / piece.len().max(1));
            bytes.splice(at..at, piece.repeat(times));
        }
        5 => bytes.truncate(at),
        6 => {
            let piece = other[range(other.len(), rng)].to_vec();
            bytes.splice(at..at, piece);
        }
        7 if text => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
        7 => {
            let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
            for (to, byte) in bytes[at..].iter_mut().zip(number.to_le_bytes()) {
                *to = byte;
            }
        }
        _ if text => {
            let number = NUMBERS[rng.random_range(0..NUMBERS.len())].to_string();
            bytes.splice(at..at, number.into_bytes());
        }
        _ => bytes.insert(at, rng.random()),
    }
}

/// JSON, changed as values; each line that is a value of its own is one.
fn json(base: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let one = serde_json::from_slice::<Value>(base).ok();
    let mut values = match one {
        Some(value) => vec![value],
        None => base
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect(),
    };
    for _ in 0..rng.random_range(1..=2) {
        let Some(value) = pick_mut(&mut values, rng) else {
            break;
        };
        let spare = value.clone();
        let nodes = count(value);
        let donor = nth(&mut spare.clone(), rng.random_range(0..nodes)).map(|node| node.clone());
        if let Some(node) = nth(value, rng.random_range(0..nodes)) {
            change_value(node, donor.unwrap_or(Value::Null), rng);
        }
    }
    if values.len() > 1 && rng.random_bool(0.2) {
        let (from, to) = (
            rng.random_range(0..values.len()),
            rng.random_range(0..values.len()),
        );
        match rng.random_bool(0.5) {
            true => values.swap(from, to),
            false => values.insert(to, values[from].clone()),
        }
    }
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend(value.to_string().into_bytes());
        bytes.push(b'\n');
    }
    if rng.random_bool(0.1) {
        change(&mut bytes, base, true, rng);
    }
    bytes
}

fn pick_mut<'a, T>(from: &'a mut [T], rng: &mut impl Rng) -> Option<&'a mut T> {
    let at = rng.random_range(0..from.len().max(1));
    from.get_mut(at)
}

/// How many values there are in one, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(count).sum(),
        Value::Object(all) => all.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of this number, the outermost first.
fn nth(value: &mut Value, number: usize) -> Option<&mut Value> {
    if number == 0 {
        return Some(value);
    }
    let mut left = number - 1;
    let below: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(all) => Box::new(all.iter_mut()),
        Value::Object(all) => Box::new(all.values_mut()),
        _ => return None,
    };
    for one in below {
        let own = count(one);
        if left < own {
            return nth(one, left);
        }
        left -= own;
    }
    None
}

fn change_value(node: &mut Value, donor: Value, rng: &mut impl Rng) {
    let word = || WORDS[(*node).to_string().len() % WORDS.len()];
    *node = match rng.random_range(0..10) {
        0 => Value::Null,
        1 => NUMBERS[rng.random_range(0..NUMBERS.len())].into(),
        2 => Value::from(-rng.random_range(0..i64::MAX)),
        3 => Value::from(WORDS[rng.random_range(0..WORDS.len())]),
        4 => donor,
        5 => Value::from(rng.random_range(-1e300..1e300)),
        6 => {
            // Deep, but not too deep to be dropped without recursion trouble here.
            let mut deep = Value::Null;
            for _ in 0..rng.random_range(1..200) {
                deep = Value::Array(vec![deep]);
            }
            deep
        }
        7 => Value::from(word().repeat(rng.random_range(1..300))),
        _ => match node.take() {
            Value::Array(mut all) if !all.is_empty() => {
                let at = rng.random_range(0..all.len());
                match rng.random_bool(0.5) {
                    true => drop(all.remove(at)),
                    false => all.insert(at, all[at].clone()),
                }
                Value::Array(all)
            }
            Value::Object(mut all) if !all.is_empty() => {
                let key = all.keys().nth(rng.random_range(0..all.len())).cloned();
                let taken = key.and_then(|key| all.remove(&key));
                if rng.random_bool(0.3) {
                    all.insert("unheard-of".into(), taken.unwrap_or_default());
                }
                Value::Object(all)
            }
            Value::String(text) => Value::from(change_text(text, rng)),
            other => other,
        },
    };
}

/// Another text; where it is base64, mostly of other bytes.
fn change_text(text: String, rng: &mut impl Rng) -> String {
    match STANDARD.decode(&text) {
        Ok(mut bytes) if rng.random_bool(0.7) => {
            match rng.random_bool(0.5) {
                true => bytes = WORDS[rng.random_range(0..WORDS.len())].into(),
                false => change(&mut bytes, b"../", true, rng),
            }
            STANDARD.encode(bytes)
        }
        _ => {
            let mut bytes = text.into_bytes();
            change(&mut bytes, b"xyz", true, rng);
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

/// Bytes of a frame before its payload: kind, packed and plain length, checksum.
const HEAD: usize = 17;

/// The frames of a trace behind its first line, with their plain payloads.
fn unframed(bytes: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let number = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four) as usize)
    };
    let mut at = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let mut all = Vec::new();
    while at < bytes.len() {
        let (packed, len) = (number(at + 1)?, number(at + 5)?);
        let payload = bytes.get(at + HEAD..at + HEAD + packed)?;
        let plain = lz4_flex::block::decompress(payload, len).ok()?;
        all.push((bytes[at], plain));
        at += HEAD + packed;
    }
    Some(all)
}

/// A trace whose frames are changed within, and whose checksums are right.
fn frames(base: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let Some(mut all) = unframed(base).filter(|all| !all.is_empty()) else {
        return base.to_vec();
    };
    for _ in 0..rng.random_range(1..=3) {
        let at = rng.random_range(0..all.len());
        match rng.random_range(0..10) {
            // In place, so that what follows is still read.
            0..=6 => {
                let payload = &mut all[at].1;
                for _ in 0..rng.random_range(1..=3) {
                    if let Some(byte) = pick_mut(payload, rng) {
                        *byte = match rng.random_bool(0.5) {
                            true => rng.random(),
                            false => *byte ^ (1 << rng.random_range(0..8)),
                        };
                    }
                }
            }
            7 => change(&mut all[at].1, base, false, rng),
            8 => {
                let copy = all[at].clone();
                all.insert(at, copy);
            }
            _ => {
                all.remove(at);
                if all.is_empty() {
                    break;
                }
            }
        }
    }
    let head = base.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let mut bytes = base[..=head].to_vec();
    for (kind, payload) in all {
        let packed = lz4_flex::block::compress(&payload);
        let mut head = vec![kind];
        head.extend((packed.len() as u32).to_le_bytes());
        head.extend((payload.len() as u32).to_le_bytes());
        let mut hash = Xxh3::new();
        hash.update(&head);
        hash.update(&packed);
        bytes.extend(&head);
        bytes.extend(hash.digest().to_le_bytes());
        bytes.extend(packed);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_decides_the_input_and_others_give_others() {
        for subject in crate::all() {
            let seeds = (subject.seeds)();
            assert!(!seeds.is_empty(), "{}", subject.name);
            let make = |number| input(&subject, &seeds, 7, number);
            assert_eq!(make(3), make(3));
            let all: std::collections::BTreeSet<_> = (0..100).map(make).collect();
            assert!(all.len() > 50, "{}: {} inputs", subject.name, all.len());
        }
    }

    #[test]
    fn frames_are_sound_but_for_what_is_in_them() {
        let trace = &(crate::subjects::stored::TRACE.seeds)()[0];
        let before = unframed(trace).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut changed = 0;
        for _ in 0..50 {
            let after = unframed(&frames(trace, &mut rng)).unwrap();
            changed += usize::from(after != before);
        }
        assert!(changed > 30, "{changed}");
    }
}
