//! What a full sandbox keeps apart.

use std::io::Read;
use std::time::Duration;

use libtest_mimic::Failed;
use plugpull_sandbox::{
    Isolation, IsolationPolicy, Limit, Program, Sandbox, SandboxError, SandboxOptions, SpawnRequest,
};

use crate::support::{
    MARK, Test, await_that, ensure, expect_line, finish, mark, marked, own, run, shell, soon,
};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("exit_codes_and_output_come_back", codes_and_output),
        ("the_environment_is_clean", environment),
        ("a_program_that_is_not_there_is_an_error", no_program),
        ("kill_all_ends_the_whole_tree", tree),
        ("orphans_are_reaped", orphans),
        ("process_numbers_can_be_chosen", numbers),
        ("stop_and_continue_reach_the_whole_tree", stop),
        ("sigterm_reaches_one_process", term),
        ("the_machine_is_read_only", read_only),
        ("tmp_is_private", tmp),
        ("shm_is_private", shm),
        ("nothing_of_a_trial_is_left_for_the_next", renewed),
        ("disks_are_out_of_reach", disks),
        ("the_network_is_private", network),
        ("the_data_directory_is_where_it_always_is", data),
        ("a_tmpfs_is_as_large_as_ordered", tmpfs),
        ("limits_and_pinning_hold", limits),
        ("a_user_namespace_works_as_root_too", user_namespace),
        ("drop_leaves_nothing", drop_leaves_nothing),
        ("many_at_once", many),
    ]
}

/// These look by the tools of util-linux.
pub(crate) fn ipc_tests() -> Vec<(&'static str, Test)> {
    vec![("shared_memory_is_no_next_trials", shared_memory_renewed)]
}

fn full() -> Result<Sandbox, SandboxError> {
    crate::support::open(Isolation::Full)
}

fn numbers() -> Result<(), Failed> {
    let sandbox = full()?;
    for _ in 0..2 {
        sandbox.number_from(1000)?;
        for number in ["1000\n", "1001\n"] {
            let (_, output) = run(&sandbox, "echo $$")?;
            ensure(output == number, format!("{output:?} is not {number:?}"))?;
        }
    }
    Ok(())
}

fn codes_and_output() -> Result<(), Failed> {
    let sandbox = full()?;
    let (code, output) = run(&sandbox, "echo out; echo err >&2; exit 3")?;
    ensure(
        code == 3 && output == "out\nerr\n",
        format!("{code} {output:?}"),
    )?;
    let (code, _) = run(&sandbox, "kill -9 $$")?;
    ensure(code == 137, format!("{code} for a SIGKILL"))?;
    let child = sandbox.spawn(&shell("echo a; echo b; head -c 300000 /dev/zero"))?;
    expect_line(&child, "a")?;
    expect_line(&child, "b")?;
    let (code, output) = finish(&child)?;
    ensure(
        code == 0 && output.contains("bytes ...]"),
        "a flood of output is cut in the middle",
    )
}

fn environment() -> Result<(), Failed> {
    let sandbox = full()?;
    let mut request = SpawnRequest::new(Program::Path("/usr/bin/env".into()), [""; 0]);
    request.env = vec![("COLOUR".into(), "red".into()), ("LANG".into(), "C".into())];
    let (_, output) = finish(&sandbox.spawn(&request)?)?;
    let mut names: Vec<&str> = output.lines().collect();
    names.sort_unstable();
    let wanted = [
        "COLOUR=red",
        "HOME=/tmp",
        "LANG=C",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR=/tmp",
    ];
    ensure(names == wanted, format!("{names:?}"))?;
    let (_, fds) = finish(&sandbox.spawn(&own(&["fds"]))?)?;
    ensure(fds == "[0, 1, 2]\n", format!("it was born with {fds}"))?;
    let (_, output) = run(&sandbox, "pwd; grep -E 'SigIgn|SigBlk' /proc/self/status")?;
    let wanted = format!(
        "{}\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n",
        sandbox.data_dir().display()
    );
    ensure(output == wanted, output)
}

fn no_program() -> Result<(), Failed> {
    let sandbox = full()?;
    let request = SpawnRequest::new(Program::Path("/no/such/program".into()), [""; 0]);
    match sandbox.spawn(&request) {
        Err(SandboxError::Refused { what, source }) => ensure(
            what.contains("/no/such/program") && source.kind() == std::io::ErrorKind::NotFound,
            format!("{what}: {source}"),
        )?,
        other => return Err(format!("{:?}", other.map(|child| child.pid())).into()),
    }
    let mut request = shell("true");
    request.cwd = Some("/no/such/directory".into());
    ensure(
        sandbox.spawn(&request).is_err(),
        "a directory that is not there",
    )?;
    let mut request = shell("true");
    request.cgroup = true;
    ensure(
        sandbox.spawn(&request).is_err(),
        "a cgroup that is not there",
    )?;
    let (code, _) = run(&sandbox, "exit 5")?;
    ensure(code == 5, "the sandbox must go on after a refusal")
}

