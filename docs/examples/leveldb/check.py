"""An acknowledged ID is LIFE.KEYS: key KEYS of that life, and every key before it."""

import os
import sys

import plyvel

acked = open(os.environ["PLUGPULL_ACKED"]).read().split()
if not acked and not os.path.isdir("db"):
    sys.exit(0)
try:
    # Without acks nothing need be there, but what is there must open.
    db = plyvel.DB("db", create_if_missing=not acked)
except plyvel.Error as error:
    print(f"plyvel.DB: {error}", file=sys.stderr)
    sys.exit(2)
for ack in acked:
    life, last = ack.split(".")
    there = sum(1 for _ in db.iterator(prefix=life.encode() + b".", include_value=False))
    if there <= int(last):
        print(f"lost {ack} of the {int(last) + 1} keys up to the synced one {there} remain")
