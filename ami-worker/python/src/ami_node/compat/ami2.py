"""Code of AMI2's PythonEditor: a class `EventProcessor`, or a function."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from ..node import PerEvent
from .making import make, own, positional, with_inputs


def from_ami2(
    code: Any,
    outputs: Mapping[str, str],
    *,
    inputs: Optional[Sequence[str]] = None,
    copy: bool = True,
    split_dependent: bool = False,
) -> Any:
    """A per-event node of a class with `on_event(self, *inputs)`, or of a function `func(*inputs)`.

    None is absent, a tuple is several outputs. begin_run and end_run are called without arguments,
    begin_step and end_step with the step.

    Args:
        code: the class or the function.
        outputs: names and types, in the order of what it returns.
        inputs: their names; without, those of the signature.
        copy: give arrays that it may write to, as AMI2 does. False saves the copy.
        split_dependent: it keeps something from event to event.
    """
    function: Callable[..., Any] = getattr(code, "on_event", code)
    names, varargs = positional(function)
    if isinstance(code, type):
        names = names[1:]
    if inputs is not None:
        names, varargs = tuple(inputs), False
    arrays: Callable[[Any], Any] = own if copy else lambda value: value

    def event(self: Any, *values: Any) -> Any:
        return self._on_event(*map(arrays, values))

    members: Dict[str, Any] = {"event": with_inputs(event, ["self"], names, varargs), "split_dependent": split_dependent}
    if isinstance(code, type):
        members.update(_hooks(code))
    members["__init__"] = _init(code)
    return make(PerEvent, code, outputs, members)


def _init(code: Any) -> Callable[[Any], None]:
    def __init__(self: Any) -> None:
        self._theirs = code() if isinstance(code, type) else None
        self._on_event = code if self._theirs is None else self._theirs.on_event

    return __init__


def _hooks(code: Any) -> Dict[str, Callable[..., Any]]:
    hooks: Dict[str, Callable[..., Any]] = {
        "begin_run": lambda self, run: self._theirs.begin_run(),
        "end_run": lambda self, run: self._theirs.end_run(),
        "begin_step": lambda self, step, held: self._theirs.begin_step(step),
        "end_step": lambda self, step: self._theirs.end_step(step),
    }
    return {name: hook for name, hook in hooks.items() if hasattr(code, name)}
