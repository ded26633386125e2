"""The worked driver as one whose store follows a chain: `chain.py KV.PY [--forgets]`. With
`--forgets` a reorganisation takes the newest lines of the log with it: the last one need not have been
acknowledged."""

import importlib.util
import os
import sys

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("kv", sys.argv[1])
kv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kv)


class Chain(kv.Driver):
    def hello(self, request):
        answer = super().hello(request)
        answer["capabilities"].append("reorg")
        return answer

    def reorg(self, request):
        if "--forgets" in sys.argv and self.store.length:
            lines = os.pread(self.store.log, self.store.length, 0).splitlines(keepends=True)
            self.store.length -= sum(len(line) for line in lines[-5:])
            os.ftruncate(self.store.log, self.store.length)
            os.fsync(self.store.log)
        return kv.ok()

    CALLS = {**kv.Driver.CALLS, "hello": hello, "reorg": reorg}
    # As a driver of version 1, whose one action this is.
    del CALLS["describe"]


kv.Driver = Chain
kv.main()
