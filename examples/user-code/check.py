"""Runs the examples of this folder, each in a system of its own, and compares what comes out with its `expected.json`.

    PATH=target/demo:$PATH python examples/user-code/check.py            # all; `ami-ctl` is taken from PATH
    PATH=target/demo:$PATH python examples/user-code/check.py spectrum --python /opt/psana/bin/python

Needs `ami_client` (`pip install ./ami-store/python`), and an interpreter with numpy that runs the examples' code.
Exits with 1 and says what differs if something does.
"""

import argparse
import json
import math
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ami_client import AmiError, Store

HERE = Path(__file__).resolve().parent
EXAMPLES = sorted(path.parent.name for path in HERE.glob("*/expected.json"))
#: How long a system may take to start, and to come to what is expected.
SECONDS = 60


class Differs(Exception):
    """What is not as expected."""


def graph_of(folder, changes):
    """The example's graph, with what the expectation changes in its nodes."""
    graph = json.loads((folder / "graph.json").read_text())
    for name, node in graph["nodes"].items():
        node.update(changes.get(name, {}))
    return graph


class System:
    """`ami-ctl local` in the example's folder, from its ready line on."""

    def __init__(self, folder, graph, source, options):
        (folder / "applied.json").write_text(json.dumps(graph))
        self.run_dir = folder / "run"
        command = ["ami-ctl", "local", "--json", "--run-dir", self.run_dir, "--source", source]
        command += ["--workers", str(options.workers), "--graph", "applied.json"]
        command += ["--set", f"python.envs.default={options.python}"]
        self.errors = (folder / "stderr").open("w+")
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def __enter__(self):
        readable, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        if not readable or not self.process.stdout.readline():
            self.__exit__()
            self.errors.seek(0)
            raise Differs(f"the system did not start: {self.errors.read()}")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def summary(value):
    """A value as `expected.json` has it: an array by its shape, ends and exact sum."""
    if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value):
        total = int(value.sum()) if value.dtype.kind in "iub" else math.fsum(value.ravel().tolist())
        ends = [value.min().item(), value.max().item()] if value.size else [None, None]
        return {"dtype": value.dtype.str[1:], "shape": list(value.shape), "min": ends[0], "max": ends[1], "sum": total}
    return value.item() if isinstance(value, np.generic) else value


def same(ours, theirs):
    """Whether two values are the same to the bit."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()


def differences(store, folder, expected):
    """What is not, or not yet, as expected; a line for each."""
    for topic, outputs in expected["values"].items():
        feature = store.get(topic)
        if not feature.window_complete:
            yield f"{topic} is not complete: {feature.window_events} of {feature.window_expected} events"
        for output, wanted in outputs.items():
            found = summary(feature[output])
            if found != wanted:
                yield f"{topic} {output}: {json.dumps(found)}, expected {json.dumps(wanted)}"
    for (topic, output), (other, theirs) in expected.get("same", []):
        if not same(store.get(topic)[output], store.get(other)[theirs]):
            yield f"{topic} {output} is not what {other} {theirs} is"
    yield from beside(store, expected.get("beside"))
    for name, lines in expected.get("files", {}).items():
        text = (folder / name).read_text() if (folder / name).exists() else ""
        for line in lines:
            if line not in text.splitlines():
                yield f"{name}: there is no line {line!r}"


def beside(store, expected):
    """Root code is never waited for: its newest value is compared with what was published of as many events."""
    if expected is None:
        return
    (topic, counted), (other, count) = expected["events"]
    newest = store.get(topic)
    if newest[counted] < expected["at_least"]:
        yield f"{topic} {counted}: {newest[counted]}, expected {expected['at_least']} or more"
    beats = [f.heartbeat for f in store.history(other, limit=1000) if f[count] == newest[counted]]
    if not beats:
        yield f"{other} {count} never was {newest[counted]}, as {topic} {counted} is"
        return
    for output, (other, theirs) in expected["same"].items():
        found = [f for f in store.history(other, limit=1000) if f.heartbeat == beats[-1]]
        if not found or not same(newest[output], found[-1][theirs]):
            yield f"{topic} {output} is not what {other} {theirs} is at {newest[counted]} events"


def check(name, options):
    """Runs one example; what differs still when all events are through and some time has passed."""
    folder = Path(tempfile.mkdtemp(prefix="ami-ex-", dir="/tmp"))  # short: a socket's path has at most 107 bytes
    try:
        shutil.copytree(HERE / name, folder, dirs_exist_ok=True)
        expected = json.loads((folder / "expected.json").read_text())
        changes = json.loads(json.dumps(expected.get("changes", {})).replace("FOLDER", str(folder)))
        with System(folder, graph_of(folder, changes), expected["source"], options) as system:
            with Store(system.run_dir) as store:
                found = compared(store, folder, expected)
                if found and options.record:
                    record(HERE / name / "expected.json", store)
                return found
    except Differs as differs:
        return [str(differs)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compared(store, folder, expected):
    graph = json.loads((folder / "graph.json").read_text())["name"]
    end, found = time.monotonic() + SECONDS, ["nothing is published"]
    while found and time.monotonic() < end:
        time.sleep(0.2)
        try:
            events = sum(beat.events for beat in store.history(f"{graph}/@heartbeat", limit=100_000))
            found = [f"{events} of {expected['events']} events"]
            if events >= expected["events"]:
                found = list(differences(store, folder, expected))
        except AmiError as not_yet:
            found = [str(not_yet)]
    return found


def record(path, store):
    """Writes what was found as what is expected; for who changes an example."""
    expected = json.loads(path.read_text())
    for topic, outputs in expected["values"].items():
        feature = store.get(topic)
        expected["values"][topic] = {output: summary(feature[output]) for output in outputs}
    path.write_text(formatted(expected) + "\n")


def formatted(value, indent=""):
    """JSON with what is short on one line."""
    short = json.dumps(value)
    if not value or not isinstance(value, (dict, list)) or len(indent) + len(short) < 110:
        return short
    deeper = indent + "  "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {formatted(part, deeper)}" for key, part in value.items()]
    else:
        lines = [formatted(part, deeper) for part in value]
    ends = "{}" if isinstance(value, dict) else "[]"
    return f"{ends[0]}\n" + ",\n".join(deeper + line for line in lines) + f"\n{indent}{ends[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="EXAMPLE", help=f"default: {' '.join(EXAMPLES)}")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs the examples' code")
    parser.add_argument("--workers", type=int, default=2, help="any number gives the same; default: 2")
    parser.add_argument("--record", action="store_true", help="take the values that come out as expected from now on")
    options = parser.parse_args()
    unknown = set(options.names) - set(EXAMPLES)
    if unknown:
        parser.error(f"there is no example {', '.join(sorted(unknown))}; there are {', '.join(EXAMPLES)}")
    failed = False
    for name in options.names or EXAMPLES:
        differs = check(name, options)
        failed |= bool(differs)
        print("\n  ".join([f"{name}: {'differs' if differs else 'as expected'}", *differs]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
