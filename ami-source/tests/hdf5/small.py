"""Writes small_old.h5 and small_new.h5: samples for tests that damage them.

    python small.py
"""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

HERE = Path(__file__).parent
N = 12
for name, libver in (("small_old", "earliest"), ("small_new", ("v108", "v110"))):
    with h5py.File(HERE / f"{name}.h5", "w", libver=libver) as f:
        f.attrs["default"] = "entry"
        image = np.arange(N * 6 * 8, dtype="u2").reshape(N, 6, 8) % 97
        f.create_dataset("entry/image", data=image, chunks=(1, 6, 8), maxshape=(None, 6, 8), **hdf5plugin.Bitshuffle(cname="lz4"))
        f.create_dataset("entry/tiles", data=image.astype(">u4"), chunks=(5, 4, 4), compression="gzip", shuffle=True, fletcher32=True)
        f.create_dataset("entry/lzf", data=image.astype("f2"), chunks=(3, 6, 8), compression="lzf")
        f.create_dataset("entry/fixed", data=np.arange(N), chunks=(1,))
        f.create_dataset("entry/both", data=image[:, 0], chunks=(2, 3), maxshape=(None, None))
        f.create_dataset("entry/blosc", data=image[:, 0] / 2, chunks=(4, 8), **hdf5plugin.Blosc(cname="lz4"))
        f["entry/timestamp"] = 1_735_689_600_000_000_000 + np.arange(N, dtype="u8") * 10_000_000
        f["entry/timestamp"].attrs["units"] = "ns"
        f["entry/pulse_id"] = np.arange(N) + 100
        f["entry/flag"] = np.arange(N) % 2 == 0
        f["entry/name"] = np.array([f"n{i}" for i in range(N)], "S4")
        f.create_dataset("entry/long", data=[f"event {i}" for i in range(N)], dtype=h5py.string_dtype())
        lists = f.create_dataset("entry/lists", (N,), h5py.vlen_dtype("<i2"))
        for i in range(N):
            lists[i] = np.arange(i % 4)
        f.create_dataset("entry/state", data=np.arange(N) % 3, dtype=h5py.enum_dtype({"OFF": 0, "ON": 1, "TRIP": 2}, "i1"))
        f["entry/wavelength"] = 1.25
        f["entry/again"] = h5py.SoftLink("/entry/image")
        f["entry/gone"] = h5py.ExternalLink("nowhere.h5", "/x")
        for i in range(12):
            f["entry/pulse_id"].attrs[f"a{i}"] = i
            f[f"many/d{i:02}"] = np.int16(i)
        layout = h5py.VirtualLayout((N, 2, 8), "u2")
        layout[:, 0] = h5py.VirtualSource(".", "/entry/both", (N, 8))
        if name == "small_new":
            f.create_virtual_dataset("entry/virtual", layout, fillvalue=5)
