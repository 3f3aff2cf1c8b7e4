"""Runs a node's whole life on arrays in memory, as `try_on` and `check` do."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .frame import Frame
from .columns import Column, Pieces, Stacked
from .declared import Output, split
from .errors import NodeError
from .failures import Failures
from .loaded import Loaded
from .node import FunctionNode, Node, example_array
from .state import copy_state, decode, encode_bytes, settle

Values = Tuple[Any, ...]
FRAME = {
    "run": 1, "step": None, "heartbeat": 1, "version": 1, "complete": True, "events": 1, "expected": 1, "timestamp_ns": None,
}  # fmt: skip


def fresh(node: Any, params: Optional[Dict[str, Any]] = None) -> Loaded:
    """A new instance of a class, of an instance's class with its parameters, or of a function."""
    if isinstance(node, Node):
        return Loaded(type(node), {**node._params, **(params or {})})
    if isinstance(node, FunctionNode) or (isinstance(node, type) and issubclass(node, Node)):
        return Loaded(node, params or {})
    raise NodeError(f"{node!r} is no node", "give a function under @per_event, a class of a node, or an instance")


def columns_of(loaded: Loaded, arrays: Sequence[Any]) -> Tuple[List[Column], List[int]]:
    """Arrays with the events on the first axis as columns, and the events where all are present."""
    declared = loaded.declared
    missing = len(arrays) < len(declared.inputs)
    if missing or (len(arrays) > len(declared.inputs) and not declared.varargs):
        raise NodeError(f"{declared.name} takes {_inputs(declared)}, got {len(arrays)} arrays", "give one array for each input")
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise NodeError(f"the arrays have {sorted(lengths)} events", "the first axis is that of the events, the same in all")
    lists = [array for array in arrays if not isinstance(array, np.ndarray) or array.dtype.kind == "O"]
    events = [i for i in range(lengths.pop() if lengths else 0) if all(array[i] is not None for array in lists)]
    return [column_of(array) for array in arrays], events


def _inputs(declared: Any) -> str:
    return f"{len(declared.inputs)} inputs ({', '.join(declared.inputs)}{', *' * declared.varargs})"


def column_of(values: Any) -> Column:
    """One input: an array, or a list with None where an event lacks it."""
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OUS":
        return Stacked(example_array(values), None)
    return Pieces([_piece(value) for value in values])


