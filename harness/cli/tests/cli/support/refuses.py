"""The worked driver as one of version 2 whose actions are refused: `refuses.py KV.PY`. One has the name of a
fault, and is done while the store is down."""

import importlib.util
import sys

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("kv", sys.argv[1])
kv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kv)

ABOUT = {
    "protocol": 2,
    "name": "refuses",
    "version": "1",
    "shapes": ["kv"],
    "capabilities": ["abort", "delete"],
    "actions": [{"name": "compact", "when": "up"}, {"name": "kill", "when": "down"}],
}


class Refuses(kv.Driver):
    def describe(self, request):
        return kv.ok(**ABOUT)

    def hello(self, request):
        super().hello(request)
        return kv.ok(**ABOUT)

    def act(self, request):
        either = " either" if request["action"] == "kill" else ""
        return {"answer": "fail", "text": "not now" + either}

    CALLS = {**kv.Driver.CALLS, "describe": describe, "hello": hello, "act": act}


kv.Driver = Refuses
kv.main()
