//! A hostile program in the sandbox: it writes in sixteen places, opens and makes devices, mounts, sets
//! clock and host name, and reaches for the network and other processes. What it can do is what
//! `docs/sandbox.md` says, and nothing of it is seen outside.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;

use plugpull_testing::test;

use crate::support::{PLUGPULL, Ran, machine};

/// What succeeds: it is private to the sandbox, or reads what the user can read, or is a socket that
/// the user can reach.
const ALLOWED: [&str; 6] = [
    "write-tmp",
    "write-shm",
    "write-dev",
    "own-namespace",
    "socket",
    "read-outside",
];

/// What succeeds besides for the owner of files in `/tmp`: they are changed in a layer above.
const OF_THE_OWNER: [&str; 4] = [
    "write-home",
    "write-outside",
    "overwrite-outside",
    "remove-outside",
];

/// Where the program writes, but for what is private.
const PLACES: [&str; 12] = [
    "/etc",
    "/usr",
    "/usr/local",
    "/var/tmp",
    "/var/lib",
    "/opt",
    "/srv",
    "/run",
    "/",
    "/sys/kernel",
    "/sys/fs/cgroup",
    "/dev",
];

/// A machine that the program may not change: files, a terminal, sockets.
struct Outside {
    directory: tempfile::TempDir,
    mark: String,
    port: TcpListener,
    terminal: nix::pty::OpenptyResult,
    elsewhere: tempfile::TempDir,
    _named: [UnixListener; 2],
    _abstract: UnixListener,
}

impl Outside {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("kept"), "kept").unwrap();
        fs::write(directory.path().join("removed"), "kept").unwrap();
        fs::create_dir(directory.path().join("home")).unwrap();
        // A layer over /tmp shows copies of files, which sockets are not.
        let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
        let socket = elsewhere.path().join("socket");
        let name = socket.display().to_string();
        Self {
            mark: format!(
                "plugpull-hostile-{}",
                directory.path().file_name().unwrap().display()
            ),
            port: TcpListener::bind("127.0.0.1:0").unwrap(),
            terminal: nix::pty::openpty(None, None).unwrap(),
            _named: [&socket, &directory.path().join("socket")]
                .map(|path| UnixListener::bind(path).unwrap()),
            elsewhere,
            _abstract: UnixListener::bind_addr(
                &SocketAddr::from_abstract_name(name.as_bytes()).unwrap(),
            )
            .unwrap(),
            directory,
        }
    }

    fn terminal(&self) -> String {
        let path = format!("/proc/self/fd/{}", self.terminal.slave.as_raw_fd());
        fs::read_link(path).unwrap().display().to_string()
    }

    /// The words behind the program's name.
    fn arguments(&self) -> Vec<String> {
        let directory = self.directory.path();
        vec![
            self.mark.clone(),
            directory.display().to_string(),
            directory.join("home").display().to_string(),
            self.port.local_addr().unwrap().port().to_string(),
            self.terminal(),
            self.elsewhere.path().join("socket").display().to_string(),
            std::process::id().to_string(),
        ]
    }

    /// Fails where anything came through.
    fn must_be_untouched(&self) {
        let directory = self.directory.path();
        for name in ["kept", "removed"] {
            let text = fs::read_to_string(directory.join(name)).unwrap();
            assert_eq!(text, "kept", "{name}");
        }
        let places = PLACES.iter().map(Path::new);
        for place in places.chain([directory, &directory.join("home"), Path::new("/tmp")]) {
            for name in [self.mark.clone(), format!("{}.link", self.mark)] {
                let written = place.join(&name);
                assert!(written.symlink_metadata().is_err(), "{}", written.display());
            }
        }
        let shown = nix::poll::poll(
            &mut [nix::poll::PollFd::new(
                std::os::fd::AsFd::as_fd(&self.terminal.master),
                nix::poll::PollFlags::POLLIN,
            )],
            nix::poll::PollTimeout::ZERO,
        );
        assert_eq!(shown, Ok(0), "it wrote on the user's terminal");
        self.port.set_nonblocking(true).unwrap();
        assert!(self.port.accept().is_err(), "it reached the machine's port");
    }
}