/// A tree with all ways to hide from a parent: a session of its own, and parents that are gone.
const TREE: &str = "\
setsid sh -c '(sleep 1000 & sleep 1000) & sleep 1000' &
(setsid sh -c 'sleep 1000 & sleep 1000 & exec sleep 1000' &)
sh -c 'sleep 1000 & sleep 1000 &'
trap '' TERM HUP INT
echo up
sleep 1000";

fn tree() -> Result<(), Failed> {
    let sandbox = full()?;
    let mark = mark();
    let mut request = shell(TREE);
    request.env = vec![(MARK.into(), mark.clone())];
    let child = sandbox.spawn(&request)?;
    expect_line(&child, "up")?;
    await_that("the tree stands", || marked(&mark) >= 10)?;
    sandbox.kill_all()?;
    ensure(marked(&mark) == 0, "somebody survived")?;
    ensure(child.wait(soon())? == Some(137), "its end was not reported")?;
    // And the sandbox can be used again.
    let (code, _) = run(&sandbox, "exit 4")?;
    ensure(code == 4, "no life after a kill")
}

fn orphans() -> Result<(), Failed> {
    let sandbox = full()?;
    // Each subshell leaves an orphan that ends by itself.
    let script = "for i in 1 2 3 4 5 6 7 8; do (true & ); done; echo up; sleep 1000";
    let child = sandbox.spawn(&shell(script))?;
    expect_line(&child, "up")?;
    await_that("no zombie is left", || {
        run(&sandbox, "grep -l '^State:.Z' /proc/[0-9]*/status").is_ok_and(|(code, _)| code == 1)
    })
}

fn stop() -> Result<(), Failed> {
    let sandbox = full()?;
    let mark = mark();
    let mut request = shell("sleep 1000 & echo up; wait");
    request.env = vec![(MARK.into(), mark.clone())];
    let child = sandbox.spawn(&request)?;
    expect_line(&child, "up")?;
    await_that("both run", || marked(&mark) == 2)?;
    let stopped = || {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter(|entry| {
                let read = |name| std::fs::read_to_string(entry.path().join(name));
                read("environ").is_ok_and(|text| text.contains(&mark))
                    && read("status").is_ok_and(|text| text.contains("State:\tT"))
            })
            .count()
    };
    sandbox.signal_all(libc::SIGSTOP)?;
    await_that("both are stopped", || stopped() == 2)?;
    sandbox.signal_all(libc::SIGCONT)?;
    await_that("none is stopped", || stopped() == 0)?;
    sandbox.signal_all(libc::SIGSTOP)?;
    sandbox.kill_all()?;
    ensure(marked(&mark) == 0, "a stopped process must die too")
}

fn term() -> Result<(), Failed> {
    let sandbox = full()?;
    let child = sandbox.spawn(&shell(
        "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done",
    ))?;
    expect_line(&child, "up")?;
    sandbox.signal(child.pid(), libc::SIGTERM)?;
    let (code, output) = finish(&child)?;
    ensure(
        code == 7 && output.ends_with("bye\n"),
        format!("{code} {output}"),
    )?;
    ensure(
        sandbox.signal(child.pid(), libc::SIGTERM).is_err(),
        "a process that has ended cannot be signalled",
    )
}

fn read_only() -> Result<(), Failed> {
    let sandbox = full()?;
    // Where the tests run is mostly ours to write; /tmp is another matter.
    let here = std::env::current_dir()?;
    let own = !here.starts_with("/tmp")
        && here.metadata().is_ok_and(|found| {
            use std::os::unix::fs::MetadataExt;
            found.uid() == nix::unistd::geteuid().as_raw()
        });
    let mut places = vec!["/", "/etc", "/var/tmp", "/usr"];
    if own {
        places.extend(here.to_str());
    }
    for place in places {
        let (code, output) = run(
            &sandbox,
            &format!("LC_ALL=C; : > '{place}/plugpull-was-here'"),
        )?;
        let reason = if nix::unistd::geteuid().is_root() || place == here.to_string_lossy() {
            output.contains("Read-only file system")
        } else {
            output.contains("Read-only") || output.contains("Permission denied")
        };
        ensure(code != 0 && reason, format!("{place}: {code} {output}"))?;
    }
    for script in [
        "mount -o remount,rw /",
        "mount -t tmpfs x /srv",
        "echo 1 > /proc/sys/kernel/panic",
        "echo h > /proc/sysrq-trigger",
    ] {
        let (code, output) = run(&sandbox, script)?;
        ensure(code != 0, format!("{script} was allowed: {output}"))?;
    }
    let (code, output) = run(&sandbox, "echo x > a && cat a && rm a")?;
    ensure(
        code == 0,
        format!("the data directory is not writable: {output}"),
    )
}

