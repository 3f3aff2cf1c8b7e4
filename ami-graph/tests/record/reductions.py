"""Records numpy's and scipy's answers for reductions over pairs, by key, of rank, and faded."""

import numpy as np
from scipy import stats

from recording import case, save

rng = np.random.default_rng(20261121)


def histograms_2d():
    x, y, weights = rng.normal(size=150), rng.normal(size=150) * 3, rng.normal(size=150)
    x[:3], y[3:6] = np.nan, np.inf
    x[6:12], y[12:16] = np.linspace(-2, 2, 6), [-4, 0, 4, np.nextafter(4, 5)]
    finite = np.isfinite(x) & np.isfinite(y)

    def one(node, inputs, bins, box, weights=None):
        a, b = inputs["x"], inputs["y"]
        good = finite if a.ndim == 1 else np.ones(a.shape, bool)
        w = None if weights is None else weights[good]
        counts, x_edges, y_edges = np.histogram2d(a[good], b[good], bins=bins, range=box, weights=w)
        outputs = {"x_edges": x_edges, "y_edges": y_edges}
        if weights is None:
            outputs |= {"counts": counts.astype(np.int64), "outside": a.size - int(counts.sum())}
        else:
            outputs |= {"counts": counts, "outside": weights.sum() - counts.sum()}
            inputs = inputs | {"weights": weights}
        # Edges may differ from numpy's in the last bit; what falls between them must not.
        edges = {name: outputs.pop(name) for name in ("x_edges", "y_edges")}
        case({"op": "hist2d", **node}, inputs, outputs, exact=weights is None)
        case({"op": "hist2d", **node}, inputs, edges, exact=False)

    box = [[-2, 2], [-4, 4]]
    xy = {"x": x, "y": y}
    one({"bins": [8, 7], "range": box}, xy, [8, 7], box)
    one({"bins": 6, "range": box}, {"x": x.astype(np.float32), "y": y.astype(np.float32)}, 6, box)
    one({"bins": [8, 7], "range": box}, xy, [8, 7], box, weights)
    edges = [[-1.0, 0.0, 0.25, 1.5], [-3.0, -1.0, 2.0]]
    one({"bins": edges}, xy, [np.array(e) for e in edges], None)
    a, b = rng.integers(0, 300, size=(10, 4, 5)), rng.integers(-9, 9, size=(10, 4, 5))
    pairs = {"x": a.astype(np.uint16), "y": b.astype(np.int8)}
    one({"bins": [16, 6], "range": [[0, 256], [-6, 6]]}, pairs, [16, 6], [[0, 256], [-6, 6]])


def keys():
    size = 120
    kinds = [
        rng.integers(-5, 5, size=size).astype(np.int16),
        rng.integers(0, 3, size=size).astype(np.uint64) * np.uint64(2**52),
        rng.integers(0, 2, size=size).astype(bool),
        np.round(rng.normal(size=size), 1).astype(np.float32),
        rng.choice([-np.inf, -1.5, 0.0, 2.5, np.inf, np.nan], size=size),
    ]
    scalar, images = rng.normal(size=size) + 5, rng.integers(0, 1000, size=(size, 2, 2)).astype(np.uint16)
    for key in kinds:
        values, counts = np.unique(key, return_counts=True)
        case({"op": "unique"}, {"value": key}, {"values": values, "counts": counts, "overflowed": 0})
        rest = int(counts[2:].sum())
        few = {"values": values[:2], "counts": counts[:2], "overflowed": rest}
        case({"op": "unique", "limit": 2}, {"value": key}, few)
        for value in [scalar, images]:
            same = [np.isnan(key) if k != k else key == k for k in values]
            groups = [value[mask].astype(np.float64) for mask in same]
            with np.errstate(invalid="ignore", divide="ignore"):
                sem = [np.std(g, axis=0, ddof=1) / np.sqrt(len(g)) for g in groups]
            mean = [g.mean(axis=0) for g in groups]
            inputs = {"key": key, "value": value}
            outputs = {"keys": values, "mean": mean, "sem": sem, "count": counts, "overflowed": 0}
            case({"op": "by_key"}, inputs, outputs, exact=False)
    for value in [scalar, images]:
        inputs = {"key": kinds[0], "value": value}
        values = np.unique(kinds[0])
        groups = [value[kinds[0] == k].astype(np.float64) for k in values]
        for stat in ["sum", "min", "max", "std"]:
            outputs = {"keys": values, stat: [getattr(np, stat)(g, axis=0) for g in groups]}
            if stat in ("min", "max"):
                case({"op": "by_key", "stat": stat}, inputs, outputs)
            else:
                case({"op": "by_key", "stat": stat}, inputs, outputs, exact=False)


