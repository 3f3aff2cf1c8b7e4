"""Scripts of livereduce: `proc` on what arrives, accumulated; `post_proc` on the accumulation."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Callable, Dict, Mapping, Sequence

import numpy as np

from ..declared import parse_outputs
from ..errors import NodeError
from ..node import Reduction, Root
from .making import make, with_inputs

_METHODS = ("Add", "Replace", "Append")
_OLDEST = -(2**63)


def script(text: str, file: str = "proc.py") -> Callable[..., Any]:
    """A function of a script that reads `input` and sets `output`, as livereduce runs one."""
    code = compile(text, file, "exec")

    def proc(input: Any) -> Any:
        scope = {"input": input, "output": None, "__name__": "__main__"}
        exec(code, scope)
        return scope["output"]

    return proc


def from_livereduce(
    proc: Callable[..., Any],
    outputs: Mapping[str, str],
    *,
    inputs: Sequence[str] = ("input",),
    method: str = "Add",
    chunks: bool = False,
) -> Any:
    """A reduction that accumulates what `proc(*inputs)` returns.

    `Add` sums. `Replace` keeps the newest, `Append` all, one below the other in event order: for both
    the node has a first input `order`, an integer that grows from event to event, such as a pulse
    id; without one, workers could not know which event is newer.

    Args:
        proc: the function; None of it is absent. See `script` for a text.
        outputs: name and type of the accumulation, one.
        inputs: names of what it takes.
        method: Add, Replace or Append.
        chunks: call it with all events of a chunk at once, not with each. Only for Add.
    """
    declared = parse_outputs(outputs, "from_livereduce")
    if len(declared) != 1 or declared[0].dtype == "str":
        raise NodeError("from_livereduce: there is one accumulation, of numbers", 'write outputs={"name": "f8[:]"}')
    if method not in _METHODS:
        raise NodeError(f"from_livereduce: method is {method!r}", f"it is one of {', '.join(_METHODS)}")
    if chunks and method != "Add":
        raise NodeError(f"from_livereduce: {method} of chunks", "only Add works on chunks")
    members = {"Add": _add, "Replace": _replace, "Append": _append}[method](proc, declared[0].dtype, inputs)
    if chunks:
        members["absorb_batch"] = members.pop("absorb")
    return make(Reduction, proc, outputs, members)


def _add(proc: Callable[..., Any], dtype: str, inputs: Sequence[str]) -> Dict[str, Any]:
    def start(self: Any) -> Any:
        return {"n": 0, "value": np.zeros(0, dtype)}  # its shape is known with the first result

    def merge(self: Any, state: Any, other: Any) -> Any:
        if not state["n"] or not other["n"]:
            return state if state["n"] else other
        return {"n": state["n"] + other["n"], "value": np.add(state["value"], other["value"])}

    def absorb(self: Any, state: Any, *values: Any) -> Any:
        made = proc(*values)
        return state if made is None else merge(self, state, {"n": 1, "value": np.array(made, dtype)})

    def finish(self: Any, state: Any) -> Any:
        return state["value"] if state["n"] else None

    return {"start": start, "merge": merge, "absorb": with_inputs(absorb, ["self", "state"], inputs), "finish": finish}


def _replace(proc: Callable[..., Any], dtype: str, inputs: Sequence[str]) -> Dict[str, Any]:
    def start(self: Any) -> Any:
        return {"order": _OLDEST, "value": np.zeros(0, dtype)}

    def merge(self: Any, state: Any, other: Any) -> Any:
        if other["order"] != state["order"]:
            return other if other["order"] > state["order"] else state
        # Two hosts may see the same pulse: which of them is kept must not depend on who was first.
        return other if other["value"].tobytes() > state["value"].tobytes() else state

    def absorb(self: Any, state: Any, order: Any, *values: Any) -> Any:
        made = proc(*values)
        return state if made is None else merge(self, state, {"order": int(order), "value": np.array(made, dtype)})

    def finish(self: Any, state: Any) -> Any:
        return state["value"] if state["order"] > _OLDEST else None

    taken = with_inputs(absorb, ["self", "state"], ("order", *inputs))
    return {"start": start, "merge": merge, "absorb": taken, "finish": finish}


def _append(proc: Callable[..., Any], dtype: str, inputs: Sequence[str]) -> Dict[str, Any]:
    def start(self: Any) -> Any:
        # Two hosts may see the same pulse: among events of one `order`, `tie` decides, made of what they are.
        return {"order": np.zeros(0, "i8"), "tie": np.zeros(0, "u8"), "value": np.zeros(0, dtype)}

    def merge(self: Any, state: Any, other: Any) -> Any:
        if not len(state["order"]) or not len(other["order"]):
            return state if len(state["order"]) else other
        return {key: np.concatenate([state[key], other[key]]) for key in state}

    def absorb(self: Any, state: Any, order: Any, *values: Any) -> Any:
        made = proc(*values)
        if made is None:
            return state
        rows = np.atleast_1d(np.array(made, dtype))
        tie = np.frombuffer(blake2b(rows.tobytes(), digest_size=8).digest(), "u8")
        return merge(self, state, {"order": np.full(len(rows), int(order)), "tie": np.repeat(tie, len(rows)), "value": rows})

    def finish(self: Any, state: Any) -> Any:
        return state["value"][np.lexsort((state["tie"], state["order"]))] if len(state["order"]) else None

    taken = with_inputs(absorb, ["self", "state"], ("order", *inputs))
    return {"start": start, "merge": merge, "absorb": taken, "finish": finish}


def post_livereduce(
    post_proc: Callable[..., Any], outputs: Mapping[str, str], *, inputs: Sequence[str] = ("accumulation",), every: float = 30.0
) -> Any:
    """A root node that calls `post_proc(*inputs)` on what is accumulated, every so many seconds.

    Args:
        post_proc: the function; it returns outputs in their order, or None.
        outputs: names and types of what it returns; of a script that only writes files any name will do.
        inputs: names of the accumulations it takes.
        every: seconds from one call to the next.
    """

    def update(self: Any, frame: Any, *values: Any) -> Any:
        return None if any(value is None for value in values) else post_proc(*values)

    return make(Root, post_proc, outputs, {"every": every, "update": with_inputs(update, ["self", "frame"], inputs)})
