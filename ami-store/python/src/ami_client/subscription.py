"""Features as they come."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

import zmq

from .errors import AmiError
from .feature import Feature
from .keys import Keys
from .request import connect


#: `json.loads` looks first for an encoding and for blanks around the document, which takes longer than reading a
#: header in a client that has just been woken.
_decode = json.JSONDecoder().raw_decode

#: Milliseconds, as ZeroMQ counts them, in an int: 24 days.
_LONGEST = 2**31 - 1


class Subscription:
    """Iterates over features; made by `Store.subscribe`. Belongs to one thread."""

    def __init__(
        self, endpoint: str, topics: Sequence[str], timeout: Optional[float], keys: Optional[Keys] = None
    ) -> None:
        self._exact = {t for t in topics if not _is_prefix(t)}
        self._prefixes = tuple(t.rstrip("*") for t in topics if _is_prefix(t))
        self._timeout = timeout
        self._seen: Dict[str, Tuple[Any, ...]] = {}
        self._closed = False
        self._patience = -1
        self._socket = connect(zmq.SUB, endpoint, keys)
        for topic in {*self._exact, *self._prefixes}:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())

    def __iter__(self) -> "Subscription":
        return self

    def __next__(self) -> Feature:
        """The next feature; StopIteration after the timeout, or when closed."""
        feature = self.next(self._timeout)
        if feature is None:
            raise StopIteration
        return feature

    def next(self, timeout: Optional[float] = None) -> Optional[Feature]:
        """The next feature, or None after `timeout` seconds (None: waits as long as it takes)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed:
            left = -1 if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            frames = self._receive(min(left, _LONGEST))
            if frames is None:
                return None
            topic = frames[0].bytes.decode("utf-8", "replace")
            if topic not in self._exact and not (self._prefixes and topic.startswith(self._prefixes)):
                continue  # ZeroMQ subscribes by prefix: `g/scan` brings `g/scan_off` too.
            if len(frames) < 2:
                raise AmiError(f"message {topic!r} without a header", "is it ami's address?")
            try:
                header = _object(frames[1].bytes)
            except ValueError as error:
                raise AmiError(f"the header of {topic!r} is not JSON: {error}", "is it ami's address?") from error
            # The last value is sent to all who have the topic whenever anybody subscribes to it. A
            # restarted root counts from the beginning: a lower number is new.
            number = (header.get("seq"), header.get("heartbeat"), header.get("version"))
            if self._seen.get(topic) == number:
                continue
            self._seen[topic] = number
            return Feature(header, frames[2:])
        return None

    def _receive(self, milliseconds: int) -> Optional[List[zmq.Frame]]:
        """The frames of the next message, or None after so many milliseconds (-1: waits).

        Without `poll` and `recv_multipart`: they are slower loops in Python, for which every value would wait.
        """
        if milliseconds != self._patience:
            self._socket.setsockopt(zmq.RCVTIMEO, milliseconds)
            self._patience = milliseconds
        try:
            frames = [self._socket.recv(copy=False)]
        except zmq.Again:
            return None
        while frames[-1].more:
            frames.append(self._socket.recv(copy=False))
        return frames

    def close(self) -> None:
        """Ends the subscription."""
        self._closed = True
        self._socket.close(linger=0)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close(linger=0)


def _object(text: bytes) -> Dict[str, Any]:
    """A JSON object; ValueError when it is something else."""
    document = text.decode()
    header, end = _decode(document)
    if end != len(document) or not isinstance(header, dict):
        raise ValueError("not one object")
    return header


def _is_prefix(topic: str) -> bool:
    return topic == "" or topic.endswith(("/", "*"))
