"""Columns of results, written into the outbox as they come.

They are written at once and not gathered first: user code may return the same array in each event
and change it in the next.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from .arena import Outbox
from .columns import ABSENT
from .declared import Output, split

_INTEGERS = {int, bool, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64}
_FLOATS = {float, np.float32, np.float64} | _INTEGERS


class Out:
    """One output in the events of a call."""

    def __init__(self, declared: Output, outbox: Outbox, count: int) -> None:
        self.declared = declared
        self._outbox = outbox
        self._count = count

    def put(self, event: int, value: Any) -> None:
        """Writes a value that fits."""
        raise NotImplementedError

    def drop(self, event: int) -> None:
        """The event has no value after all."""
        raise NotImplementedError

    def drop_all(self, events: Sequence[int]) -> None:
        for event in events:
            self.drop(event)

    def put_all(self, events: Sequence[int], values: Any) -> None:
        """Writes what `Output.fit_all` made of a batch's values."""
        for event, value in zip(events, values):
            if value is None:
                self.drop(event)
            else:
                self.put(event, self.declared.fit(value))

    def column(self, chosen: Optional[np.ndarray]) -> Optional[Dict[str, Any]]:
        """The column's description; `chosen` are the events that user code was given (None: all)."""
        raise NotImplementedError


class ScalarOut(Out):
    """Scalars side by side. Their memory is taken when the first value comes: a whole batch needs no zeros.

    Attributes:
        plain: types of values that may be written into `cells` as they are.
        takes_floats: whether no value of these types is out of range.
    """

    def __init__(self, declared: Output, outbox: Outbox, count: int) -> None:
        super().__init__(declared, outbox, count)
        kind = np.dtype(declared.dtype).kind
        self.plain = _FLOATS if kind == "f" else _INTEGERS if kind in "iu" else {bool, np.bool_}
        self.takes_floats = declared.dtype == "f8"
        self._at: Optional[int] = None
        self._view: Any = None
        self._cells: Any = None
        self._absent: Set[int] = set()

    @property
    def cells(self) -> Any:
        """Writes a value with its range checked, quicker than an array does."""
        if self._cells is None:
            self._cells = memoryview(self._room())
        return self._cells

    def _room(self) -> np.ndarray:
        if self._at is None:
            self._at, self._view = self._outbox.zeros((self._count,), self.declared.dtype)
        return self._view  # type: ignore[no-any-return]

    def put(self, event: int, value: Any) -> None:
        self.cells[event] = value

    def drop(self, event: int) -> None:
        if self._at is not None:
            self._view[event] = 0
        self._absent.add(event)

    def drop_all(self, events: Sequence[int]) -> None:
        if self._at is not None:
            self._view[events] = 0
        self._absent.update(events)

    def put_all(self, events: Sequence[int], values: Any) -> None:
        if not isinstance(values, np.ndarray):
            super().put_all(events, values)
        elif len(events) == self._count and self._at is None:
            self._at = self._outbox.put(values, self.declared.dtype)
            self._view = self._outbox.view(self._at, (self._count,), self.declared.dtype)
        else:
            self._room()[slice(None) if len(events) == self._count else events] = values

    def column(self, chosen: Optional[np.ndarray]) -> Optional[Dict[str, Any]]:
        column = {"k": "s", "t": self.declared.dtype, "at": self._at, "p": None}
        if chosen is None and not self._absent and self._at is not None:
            return column
        given = self._count if chosen is None else len(chosen)
        if len(self._absent) == given or self._at is None:
            return None
        column["p"], present = self._outbox.zeros((self._count,), "u1")
        present[slice(None) if chosen is None else chosen] = 1
        present[list(self._absent)] = 0
        return column


