"""Columns of a call: the inputs of its events, as views of the inbox and of mapped files."""

from __future__ import annotations

import mmap
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from .arena import Inbox

ABSENT = 2**64 - 1
#: Arrays that do not lie at equal distances are copied for a batch, at most so many bytes at once.
COPY_AT_ONCE = 8 << 20
_ROW = 8  # u64 of a table: map, offset, rank, up to 5 lengths


class Maps:
    """The inbox as map 0, and the files that were mapped."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self._files: Dict[int, mmap.mmap] = {}

    def open(self, number: int, path: str) -> None:
        with open(path, "rb") as file:
            self._files[number] = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def close(self, number: int) -> None:
        # Views that user code kept still hold it; then it goes with them.
        self._files.pop(number, None)

    def __getitem__(self, number: int) -> mmap.mmap:
        if number == 0:
            return self.inbox.map
        if number not in self._files:
            raise ValueError(f"map {number} is not mapped")
        return self._files[number]


class Column:
    """One input in the events of a call."""

    def values(self, chosen: Optional[np.ndarray]) -> Sequence[Any]:
        """Its values in the chosen events (None: all), one by one; None where it is absent."""
        raise NotImplementedError

    def batch(self, chosen: Optional[np.ndarray]) -> Any:
        """Its values in the chosen events at once: stacked where all shapes agree, else a list."""
        return list(self.values(chosen))

    def copied(self, chosen: Optional[np.ndarray]) -> int:
        """Bytes of each event that `batch` must copy; 0: a view."""
        return 0


class Absent(Column):
    """Nothing in any event."""

    def __init__(self, count: int) -> None:
        self._count = count

    def values(self, chosen: Optional[np.ndarray]) -> Sequence[Any]:
        return [None] * (self._count if chosen is None else len(chosen))


class Stacked(Column):
    """Scalars side by side, or arrays of one shape at equal distances; `present` where some may be absent."""

    def __init__(self, array: np.ndarray, present: Optional[np.ndarray]) -> None:
        self._array = array
        self._present = present

    def values(self, chosen: Optional[np.ndarray]) -> Sequence[Any]:
        if chosen is None or self._array.ndim == 1 or isinstance(_slice(chosen), slice):
            return self.batch(chosen)  # type: ignore[no-any-return]
        return [self._array[i] for i in chosen.tolist()]  # one by one, arrays need not be copied

    def copied(self, chosen: Optional[np.ndarray]) -> int:
        if chosen is None or self._array.ndim == 1 or isinstance(_slice(chosen), slice):
            return 0
        return int(self._array[0].nbytes)

    def batch(self, chosen: Optional[np.ndarray]) -> Any:
        array = self._array if chosen is None else self._array[_slice(chosen)]
        if self._present is not None:
            present = self._present if chosen is None else self._present[chosen]
            if not present.all():
                return [v if p else None for v, p in zip(array, present)]
        if array.flags.writeable:  # a copy of some events: as unwritable as a view
            array.flags.writeable = False
        return array


class Pieces(Column):
    """Arrays or texts wherever they lie: made one by one."""

    def __init__(self, pieces: List[Any]) -> None:
        self._pieces = pieces

    def values(self, chosen: Optional[np.ndarray]) -> Sequence[Any]:
        return self._pieces if chosen is None else [self._pieces[i] for i in chosen]

    def batch(self, chosen: Optional[np.ndarray]) -> Any:
        return stacked(self.values(chosen))

    def copied(self, chosen: Optional[np.ndarray]) -> int:
        first = next((p for p in self._pieces if isinstance(p, np.ndarray)), None)
        return 0 if first is None else int(first.nbytes)


def stacked(pieces: Sequence[Any]) -> Any:
    """Arrays of one type and shape as one array that nobody can write to; else the list."""
    if not pieces or not isinstance(pieces[0], np.ndarray):
        return list(pieces)
    kind = (pieces[0].dtype, pieces[0].shape)
    if any(not isinstance(p, np.ndarray) or (p.dtype, p.shape) != kind for p in pieces):
        return list(pieces)
    array = np.stack(pieces)
    array.flags.writeable = False
    return array


def _slice(chosen: np.ndarray) -> Any:
    """Chosen events as a slice if they lie side by side, so that the result is a view."""
    first, last = int(chosen[0]), int(chosen[-1])
    return slice(first, last + 1) if last - first + 1 == len(chosen) else chosen


def read(described: Sequence[Any], count: int, maps: Maps) -> List[Column]:
    """The columns of a call of `count` events; ValueError or TypeError where one is not as described."""
    return [Absent(count) if c is None else _READERS[c["k"]](c, count, maps) for c in described]


def _scalars(column: Dict[str, Any], count: int, maps: Maps) -> Column:
    array = np.ndarray((count,), column["t"], maps[column.get("m", 0)], column["at"])
    at = column.get("p")
    present = None if at is None else np.ndarray((count,), np.bool_, maps.inbox.map, at)
    return Stacked(array, present)


def _dense(column: Dict[str, Any], count: int, maps: Maps) -> Column:
    dtype = np.dtype(column["t"])
    shape = column["shape"]
    strides = [dtype.itemsize]
    for n in reversed(shape[1:]):
        strides.insert(0, strides[0] * n)
    strides = [column["stride"], *(strides if shape else ())]
    return Stacked(np.ndarray((count, *shape), dtype, maps[column.get("m", 0)], column["at"], strides), None)


def _arrays(column: Dict[str, Any], count: int, maps: Maps) -> Column:
    table = np.ndarray((count, _ROW), "<u8", maps.inbox.map, column["at"]).tolist()
    dtype = np.dtype(column["t"])
    return Pieces(
        [None if row[0] == ABSENT else np.ndarray(tuple(row[3 : 3 + row[2]]), dtype, maps[row[0]], row[1]) for row in table]
    )


def _texts(column: Dict[str, Any], count: int, maps: Maps) -> Column:
    table = np.ndarray((count, 2), "<u8", maps.inbox.map, column["at"]).tolist()
    text = maps.inbox.text
    return Pieces([None if size == ABSENT else text(at, size) for at, size in table])


_READERS = {"s": _scalars, "d": _dense, "a": _arrays, "t": _texts}
