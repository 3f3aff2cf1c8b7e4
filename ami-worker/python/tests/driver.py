"""Plays ami's part: starts the real host over a real socket and real shared memory."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

HERE = Path(__file__).resolve().parents[1]
ABSENT = 2**64 - 1


class Gone(Exception):
    """The host ended instead of answering."""


class HostError(Exception):
    """An answer with an error."""

    def __init__(self, error: Dict[str, str]) -> None:
        super().__init__(error["message"])
        self.message = error["message"]
        self.traceback = error["traceback"]


class Driver:
    """A host from its ready line until `close`."""

    def __init__(self, memory: int = 0, outbox: int = 1 << 26, inbox: int = 1 << 16, python: str = sys.executable) -> None:
        self.directory = tempfile.mkdtemp(prefix="ami-node-")
        shutil.copy(HERE / "boot.py", self.directory)
        shutil.copytree(
            HERE / "src" / "ami_node", Path(self.directory) / "ami_node", ignore=shutil.ignore_patterns("__pycache__")
        )
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inbox = os.memfd_create("inbox")
        os.ftruncate(self._inbox, inbox)
        readonly = os.open(f"/proc/self/fd/{self._inbox}", os.O_RDONLY)
        self._outbox = os.memfd_create("outbox")
        life, self.life = os.pipe()
        environment = {**os.environ, "AMI_PYTHON_OUTBOX": str(outbox), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if memory:
            environment["AMI_PYTHON_MEMORY"] = str(memory)
        descriptors = {3: theirs.fileno(), 4: readonly, 5: self._outbox, 6: life}
        self.process = _spawn(python, self.directory, environment, descriptors)
        theirs.close()
        os.close(readonly)
        os.close(life)
        self.inbox = mmap.mmap(self._inbox, 0)
        self.size = inbox
        self._top = 0
        self.lines: List[str] = []
        self._readers = [
            threading.Thread(target=self._drain, args=(s,), daemon=True) for s in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        self.control.settimeout(60)
        self.ready = self._receive()

    def _drain(self, stream: Any) -> None:
        for line in stream:
            self.lines.append(line.decode().rstrip("\n"))

    def said(self, text: str, seconds: float = 20) -> bool:
        """Whether a line of the host has the text, soon."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(text in line for line in self.lines):
                return True
            time.sleep(0.01)
        return False

    def _receive(self) -> Dict[str, Any]:
        try:
            data = self.control.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.process.wait(20)
            raise Gone(self.process.returncode)
        answer = json.loads(data)
        if "long" in answer:
            at, size = answer["long"]
            answer = json.loads(os.pread(self._outbox, size, at))
        return answer  # type: ignore[no-any-return]

    def send(self, **call: Any) -> None:
        self.control.send(json.dumps({**call, "inbox": self.size}).encode())

    def call(self, **call: Any) -> Any:
        try:
            self.send(**call)
        except ConnectionError:
            raise Gone(self.process.wait(20)) from None
        self.answer = self._receive()
        self._top = 0
        if "error" in self.answer:
            raise HostError(self.answer["error"])
        return self.answer["ok"]

    # What goes into the inbox.

    def put(self, data: bytes) -> int:
        at = -(-self._top // 64) * 64
        self._top = at + len(data)
        if self._top > self.size:
            self.size = max(2 * self.size, self._top)
            os.ftruncate(self._inbox, self.size)
            self.inbox = mmap.mmap(self._inbox, 0)
        self.inbox[at : at + len(data)] = data
        return at

    def scalars(self, values: Any, dtype: str, present: Optional[Sequence[bool]] = None) -> Dict[str, Any]:
        at = self.put(np.asarray(values, dtype).tobytes())
        return {"k": "s", "t": dtype, "m": 0, "at": at, "p": None if present is None else self.mask(present)}

    def mask(self, present: Sequence[bool]) -> int:
        return self.put(np.asarray(present, "?").tobytes())

    def dense(self, array: np.ndarray, gap: int = 0) -> Dict[str, Any]:
        """Arrays at equal distances, with `gap` bytes between them."""
        stride = array[0].nbytes + gap
        at = self.put(b"".join(a.tobytes() + b"\xee" * gap for a in array))
        return {"k": "d", "t": _name(array), "m": 0, "at": at, "stride": stride, "shape": list(array.shape[1:])}

    def arrays(self, arrays: Sequence[Optional[np.ndarray]], dtype: str) -> Dict[str, Any]:
        table = np.zeros((len(arrays), 8), "u8")
        for row, array in zip(table, arrays):
            if array is None:
                row[0] = ABSENT
            else:
                row[: 3 + array.ndim] = (0, self.put(array.tobytes()), array.ndim, *array.shape)
        return {"k": "a", "t": dtype, "at": self.put(table.tobytes())}

    def texts(self, texts: Sequence[Optional[str]]) -> Dict[str, Any]:
        table = np.zeros((len(texts), 2), "u8")
        for row, text in zip(table, texts):
            row[:] = (0, ABSENT) if text is None else (self.put(text.encode()), len(text.encode()))
        return {"k": "t", "at": self.put(table.tobytes())}

    def blob(self, data: bytes) -> List[int]:
        return [self.put(data), len(data)]

    # What comes out of the outbox.

    def bytes_at(self, at: int, size: int) -> bytes:
        return os.pread(self._outbox, size, at)

    def state(self, where: Sequence[int]) -> bytes:
        return self.bytes_at(*where)

    def number(self) -> List[int]:
        """The header: number of the event, and how often it was written."""
        return np.frombuffer(self.bytes_at(0, 16), "<u8").tolist()  # type: ignore[no-any-return]

    def values(self, column: Optional[Dict[str, Any]], count: int) -> List[Any]:
        """A column of results as a list, None where it is absent."""
        if column is None:
            return [None] * count
        return [self._value(column, i, count) for i in range(count)]

    def _value(self, column: Dict[str, Any], i: int, count: int) -> Any:
        kind, at = column["k"], column["at"]
        if kind == "s":
            if column["p"] is not None and self.bytes_at(column["p"] + i, 1) == b"\0":
                return None
            size = np.dtype(column["t"]).itemsize
            return np.frombuffer(self.bytes_at(at + i * size, size), column["t"])[0]
        if kind == "d":
            return self._array(column["t"], at + i * column["stride"], column["shape"])
        if kind == "t":
            offset, size = np.frombuffer(self.bytes_at(at + 16 * i, 16), "<u8").tolist()
            return None if size == ABSENT else self.bytes_at(offset, size).decode()
        row = np.frombuffer(self.bytes_at(at + 64 * i, 64), "<u8").tolist()
        return None if row[0] == ABSENT else self._array(column["t"], row[1], row[3 : 3 + row[2]])

    def _array(self, dtype: str, at: int, shape: Sequence[int]) -> np.ndarray:
        count = int(np.prod(shape, dtype=int))
        return np.frombuffer(self.bytes_at(at, count * np.dtype(dtype).itemsize), dtype).reshape(shape)

    # Calls in one line.

    def load(self, source: str, name: str, id: int = 1, file: str = "hits.py", **params: Any) -> Any:
        return self.call(call="load", id=id, source=self.blob(source.encode()), file=file, name=name, params=params)

    def describe(self, source: str, name: Optional[str] = None) -> Any:
        return self.call(call="describe", source=self.blob(source.encode()), file="hits.py", name=name)["nodes"]

    def events(self, *columns: Any, count: int, id: int = 1, mask: Optional[int] = None, **more: Any) -> Any:
        return self.call(call="events", id=id, events=count, mask=mask, columns=list(columns), **more)

    def absorb(self, *columns: Any, count: int, state: Any = None, id: int = 1, mask: Optional[int] = None, **more: Any) -> Any:
        return self.call(call="absorb", id=id, state=state, events=count, mask=mask, columns=list(columns), **more)

    def close(self) -> None:
        for descriptor in (self.life, self._inbox, self._outbox):
            try:
                os.close(descriptor)
            except OSError:
                pass
        self.control.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader, stream in zip(self._readers, (self.process.stdout, self.process.stderr)):
            reader.join(20)
            assert stream is not None
            stream.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _spawn(python: str, directory: str, environment: Dict[str, str], descriptors: Dict[int, int]) -> subprocess.Popen:
    """Starts the host with the descriptors at the numbers it expects."""
    # Through a shell, as Python has no safe way to renumber descriptors in a child.
    high = {number: os.dup2(fd, 40 + number, inheritable=True) for number, fd in descriptors.items()}
    moves = " ".join(f"{number}<&{fd} {fd}<&-" for number, fd in high.items())
    command = f'exec "$0" -u -X utf8 "$1/boot.py" {moves}'
    try:
        return subprocess.Popen(
            ["bash", "-c", command, python, directory], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, pass_fds=tuple(high.values()),
        )  # fmt: skip
    finally:
        for fd in high.values():
            os.close(fd)


def _name(array: np.ndarray) -> str:
    return "?" if array.dtype.kind == "b" else f"{array.dtype.kind}{array.dtype.itemsize}"
