"""What went wrong in user code, as people want to read it: their own file and line."""

from __future__ import annotations

import os
import traceback
from types import ModuleType
from typing import List, Optional, Tuple

from .source import show_lines

_OURS = os.path.dirname(os.path.abspath(__file__))
_MOST_BYTES = 4096
_KEPT = 3
_FRAMES = 30
_CHAIN = 10


class Failures:
    """Failures of a call: how many events, and the first few with their tracebacks.

    A hook's failure has the event -1 and does not count, since no event is lost by it.
    """

    def __init__(self, module: Optional[ModuleType] = None) -> None:
        self.count = 0
        self.first: List[Tuple[int, str, str]] = []
        self._module = module

    def add(self, event: int, error: BaseException) -> None:
        if event >= 0:
            self.count += 1
        if len(self.first) < _KEPT:
            self.first.append((event, message(error, self._module), trace(error, self._module)))

    def join(self, other: Failures) -> None:
        """Adds those of another call."""
        self.count += other.count
        self.first = (self.first + other.first)[:_KEPT]


def message(error: BaseException, module: Optional[ModuleType] = None) -> str:
    """One line: `ValueError: bad (hits.py:12)`; the line is the last one in the user's file."""
    try:
        text = " ".join(str(error).split())[:500]
        line = f"{type(error).__name__}: {text}" if text else type(error).__name__
        place = _place(error, None if module is None else module.__file__)
        return f"{line} ({place})" if place else line
    except Exception:  # a __str__ of theirs that raises, or no memory left
        return type(error).__name__


def _place(error: BaseException, file: Optional[str]) -> str:
    if isinstance(error, SyntaxError):
        return "" if error.lineno is None else f"{os.path.basename(error.filename or '?')}:{error.lineno}"
    place = own = ""
    tb = error.__traceback__
    while tb is not None:
        name = tb.tb_frame.f_code.co_filename
        if not name.startswith(_OURS):
            place = f"{os.path.basename(name)}:{tb.tb_lineno}"
            own = place if name == file else own
        tb = tb.tb_next
    return own or place


def trace(error: BaseException, module: Optional[ModuleType] = None) -> str:
    """The traceback without frames of this package, at most 4 KiB, its end if it is longer."""
    try:
        if module is not None:
            show_lines(module)
        # The frames nearest to the error tell most: of an endless recursion the rest says nothing.
        made = traceback.TracebackException(type(error), error, error.__traceback__, limit=-_FRAMES)
        one: Optional[traceback.TracebackException] = made
        for _ in range(_CHAIN):
            if one is None:
                break
            one.stack = traceback.StackSummary.from_list([f for f in one.stack if not f.filename.startswith(_OURS)])
            one = one.__cause__ or one.__context__
        text = "".join(made.format())
    except Exception:
        return type(error).__name__
    data = text.encode("utf-8", "replace")
    if len(data) <= _MOST_BYTES:
        return data.decode()
    return "…" + data[-_MOST_BYTES + 8 :].decode("utf-8", "ignore")
