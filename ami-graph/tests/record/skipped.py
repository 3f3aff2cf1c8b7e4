"""Records numpy's answers for reductions that leave NaN out (`"nan": "skip"`)."""

import warnings

import numpy as np

from recording import case, save

warnings.simplefilter("ignore")
rng = np.random.default_rng(20261129)
SKIP = {"nan": "skip"}


def kinds():
    """Values of events: with NaN, infinities and elements that are never a number, and integers."""
    scalars = rng.normal(size=60) + 5
    scalars[[0, 7, 8, 59]] = np.nan
    yield scalars
    yield scalars.astype(np.float32)
    yield np.array([1.0, np.nan, np.inf, 3.0])
    yield np.array([np.nan, np.inf, -np.inf, 3.0])
    yield np.full(4, np.nan)
    arrays = rng.normal(size=(25, 3, 4)) * 100
    arrays[rng.random(arrays.shape) < 0.3] = np.nan
    arrays[:, 1, 2] = np.nan
    arrays[3, 0, 0] = arrays[9, 2, 1] = np.inf
    arrays[4, 2, 3], arrays[5, 2, 3] = np.inf, -np.inf
    yield arrays
    yield arrays[:, 0, 1:].astype(np.float32)
    # Single numbers among NaN.
    yield np.where(np.eye(5, 6) > 0, 7.25, np.nan)
    yield np.zeros((4, 0))
    yield rng.integers(-128, 128, size=40).astype(np.int8)
    yield rng.integers(0, 65536, size=(12, 2, 3)).astype(np.uint16)
    yield rng.integers(-(2**31), 2**31, size=(9, 4)).astype(np.int32)
    yield rng.integers(0, 2, size=(8, 3)).astype(bool)


def total(value):
    if value.dtype.kind == "f":
        return np.nansum(value.astype(np.float64), axis=0)
    return value.sum(axis=0)


def count(value):
    return (~np.isnan(value)).sum(axis=0)


def sem(value):
    return np.nanstd(value, axis=0, ddof=1) / np.sqrt(count(value))


def sums(value):
    exact = value.dtype.kind != "f"
    case({"op": "sum", **SKIP}, {"value": value}, {"value": total(value)}, exact=exact)
    mean = np.nanmean(value.astype(np.float64), axis=0)
    case({"op": "mean", **SKIP}, {"value": value}, {"value": mean}, exact=False)
    for op in ["sum", "mean"]:
        case({"op": op, **SKIP}, {"value": value}, {"count": count(value)})


def rms(value):
    return np.sqrt(np.nanmean(value**2, axis=0))


def described(value):
    wide = value.astype(np.float64)
    outputs = {
        "mean": np.nanmean(wide, axis=0),
        "std": np.nanstd(wide, axis=0),
        "sem": sem(wide),
        "rms": rms(wide),
        "min": np.nanmin(wide, axis=0),
        "max": np.nanmax(wide, axis=0),
        "count": count(value),
    }
    case({"op": "stats", **SKIP}, {"value": value}, outputs, exact=False)
    case({"op": "stats", **SKIP}, {"value": value}, {"count": count(value)})


def extremes(value):
    case({"op": "min", **SKIP}, {"value": value}, {"value": np.nanmin(value, axis=0)})
    case({"op": "max", **SKIP}, {"value": value}, {"value": np.nanmax(value, axis=0)})


def quantiles(value):
    """The other way round: leaving out is what `quantile` does unless told otherwise."""
    q, flat = [0.0, 0.3, 0.5, 1.0], value.astype(np.float64).ravel()
    numbers = flat[~np.isnan(flat)]
    counts = {"count": len(numbers), "nan": len(flat) - len(numbers)}
    for nan, of in [("propagate", flat), ("skip", numbers)]:
        expected = np.quantile(of, q, method="lower") if len(of) else np.full(len(q), np.nan)
        node = {"op": "quantile", "q": q, "accuracy": 0.001, "nan": nan}
        case(node, {"value": value}, {"values": expected, **counts}, exact=False, relative=0.001)


def by_key(value):
    """Two keys, and one whose values are all NaN where they can be."""
    key = np.arange(len(value)) % 2
    if value.dtype.kind == "f":
        key[-1] = 2
        value = value.copy()
        value[-1] = np.nan
    groups = [value[key == k].astype(np.float64) for k in np.unique(key)]
    inputs = {"key": key.astype(np.int32), "value": value}
    statistics = {"sum": np.nansum, "mean": np.nanmean, "min": np.nanmin, "max": np.nanmax, "std": np.nanstd}
    for stat, function in statistics.items():
        outputs = {stat: [function(g, axis=0) for g in groups]}
        if stat == "mean":
            outputs["sem"] = [sem(g) for g in groups]
        node = {"op": "by_key", "stat": stat, **SKIP}
        case(node, inputs, outputs, exact=stat in ("min", "max"))
        case(node, inputs, {"count": [count(g) for g in groups], "overflowed": 0})
    # All events are of one step.
    case({"op": "scan", **SKIP}, {"value": value}, {"count": [count(value)], "outside": 0})


def profile(value):
    """Three bins, of which the last is empty; some keys are outside."""
    key = np.arange(len(value)) % 3 - 1.0
    groups = [value[key == k].astype(np.float64) for k in range(3)]
    node = {"op": "profile", "bins": [0, 1, 2, 3], **SKIP}
    inputs = {"key": key, "value": value}
    outputs = {"mean": [np.nanmean(g, axis=0) for g in groups], "sem": [sem(g) for g in groups]}
    case(node, inputs, outputs, exact=False)
    case(node, inputs, {"count": [count(g) for g in groups], "outside": np.sum(key < 0)})


for value in kinds():
    sums(value)
    profile(value)
    by_key(value)
    quantiles(value)
    extremes(value)
    described(value)
save("skipped")
