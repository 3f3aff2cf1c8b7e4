"""Records numpy's answers to expressions, for tests/expr_numpy.rs.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy
    /tmp/venv/bin/python ami-graph/tests/record_expr.py

Writes tests/data/expr.json: {"numpy": version, "inputs": {name: value},
"cases": [[text, value], …]}. A value is [dtype, shape, elements], the elements as JSON numbers or
bools, with NaN and infinities as strings. A case whose value is a string is one where numpy
raises; the string is the exception's name.
"""

import json
import math
import os
import warnings

import numpy as np

warnings.simplefilter("ignore")
np.seterr(all="ignore")

DTYPES = {
    "b": np.bool_, "u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "u8": np.uint64,
    "i1": np.int8, "i2": np.int16, "i4": np.int32, "i8": np.int64, "f4": np.float32, "f8": np.float64,
}


def values(name, dtype, count, seed):
    """Elements with the corners of the type first."""
    rng = np.random.default_rng(seed)
    if dtype is np.bool_:
        return rng.integers(0, 2, count).astype(np.bool_)
    if name[0] == "f":
        start = [1.5, -2.5, 0.0, np.nan, 3.0, -0.75, np.inf, -0.0, 0.5, 2.5]
        more = rng.normal(0, 10, count)
        return np.concatenate([start, more])[:count].astype(dtype)
    info = np.iinfo(dtype)
    start = [3, info.max, info.min, 1, 0, 2, 5]
    more = rng.integers(max(info.min, -1000), min(info.max, 1000), count, endpoint=True)
    return np.array([int(v) for v in start + list(more)][:count], dtype=dtype)


def make_inputs():
    inputs = {}
    for number, (name, dtype) in enumerate(DTYPES.items()):
        flat = values(name, dtype, 12, number)
        inputs[name + "s"] = dtype(flat[0])  # scalar
        inputs[name + "v"] = flat[:5].copy()  # vector
        inputs[name + "w"] = values(name, dtype, 5, 50 + number)[::-1].copy()
        inputs[name + "m"] = values(name, dtype, 12, 100 + number).reshape(3, 4)
        inputs[name + "c"] = values(name, dtype, 3, 200 + number).reshape(3, 1)
        inputs[name + "e"] = np.zeros(0, dtype)
    # Without NaN, infinities and extremes: for sums and the like.
    rng = np.random.default_rng(7)
    inputs["f8n"] = rng.normal(0, 3, (5, 7))
    inputs["f4n"] = rng.normal(0, 3, (5, 7)).astype(np.float32)
    inputs["f8l"] = rng.normal(1, 3, 3000)
    inputs["u2n"] = rng.integers(0, 4000, (2, 3, 4)).astype(np.uint16)
    inputs["i4n"] = rng.integers(-50, 50, (4, 3)).astype(np.int32)
    inputs["i8i"] = np.int64(-1)
    inputs["u1i"] = np.uint8(2)
    inputs["f8one"] = np.array([0.5])
    return inputs


ENV = {
    "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "log10": np.log10, "log2": np.log2,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "hypot": np.hypot, "floor": np.floor, "ceil": np.ceil, "round": np.round, "sign": np.sign,
    "minimum": np.minimum, "maximum": np.maximum, "clip": np.clip, "where": np.where,
    "isnan": np.isnan, "isfinite": np.isfinite, "sum": np.sum, "mean": np.mean, "std": np.std,
    "var": np.var, "min": np.min, "max": np.max, "argmin": np.argmin, "argmax": np.argmax,
    "median": np.median, "any": np.any, "all": np.all, "count_nonzero": np.count_nonzero,
    "len": len, "cumsum": np.cumsum, "diff": np.diff, "dot": np.dot, "nansum": np.nansum,
    "nanmean": np.nanmean, "nanmin": np.nanmin, "nanmax": np.nanmax, "nanstd": np.nanstd,
    "nanvar": np.nanvar, "nanmedian": np.nanmedian, "quantile": np.quantile,
    "percentile": np.percentile, "nanquantile": np.nanquantile,
    "nanpercentile": np.nanpercentile, "sort": np.sort, "pi": np.pi, "e": np.e,
}
UNARY = ["abs", "sqrt", "exp", "log", "log10", "log2", "sin", "cos", "tan", "asin", "acos", "atan",
         "sinh", "cosh", "tanh", "floor", "ceil", "round", "sign", "isnan", "isfinite"]
REDUCE = ["sum", "mean", "std", "var", "min", "max", "argmin", "argmax", "median", "any", "all",
          "count_nonzero", "nansum", "nanmean", "nanmin", "nanmax", "nanstd", "nanvar", "nanmedian"]
# Not next to the extremes, where numpy's difference of int8 and the like wraps around.
QUANTILES = [("percentile", 30), ("percentile", 37.5), ("quantile", 0.5), ("quantile", 0.6),
             ("nanpercentile", 40), ("nanquantile", 0.35)]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!="]


