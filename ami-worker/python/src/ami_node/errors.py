"""The one exception of this package."""

from __future__ import annotations

import difflib
from typing import Iterable


class NodeError(Exception):
    """What is wrong with a node, why, and the next step.

    Attributes:
        message: what and why.
        hint: the next step; empty if there is none.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean "spectrum"? ` or nothing, and what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}there is {', '.join(map(repr, names))}" if names else f"{guess}there is none"
