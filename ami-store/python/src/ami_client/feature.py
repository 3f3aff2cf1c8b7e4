"""One published value."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union

import numpy as np

from .errors import AmiError

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ABSENT_IS_NONE = {"error", "topics", "expected", "window_expected", "run", "step", "segment", "timestamp_ns"}


class Feature:
    """A node's outputs at one heartbeat, with what they are made of.

    Every field of the header is an attribute; these are always there on a feature. Arrays and values
    are `feature["mean"]`; `name in feature` tells whether there is one.

    Attributes:
        header: the message's header as it came.
        arrays: outputs that are arrays, by name; read-only views of the message.
        values: outputs that are scalars, by name.
    """

    header: Mapping[str, Any]
    arrays: Dict[str, np.ndarray]
    values: Dict[str, Any]

    topic: str  #: graph/node
    seq: int  #: number within the topic; starts anew with a restarted root
    graph: str  #: name of the graph
    version: int  #: version of the graph that made it
    op: str  #: operation of the node
    run: Optional[int]  #: run number
    step: Optional[int]  #: step within the run; None before the first
    segment: Optional[int]  #: counts what begins a window: runs, steps, resets
    heartbeat: int  #: which one: pulse id or time, in units of the heartbeat's length
    timestamp_ns: Optional[int]  #: of the heartbeat, nanoseconds since 1970 if the source has such time
    window: Any  #: "run", "heartbeat", "step", "reset", {"steps": n}, {"heartbeats": n}, {"seconds": T} or {"events": N}
    events: int  #: events of this heartbeat that were processed
    expected: Optional[int]  #: events there were; None while a host's share is unknown
    dropped: Dict[str, int]  #: events lost in this heartbeat, by reason
    units: List[int]  #: parts of the heartbeat that were merged, that were expected
    hosts: List[int]  #: hosts that contributed, that were expected
    complete: bool  #: whether nothing is missing in this heartbeat
    window_events: int  #: events in the whole published value
    window_expected: Optional[int]  #: events there were in the whole window
    window_dropped: Dict[str, int]  #: events lost in the whole window, by reason
    window_complete: bool  #: whether nothing is missing in the value
    error: Optional[str]  #: why the node has no value, if so
    topics: Optional[Dict[str, int]]  #: of `graph/@heartbeat` only: seq of each feature of this frame

    def __init__(self, header: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """From a parsed header and one bytes-like object per entry of its `arrays`."""
        self.header = MappingProxyType(dict(header))
        described = header.get("arrays") or []
        if len(described) != len(buffers):
            raise AmiError(f"{header.get('topic')!r} has {len(buffers)} buffers for {len(described)} arrays")
        self.arrays = {d["name"]: _array(d, b) for d, b in zip(described, buffers)}
        self.values = {k: _scalar(v) for k, v in (header.get("values") or {}).items()}

    @property
    def value(self) -> Any:
        """The output named `value`, or the only one: a number, or an array of the node's shape."""
        if "value" in self:
            return self["value"]
        names = list(self)
        if len(names) == 1:
            return self[names[0]]
        raise AmiError(f"{self.header.get('topic')} has no output `value`; its outputs are {names}", "name one: feature[name]")

    def __getitem__(self, name: str) -> Any:
        if name in self.arrays:
            return self.arrays[name]
        if name in self.values:
            return self.values[name]
        raise KeyError(f"{name!r}; the outputs of {self.header.get('topic')} are {list(self)}")

    def __contains__(self, name: object) -> bool:
        return name in self.arrays or name in self.values

    def __iter__(self) -> Iterator[str]:
        """Names of the outputs, arrays first."""
        yield from self.arrays
        yield from self.values

    def __getattr__(self, name: str) -> Any:
        # Only what is not found otherwise comes here: fields of the header.
        header = self.__dict__.get("header", {})
        if name in header:
            return header[name]
        if name in _ABSENT_IS_NONE:
            return None
        raise AttributeError(f"a feature has no {name!r}; its header has {sorted(header)}")

    def __reduce__(self) -> Any:
        buffers = [self.arrays[d["name"]].tobytes() for d in self.header.get("arrays") or []]
        return (Feature, (dict(self.header), buffers))

    def __repr__(self) -> str:
        shapes = {k: f"{a.dtype}{list(a.shape)}" for k, a in self.arrays.items()}
        head = self.header
        return (
            f"<Feature {head.get('topic')} seq={head.get('seq')} heartbeat={head.get('heartbeat')} "
            f"complete={head.get('complete')} arrays={shapes} values={self.values}>"
        )


def _scalar(value: Any) -> Any:
    return _SPECIAL.get(value, value) if isinstance(value, str) else value


def _array(described: Mapping[str, Any], buffer: Any) -> np.ndarray:
    """A read-only view of a frame, or of bytes."""
    dtype, shape = np.dtype(described["dtype"]), tuple(described["shape"])
    view: Union[memoryview, bytes] = getattr(buffer, "buffer", buffer)
    count = math.prod(shape)
    if len(view) != count * dtype.itemsize:
        raise AmiError(
            f"array {described['name']!r} has {len(view)} bytes where {dtype}{list(shape)} "
            f"needs {count * dtype.itemsize}"
        )
    array = np.frombuffer(view, dtype=dtype) if count else np.empty(0, dtype=dtype)
    array = array.reshape(shape)
    array.flags.writeable = False
    return array
