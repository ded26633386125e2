#!/usr/bin/env python3
"""Runs a command on a machine that has no namespaces to give, under a filter of its system calls.

usage: refuse-namespaces.py container|user|listener COMMAND...

container  as the default profile of a container runtime: unshare, setns, pivot_root, mounts and clone
           into new namespaces are EPERM, and clone3, whose flags no filter can see, is ENOSYS
user       as an ordinary user where there are no user namespaces: unshare and clone into one are ENOSPC,
           as with user.max_user_namespaces=0; run it as an ordinary user, who can mount nothing anyway
listener   namespaces as ever, but nobody may listen to system calls: seccomp with
           SECCOMP_FILTER_FLAG_NEW_LISTENER is EPERM

The filter is inherited by all that the command starts and cannot be taken off. Linux, x86-64 or arm64.
"""
import ctypes
import errno
import os
import platform
import struct
import sys

# linux/audit.h; the numbers of the calls whose numbers differ, as in the tables of the kernel.
MACHINES = {
    "x86_64": (0xC000003E, dict(clone=56, pivot_root=155, mount=165, umount2=166, unshare=272, setns=308, seccomp=317)),
    "aarch64": (0xC00000B7, dict(umount2=39, mount=40, pivot_root=41, unshare=97, clone=220, setns=268, seccomp=277)),
}
# The same on all machines: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr.
NEW_MOUNTS = [428, 429, 430, 431, 432, 433, 442]
CLONE3 = 435
# linux/sched.h: CLONE_NEWTIME is not for clone, CLONE_NEWUSER is one of the rest.
NEW_USER = 0x10000000
NEW_ANY = 0x02000000 | 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000 | NEW_USER
# linux/bpf_common.h and linux/seccomp.h.
NEW_LISTENER = 0x8
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
NUMBER_AT, ARCH_AT, FIRST_ARGUMENT_AT, SECOND_ARGUMENT_AT = 0, 4, 16, 24


def op(code, value, yes=0, no=0):
    return struct.pack("=HBBI", code, yes, no, value)


def program(profile):
    arch, calls = MACHINES[platform.machine()]
    ops = [op(LOAD, ARCH_AT), op(EQUAL, arch, 1, 0), op(RETURN, ALLOW), op(LOAD, NUMBER_AT)]

    def refuse(number, error):
        ops.extend([op(EQUAL, number, 0, 1), op(RETURN, ERROR | error)])

    def refuse_flags(number, flags, error, at=FIRST_ARGUMENT_AT):
        ops.extend([
            op(EQUAL, number, 0, 4), op(LOAD, at),
            op(ANY_BIT, flags, 0, 1), op(RETURN, ERROR | error), op(RETURN, ALLOW),
        ])

    if profile == "listener":
        refuse_flags(calls["seccomp"], NEW_LISTENER, errno.EPERM, SECOND_ARGUMENT_AT)
        ops.append(op(RETURN, ALLOW))
        return b"".join(ops)
    refuse(CLONE3, errno.ENOSYS)
    if profile == "container":
        for name in ["unshare", "setns", "pivot_root", "mount", "umount2"]:
            refuse(calls[name], errno.EPERM)
        for number in NEW_MOUNTS:
            refuse(number, errno.EPERM)
        refuse_flags(calls["clone"], NEW_ANY, errno.EPERM)
    else:
        refuse_flags(calls["unshare"], NEW_USER, errno.ENOSPC)
        refuse_flags(calls["clone"], NEW_USER, errno.ENOSPC)
    ops.append(op(RETURN, ALLOW))
    return b"".join(ops)


def install(filter):
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filter, len(filter))
    described = ctypes.create_string_buffer(
        struct.pack("@HxxxxxxP", len(filter) // 8, ctypes.addressof(code)))
    zero = ctypes.c_ulong(0)
    # PR_SET_NO_NEW_PRIVS, and PR_SET_SECCOMP with SECCOMP_MODE_FILTER (linux/prctl.h).
    for what, first, second in [(38, ctypes.c_ulong(1), zero),
                                (22, ctypes.c_ulong(2), ctypes.byref(described))]:
        if libc.prctl(what, first, second, zero, zero) != 0:
            sys.exit(f"refuse-namespaces.py: prctl {what}: {os.strerror(ctypes.get_errno())}")


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("container", "user", "listener"):
        sys.exit(__doc__)
    if platform.machine() not in MACHINES:
        sys.exit(f"refuse-namespaces.py: the calls of {platform.machine()} are not known")
    install(program(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])


main()
