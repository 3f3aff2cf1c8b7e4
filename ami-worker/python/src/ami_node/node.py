"""What people write: `per_event`, `PerEvent`, `Reduction`, `Root`.

Inputs are the positional arguments, parameters the keyword-only ones with a default. A scalar comes
as a numpy scalar of its own type (an `f8` is a Python float, too), an array as a read-only view, a
text as `str`. What is kept beyond the call must be copied: the memory is used again.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

import numpy as np

from .declared import Output, parse_outputs
from .errors import NodeError
from .signature import Param, inputs_of, params_of

#: A state: a dict (nesting allowed) of numbers, texts and numpy arrays of plain types.
State = Dict[str, Any]
HOOKS = ("begin_run", "end_run", "begin_step", "end_step")
_N = TypeVar("_N", bound="Node")


class Declaration:
    """What a node says of itself; made and checked once for each class or function."""

    def __init__(self, name: str, kind: str, doc: str, outputs: Any) -> None:
        self.name = name
        self.kind = kind
        self.doc = doc
        self.outputs: Tuple[Output, ...] = parse_outputs(outputs, name)
        self.inputs: Tuple[str, ...] = ()
        self.varargs = False
        self.params: Tuple[Param, ...] = ()
        self.batch = False
        self.split_dependent = False
        self.every: Optional[float] = None
        self.custom_merge = False
        self.hooks: List[str] = []


class Node:
    """What all classes of nodes have in common; people derive from `PerEvent`, `Reduction` or `Root`."""

    #: Names and types of the outputs: `{"total": "f8", "image": "f4[:, :]"}`.
    outputs: ClassVar[Mapping[str, str]] = {}
    #: Whether the result depends on which worker saw which event.
    split_dependent: ClassVar[bool] = False

    _kind: ClassVar[str] = ""
    _calls: ClassVar[Tuple[str, str]] = ("", "")
    _skip: ClassVar[int] = 1  # arguments of the call before the inputs
    _params: Dict[str, Any]

    def __new__(cls: Type[_N], *args: Any, **params: Any) -> _N:
        node = object.__new__(cls)
        node._params = params  # so that a trial can make a second one like it
        return node

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        # Mistakes show when the file is imported; what a class lacks may come in one derived from it.
        if cls.outputs and any(cls._has(call) for call in cls._calls):
            cls.declaration()

    @classmethod
    def _has(cls, method: str) -> bool:
        return bool(method) and any(method in base.__dict__ for base in cls.__mro__ if base not in _OURS)

    @classmethod
    def declaration(cls) -> Declaration:
        """What the class declares; NodeError if it is not a complete node."""
        if "_declaration" not in cls.__dict__:
            cls._declaration = cls._declare()  # type: ignore[attr-defined]
        return cls.__dict__["_declaration"]  # type: ignore[no-any-return]

    @classmethod
    def _declare(cls) -> Declaration:
        one, many = cls._calls
        has = [call for call in cls._calls if cls._has(call)]
        if len(has) != 1:
            ways = f"def {one}(…)" + (f" or def {many}(…)" if many else "")
            raise NodeError(f"{cls.__name__} has {'both' if has else 'no'} {one}{f' and {many}' if has else ''}", f"write {ways}")
        init = cls.__init__ if cls._has("__init__") else None
        init_doc = inspect.getdoc(init) if init else None
        doc = "\n\n".join(filter(None, [inspect.cleandoc(cls.__doc__ or ""), init_doc]))
        made = Declaration(cls.__name__, cls._kind, doc, cls.outputs)
        call = getattr(cls, has[0])
        made.inputs, made.varargs = inputs_of(call, f"{cls.__name__}.{has[0]}", cls._skip)
        if params_of(call, cls.__name__, ""):
            raise NodeError(f"{cls.__name__}.{has[0]} takes keyword-only arguments", "parameters belong to __init__")
        made.params = params_of(init, cls.__name__, doc, only_params=True)
        made.batch = has[0] == many
        made.split_dependent = bool(cls.split_dependent)
        made.hooks = [hook for hook in HOOKS if callable(getattr(cls, hook, None))]
        return made


class PerEvent(Node):
    """A node that makes outputs of each event.

    Write `event(self, *inputs)`, called once for each event, or `batch(self, *inputs)`, called with
    all events of a chunk at once. `event` returns a tuple in the order of `outputs`, or the value of
    the only one; None is absent. `batch` gets each input stacked on a new first axis where all shapes
    agree (a view where possible), else as a list, and returns outputs with the events on the first
    axis, or lists with None where an event has no value. A chunk may come as several batches.

    Optional: `begin_run(run)`, `end_run(run)`, `begin_step(step, held)`, `end_step(step)`. A class
    that keeps something from event to event keeps it for each worker: it sets `split_dependent`.
    """

    _kind = "per_event"
    _calls = ("event", "batch")

    def try_on(self, *arrays: Sequence[Any]) -> Dict[str, Any]:
        """Runs it on arrays with the events on their first axis, in a new instance.

        Args:
            arrays: one for each input; a list may have None where an event lacks it.

        Returns:
            For each output an array with the events on the first axis, or a list if some are absent
            or differ in shape.

        Raises:
            TypeError: what was returned does not fit the declared types.
        """
        from .trial import try_per_event

        return try_per_event(self, arrays)


class Reduction(Node):
    """A node that accumulates events in a state, on each worker, and makes outputs of all of them.

    Write `start(self)`, `absorb(self, state, *inputs)` (or `absorb_batch`, as `PerEvent.batch`) and
    `finish(self, state)`. A state is a dict of numbers, texts and arrays; `absorb` changes it in
    place, or returns the new one. `merge` must not depend on order or grouping: the same events give
    the same result however many workers there are.
    """

    _kind = "reduction"
    _calls = ("absorb", "absorb_batch")
    _skip = 2

    def start(self) -> State:
        """The state before the first event."""
        raise NotImplementedError

    def merge(self, state: State, other: State) -> Optional[State]:
        """Two states of different events made one: `state` changed in place, or a new one returned.

        By default every array and number is added; texts must be equal.
        """
        from .state import add

        return add(state, other)  # type: ignore[no-any-return]

    def finish(self, state: State) -> Any:
        """Outputs of a state, as `PerEvent.event` returns them."""
        raise NotImplementedError

    @classmethod
    def _declare(cls) -> Declaration:
        for method in ("start", "finish"):
            if not cls._has(method):
                raise NodeError(f"{cls.__name__} has no {method}", f"write def {method}(self{', state' * (method == 'finish')})")
        made = super()._declare()
        made.custom_merge = cls._has("merge")
        return made

    def try_on(self, *arrays: Sequence[Any], lanes: int = 2) -> Dict[str, Any]:
        """Runs the whole life on arrays with the events on their first axis: start, absorb, merge, finish.

        Args:
            arrays: one for each input; a list may have None where an event lacks it.
            lanes: how many workers to imitate; their states are merged.

        Returns:
            For each output its value; None if absent.

        Raises:
            TypeError: a state or an output is not of a type it may have.
        """
        from .trial import try_reduction

        return try_reduction(self, arrays, lanes)


class Root(Node):
    """A node that works on what is published, beside the root's loop.

    Write `update(self, frame, *inputs)`. `frame` is a dict with attributes: run, step, heartbeat, version, complete,
    events, expected and more; an input is None where it has no value. It may be slow, write files and
    call services; it returns outputs as `PerEvent.event` does, or None.
    """

    #: Seconds from one update to the next; None: each heartbeat.
    every: ClassVar[Optional[float]] = None

    _kind = "root"
    _calls = ("update", "")
    _skip = 2

    @classmethod
    def _declare(cls) -> Declaration:
        made = super()._declare()
        every = cls.every
        if every is not None and (isinstance(every, bool) or not isinstance(every, (int, float)) or not every > 0):
            raise NodeError(f"{cls.__name__}: every is {every!r}", "write seconds above 0, or None for each heartbeat")
        made.every = None if every is None else float(every)
        return made

    def try_on(self, *inputs: Any, frame: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """Runs one update; `frame` replaces entries of an example.

        Returns:
            For each output its value; None if absent.
        """
        from .trial import try_root

        return try_root(self, inputs, frame)


_OURS = (Node, PerEvent, Reduction, Root, object)


class FunctionNode:
    """A function under `@per_event`; it can still be called as it was written."""

    def __init__(self, function: Callable[..., Any], outputs: Any, batch: bool, split_dependent: bool) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        name = getattr(function, "__name__", type(function).__name__)
        made = Declaration(name, "per_event", inspect.getdoc(function) or "", outputs)
        made.inputs, made.varargs = inputs_of(function, name)
        made.params = params_of(function, name, made.doc)
        made.batch, made.split_dependent = batch, split_dependent
        self._declaration = made

    def declaration(self) -> Declaration:
        """What the function declares."""
        return self._declaration

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        return self.function(*inputs, **params)

    def __repr__(self) -> str:
        return f"<per_event {self._declaration.name}>"

    def try_on(self, *arrays: Sequence[Any], **params: Any) -> Dict[str, Any]:
        """As `PerEvent.try_on`, with parameters by name."""
        from .trial import try_per_event

        return try_per_event(self, arrays, params)


def per_event(
    outputs: Mapping[str, str], *, batch: bool = False, split_dependent: bool = False
) -> Callable[[Callable[..., Any]], FunctionNode]:
    """Makes a function a node that runs once for each event.

    Args:
        outputs: names and types, `{"spectrum": "f8[:]", "total": "f8"}`, in the order of what it returns.
        batch: it takes all events of a chunk at once, as `PerEvent.batch` does.
        split_dependent: its result depends on which worker saw which event.

    Raises:
        NodeError: the declaration is wrong.
    """
    if callable(outputs):
        raise NodeError("@per_event without outputs", 'write @per_event(outputs={"total": "f8"})')

    def decorate(function: Callable[..., Any]) -> FunctionNode:
        if isinstance(function, type):
            raise NodeError(f"@per_event on the class {function.__name__}", "derive it from PerEvent instead")
        return FunctionNode(function, outputs, batch, split_dependent)

    return decorate


AnyNode = Union[FunctionNode, Type[Node]]


def is_node(thing: Any) -> bool:
    """Whether it is a decorated function, or a class derived from PerEvent, Reduction or Root."""
    return isinstance(thing, FunctionNode) or (isinstance(thing, type) and issubclass(thing, Node) and thing not in _OURS)


def bound(function: Callable[..., Any], params: Mapping[str, Any]) -> Callable[..., Any]:
    """A function with parameters set, that costs no more to call than the function."""
    if not params:
        return function
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return functools.partial(function, **params)
    # A copy with other defaults: nothing is passed in each call.
    copy = type(function)(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **params}
    copy.__module__ = function.__module__
    return copy


def example_array(value: Any) -> np.ndarray:
    """The value as an array nobody can write to, as a node sees its inputs."""
    view = np.asarray(value).view()
    view.flags.writeable = False
    return view
