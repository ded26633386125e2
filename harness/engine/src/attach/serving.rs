//! Which processes of this machine have a directory open, and which are at the other end of
//! plugpull's connections: what /proc shows of them (proc(5), proc_pid_net(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::process;

/// The state of a listening socket in /proc/net/tcp (`TCP_LISTEN`).
const LISTEN: u8 = 0x0A;
/// The state of an open connection there (`TCP_ESTABLISHED`).
const ESTABLISHED: u8 = 0x01;

/// A process and all below it.
pub(super) fn tree(root: i32) -> BTreeSet<i32> {
    let parents: BTreeMap<i32, i32> = processes()
        .filter_map(|pid| Some((pid, process::parent(pid)?)))
        .collect();
    let below = |pid: &i32| {
        let mut at = *pid;
        // As far as to the first process of all, which has no parent.
        while at != root {
            match parents.get(&at) {
                Some(parent) if *parent > 0 && *parent != at => at = *parent,
                _ => return false,
            }
        }
        true
    };
    parents.keys().copied().filter(below).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// What a process is called, as the kernel has it.
pub(super) fn name(pid: i32) -> String {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim().to_owned()
}

/// How a process has to do with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Nothing shows that it has.
    None,
    /// The directory is named in its command line or in its environment.
    Named,
    /// It works in it, or has something of it open or mapped.
    Open,
}

/// How these processes have to do with a directory, at most. An error when none of them may be
/// looked at.
pub(super) fn directory_use(processes: &BTreeSet<i32>, directory: &Path) -> io::Result<Use> {
    let mut most = Use::None;
    let mut opened = Vec::new();
    let mut refused = None;
    let mut looked = false;
    for pid in processes {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        match links(&proc) {
            Ok(links) => {
                looked = true;
                opened.extend(links);
            }
            Err(error) => {
                refused.get_or_insert(error);
                continue;
            }
        }
        let maps = fs::read(proc.join("maps")).unwrap_or_default();
        if maps
            .split(|b| *b == b'\n')
            .any(|line| maps_path(line).starts_with(directory))
        {
            return Ok(Use::Open);
        }
        if names(&proc, directory) {
            most = Use::Named;
        }
    }
    if let (false, Some(error)) = (looked, refused) {
        return Err(error);
    }
    let below = |link: &PathBuf| fs::read_link(link).is_ok_and(|path| path.starts_with(directory));
    if opened.iter().any(below) {
        return Ok(Use::Open);
    }
    // In a mount namespace of its own it knows the same files by other names.
    let inodes: BTreeSet<(u64, u64)> = opened
        .iter()
        .filter_map(|link| link.metadata().ok())
        .filter(|about| about.is_dir() || about.is_file())
        .map(|about| (about.dev(), about.ino()))
        .collect();
    Ok(match has_one_of(directory, &inodes) {
        true => Use::Open,
        false => most,
    })
}

/// The links to what a process has open, and to where it works.
fn links(proc: &Path) -> io::Result<Vec<PathBuf>> {
    let mut links = vec![proc.join("cwd")];
    for entry in fs::read_dir(proc.join("fd"))? {
        links.push(entry?.path());
    }
    Ok(links)
}

/// The path at the end of a line of /proc/PID/maps; empty where there is none.
fn maps_path(line: &[u8]) -> &Path {
    let at = line.iter().position(|byte| *byte == b'/');
    Path::new(std::ffi::OsStr::from_bytes(
        at.map_or(&[], |at| &line[at..]),
    ))
}

/// Whether a word of the command line, or a value of the environment, has the directory's path in it.
fn names(proc: &Path, directory: &Path) -> bool {
    let path = directory.as_os_str().as_bytes();
    ["cmdline", "environ"].iter().any(|file| {
        let text = fs::read(proc.join(file)).unwrap_or_default();
        let ends = |at: usize| text.get(at).is_none_or(|byte| b"\0/:,;\"' ".contains(byte));
        text.windows(path.len().max(1))
            .enumerate()
            .any(|(at, part)| part == path && ends(at + path.len()))
    })
}

/// Whether the directory, or something below it, is one of these.
fn has_one_of(directory: &Path, inodes: &BTreeSet<(u64, u64)>) -> bool {
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(about) = path.symlink_metadata() else {
            continue;
        };
        if inodes.contains(&(about.dev(), about.ino())) {
            return true;
        }
        if about.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            left.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
    }
    false
}

/// What is at the other end of the connections of plugpull and its drivers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Peers {
    /// Processes of the service.
    pub(super) own: BTreeSet<i32>,
    /// Other processes of this machine.
    pub(super) others: BTreeSet<i32>,
}

/// Who is at the other end of the open TCP connections of plugpull and its drivers. `service` are the
/// processes that are taken for the service; where plugpull started it they are below plugpull.
pub(super) fn peers(service: &BTreeSet<i32>) -> Peers {
    let myself = i32::try_from(std::process::id()).unwrap_or_default();
    let mine: BTreeSet<u64> = tree(myself)
        .difference(service)
        .flat_map(|pid| sockets(*pid).unwrap_or_default())
        .collect();
    // A service in a network namespace of its own has its sockets in another table.
    let mut entries = table(myself);
    if let Some(pid) = service.first() {
        entries.extend(table(*pid));
    }
    let open = |entry: &&Socket| entry.state == ESTABLISHED;
    let from: BTreeSet<(SocketAddr, SocketAddr)> = entries
        .iter()
        .filter(open)
        .filter(|entry| mine.contains(&entry.inode))
        .map(|entry| (entry.local, entry.remote))
        .collect();
    let ends: BTreeSet<u64> = entries
        .iter()
        .filter(open)
        .filter(|entry| from.contains(&(entry.remote, entry.local)))
        .map(|entry| entry.inode)
        .filter(|inode| !mine.contains(inode))
        .collect();
    let (own, others) = owners(&ends).partition(|pid| service.contains(pid));
    Peers { own, others }
}

