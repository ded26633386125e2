//! Python frames among native ones, of a real interpreter: that of `PLUGPULL_TEST_PYTHON`, or the `python3`
//! of the sandbox's PATH.

use libtest_mimic::Failed;
use plugpull_crashsim::fs::Record;
use plugpull_sandbox::{CodeKind, Program, SpawnRequest, Stacks};

use crate::stacks::Mounted;
use crate::support::{Test, ensure};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("a_python_function_is_named_with_its_line", named),
        ("python_frames_stand_where_they_were_run", nested),
        ("each_python_thread_and_fork_has_its_own_frames", threads),
        ("a_library_is_named_below_the_python_that_called_it", sqlite),
        ("what_python_seldom_runs_is_named_too", seldom),
        ("python_code_in_the_place_of_other_code_is_known", replaced),
    ]
}

const STORE: &str = "import os, threading
def save(f):
    os.write(
        f,
        b'x')
class Store:
    def put(self, name):
        f = os.open(name, os.O_RDWR | os.O_CREAT)
        save(f)
        os.fsync(f)
def each(names):
    for name in names:
        yield Store().put(name)
def sort_key(name):
    Store().put(name)
    return name
";
const FILE: &str = "/app/störe.py";

/// Runs these lines behind [`STORE`], from its line 17 on.
fn run(lines: &str) -> Result<(Vec<Record>, Stacks), Failed> {
    let mounted = Mounted::new()?;
    let script = format!(
        "exec(compile({:?}, {FILE:?}, 'exec'))",
        format!("{STORE}{lines}\n")
    );
    let python = std::env::var("PLUGPULL_TEST_PYTHON").unwrap_or("python3".into());
    let args = [&python, "-c", &script];
    mounted.run(&SpawnRequest::new(
        Program::Path("/usr/bin/env".into()),
        args,
    ))?;
    mounted.end()
}

/// The number of the first operation of this name on this path.
fn first(records: &[Record], name: &str, path: &str) -> Result<u64, Failed> {
    let found = records
        .iter()
        .find(|one| one.op.name() == name && &*one.path == path);
    found
        .map(|one| one.seq)
        .ok_or_else(|| format!("no {name} of {path}").into())
}

/// The Python functions of an operation's stack in that file, innermost first; `...` for native ones that
/// are between two of them.
fn python(stacks: &Stacks, seq: u64) -> Result<Vec<String>, Failed> {
    let stack = stacks.stack_of(seq).ok_or("it has a stack")?;
    ensure(stack.note().is_none(), format!("{:?}", stack.note()))?;
    let mut all: Vec<String> = Vec::new();
    for (frame, module) in stack.frames() {
        let eval = frame
            .calls
            .iter()
            .any(|call| call.function.contains("_PyEval_EvalFrameDefault"));
        ensure(!eval, "the evaluation loop stands there itself")?;
        let python = frame
            .calls
            .first()
            .filter(|_| module.kind == CodeKind::Python);
        let of_store = python.filter(|call| call.file.as_deref() == Some(FILE));
        match of_store {
            Some(call) => all.push(format!("{} {}", call.function, call.line.unwrap_or(0))),
            None if all.last().is_some_and(|last| last != "...") => all.push("...".into()),
            None => {}
        }
    }
    Ok(all)
}

fn is(found: Vec<String>, wanted: &[&str]) -> Result<(), Failed> {
    ensure(found == wanted, format!("{found:?}, not {wanted:?}"))
}

fn named() -> Result<(), Failed> {
    let (records, stacks) = run("Store().put('a')")?;
    let write = python(&stacks, first(&records, "write", "a")?)?;
    is(write, &["save 3", "Store.put 9", "<module> 17", "..."])?;
    let sync = python(
        &stacks,
        first(&records, "fdatasync", "a").or_else(|_| first(&records, "fsync", "a"))?,
    )?;
    is(sync, &["Store.put 10", "<module> 17", "..."])?;
    let create = python(&stacks, first(&records, "create", "a")?)?;
    is(create, &["Store.put 8", "<module> 17", "..."])
}

/// A generator and a C function run Python code of their own.
fn nested() -> Result<(), Failed> {
    let lines = "list(each(['a']))\nsorted(['b'],\n       key=sort_key)\nos.mkdir('c')";
    let (records, stacks) = run(lines)?;
    let in_generator = python(&stacks, first(&records, "write", "a")?)?;
    is(
        in_generator,
        &[
            "save 3",
            "Store.put 9",
            "each 13",
            "...",
            "<module> 17",
            "...",
        ],
    )?;
    let in_sort = python(&stacks, first(&records, "write", "b")?)?;
    is(
        in_sort,
        &[
            "save 3",
            "Store.put 9",
            "sort_key 15",
            "...",
            "<module> 18",
            "...",
        ],
    )?;
    is(
        python(&stacks, first(&records, "mkdir", "c")?)?,
        &["<module> 20", "..."],
    )
}

