"""Writes an HDF5 file row by row for readers (SWMR), as it is told on stdin.

    python grow.py FILE [--plain]     N: so many rows more, answered by "ok"; "close": the end; EOF: killed

Row i: /entry/data u2 4x6 all i, gzip; /entry/x float i/2; /entry/timestamp ns. --plain: not announced to readers.
"""

import os
import sys

import h5py
import numpy as np

T0 = 1_735_689_600_000_000_000
f = h5py.File(sys.argv[1], "w", libver="latest")
f["entry/title"] = "grows"
data = f.create_dataset("entry/data", (0, 4, 6), "u2", maxshape=(None, 4, 6), chunks=(1, 4, 6), compression="gzip")
x = f.create_dataset("entry/x", (0,), "f8", maxshape=(None,), chunks=(7,))
stamps = f.create_dataset("entry/timestamp", (0,), "u8", maxshape=(None,), chunks=(5,))
if "--plain" not in sys.argv:
    f.swmr_mode = True
f.flush()
print("ok", flush=True)
n = 0
for line in sys.stdin:
    if line.strip() == "close":
        f.close()
        print("ok", flush=True)
        break
    for _ in range(int(line)):
        for d in (data, x, stamps):
            d.resize(n + 1, axis=0)
        data[n] = n
        x[n] = n / 2
        stamps[n] = T0 + n * 10_000_000
        n += 1
        for d in (data, x, stamps):
            d.flush()
    print("ok", flush=True)
else:
    os._exit(1)
