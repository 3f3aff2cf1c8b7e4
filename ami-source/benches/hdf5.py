"""Writes files to DIRECTORY and prints how fast h5py reads their frames into memory that is there: name, bytes
of a frame, GB/s (best of three)."""

import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import h5py
import hdf5plugin
import numpy as np

rng = np.random.default_rng(3)
n, shape = 300, (512, 1024)
frames = rng.poisson(2, (n, *shape)).astype("u2")
p = hdf5plugin
kinds = {
    "plain": dict(chunks=(1, *shape)),
    "one_piece": {},
    "bslz4": dict(chunks=(1, *shape), **p.Bitshuffle(cname="lz4")),
    "gzip_shuffle": dict(chunks=(1, *shape), compression="gzip", compression_opts=1, shuffle=True),
    "lz4": dict(chunks=(1, *shape), **p.LZ4()),
    "lzf": dict(chunks=(1, *shape), compression="lzf"),
    "blosc_lz4": dict(chunks=(1, *shape), **p.Blosc(cname="lz4", shuffle=p.Blosc.SHUFFLE)),
    "bszstd": dict(chunks=(1, *shape), **p.Bitshuffle(cname="zstd")),
    "blocks": dict(chunks=(16, 64, 1024), compression="lzf"),
}
out = []
for name, options in kinds.items():
    path = f"{sys.argv[1]}/{name}.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("data", data=frames, **options)
    best = 0
    for _ in range(3):
        with h5py.File(path) as f:
            d = f["data"]
            to = np.ones(shape, "u2")
            t = time.perf_counter()
            for i in range(n):
                d.read_direct(to, np.s_[i])
            best = max(best, frames.nbytes / (time.perf_counter() - t) / 1e9)
    out.append([name, frames[0].nbytes, best])
with h5py.File(f"{sys.argv[1]}/scalars.h5", "w") as f:
    for k in range(4):
        f.create_dataset(f"x{k}", data=rng.normal(size=500_000), chunks=(1000,))
best = 0
for _ in range(3):
    with h5py.File(f"{sys.argv[1]}/scalars.h5") as f:
        t = time.perf_counter()
        for k in range(4):
            f[f"x{k}"][()]
        best = max(best, 4 * 8 * 500_000 / (time.perf_counter() - t) / 1e9)
out.append(["scalars", 32, best])
print(json.dumps(out))
