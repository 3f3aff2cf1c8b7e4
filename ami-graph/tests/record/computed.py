"""Records numpy's answers for the per-event ops that compute."""

import itertools

import numpy as np

from recording import case, save

rng = np.random.default_rng(20240613)
DTYPES = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


def array(dtype, *shape, events=2, nan=True):
    if dtype == "bool":
        return rng.integers(0, 2, size=(events, *shape)).astype(bool)
    if np.dtype(dtype).kind == "f":
        values = (rng.normal(size=(events, *shape)) * 100).astype(dtype)
        if nan and values.size:
            values.reshape(-1)[-1] = np.nan
        return values
    info = np.iinfo(dtype)
    # Sums stay within what a float64 holds, as numbers travel as such.
    low, high = max(info.min, -(2**45)), min(info.max, 2**45)
    return rng.integers(low, high, size=(events, *shape), endpoint=True).astype(dtype)


def one(node, events, answer, exact=True, **more):
    with np.errstate(all="ignore"):
        case(node, {"array": events}, {"value": answer(events[-1])}, exact=exact, **more)


def blocks(a, by, function):
    """Each block of `by` elements along every axis as what the function makes of its elements."""
    cut = a[tuple(slice(0, n // f * f) for n, f in zip(a.shape, by))]
    split = cut.reshape([part for n, f in zip(cut.shape, by) for part in (n // f, f)])
    rank = a.ndim
    inner = split.transpose([*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)])
    return function(inner.reshape(*(n // f for n, f in zip(cut.shape, by)), -1))


def wide(a):
    return a.astype(np.float64) if a.dtype.kind != "f" else a


STATS = {
    "sum": lambda b: b.sum(axis=-1),
    "mean": lambda b: b.mean(axis=-1),
    "min": lambda b: b.min(axis=-1),
    "max": lambda b: b.max(axis=-1),
    "std": lambda b: b.std(axis=-1),
    "var": lambda b: b.var(axis=-1),
    "median": lambda b: np.median(b, axis=-1),
    "rms": lambda b: np.sqrt((wide(b) ** 2).mean(axis=-1)),
    "norm": lambda b: np.sqrt((wide(b) ** 2).sum(axis=-1)),
}


def rebins():
    for dtype in DTYPES:
        image = array(dtype, 5, 7)
        for stat, function in STATS.items():
            exact = stat in ("min", "max") or (stat == "sum" and np.dtype(dtype).kind != "f")
            tolerance = None if exact else (1e-5 if dtype == "f4" else 1e-9) * float(np.nanmax(np.abs(wide(image))) ** (2 if stat == "var" else 1) + 1)
            node = {"op": "rebin", "by": [2, 3], "stat": stat}
            one(node, image, lambda a: blocks(a, (2, 3), function), exact=exact, tolerance=tolerance)
    one({"op": "rebin", "by": [4]}, array("u2", 11), lambda a: blocks(a, (4,), STATS["sum"]))
    one({"op": "rebin", "by": 4, "stat": "max"}, array("f8", 11), lambda a: blocks(a, (4,), STATS["max"]))
    deep = array("u2", 5, 4, 3, 6)
    for stat in ("sum", "max"):
        node = {"op": "rebin", "by": [2, 1, 3, 2], "stat": stat}
        one(node, deep, lambda a: blocks(a, (2, 1, 3, 2), STATS[stat]))
    one({"op": "rebin", "by": [1, 1]}, array("i4", 2, 3), lambda a: a.astype(np.int64))


def normals():
    for dtype in DTYPES:
        events = array(dtype, 3, 4, nan=False)
        events[-1, 0, 0] = True if dtype == "bool" else 7
        tolerance = 1e-6 if dtype == "f4" else 1e-12
        for by, function in {
            "sum": lambda a: a / a.sum(),
            "max": lambda a: a / a.max(),
            "norm": lambda a: a / np.linalg.norm(a),
        }.items():
            one({"op": "normalize", "by": by}, events, function, exact=False, tolerance=tolerance)
        for other in DTYPES:
            # Dtypes without a float16, which ami does not have.
            if {np.dtype(dtype).itemsize, np.dtype(other).itemsize} != {1}:
                pairs = {"array": array(dtype, 3, 4), "by": array(other, 4)}
                with np.errstate(all="ignore"):
                    answer = pairs["array"][-1] / pairs["by"][-1]
                case({"op": "normalize"}, pairs, {"value": answer})
    waves = {"array": array("f8", 5), "by": array("f8")}
    waves["by"][-1] = 0
    with np.errstate(all="ignore"):
        case({"op": "normalize", "by": "input"}, waves, {"value": waves["array"][-1] / waves["by"][-1]})
    one({"op": "normalize"}, array("f8", 0), lambda a: a / a.sum())
    one({"op": "normalize"}, np.zeros((1, 3)), lambda a: a / a.sum())


def running():
    for dtype in DTYPES:
        exact = np.dtype(dtype).kind != "f"
        one({"op": "diff"}, array(dtype, 6), np.diff)
        one({"op": "diff", "axis": 0}, array(dtype, 3, 2), lambda a: np.diff(a, axis=0))
        one({"op": "cumsum"}, array(dtype, 6), np.cumsum, exact=exact, tolerance=1e-4)
        one({"op": "cumsum", "axis": 0}, array(dtype, 3, 2), lambda a: a.cumsum(axis=0), exact=exact, tolerance=1e-4)
    for length in (0, 1):
        one({"op": "diff"}, array("f8", length), np.diff)
        one({"op": "cumsum"}, array("f8", length), np.cumsum)


def curves():
    x = np.cumsum(rng.random(size=(2, 40)) + 0.01, axis=1)
    y = rng.normal(size=(2, 40))
    grid = [-1.0, *x[-1][:3], *(rng.random(30) * x[-1][-1]), x[-1][-1], x[-1][-1] + 1, 1e300]
    answer = np.interp(grid, x[-1], y[-1])
    case({"op": "interp", "grid": grid}, {"y": y, "x": x}, {"value": answer, "grid": grid})
    sides = {"op": "interp", "grid": grid, "left": -5, "right": "NaN"}
    answer = np.interp(grid, x[-1], y[-1], left=-5, right=np.nan)
    case(sides, {"y": y, "x": x}, {"value": answer})
    y[-1, 3], y[-1, 8], y[-1, 9], y[-1, 20] = np.nan, np.inf, np.inf, -np.inf
    case({"op": "interp", "grid": grid}, {"y": y, "x": x}, {"value": np.interp(grid, x[-1], y[-1])})
    for dtype in DTYPES:
        wave = array(dtype, 9)
        points = np.linspace(-0.5, 8.5, 25)
        node = {"op": "interp", "grid": {"start": -0.5, "stop": 8.5, "n": 25}}
        case(node, {"y": wave}, {"value": np.interp(points, np.arange(9), wave[-1]), "grid": points})
    alone = np.array([[4.0]])
    case({"op": "interp", "grid": [-1, 0, 1]}, {"y": alone}, {"value": np.interp([-1, 0, 1], [0], alone[-1])})


def choices():
    for n, length in [(5, 2), (5, 3), (4, 1), (3, 3), (2, 3), (0, 2), (7, 4)]:
        for dtype in ("f8", "u2", "bool"):
            values = array(dtype, n)
            rows = list(itertools.combinations(range(n), length))
            index = np.array(rows, dtype=np.int64).reshape(len(rows), length)
            outputs = {"value": values[-1][index], "index": index}
            case({"op": "combinations", "length": length}, {"list": values}, outputs)


rebins()
normals()
running()
curves()
choices()
save("computed")