fn program() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/hostile.py");
    path.display().to_string()
}

/// What became of each attempt.
fn attempts(printed: &str) -> BTreeMap<&str, &str> {
    let lines = printed.lines().filter_map(|line| line.split_once(' '));
    lines.collect()
}

fn must_be_refused(attempts: &BTreeMap<&str, &str>, but: &[&str]) {
    assert!(attempts.len() > 45, "{attempts:?}");
    for (name, outcome) in attempts {
        assert!(
            *outcome != "done" || but.contains(name),
            "{name} was not refused: {attempts:?}"
        );
    }
    // The document says so.
    for name in but {
        assert_eq!(attempts.get(name), Some(&"done"), "{name}: {attempts:?}");
    }
}

/// As the user who runs the tests: as root without a user namespace.
#[test(needs = "fuse python3")]
fn a_hostile_program_changes_nothing_outside() {
    let outside = Outside::new();
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let ran: Ran = Command::new(PLUGPULL)
        .args(["exec", "--", "python3", &program()])
        .args(outside.arguments())
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{ran:?}");
    let allowed = [&ALLOWED[..], &OF_THE_OWNER].concat();
    must_be_refused(&attempts(&ran.stdout), &allowed);
    outside.must_be_untouched();
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        hostname
    );
}

/// The same as the workload of a target that `plugpull run` tries.
#[test(needs = "namespaces python3")]
fn a_hostile_target_changes_nothing_outside() {
    let outside = Outside::new();
    let target = tempfile::tempdir().unwrap();
    let toml = "[workload]\ncommand = ['sh', '{folder}/work.sh']\n\
                [check]\ncommand = ['sh', '{folder}/check.sh']\n";
    let attack = format!("python3 {} {}", program(), outside.arguments().join(" "));
    // The list of attempts is data that is written and required like any other.
    let work = format!(
        "{attack} >attempts 2>&1; n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n\n\
         grep -c . attempts >\"note-$id\"; sync .; echo \"ack $id\"; done\n"
    );
    let check =
        "while read -r id; do [ \"$(cat \"note-$id\")\" -gt 45 ] || echo \"lost $id\"; done\n";
    for (name, content) in [
        ("hostile.toml", toml),
        ("work.sh", &work),
        ("check.sh", check),
    ] {
        fs::write(target.path().join(name), content).unwrap();
    }
    let ran = crate::support::run(&format!(
        "{} --rounds 2 --seed 1 --fault kill@ack=5 --no-fuse",
        target.path().join("hostile.toml").display()
    ));
    ran.must_have_no_finding();
    assert_eq!(ran.count("pass"), 2, "{}", ran.ran.stdout);
    outside.must_be_untouched();
}

/// As an ordinary user, who is in a user namespace there.
#[test(needs = "root user-namespaces setpriv python3")]
fn a_hostile_program_of_an_ordinary_user_changes_nothing_outside() {
    use std::os::unix::fs::PermissionsExt;

    let outside = Outside::new();
    let (inside, elsewhere) = (outside.directory.path(), outside.elsewhere.path());
    let paths = ["", "home", "kept", "removed"].map(|name| inside.join(name));
    for path in paths
        .iter()
        .chain(&[elsewhere.join("socket"), elsewhere.into()])
    {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (directory, plugpull) = machine::own_copy();
    let program = directory.path().join("hostile.py");
    fs::copy(self::program(), &program).unwrap();
    let ran: Ran = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg("--inh-caps=-all")
        .arg(&plugpull)
        .args(["exec", "--storage", "tmpfs", "--", "python3"])
        .arg(&program)
        .args(outside.arguments())
        .env_remove("TMPDIR")
        .current_dir(directory.path())
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{ran:?}");
    must_be_refused(&attempts(&ran.stdout), &ALLOWED);
    outside.must_be_untouched();
}