fn threads() -> Result<(), Failed> {
    let lines = "t = [threading.Thread(target=Store().put, args=[n]) for n in 'abcd']\n\
                 for one in t: one.start()\n\
                 for one in t: one.join()\n\
                 if os.fork() == 0:\n  Store().put('e')\n  os._exit(0)\n\
                 os.wait()";
    let (records, stacks) = run(lines)?;
    for name in ["a", "b", "c", "d"] {
        let write = python(&stacks, first(&records, "write", name)?)?;
        is(write, &["save 3", "Store.put 9", "..."])?;
    }
    let forked = python(&stacks, first(&records, "write", "e")?)?;
    is(forked, &["save 3", "Store.put 9", "<module> 21", "..."])
}

/// What ends a block after an exception, a finaliser, an import and an operator of a class.
fn seldom() -> Result<(), Failed> {
    let lines = "class Seldom:
  def __enter__(self): pass
  def __exit__(self, *_):
    save(self.f)
    return True
  def __add__(self, _):
    save(self.f)
  def __del__(self):
    save(self.f)
def open_(name):
  it = Seldom()
  it.f = os.open(name, os.O_RDWR | os.O_CREAT)
  return it
def run():
  with open_('a'):
    os._exit
    raise ValueError
  open_('b') + 1
  try:
    {}[open_('c') and 1]
  except KeyError:
    save(open_('d').f)
  async def later(): save(open_('e').f)
  try: later().send(None)
  except StopIteration: pass
  exec('Store().put(\"f\")')
run()";
    let (records, stacks) = run(lines)?;
    for (name, wanted) in [
        ("a", &["save 3", "Seldom.__exit__ 20", "...", "run 31"][..]),
        ("b", &["save 3", "Seldom.__add__ 23", "...", "run 34"]),
        ("c", &["save 3", "Seldom.__del__ 25", "...", "run 36"]),
        ("d", &["save 3", "Seldom.__del__ 25", "...", "run 38"]),
        (
            "e",
            &[
                "save 3",
                "Seldom.__del__ 25",
                "...",
                "run.<locals>.later 39",
                "...",
                "run 40",
            ],
        ),
        ("f", &["save 3", "Store.put 9", "...", "run 42"]),
    ] {
        let found = python(&stacks, first(&records, "write", name)?)?;
        let starts = found.iter().zip(wanted).all(|(one, wanted)| one == wanted);
        ensure(
            starts && found.len() > wanted.len(),
            format!("{name}: {found:?}"),
        )?;
    }
    Ok(())
}

/// The native frames are the same each time, and code that is let go makes room for the next.
fn replaced() -> Result<(), Failed> {
    let lines = format!(
        "f = os.open('a', os.O_RDWR | os.O_CREAT)\n\
         os.write(f, b'1')\n\
         os.write(f, b'2')\n\
         for n in range(4):\n  exec(compile('\\n' * n + 'os.write(f, bytes([n]))', {FILE:?}, 'exec'))"
    );
    let (records, stacks) = run(&lines)?;
    let writes = records.iter().filter(|one| one.op.name() == "write");
    let mut found = Vec::new();
    for write in writes {
        found.extend(python(&stacks, write.seq)?.into_iter().next());
    }
    let wanted = [18, 19, 1, 2, 3, 4].map(|line| format!("<module> {line}"));
    ensure(found == wanted, format!("{found:?}"))
}

fn sqlite() -> Result<(), Failed> {
    let lines = "import sqlite3\n\
                 def commit(db):\n  db.execute('create table t(n)')\n  db.commit()\n\
                 commit(sqlite3.connect('db'))";
    let (records, stacks) = run(lines)?;
    let seq = first(&records, "write", "db")?;
    let write = python(&stacks, seq)?;
    is(write, &["commit 19", "<module> 21", "..."])?;
    let frames = stacks
        .stack_of(seq)
        .into_iter()
        .flat_map(|stack| stack.frames());
    let inner = frames.take_while(|(_, module)| module.kind != CodeKind::Python);
    let of_sqlite = inner
        .filter(|(_, module)| module.path.contains("sqlite3"))
        .count();
    ensure(of_sqlite > 2, format!("{of_sqlite} frames of it below"))
}
