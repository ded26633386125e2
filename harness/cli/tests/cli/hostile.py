"""A program that tries to get out of the sandbox. It prints a line for each attempt: its name and
what became of it, `done` or the error. The test knows which may be `done`, and looks from outside
whether anything came through.

usage: hostile.py MARK OUTSIDE HOME PORT TERMINAL SOCKET PID   SOCKET is outside of /tmp
"""
import ctypes
import errno
import os
import socket
import stat
import struct
import sys

MARK, OUTSIDE, HOME, PORT, TERMINAL, SOCKET, PID = sys.argv[1:8]
libc = ctypes.CDLL(None, use_errno=True)


def attempt(name, action):
    try:
        action()
        outcome = "done"
    except OSError as error:
        outcome = errno.errorcode.get(error.errno, str(error))
    print(f"{name} {outcome}", flush=True)


def called(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write(path):
    with open(path, "a") as file:
        file.write(MARK)


def mount(source, target, kind, flags, options=None):
    called(libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


# Sixteen places to write: those of the machine, then those that look like the machine's.
PLACES = {
    "etc": "/etc", "usr": "/usr", "usr-local": "/usr/local", "var-tmp": "/var/tmp", "var-lib": "/var/lib",
    "opt": "/opt", "srv": "/srv", "run": "/run", "root": "/", "home": HOME, "sys": "/sys/kernel",
    "cgroup": "/sys/fs/cgroup", "outside": OUTSIDE, "tmp": "/tmp", "shm": "/dev/shm", "dev": "/dev",
}
for name, place in PLACES.items():
    attempt(f"write-{name}", lambda: write(os.path.join(place, MARK)))
attempt("overwrite-outside", lambda: write(os.path.join(OUTSIDE, "kept")))
attempt("remove-outside", lambda: os.remove(os.path.join(OUTSIDE, "removed")))
attempt("link-outside", lambda: os.link(os.path.join(OUTSIDE, "kept"), f"/var/tmp/{MARK}.link"))
attempt("write-core-pattern", lambda: write("/proc/sys/kernel/core_pattern"))
attempt("write-sysrq", lambda: write("/proc/sysrq-trigger"))
attempt("write-parent", lambda: write("/proc/1/mem"))

for name in ["vda", "sda", "nvme0n1", "loop0", "loop-control", "mem", "kmsg", "port"]:
    attempt(f"device-{name}", lambda: os.close(os.open(f"/dev/{name}", os.O_RDWR)))


def node(kind, major, minor):
    path = os.path.join(os.getcwd(), f"node-{major}-{minor}")
    os.mknod(path, kind | 0o666, os.makedev(major, minor))
    os.close(os.open(path, os.O_RDWR))


attempt("mknod-disk", lambda: node(stat.S_IFBLK, 7, 0))
attempt("mknod-mem", lambda: node(stat.S_IFCHR, 1, 1))
attempt("mount-tmpfs", lambda: mount(b"x", b"/mnt", b"tmpfs", 0))
attempt("mount-rw", lambda: mount(None, b"/", None, 32))
attempt("mount-rw-bind", lambda: mount(None, b"/", None, 32 | 4096))
attempt("umount", lambda: called(libc.umount2(b"/tmp", 2)))
attempt("pivot", lambda: called(libc.pivot_root(b".", b".")))
attempt("clock", lambda: called(libc.clock_settime(0, struct.pack("qq", 1_000_000_000, 0))))
attempt("host-name", lambda: called(libc.sethostname(b"hostile", 7)))
attempt("reboot", lambda: called(libc.reboot(0)))
attempt("signal-outside", lambda: os.kill(int(PID), 0))
attempt("trace-outside", lambda: called(libc.ptrace(16, int(PID), None, None)))
attempt("enter-init", lambda: called(libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)))
attempt("terminal", lambda: write(TERMINAL))
attempt("loopback", lambda: socket.create_connection(("127.0.0.1", int(PORT)), 2))
attempt("network", lambda: socket.create_connection(("192.0.2.1", 80), 2))


def abstract():
    socket.socket(socket.AF_UNIX).connect("\0" + SOCKET)


attempt("abstract-socket", abstract)
attempt("socket-tmp", lambda: socket.socket(socket.AF_UNIX).connect(os.path.join(OUTSIDE, "socket")))
attempt("socket", lambda: socket.socket(socket.AF_UNIX).connect(SOCKET))
attempt("read-outside", lambda: open(os.path.join(OUTSIDE, "kept")).read())


# With a user namespace of its own it is root there: what was mounted read-only must stay so.
def in_namespace():
    called(libc.unshare(0x10000000 | 0x00020000))
    results = [
        lambda: mount(None, b"/", None, 32 | 4096),
        lambda: mount(None, b"/usr", None, 32 | 4096),
        lambda: called(libc.umount2(b"/proc/sys", 2)),
        lambda: called(libc.umount2(os.getcwd().encode(), 2)),
        lambda: write(os.path.join("/var/tmp", MARK)),
    ]
    for number, action in enumerate(results):
        attempt(f"in-own-namespace-{number}", action)


attempt("own-namespace", in_namespace)
