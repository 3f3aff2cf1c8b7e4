"""Records numpy's answers for the ops that were first."""

import numpy as np

from recording import case, save

rng = np.random.default_rng(20240611)


def hist(values, bins, low, high, weights=None):
    flat = values.ravel()
    counts, edges = np.histogram(flat, bins=bins, range=(low, high), weights=weights)
    outputs = {"counts": counts, "edges": edges}
    if weights is None:
        with np.errstate(invalid="ignore"):
            outputs["underflow"] = np.sum(flat < edges[0])
            outputs["overflow"] = np.sum(flat > edges[-1])
        outputs["nan"] = np.sum(np.isnan(flat)) if flat.dtype.kind == "f" else 0
    inputs = {"value": values}
    node = {"op": "hist", "bins": bins, "range": [low, high]}
    if weights is not None:
        inputs["weights"] = weights
    case(node, inputs, outputs, exact=weights is None)


def histograms():
    for bins, low, high in [(10, 0.0, 1.0), (100, -3.0, 3.0), (7, 0.1, 0.7), (50, -1.0, 4.0), (3, -1e-3, 1e9)]:
        edges = np.linspace(low, high, bins + 1)
        near = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])
        values = np.concatenate([near, rng.normal(size=500) * (high - low), [np.nan]])
        keep = values[~np.isnan(values)]
        hist(keep, bins, low, high)
        hist(keep.astype(np.float32), bins, low, high)
        hist(np.linspace(low, high, bins + 1).astype(np.float32), bins, low, high)
    hist(rng.integers(0, 70000, size=(40, 5)).astype(np.uint16), 64, 0.0, 65536.0)
    hist(rng.integers(-40, 40, size=200).astype(np.int8), 16, -32.0, 31.0)
    hist(rng.normal(size=300), 20, -2.0, 2.0, weights=rng.normal(size=300))
    values = rng.normal(size=400)
    edges = [-2.0, -0.5, 0.0, 0.25, 1.75]
    values[:5] = edges
    counts, _ = np.histogram(values, bins=edges)
    case({"op": "hist", "bins": edges}, {"value": values}, {"counts": counts, "edges": edges})


def reductions():
    kinds = [
        rng.normal(size=97) * 1e3 + 1e6,
        rng.normal(size=(20, 3, 4)),
        rng.normal(size=(15, 6)).astype(np.float32),
        rng.integers(0, 65536, size=(30, 2, 5)).astype(np.uint16),
        rng.integers(-128, 128, size=200).astype(np.int8),
        rng.integers(-(2**31), 2**31, size=(9, 4)).astype(np.int32),
        rng.integers(0, 2, size=50).astype(bool),
        np.array([1.0, np.nan, 3.0]),
        np.array([1.0, np.inf, 3.0]),
    ]
    with np.errstate(invalid="ignore"):
        for events in kinds:
            wide = events.astype(np.float64)
            n = len(events)
            total = events.sum(axis=0) if events.dtype.kind != "f" else wide.sum(axis=0)
            case({"op": "sum"}, {"value": events}, {"value": total, "count": n}, exact=events.dtype.kind != "f")
            case({"op": "mean"}, {"value": events}, {"value": wide.mean(axis=0), "count": n}, exact=False)
            case({"op": "min"}, {"value": events}, {"value": events.min(axis=0)})
            case({"op": "max"}, {"value": events}, {"value": events.max(axis=0)})
            case(
                {"op": "stats"},
                {"value": events},
                {
                    "mean": wide.mean(axis=0),
                    "std": wide.std(axis=0),
                    "sem": wide.std(axis=0, ddof=1) / np.sqrt(n),
                    "rms": np.sqrt((wide**2).mean(axis=0)),
                    "min": wide.min(axis=0),
                    "max": wide.max(axis=0),
                    "count": n,
                },
                exact=False,
            )