fn tmp() -> Result<(), Failed> {
    let outside = tempfile::Builder::new()
        .prefix("seen-")
        .tempdir_in("/tmp")?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(outside.path().join("file"), "real")?;
    let sandbox = full()?;
    let name = format!("plugpull-private-{}", mark());
    let (code, output) = run(
        &sandbox,
        &format!("echo x > /tmp/{name} && cat /tmp/{name}"),
    )?;
    ensure(code == 0, output)?;
    ensure(
        !std::path::Path::new("/tmp").join(&name).exists(),
        "a file left the sandbox",
    )?;
    if sandbox.tmp() == "overlay" {
        let file = outside.path().join("file");
        let script = format!("cat {0} && echo y > {0} && cat {0}", file.display());
        let (code, output) = run(&sandbox, &script)?;
        ensure(code == 0 && output == "realy\n", format!("{code} {output}"))?;
        ensure(std::fs::read(file)? == b"real", "a real file was changed")?;
    }
    Ok(())
}

fn renewed() -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    let outside = tempfile::Builder::new()
        .prefix("seen-")
        .tempdir_in("/tmp")?;
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(outside.path().join("file"), "real")?;
    std::fs::write(outside.path().join("gone"), "real")?;
    let sandbox = full()?;
    let overlay = sandbox.tmp() == "overlay";
    let seen = outside.path().display();
    let places = format!("/tmp /dev/shm {}/..", sandbox.data_dir().display());
    let left = format!(
        "for one in {places}; do mkdir -p $one/left/shut && echo x >$one/left/shut/db && \
         chmod 0 $one/left/shut && mkfifo $one/left/ask || echo no; done; \
         if {overlay}; then echo y >{seen}/file; rm {seen}/gone; fi"
    );
    let look = format!(
        "for one in {places}; do [ ! -e $one/left ] || echo $one; done; \
         if {overlay}; then cat {seen}/file {seen}/gone; fi"
    );
    let untouched = if overlay { "realreal" } else { "" };
    for _ in 0..2 {
        let (_, output) = run(&sandbox, &left)?;
        ensure(output.is_empty(), output)?;
        // Within a trial it stays.
        let (_, output) = run(&sandbox, &look)?;
        ensure(output.lines().count() >= 3, output)?;
        sandbox.kill_all()?;
        sandbox.renew_directories()?;
        let (_, output) = run(&sandbox, &look)?;
        ensure(output == untouched, output)?;
    }
    ensure(
        std::fs::read(outside.path().join("gone"))? == b"real",
        "a real file",
    )
}

/// A segment outlives the processes that made it.
fn shared_memory_renewed() -> Result<(), Failed> {
    let sandbox = full()?;
    let count = "ipcs -m | grep -c '^0x' || :";
    for _ in 0..2 {
        run(&sandbox, "ipcmk -M 4096 -S 2 -Q")?;
        let (_, output) = run(&sandbox, count)?;
        ensure(output == "1\n", output)?;
        sandbox.kill_all()?;
        sandbox.renew_directories()?;
        let (_, output) = run(&sandbox, count)?;
        ensure(output == "0\n", output)?;
    }
    Ok(())
}

fn shm() -> Result<(), Failed> {
    let sandbox = full()?;
    let name = format!("/dev/shm/plugpull-{}", mark());
    let (code, output) = run(&sandbox, &format!("echo x > {name} && cat {name}"))?;
    ensure(code == 0 && output == "x\n", output)?;
    ensure(
        !std::path::Path::new(&name).exists(),
        "a file left the sandbox",
    )
}

fn disks() -> Result<(), Failed> {
    let sandbox = full()?;
    ensure(sandbox.notes().is_empty(), format!("{:?}", sandbox.notes()))?;
    let script = "for f in /dev/*; do [ -b $f ] && echo $f; done; echo x > /dev/null && head -c 3 /dev/zero | wc -c";
    let (_, output) = run(&sandbox, script)?;
    ensure(output == "3\n", output)
}

