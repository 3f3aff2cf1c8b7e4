"""Declared types of outputs: reading them, and whether a value fits one.

Scalars are judged by value, arrays by type. 3 fits `u1` however it was computed, 300 does not; an
array of `f8` does not fit `f4[:]`, because precision would be lost without a word.
"""

from __future__ import annotations

import operator
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from .errors import NodeError

#: Types of data in ami, as numpy writes them without a byte order.
DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
MAX_RANK = 5
_EXAMPLES = 'write it as "f8", "u2[1024, 1024]", "f4[:, :]" or "str"'
_TYPE = re.compile(r"^\s*([^\[\]\s]+)\s*(?:\[([^\[\]]*)\])?\s*$")


class Output(NamedTuple):
    """One declared output.

    Attributes:
        name: of the output.
        dtype: one of `DTYPES`, or "str".
        shape: None for a scalar, else a length or None (any) for each axis.
    """

    name: str
    dtype: str
    shape: Optional[Tuple[Optional[int], ...]] = None

    def __str__(self) -> str:
        if self.shape is None:
            return self.dtype
        return f"{self.dtype}[{', '.join(':' if n is None else str(n) for n in self.shape)}]"

    def describe(self) -> Dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "shape": None if self.shape is None else list(self.shape)}

    def misfit(self, got: str, hint: str = "") -> TypeError:
        return TypeError(f"output {self.name}: declared {self}, got {got}" + (f"; {hint}" if hint else ""))

    def fit(self, value: Any) -> Any:
        """The value as a Python scalar, a text or an array of the declared type; TypeError if it does not fit."""
        if self.dtype == "str":
            if isinstance(value, str):
                return str(value)
            raise self.misfit(type_of(value), "return str(value)")
        return self._scalar(value) if self.shape is None else self._array(value)

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.ndim:
                raise self.misfit(type_of(value), "declare its shape too, or return one number")
            value = value[()]
        if isinstance(value, np.bool_):
            value = bool(value)
        kind = np.dtype(self.dtype).kind
        if kind == "b":
            if isinstance(value, bool):
                return value
        elif kind == "f":
            if not isinstance(value, (str, bytes, complex)) and hasattr(type(value), "__float__"):
                return float(value)
        elif hasattr(type(value), "__index__"):
            return self._in_range(operator.index(value))
        raise self.misfit(type_of(value), _scalar_hint(kind, value))

    def _in_range(self, value: int) -> int:
        limits = np.iinfo(self.dtype)
        if limits.min <= value <= limits.max:
            return value
        raise self.misfit(f"{value}", f"it holds {limits.min} to {limits.max}")

    def _array(self, value: Any) -> np.ndarray:
        array = np.asarray(value)
        self._check_dtype(array)
        assert self.shape is not None
        if array.ndim != len(self.shape) or any(n is not None and n != m for n, m in zip(self.shape, array.shape)):
            raise self.misfit(type_of(array))
        return array

    def _check_dtype(self, array: np.ndarray) -> None:
        if not np.can_cast(array.dtype, self.dtype, "safe"):
            plain = dtype_name(array.dtype)
            other = f" or declare {plain}" if plain else ""
            raise self.misfit(type_of(array), f'return value.astype("{self.dtype}"){other}')

    def fit_all(self, value: Any, count: int) -> Any:
        """What `batch` returned for `count` events: an array with the events on its first axis, or a list.

        A list has one value for each event, None where it is absent; its values are fitted one by one later.
        """
        if self.dtype == "str" or (isinstance(value, (list, tuple)) and _mixed(value)):
            if isinstance(value, (list, tuple, np.ndarray)) and len(value) == count:
                return list(value)
            raise self.misfit(type_of(value), f"return a list with one value for each of the {count} events")
        array = np.asarray(value)
        wanted: Tuple[Optional[int], ...] = (count, *(self.shape or ()))
        if array.ndim != len(wanted) or any(n is not None and n != m for n, m in zip(wanted, array.shape)):
            raise self.misfit(type_of(array), f"the first axis is that of the {count} events")
        if self.shape is not None:
            self._check_dtype(array)
            return array
        return self._scalars(array)

    def _scalars(self, array: np.ndarray) -> np.ndarray:
        """As `_scalar`, for many."""
        have, want = array.dtype, np.dtype(self.dtype)
        if np.can_cast(have, want, "safe") or (have.kind == "f" and want.kind == "f"):
            return array
        if have.kind not in "iub" or want.kind not in "iuf":
            raise self.misfit(type_of(array), _scalar_hint(want.kind, array.dtype.type(0)))
        if array.size and want.kind != "f":
            self._in_range(int(array.min()))
            self._in_range(int(array.max()))
        return array


