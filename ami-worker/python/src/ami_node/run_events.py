"""User code on the events of a call: of a per-event node, and absorbing into a state."""

from __future__ import annotations

import itertools
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .arena import IN_BATCH
from .columns import COPY_AT_ONCE, Column
from .failures import Failures
from .loaded import Loaded
from .outputs import Results
from .state import copy_state, settle

State = Dict[str, Any]


class Job:
    """A call's events.

    Attributes:
        chosen: events that user code is given; None: all.
        number: two cells, where the number of each event is written before user code sees it, and
            how often it was written where it may be the one before (`IN_BATCH`): so a death or an endless
            loop names its event.
    """

    def __init__(
        self,
        loaded: Loaded,
        columns: List[Column],
        count: int,
        chosen: Optional[np.ndarray],
        number: Any,
        one_by_one: bool = False,
    ) -> None:
        self.loaded = loaded
        self.columns = columns
        self.count = count
        self.chosen = chosen
        self.number = number
        self.one_by_one = one_by_one
        self.failures = Failures(loaded.module)

    def events(self) -> Sequence[int]:
        return range(self.count) if self.chosen is None else self.chosen.tolist()

    def rows(self) -> Iterator[Tuple[int, Tuple[Any, ...]]]:
        """Each event's number and inputs."""
        values = [column.values(self.chosen) for column in self.columns]
        inputs: Iterable[Tuple[Any, ...]] = zip(*values) if values else itertools.repeat(())
        return zip(self.events(), inputs)

    def batches(self) -> Iterator[Tuple[Sequence[int], Tuple[Any, ...]]]:
        """Events and their inputs at once; in parts where much would have to be copied."""
        events = self.events()
        copied = max([column.copied(self.chosen) for column in self.columns], default=0)
        if not copied and not self.one_by_one:
            yield events, tuple([column.batch(self.chosen) for column in self.columns])
            return
        size = 1 if self.one_by_one else max(1, COPY_AT_ONCE // copied)
        for at in range(0, len(events), size):
            part = events[at : at + size]
            yield part, tuple([column.batch(np.array(part)) for column in self.columns])

    def inputs_of(self, event: int) -> Tuple[Any, ...]:
        """A batch of one event."""
        return tuple(column.batch(np.array([event])) for column in self.columns)

    def at(self, event: int) -> None:
        """Says which event comes; `IN_BATCH`: more than one at once."""
        self.number[0] = event
        self.number[1] += 1


def run_events(job: Job, results: Results) -> None:
    """Calls a per-event node; results that do not fit and exceptions are failures of their event."""
    if job.chosen is not None and not len(job.chosen):
        return
    if job.loaded.declared.batch:
        _run_batches(job, results)
    elif len(results.outs) == len(results.scalars) == 1:
        run = _run_one_float if results.scalars[0].takes_floats else _run_one_scalar
        run(job, results)
    elif len(results.outs) == len(results.scalars) == 2:
        _run_two_scalars(job, results)
    else:
        _run_any(job, results)


def _run_one_float(job: Job, results: Results) -> None:
    """The most frequent kind, with as little as possible between the calls: values are written all at once."""
    call, number, rows = job.loaded.call, job.number, job.rows()
    values: List[Any] = []
    add, failed = values.append, []  # of failed events the number alone: an exception holds what its frames held
    while True:
        try:
            for number[0], inputs in rows:
                add(call(*inputs))
            break
        except BaseException as error:
            add(0.0)
            job.failures.add(int(number[0]), error)
            failed.append(int(number[0]))
    try:
        if not {value.__class__ for value in values} <= results.scalars[0].plain:
            raise TypeError
        results.scalars[0].put_all(job.events(), np.array(values, np.float64))
    except (TypeError, OverflowError):  # which value it is, and why, is said one by one
        for event, value in zip(job.events(), values):
            _put(job, results, event, value)
    for event in failed:
        results.drop(event)


def _run_one_scalar(job: Job, results: Results) -> None:
    """As with one float, but ranges are checked value by value."""
    call, number = job.loaded.call, job.number
    cells, plain = results.scalars[0].cells, results.scalars[0].plain
    for event, inputs in job.rows():
        number[0] = event
        try:
            value = call(*inputs)
        except BaseException as error:
            _fail(job, results, event, error)
            continue
        if value.__class__ in plain:
            try:
                cells[event] = value
                continue
            except (ValueError, TypeError, OverflowError):
                pass  # out of range: said better below
        _put(job, results, event, value)


def _run_two_scalars(job: Job, results: Results) -> None:
    """As with one; a loop over the outputs of each event would take longer than most user code."""
    call, number = job.loaded.call, job.number
    (cells, plain), (cells2, plain2) = [(out.cells, out.plain) for out in results.scalars]
    for event, inputs in job.rows():
        number[0] = event
        try:
            value = call(*inputs)
        except BaseException as error:
            _fail(job, results, event, error)
            continue
        if value.__class__ is tuple and len(value) == 2:
            one, two = value
            if one.__class__ in plain and two.__class__ in plain2:
                try:
                    cells[event] = one
                    cells2[event] = two
                    continue
                except (ValueError, TypeError, OverflowError):
                    pass
        _put(job, results, event, value)


def _run_any(job: Job, results: Results) -> None:
    call, number = job.loaded.call, job.number
    for event, inputs in job.rows():
        number[0] = event
        try:
            results.put(event, call(*inputs))
        except BaseException as error:
            _fail(job, results, event, error)


def _put(job: Job, results: Results, event: int, value: Any) -> None:
    try:
        results.put(event, value)
    except BaseException as error:
        _fail(job, results, event, error)


def _fail(job: Job, results: Results, event: int, error: BaseException) -> None:
    results.drop(event)
    job.failures.add(event, error)


def _run_batches(job: Job, results: Results) -> None:
    call = job.loaded.call
    for events, inputs in job.batches():
        job.at(events[0] if len(events) == 1 else IN_BATCH)
        try:
            value = call(*inputs)
        except BaseException as error:
            if len(events) == 1:
                _fail(job, results, events[0], error)
            else:
                _run_singly(job, results, events)
            continue
        try:
            results.put_all(events, value)
        except BaseException as error:
            for event in events:  # what does not fit in one does not fit in any
                _fail(job, results, event, error)


def _run_singly(job: Job, results: Results, events: Sequence[int]) -> None:
    """A batch that raised, again as batches of one event: so the one that fails is known."""
    for event in events:
        job.at(event)
        try:
            results.put_all([event], job.loaded.call(*job.inputs_of(event)))
        except BaseException as error:
            _fail(job, results, event, error)


def absorb(job: Job, state: State) -> State:
    """Absorbs a call's events; an event that raises leaves nothing in the state.

    What raises may have changed half of the state. Copies before each event would cost more than
    most user code, so they are made only once there is a failure: then the call begins again.
    """
    if job.chosen is not None and not len(job.chosen):
        return state
    absorb_quickly = _absorb_batches if job.loaded.declared.batch else _absorb_events
    if not job.loaded.fails:
        saved = copy_state(state)
        try:
            return absorb_quickly(job, state)
        except BaseException:
            state = saved
    state = _absorb_carefully(job, state)
    # Where one event failed others will: the next call is careful from its beginning.
    job.loaded.fails = job.failures.count > 0
    return state


def _absorb_events(job: Job, state: State) -> State:
    call, number = job.loaded.call, job.number
    for event, inputs in job.rows():
        number[0] = event
        returned = call(state, *inputs)
        if returned is not None:
            state = settle(state, returned, "absorb")
    return state


def _absorb_batches(job: Job, state: State) -> State:
    for events, inputs in job.batches():
        job.at(events[0] if len(events) == 1 else IN_BATCH)
        state = settle(state, job.loaded.call(state, *inputs), "absorb_batch")
    return state


def _absorb_carefully(job: Job, state: State) -> State:
    batch = job.loaded.declared.batch
    rows = ((event, job.inputs_of(event)) for event in job.events()) if batch else job.rows()
    for event, inputs in rows:
        job.at(event)
        before = copy_state(state)
        try:
            state = settle(state, job.loaded.call(state, *inputs), "absorb")
        except BaseException as error:
            job.failures.add(event, error)
            state = before
    return state
