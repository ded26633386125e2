//! The artifact: one file that holds a crash state, what was required there, and what went wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use plugpull_crashsim::fs::{Attrs, Caller, Ino, Nanos, NewNode, Node, ROOT, Record, Tree};
use plugpull_crashsim::trace;
use plugpull_reports::TimelineStep;
use plugpull_workloads::{FailureClass, Finding, History, Promise, Stamp, read_file};
use serde::{Deserialize, Serialize};

use super::artifact_limits::ArtifactLimits;
use super::follow_up::LifeCall;
use super::verification::CrashCause;

/// The version of the form.
const SCHEMA: &str = "plugpull.artifact/1";
/// The longest artifact that is read, in bytes. Nesting is limited to 128 levels by serde_json.
const LONGEST: u64 = 512 << 20;
/// The most that its operations take, in bytes of a trace.
const OPERATIONS_MAX: usize = 32 << 20;

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
    /// The operations up to the crash. Artifacts of 0.1 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operations: Option<SavedOperations>,
    /// How many recoveries were interrupted before: where it is not 0, the operations are those of the last.
    #[serde(default, skip_serializing_if = "is_zero")]
    recoveries: u32,
}

/// What the target did up to the crash, from an empty disk on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedOperations {
    /// How many of them make what was on disk before.
    before: usize,
    /// The trace, as base64 of its bytes.
    trace: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
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
    /// Last access and last change of its content, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<(Nanos, Nanos)>,
    /// What is in it, the first time its number occurs.
    content: Option<SavedContent>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SavedContent {
    #[serde(rename = "folder")] // tidy: word because artifacts have it
    Directory,
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
    /// The bound on recovery that the run had, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_bound_us: Option<u64>,
    /// How it was recorded, and the cause of the crash: what `plugpull verify` needs. Left out by older versions,
    /// for live faults and for crashes of recoveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedWith>,
    /// What a live fault damaged on the disk, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub damaged: String,
    /// What a live fault did, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub injected: String,
    /// The disk alone cannot show the finding: it is about a target that lives, or about sectors that
    /// cannot be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_on_disk: bool,
    /// What was written once it had recovered, where the finding shows behind that alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub second_life: Vec<LifeCall>,
    /// What a completed recovery had served before the crash that left this disk, where its loss is the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<BTreeMap<String, String>>,
}

/// How the run was recorded in which a crash was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedWith {
    /// The seed of the workload.
    pub seed: u64,
    /// How many transactions were acknowledged.
    pub txns: u64,
    /// How many clients wrote.
    pub clients: u32,
    /// The largest value, in bytes.
    pub value_size: u32,
    /// What lay under the filesystem, as `--device` takes it.
    pub device: String,
    /// The cause of the crash.
    pub cause: CrashCause,
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
            operations: None,
            recoveries: 0,
        })
    }

    /// The same with the operations up to the crash, numbered from 0, of which so many make what was on disk
    /// before; without them where they are over 32 MiB. `recoveries` were interrupted before.
    ///
    /// # Errors
    /// They cannot be written as a trace.
    pub fn with_operations(
        mut self,
        records: &[Record],
        before: usize,
        recoveries: u32,
    ) -> io::Result<Self> {
        let bytes = trace::to_bytes(records, OPERATIONS_MAX)?;
        self.operations = bytes.map(|bytes| SavedOperations {
            before,
            trace: STANDARD.encode(bytes),
        });
        self.recoveries = recoveries;
        Ok(self)
    }

    /// The operations up to the crash, and how many of them make what was on disk before. None where it has
    /// none.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn operations(&self) -> anyhow::Result<Option<(Vec<Record>, usize)>> {
        let Some(saved) = &self.operations else {
            return Ok(None);
        };
        let bytes = STANDARD
            .decode(&saved.trace)
            .context("the artifact is damaged: its operations are no base64")?;
        let place = Path::new("the operations of the artifact");
        let read = trace::read_from(&bytes[..], place, |_| Tree::new(0, 0, 0))?;
        let records = read.log.records().to_vec();
        ensure!(
            saved.before <= records.len(),
            "the artifact is damaged: {} of {} operations came before the first",
            saved.before,
            records.len()
        );
        Ok(Some((records, saved.before)))
    }

    /// How many recoveries were interrupted before the crash.
    pub fn recoveries(&self) -> u32 {
        self.recoveries
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(())
    }

    /// Reads one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            read_file(path, LONGEST).with_context(|| format!("reading {}", path.display()))?;
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
    ///
    /// # Errors
    /// What is wrong with the artifact: its disk is not the one that was saved, or is none.
    pub fn tree(&self) -> anyhow::Result<Tree> {
        let mut tree = self.tree_as_listed()?;
        // Last: names in a directory change its times.
        for saved in &self.disk {
            if let Some((atime, mtime)) = saved.times {
                let times = Attrs {
                    atime: Some(atime),
                    mtime: Some(mtime),
                    ..Attrs::default()
                };
                tree.raw_attrs(saved.ino, times, 0);
            }
        }
        let digest = format!("{:032x}", tree.listing_digest());
        ensure!(
            digest == self.digest,
            "the artifact is damaged: its disk is not the one saved"
        );
        Ok(tree)
    }

    /// The disk that it lists, whether or not that is the one that was saved: names stay in it, and it
    /// holds no more than its limits.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    pub fn tree_as_listed(&self) -> anyhow::Result<Tree> {
        let mut tree = Tree::new(0, 0, 0);
        let mut limits = ArtifactLimits::default();
        for saved in &self.disk {
            place(&mut tree, saved, &mut limits).context("the artifact is damaged")?;
        }
        tree.settle();
        Ok(tree)
    }
}

