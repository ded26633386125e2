//! Writing and loading snapshots, by code that shares the rule of the state root with the parser
//! that checks them, and nothing else.

use std::collections::BTreeMap;

use plugpull_driver_ailee::{State, Task, sha256, state_root};

/// The lines of the lists that this node never fills.
const EMPTY: [&str; 4] = ["balances 0", "escrows 0", "pegins 0", "pegouts 0"];

/// What was loaded of a file.
#[derive(Default)]
pub(super) struct Loaded {
    /// The last state.
    pub(super) tasks: BTreeMap<String, String>,
    /// The one before it.
    pub(super) before: BTreeMap<String, String>,
    /// Of each snapshot in order: the anchor's hash and the state root.
    pub(super) anchors: Vec<(String, String)>,
    /// The byte behind the last snapshot.
    pub(super) end: usize,
    /// A snapshot behind that one is whole: what is between is damage.
    pub(super) damaged: bool,
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads one quoted value; what is behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// The state root of these tasks.
pub(super) fn root(tasks: &BTreeMap<String, String>) -> String {
    state_root(&State {
        tasks: tasks
            .iter()
            .map(|(task, submitter)| Task {
                task: task.clone().into_bytes(),
                kind: 0,
                priority: 0,
                submitter: submitter.clone().into_bytes(),
                submitted_at: 0,
                payload_hash: Vec::new(),
                anchor_hash: Vec::new(),
            })
            .collect(),
        ..State::default()
    })
}

/// A snapshot of these tasks; with it its anchor's hash and state root.
pub(super) fn snapshot(tasks: &BTreeMap<String, String>, time: u64) -> (String, String, String) {
    let root = root(tasks);
    let payload = format!("{root}:{time}:plugpull");
    let hash = sha256(payload.as_bytes());
    let mut text = format!("SNAPSHOT v1\ntimestamp_ms {time}\n{}\n", EMPTY.join("\n"));
    text += &format!("tasks {}\n", tasks.len());
    for (task, submitter) in tasks {
        text += &format!(
            "task {} 0 0 {} 0 \"\" \"\"\n",
            quote(task),
            quote(submitter)
        );
    }
    text += &format!(
        "anchor {} {time} \"plugpull\" {} {}\nEND_SNAPSHOT\n",
        quote(&root),
        quote(&payload),
        quote(&hash)
    );
    (text, hash, root)
}

/// The snapshot that begins with the first of these bytes: its tasks, its anchor, its length; none
/// where it is not whole. `verified`: its root and anchor too.
fn one(bytes: &[u8], verified: bool) -> Option<(BTreeMap<String, String>, String, String, usize)> {
    let mut at = 0;
    let mut line = || -> Option<String> {
        let length = bytes[at..].iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
        at += length + 1;
        Some(line)
    };
    (line()? == "SNAPSHOT v1").then_some(())?;
    let time: u64 = line()?.strip_prefix("timestamp_ms ")?.parse().ok()?;
    for wanted in EMPTY {
        (line()? == wanted).then_some(())?;
    }
    let count: u64 = line()?.strip_prefix("tasks ")?.parse().ok()?;
    let mut tasks = BTreeMap::new();
    for _ in 0..count {
        let line = line()?;
        let (task, rest) = unquote(line.strip_prefix("task ")?)?;
        let (submitter, _) = unquote(rest.strip_prefix(" 0 0 ")?)?;
        tasks.insert(task, submitter);
    }
    let anchor = line()?;
    (line()? == "END_SNAPSHOT").then_some(())?;
    let (root, rest) = unquote(anchor.strip_prefix("anchor ")?)?;
    let (_, hash) = rest.rsplit_once(' ')?;
    let (hash, _) = unquote(hash)?;
    if verified {
        // The whole text is determined by the tasks and the time.
        let (text, _, _) = snapshot(&tasks, time);
        (bytes.get(..at)? == text.as_bytes()).then_some(())?;
    }
    Some((tasks, hash, root, at))
}

/// Loads the snapshots of a file up to the first that is not whole or, if `verified`, does not
/// verify; otherwise what does not is passed over.
pub(super) fn load(bytes: &[u8], verified: bool) -> Loaded {
    let mut loaded = Loaded::default();
    let mut at = 0;
    while at < bytes.len() {
        match one(&bytes[at..], verified) {
            Some((tasks, hash, root, length)) => {
                if loaded.end < at && verified {
                    loaded.damaged = true;
                    return loaded;
                }
                at += length;
                loaded.end = at;
                loaded.before = std::mem::replace(&mut loaded.tasks, tasks);
                loaded.anchors.push((hash, root));
            }
            None => {
                let next = bytes[at..].iter().position(|byte| *byte == b'\n');
                at = next.map_or(bytes.len(), |next| at + next + 1);
            }
        }
    }
    loaded
}