def _mixed(values: Any) -> bool:
    """Whether a list must be looked at one by one: absent ones, or arrays that may differ in shape."""
    return any(v is None or isinstance(v, (np.ndarray, list, str)) for v in values)


def _scalar_hint(kind: str, value: Any) -> str:
    if isinstance(value, (float, np.floating)) and kind in "iu":
        return "return int(value), or declare f8"
    return "return bool(value)" if kind == "b" else ""


def dtype_name(dtype: np.dtype) -> Optional[str]:
    """As in `DTYPES`; None if ami has no such type."""
    name = "?" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"
    return name if name in DTYPES else None


def type_of(value: Any) -> str:
    """A value's type for a message: `f8[512]`, `str`, `list`."""
    if isinstance(value, (np.ndarray, np.generic)):
        name = dtype_name(value.dtype) or str(value.dtype)
        return f"{name}{list(value.shape)}" if value.ndim else name
    return type(value).__name__


def parse_outputs(outputs: Any, where: str) -> Tuple[Output, ...]:
    """Declared outputs; `where` names the node in an error."""
    if not isinstance(outputs, Mapping) or not outputs:
        raise NodeError(f"{where}: outputs are a dict of names and types, got {outputs!r}", 'write outputs={"total": "f8"}')
    return tuple(_parse(name, text, where) for name, text in outputs.items())


def _parse(name: Any, text: Any, where: str) -> Output:
    if not isinstance(name, str) or not name.isidentifier():
        raise NodeError(f"{where}: {name!r} is no name of an output", "use letters, digits and underscores")
    what = f"{where}: the type of output {name} is {text!r}"
    match = _TYPE.match(text) if isinstance(text, str) else None
    if match is None:
        raise NodeError(what, _EXAMPLES)
    base, axes = match.groups()
    if base == "str":
        if axes is not None:
            raise NodeError(f"{what}, but there are no arrays of texts", _EXAMPLES)
        return Output(name, "str")
    try:
        dtype = dtype_name(np.dtype(base))
    except TypeError:
        dtype = None
    if dtype is None:
        raise NodeError(f"{what}, which is none of {', '.join(DTYPES)}, str", _EXAMPLES)
    return Output(name, dtype, None if axes is None else _axes(axes, what))


def _axes(text: str, what: str) -> Tuple[Optional[int], ...]:
    axes: List[Optional[int]] = []
    for axis in (part.strip() for part in text.split(",")):
        if axis != ":" and not axis.isdecimal():
            raise NodeError(f"{what}, where {axis!r} is no length", _EXAMPLES)
        axes.append(None if axis == ":" else int(axis))
    if len(axes) > MAX_RANK:
        raise NodeError(f"{what} with {len(axes)} axes", f"at most {MAX_RANK} are possible")
    return tuple(axes)


def split(outputs: Tuple[Output, ...], value: Any) -> Tuple[Any, ...]:
    """What user code returned, one value for each output; None: absent."""
    count = len(outputs)
    if value is None:
        return (None,) * count
    if isinstance(value, tuple) and len(value) == count:
        return value
    if count == 1 and not isinstance(value, tuple):
        return (value,)
    names = ", ".join(o.name for o in outputs)
    got = f"{len(value)} values" if isinstance(value, tuple) else f"one value ({type_of(value)})"
    raise TypeError(
        f"returned {got} for {count} output{'s' * (count > 1)} ({names}); return a tuple in this order, None where one is absent"
    )