/// The processes that have one of these sockets.
fn owners(inodes: &BTreeSet<u64>) -> impl Iterator<Item = i32> {
    processes().filter(move |pid| {
        !inodes.is_empty() && sockets(*pid).is_ok_and(|own| !own.is_disjoint(inodes))
    })
}

/// The process of this machine that listens at an address: the highest in the tree, where several have
/// the socket. None where that is of another machine, or nobody's that may be looked at.
pub(super) fn listener(address: SocketAddr) -> Option<i32> {
    // Only an address of this machine can be bound to.
    UdpSocket::bind((address.ip(), 0)).ok()?;
    let myself = i32::try_from(std::process::id()).ok()?;
    let inodes = table(myself)
        .into_iter()
        .filter(|entry| entry.state == LISTEN && entry.local.port() == address.port())
        .filter(|entry| {
            let ip = entry.local.ip();
            ip.is_unspecified() || ip == plain(address.ip())
        })
        .map(|entry| entry.inode)
        .collect();
    // A supervisor that hands the socket over is the first process of all.
    let owners: BTreeSet<i32> = owners(&inodes).filter(|pid| *pid > 1).collect();
    owners.iter().copied().find(|pid| {
        let mut above = process::parent(*pid);
        while let Some(at) = above {
            if owners.contains(&at) {
                return false;
            }
            above = process::parent(at).filter(|parent| *parent != at);
        }
        true
    })
}

/// The inodes of the sockets that a process has open.
fn sockets(pid: i32) -> io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(link) = fs::read_link(entry?.path()) else {
            continue;
        };
        let inode = link
            .to_str()
            .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        inodes.extend(inode.and_then(|text| text.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    inode: u64,
}

/// The TCP sockets of a process's network namespace.
fn table(pid: i32) -> Vec<Socket> {
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
            text.lines().filter_map(socket).collect::<Vec<_>>()
        })
        .collect()
}

/// One line of /proc/net/tcp or tcp6: `sl local remote st tx:rx tr:tm retrnsmt uid timeout inode`.
fn socket(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(Socket {
        local: address(fields.get(1)?)?,
        remote: address(fields.get(2)?)?,
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// An address as the kernel prints it: words of 32 bits in the machine's own order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            plain(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// An IPv4 address in an IPv6 one as what it is.
fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    use super::*;

    fn myself() -> i32 {
        std::process::id() as i32
    }

    #[test]
    fn a_tree_has_what_is_below_and_nothing_else() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(tree(myself()).contains(&pid));
        assert_eq!(tree(pid), BTreeSet::from([pid]));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_directory_is_open_named_or_neither() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().canonicalize().unwrap();
        let (used, other) = (real.join("used"), real.join("other"));
        fs::create_dir(&used).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(used.join("file"), "x").unwrap();
        for (script, expected) in [
            ("exec 3<used/file; echo; read x", Use::Open),
            ("cd used; echo; read x", Use::Open),
            ("echo; read x; : $NAMED", Use::Named),
            ("echo; read x", Use::None),
        ] {
            let mut command = Command::new("sh");
            command
                .args(["-c", script])
                .current_dir(&real)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            if expected == Use::Named {
                command.env("NAMED", &used);
            }
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            io::BufRead::read_line(
                &mut io::BufReader::new(child.stdout.as_mut().unwrap()),
                &mut line,
            )
            .unwrap();
            let own = BTreeSet::from([child.id() as i32]);
            assert_eq!(directory_use(&own, &used).unwrap(), expected, "{script}");
            assert!(directory_use(&own, &other).unwrap() < Use::Open, "{script}");
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_connection_leads_to_who_accepted_it() {
        let listening = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))
            .unwrap();
        let port = listening.local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(listener(address), Some(myself()));
        assert_eq!(listener(SocketAddr::from(([192, 0, 2, 1], port))), None);
        // A process below this one that connects here, as a driver does.
        let mut child = Command::new("bash")
            .args([
                "-c",
                "exec 3<>/dev/tcp/127.0.0.1/$0; read x <&3",
                &port.to_string(),
            ])
            .spawn()
            .unwrap();
        let (stream, _) = listening.accept().unwrap();
        let service = BTreeSet::from([myself()]);
        // The service is this process here, and what it has is not plugpull's. A process that another test
        // starts has all that is open here until it executes its program.
        let found = (0..1_000).any(|_| peers(&service).own == service);
        assert!(found, "{:?}", peers(&service));
        drop(stream);
        child.wait().unwrap();
        drop(TcpStream::connect(address).unwrap());
    }

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        // As a machine with the lowest byte first prints them.
        if cfg!(target_endian = "little") {
            let line = "   0: 0100007F:1C8F 00000000:0000 0A 00000000:00000000 00:00000000 \
                        00000000     0        0 4711 1 0000000000000000 100 0 0 10 0";
            let read = socket(line).unwrap();
            assert_eq!(read.local, "127.0.0.1:7311".parse().unwrap());
            assert_eq!((read.state, read.inode), (LISTEN, 4711));
            let mapped = address("0000000000000000FFFF00000100007F:0050").unwrap();
            assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
        }
        assert_eq!(socket("  sl  local_address rem_address"), None);
        assert_eq!(address("0100007F"), None);
        assert_eq!(address("0100:0050"), None);
    }
}
