"""The worked driver, which keeps a thread over the fork: `keeps.py KV.PY`."""

import importlib.util
import sys
import threading

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("kv", sys.argv[1])
kv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kv)

threading.Thread(target=threading.Event().wait, daemon=True).start()
kv.plugpull.run(kv.main)
