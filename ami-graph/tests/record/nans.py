"""Records numpy's statistics that leave NaN out, and its quantiles, of an event's array."""

import warnings

import numpy as np

from recording import case, save

warnings.simplefilter("ignore")
rng = np.random.default_rng(20261129)
LEAVING_OUT = ["nansum", "nanmean", "nanmin", "nanmax", "nanstd", "nanvar", "nanmedian"]
QUANTILES = [("quantile", 0.0), ("quantile", 0.3), ("percentile", 50), ("percentile", 87.5), ("percentile", 100),
             ("nanquantile", 0.75), ("nanpercentile", 10)]


def arrays():
    holes = rng.normal(size=(4, 5))
    holes[0, 1] = holes[2, 3] = holes[3, 3] = np.nan
    column = holes.copy()
    column[:, 2] = np.nan
    yield from [holes, column, np.full((2, 3), np.nan), rng.normal(size=(4, 5)), holes.astype(np.float32)]
    yield np.array([[1, np.inf, 2], [-np.inf, 3, np.nan]])
    # Not the whole range, within which numpy's difference of neighbours wraps around.
    for dtype in [np.uint8, np.int16, np.uint16, np.int32, np.int64]:
        yield rng.integers(0, 100, size=(3, 4)).astype(dtype)


def answer(function, *arguments, axis):
    try:
        return function(*arguments, axis=axis)
    except (IndexError, ValueError):
        return None  # numpy raises where there is no element


def record(array):
    for axis in [None, 0, -1]:
        along = {} if axis is None else {"axis": axis}
        for stat in LEAVING_OUT:
            value = answer(getattr(np, stat), array, axis=axis)
            exact = stat in ("nanmin", "nanmax")
            case({"op": "array_stat", "stat": stat, **along}, {"array": array[None]}, {"value": value}, exact=exact)
        for stat, q in QUANTILES:
            value = answer(getattr(np, stat), array, q, axis=axis)
            case({"op": "array_stat", "stat": stat, "q": q, **along}, {"array": array[None]}, {"value": value}, exact=False)
    projected = np.nanpercentile(array, 40, axis=1)
    case({"op": "project", "stat": "nanpercentile", "q": 40, "axis": 1}, {"array": array[None]}, {"value": projected}, exact=False)


for array in arrays():
    record(array)
flags = rng.integers(0, 2, size=(3, 4)).astype(bool)
for stat in LEAVING_OUT:
    value = getattr(np, stat)(flags, axis=0)
    case({"op": "array_stat", "stat": stat, "axis": 0}, {"array": flags[None]}, {"value": value}, exact=False)
empty = np.zeros((0, 3))
for axis in [None, 0]:
    along = {} if axis is None else {"axis": axis}
    for stat in LEAVING_OUT:
        value = answer(getattr(np, stat), empty, axis=axis)
        case({"op": "array_stat", "stat": stat, **along}, {"array": empty[None]}, {"value": value}, exact=False)
    for stat, q in QUANTILES:
        value = answer(getattr(np, stat), empty, q, axis=axis)
        case({"op": "array_stat", "stat": stat, "q": q, **along}, {"array": empty[None]}, {"value": value}, exact=False)
save("nans")
