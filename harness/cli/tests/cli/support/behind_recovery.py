"""The worked driver with a bug that its first read-back does not show: `behind_recovery.py MUTANT KV.PY`.

`close`: what it does at its end takes the last line off its log.
`exit`: the same of a log of some lines, which the first state does not have, in a handler at the exit.
`skip`: the same, where a forked one has no handlers at its exit, and does not say that it has.
`tail`: a start leaves a torn last line, and what is written goes behind it.
`mark`: a mark follows each line; a start serves a last line without one, and takes it off the log.
"""

import atexit
import importlib.util
import os
import sys

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("kv", sys.argv[2])
kv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kv)
cuts_off = kv.Store.recover


def main():
    if sys.argv[1] in ("exit", "skip"):
        atexit.register(close)
    kv.main()
    if sys.argv[1] == "close":
        close()
    if sys.argv[1] == "skip" and FORKED:
        os._exit(0)


def close():
    path = os.path.join(os.environ.get("PLUGPULL_DATA_DIR", ""), "log")
    if os.path.exists(path):
        with open(path, "rb+") as log:
            lines = log.readlines()
            if len(lines) < LEAST:
                return
            log.truncate(sum(len(line) for line in lines[:-1]))


def keeps_tail(store):
    truncate, os.ftruncate = os.ftruncate, lambda *_: None
    try:
        cuts_off(store)
    finally:
        os.ftruncate = truncate
    return os.fstat(store.log).st_size


def mark_path():
    return os.path.join(os.environ["PLUGPULL_DATA_DIR"], "marks")


def marks(store, writes):
    applies(store, writes)
    with open(mark_path(), "ab") as marked:
        marked.write(b".")


def takes_unmarked(store):
    length = cuts_off(store)
    with open(store.log, "rb", closefd=False) as log:
        log.seek(0)
        lines = log.readlines()
    marked = os.path.getsize(mark_path()) if os.path.exists(mark_path()) else 0
    if len(lines) > marked:
        length -= len(lines[-1])
        os.ftruncate(store.log, length)
    return length


LEAST = 1 if sys.argv[1] == "close" else 3
FORKED = kv.plugpull.VARIABLE in os.environ
if sys.argv[1] == "skip":
    kv.plugpull.FORK = ["process"]
if sys.argv[1] == "tail":
    kv.Store.recover = keeps_tail
if sys.argv[1] == "mark":
    applies = kv.Store.apply
    kv.Store.apply = marks
    kv.Store.recover = takes_unmarked
kv.plugpull.run(main)
