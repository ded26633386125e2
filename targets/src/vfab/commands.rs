//! The real vfab: each operation a process, spoken for by a daemon of ours in the sandbox.
//!
//! A transaction is a job of its own, whose drawing (a `.plob` file, which vfab copies as it is) has
//! the writes in a comment. It is answered when `vfab add` ended with code 0 *and* said that it was
//! added. What is there is what `vfab list jobs` lists. When it starts on jobs that are there, the
//! guide's recovery runs first: `vfab resume`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use plugpull_workloads::{Txn, Write};
use serde_json::Value;

use super::INSPECTOR;
use crate::inspect::Request;
use crate::reference_daemon::REFERENCE;
use crate::sync_tree::sync_tree;
use crate::wire::{Session, Store, StoreError};
use crate::{Launch, Program, stand_in};

/// The name under which this daemon is started.
pub(crate) const COMMANDS: &str = "vfab-commands";

/// What `vfab add` says when it did it.
const ADDED: &str = "Added and queued job: ";
/// Around the writes in a drawing.
const COMMENT: (&str, &str) = ("<!-- plugpull ", " -->");
/// Where the jobs are, under HOME.
const JOBS: &str = ".local/share/vfab/workspace/jobs";

/// How to start the daemon for the vfab at `program`.
pub(super) fn launch(program: &Path) -> Launch {
    let args = vec![
        REFERENCE.to_owned(),
        COMMANDS.to_owned(),
        program.display().to_string(),
    ];
    Launch {
        program: Program::Myself,
        args,
        env: Vec::new(),
        cwd: None,
    }
}

/// Serves the vfab named by the only argument, in the working directory.
pub(crate) fn main(args: &[String]) -> (i32, String) {
    match args {
        [program] => stand_in::serve(CommandStore::open(Path::new(program))),
        _ => (2, format!("{COMMANDS} takes the path of vfab")),
    }
}

#[derive(Clone)]
struct CommandStore {
    program: PathBuf,
    folder: PathBuf,
    /// vfab's commands are not meant to run side by side.
    one: Arc<Mutex<()>>,
}

/// How a command ended.
struct Ended {
    good: bool,
    stdout: String,
    /// The end of what it said.
    said: String,
}

impl CommandStore {
    fn open(program: &Path) -> Result<Self, String> {
        let folder = std::env::current_dir().map_err(|e| e.to_string())?;
        let vfab = Self {
            program: program.to_owned(),
            folder,
            one: Arc::default(),
        };
        let jobs = fs::read_dir(vfab.folder.join(JOBS));
        if jobs.is_ok_and(|mut jobs| jobs.next().is_some()) {
            let resumed = vfab.run(&["resume", "--apply"])?;
            if !resumed.good {
                return Err(format!("vfab resume: {}", resumed.said));
            }
        } else {
            // The first command prints a banner, which would break the next one's JSON.
            vfab.run(&["list", "jobs"])?;
            // What a first command sets up is long on the disk where jobs are added.
            sync_tree(&vfab.folder).map_err(|e| e.to_string())?;
        }
        Ok(vfab)
    }

    /// Runs a command, with a yes for what it asks.
    fn run(&self, args: &[&str]) -> Result<Ended, String> {
        let _one = self.one.lock();
        let told = |e: std::io::Error| format!("vfab cannot be run: {e}");
        let places = self.program.parent().map(Path::to_owned).into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(places.chain(std::env::split_paths(&path)))
            .map_err(|e| e.to_string())?;
        let mut child = Command::new(&self.program)
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.folder)
            .env("LANG", "C.UTF-8")
            .env("COLUMNS", "400")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(told)?;
        if let Some(mut stdin) = child.stdin.take() {
            // Where nothing is asked, nobody reads it.
            let _ = stdin.write_all(b"y\n");
        }
        let output = child.wait_with_output().map_err(told)?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let all = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = all.trim().lines().collect();
        Ok(Ended {
            good: output.status.success(),
            said: lines[lines.len().saturating_sub(4)..].join(" | "),
            stdout,
        })
    }

    fn add(&self, txn: &Txn) -> Result<(), StoreError> {
        let name = format!("t{:08}", txn.id);
        let drawing = self.folder.join(format!("{name}.plob"));
        let fail = |why: String| StoreError::Fail(why);
        let ops = serde_json::to_string(&txn.ops).map_err(|e| fail(e.to_string()))?;
        // A comment must not hold two hyphens; JSON knows another word for one.
        let ops = ops.replace("--", "\\u002d\\u002d");
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\">\n{}{ops}{}\n\
             <path d=\"M 0 0 L 10 10\"/>\n</svg>\n",
            COMMENT.0, COMMENT.1
        );
        let made = File::create(&drawing).and_then(|mut file| file.write_all(svg.as_bytes()));
        made.map_err(|e| fail(format!("{}: {e}", drawing.display())))?;
        let path = drawing.display().to_string();
        let ended = self
            .run(&["add", "job", &name, &path, "--apply"])
            .map_err(fail);
        // The user's own copy is no part of the test.
        let _ = fs::remove_file(&drawing);
        let ended = ended?;
        if ended.good && ended.stdout.contains(&format!("{ADDED}{name}")) {
            return Ok(());
        }
        Err(StoreError::Info(format!("vfab add: {}", ended.said)))
    }

    /// What the listed jobs come to, in the order of their names.
    fn state(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let fail = StoreError::Fail;
        let ended = self.run(&["list", "jobs", "--json"]).map_err(fail)?;
        let list: Value = serde_json::from_str(&ended.stdout)
            .map_err(|e| fail(format!("vfab list jobs: {e}: {}", ended.said)))?;
        let mut names: Vec<&str> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|job| job["id"].as_str())
            .collect();
        names.sort_unstable();
        let mut state = BTreeMap::new();
        for name in names {
            for op in self.ops(name).unwrap_or_default() {
                match op.write {
                    Write::Put(value) => drop(state.insert(op.key, value.into_text())),
                    Write::Delete => drop(state.remove(&op.key)),
                }
            }
        }
        Ok(state)
    }

    /// The writes of a job; none where its drawing is not whole, which the check tells.
    fn ops(&self, name: &str) -> Option<Vec<plugpull_workloads::Op>> {
        let path = self.folder.join(JOBS).join(name).join("multipen.plob");
        let svg = fs::read_to_string(path).ok()?;
        let (_, rest) = svg.split_once(COMMENT.0)?;
        serde_json::from_str(rest.split_once(COMMENT.1)?.0).ok()
    }
}

impl Store for CommandStore {
    fn session(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for CommandStore {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        if txn.abort {
            return Err(StoreError::Fail("there is nothing to roll back".into()));
        }
        self.add(txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        Err(StoreError::Fail("vfab has no such command".into()))
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state()?.remove(key))
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        self.state()
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        let jobs = self.folder.join(JOBS);
        if !jobs.is_dir() {
            return Ok(None);
        }
        let inspected = (INSPECTOR.inspect)(&Request {
            path: self.folder.clone(),
            ..Request::default()
        });
        let found = inspected.map_err(|e| StoreError::Fail(e.to_string()))?;
        let spot = found.damage.first();
        Ok(spot.map(|spot| format!("{}: {}: {}", spot.kind, spot.file, spot.what)))
    }
}