def _piece(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    array = example_array(value)
    return array if array.ndim else array[()]


def event_values(
    loaded: Loaded,
    columns: List[Column],
    events: Sequence[int],
    failures: Optional[Failures] = None,
    at: Callable[[List[int]], None] = lambda part: None,
    singly: bool = False,
) -> List[Optional[Values]]:
    """What a per-event node makes of each of these events.

    An event that fails is None and goes to `failures`; without these it raises.

    Args:
        at: is told which events come, before they do.
        singly: batches are of one event.
    """
    made: List[Optional[Values]] = []
    for part in [list(events)] if loaded.declared.batch and not singly else [[event] for event in events]:
        at(part)
        try:
            made += _values(loaded, columns, part)
        except BaseException as error:
            if failures is None:
                raise
            if len(part) > 1:
                for event in part:
                    made += _or_failure(loaded, columns, event, failures)
            else:
                failures.add(part[0], error)
                made.append(None)
    return made


def _or_failure(loaded: Loaded, columns: List[Column], event: int, failures: Failures) -> List[Optional[Values]]:
    try:
        return list(_values(loaded, columns, [event]))
    except BaseException as error:
        failures.add(event, error)
        return [None]


def _values(loaded: Loaded, columns: List[Column], events: List[int]) -> List[Values]:
    if not events:
        return []
    outputs = loaded.declared.outputs
    chosen = np.array(events)
    if not loaded.declared.batch:
        returned = loaded.call(*(column.values(chosen)[0] for column in columns))
        return [fitted(outputs, returned)]
    values = split(outputs, loaded.call(*(column.batch(chosen) for column in columns)))
    each = []
    for output, value in zip(outputs, values):
        all_of = [None] * len(events) if value is None else output.fit_all(value, len(events))
        each.append([None if v is None else kept(output, v) for v in all_of])
    return list(zip(*each))


def fitted(outputs: Tuple[Output, ...], returned: Any) -> Values:
    """Outputs of the declared types; TypeError where one does not fit."""
    return tuple(None if v is None else kept(o, v) for o, v in zip(outputs, split(outputs, returned)))


def kept(output: Output, value: Any) -> Any:
    """A value of the declared type that does not change any more."""
    value = output.fit(value)
    if output.dtype == "str":
        return value
    return np.dtype(output.dtype).type(value) if output.shape is None else np.array(value, output.dtype)


def joined(output: Output, values: Sequence[Any]) -> Any:
    """Values of all events as one array if none is absent and all shapes agree, else the list."""
    shapes = {np.shape(v) for v in values if v is not None}
    if output.dtype == "str" or len(shapes) > 1 or any(v is None for v in values):
        return list(values)
    return np.array(values, output.dtype)


def lanes_of(events: Sequence[int], lanes: int) -> List[List[int]]:
    """Events dealt out unevenly: the second lane gets twice as many as the first, and so on."""
    pattern = [lane for lane in range(lanes) for _ in range(lane + 1)]
    dealt: List[List[int]] = [[] for _ in range(lanes)]
    for i, event in enumerate(events):
        dealt[pattern[i % len(pattern)]].append(event)
    return dealt


def travelled(state: Any) -> Any:
    """The state as it comes out at the other end."""
    data = encode_bytes(state)
    return decode(data, 0, len(data), copy=True)


def merged(loaded: Loaded, states: Sequence[Any]) -> Any:
    state, *others = states
    state = copy_state(state)
    for other in others:
        state = settle(state, loaded.node.merge(state, copy_state(other)), "merge")
    return travelled(state)


def try_per_event(node: Any, arrays: Sequence[Any], params: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    loaded = fresh(node, params)
    columns, events = columns_of(loaded, arrays)
    loaded.begin()
    made: Dict[int, Values] = {}
    for event, values in zip(events, event_values(loaded, columns, events)):
        assert values is not None
        made[event] = values
    count = len(arrays[0]) if arrays else 0
    outputs = loaded.declared.outputs
    absent = (None,) * len(outputs)
    rows = [made.get(event, absent) for event in range(count)]
    return {output.name: joined(output, [row[i] for row in rows]) for i, output in enumerate(outputs)}


def try_reduction(node: Any, arrays: Sequence[Any], lanes: int) -> Dict[str, Any]:
    loaded = fresh(node)
    columns, events = columns_of(loaded, arrays)
    loaded.begin()
    states = [travelled(_absorbed(loaded, columns, lane)) for lane in lanes_of(events, max(1, lanes))]
    values = fitted(loaded.declared.outputs, loaded.node.finish(merged(loaded, states)))
    return {output.name: value for output, value in zip(loaded.declared.outputs, values)}


def _absorbed(loaded: Loaded, columns: List[Column], events: List[int]) -> Any:
    state: Any = loaded.start()
    if loaded.declared.batch:
        if events:
            chosen = np.array(events)
            state = settle(state, loaded.call(state, *(c.batch(chosen) for c in columns)), "absorb_batch")
        return state
    for inputs in zip(*(c.values(np.array(events, int)) for c in columns)) if events else ():
        state = settle(state, loaded.call(state, *inputs), "absorb")
    return state


def try_root(node: Any, inputs: Sequence[Any], frame: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    loaded = fresh(node)
    unknown = len(inputs) - len(loaded.declared.inputs)
    if unknown < 0 or (unknown > 0 and not loaded.declared.varargs):
        raise NodeError(
            f"{loaded.declared.name} takes {_inputs(loaded.declared)}, got {len(inputs)}", "None stands for an absent one"
        )
    loaded.begin()
    returned = loaded.call(Frame({**FRAME, **(frame or {})}), *(_piece(value) for value in inputs))
    values = fitted(loaded.declared.outputs, returned)
    return {output.name: value for output, value in zip(loaded.declared.outputs, values)}


__all__ = ["columns_of", "event_values", "fresh", "joined", "lanes_of", "merged", "try_per_event", "try_reduction", "try_root"]