def texts():
    names = list(DTYPES)
    for d in names:
        for f in UNARY:
            yield f"{f}({d}v)"
            yield f"{f}({d}s)"
        for f in REDUCE:
            for form in ["v", "m", "s", "e"]:
                yield f"{f}({d}{form})"
            yield f"{f}({d}m, 0)"
            yield f"{f}({d}m, axis=-1)"
        for f, q in QUANTILES:
            yield f"{f}({d}v, {q})"
            yield f"{f}({d}m, {q})"
        for f in ["quantile", "nanquantile"]:
            for form in ["s", "e"]:
                yield f"{f}({d}{form}, 0.5)"
        for f in ["cumsum", "sort", "diff", "len"]:
            yield f"{f}({d}v)"
            yield f"{f}({d}m)"
        for f in ["cumsum", "sort", "diff"]:
            yield f"{f}({d}m, axis=0)"
            yield f"{f}({d}m, axis=1)"
        yield f"cumsum({d}s)"
        for op in BINARY:
            for literal in ["2", "0", "-1", "300", "1.5", "True", "1e300"]:
                yield f"{d}v {op} {literal}"
            yield f"3 {op} {d}v"
            yield f"2.5 {op} {d}s"
            yield f"{d}s {op} 2"
        for prefix in ["-", "+", "not "]:
            yield f"{prefix}{d}s"
            yield f"{prefix}{d}v"
        if d[0] != "f":
            yield f"~{d}v"
        yield f"clip({d}v, 0, 2)"
        yield f"clip({d}v, 0.5, 1.5)"
        yield f"where({d}v, 1, 0)"
        yield f"where({d}m > 1, {d}m, 2.5)"
        yield f"maximum({d}v, 1)"
        yield f"hypot({d}v, 2)"
        yield f"hypot({d}v, 2.5)"
        yield f"{d}v[1:4:2]"
        yield f"{d}m[..., ::-1]"
        yield f"{d}m[1]"
        yield f"{d}m[1, -1]"
        for o in names:
            for op in BINARY + ([] if "f" in d + o else ["&", "|", "^"]):
                yield f"{d}v {op} {o}w"
            yield f"{d}s * {o}s + {d}m"
            for f in ["hypot", "atan2", "minimum", "maximum", "dot"]:
                yield f"{f}({d}v, {o}w)"
            yield f"where(bv, {d}v, {o}w)"
            yield f"clip({d}v, {o}s, {o}s)"
    yield from SHAPES


