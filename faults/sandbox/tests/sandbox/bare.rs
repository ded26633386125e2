//! The sandbox without namespaces.

use std::io::Read;
use std::time::Duration;

use libtest_mimic::Failed;
use plugpull_sandbox::{Isolation, Sandbox, SandboxError};

use crate::support::{
    MARK, Test, await_that, ensure, expect_line, mark, marked, own, run, shell, soon,
};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("bare_runs_and_cleans_up", runs),
        ("bare_kill_all_ends_the_whole_tree", tree),
        ("bare_has_no_mounts", no_mounts),
        ("bare_directories_are_renewed", renewed),
        ("bare_connects", connects),
    ]
}

fn bare() -> Result<Sandbox, SandboxError> {
    crate::support::open(Isolation::Bare)
}

fn runs() -> Result<(), Failed> {
    let sandbox = bare()?;
    let data = sandbox.data_dir().to_path_buf();
    let (code, output) = run(&sandbox, "echo x > file; pwd; echo $HOME; exit 3")?;
    ensure(
        code == 3 && output.starts_with(&format!("{}\n", data.display())),
        format!("{code} {output}"),
    )?;
    ensure(data.join("file").is_file(), "it wrote elsewhere")?;
    drop(sandbox);
    ensure(!data.exists(), "the data directory is still there")?;
    let parent = data.parent().ok_or("no parent")?;
    ensure(!parent.exists(), "the temporary directory is still there")
}

fn tree() -> Result<(), Failed> {
    for dropped in [false, true] {
        let sandbox = bare()?;
        let mark = mark();
        let script = "\
setsid sh -c '(sleep 1000 & sleep 1000) & sleep 1000' &
(setsid sh -c 'sleep 1000 & exec sleep 1000' &)
echo up
sleep 1000";
        let mut request = shell(script);
        request.env = vec![(MARK.into(), mark.clone())];
        let child = sandbox.spawn(&request)?;
        expect_line(&child, "up")?;
        await_that("the tree stands", || marked(&mark) >= 7)?;
        if dropped {
            drop(sandbox);
        } else {
            sandbox.kill_all()?;
            ensure(child.wait(soon())? == Some(137), "its end was not reported")?;
        }
        ensure(marked(&mark) == 0, "somebody survived")?;
    }
    Ok(())
}

fn no_mounts() -> Result<(), Failed> {
    let sandbox = bare()?;
    for refused in [
        sandbox.mount_tmpfs(1 << 20),
        sandbox.mount_fuse().map(drop),
        sandbox.unmount(true),
    ] {
        ensure(
            matches!(&refused, Err(SandboxError::Refused { what, .. }) if what.contains("without")),
            format!("{refused:?}"),
        )?;
    }
    Ok(())
}

fn renewed() -> Result<(), Failed> {
    let sandbox = bare()?;
    let left = "echo x >here; echo x >$HOME/there; mkdir shut; chmod 0 shut; pwd";
    let (_, first) = run(&sandbox, left)?;
    sandbox.renew_directories()?;
    let (_, found) = run(&sandbox, "pwd; ls -A . $HOME | grep -v : | tr -d '\\n'")?;
    // The same place, with nothing in it.
    ensure(found == first, found)
}

fn connects() -> Result<(), Failed> {
    let sandbox = bare()?;
    let child = sandbox.spawn(&own(&["listen", "0"]))?;
    let line = child.stdout_line(soon())?.ok_or("no line")?;
    let port = line.rsplit(' ').next().ok_or("no port")?.parse()?;
    let mut text = String::new();
    sandbox
        .tcp_connect(port, Duration::from_secs(10))?
        .read_to_string(&mut text)?;
    ensure(text == "hello", text)
}