def lines():
    x = rng.normal(size=100)
    noisy = 3 * x + rng.normal(size=100) + 7
    pairs = [
        (x, noisy),
        (x + 1e6, noisy * 1e-3 - 1e6),
        (x.astype(np.float32), rng.integers(0, 2**16, size=100).astype(np.uint16)),
        (rng.integers(0, 2, size=100).astype(np.int8), noisy),
        (x, np.full(100, 0.5)),
        (np.array([1.0, 2.0]), np.array([5.0, 7.0])),
        (np.array([1.0, 2.0, np.nan]), np.array([5.0, 7.0, 1.0])),
        (np.array([1.0, np.inf, 3.0]), np.array([5.0, 7.0, 1.0])),
        (x.reshape(20, 5), noisy.reshape(20, 5)),
    ]
    for a, b in pairs:
        with np.errstate(invalid="ignore"):
            fit = stats.linregress(a.astype(np.float64).ravel(), b.astype(np.float64).ravel())
        outputs = {"slope": fit.slope, "intercept": fit.intercept, "r": fit.rvalue, "slope_err": fit.stderr}
        # scipy subtracts means that are rounded: with an offset of 1e6 it keeps nine digits.
        tolerance = 1e-8 if abs(np.nanmean(b)) > 1e5 else None
        case({"op": "linregress"}, {"x": a, "y": b}, outputs | {"count": a.size}, exact=False, tolerance=tolerance)


def covariances():
    wave = rng.normal(size=(40, 4)) + rng.normal(size=(40, 1)) + 100
    other = wave[:, :3] * 2 + rng.normal(size=(40, 3))
    energy = wave.mean(axis=1) + rng.normal(size=40)
    other[3, 1] = np.nan

    def covariance(a, b):
        return np.cov(a, b, rowvar=False)[: a.shape[1], a.shape[1] :]

    for x in [wave, (wave * 100).astype(np.uint16), wave.astype(np.float32), wave[:1], wave[:, :0]]:
        if len(x) == 1 or x.shape[1] == 0:
            expected = np.full((x.shape[1],) * 2, np.nan)
        else:
            expected = np.cov(x.astype(np.float64), rowvar=False)
        outputs = {"covariance": expected, "count": len(x)}
        case({"op": "covariance"}, {"x": x}, outputs, exact=False, tolerance=1e-10)
    with np.errstate(invalid="ignore"):
        both = covariance(wave, other)
        line = energy[:, None]
        owed = covariance(wave, line) @ covariance(line, other) / energy.var(ddof=1)
    case({"op": "covariance"}, {"x": wave, "y": other}, {"covariance": both, "count": 40}, exact=False, tolerance=1e-10)
    inputs = {"x": wave, "y": other, "partial": energy}
    case({"op": "covariance"}, inputs, {"covariance": both - owed}, exact=False, tolerance=1e-10)
    owed = covariance(wave, line) @ covariance(line, wave) / energy.var(ddof=1)
    inputs = {"x": wave, "partial": energy}
    expected = np.cov(wave, rowvar=False) - owed
    case({"op": "covariance"}, inputs, {"covariance": expected}, exact=False, tolerance=1e-10)


def fading():
    times = np.sort(rng.integers(0, 10**10, size=60)) + 1_763_654_321_000_000_000
    values = [
        rng.normal(size=60) + 3,
        rng.integers(0, 2**16, size=(60, 2, 2)).astype(np.uint16),
        np.full((60, 2), 0.1, np.float32),
        rng.integers(0, 2, size=60).astype(bool),
    ]
    for value in values:
        for tau in [0.01, 1.0, 300.0]:
            weights = np.exp((times - times[-1]).astype(np.float64) / 1e9 / tau)
            mean = np.tensordot(weights, value.astype(np.float64), axes=(0, 0)) / weights.sum()
            outputs = {"value": mean, "weight": weights.sum()}
            case({"op": "ewma", "tau": tau}, {"value": value}, outputs, exact=False, times=times)


