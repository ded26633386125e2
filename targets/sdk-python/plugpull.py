"""What a plugpull driver in Python is made with. One module, standard library only.

    import plugpull

    def main():
        ...  # open the store, answer requests

    plugpull.run(main)

A driver that lists plugpull.FORK as "fork" in its description (protocol 2) is then started once, and
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

VARIABLE = "PLUGPULL_FORK"

# For the description of a driver that ends by itself where `run` returns: it can be forked, and what is
# forked ends as a started one does.
FORK = ["process", "exit"]


def run(main, reseed=None):
    """Runs `main`: once, where this process was started for it, or in each child that plugpull asks for.

    `reseed` is called in each child before `main`. It gives a fresh seed to each random stream that was
    drawn from before the fork, and returns a list of what it draws from each then, so that plugpull can
    see that no two children draw the same. Python's own stream, `random`, has a fresh seed without it.
    """
    if VARIABLE in os.environ and not _child(reseed):
        return
    # A child goes on here and ends as a started driver does, with all handlers at the exit: the parent has
    # none that a started driver would not have.
    main()


def _child(reseed):
    """Forks whenever plugpull asks for it: true in each child, false in the parent at its end."""
    control = socket.socket(fileno=0)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 3)
        if not message:
            return False
        request = json.loads(message)
        answer = {"id": request["id"], "answer": "ok"}
        if request["call"] == "fork":
            sys.stdout.flush()
            sys.stderr.flush()
            if os.fork() == 0:
                _become(control, fds, answer, reseed)
                return True
            for fd in fds:
                os.close(fd)
            # The child answers.
            continue
        if request["call"] != "ready":
            answer = {"id": request["id"], "answer": "fail", "text": "there is no such call"}
        control.send(json.dumps(answer).encode())


def _become(control, fds, answer, reseed):
    """Makes a child what a started driver is."""
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
