"""Records numpy's answers for the ops that cut, turn and join arrays."""

import numpy as np

from recording import case, save

rng = np.random.default_rng(20240612)
DTYPES = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


def array(dtype, *shape, events=2):
    if dtype == "bool":
        return rng.integers(0, 2, size=(events, *shape)).astype(bool)
    if np.dtype(dtype).kind == "f":
        values = (rng.normal(size=(events, *shape)) * 100).astype(dtype)
        if values.size:
            values.reshape(-1)[-1] = np.nan
        return values
    info = np.iinfo(dtype)
    # What a float64 holds, as numbers travel as such.
    low, high = max(info.min, -(2**52)), min(info.max, 2**52)
    return rng.integers(low, high, size=(events, *shape), endpoint=True).astype(dtype)


def one(node, events, answer):
    case(node, {"array": events}, {"value": answer(events[-1])})


def pixels_and_parts():
    for dtype in DTYPES:
        image = array(dtype, 4, 5)
        one({"op": "pixel", "at": [1, -2]}, image, lambda a: a[1, -2])
        one({"op": "take", "index": [3, 0, 0, -1], "axis": 0}, image, lambda a: a.take([3, 0, 0, -1], 0))
        one({"op": "take", "index": 2, "axis": -1}, image, lambda a: a.take(2, -1))
        parts = {f"value{k}": image[-1][:, k] for k in range(5)}
        case({"op": "split", "count": 5, "axis": 1}, {"array": image}, parts)
    wave = array("f8", 7)
    one({"op": "pixel", "at": [-7]}, wave, lambda a: a[-7])
    one({"op": "take", "index": -1}, wave, lambda a: a.take(-1))
    one({"op": "take", "index": []}, wave, lambda a: a[:0])
    for mode in ("wrap", "clip"):
        index = [-9, -1, 0, 6, 7, 23]
        one({"op": "take", "index": index, "mode": mode}, wave, lambda a: a.take(index, mode=mode))
    stack = array("u2", 3, 4, 5)
    one({"op": "pixel", "at": [2, 0, 4]}, stack, lambda a: a[2, 0, 4])
    for axis in (0, 1, 2, -1):
        one({"op": "take", "index": [1, 2], "axis": axis}, stack, lambda a: a.take([1, 2], axis))
        one({"op": "take", "index": 1, "axis": axis}, stack, lambda a: a.take(1, axis))
    parts = {f"value{k}": stack[-1][k] for k in range(3)}
    case({"op": "split", "count": 3}, {"array": stack}, parts)
    none = array("f4", 0, 3)
    one({"op": "take", "index": 1, "axis": 1}, none, lambda a: a.take(1, 1))
    one({"op": "take", "index": [0, 2], "axis": 1}, none, lambda a: a.take([0, 2], 1))
    parts = {f"value{k}": none[-1][:, k] for k in range(3)}
    case({"op": "split", "count": 3, "axis": 1}, {"array": none}, parts)


def turns():
    kinds = [array(dtype, 3, 5) for dtype in DTYPES]
    kinds += [array("u2", 2, 3, 4), array("f4", 0, 3)]
    for events in kinds:
        for k in (-1, 0, 1, 2, 3, 6):
            one({"op": "rot90", "k": k}, events, lambda a: np.rot90(a, k))
        one({"op": "rot90", "axes": [-1, -2]}, events, lambda a: np.rot90(a, axes=(-1, -2)))
        one({"op": "flip"}, events, np.flip)
        one({"op": "flip", "axis": 0}, events, lambda a: np.flip(a, 0))
        one({"op": "flip", "axis": [1, 0]}, events, lambda a: np.flip(a, (1, 0)))
        one({"op": "transpose"}, events, np.transpose)
    # Larger than the tiles in which planes are turned.
    plane = array("u2", 33, 35, events=1)
    one({"op": "rot90"}, plane, np.rot90)
    one({"op": "transpose"}, plane, np.transpose)
    deep = array("i2", 2, 3, 1, 4, 2)
    one({"op": "transpose", "axes": [3, 0, -1, 1, 2]}, deep, lambda a: a.transpose(3, 0, -1, 1, 2))
    one({"op": "transpose"}, deep, np.transpose)
    one({"op": "flip", "axis": [0, 3]}, deep, lambda a: np.flip(a, (0, 3)))
    one({"op": "rot90", "axes": [3, 1], "k": 3}, deep, lambda a: np.rot90(a, 3, (3, 1)))
    wave = array("f8", 6)
    one({"op": "flip"}, wave, np.flip)
    one({"op": "transpose"}, wave, np.transpose)


def several(op, inputs, axis, answer, **more):
    node = {"op": op} if axis is None else {"op": op, "axis": axis}
    last = [events[-1] for events in inputs]
    case(node, {f"in{k}": events for k, events in enumerate(inputs)}, {"value": answer(last, axis or 0)}, **more)


def joins():
    for a in DTYPES:
        for b in DTYPES:
            several("stack", [array(a, 2), array(b, 2)], None, np.stack)
            several("concatenate", [array(a, 2), array(b, 1)], None, np.concatenate)
    several("stack", [array("f8"), array("u2"), array("bool")], None, np.stack)
    several("stack", [array("i8"), array("u8")], -1, np.stack)
    for axis in (0, 1, 2, -1, -3):
        several("stack", [array("u2", 2, 3) for _ in range(3)], axis, np.stack)
    for axis, shapes in [(0, [(2, 3), (1, 3)]), (1, [(2, 3), (2, 0), (2, 4)]), (-1, [(2, 1, 2), (2, 1, 5)])]:
        several("concatenate", [array("f4", *shape) for shape in shapes], axis, np.concatenate)
    several("stack", [array("f8", 0, 2), array("f8", 0, 2)], 1, np.stack)
    several("concatenate", [array("f8", 0), array("u1", 0)], None, np.concatenate)
    # An event that lacks one input has no value: the newest is that before.
    present = {"in1": [True, False]}
    both = [array("i4", 3), array("i4", 3)]
    case(
        {"op": "stack"},
        {"in0": both[0], "in1": both[1]},
        {"value": np.stack([events[0] for events in both])},
        present=present,
    )


pixels_and_parts()
turns()
joins()
save("arrays")
