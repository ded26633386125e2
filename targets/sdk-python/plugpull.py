"""What a plugpull driver in Python is made with. One module, standard library only.

    import plugpull

    def main():
        ...  # open the store, answer requests

    plugpull.run(main)

A driver that lists "process" under "fork" in its description (protocol 2) is then started once, and
forked for each crash state: what it has imported and computed before `run` is there already. Before
`run` it starts no thread, opens no file or database, maps nothing for writing, and does not change its
working directory; plugpull looks whether that is so, and starts the driver each time where it is not.
"""

import json
import os
import random
import signal
import socket
import sys
import traceback

VARIABLE = "PLUGPULL_FORK"


def run(main, reseed=None):
    """Runs `main`: once, where this process was started for it, or in each child that plugpull asks for.

    `reseed` is called in each child before `main`. It gives a fresh seed to each random stream that was
    drawn from before the fork, and returns a list of what it draws from each then, so that plugpull can
    see that no two children draw the same. Python's own stream, `random`, has a fresh seed without it.
    """
    if VARIABLE not in os.environ:
        main()
        return
    control = socket.socket(fileno=0)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 3)
        if not message:
            return
        request = json.loads(message)
        answer = {"id": request["id"], "answer": "ok"}
        if request["call"] == "fork":
            sys.stdout.flush()
            sys.stderr.flush()
            if os.fork() == 0:
                _child(control, fds, answer, main, reseed)
            for fd in fds:
                os.close(fd)
            # The child answers.
            continue
        if request["call"] != "ready":
            answer = {"id": request["id"], "answer": "fail", "text": "there is no such call"}
        control.send(json.dumps(answer).encode())


def _child(control, fds, answer, main, reseed):
    """Goes on as if this process had been started, and does not return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        del os.environ[VARIABLE]
        os.chdir(os.environ["PLUGPULL_DATA_DIR"])
        # Python does so by itself where nobody has taken that away.
        random.seed()
        drawn = [random.getrandbits(64)] + list(reseed() if reseed else [])
        answer["pid"] = os.getpid()
        answer["random"] = [str(one) for one in drawn]
        control.send(json.dumps(answer).encode())
        control.detach()
        for number in (1, 2, 0):
            os.dup2(fds[number], number)
            os.close(fds[number])
        main()
        code = 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            code = end.code or 0
        else:
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        # Nothing of the parent's is done here: no handlers at the exit, no buffers of its own.
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code & 0xFF)
