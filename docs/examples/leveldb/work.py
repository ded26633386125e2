"""Writes many keys without sync and one with: the ack is for all of them."""

import os

import plyvel

keys = int(os.environ["KEYS"])
life = os.environ["PLUGPULL_LIFE"]
db = plyvel.DB("db", create_if_missing=True)
for n in range(keys):
    db.put(b"%s.%08d" % (life.encode(), n), b"a value of 20 bytes.")
db.put(b"%s.%08d" % (life.encode(), keys), b"the last one, synced", sync=True)
print(f"ack {life}.{keys}", flush=True)
db.close()
