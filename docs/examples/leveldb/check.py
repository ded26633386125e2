"""An acknowledged ID is FIRST-LAST: the keys with these numbers and all between them."""

import os
import sys

import plyvel

acked = open(os.environ["PLUGPULL_ACKED"]).read().split()
if not acked and not os.path.isdir("db"):
    sys.exit(0)
try:
    # Without acks nothing need be there, but what is there must open.
    db = plyvel.DB("db", create_if_missing=not acked)
    there = {int(key[3:]) for key in db.iterator(prefix=b"Key", include_value=False)}
except plyvel.Error as error:
    print(f"plyvel: {error}", file=sys.stderr)
    sys.exit(2)
for ack in acked:
    first, last = map(int, ack.split("-"))
    remain = len(there.intersection(range(first, last + 1)))
    if remain <= last - first:
        print(f"lost {ack} {remain} of {last - first + 1} keys remain")
