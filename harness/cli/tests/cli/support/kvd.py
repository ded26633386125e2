"""A daemon with a log of records, each synced before it is acknowledged."""

import os
import socketserver

path = os.path.join(os.environ.get("PLUGPULL_DATA_DIR", "."), "kv.log")
held = {}
if os.path.exists(path):
    good = 0
    with open(path, "rb") as log:
        for line in log:
            if not line.endswith(b";\n"):
                break
            held[line[:-2].decode()] = True
            good += len(line)
    os.truncate(path, good)
log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
os.fsync(directory)
os.close(directory)


class H(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            verb, _, key = line.decode().strip().partition(" ")
            if verb == "put":
                size = os.fstat(log).st_size
                try:
                    data = (key + ";\n").encode()
                    n = os.write(log, data)
                    if n != len(data):
                        raise OSError("short")
                    os.fsync(log)
                    held[key] = True
                    self.wfile.write(b"ok\n")
                except OSError as e:
                    os.ftruncate(log, size)
                    self.wfile.write(b"no\n")
            elif verb == "get":
                self.wfile.write(b"yes\n" if key in held else b"none\n")


class S(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


S(("127.0.0.1", 7411), H).serve_forever()
