"""Whether a node does what it claims: on real data, split over lanes in several ways.

Ami spreads events over workers and merges what they made. The result must not depend on how; here
it is computed with one lane and with several, unevenly filled and merged in both orders.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from .frame import Frame
from .arena import IN_BATCH
from .columns import Column
from .declared import Output
from .errors import NodeError, did_you_mean
from .failures import Failures, message, trace
from .loaded import Loaded
from .run_events import Job, absorb
from .signature import plain
from .trial import FRAME, Values, columns_of, event_values, fitted, fresh, lanes_of, merged, travelled

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
    return {**_checked(_Subject(lambda: fresh(node, params), loaded, columns, events, [0, 0]), lanes), "events": total}


def check_columns(
    loaded: Loaded, columns: List[Column], events: Sequence[int], lanes: Sequence[int], number: Any, singly: bool
) -> Report:
    """As `check`, for the host: with columns of a call, its header for progress, and batches of one event if need be."""
    subject = _Subject(loaded.again, loaded, columns, events, number, singly)
    return {**_checked(subject, lanes), "events": len(events)}


class _Subject:
    """A node and the events it is checked on."""

    def __init__(
        self,
        make: Callable[[], Loaded],
        like: Loaded,
        columns: List[Column],
        events: Sequence[int],
        number: Any,
        singly: bool = False,
    ) -> None:
        self._make = make
        self.declared = like.declared
        self.module = like.module
        self.columns = columns
        self.events = events
        self.number = number
        self.singly = singly

    def at(self, events: Sequence[int]) -> None:
        """Says which events come, as `Job.at` does."""
        self.number[0] = events[0] if len(events) == 1 else IN_BATCH
        self.number[1] += 1

    def make(self, failures: Failures) -> Loaded:
        """A new instance at the begin of a run."""
        loaded = self._make()
        loaded.begin(failures)
        return loaded


class _Run(NamedTuple):
    """What one pass over all events made: of each event, or of all together."""

    values: List[Optional[Values]]
    failures: Failures
    seconds: float


def _checked(subject: _Subject, lanes: Sequence[int]) -> Report:
    declared, events = subject.declared, subject.events
    report: Report = {
        "ok": False,
        "node": declared.name,
        "kind": declared.kind,
        "given": len(events),
        "failed": 0,
        "failures": [],
    }
    try:
        one = _pass(subject, lanes[0])
    except BaseException as error:
        return {**report, "error": {"message": message(error, subject.module), "traceback": trace(error, subject.module)}}
    report.update(failed=one.failures.count, failures=[list(f) for f in one.failures.first])
    report["cost_us"] = round(1e6 * one.seconds / max(1, len(events)), 3)
    report["outputs"] = [_shown(output, [v[i] for v in one.values if v]) for i, output in enumerate(declared.outputs)]
    report["split"] = _split_check(subject, lanes, one)
    report["ok"] = not report["failures"] and (report["split"]["ok"] or declared.split_dependent)
    return report


def _split_check(subject: _Subject, lanes: Sequence[int], one: _Run) -> Report:
    kind = subject.declared.kind
    found: List[Report] = []
    for count in lanes[1:] if kind != "root" else ():
        for backward in (False, True) if kind == "reduction" else (False,):
            how = {"lanes": count, "order": "backward" if backward else "forward"}
            try:
                other = _pass(subject, count, backward)
            except BaseException as error:
                found.append({**how, "error": message(error, subject.module)})
                continue
            found += [{**how, **difference} for difference in _differences(subject, one, other)]
    return {"ok": not found, "lanes": list(lanes), "differences": found}


def _pass(subject: _Subject, lanes: int, backward: bool = False) -> _Run:
    """All events through a life with that many lanes."""
    failures = Failures(subject.module)
    if subject.declared.kind == "reduction":
        return _pass_reduction(subject, lanes, backward, failures)
    run = _event_by_event if subject.declared.kind == "per_event" else _update_by_update
    made: Dict[int, Optional[Values]] = {}
    began = time.perf_counter()
    for lane in lanes_of(subject.events, lanes):
        made.update(zip(lane, run(subject, subject.make(failures), lane, failures)))
    return _Run([made[event] for event in subject.events], failures, time.perf_counter() - began)


def _event_by_event(subject: _Subject, loaded: Loaded, events: List[int], failures: Failures) -> List[Optional[Values]]:
    return event_values(loaded, subject.columns, events, failures, subject.at, subject.singly)


def _update_by_update(subject: _Subject, loaded: Loaded, events: List[int], failures: Failures) -> List[Optional[Values]]:
    made: List[Optional[Values]] = []
    for event in events:
        subject.at([event])
        inputs = [column.values(np.array([event]))[0] for column in subject.columns]
        try:
            made.append(fitted(loaded.declared.outputs, loaded.call(Frame({**FRAME, "heartbeat": event}), *inputs)))
        except BaseException as error:
            failures.add(event, error)
            made.append(None)
    return made


def _pass_reduction(subject: _Subject, lanes: int, backward: bool, failures: Failures) -> _Run:
    states = []
    began = time.perf_counter()
    for lane in lanes_of(subject.events, lanes):
        loaded = subject.make(failures)
        job = Job(loaded, subject.columns, len(lane), np.array(lane, int), subject.number, subject.singly)
        states.append(travelled(absorb(job, loaded.start())))
        failures.join(job.failures)
    seconds = time.perf_counter() - began
    # The last worker's instance merges and finishes, where in ami another one does: both have the same parameters.
    state = merged(loaded, states[::-1] if backward else states)
    return _Run([fitted(subject.declared.outputs, loaded.node.finish(state))], failures, seconds)


def _differences(subject: _Subject, one: _Run, other: _Run) -> List[Report]:
    """The first difference of each output."""
    found: List[Report] = []
    outputs = subject.declared.outputs
    absent = (None,) * len(outputs)
    for i, output in enumerate(outputs):
        for at, (a, b) in enumerate(zip(one.values, other.values)):
            difference = _difference(output, (a or absent)[i], (b or absent)[i])
            if difference is not None:
                where = {"event": subject.events[at]} if subject.declared.kind == "per_event" else {}
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
