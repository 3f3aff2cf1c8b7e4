"""The memory between ami and the host: a read-only inbox, mapped files, and an outbox that grows."""

from __future__ import annotations

import mmap
import os
from typing import Tuple

import numpy as np

HEADER = 64
#: In the header instead of an event's number.
NO_EVENT = 2**64 - 1
IN_BATCH = 2**64 - 2
_ALIGN = 64


class TooLarge(ValueError):
    """What user code returned does not fit into the outbox."""


class Inbox:
    """A file mapped read-only: numpy views of it cannot be made writable."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.map = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        self._size = len(self.map)

    def resize(self, size: int) -> None:
        """Maps it again if its size changed; views of the mapping before stay valid."""
        if size != self._size:
            self.map = mmap.mmap(self._descriptor, size, prot=mmap.PROT_READ)
            self._size = size

    def text(self, at: int, size: int) -> str:
        if at < 0 or size < 0 or at + size > self._size:
            raise ValueError("a text lies outside the inbox")
        return str(self.map[at : at + size], "utf-8")


class Outbox:
    """Memory for results, given out from the front; each call begins anew.

    Attributes:
        number: the header: number of the event the host is at, and how often it was written.
        size: bytes it has now.
        tail: bytes kept free for what says where the results are.
    """

    def __init__(self, descriptor: int, limit: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        size = os.fstat(descriptor).st_size
        if size < mmap.PAGESIZE:
            size = mmap.PAGESIZE
            os.ftruncate(descriptor, size)
        # A mapping of its own, so that it stays when the rest is mapped again.
        self.number = memoryview(mmap.mmap(descriptor, HEADER)).cast("Q")
        self.number[0] = NO_EVENT
        self.size = size
        self.map = mmap.mmap(descriptor, size)
        self.top = HEADER
        self.tail = 0

    def clear(self) -> None:
        """Begins anew: results of the call before may be overwritten."""
        self.top = HEADER
        self.tail = 0

    def reserve(self, size: int) -> int:
        """Where `size` bytes may be written; TooLarge beyond the limit."""
        at = self.top
        end = at + size
        if end + self.tail > self.size:
            self._grow(end + self.tail)
        self.top = end + -end % _ALIGN
        return at

    def _grow(self, end: int) -> None:
        if end > self._limit:
            raise TooLarge(f"result too large: {end - HEADER} bytes, at most {self._limit - HEADER} are allowed")
        size = min(max(2 * self.size, end + -end % mmap.PAGESIZE), max(self._limit, self.size))
        os.ftruncate(self._descriptor, size)
        # Views of the mapping before show the same memory, so nothing has to be moved.
        self.map = mmap.mmap(self._descriptor, size)
        self.size = size

    def put(self, array: np.ndarray, dtype: str) -> int:
        """Writes an array in C order, converted to `dtype`; its offset."""
        at = self.reserve(array.size * np.dtype(dtype).itemsize)
        self.view(at, array.shape, dtype)[...] = array
        return at

    def view(self, at: int, shape: Tuple[int, ...], dtype: str) -> np.ndarray:
        """What lies there, writable."""
        return np.ndarray(shape, dtype, self.map, at)

    def put_bytes(self, data: bytes) -> int:
        at = self.reserve(len(data))
        self.map[at : at + len(data)] = data
        return at

    def zeros(self, shape: Tuple[int, ...], dtype: str) -> Tuple[int, np.ndarray]:
        """Room for an array, set to zero: its offset and a writable view."""
        count = 1
        for n in shape:
            count *= n
        at = self.reserve(count * np.dtype(dtype).itemsize)
        view = self.view(at, shape, dtype)
        view.fill(0)
        return at, view
