//! The functions of a stripped Go program, made by the `go` of `PLUGPULL_TEST_GO` or of the PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Failed;
use nix::unistd::{AccessFlags, access};
use plugpull_crashsim::fs::Record;
use plugpull_sandbox::{Program, SpawnRequest, Stacks};

use crate::stacks::Mounted;
use crate::support::{Test, ensure};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    // Run again as a user who may not write where it is built: the other run has shown it.
    if access(env!("CARGO_TARGET_TMPDIR"), AccessFlags::W_OK).is_err() {
        return Vec::new();
    }
    vec![
        ("a_stripped_go_program_has_its_functions", stripped),
        ("a_go_program_that_can_be_moved_has_them_too", movable),
    ]
}

const SOURCE: &str = r#"package main

import "os"

type store struct{ f *os.File }

//go:noinline
func (s *store) put(text string) {
	if _, err := s.f.WriteString(text); err != nil {
		panic(err)
	}
	s.sync()
}

func (s *store) sync() {
	if err := s.f.Sync(); err != nil {
		panic(err)
	}
}

func main() {
	f, err := os.Create("f")
	if err != nil {
		panic(err)
	}
	(&store{f}).put("value")
	done := make(chan bool)
	go func() {
		os.Rename("f", "g")
		done <- true
	}()
	<-done
	func() {
		defer (&store{f}).put("last")
	}()
}
"#;

/// Builds it as `name`, with these arguments besides.
fn build(name: &str, more: &[&str]) -> Result<PathBuf, Failed> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("main.go"), SOURCE)?;
    std::fs::write(directory.join("go.mod"), "module main\n\ngo 1.18\n")?;
    let go = std::env::var("PLUGPULL_TEST_GO").unwrap_or("go".into());
    let output = Command::new(go)
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o", "program"])
        .args(more)
        .arg(".")
        .env("GOCACHE", directory.with_file_name("go-cache"))
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0")
        .current_dir(&directory)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(output.status.success(), said)?;
    Ok(directory.join("program"))
}

/// The functions of the program's own file that made the operation of this number among those of its name,
/// innermost first.
fn own(
    records: &[Record],
    stacks: &Stacks,
    (name, number): (&str, usize),
) -> Result<Vec<String>, Failed> {
    let mut found = records.iter().filter(|one| one.op.name() == name);
    let seq = found.nth(number).ok_or(format!("no {name}"))?.seq;
    let stack = stacks.stack_of(seq).ok_or("it has a stack")?;
    ensure(stack.note().is_none(), format!("{:?}", stack.note()))?;
    let calls = stack.frames().flat_map(|(frame, _)| frame.calls.iter());
    let own = calls.filter(|call| call.file.as_deref() == Some("main/main.go"));
    let named = own.map(|call| format!("{} {}", call.function, call.line.unwrap_or(0)));
    Ok(named.collect())
}

fn functions(program: &Path) -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    mounted.run(&SpawnRequest::new(Program::Path(program.into()), [""; 0]))?;
    let (records, stacks) = mounted.end()?;
    for (operation, wanted) in [
        (("create", 0), &["main.main 22"][..]),
        (("write", 0), &["main.(*store).put 9", "main.main 26"]),
        (
            ("fsync", 0),
            &[
                "main.(*store).sync 16",
                "main.(*store).put 12",
                "main.main 26",
            ],
        ),
        (("rename", 0), &["main.main.func1 29"]),
    ] {
        let found = own(&records, &stacks, operation)?;
        ensure(
            found == wanted,
            format!("{operation:?}: {found:?}, not {wanted:?}"),
        )?;
    }
    // What runs a deferred call is named otherwise from version to version.
    let deferred = own(&records, &stacks, ("write", 1))?;
    let ends = (deferred.first(), deferred.last());
    let ends = (ends.0.map(String::as_str), ends.1.map(String::as_str));
    let wanted = (Some("main.(*store).put 9"), Some("main.main 35"));
    ensure(ends == wanted, format!("{deferred:?}"))
}

fn stripped() -> Result<(), Failed> {
    functions(&build("go-stripped", &[])?)
}

fn movable() -> Result<(), Failed> {
    functions(&build("go-movable", &["-buildmode=pie"])?)
}
