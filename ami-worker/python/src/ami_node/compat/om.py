"""Processing classes of OM: `process_data` on many nodes, `collect_data` on one.

In ami the first becomes a per-event node on the workers, the second a root node. Between them lies
the operation `buffer`, which brings values of single events to the root in event order.
"""

from __future__ import annotations

import inspect
import json
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence

import numpy as np

from ..node import PerEvent, Root
from .making import make, optional, own, with_inputs

#: OM counts its collecting node as 0 and the processing ones from 1.
_COLLECTING, _PROCESSING, _POOL = 0, 1, 2


class Parameters:
    """The parameters a processing class asks for, from a dict of groups."""

    def __init__(self, groups: Mapping[str, Mapping[str, Any]]) -> None:
        self._groups = groups

    def get_parameter_group(self, *, group: str) -> Dict[str, Any]:
        return dict(self._groups.get(group, {}))

    def get_parameter(self, *, group: str, parameter: str, parameter_type: Any = None, required: bool = False) -> Any:
        """A parameter; None if it is not there and not required.

        Raises:
            KeyError: it is required.
            TypeError: it is of another type.
        """
        value = self._groups.get(group, {}).get(parameter)
        if value is None and required:
            raise KeyError(f"parameter {group}/{parameter} is missing; give it in `parameters`")
        if value is not None and parameter_type is not None and not isinstance(value, parameter_type):
            raise TypeError(f"parameter {group}/{parameter} is {value!r}; it must be a {parameter_type.__name__}")
        return value


def from_om(
    processing: Any,
    outputs: Mapping[str, str],
    *,
    data: Sequence[str],
    parameters: Optional[Mapping[str, Mapping[str, Any]]] = None,
    split_dependent: bool = False,
) -> Any:
    """A per-event node of `process_data`.

    `initialize_processing_node` is called when the node is made, `end_processing_on_processing_node`
    at the end of a run. Feedback of the collecting node does not come back to workers.

    Args:
        processing: the class.
        outputs: keys of the dict that it returns, and their types; a key that is missing is absent.
        data: keys of `data` in the order of the node's inputs, such as timestamp and detector_data.
        parameters: OM's configuration, by group.
        split_dependent: it keeps something from event to event.
    """

    def event(self: Any, *values: Any) -> Any:
        given = dict(zip(data, map(own, values)))
        made, _ = _call(self._theirs.process_data, _PROCESSING, _POOL, given)
        return tuple([made.get(name) for name in outputs])

    def end_run(self: Any, run: Any) -> None:
        _end(self._theirs, "end_processing_on_processing_node", _PROCESSING)

    members = {
        "__init__": _init(processing, parameters, "initialize_processing_node", _PROCESSING),
        "event": with_inputs(event, ["self"], data),
        "end_run": end_run,
        "split_dependent": split_dependent,
    }
    return make(PerEvent, processing, outputs, members)


def collect_om(
    processing: Any,
    outputs: Mapping[str, str],
    *,
    data: Sequence[str],
    order: Optional[str] = None,
    publish: Optional[Callable[[Any], Mapping[str, Any]]] = None,
    parameters: Optional[Mapping[str, Mapping[str, Any]]] = None,
) -> Any:
    """A root node of `collect_data`, which is called for each event in event order.

    An output named `feedback` of type str is the newest feedback as JSON, {"rank": {…}}.

    Args:
        processing: the class.
        outputs: names and types. A value is what `publish` gives for the name, or the attribute of
            the object with this name, with or without a leading underscore.
        data: keys of the dict it expects, in the order of the inputs. Each input is an array with
            the events on the first axis, as the operation `buffer` makes it.
        order: the key that grows from event to event, or is that of another host's event, by which an
            event is known to be new; without, the first.
        publish: makes a dict of outputs from the processing object.
        parameters: OM's configuration, by group.
    """
    at = data.index(order) if order is not None else 0

    def update(self: Any, frame: Mapping[str, Any], *values: Any) -> Any:
        if not any(value is None for value in values):
            keys = np.asarray(values[at])
            for i in _new(self, keys):
                _collect(self, {name: own(value[i]) for name, value in zip(data, values)})
        published = {} if publish is None else publish(self._theirs)
        return tuple([_published(self, published, name) for name in outputs])

    def end_run(self: Any, run: Any) -> None:
        _end(self._theirs, "end_processing_on_collecting_node", _COLLECTING)

    members = {
        "__init__": _init(processing, parameters, "initialize_collecting_node", _COLLECTING),
        "update": with_inputs(update, ["self", "frame"], data),
        "end_run": end_run,
        "_last": None,
        "_at_last": 0,
        "_feedback": None,
    }
    return make(Root, processing, outputs, members)


def _new(node: Any, keys: np.ndarray) -> Iterator[int]:
    """Rows that are new, by their keys; events of two hosts may have the same."""
    at_last = 0
    for i in np.argsort(keys, kind="stable"):
        if node._last is not None and keys[i] < node._last:
            continue
        if keys[i] == node._last:
            at_last += 1
            if at_last <= node._at_last:
                continue
        else:
            node._last, at_last = keys[i], 1
        node._at_last = at_last
        yield i


def _collect(node: Any, made: Dict[str, Any]) -> None:
    feedback = _call(node._theirs.collect_data, _COLLECTING, _POOL, (made, _PROCESSING))
    if feedback:
        node._feedback = json.dumps({str(rank): told for rank, told in feedback.items()}, default=_plain)


def _init(
    processing: Any, parameters: Optional[Mapping[str, Mapping[str, Any]]], method: str, rank: int
) -> Callable[[Any], None]:
    def __init__(self: Any) -> None:
        # `monitor_parameters` or `parameters`, as the version has it.
        wanted = list(inspect.signature(processing).parameters)
        self._theirs = processing(**{wanted[0]: Parameters(parameters or {})}) if wanted else processing()
        initialize = optional(self._theirs, method)
        if initialize is not None:
            _call(initialize, rank, _POOL)

    return __init__


def _call(method: Callable[..., Any], *values: Any) -> Any:
    """By name where it wants names: OM's own classes do, older ones do not."""
    parameters = list(inspect.signature(method).parameters.values())
    if parameters and all(p.kind is p.KEYWORD_ONLY for p in parameters):
        return method(**dict(zip([p.name for p in parameters], values)))
    return method(*values)


def _end(theirs: Any, method: str, rank: int) -> None:
    end = optional(theirs, method)
    if end is not None:
        _call(end, rank, _POOL)


def _published(node: Any, published: Mapping[str, Any], name: str) -> Any:
    if name in published:
        return published[name]
    if name == "feedback":
        return node._feedback
    return getattr(node._theirs, name, getattr(node._theirs, f"_{name}", None))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
