"""The process that runs user code beside a daemon of ami: it serves calls one after the other."""

from __future__ import annotations

import os
import platform

import numpy as np

from .arena import Inbox, Outbox
from .calls import Calls
from .process import Control, Memory, log_to_stderr, number_from

CONTROL, INBOX, OUTBOX = 3, 4, 5
PROTOCOL = 1
#: Exit codes: ami is gone, user code closed a descriptor of ours, no memory even to say so.
GONE, BROKEN, NO_MEMORY = 0, 70, 71


def main() -> None:
    """Serves until ami is gone. It ends by `os._exit`, as threads of user code may never end."""
    try:
        _serve()
    except MemoryError:
        os._exit(NO_MEMORY)
    except OSError:
        os._exit(BROKEN)
    os._exit(GONE)


def _serve() -> None:
    for descriptor in (CONTROL, INBOX, OUTBOX):
        os.set_inheritable(descriptor, False)
    control = Control(CONTROL)
    outbox = Outbox(OUTBOX, number_from("AMI_PYTHON_OUTBOX") or 1 << 30)
    calls = Calls(Inbox(INBOX), outbox)
    memory = Memory(number_from("AMI_PYTHON_MEMORY"))
    log_to_stderr()
    control.send(
        {"ready": 1, "protocol": PROTOCOL, "python": platform.python_version(), "numpy": np.__version__, "pid": os.getpid()}
    )
    while True:
        call = control.receive()
        if call is None:
            return
        answer = calls.serve(call)
        try:
            control.send(answer, outbox)
        except MemoryError:
            memory.relax()
            control.send(answer, outbox)
            memory.restore()
