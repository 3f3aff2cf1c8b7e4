"""The one exception of this package."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence


class AmiError(Exception):
    """What went wrong, why, and the next step.

    Attributes:
        message: what and why.
        hint: the next step; empty if there is none.
        errors: details as the daemon gave them: mistakes of a graph, refusals by members, or the
            versions made since a stale base. Empty unless there is a list.
    """

    def __init__(self, message: str, hint: str = "", errors: Optional[Sequence[Any]] = None) -> None:
        super().__init__(message, hint, errors)
        self.message = message
        self.hint = hint
        self.errors: List[Any] = list(errors or [])

    def __str__(self) -> str:
        text = self.message if not self.hint else f"{self.message}: {self.hint}"
        return text + "".join(f"\n  {error}" for error in self.errors)
