"""The host as a process: its control socket, its memory limit, its log."""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import sys
from typing import Any, Dict, Optional

#: What is longer goes through the outbox: a packet holds 64 KiB.
LONGEST = 60_000
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_HEADROOM = 16 << 20


class Control:
    """Calls from ami and the answers to them, each one packet of JSON."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._buffer = bytearray(1 << 16)
        self._view = memoryview(self._buffer)
        # Most answers are the same as the one before: they only say where the results are.
        self._answer: Dict[str, Any] = {}
        self._packet = b""

    def receive(self) -> Optional[Dict[str, Any]]:
        """The next call; None when ami is gone."""
        size = self._socket.recv_into(self._buffer)
        return json.loads(str(self._view[:size], "utf-8")) if size else None

    def send(self, answer: Dict[str, Any], outbox: Any = None) -> None:
        if answer != self._answer:
            # A lone surrogate, from a file name in a message perhaps, is no UTF-8.
            self._answer, self._packet = answer, _dumps(answer).encode("utf-8", "replace")
        data = self._packet
        if len(data) > LONGEST and outbox is not None:
            at = outbox.put_bytes(data)
            data = _dumps({"long": [at, len(data)], "outbox": outbox.size}).encode()
        self._socket.sendall(data)


class Memory:
    """The limit on memory, so that user code gets a MemoryError and the machine does not swap."""

    def __init__(self, limit: Optional[int]) -> None:
        self._limit: Optional[int] = None
        if limit:
            # What numpy needed before user code came does not count.
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = limit + _data_bytes()
            self._limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - _HEADROOM)
            self.restore()

    def relax(self) -> None:
        """Lets the host itself have some more, to say what happened."""
        if self._limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (self._limit + _HEADROOM, self._limit + _HEADROOM))

    def restore(self) -> None:
        if self._limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (self._limit, self._limit + _HEADROOM))


def _data_bytes() -> int:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def number_from(variable: str) -> Optional[int]:
    """A number in the environment; None if there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else None


def log_to_stderr() -> None:
    """Logging of user code goes where its prints go; ami prefixes and limits it."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