def quantiles():
    q = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0]
    kinds = [
        rng.normal(size=300),
        np.exp(rng.normal(size=200) * 20),
        rng.integers(0, 2**16, size=(8, 5, 7)).astype(np.uint16),
        rng.integers(-128, 128, size=200).astype(np.int8),
        rng.normal(size=(40, 6)).astype(np.float32),
        rng.integers(0, 2, size=31).astype(bool),
        rng.choice([-np.inf, -1.0, 0.0, 3.0, np.inf, np.nan], size=100),
    ]
    for value in kinds:
        flat = value.astype(np.float64).ravel()
        numbers = flat[~np.isnan(flat)]
        for accuracy in [0.1, 0.001]:
            with np.errstate(invalid="ignore"):
                expected = np.quantile(numbers, q, method="lower")
            outputs = {"values": expected, "count": len(numbers), "nan": len(flat) - len(numbers)}
            node = {"op": "quantile", "q": q, "accuracy": accuracy}
            case(node, {"value": value}, outputs, exact=False, relative=accuracy)


def absent():
    """Events in which an input is absent are left out."""
    x, y = rng.normal(size=100), rng.normal(size=100)
    here = {"x": rng.random(100) < 0.7, "y": rng.random(100) < 0.7}
    both = here["x"] & here["y"]
    a, b = x[both], y[both]
    fit = stats.linregress(a, b)
    outputs = {"slope": fit.slope, "intercept": fit.intercept, "r": fit.rvalue, "count": len(a)}
    case({"op": "linregress"}, {"x": x, "y": y}, outputs, exact=False, present=here)
    counts, _, _ = np.histogram2d(a, b, bins=5, range=[[-1, 1], [-1, 1]])
    outputs = {"counts": counts.astype(np.int64), "outside": len(a) - int(counts.sum())}
    node = {"op": "hist2d", "bins": 5, "range": [[-1, 1], [-1, 1]]}
    case(node, {"x": x, "y": y}, outputs, present=here)
    key = np.round(x)
    values, counts = np.unique(key[both], return_counts=True)
    outputs = {"keys": values, "count": counts, "mean": [y[both & (key == k)].mean() for k in values]}
    present = {"key": here["x"], "value": here["y"]}
    case({"op": "by_key"}, {"key": key, "value": y}, outputs, exact=False, present=present)
    waves = np.stack([x, y], axis=1)
    present = {"value": here["x"]}
    for op in ["sum", "mean", "min", "max"]:
        expected = getattr(np, op)(waves[here["x"]], axis=0)
        case({"op": op}, {"value": waves}, {"value": expected}, exact=op in ("min", "max"), present=present)
    case({"op": "rate"}, {"value": x}, {"fraction": here["x"].mean()}, present=present)
    flag = x > 0
    case({"op": "rate"}, {"value": flag}, {"fraction": flag[here["x"]].mean()}, present=present)


def empty():
    """Arrays without elements are values, too."""
    none = np.zeros((7, 0))
    for op in ["sum", "mean", "min", "max"]:
        case({"op": op}, {"value": none}, {"value": np.zeros(0)})
    case({"op": "count"}, {"value": none}, {"value": 7})
    case({"op": "quantile"}, {"value": none}, {"values": [np.nan], "count": 0, "nan": 0})
    case({"op": "ewma", "tau": 1}, {"value": none}, {"value": np.zeros(0)})
    case({"op": "last", "n": 2}, {"value": none}, {"value": np.zeros((2, 0))})
    case({"op": "sample", "n": 9}, {"value": none}, {"value": np.zeros((7, 0))})
    hist = {"op": "hist2d", "bins": 2, "range": [[0, 1], [0, 1]]}
    case(hist, {"x": none, "y": none}, {"counts": np.zeros((2, 2), np.int64), "outside": 0})
    key = np.zeros(7)
    case({"op": "by_key"}, {"key": key, "value": none}, {"mean": np.zeros((1, 0)), "count": np.array([7])})


histograms_2d()
keys()
lines()
covariances()
fading()
quantiles()
absent()
empty()
save("reductions")
