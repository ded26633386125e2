"""The worked driver with a bug that its first read-back does not show: `behind_recovery.py MUTANT KV.PY`.

`close`: what it does at its end takes the last line off its log.
`tail`: a start leaves a torn last line, and what is written goes behind it.
"""

import importlib.util
import os
import sys

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("kv", sys.argv[2])
kv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kv)
cuts_off = kv.Store.recover


def main():
    kv.main()
    path = os.path.join(os.environ.get("PLUGPULL_DATA_DIR", ""), "log")
    if sys.argv[1] == "close" and os.path.exists(path):
        with open(path, "rb+") as log:
            lines = log.readlines()
            log.truncate(sum(len(line) for line in lines[:-1]))


def keeps_tail(store):
    truncate, os.ftruncate = os.ftruncate, lambda *_: None
    try:
        cuts_off(store)
    finally:
        os.ftruncate = truncate
    return os.fstat(store.log).st_size


if sys.argv[1] == "tail":
    kv.Store.recover = keeps_tail
kv.plugpull.run(main)