def profiles():
    key = rng.uniform(-2, 5, size=400)
    edges = np.linspace(-1, 4, 11)
    key[:11] = edges
    for value in [rng.normal(size=400) + 5, rng.normal(size=(400, 3))]:
        which = np.where((key >= -1) & (key <= 4), np.minimum(np.searchsorted(edges, key, side="right") - 1, 9), -1)
        parts = [value[which == b] for b in range(10)]
        case(
            {"op": "profile", "bins": 10, "range": [-1, 4]},
            {"key": key, "value": value},
            {
                "edges": edges,
                "mean": np.array([p.mean(axis=0) for p in parts]),
                "sem": np.array([p.std(axis=0, ddof=1) / np.sqrt(len(p)) for p in parts]),
                "count": np.array([len(p) for p in parts]),
                "outside": np.sum(which < 0),
            },
            exact=False,
        )


FUNCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "std": np.std,
    "var": np.var,
    "median": np.median,
    "argmin": np.argmin,
    "argmax": np.argmax,
    "rms": lambda a, axis=None: np.sqrt(np.mean(np.asarray(a, dtype=np.float64) ** 2, axis=axis)),
    "norm": lambda a, axis=None: np.sqrt(np.sum(np.asarray(a, dtype=np.float64) ** 2, axis=axis)),
}


def per_event():
    arrays = [
        rng.normal(size=(3, 4, 5)),
        rng.integers(0, 65536, size=(3, 4, 5)).astype(np.uint16),
        rng.integers(-1000, 1000, size=(3, 2, 3, 4)).astype(np.int32),
        rng.normal(size=(3, 7)).astype(np.float32),
        rng.integers(0, 2, size=(3, 6)).astype(bool),
    ]
    arrays[0][1, 2, 3] = np.nan
    for events in arrays:
        for stat, function in FUNCTIONS.items():
            exact = stat in ("min", "max", "argmin", "argmax") or (stat == "sum" and events.dtype.kind != "f")
            last = events[-1]
            for axis in [None, 0, -1]:
                node = {"op": "array_stat", "stat": stat}
                if axis is not None:
                    node["axis"] = axis
                case(node, {"value": events}, {"value": function(last, axis=axis)}, exact=exact)
            if events.ndim == 3:
                case({"op": "project", "stat": stat, "axis": 1}, {"value": events}, {"value": function(last, axis=1)}, exact=exact)
    image = arrays[1]
    last = image[-1]
    case({"op": "roi", "x": [1, 4], "y": [0, 2]}, {"value": image}, {"value": last[0:2, 1:4], "bounds": [[0, 2], [1, 4]]})
    case({"op": "roi", "x": [-3, -1]}, {"value": image}, {"value": last[:, -3:-1], "bounds": [[0, 4], [2, 4]]})
    case({"op": "roi", "slices": ["::-2", "1:4"]}, {"value": image}, {"value": last[::-2, 1:4]})
    case({"op": "roi", "slices": ["...", "2"]}, {"value": image}, {"value": last[..., 2]})
    case({"op": "roi", "slices": [1, 2]}, {"value": image}, {"value": last[1, 2]})
    for events in arrays[1], np.abs(arrays[3]), arrays[2][:, 0]:
        newest = events[-1].astype(np.float64)
        for threshold in None, 0.5, 300:
            weights = newest if threshold is None else np.where(newest >= threshold, newest, 0)
            axes = np.indices(newest.shape)
            total = weights.sum()
            position = np.array([(weights * i).sum() / total for i in axes])
            sigma = np.array([np.sqrt((weights * (i - p) ** 2).sum() / total) for i, p in zip(axes, position)])
            shape = (2,) if newest.ndim == 2 else ()
            node = {"op": "centroid"} if threshold is None else {"op": "centroid", "threshold": threshold}
            outputs = {"position": position.reshape(shape), "sigma": sigma.reshape(shape), "sum": total}
            case(node, {"array": events}, outputs, exact=False)
    cube = arrays[2]
    case({"op": "roi", "slices": ["0:1", ":", "::2"]}, {"value": cube}, {"value": cube[-1][0:1, :, ::2]})
    case({"op": "threshold", "below": 1000, "above": 50000}, {"value": image}, {"value": np.where((last < 1000) | (last > 50000), 0, last).astype(np.uint16)})
    floats = arrays[0]
    case({"op": "threshold", "below": 0.0, "fill": -1.5}, {"value": floats[[0, 2, 1]]}, {"value": np.where(floats[1] < 0, -1.5, floats[1])})


histograms()
reductions()
profiles()
per_event()
save("core")
