"""Whether a node does what it claims: on real data, split over lanes in several ways.

Ami spreads events over workers and merges what they made. The result must not depend on how; here
it is computed with one lane and with several, unevenly filled and merged in both orders.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .columns import Column
from .declared import Output
from .errors import NodeError, did_you_mean
from .failures import Failures, message, trace
from .loaded import Loaded
from .run_events import Job, absorb
from .signature import plain
from .trial import _FRAME, Values, columns_of, event_values, fitted, fresh, lanes_of, merged, travelled

LANES = (1, 2, 3, 7)
#: How far sums in another order may be apart, relative to the sum of all magnitudes.
_ALLOWED = {"f8": 1e-12, "f4": 1e-5}
_SHOWN = 3
Report = Dict[str, Any]


def check(node: Any, inputs: Mapping[str, Any], lanes: Sequence[int] = LANES, params: Optional[Dict[str, Any]] = None) -> Report:
    """Runs a node on arrays in memory, split over lanes, and compares.

    Args:
        node: a decorated function, a class of a node, or an instance.
        inputs: for each input, by name, its values with the events on the first axis: an array, or
            a list with None where an event lacks it. Names beyond those declared go to `*inputs`.
        lanes: numbers of workers to imitate; what the first gives is compared with the others.
        params: values of parameters.

    Returns:
        A report that JSON can hold: `ok`, `events`, `given`, `failed` and `failures` ([event, message,
        traceback] of the first three), `cost_us` per event, `outputs` with their first values,
        `split` with `differences`, and `error` (message, traceback) where nothing came out.

    Raises:
        NodeError: there is no such node, input or parameter.
    """
    loaded = fresh(node, params)
    names = loaded.declared.inputs
    for name in inputs:
        if name not in names and not loaded.declared.varargs:
            raise NodeError(f"{loaded.declared.name} has no input {name!r}", did_you_mean(name, names))
    for name in names:
        if name not in inputs:
            raise NodeError(f"input {name} of {loaded.declared.name} is missing", f"give {', '.join(names)}")
    arrays = [inputs[name] for name in names] + [v for name, v in inputs.items() if name not in names]
    columns, events = columns_of(loaded, arrays)
    total = len(arrays[0]) if arrays else 0
    return {**_checked(lambda: fresh(node, params), columns, events, lanes, [0, 0]), "events": total}


def check_columns(loaded: Loaded, columns: List[Column], events: Sequence[int], lanes: Sequence[int], number: Any) -> Report:
    """As `check`, for the host: with columns of a call."""
    return {**_checked(loaded.again, columns, events, lanes, number), "events": len(events)}


class _Run:
    """One pass over all events."""

    def __init__(self, values: List[Optional[Values]], failures: Failures, seconds: float) -> None:
        self.values = values
        self.failures = failures
        self.seconds = seconds


def _checked(
    make: Callable[[], Loaded], columns: List[Column], events: Sequence[int], lanes: Sequence[int], number: Any
) -> Report:
    loaded = make()
    declared = loaded.declared
    report: Report = {
        "ok": False,
        "node": declared.name,
        "kind": declared.kind,
        "given": len(events),
        "failed": 0,
        "failures": [],
    }
    try:
        one = _pass(make, columns, events, lanes[0], False, number)
    except BaseException as error:
        return {**report, "error": {"message": message(error, loaded.module), "traceback": trace(error, loaded.module)}}
    report.update(failed=one.failures.count, failures=[list(f) for f in one.failures.first])
    report["cost_us"] = round(1e6 * one.seconds / max(1, len(events)), 3)
    report["outputs"] = [_shown(output, [v[i] for v in one.values if v]) for i, output in enumerate(declared.outputs)]
    report["split"] = _split_check(make, columns, events, lanes, one, number)
    report["ok"] = not report["failed"] and (report["split"]["ok"] or declared.split_dependent)
    return report


def _split_check(
    make: Callable[[], Loaded], columns: List[Column], events: Sequence[int], lanes: Sequence[int], one: _Run, number: Any
) -> Report:
    kind = make().declared.kind
    found: List[Report] = []
    for count in lanes[1:] if kind != "root" else ():
        for backward in (False, True) if kind == "reduction" else (False,):
            how = {"lanes": count, "order": "backward" if backward else "forward"}
            try:
                other = _pass(make, columns, events, count, backward, number)
            except BaseException as error:
                found.append({**how, "error": message(error, make().module)})
                continue
            found += [{**how, **d} for d in _differences(make().declared.outputs, events, one, other, kind)]
    return {"ok": not found, "lanes": list(lanes), "differences": found}


def _pass(
    make: Callable[[], Loaded], columns: List[Column], events: Sequence[int], lanes: int, backward: bool, number: Any
) -> _Run:
    """All events through a life with that many lanes."""
    kind = make().declared.kind
    run = {"per_event": _pass_events, "reduction": _pass_reduction, "root": _pass_root}[kind]
    return run(make, columns, events, lanes, backward, number)


def _pass_events(
    make: Callable[[], Loaded], columns: List[Column], events: Sequence[int], lanes: int, _: bool, number: Any
) -> _Run:
    loaded = make()
    failures = Failures(loaded.module)
    made: Dict[int, Optional[Values]] = {}
    began = time.perf_counter()
    for lane in lanes_of(events, lanes):
        number[1] += 1
        made.update(zip(lane, event_values(make(), columns, lane, failures)))
    return _Run([made[event] for event in events], failures, time.perf_counter() - began)


def _pass_reduction(
    make: Callable[[], Loaded], columns: List[Column], events: Sequence[int], lanes: int, backward: bool, number: Any
) -> _Run:
    failures = Failures(make().module)
    states = []
    began = time.perf_counter()
    for lane in lanes_of(events, lanes):
        loaded = make()
        job = Job(loaded, columns, len(lane), np.array(lane, int), number)
        states.append(travelled(absorb(job, loaded.start())))
        failures.join(job.failures)
    seconds = time.perf_counter() - began
    loaded = make()
    state = merged(loaded, states[::-1] if backward else states)
    return _Run([fitted(loaded.declared.outputs, loaded.node.finish(state))], failures, seconds)


def _pass_root(make: Callable[[], Loaded], columns: List[Column], events: Sequence[int], _: int, __: bool, number: Any) -> _Run:
    loaded = make()
    failures = Failures(loaded.module)
    made: List[Optional[Values]] = []
    began = time.perf_counter()
    for i, event in enumerate(events):
        number[1] += 1
        try:
            inputs = [column.values(np.array([event]))[0] for column in columns]
            made.append(fitted(loaded.declared.outputs, loaded.call({**_FRAME, "heartbeat": i}, *inputs)))
        except BaseException as error:
            failures.add(event, error)
            made.append(None)
    return _Run(made, failures, time.perf_counter() - began)


def _differences(outputs: Tuple[Output, ...], events: Sequence[int], one: _Run, other: _Run, kind: str) -> List[Report]:
    """The first difference of each output."""
    found: List[Report] = []
    absent = (None,) * len(outputs)
    for i, output in enumerate(outputs):
        for at, (a, b) in enumerate(zip(one.values, other.values)):
            difference = _difference(output, (a or absent)[i], (b or absent)[i])
            if difference is not None:
                where = {"event": events[at]} if kind == "per_event" else {}
                found.append({"output": output.name, **where, **difference})
                break
    return found


def _difference(output: Output, one: Any, other: Any) -> Optional[Report]:
    """Two values of an output, and the index of the worst of their elements; None if they are the same."""
    if one is None or other is None or output.dtype == "str":
        return (
            None
            if one is other or (output.dtype == "str" and one == other)
            else {"one": plain(one, True), "other": plain(other, True)}
        )
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return {"one": f"shape {list(a.shape)}", "other": f"shape {list(b.shape)}"}
    allowed = 0.0
    if a.dtype.kind == "f":
        allowed = _ALLOWED[output.dtype] * float(np.abs(a[np.isfinite(a)], dtype="f8").sum())
        with np.errstate(invalid="ignore"):
            apart = np.abs(a.astype("f8") - b.astype("f8"))
        # What is not the same and has no distance is an infinity or NaN on one side.
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.where(np.isnan(apart), np.inf, apart))
    else:
        apart = (a != b).astype("f8")
    if not a.size or not apart.max() > allowed:
        return None
    index = np.unravel_index(int(apart.argmax()), a.shape)
    return {"index": [int(i) for i in index], "one": plain(a[index]), "other": plain(b[index]), "allowed": allowed}


def _shown(output: Output, values: Sequence[Any]) -> Report:
    """An output and its first values."""
    present = [value for value in values if value is not None]
    return {"name": output.name, "declared": str(output), "present": len(present), "first": [_short(v) for v in present[:_SHOWN]]}


def _short(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return plain(value)
    if value.size <= 8:
        return plain(value.tolist())
    with np.errstate(all="ignore"):
        ends = {"min": plain(value.min()), "max": plain(value.max()), "mean": plain(value.mean(dtype="f8"))}
    return {"shape": list(value.shape), **ends}
