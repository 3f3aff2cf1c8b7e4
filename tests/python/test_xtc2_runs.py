"""Acceptance: real runs through the whole system against numpy on the reference dumps."""

import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from live import REPO, System, missing, until

from ami_client import Store

DATA = (REPO / ".." / "shared" / "data" / "xtc2").resolve()
RUNS = {
    "chunking": ["chunking/xpptut15-r0014-s000-c000", "chunking/data-r0001-s000-c001"],
    "mixed_rate": ["mixed_rate/xpptut15-r0014-s000-c000", "mixed_rate/xpptut15-r0014-s001-c000"],
    "fakesteps": ["fakesteps/xpptut15-r0014-s000-c000", "fakesteps/xpptut15-r0014-s001-c000"],
    "test_hsd": ["test_hsd"],
    "jungfrau05M": ["jungfrau05M"],
    "synthsmall": ["synthsmall-r0007-s000-c000"],
}
L1_ACCEPT = (11, 12)
EDGES = 10


def datagrams(name):
    path = DATA / (name.replace("/", "__") + ".jsonl")
    opened = path.open() if path.exists() else gzip.open(f"{path}.gz", "rt")
    with opened as lines:
        yield from map(json.loads, lines)


def number(value, integer):
    return int(value) if integer else float(value)


def reference(names):
    """Timestamps of all events, and values by field: a scalar's value, an array's sum."""
    timestamps, values, segments, kinds = set(), defaultdict(list), defaultdict(set), {}
    for name in names:
        for datagram in datagrams(name):
            if datagram["service_id"] not in L1_ACCEPT:
                continue
            timestamps.add(datagram["timestamp"])
            for entry in datagram["data"]:
                if entry["dtype"] == "CHARSTR":
                    continue
                integer = entry["dtype"] not in ("FLOAT", "DOUBLE")
                key = (entry["det"], entry["segment"], entry["alg"], entry["field"])
                raw = entry["sum"] if entry["rank"] else entry["first"][0]
                segments[entry["det"]].add(entry["segment"])
                kinds[key] = (integer, entry["rank"], entry["dtype"])
                values[key].append((int(datagram["timestamp"]), number(raw, integer)))
    fields = {}
    for (det, segment, alg, field), found in values.items():
        several = len(segments[det]) > 1
        full = f"{det}.{segment}:{alg}:{field}" if several else f"{det}:{alg}:{field}"
        fields[full] = (*kinds[det, segment, alg, field], [v for _, v in sorted(found)])
    return timestamps, fields


def edges_for(values):
    low, high = float(min(values)), float(max(values))
    return np.linspace(low, high + max(1.0, abs(high) * 1e-3), EDGES + 1).tolist()


def graph_for(fields):
    nodes, publish = {}, []
    for n, (name, (_, rank, _, values)) in enumerate(fields.items()):
        if rank:
            nodes[f"s{n}"] = {"op": "array_stat", "in": name, "stat": "sum"}
        source = f"s{n}" if rank else name
        for op in ("mean", "sum", "stats"):
            nodes[f"{op}{n}"] = {"op": op, "in": source}
        nodes[f"hist{n}"] = {"op": "hist", "in": source, "bins": edges_for(values)}
        publish += [f"{op}{n}" for op in ("mean", "sum", "stats", "hist")]
    return {"name": "x", "nodes": nodes, "publish": publish}


def close(found, wanted, scale):
    return abs(found - wanted) <= 1e-12 * scale or (np.isnan(found) and np.isnan(wanted))


def deviations(frame, n, name, integer, rank, dtype, values):
    """What differs, as text."""
    wrong, count = [], len(values)
    floats = np.array(values, dtype=np.float64)
    total = sum(values) if integer else float(np.sum(floats))
    # Sums of float32 arrays are float32: the dump's were taken in float64.
    rounding = 2e-7 * np.max(np.abs(floats)) if rank and dtype == "FLOAT" else 0.0
    scale = max(float(np.sum(np.abs(floats))), 1e-300)

    def check(what, found, wanted, scale, slack=0.0):
        if not close(found, wanted, scale) and not abs(found - wanted) <= slack:
            wrong.append(f"{name} {what}: {found!r}, numpy {wanted!r}")

    mean, summed, stats, hist = (frame[f"x/{op}{n}"] for op in ("mean", "sum", "stats", "hist"))
    for feature in (mean, summed, stats):
        if feature["count"] != count:
            wrong.append(f"{name} {feature.op} count: {feature['count']}, dump {count}")
    if integer:
        fits = -(2**63) <= total < 2**64
        if (summed.value != total) if fits else not close(summed.value, float(total), scale):
            wrong.append(f"{name} sum: {summed.value!r}, exact {total!r}")
    else:
        check("sum", summed.value, total, scale, rounding * count)
    check("mean", mean.value, total / count, scale / count, rounding)
    check("stats.mean", stats["mean"], total / count, scale / count, rounding)
    check("stats.min", stats["min"], floats.min(), 0, rounding)
    check("stats.max", stats["max"], floats.max(), 0, rounding)
    check("stats.std", stats["std"], floats.std(), 1e4 * np.max(np.abs(floats)), rounding)
    check("stats.rms", stats["rms"], np.sqrt(np.mean(floats**2)), np.max(np.abs(floats)), rounding)
    counts, _ = np.histogram(floats, edges_for(values))
    if not rounding and (hist["counts"].tolist() != counts.tolist() or hist["overflow"] or hist["underflow"]):
        wrong.append(f"{name} hist: {hist['counts'].tolist()}, numpy {counts.tolist()}")
    if rounding and hist["counts"].sum() + hist["overflow"] + hist["underflow"] != count:
        wrong.append(f"{name} hist: {hist['counts'].sum()} entries, dump {count}")
    if not all(f.window_complete for f in (mean, summed, stats, hist)):
        wrong.append(f"{name}: not complete over the run")
    return wrong


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("run", RUNS)
def test_a_run_is_what_numpy_says(run, workers):
    if missing():
        pytest.skip(missing())
    paths = [DATA / f"{name}.xtc2" for name in RUNS[run]]
    if not all(path.exists() for path in paths):
        pytest.skip(f"skipped: no reference data {Path(*paths[0].parts[-3:])} beside the repository")
    timestamps, fields = reference(RUNS[run])
    url = "xtc2:" + ",".join(map(str, paths))
    with System(url, graph_for(fields), workers) as system, Store(system.run_dir) as store:
        beats = []

        def all_events():
            beats[:] = store.history("x/@heartbeat", limit=100_000)
            return sum(f.events for f in beats) >= len(timestamps)

        until(all_events, 60, what=f"{len(timestamps)} events")
        assert sum(f.events for f in beats) == len(timestamps)
        assert [f.heartbeat for f in beats if not f.complete] == []
        frame = store.snapshot("x")
        wrong = []
        for n, (name, field) in enumerate(fields.items()):
            if f"x/mean{n}" not in frame:
                wrong.append(f"{name}: not published in the last frame")
            else:
                wrong += deviations(frame, n, name, *field)
    assert wrong == [], "\n".join(wrong)