/// Puts one name on the disk.
fn place(tree: &mut Tree, saved: &Saved, limits: &mut ArtifactLimits) -> anyhow::Result<()> {
    let path = STANDARD
        .decode(&saved.path)
        .context("a path that is no base64")?;
    let path = OsString::from_vec(path);
    let shown = path.to_string_lossy().into_owned();
    let (directories, name) = limits.name(&path, saved.ino, saved.content.is_some())?;
    let mut parent = ROOT;
    for part in directories {
        parent = tree.lookup(parent, part).map_err(|_| {
            anyhow::anyhow!("it names {shown:?} before the directory that this is in")
        })?;
    }
    ensure!(
        tree.dir(parent).is_ok(),
        "it names {shown:?}, which is below what is no directory"
    );
    if let Some(content) = &saved.content {
        let owner = Caller {
            uid: saved.uid,
            gid: saved.gid,
            now: 0,
        };
        let new = match content {
            SavedContent::Directory => NewNode::Dir,
            SavedContent::File(..) => NewNode::File,
            SavedContent::Symlink(to) => {
                NewNode::Symlink(OsString::from_vec(limits.symlink(&shown, to)?))
            }
            SavedContent::Special => NewNode::Special { rdev: 0 },
        };
        limits.known(saved.ino, matches!(new, NewNode::Dir));
        tree.raw_node(saved.ino, &new, saved.mode, owner, shown.as_str().into());
        if let SavedContent::File(size, runs) = content {
            for (offset, data) in runs {
                let bytes = limits.run(&shown, *size, *offset, data)?;
                tree.raw_content(saved.ino, |content| content.patch(*offset, &bytes));
            }
            limits.size(&shown, *size)?;
            tree.raw_content(saved.ino, |content| content.set_size_only(*size));
        }
    }
    tree.raw_entry(parent, name, Some(saved.ino));
    Ok(())
}