fn network() -> Result<(), Failed> {
    // Two on the same port, and that port taken outside too, where it is free.
    let _outside = std::net::TcpListener::bind(("127.0.0.1", 5432));
    let boxes = [full()?, full()?];
    for sandbox in &boxes {
        let child = sandbox.spawn(&own(&["listen", "5432"]))?;
        expect_line(&child, "listening on 5432")?;
    }
    for sandbox in &boxes {
        let mut text = String::new();
        sandbox
            .tcp_connect(5432, Duration::from_secs(10))?
            .read_to_string(&mut text)?;
        ensure(text == "hello", text)?;
        ensure(
            matches!(
                sandbox.tcp_connect(5433, Duration::from_secs(10)),
                Err(SandboxError::Refused { .. })
            ),
            "nobody listens there",
        )?;
    }
    let (_, output) = run(
        &boxes[0],
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \\n'",
    )?;
    ensure(
        output.starts_with("lo") && !output.contains("eth"),
        format!("it has {output}"),
    )
}

fn data() -> Result<(), Failed> {
    let paths = [full()?, full()?].map(|sandbox| sandbox.data_dir().to_path_buf());
    ensure(
        paths[0] == paths[1] && paths[0].ends_with("plugpull/data"),
        format!("{paths:?}"),
    )?;
    let covered = paths[0].ancestors().nth(2).unwrap_or(&paths[0]);
    let sandbox = Sandbox::open(&SandboxOptions {
        isolation: IsolationPolicy::Only(Isolation::Full),
        visible: vec![covered.join("bin/program")],
        ..SandboxOptions::default()
    })?;
    ensure(
        !sandbox.data_dir().starts_with(covered),
        "it covers a program that must stay visible",
    )
}

fn tmpfs() -> Result<(), Failed> {
    let sandbox = full()?;
    sandbox.mount_tmpfs(1 << 20)?;
    let (code, output) = run(&sandbox, "LC_ALL=C head -c 2000000 /dev/zero > big")?;
    ensure(
        code != 0 && output.contains("No space left"),
        format!("{code} {output}"),
    )?;
    // In use: only force takes it.
    let child = sandbox.spawn(&shell("exec 3> open; echo up; sleep 1000"))?;
    expect_line(&child, "up")?;
    ensure(sandbox.unmount(false).is_err(), "it was in use")?;
    sandbox.unmount(true)?;
    let (_, output) = run(&sandbox, "ls -A")?;
    ensure(output.is_empty(), output)?;
    ensure(
        sandbox.unmount(false).is_err(),
        "nothing is mounted any more",
    )
}

fn limits() -> Result<(), Failed> {
    let sandbox = full()?;
    let mut request = shell(
        "ulimit -n; ulimit -c; grep Cpus_allowed_list /proc/self/status; cat /proc/self/oom_score_adj",
    );
    request.limits = vec![(Limit::OpenFiles, 77)];
    request.cpu = Some(0);
    request.oom_score_adj = Some(900);
    let (_, output) = finish(&sandbox.spawn(&request)?)?;
    ensure(
        output == "77\n0\nCpus_allowed_list:\t0\n900\n",
        format!("{output:?}"),
    )?;
    request.cpu = Some(1023);
    ensure(sandbox.spawn(&request).is_err(), "a CPU that is not there")
}

fn user_namespace() -> Result<(), Failed> {
    let sandbox = Sandbox::open(&SandboxOptions {
        isolation: IsolationPolicy::Only(Isolation::Full),
        user_namespace: true,
        ..SandboxOptions::default()
    })?;
    ensure(sandbox.user_namespace(), "it is not in one")?;
    let (_, output) = run(&sandbox, "id -u; id -g")?;
    let wanted = format!("{}\n{}\n", nix::unistd::geteuid(), nix::unistd::getegid());
    ensure(output == wanted, output)
}

fn drop_leaves_nothing() -> Result<(), Failed> {
    let sandbox = full()?;
    let mark = mark();
    let mut request = shell(TREE);
    request.env = vec![(MARK.into(), mark.clone())];
    let child = sandbox.spawn(&request)?;
    expect_line(&child, "up")?;
    sandbox.mount_tmpfs(1 << 20)?;
    drop(sandbox);
    ensure(marked(&mark) == 0, "somebody survived")?;
    ensure(
        child.wait(soon()).is_err(),
        "how it ended cannot be known, and is not made up",
    )
}

fn many() -> Result<(), Failed> {
    let boxes: Result<Vec<Sandbox>, SandboxError> = (0..8).map(|_| full()).collect();
    let boxes = boxes?;
    std::thread::scope(|scope| {
        let runs: Vec<_> = boxes
            .iter()
            .enumerate()
            .map(|(number, sandbox)| {
                scope.spawn(move || {
                    run(sandbox, &format!("echo {number} > n; cat n; exit {number}"))
                })
            })
            .collect();
        for (number, handle) in runs.into_iter().enumerate() {
            let (code, output) = handle.join().map_err(|_| "a panic")??;
            ensure(
                code == number as i32 && output == format!("{number}\n"),
                format!("{code} {output}"),
            )?;
        }
        Ok(())
    })
}