class ArrayOut(Out):
    """Arrays, one after the other."""

    def __init__(self, declared: Output, outbox: Outbox, count: int) -> None:
        super().__init__(declared, outbox, count)
        self._rows: Dict[int, Tuple[int, Tuple[int, ...]]] = {}
        self._dense: Optional[Dict[str, Any]] = None

    def put(self, event: int, value: Any) -> None:
        self._rows[event] = (self._outbox.put(value, self.declared.dtype), value.shape)

    def drop(self, event: int) -> None:
        self._rows.pop(event, None)

    def put_all(self, events: Sequence[int], values: Any) -> None:
        if not isinstance(values, np.ndarray):
            return super().put_all(events, values)
        at = self._outbox.put(values, self.declared.dtype)
        shape = values.shape[1:]
        stride = int(np.prod(shape, dtype=np.int64)) * np.dtype(self.declared.dtype).itemsize
        if len(events) == self._count:
            self._dense = self._dense_column(at, stride, shape)
        else:
            self._rows.update((event, (at + j * stride, shape)) for j, event in enumerate(events))

    def _dense_column(self, at: int, stride: int, shape: Sequence[int]) -> Dict[str, Any]:
        return {"k": "d", "t": self.declared.dtype, "at": at, "stride": stride, "shape": list(shape)}

    def column(self, chosen: Optional[np.ndarray]) -> Optional[Dict[str, Any]]:
        if self._dense is not None:
            return self._dense
        if not self._rows:
            return None
        if len(self._rows) == self._count:
            rows = [self._rows[i] for i in range(self._count)]
            at, shape = rows[0]
            stride = rows[1][0] - at if len(rows) > 1 else 0
            if all(s == shape and a == at + i * stride for i, (a, s) in enumerate(rows)):
                return self._dense_column(at, stride, shape)
        return self._table()

    def _table(self) -> Dict[str, Any]:
        at, table = self._outbox.zeros((self._count, 8), "u8")
        table[:, 0] = ABSENT
        for event, (offset, shape) in self._rows.items():
            table[event, : 3 + len(shape)] = (0, offset, len(shape), *shape)
        return {"k": "a", "t": self.declared.dtype, "at": at}


class TextOut(Out):
    """Texts, one after the other."""

    def __init__(self, declared: Output, outbox: Outbox, count: int) -> None:
        super().__init__(declared, outbox, count)
        self._rows: Dict[int, Tuple[int, int]] = {}

    def put(self, event: int, value: Any) -> None:
        data = value.encode("utf-8", "replace")  # a lone surrogate is in no text that others can read
        self._rows[event] = (self._outbox.put_bytes(data), len(data))

    def drop(self, event: int) -> None:
        self._rows.pop(event, None)

    def column(self, chosen: Optional[np.ndarray]) -> Optional[Dict[str, Any]]:
        if not self._rows:
            return None
        at, table = self._outbox.zeros((self._count, 2), "u8")
        table[:, 1] = ABSENT
        for event, row in self._rows.items():
            table[event] = row
        return {"k": "t", "at": at}


class Results:
    """All outputs of a node in the events of a call."""

    def __init__(self, declared: Tuple[Output, ...], outbox: Outbox, count: int) -> None:
        self._declared = declared
        self._outbox = outbox
        self.outs: List[Out] = [_out(output)(output, outbox, count) for output in declared]
        # Presence of scalars, tables of others; nothing of it may fail once the results are there.
        outbox.tail = len(self.outs) * (64 * count + 64)
        self.scalars: List[ScalarOut] = [out for out in self.outs if isinstance(out, ScalarOut)]

    def put(self, event: int, returned: Any) -> None:
        """Writes what user code returned for an event: all outputs, or none if one does not fit."""
        values = split(self._declared, returned)
        fitted = [None if value is None else out.declared.fit(value) for out, value in zip(self.outs, values)]
        top = self._outbox.top
        try:
            for out, value in zip(self.outs, fitted):
                out.drop(event) if value is None else out.put(event, value)
        except BaseException:
            self._outbox.top = top
            raise

    def drop(self, event: int) -> None:
        for out in self.outs:
            out.drop(event)

    def put_all(self, events: Sequence[int], returned: Any) -> None:
        """Writes what user code returned for a batch: all of it, or nothing if something does not fit."""
        values = split(self._declared, returned)
        fitted = [None if value is None else out.declared.fit_all(value, len(events)) for out, value in zip(self.outs, values)]
        for out, value in zip(self.outs, fitted):
            if value is None:
                out.drop_all(events)
            else:
                out.put_all(events, value)

    def columns(self, chosen: Optional[np.ndarray]) -> List[Optional[Dict[str, Any]]]:
        self._outbox.tail = 0
        return [out.column(chosen) for out in self.outs]


def _out(output: Output) -> Any:
    if output.dtype == "str":
        return TextOut
    return ScalarOut if output.shape is None else ArrayOut
