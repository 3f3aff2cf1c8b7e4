"""A request and its answer, bounded in time."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any, Dict, List, Optional, Type, TypeVar

import numpy as np
import zmq

from .errors import AmiError
from .keys import Keys


class Requester:
    """Asks one daemon, one request at a time; threads may share it."""

    def __init__(self, endpoint: str, timeout: float, daemon: str, keys: Optional[Keys] = None) -> None:
        self.endpoint = endpoint
        self.keys = keys
        self.timeout = timeout
        self.daemon = daemon
        self._lock = threading.Lock()
        self._socket: Optional[zmq.Socket[bytes]] = None
        self._closed = False

    def ask(self, request: Dict[str, Any], timeout: Optional[float] = None) -> List[zmq.Frame]:
        """The frames of the answer.

        Args:
            request: becomes one frame of JSON.
            timeout: seconds; the requester's unless given.
        """
        body = encode(request)
        timeout = self.timeout if timeout is None else timeout
        with self._lock:
            if self._closed:
                raise AmiError(f"the connection to {self.endpoint} was closed", "make a new one")
            if self._socket is None:
                self._socket = connect(zmq.REQ, self.endpoint, self.keys)
            socket, answered = self._socket, False
            try:
                socket.setsockopt(zmq.SNDTIMEO, int(timeout * 1000))
                socket.send(body)
                if socket.poll(int(timeout * 1000)):
                    frames = socket.recv_multipart(copy=False)
                    answered = True
                    return frames
            except zmq.Again:
                pass
            except zmq.ZMQError as error:
                raise AmiError(f"asking {self.endpoint}: {error}", f"is {self.daemon} running?") from error
            finally:
                if not answered:
                    # A late answer must not be taken for that of the next request.
                    socket.close(linger=0)
                    self._socket = None
        refused = "; it may refuse your key: its log tells" if self.endpoint.startswith("tcp://") else ""
        raise AmiError(
            f"no answer from {self.endpoint} within {timeout:g} s",
            f"is {self.daemon} running? `ami-ctl status` tells; the address or AMI_RUN_DIR may be another system's"
            + refused,
        )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._socket.close(linger=0)
                self._socket = None


def connect(kind: int, endpoint: str, keys: Optional[Keys] = None) -> zmq.Socket[bytes]:
    """A socket that connects, and that never delays the end of the process."""
    socket: "zmq.Socket[bytes]" = zmq.Context.instance().socket(kind)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        if "[" in endpoint:
            socket.setsockopt(zmq.IPV6, 1)
        if keys is not None and endpoint.startswith("tcp://"):
            keys.secure(socket)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise AmiError(
            f"cannot connect to {endpoint}: {error}",
            "an ipc path has at most 107 bytes; a host must be a name or a number",
        ) from error
    return socket


def encode(document: Any) -> bytes:
    """JSON; numpy's numbers and arrays as numbers and lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        raise TypeError(f"{type(value).__name__} has no form in JSON")

    try:
        return json.dumps(document, default=plain, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise AmiError(f"the request cannot be written as JSON: {error}", "use numbers, text, lists, dicts") from error


def decode(frame: Any, endpoint: str) -> Any:
    """The document of an answer; an error document is raised."""
    try:
        document = json.loads(bytes(frame))
    except ValueError as error:
        raise AmiError(f"the answer of {endpoint} is not JSON: {error}", "is it ami's address?") from error
    if isinstance(document, dict) and "error" in document and "topic" not in document:
        errors = document.get("errors")
        raise AmiError(
            str(document["error"]), str(document.get("hint") or ""), errors if isinstance(errors, list) else None
        )
    return document


SomeClient = TypeVar("SomeClient", bound="Client")


class Client:
    """Has a connection, which `with` closes."""

    _requests: Requester

    def close(self) -> None:
        """Closes the connection."""
        self._requests.close()

    def __enter__(self: SomeClient) -> SomeClient:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()