SHAPES = """
f8c + f8v[:4]
f8m * u2c
f8c < i4v[:4]
u2n - u1i
f8n[1:, ::2]
f8n[::-1, -1]
f8n[-2:, 1:-1:3]
f8n[None, :, 0]
f8n[..., None]
f8n[10:]
f8n[i8i]
f8n[u1i, i8i]
f8n[u1i:]
f8n[5]
f8n[0, 0, 0]
f8n[::-2, ::3]
u2n[0]
u2n[:, 1]
u2n[..., 2]
u2n[1, ..., -1]
u2n[:, ::-1, 1:3]
f8l[::7]
f8l[-5:]
f8l[argmax(f8l)]
f8l[argmax(f8l) - 2:argmax(f8l) + 3]
sum(f8l)
mean(f8l)
std(f8l)
var(f8l)
median(f8l)
min(f8l)
max(f8l)
argmax(f8l)
sum(f8l > 1)
sum(f8l[f8l[0] > 0 and 1 or 2:])
cumsum(f8l)[::100]
sum(sin(f8l) * exp(-f8l * f8l / 8) + 2)
sum(u2n, 0)
sum(u2n, 1)
sum(u2n, 2)
sum(u2n, axis=-2)
mean(u2n, 1)
mean(f8n, 0)
mean(f4n, 0)
mean(f4n, 1)
std(f8n, 0)
std(f4n)
var(f4n, 1)
median(f8n, 0)
median(f8n, 1)
median(u2n, 1)
min(u2n, 1)
max(f8n, 0)
argmax(u2n, 1)
argmin(f8n, 0)
any(u2n > 3900, 1)
all(u2n > 10, 0)
count_nonzero(u2n > 2000, 2)
sum(f8n, 2)
sort(f8n)
sort(f8n, 0)
sort(f8n, axis=0)
diff(f8n)
diff(f8n, axis=0)
cumsum(f8n, 0)
cumsum(u2n, 1)
dot(f8n, f8n)
dot(f8n, f8n[0])
dot(f8n[:, 0], f8n)
dot(i4n, i4n[:3, :2])
dot(u2n, u2n[0, :, :3])
dot(u2n[..., :3], u2n)
dot(2, f8n)
dot(f8n, f8one)
round(f8n, 2)
round(f8n, -1)
round(u2n, 1)
sum(u2n) / f8n[0, 0]
0 < f8s < 2
0 < f8v < 2
0 < f8one < 2
1 if f8s > 1 else 2.5
f8v if f8s > 1 else f8n
f8v if f8v else f8n
u2v if bs else u2n
f8s > 0 and f8s < 5
f8v and 1
f8one and 3.5
f8e or 1
bs and bv
bs or bv
not f8one
not f8e
f8v[0] > 1 and f8v[5] > 1
f8v[0] > 9 and f8v[5] > 1
1.5 if f8v[0] > 1 else f8v[5] * 1.0
sqrt(2) * f4v
sqrt(2)
pi * f4v
e ** f8v
2 ** u1v
2 ** i1v
(-2) ** i2w
-2 ** 2
2 ** -1
7 // -2
-7 % 3
1 + 2 * 3 - 4 / 5
True + True
1 < 2 < 3
not 1
0 or 5
3 and 0
0x10 + 1e2
f8m[f8one]
u8v < i8v
i8v >= u8w
u8s == i8s
u8v < 1.5
i8v == 3.0
u1v < 300
u1v > -1
u1v == 300
u1v != -5
bv < 5
u8v < 18446744073709551616
f4v == 0.1
f4v < 1e300
sum(f8m, axis=None)
sum(3)
max(2.5)
min(bv)
abs(-3)
sign(-2.5)
floor(2.5)
hypot(3, 4)
where(True, 1, 2)
where(bv, f8c, 0)
maximum(f8v, f8v[2])
f8m[:, 1:2] * f8c
len(u2n)
len(f8s)
min(f8e)
argmax(f8e)
mean(f8e)
median(f8e)
sum(f8e)
f8e + 1
f8e * f8v
f8v + f8w[:3]
f8m + f8v
(f8v > 1) & (f8v < 3)
(f8v > 1) | ~(f8v < 3)
u2n[:, :, 0] ** 2
f8v ** 0.5
f8v ** -1
f8v ** 3
i4v ** 2.0
f4v ** 2
quantile(f8l, 0.9)
quantile(f8l, 0)
quantile(f8l, 1)
quantile(f8l, 1 / 3)
percentile(f8n, 20, 0)
percentile(f8n, 99, axis=1)
percentile(f4n, 12.5, 1)
percentile(u2n, 50, 1)
percentile(u2n, 33, axis=-1)
nanpercentile(f8n, 75, 0)
nanpercentile(f8m, 50, 0)
nanpercentile(f8m, 10, 1)
nanquantile(f4m, 0.7, axis=0)
quantile(i4n, 0.8, 0)
percentile(f8v, 0)
nanpercentile(f8v, 100)
percentile(f8l, 101)
quantile(f8l, -0.5)
quantile(f8l, 1.5)
nanmin(f8m, 0)
nanmax(f4m, 1)
nanstd(f8n, 0)
nanvar(f8l)
nanvar(f4n, axis=-1)
nanmedian(f8m, 0)
nanmedian(f8n, 1)
nanmedian(f4m, 1)
nanmin(f8v[3:4])
nanmax(f8v[3:4])
nanmean(f8v[3:4])
nansum(f8v[3:4])
nanstd(f8v[3:4])
nanvar(f4v[3:4])
nanmedian(f8v[3:4])
nanpercentile(f8v[3:4], 50)
nanquantile(f4v[3:4], 0.5)
quantile(f8v[3:4], 0.5)
nanmin(f8e + f8e)
nanmedian(f8n[:0], 0)
nanquantile(f8n[:0], 0.5, 0)
quantile(f8n[:0], 0.5, 0)
nanmax(f8n[:0], 0)
""".split("\n")


def encode(value):
    value = np.asarray(value)
    if value.dtype == np.float16:
        value = value.astype(np.float32)
        name = "float16"
    else:
        name = value.dtype.name
    def element(v):
        if isinstance(v, float) and not math.isfinite(v):
            return repr(v)
        return v
    if value.dtype == np.float32:
        elements = [float(f"{v:.9g}") for v in value.ravel().tolist()]
    else:
        elements = value.ravel().tolist()
    return [name, list(value.shape), [element(v) for v in elements]]


def main():
    inputs = make_inputs()
    cases = []
    seen = set()
    for text in texts():
        if not text or text in seen:
            continue
        seen.add(text)
        scope = ENV | inputs
        try:
            answer = eval(text, {"__builtins__": {}}, scope)
            if isinstance(answer, int) and not isinstance(answer, bool) and abs(answer) >= 2**63:
                continue
            answer = encode(answer)
        except Exception as error:
            answer = type(error).__name__
        cases.append([text, answer])
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "expr.json")
    with open(out, "w") as file:
        head = {"numpy": np.__version__, "inputs": {k: encode(v) for k, v in inputs.items()}}
        file.write(json.dumps(head)[:-1] + ',\n"cases": [\n')
        file.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
        file.write("\n]}\n")
    print(len(cases), "cases,", os.path.getsize(out), "bytes")


main()
