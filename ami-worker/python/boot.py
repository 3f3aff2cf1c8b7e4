"""Starts the host of user code: a guard first, while nothing else is there, then `ami_node.host`.

The guard is a process that outlives the host by a moment: when ami is gone, however it ended, it
kills the host's whole process group, with what user code started in it.
"""

import os
import signal
import sys

LIFE = 6  # the read end of a pipe; only ami holds the other one


def guard() -> None:
    """Forks the guard, which is no child of the host: user code may wait for its own children."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(LIFE)
        return
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The ends of other pipes must not stay open here: ami waits for them to close.
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) != LIFE:
                os.close(int(name))
        except OSError:
            pass  # the one that listed the directory is closed already
    while os.read(LIFE, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    try:
        os.setpgid(0, 0)
    except OSError:
        pass  # it leads a session already
    if os.getpgrp() != os.getpid():
        sys.exit("the host leads no process group; start it as a process of its own")
    guard()

    from ami_node.host import main

    main()
