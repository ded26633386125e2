"""Writes many keys without sync and one with: the ack is for all of them."""

import os

import plyvel

keys = int(os.environ["KEYS"])
# Each life has keys of its own.
first = (int(os.environ["PLUGPULL_LIFE"]) - 1) * (keys + 1)
last = first + keys
db = plyvel.DB("db", create_if_missing=True)
for n in range(first, last):
    db.put(b"Key%d" % n, b"%d" % n)
db.put(b"Key%d" % last, b"%d" % last, sync=True)
print(f"ack {first}-{last}", flush=True)
db.close()
