//! The artifact: one file that holds a crash state, what was owed there, and what went wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use plugpull_crashsim::fs::{Caller, Ino, NewNode, Node, ROOT, Tree};
use plugpull_reports::TimelineStep;
use plugpull_workloads::{FailureClass, Finding, History, Promise, Stamp};
use serde::{Deserialize, Serialize};

/// The version of the form.
const SCHEMA: &str = "plugpull.artifact/1";
/// The largest file that is read back, in bytes: a guard against a damaged length.
const FILE_LIMIT: u64 = 1 << 40;

/// A finding that can be replayed anywhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Artifact {
    schema: String,
    /// plugpull's version.
    pub plugpull: String,
    /// What it is about.
    #[serde(flatten)]
    pub about: About,
    /// The disk.
    disk: Vec<Saved>,
    /// The disk's digest: what is rebuilt must have the same.
    digest: String,
}

/// One name of the disk. Hard links are saved as names of the same number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    /// The name's path, as base64 of its bytes.
    path: String,
    /// What it names.
    ino: Ino,
    mode: u32,
    uid: u32,
    gid: u32,
    /// What is in it, the first time its number occurs.
    content: Option<SavedContent>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SavedContent {
    Folder,
    /// Size, and runs of data as offset and base64 of zlib.
    File(u64, Vec<(u64, String)>),
    Symlink(String),
    Special,
}

/// What an artifact is made of, but for the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// The target's name.
    pub target: String,
    /// Its version and settings in words, when it was recorded.
    pub version: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
    /// The persistence model.
    pub model: String,
    /// The seed of the exploration.
    pub seed: u64,
    /// How many operations had happened at the crash.
    pub point: u64,
    /// The moment of the crash.
    pub crash: Stamp,
    /// What the machine suffered.
    pub class: FailureClass,
    /// What the target was held to.
    pub promises: Vec<Promise>,
    /// What was found.
    pub finding: Finding,
    /// The operations around the crash, oldest first, with what became of each.
    pub timeline: Vec<TimelineStep>,
    /// Every call of the clients, as known at the crash.
    pub history: History,
}

impl Artifact {
    /// An artifact with this disk.
    pub fn new(about: About, tree: &Tree) -> io::Result<Self> {
        let mut disk = Vec::new();
        let mut known = std::collections::HashSet::new();
        save(tree, ROOT, Vec::new(), &mut known, &mut disk)?;
        Ok(Self {
            schema: SCHEMA.into(),
            plugpull: env!("CARGO_PKG_VERSION").into(),
            about,
            disk,
            digest: format!("{:032x}", tree.listing_digest()),
        })
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(())
    }

    /// Reads one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let value: serde_json::Value = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no artifact of plugpull", path.display()))?;
        match value.get("schema").and_then(|schema| schema.as_str()) {
            Some(SCHEMA) => {}
            Some(other) => bail!(
                "{} has the form '{other}'; this plugpull reads {SCHEMA}",
                path.display()
            ),
            None => bail!("{} is no artifact of plugpull", path.display()),
        }
        serde_json::from_value(value).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The disk as it was, byte for byte.
    pub fn tree(&self) -> anyhow::Result<Tree> {
        let caller = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        let mut tree = Tree::new(0, 0, 0);
        for saved in &self.disk {
            let path = OsString::from_vec(STANDARD.decode(&saved.path)?);
            let path = Path::new(&path);
            let name = path.file_name().context("a name without a name")?;
            let mut parent = ROOT;
            for part in path.parent().into_iter().flat_map(Path::iter) {
                parent = tree.lookup(parent, part)?;
            }
            if let Some(content) = &saved.content {
                let owner = Caller {
                    uid: saved.uid,
                    gid: saved.gid,
                    ..caller
                };
                let new = match content {
                    SavedContent::Folder => NewNode::Dir,
                    SavedContent::File(..) => NewNode::File,
                    SavedContent::Symlink(to) => {
                        NewNode::Symlink(OsString::from_vec(STANDARD.decode(to)?))
                    }
                    SavedContent::Special => NewNode::Special { rdev: 0 },
                };
                let shown = path.to_string_lossy();
                tree.raw_node(saved.ino, &new, saved.mode, owner, shown.as_ref().into());
                if let SavedContent::File(size, runs) = content {
                    ensure!(
                        *size <= FILE_LIMIT,
                        "{shown} is damaged: a size of {size} bytes"
                    );
                    for (offset, data) in runs {
                        let mut bytes = Vec::new();
                        ZlibDecoder::new(STANDARD.decode(data)?.as_slice())
                            .read_to_end(&mut bytes)?;
                        tree.raw_content(saved.ino, |content| content.patch(*offset, &bytes));
                    }
                    tree.raw_content(saved.ino, |content| content.set_size_only(*size));
                }
            }
            tree.raw_entry(parent, name, Some(saved.ino));
        }
        tree.settle();
        let digest = format!("{:032x}", tree.listing_digest());
        ensure!(
            digest == self.digest,
            "the artifact is damaged: its disk is not the one saved"
        );
        Ok(tree)
    }
}

fn save(
    tree: &Tree,
    folder: Ino,
    path: Vec<u8>,
    known: &mut std::collections::HashSet<Ino>,
    into: &mut Vec<Saved>,
) -> io::Result<()> {
    for (name, entry) in tree.dir(folder)?.iter() {
        let inode = tree.get(entry.ino)?;
        let mut below = path.clone();
        if !below.is_empty() {
            below.push(b'/');
        }
        below.extend_from_slice(name.as_bytes());
        let content = match &inode.node {
            _ if !known.insert(entry.ino) => None,
            Node::Dir(_) => Some(SavedContent::Folder),
            Node::Symlink(to) => Some(SavedContent::Symlink(STANDARD.encode(to.as_bytes()))),
            Node::Special => Some(SavedContent::Special),
            Node::File(content) => {
                let mut runs = Vec::new();
                let mut at = 0;
                while let Some(start) = content.seek(at, true) {
                    at = content.seek(start, false).unwrap_or(content.size());
                    let mut bytes = Vec::new();
                    content.read(start, (at - start) as usize, &mut bytes);
                    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
                    packed.write_all(&bytes)?;
                    runs.push((start, STANDARD.encode(packed.finish()?)));
                }
                Some(SavedContent::File(content.size(), runs))
            }
        };
        into.push(Saved {
            path: STANDARD.encode(&below),
            ino: entry.ino,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            content,
        });
        if inode.is_dir() {
            save(tree, entry.ino, below, known, into)?;
        }
    }
    Ok(())
}
