#!/usr/bin/env python3
"""A driver that speaks with a reference store over TCP: `driver.py PORT [REORGS | checks | says]`. On a copy of the
data directory the port is in PLUGPULL_PORT. With REORGS it knows `reorg`, and adds a line to that file
for each. With `checks` it has a check of its own, with `says` the store's check says the same: that the
data is damaged. Tests only."""

import json
import os
import socket
import sys

stream = socket.create_connection(("127.0.0.1", int(os.environ.get("PLUGPULL_PORT", sys.argv[1]))))
lines = stream.makefile("rw")
more = sys.argv[2] if len(sys.argv) > 2 else None
damaged = more in ("checks", "says")
reorgs = None if damaged else more


def ask(request):
    try:
        lines.write(json.dumps(request) + "\n")
        lines.flush()
        answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        return {"answer": "info", "text": str(error)}
    return answer


ask({"id": 0, "timeout_ms": 20000, "call": "hello", "protocol": 1})


def answer(request):
    call = request["call"]
    if call == "describe" and not damaged:
        return {"answer": "fail", "text": "this driver is of version 1"}
    if call in ("describe", "hello"):
        promise = {
            "classes": ["process-crash", "clean-stop"],
            "guarantee": {"durable": "at-ack"},
            "words": "what is acknowledged stays",
            "source": "driver.py",
        }
        capabilities = ["abort", "check", "delete"] + (["reorg"] if reorgs else [])
        capabilities += ["driver_check"] if more == "checks" else []
        return {
            "answer": "ok",
            "protocol": 2 if damaged else 1,
            "shapes": ["kv"],
            "name": "driver.py",
            "version": "1",
            "capabilities": capabilities,
            "promises": [promise],
        }
    if call == "reorg":
        with open(reorgs, "a") as file:
            file.write(f"{request['depth']}\n")
        return {"answer": "ok"}
    if call == "check" and damaged:
        return {"answer": "ok", "complaint": "page 7 is torn"}
    return ask(request)


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({**answer(request), "id": request["id"]}), flush=True)
