"""States of reductions: plain data that can be copied, added and written as bytes.

A state is a dict, nested or not, of numbers, texts and numpy arrays of plain types. Nothing else: it
travels between machines and versions, so no objects and no code.

As bytes: u32 length of a JSON text, the text, padding to 16, then the arrays, each padded to 16. In
the text `{"$": [offset behind the padding, dtype, shape]}` stands for an array; shape null means a
Python number, shape [] a numpy scalar.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy as np

from .declared import dtype_name, type_of

_LENGTH = struct.Struct("<I")
_LEAF = "$"
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _pad(size: int) -> int:
    return -size % 16


class Encoded(NamedTuple):
    """A state ready to be written: how many bytes, and the parts that make them."""

    size: int
    head: bytes
    arrays: List[Tuple[int, np.ndarray]]

    def write(self, buffer: Any, at: int) -> None:
        """Writes it into a writable buffer."""
        buffer[at : at + len(self.head)] = self.head
        base = at + len(self.head)
        for offset, array in self.arrays:
            target = np.ndarray(array.shape, array.dtype, buffer, base + offset)
            target[...] = array


def encode(state: Any) -> Encoded:
    """Checks a state and prepares it for writing; TypeError names what is no plain data."""
    if not isinstance(state, dict):
        raise TypeError(f"a state is a dict, got {type_of(state)}")
    arrays: List[Tuple[int, np.ndarray]] = []
    size = 0

    def leaf(array: np.ndarray, shape: Any) -> Dict[str, Any]:
        nonlocal size
        arrays.append((size, array))
        entry = {_LEAF: [size, dtype_name(array.dtype), shape]}
        size += array.nbytes + _pad(array.nbytes)
        return entry

    text = _dumps(_plain(state, "state", leaf)).encode()
    head = _LENGTH.pack(len(text)) + text
    head += b"\0" * _pad(len(head))
    return Encoded(len(head) + size, head, arrays)


def _plain(value: Any, path: str, leaf: Callable[[np.ndarray, Any], Dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _LEAF:
                raise TypeError(f"{path}: the key {key!r}; keys are texts other than {_LEAF!r}")
        return {key: _plain(v, f'{path}["{key}"]', leaf) for key, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, np.str_):
        return leaf(_native(value, path), list(value.shape))
    if isinstance(value, bool):
        return leaf(np.array(value), None)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise TypeError(f"{path}: {value} has more than 64 bits; use a float")
        return leaf(np.array(value, "i8" if value < 2**63 else "u8"), None)
    if isinstance(value, float):
        return leaf(np.array(value), None)
    if isinstance(value, str):
        return str(value)
    hint = "; use a numpy array" if isinstance(value, (list, tuple)) else "; leave the key out" if value is None else ""
    raise TypeError(f"{path}: {type_of(value)}{hint}")


def _native(value: Any, path: str) -> np.ndarray:
    array = np.asarray(value)
    if isinstance(value, np.ma.MaskedArray) or dtype_name(array.dtype) is None:
        kind = "masked array" if isinstance(value, np.ma.MaskedArray) else str(array.dtype)
        raise TypeError(f"{path}: {kind}; a state has arrays of ?, i1 to i8, u1 to u8, f4 and f8")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def encode_bytes(state: Any) -> bytes:
    """A state as bytes."""
    made = encode(state)
    buffer = bytearray(made.size)
    made.write(buffer, 0)
    return bytes(buffer)


def decode(buffer: Any, at: int, size: int, copy: bool) -> Dict[str, Any]:
    """The state in a buffer. Without `copy` its arrays are views of the buffer.

    Raises:
        ValueError: these bytes are no state.
    """
    if size < _LENGTH.size or at < 0 or at + size > len(buffer):
        raise ValueError("a state is cut off")
    (length,) = _LENGTH.unpack_from(buffer, at)
    base = at + _LENGTH.size + length + _pad(_LENGTH.size + length)
    if base > at + size:
        raise ValueError("a state is cut off")
    # Objects come innermost first, so that each leaf is decoded where the parser finds it.
    text = bytes(buffer[at + _LENGTH.size : at + _LENGTH.size + length]).decode()

    def leaf(entry: Dict[str, Any]) -> Any:
        if _LEAF not in entry:
            return entry
        offset, dtype, shape = entry[_LEAF]
        if shape is None:
            return np.ndarray((), dtype, buffer, base + offset).item()
        array = np.ndarray(tuple(shape), dtype, buffer, base + offset)
        if not shape:
            return array[()]
        return array.copy() if copy else array

    state = json.loads(text, object_hook=leaf)
    if not isinstance(state, dict):
        raise ValueError("a state is a dict")
    return state


def copy_state(value: Any) -> Any:
    """A copy that shares no memory with the state, nor with the inputs it may have views of."""
    if isinstance(value, dict):
        return {key: copy_state(v) for key, v in value.items()}
    return np.array(value) if isinstance(value, np.ndarray) else value


def own(state: Dict[str, Any]) -> None:
    """Copies what the state has as views of memory that is not numpy's, such as inputs: that is used again."""
    for key, value in state.items():
        if isinstance(value, dict):
            own(value)
        elif isinstance(value, np.ndarray):
            base: Any = value
            while isinstance(base, np.ndarray):
                base = base.base
            if base is not None:
                state[key] = np.array(value)


def add(state: Any, other: Any, path: str = "state") -> Any:
    """The default merge: a new state with every array and number added; truth values: or.

    Raises:
        TypeError: the states differ in keys, types or shapes, or in a text.
    """
    if isinstance(state, dict) and isinstance(other, dict):
        if state.keys() != other.keys():
            only = sorted(map(str, state.keys() ^ other.keys()))
            raise TypeError(f"{path}: {', '.join(only)} in one state only; let start() make every key, or write merge")
        return {key: add(v, other[key], f'{path}["{key}"]') for key, v in state.items()}
    if isinstance(state, str) and isinstance(other, str):
        if state != other:
            raise TypeError(f"{path}: texts {state!r} and {other!r} differ; write merge")
        return state
    if not _alike(state, other):
        raise TypeError(f"{path}: {type_of(state)} and {type_of(other)}; let start() make what absorb leaves, or write merge")
    if isinstance(state, (bool, np.bool_)) and isinstance(other, (bool, np.bool_)):
        return state or other
    return state + other


def _alike(one: Any, other: Any) -> bool:
    """Arrays of one type and shape, or two numbers: a Python number may have become a numpy scalar."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
        return both and one.dtype == other.dtype and one.shape == other.shape
    return all(isinstance(v, (bool, int, float, np.number, np.bool_)) for v in (one, other))


def settle(state: Any, returned: Any, method: str) -> Any:
    """The state after a call: what it returned, or the one it changed in place."""
    if returned is None:
        return state
    if isinstance(returned, dict):
        return returned
    raise TypeError(f"{method} returned {type_of(returned)}; change the state in place, or return a dict")
