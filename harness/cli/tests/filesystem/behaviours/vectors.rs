//! preadv(2), pwritev(2) and their flags; reads and writes of odd sizes.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use libc::{RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC};

use super::{Behaviour, behaviour, file, text};
use crate::outcome::{line, value};
use crate::sys::{preadv2, pwritev2};

pub(super) const LIST: &[Behaviour] = &[
    behaviour("vector.written", "6 .abbccc", || {
        let file = file("f", "")?;
        let mut parts = [b"a".to_vec(), b"bb".to_vec(), b"ccc".to_vec()];
        let mut list: Vec<&mut [u8]> = parts.iter_mut().map(|part| &mut part[..]).collect();
        line([value(pwritev2(&file, &mut list, 1, 0)), text("f")?])
    }),
    behaviour("vector.read", "5 el|lo.|", || {
        let file = file("f", "hello!")?;
        let (mut one, mut two) = ([b'.'; 2], [b'.'; 3]);
        let read = value(preadv2(&file, &mut [&mut one, &mut two], 1, 0));
        let shown = [String::from_utf8_lossy(&one), String::from_utf8_lossy(&two)].join("|");
        Ok(format!("{read} {}|", shown.replace('!', ".")))
    }),
    behaviour("vector.read-at-the-end", "2 0", || {
        let file = file("f", "hello")?;
        let (mut one, mut two) = ([0; 2], [0; 3]);
        line([
            value(preadv2(&file, &mut [&mut one, &mut two], 3, 0)),
            value(preadv2(&file, &mut [&mut one, &mut two], 5, 0)),
        ])
    }),
    behaviour("vector.negative-offset", "EINVAL EINVAL", || {
        let file = file("f", "hello")?;
        let mut one = [0; 2];
        line([
            value(preadv2(&file, &mut [&mut one], -2, 0)),
            value(pwritev2(&file, &mut [&mut one], -2, 0)),
        ])
    }),
    behaviour("vector.append-flag", "2 helloXY", || {
        let file = file("f", "hello")?;
        let mut bytes = *b"XY";
        line([
            value(pwritev2(&file, &mut [&mut bytes], 0, RWF_APPEND)),
            text("f")?,
        ])
    }),
    behaviour("vector.sync-flags", "2 2 2 XY", || {
        let file = file("f", "")?;
        let mut bytes = *b"XY";
        let mut write = |flags| value(pwritev2(&file, &mut [&mut bytes], 0, flags));
        let wrote = [write(RWF_DSYNC), write(RWF_SYNC), write(RWF_HIPRI)];
        Ok(format!("{} {}", wrote.join(" "), text("f")?))
    }),
    behaviour("vector.cached-read-without-waiting", "5", || {
        let file = file("f", "hello")?;
        file.read_at(&mut [0; 8], 0)?;
        let mut bytes = [0; 8];
        Ok(value(preadv2(&file, &mut [&mut bytes], 0, RWF_NOWAIT)))
    }),
    behaviour("vector.a-thousand-parts", "1000 true", || {
        let file = file("f", "")?;
        let mut parts: Vec<Vec<u8>> = (0..1000).map(|n| vec![(n % 251) as u8; 7]).collect();
        let mut list: Vec<&mut [u8]> = parts.iter_mut().map(|part| &mut part[..]).collect();
        let wrote = pwritev2(&file, &mut list, 0, 0)? / 7;
        Ok(format!("{wrote} {}", fs::read("f")? == parts.concat()))
    }),
    behaviour("io.odd-sizes", "true", || {
        let mut file = file("f", "")?;
        let mut all = Vec::new();
        for (n, len) in [
            1, 2, 511, 512, 513, 4095, 4096, 4097, 65_537, 131_073, 1_048_577,
        ]
        .iter()
        .enumerate()
        {
            let bytes = vec![b'a' + n as u8; *len];
            file.write_all(&bytes)?;
            all.extend(bytes);
        }
        file.seek(SeekFrom::Start(0))?;
        let mut read = Vec::new();
        file.read_to_end(&mut read)?;
        Ok((read == all).to_string())
    }),
    behaviour("io.overwritten-in-pieces", "true", || {
        let file = file("f", vec![0; 100_000])?;
        let mut plain = vec![0; 100_000];
        // Steps that are prime to the page meet every alignment.
        for n in 0..2000u64 {
            let (at, len) = ((n * 7919) % 99_000, 1 + (n * 31) as usize % 997);
            let bytes = vec![n as u8; len];
            file.write_all_at(&bytes, at)?;
            plain[at as usize..at as usize + len].copy_from_slice(&bytes);
        }
        let mut read = vec![0; 100_000];
        file.read_exact_at(&mut read, 0)?;
        Ok((read == plain && fs::read("f")? == plain).to_string())
    }),
    behaviour("io.one-write-of-eight-mebibytes", "8388608 true", || {
        let bytes: Vec<u8> = (0..8u32 << 20).map(|n| (n / 1021) as u8).collect();
        let mut file = file("f", "")?;
        Ok(format!(
            "{} {}",
            file.write(&bytes)?,
            fs::read("f")? == bytes
        ))
    }),
];
