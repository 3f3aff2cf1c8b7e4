"""What the recorders share: answers of numpy, scipy and pyFAI for tests/numpy.rs.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy scipy pyFAI
    for f in ami-graph/tests/record/[a-z]*.py; do /tmp/venv/bin/python $f; done

Every number travels as the hexadecimal of its float64 bits, so nothing is rounded on the way.
"""

import hashlib
import io
import json
import pathlib
import struct

import numpy as np

cases = []


def bits(array):
    return [struct.pack(">d", float(x)).hex() for x in np.asarray(array).astype(np.float64).ravel()]


def packed(array):
    array = np.asarray(array)
    return {"dtype": str(array.dtype), "shape": list(array.shape), "bits": bits(array)}


def case(
    node, inputs, outputs, exact=True, present=None, files=None, tolerance=None, relative=None, times=None
):
    """A node over events: `inputs` maps its inputs to arrays whose first axis is the event.

    Of a per-event op, `outputs` are the last event's. `exact` compares bit for bit, with element
    types; otherwise up to `tolerance` (1e-12 of the last input's sum of magnitudes).
    `present` maps inputs to flags per event; an output of None must be absent.
    `relative` is a tolerance in units of the answer; `times` are the events' times in ns.
    `files` are those that parameters name, by `named`.
    """
    each = {name: packed(array) for name, array in inputs.items()}
    for name, flags in (present or {}).items():
        each[name]["present"] = [int(flag) for flag in flags]
    recorded = {
        "node": node,
        "inputs": each,
        "outputs": {name: None if array is None else packed(array) for name, array in outputs.items()},
        "exact": exact,
    }
    if files:
        recorded["files"] = files
    if tolerance is not None:
        recorded["tolerance"] = tolerance
    if relative is not None:
        recorded["relative"] = relative
    if times is not None:
        recorded["times"] = [int(t) for t in times]
    cases.append(recorded)


def named(path, content):
    """A parameter that names a file (an array for .npy, else text), and the `files` of a case."""
    if isinstance(content, str):
        data = content.encode()
    else:
        memory = io.BytesIO()
        np.save(memory, content)
        data = memory.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return f"{path}#sha256={digest}", {digest: data.hex()}


def save(name):
    """Writes what was recorded to tests/data/numpy/NAME.json."""
    path = pathlib.Path(__file__).parent.parent / "data" / "numpy" / f"{name}.json"
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} cases, {path.stat().st_size} bytes")
