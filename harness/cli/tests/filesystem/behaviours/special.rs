//! What is no plain file, programs, events, and the calls that make things durable.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use libc::{O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};

use super::{Behaviour, behaviour, file};
use crate::outcome::{line, value, word};
use crate::sys::{self, open};

/// The names of the events that wait.
fn events(mut stream: &File) -> std::io::Result<String> {
    let mut bytes = [0; 4096];
    let len = match stream.read(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
        other => other?,
    };
    let mut shown = Vec::new();
    let mut rest = &bytes[..len];
    // struct inotify_event: wd, mask, cookie, length of the name; then the name (inotify(7)).
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let number =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        shown.push(match number(4) {
            libc::IN_CREATE => "create",
            libc::IN_MODIFY => "modify",
            libc::IN_CLOSE_WRITE => "close",
            libc::IN_MOVED_FROM => "from",
            libc::IN_MOVED_TO => "to",
            libc::IN_DELETE => "delete",
            libc::IN_ATTRIB => "attrib",
            _ => "other",
        });
        rest = &tail[(number(12) as usize).min(tail.len())..];
    }
    Ok(shown.join(" "))
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("fifo.carries-bytes", "hello", || {
        sys::mknod("p", libc::S_IFIFO | 0o600, 0)?;
        let writer = sys::fork(|| {
            open("p", O_WRONLY, 0)?.write_all(b"hello")?;
            Ok(String::new())
        })?;
        let mut read = String::new();
        open("p", O_RDONLY, 0)?.read_to_string(&mut read)?;
        writer.outcome()?;
        Ok(read)
    }),
    behaviour("fifo.writer-without-reader", "ENXIO true", || {
        sys::mknod("p", libc::S_IFIFO | 0o600, 0)?;
        let kind = fs::metadata("p")?.file_type();
        line([
            word(open("p", O_WRONLY | O_NONBLOCK, 0)),
            kind.is_fifo().to_string(),
        ])
    }),
    behaviour("fifo.synced-and-seeked", "EINVAL ESPIPE", || {
        sys::mknod("p", libc::S_IFIFO | 0o600, 0)?;
        let both = open("p", O_RDWR, 0)?;
        line([
            word(both.sync_all()),
            value(sys::lseek(&both, 0, libc::SEEK_SET)),
        ])
    }),
    behaviour("socket.carries-bytes", "hello", || {
        let listener = UnixListener::bind("s")?;
        UnixStream::connect("s")?.write_all(b"hello")?;
        let mut read = String::new();
        listener.accept()?.0.read_to_string(&mut read)?;
        Ok(read)
    }),
    behaviour(
        "socket.refusals",
        "EADDRINUSE ENXIO ECONNREFUSED ENOENT true",
        || {
            let listener = UnixListener::bind("s")?;
            let taken = word(UnixListener::bind("s"));
            let opened = word(open("s", O_RDONLY, 0));
            let kind = fs::metadata("s")?.file_type();
            drop(listener);
            let refused = word(UnixStream::connect("s"));
            fs::remove_file("s")?;
            line([
                taken,
                opened,
                refused,
                word(UnixStream::connect("s")),
                kind.is_socket().to_string(),
            ])
        },
    ),
    behaviour("program.script", "7", || {
        file("f", "#!/bin/sh\nexit 7\n")?;
        fs::set_permissions("f", Permissions::from_mode(0o755))?;
        let code = Command::new("./f").status()?.code();
        Ok(format!("{}", code.unwrap_or(-1)))
    }),
    behaviour("program.copied-here", "0 1", || {
        fs::copy("/bin/true", "yes")?;
        fs::copy("/bin/false", "no")?;
        let run = |name: &str| {
            Command::new(name)
                .status()
                .map(|code| code.code().unwrap_or(-1))
        };
        line([value(run("./yes")), value(run("./no"))])
    }),
    behaviour("program.busy", "ETXTBSY ok", || {
        fs::copy("/bin/cat", "program")?;
        let mut running = Command::new("./program")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let busy = word(open("program", O_RDWR, 0));
        drop(running.stdin.take());
        running.wait()?;
        line([busy, word(open("program", O_RDWR, 0))])
    }),
    behaviour("program.open-for-writing", "ETXTBSY", || {
        fs::copy("/bin/true", "program")?;
        let _writer = open("program", O_RDWR, 0)?;
        Ok(word(Command::new("./program").status()))
    }),
    behaviour(
        "events.of-a-file",
        "create close / modify close / delete",
        || {
            let mask = libc::IN_CREATE | libc::IN_MODIFY | libc::IN_CLOSE_WRITE | libc::IN_DELETE;
            let stream = sys::inotify(".", mask)?;
            File::create("f")?;
            let made = events(&stream)?;
            File::options().append(true).open("f")?.write_all(b"x")?;
            let written = events(&stream)?;
            fs::remove_file("f")?;
            Ok(format!("{made} / {written} / {}", events(&stream)?))
        },
    ),
    behaviour("events.of-a-rename", "from to / attrib", || {
        file("f", "x")?;
        let mask = libc::IN_MOVED_FROM | libc::IN_MOVED_TO | libc::IN_ATTRIB;
        let stream = sys::inotify(".", mask)?;
        fs::rename("f", "g")?;
        let renamed = events(&stream)?;
        fs::set_permissions("g", Permissions::from_mode(0o600))?;
        Ok(format!("{renamed} / {}", events(&stream)?))
    }),
    behaviour("sync.every-kind", "ok ok ok ok", || {
        let held = file("f", "x")?;
        line([
            word(held.sync_all()),
            word(held.sync_data()),
            word(sys::sync_file_range(&held)),
            word(sys::syncfs(&held)),
        ])
    }),
    behaviour("sync.of-a-reader", "ok ok", || {
        file("f", "x")?;
        let reader = open("f", O_RDONLY, 0)?;
        line([word(reader.sync_all()), word(reader.sync_data())])
    }),
    behaviour("advice.every-kind", "ok ok ok ok", || {
        let held = file("f", [1; 8192])?;
        let kinds = [
            libc::POSIX_FADV_SEQUENTIAL,
            libc::POSIX_FADV_RANDOM,
            libc::POSIX_FADV_WILLNEED,
            libc::POSIX_FADV_DONTNEED,
        ];
        line(kinds.map(|kind| word(sys::advise(&held, kind))))
    }),
    behaviour("aio.write-and-read", "4096 4096 d", || {
        let held = open("f", libc::O_CREAT | O_RDWR | libc::O_DIRECT, 0o644)?;
        let mut bytes = sys::Aligned::new(4096, 0, b'd');
        let (wrote, read) = sys::aio(&held, &mut bytes)?;
        let mut byte = [0];
        File::open("f")?.read_exact_at(&mut byte, 4095)?;
        Ok(format!("{wrote} {read} {}", char::from(byte[0])))
    }),
    behaviour("time-of-use.file-replaced-while-mapped", "old new", || {
        let held = file("f", "old")?;
        let map = sys::Map::new(&held, 4096, libc::PROT_READ, libc::MAP_SHARED, 0)?;
        fs::write("new", "new")?;
        fs::rename("new", "f")?;
        let old: String = (0..3).map(|at| char::from(map.get(at))).collect();
        line([old, super::text("f")?])
    }),
];