fn save(
    tree: &Tree,
    directory: Ino,
    path: Vec<u8>,
    known: &mut std::collections::HashSet<Ino>,
    into: &mut Vec<Saved>,
) -> io::Result<()> {
    for (name, entry) in tree.dir(directory)?.iter() {
        let inode = tree.get(entry.ino)?;
        let mut below = path.clone();
        if !below.is_empty() {
            below.push(b'/');
        }
        below.extend_from_slice(name.as_bytes());
        let content = match &inode.node {
            _ if !known.insert(entry.ino) => None,
            Node::Dir(_) => Some(SavedContent::Directory),
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
            times: content.is_some().then_some((inode.atime, inode.mtime)),
            content,
        });
        if inode.is_dir() {
            save(tree, entry.ino, below, known, into)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::file::{File, SimDisk, Storage};
    use plugpull_workloads::{Durability, FindingKind, Guarantee};

    use super::*;

    /// An artifact whose disk has a file in a directory, as it is stored.
    fn stored() -> serde_json::Value {
        serde_json::to_value(artifact().0).unwrap()
    }

    /// The same, and the operations that made its disk.
    fn artifact() -> (Artifact, Vec<Record>) {
        let disk = SimDisk::new();
        disk.create_dir("d").unwrap();
        disk.create("d/f").unwrap().write_at(0, b"bytes").unwrap();
        let mut log = disk.take_log();
        let records = log.records().to_vec();
        log.fold(log.records().len());
        let promise = Promise {
            classes: vec![FailureClass::PowerLoss],
            guarantee: Guarantee::Durable(Durability::AtAck),
            words: String::new(),
            source: String::new(),
            demanded: false,
        };
        let about = About {
            target: "reference".into(),
            version: String::new(),
            settings: BTreeMap::new(),
            model: "ext4".into(),
            seed: 1,
            point: 1,
            crash: Stamp::default(),
            class: FailureClass::PowerLoss,
            promises: Vec::new(),
            finding: Finding {
                kind: FindingKind::LostAck,
                sentence: String::new(),
                promise,
                fault: String::new(),
                txn: None,
                key: None,
                ack: None,
                follow_up: None,
                parts: Vec::new(),
            },
            timeline: Vec::new(),
            history: History::default(),
            recovery_bound_us: None,
            damaged: String::new(),
            injected: String::new(),
            not_on_disk: false,
            recorded: None,
            second_life: Vec::new(),
            served: None,
        };
        (Artifact::new(about, log.base()).unwrap(), records)
    }

    #[test]
    fn operations_are_read_as_they_were_saved() {
        let (artifact, records) = artifact();
        assert!(artifact.operations().unwrap().is_none(), "one of 0.1");
        let artifact = artifact.with_operations(&records, 1, 2).unwrap();
        let stored = serde_json::to_value(artifact).unwrap();
        let read: Artifact = serde_json::from_value(stored.clone()).unwrap();
        let (again, before) = read.operations().unwrap().unwrap();
        assert_eq!((before, read.recoveries()), (1, 2));
        let names = |records: &[Record]| -> Vec<String> {
            records.iter().map(|one| format!("{:?}", one.op)).collect()
        };
        assert_eq!(names(&again), names(&records));
        for (field, value, why) in [
            ("before", serde_json::json!(99), "99 of"),
            ("trace", serde_json::json!("!"), "no base64"),
            ("trace", serde_json::json!("AAAA"), "no trace"),
        ] {
            let mut damaged = stored.clone();
            damaged["operations"][field] = value;
            let damaged: Artifact = serde_json::from_value(damaged).unwrap();
            let error = format!("{:#}", damaged.operations().unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }

    fn refusal(artifact: serde_json::Value) -> String {
        let artifact: Artifact = serde_json::from_value(artifact).unwrap();
        match artifact.tree() {
            Ok(_) => String::new(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn what_is_wrong_with_an_artifact_is_said() {
        assert_eq!(refusal(stored()), "", "the sound one");
        for (path, words) in [
            ("../../etc/cron.d/x", "leads out of its disk"),
            ("/etc/passwd", "leads out of its disk"),
            ("e/f", "before the directory that this is in"),
            ("d", "damaged"),
        ] {
            let mut artifact = stored();
            artifact["disk"][1]["path"] = STANDARD.encode(path).into();
            let why = refusal(artifact);
            assert!(why.contains(words), "{path}: {why}");
            assert!(!why.contains("ENOENT"), "{path}: {why}");
        }
        let mut artifact = stored();
        artifact["disk"][1]["ino"] = artifact["disk"][0]["ino"].clone();
        assert!(refusal(artifact).contains("twice"));
    }
}
