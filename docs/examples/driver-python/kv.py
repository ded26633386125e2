#!/usr/bin/env python3
"""A driver for plugpull, and the small store that it drives. Standard library only, and the module
targets/sdk-python/plugpull.py, by which plugpull forks the driver for each crash state instead of
starting Python each time.

    plugpull driver-check python3 kv.py
    plugpull run driver --set cmd='python3 kv.py'
    plugpull explore driver --set cmd='python3 kv.py'

The store keeps everything in memory and appends a line to `log` for each transaction: a checksum
and its writes. A line is synced before the transaction is acknowledged. At the start the lines are
read back; a last line that does not fit its checksum is what a power cut left of a transaction
that was never acknowledged, and is cut off.

`--no-fsync` leaves the sync out, so that you can see plugpull find it.
"""

import json
import os
import sys
import zlib

# A driver of your own has the module beside it, or installed.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "..", "..", "targets", "sdk-python"))
sys.dont_write_bytecode = True
import plugpull

PROTOCOLS = [1, 2]
FAILURES = ["process-crash", "power-loss", "clean-stop"]


class Store:
    """A log of transactions, and what they add up to."""

    def __init__(self, directory, sync):
        self.sync = sync
        self.values = {}
        path = os.path.join(directory, "log")
        self.log = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self.length = self.recover()
        # The file's own name must survive as well.
        if sync:
            entries = os.open(directory, os.O_RDONLY)
            os.fsync(entries)
            os.close(entries)

    def recover(self):
        """Reads the log. Cuts a torn last line; any other damage is refused."""
        with open(self.log, "rb", closefd=False) as file:
            lines = file.read().splitlines(keepends=True)
        length = 0
        for number, line in enumerate(lines):
            writes = self.parse(line)
            if writes is None:
                if any(self.parse(later) is not None for later in lines[number + 1 :]):
                    sys.exit(f"log: line {number + 1} is damaged")
                break
            self.fold(writes)
            length += len(line)
        os.ftruncate(self.log, length)
        if self.sync:
            os.fsync(self.log)
        return length

    @staticmethod
    def parse(line):
        """The writes of a line, or None where it does not fit its checksum."""
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
            return None
        return json.loads(text)

    def fold(self, writes):
        for key, value in writes:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def apply(self, writes):
        text = json.dumps(writes).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        try:
            written = os.pwrite(self.log, line, self.length)
            if written < len(line):
                raise OSError("the disk is full")
        except OSError:
            # Nothing was synced: cut the line off, and it certainly did not happen.
            os.ftruncate(self.log, self.length)
            raise
        if self.sync:
            try:
                os.fsync(self.log)
            except OSError as error:
                # Nobody knows what is on the disk now: end, and let recovery find out.
                sys.stderr.write(f"log: {error}\n")
                os._exit(1)
        self.length += len(line)
        self.fold(writes)


class Driver:
    """Answers requests from a store. It does one after the other, so clients need no care."""

    def __init__(self, directory, sync):
        self.directory = directory
        self.sync = sync
        self.store = None

    def describe(self, request):
        """What it is, of version 2. Nothing is opened."""
        return ok(protocol=2, shapes=["kv"], fork=plugpull.FORK, promises=self.promises(), **self.about())

    def hello(self, request):
        protocol = request["protocol"]
        if protocol not in PROTOCOLS:
            return fail(f"this driver speaks the versions {PROTOCOLS}")
        if self.store is None:
            self.store = Store(self.directory, self.sync)
        if protocol == 1:
            return ok(protocol=1, promises=self.promises(), **self.about())
        return ok(protocol=2, shapes=["kv"], **self.about())

    def about(self):
        return {
            "name": "kv.py",
            "version": "1" if self.sync else "1 without fsync",
            "capabilities": ["abort", "delete"],
        }

    @staticmethod
    def promises():
        source = "the documentation of kv.py"
        promise = lambda guarantee, words: {
            "classes": FAILURES,
            "guarantee": guarantee,
            "words": words,
            "source": source,
        }
        return [
            promise({"durable": "at-ack"}, "a line is synced before the transaction is acknowledged"),
            promise("atomic", "a transaction is one line with a checksum"),
            promise("consistent", "a torn last line is cut off, other damage is refused"),
        ]

    def apply(self, request):
        if not request["abort"]:
            self.store.apply([(write["key"], write.get("put")) for write in request["writes"]])
        return ok()

    def get(self, request):
        return ok(value=self.store.values.get(request["key"]))

    def read_all(self, request):
        return ok(values=self.store.values)

    CALLS = {"describe": describe, "hello": hello, "apply": apply, "get": get, "read_all": read_all}

    def answer(self, line):
        try:
            request = json.loads(line)
            ident = request["id"]
        except (ValueError, TypeError, KeyError) as error:
            return {"id": None, **fail(f"not a request: {error}")}
        call = self.CALLS.get(request.get("call"))
        if call is None:
            return {"id": ident, **fail(f"there is no call {request.get('call')!r}")}
        try:
            return {"id": ident, **call(self, request)}
        except OSError as error:
            return {"id": ident, **fail(str(error))}


def ok(**fields):
    return {"answer": "ok", **fields}


def fail(text):
    return {"answer": "fail", "text": text}


def main():
    directory = os.environ.get("PLUGPULL_DATA_DIR", ".")
    driver = Driver(directory, sync="--no-fsync" not in sys.argv[1:])
    for line in sys.stdin:
        # One line an answer, and out with it at once.
        sys.stdout.write(json.dumps(driver.answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    plugpull.run(main)
