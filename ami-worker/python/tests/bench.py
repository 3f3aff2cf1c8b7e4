"""What the host adds to user code: `python tests/bench.py`. Processor time, best of several."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict

import numpy as np
from driver import Driver

SOURCE = """
import numpy as np
from ami_node import per_event, PerEvent, Reduction

@per_event(outputs={"y": "f8"})
def scalar(x, i0, *, k=2.0):
    return x * k / i0

@per_event(outputs={"y": "f8", "z": "f8"})
def two(x, i0, *, k=2.0):
    return x * k, x / i0

@per_event(outputs={"y": "f8"}, batch=True)
def scalar_batch(x, i0, *, k=2.0):
    return np.log(np.sqrt(x * k / i0) + 1.0) + np.exp(-x)

@per_event(outputs={"y": "u8"}, batch=True)
def image_batch(image):
    return image.sum(axis=(1, 2), dtype="u8")

@per_event(outputs={"y": "f8"}, batch=True)
def heavy_batch(x, i0):
    phase = np.arctan2(x, i0) + np.sin(x) * np.cos(i0)
    return np.cumsum(np.sort(phase)) / np.power(x, i0)

@per_event(outputs={"y": "f8"}, batch=True)
def nothing(x):
    return x

class Sum(Reduction):
    outputs = {"y": "f8[:]"}
    def start(self): return {"sum": np.zeros(512), "n": 0}
    def absorb_batch(self, state, x): state["n"] += len(x)
    def finish(self, state): return state["sum"]
"""
NAMES = ("scalar", "two", "scalar_batch", "image_batch", "heavy_batch", "nothing", "Sum")
N = 1000


def best(work: Callable[[], Any], times: int = 60, clock: Callable[[], float] = time.process_time) -> float:
    least = float("inf")
    for _ in range(times):
        began = clock()
        work()
        least = min(least, clock() - began)
    return least


def host_time(driver: Driver, call: Dict[str, Any], repeat: int = 20, times: int = 12) -> float:
    """Processor time of the host for one call; sent ready-made, so that this side hardly counts."""
    data = json.dumps({**call, "inbox": driver.size}).encode()

    def cpu() -> float:
        with open(f"/proc/{driver.process.pid}/schedstat") as file:
            return int(file.read().split()[0]) * 1e-9

    least = float("inf")
    for _ in range(times):
        began = cpu()
        for _ in range(repeat):
            driver.control.send(data)
            driver.control.recv(1 << 16)
        least = min(least, (cpu() - began) / repeat)
    return least


def main() -> None:
    rng = np.random.default_rng(1)
    x, i0 = rng.uniform(1, 2, (2, N))
    images = rng.integers(0, 1000, (64, 1024, 1024), dtype="u2")
    scope: Dict[str, Any] = {"__name__": "bare"}
    exec(SOURCE, scope)
    functions = [scope[name].function for name in NAMES[:5]]
    scalar, two, batch, image, heavy = functions
    big = [np.tile(v, 5)[:4096] for v in (x, i0)]
    with Driver() as driver:
        inputs = [driver.scalars(x, "f8"), driver.scalars(i0, "f8")]
        stack = driver.dense(images)
        for i, name in enumerate(NAMES):
            source = [driver.put(SOURCE.encode()), len(SOURCE.encode())]
            driver.send(call="load", id=i, source=source, file="bench.py", name=name, params={})
            assert "ok" in json.loads(driver.control.recv(1 << 16))

        def events(id: int, columns: Any, count: int = N) -> float:
            return host_time(driver, {"call": "events", "id": id, "events": count, "mask": None, "columns": columns})

        def bare(function: Any) -> float:
            return best(lambda: [function(a, b) for a, b in zip(x, i0)])

        absorb = {"call": "absorb", "id": 6, "state": None, "events": N, "mask": None, "columns": inputs[:1]}
        print(f"per call, events:   {1e6 * events(5, inputs[:1]):8.1f} us")
        print(f"per call, absorb:   {1e6 * host_time(driver, absorb):8.1f} us")
        _row("event, one scalar", bare(scalar), events(0, inputs), N)
        _row("event, two scalars", bare(two), events(1, inputs), N)
        _row("batch, scalars", best(lambda: batch(*big)) / 4096 * N, events(2, inputs), N)
        _row("batch, more work", best(lambda: heavy(*big)) / 4096 * N, events(4, inputs), N)
        _row("batch, 1024^2 u2", best(lambda: image(images), 8), events(3, [stack], 64), 64)


def _row(name: str, bare: float, host: float, count: int) -> None:
    print(f"{name:20}{1e6 * bare / count:9.3f} us bare {1e6 * host / count:9.3f} us host  ratio {bare / host:.2f}")


if __name__ == "__main__":
    main()
