//! What an artifact of somebody else's may hold: names that stay on its disk, each inode once, and no
//! more than memory has room for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use plugpull_crashsim::fs::{FILE_MAX, Ino, ROOT, check_name};

/// The longest path on the disk, in bytes (path_resolution(7)).
const PATH_MAX: usize = 4096;
/// The deepest that directories lie in each other. plugpull writes a deeper tree nowhere.
const DEPTH_MAX: usize = 256;
/// The most names.
const NAMES_MAX: usize = 4 << 20;
/// The highest number of an inode.
const INO_MAX: Ino = 1 << 48;
/// The most that all files hold, in bytes: what the disk of a trial has.
const CONTENT_MAX: u64 = 16 << 30;

/// What was read so far.
#[derive(Default)]
pub(super) struct ArtifactLimits {
    names: usize,
    content: u64,
    /// Whether each inode may have more than one name.
    known: BTreeMap<Ino, bool>,
}

impl ArtifactLimits {
    /// The directories and the name of a path. `new` is true where it says what it names; else it is one
    /// more name of a file that is known.
    pub(super) fn name<'p>(
        &mut self,
        path: &'p OsStr,
        ino: Ino,
        new: bool,
    ) -> anyhow::Result<(Vec<&'p OsStr>, &'p OsStr)> {
        let shown: String = path.to_string_lossy().chars().take(200).collect();
        self.names += 1;
        ensure!(
            self.names <= NAMES_MAX,
            "it has more than {NAMES_MAX} names"
        );
        ensure!(
            path.len() <= PATH_MAX,
            "the path {shown:?}... is longer than {PATH_MAX} bytes"
        );
        let mut parts: Vec<&OsStr> = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .map(OsStr::from_bytes)
            .collect();
        for part in &parts {
            if let Err(why) = check_name(part) {
                anyhow::bail!("the path {shown:?} leads out of its disk: {why}");
            }
        }
        let name = parts.pop().context("a name without a name")?;
        ensure!(
            parts.len() < DEPTH_MAX,
            "{shown:?} lies in more than {DEPTH_MAX} directories"
        );
        ensure!(
            ino > ROOT && ino <= INO_MAX,
            "{shown:?} names the inode {ino}, and no file has that number"
        );
        match (new, self.known.get(&ino)) {
            (true, Some(_)) => anyhow::bail!("it says twice what the inode {ino} is: at {shown:?}"),
            (false, None) => {
                anyhow::bail!("{shown:?} names the inode {ino}, and nothing says what it is")
            }
            (false, Some(false)) => anyhow::bail!("{shown:?} is a second name of a directory"),
            (true, None) | (false, Some(true)) => {}
        }
        Ok((parts, name))
    }

    /// The inode is known from here on; a directory has one name.
    pub(super) fn known(&mut self, ino: Ino, is_directory: bool) {
        self.known.insert(ino, !is_directory);
    }

    /// What a symbolic link leads to.
    pub(super) fn symlink(&self, shown: &str, to: &str) -> anyhow::Result<Vec<u8>> {
        let to = STANDARD
            .decode(to)
            .with_context(|| format!("the symbolic link {shown:?} leads to no base64"))?;
        ensure!(
            to.len() < PATH_MAX && !to.contains(&0),
            "the symbolic link {shown:?} leads to what is no path"
        );
        Ok(to)
    }

    /// The size of a file.
    pub(super) fn size(&self, shown: &str, size: u64) -> anyhow::Result<()> {
        ensure!(
            size <= FILE_MAX,
            "{shown:?} has {size} bytes, and no file has so many"
        );
        Ok(())
    }

    /// The bytes of a run of a file of this size.
    pub(super) fn run(
        &mut self,
        shown: &str,
        size: u64,
        offset: u64,
        data: &str,
    ) -> anyhow::Result<Vec<u8>> {
        self.size(shown, size)?;
        let packed = STANDARD
            .decode(data)
            .with_context(|| format!("the bytes of {shown:?} at {offset} are no base64"))?;
        // One byte more than there may be, so that more is noticed and never unpacked.
        let room = size
            .checked_sub(offset)
            .with_context(|| format!("{shown:?} has bytes at {offset}, behind its end"))?
            .min(CONTENT_MAX - self.content);
        let mut bytes = Vec::new();
        ZlibDecoder::new(packed.as_slice())
            .take(room + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("the bytes of {shown:?} at {offset} cannot be unpacked"))?;
        ensure!(
            bytes.len() as u64 <= room,
            "{shown:?} has more bytes at {offset} than its size, or than a disk of {} GiB, has room for",
            CONTENT_MAX >> 30
        );
        self.content += bytes.len() as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn refusal(path: &str, ino: Ino, new: bool) -> String {
        let mut limits = ArtifactLimits::default();
        limits.known(2, false);
        limits.known(3, true);
        match limits.name(OsStr::new(path), ino, new) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_path_that_leads_out_of_the_disk_is_refused_as_that() {
        for path in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "./a",
            "..",
            "",
            "a\0b",
        ] {
            let why = refusal(path, 7, true);
            assert!(why.contains("leads out of its disk"), "{path:?}: {why}");
        }
        assert_eq!(refusal("a/b/...c", 7, true), "");
    }

    #[test]
    fn each_inode_is_described_once() {
        assert!(refusal("a", 2, true).contains("twice"));
        assert!(refusal("a", 9, false).contains("nothing says"));
        assert!(refusal("a", 3, false).contains("second name of a directory"));
        assert!(refusal("a", ROOT, true).contains("no file has"));
        assert!(refusal("a", u64::MAX, true).contains("no file has"));
        assert_eq!(refusal("a", 2, false), "");
    }

    #[test]
    fn bytes_that_unpack_to_more_than_their_file_are_refused() {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&vec![0; 1 << 20]).unwrap();
        let data = STANDARD.encode(packed.finish().unwrap());
        let mut limits = ArtifactLimits::default();
        assert_eq!(limits.run("f", 1 << 20, 0, &data).unwrap().len(), 1 << 20);
        for (size, offset, why) in [
            (1 << 19, 0, "room for"),
            (1 << 20, 1, "room for"),
            (10, 11, "behind its end"),
            (u64::MAX, 0, "no file has"),
        ] {
            let error = limits
                .run("f", size, offset, &data)
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{size} {offset}: {error}");
        }
    }
}
