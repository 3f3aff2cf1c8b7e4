"""Records numpy's answers for `per_frame`: a fast detector's values between frames of a slow one."""

import numpy as np

from recording import case, save

rng = np.random.default_rng(20261130)
EVENTS = 120
times = np.cumsum(rng.integers(1, 9, size=EVENTS)) * 1_000_000
# 120 Hz over 10 Hz, one frame missing: its values go to the next one.
framed = np.arange(EVENTS) % 12 == 7
framed[43] = False
there = rng.random(EVENTS) > 0.2


def between(values, here, n, first="skip"):
    """Per frame, the values since the frame before, those of its own event included."""
    at = np.flatnonzero(framed)
    starts = np.concatenate([[0], at[:-1] + 1])
    kept = [values[s : f + 1][here[s : f + 1]] for s, f in zip(starts, at)]
    if first == "skip":
        at, kept = at[1:], kept[1:]
    return at[-n:], kept[-n:]


def record(values, here, n, **more):
    frames = rng.integers(0, 1000, size=EVENTS).astype(np.uint16)
    at, kept = between(values, here, n, more.get("first", "skip"))
    wide = [k.astype(np.float64) for k in kept]
    if more.get("nan") == "skip":
        wide = [k[~np.isnan(k)] for k in wide]
    outputs = {
        "frame": frames[at],
        "sum": np.array([k.sum() for k in wide]),
        "mean": np.array([k.mean() for k in wide]),
        "count": np.array([len(k) for k in wide]),
        "time": times[at] / 1e9,
    }
    if n == 1:
        outputs = {name: value[0] for name, value in outputs.items()}
    outputs["values"] = kept[-1]
    node = {"op": "per_frame", "n": n, **more}
    inputs = {"value": values, "frame": frames}
    case(node, inputs, outputs, exact=False, present={"value": here, "frame": framed}, times=times)


everywhere = np.ones(EVENTS, bool)
whole = rng.integers(-(2**31), 2**31, size=EVENTS).astype(np.int32)
floats = rng.normal(size=EVENTS) * 1e6
holed = floats.copy()
holed[rng.random(EVENTS) < 0.3] = np.nan
for n in [1, 3, 100]:
    record(whole, everywhere, n)
    record(floats, there, n)
    record(floats.astype(np.float32), there, n, first="keep")
    record(holed, there, n)
    record(holed, there, n, nan="skip")
save("frames")
