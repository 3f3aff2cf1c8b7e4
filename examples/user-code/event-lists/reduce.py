"""Scripts of a neutron instrument in livereduce's form: `proc` on what arrives, `post_proc` on what is accumulated."""

import os
from pathlib import Path

import numpy as np
from ami_node import Root
from ami_node.compat.livereduce import from_livereduce

EDGES = np.linspace(0, 16000, 161)  # µs


def proc(input):
    """A pulse's event list as a histogram of the times of flight."""
    counts, _ = np.histogram(input, EDGES)
    return counts


def row(input, charge):
    """A row for each pulse: its neutrons and its charge."""
    return [[len(input), charge]]


def post_proc(counts, rows):
    """Counts per charge, in columns."""
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    return np.column_stack([centres, counts, counts / rows[:, 1].sum()])


# Add: the sum of all pulses. Replace: the newest pulse. Append: all pulses, one below the other.
added = from_livereduce(proc, {"counts": "i8[:]"}, method="Add")
newest = from_livereduce(proc, {"counts": "i8[:]"}, method="Replace")
pulses = from_livereduce(row, {"rows": "f8[:, :]"}, inputs=["input", "charge"], method="Append")


class Report(Root):
    """Runs `post_proc` on what is accumulated and writes a text file, anew each time.

    Args:
        directory: where the file lies.
    """

    outputs = {"file": "str", "pulses": "i8", "spectrum": "f8[:, 3]"}
    every = 30.0

    def __init__(self, *, directory: str = "/tmp"):
        self.directory = Path(directory)

    def update(self, frame, counts, rows):
        if counts is None or rows is None:
            return None
        spectrum = post_proc(counts, rows)
        file = self.directory / f"run{frame['run']:04d}.txt"
        unfinished = file.with_suffix(".unfinished")
        header = f"run {frame['run']}, {len(rows)} pulses: time (us), counts, counts per charge (1/pC)"
        np.savetxt(unfinished, spectrum, fmt=["%.1f", "%d", "%.6g"], header=header)
        os.replace(unfinished, file)  # who reads it never sees half a file
        print(f"{file}: {len(rows)} pulses")
        return str(file), len(rows), spectrum


class ReportOften(Report):
    every = 0.5
