"""Writes HDF5 files of every kind with h5py, and what h5py reads from them, for tests in Rust.

    python make.py DIRECTORY        all cases; DIRECTORY/cases.json says what should be read

A case is a URL and its events: timestamp, and by field dtype, shape and where its bytes lie in expected.bin.
"""

import json
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

T0 = 1_735_689_600_000_000_000
OUT = Path(sys.argv[1])
RNG = np.random.default_rng(1)
CASES = []
BIN = open(OUT / "expected.bin", "wb")


def put(value):
    """A value as ami has it: dtype, shape, place."""
    if isinstance(value, (bytes, str, np.bytes_)):
        data = value.encode() if isinstance(value, str) else bytes(value)
        data = data.split(b"\0")[0].rstrip(b" ")
        at = BIN.tell()
        BIN.write(data)
        return ["str", [], at, len(data)]
    value = np.asarray(value)
    if value.dtype.kind == "f" and value.dtype.itemsize == 2:
        value = value.astype(np.float32)
    value = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"))) if value.shape else value.astype(value.dtype.newbyteorder("<"))
    at = BIN.tell()
    data = value.tobytes()
    BIN.write(data)
    return [value.dtype.name, list(value.shape), at, len(data)]


def case(name, url, events, held=None, counters=None):
    CASES.append({"name": name, "url": url, "events": events, "held": held or {}, "counters": counters or {}})


def rows(fields, stamps):
    """Events from arrays with one row each."""
    return [
        {"stamp": int(stamp), "fields": {n: put(v[i]) for n, v in fields.items() if i < len(v)}}
        for i, stamp in enumerate(stamps)
    ]


def steps(n, hz=100):
    return [i * (10**9 // hz) for i in range(n)]


def read(path, names):
    """What h5py says, by ami's names."""
    found = {}
    with h5py.File(path, "r") as f:
        for name in names:
            d = f[name]
            found[name.strip("/").replace("/", ":")] = d.asstr()[()] if h5py.check_string_dtype(d.dtype) and d.dtype.kind == "O" else d[()]
    return found


def plain(name, write, fields, n, url="", stamps=None, **kw):
    path = OUT / f"{name}.h5"
    libver = kw.pop("libver", "earliest")
    with h5py.File(path, "w", libver=libver, **kw) as f:
        write(f)
    case(name, f"hdf5:{path}{url}", rows(read(path, fields), steps(n) if stamps is None else stamps))


def dtypes():
    n = 11
    codes = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">u4", ">u8", ">i2", ">i4", ">i8", ">f2", ">f4", ">f8"]
    codes = [c if c[0] == ">" else "<" + c for c in codes]

    def label(code):
        return code.replace("<", "le_").replace(">", "be_")

    def write(f):
        for code in codes:
            values = RNG.integers(0, 100, n)
            if "i" in code or "f" in code:
                values -= 50
            f[f"scalar/{label(code)}"] = (values / (4 if "f" in code else 1)).astype(code)
            f[f"line/{label(code)}"] = RNG.integers(0, 100, (n, 7)).astype(code)
        f["truth"] = RNG.integers(0, 2, n).astype(bool)
        f["truths"] = RNG.integers(0, 2, (n, 5)).astype(bool)
        f["text"] = np.array([f"t{i}" * (i % 3) for i in range(n)], "S9")
        f.create_dataset("long", data=[f"event {i} µ" for i in range(n)], dtype=h5py.string_dtype())
        f["arrays"] = np.zeros(n, np.dtype(("<i4", (2, 3)))) + 7
        lists = f.create_dataset("lists", (n,), h5py.vlen_dtype("<f4"))
        for i in range(n):
            lists[i] = np.arange(i, dtype="f4")
        f.create_dataset("state", data=np.arange(n) % 3, dtype=h5py.enum_dtype({"OFF": 0, "ON": 1, "TRIP": 2}, "<i4"))

    names = [f"{k}/{label(c)}" for k in ("scalar", "line") for c in codes]
    names += ["truth", "truths", "text", "long", "arrays", "lists", "state"]
    plain("dtypes", write, names, n)
    plain("dtypes_latest", write, names, n, libver="latest")


def filters():
    image = RNG.poisson(3, (13, 33, 47)).astype("u2")
    image[0] = 0
    image[1] = 65535
    p = hdf5plugin
    kinds = {
        "none": {},
        "gzip": dict(compression="gzip", compression_opts=4),
        "gzip_shuffle": dict(compression="gzip", shuffle=True),
        "lzf": dict(compression="lzf"),
        "lzf_shuffle": dict(compression="lzf", shuffle=True),
        "fletcher": dict(fletcher32=True),
        "all": dict(compression="gzip", shuffle=True, fletcher32=True),
        "lz4": p.LZ4(),
        "bitshuffle": p.Bitshuffle(cname="none"),
        "bslz4": p.Bitshuffle(cname="lz4"),
        "bszstd": p.Bitshuffle(cname="zstd"),
        "zstd": p.Zstd(),
    }
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
        for shuffle in (p.Blosc.NOSHUFFLE, p.Blosc.SHUFFLE, p.Blosc.BITSHUFFLE):
            kinds[f"blosc_{cname}_{shuffle}"] = p.Blosc(cname=cname, clevel=5, shuffle=shuffle)
    for libver in ("earliest", "latest"):
        for label, chunks in (("frame", (1, 33, 47)), ("block", (4, 33, 47)), ("tile", (3, 10, 11))):

            def write(f):
                for kind, options in kinds.items():
                    f.create_dataset(f"u2/{kind}", data=image, chunks=chunks, **options)
                    f.create_dataset(f"f8/{kind}", data=image * 0.5, chunks=chunks, **options)
                    f.create_dataset(f"u1/{kind}", data=(image % 251).astype("u1"), chunks=chunks, **options)
                    f.create_dataset(f"be/{kind}", data=image.astype(">u4"), chunks=chunks, **options)

            names = [f"{t}/{k}" for t in ("u2", "f8", "u1", "be") for k in kinds]
            plain(f"filters_{label}_{libver}", write, names, 13, libver=libver)


def indices():
    for libver in ("earliest", "latest"):
        for gzip in (None, "gzip"):

            def write(f):
                n = 5000
                x = np.arange(n, dtype="i4")
                f.create_dataset("single", data=np.arange(n * 2).reshape(n, 2), chunks=(n, 2), compression=gzip)
                f.create_dataset("fixed", data=x, chunks=(1,), maxshape=(n,), compression=gzip)
                f.create_dataset("fixed_larger", data=x, chunks=(7,), maxshape=(2 * n,), compression=gzip)
                f.create_dataset("growing", data=x, chunks=(1,), maxshape=(None,), compression=gzip)
                f.create_dataset("growing2", data=np.arange(n * 3).reshape(n, 3), chunks=(2, 2), maxshape=(None, 3), compression=gzip)
                f.create_dataset("side", data=np.arange(n * 3).reshape(n, 3), chunks=(50, 1), maxshape=(n, None), compression=gzip)
                f.create_dataset("both", data=np.arange(n * 3).reshape(n, 3), chunks=(3, 2), maxshape=(None, None), compression=gzip)
                f["whole"] = x
                if gzip is None:
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_chunk((16,))
                    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                    space = h5py.h5s.create_simple((n,))
                    d = h5py.h5d.create(f.id, b"implicit", h5py.h5t.NATIVE_INT32, space, plist)
                    d.write(h5py.h5s.ALL, h5py.h5s.ALL, x)

            names = ["single", "fixed", "fixed_larger", "growing", "growing2", "side", "both", "whole"]
            names += [] if gzip else ["implicit"]
            plain(f"index_{libver}_{gzip}", write, names, 5000, libver=libver)


def holes():
    def write(f):
        d = f.create_dataset("hole", (9, 4), "f4", chunks=(2, 4), fillvalue=3.5)
        d[4] = 1
        f.create_dataset("never", (9, 4), "i2", fillvalue=-7)
        f.create_dataset("zeros", (9, 4), "i2", chunks=(1, 4))
        f.create_dataset("tiny", data=np.arange(9, dtype="u1"))

    plain("holes", write, ["hole", "never", "zeros", "tiny"], 9)
    plain("holes_latest", write, ["hole", "never", "zeros", "tiny"], 9, libver="latest")
    plain("userblock", write, ["hole", "never", "zeros", "tiny"], 9, userblock_size=1024)


def many():
    def write(f):
        for i in range(300):
            f[f"group/dataset_{i:02}x"] = np.arange(4) * i
        for i in range(60):
            f["group/dataset_00x"].attrs[f"attribute {i}"] = "x" * 200

    names = [f"group/dataset_{i:02}x" for i in range(300)]
    plain("many", write, names, 4)
    plain("many_latest", write, names, 4, libver="latest")


def stamps():
    n = 6
    ns = T0 + np.arange(n, dtype="u8") * 1_000_003

    def write(f):
        f["x"] = np.arange(n)
        f["timestamp"] = ns
        f["other/seconds"] = ns / 1e9
        f["other/ms"] = (ns // 10**6)
        f["other/relative"] = np.arange(n) * 0.5
        f["other/relative"].attrs["units"] = "s"
        f["other/relative"].attrs["offset"] = "2025-01-01T00:00:00Z"
        f["other/lcls"] = (ns // 10**9 - 631152000 << 32) + ns % 10**9
        f["pulse_id"] = np.arange(n) * 3 + 10**10

    names = ["x", "timestamp", "pulse_id", "other/seconds", "other/ms", "other/relative", "other/lcls"]
    plain("stamps", write, names, n, stamps=ns)
    path = OUT / "stamps.h5"
    got = read(path, names)
    case("stamps_relative", f"hdf5:{path}?timestamp=/other/relative", rows(got, [T0 + i * 500_000_000 for i in range(n)]))
    case("stamps_ms", f"hdf5:{path}?timestamp=other/ms", rows(got, [int(t) // 10**6 * 10**6 for t in ns]))
    case("stamps_lcls", f"hdf5:{path}?timestamp=other:lcls&epoch=epics", rows(got, ns))
    case("stamps_counter", f"hdf5:{path}?epoch=counter", rows(got, np.arange(n) * 3 + 10**10))
    only = {k: got[k] for k in ("x", "other:ms")}
    case("selected", f"hdf5:{path}?fields=x,other:m*", rows(only, ns))
    case("start_events", f"hdf5:{path}?start=2&events=3", rows(got, ns)[2:5])


def links():
    data = OUT / "linked_data.h5"
    with h5py.File(data, "w") as f:
        f["inside/there"] = np.arange(8) * 5
    path = OUT / "links.h5"
    with h5py.File(path, "w") as f:
        f["entry/instrument/detector/data"] = np.arange(8 * 6).reshape(8, 2, 3)
        f["entry/data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        f["entry/data/again"] = f["entry/instrument/detector/data"]
        f["entry/circle"] = h5py.SoftLink("/entry")
        f["entry/self"] = f["entry"]
        f["dangling"] = h5py.SoftLink("/nowhere")
        f["far"] = h5py.ExternalLink("linked_data.h5", "/inside/there")
        f["gone"] = h5py.ExternalLink("no_such_file.h5", "/x")
        f["entry/title"] = "a title"
        f["entry/distance"] = 0.25
        f["entry/mask"] = np.eye(3, dtype="u1")
    with h5py.File(path) as f:
        fields = {"entry:data:again": f["entry/data/again"][()], "far": f["far"][()]}
    case("links", f"hdf5:{path}", rows(fields, steps(8)),
         held={"entry:title": put("a title"), "entry:distance": put(np.float64(0.25)), "entry:mask": put(np.eye(3, dtype="u1"))},
         counters={"broken_links": 2})
    renamed = {"/entry/instrument/detector/data": fields["entry:data:again"]}
    CASES[-1]["alias"] = {k: "entry:data:again" for k in renamed}


def virtual():
    n, modules = 10, 3
    sources = []
    for m in range(modules):
        path = OUT / f"module_{m}.h5"
        with h5py.File(path, "w") as f:
            f.create_dataset("data", data=RNG.integers(0, 999, (n, 4, 5)).astype("u2"), chunks=(2, 4, 5), compression="gzip")
        sources.append(path)
    for libver in ("v110", "latest"):
        path = OUT / f"virtual_{libver}.h5"
        with h5py.File(path, "w", libver=libver) as f:
            stack = h5py.VirtualLayout((n, modules, 4, 5), "u2")
            wide = h5py.VirtualLayout((n, 4 * modules + 2, 5), "u2")
            behind = h5py.VirtualLayout((n * modules, 4, 5), "u2")
            every = h5py.VirtualLayout((n, 4, 5), "u2")
            for m, name in enumerate(sources):
                source = h5py.VirtualSource(name.name, "data", (n, 4, 5))
                stack[:, m] = source
                wide[:, 4 * m + (2 if m == 2 else 0) : 4 * m + 4 + (2 if m == 2 else 0)] = source
                behind[m * n : (m + 1) * n] = source
                every[m:n:modules] = source[m:n:modules]
            f.create_virtual_dataset("stack", stack, fillvalue=0)
            f.create_virtual_dataset("wide", wide, fillvalue=9)
            f.create_virtual_dataset("every", every, fillvalue=1)
        with h5py.File(path) as f:
            case(f"virtual_{libver}", f"hdf5:{path}", rows({k: f[k][()] for k in ("stack", "wide", "every")}, steps(n)))
        path = OUT / f"virtual_long_{libver}.h5"
        with h5py.File(path, "w", libver=libver) as f:
            f.create_virtual_dataset("behind", behind, fillvalue=0)
        with h5py.File(path) as f:
            case(f"virtual_long_{libver}", f"hdf5:{path}", rows({"behind": f["behind"][()]}, steps(n * modules)))


def dectris_master():
    frames = RNG.poisson(2, (25, 32, 40)).astype("u4")
    for i in range(3):
        with h5py.File(OUT / f"series_1_data_{i + 1:06}.h5", "w", libver="latest") as f:
            d = f.create_dataset("/entry/data/data", data=frames[i * 10 : (i + 1) * 10], chunks=(1, 32, 40), **hdf5plugin.Bitshuffle(cname="lz4"))
            d.attrs["image_nr_low"] = i * 10 + 1
    path = OUT / "series_1_master.h5"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_group("entry").attrs["NX_class"] = "NXentry"
        f["entry/instrument/detector/count_time"] = np.float32(0.01)
        f["entry/instrument/detector/count_time"].attrs["units"] = "s"
        f["entry/instrument/detector/detectorSpecific/pixel_mask"] = np.zeros((32, 40), "u4")
        for i in range(3):
            f[f"entry/data/data_{i + 1:06}"] = h5py.ExternalLink(f"series_1_data_{i + 1:06}.h5", "/entry/data/data")
    case("dectris", f"hdf5:{path}?rate=100", rows({"entry:data:data": frames}, steps(25)),
         held={"entry:instrument:detector:count_time": put(np.float32(0.01))})


def cxi():
    n = 7
    image = RNG.normal(size=(n, 16, 20)).astype("f4")

    def write(f):
        f["cxi_version"] = 130
        f.create_dataset("entry_1/data_1/data", data=image, chunks=(1, 16, 20))
        f["entry_1/instrument_1/detector_1/data"] = h5py.SoftLink("/entry_1/data_1/data")
        f["entry_1/result_1/nPeaks"] = np.arange(n)
        f["entry_1/result_1/peakXPosRaw"] = RNG.normal(size=(n, 50)).astype("f4")
        f["LCLS/machineTime"] = np.arange(n) + 1_400_000_000

    plain("cxi", write, ["entry_1/data_1/data", "entry_1/result_1/nPeaks", "entry_1/result_1/peakXPosRaw", "LCLS/machineTime"], n,
          url="?timestamp=/LCLS/machineTime", stamps=[(i + 1_400_000_000) * 10**9 for i in range(n)])


def xfel():
    trains = np.arange(6, dtype="u8") + 10_000_000_000
    pulses = [3, 3, 0, 3, 2, 3]
    first = np.concatenate([[0], np.cumsum(pulses)[:-1]]).astype("u8")
    images = RNG.integers(0, 99, (sum(pulses), 2, 4, 5)).astype("u2")
    det, xgm = "SPB_DET_AGIPD1M-1/DET/0CH0:xtdf", "SPB_XTD9_XGM/XGM/DOOCS"
    path = OUT / "RAW-R0034-AGIPD00-S00000.h5"
    with h5py.File(path, "w") as f:
        f["METADATA/dataFormatVersion"] = np.array([b"1.2"])
        f["INDEX/trainId"] = trains
        f["INDEX/timestamp"] = np.zeros(6, "u8")
        f[f"INDEX/{det}/image/first"] = first
        f[f"INDEX/{det}/image/count"] = np.array(pulses, "u8")
        f[f"INDEX/{det}/header/first"] = np.arange(6, dtype="u8")
        f[f"INDEX/{det}/header/count"] = np.array([1, 1, 0, 1, 1, 1], "u8")
        f.create_dataset(f"INSTRUMENT/{det}/image/data", data=images, chunks=(1, 2, 4, 5), maxshape=(None, 2, 4, 5))
        f[f"INSTRUMENT/{det}/image/pulseId"] = np.arange(sum(pulses), dtype="u8").reshape(-1, 1)
        f[f"INSTRUMENT/{det}/header/pulseCount"] = np.arange(6, dtype="u8") * 2
        f[f"INDEX/{xgm}/first"] = np.arange(6, dtype="u8")
        f[f"INDEX/{xgm}/count"] = np.ones(6, "u8")
        f[f"CONTROL/{xgm}/pulseEnergy/photonFlux/value"] = np.arange(6) * 0.5
        f[f"RUN/{xgm}/gasdosing/value"] = np.array([1.5])
    events = []
    for t, train in enumerate(trains):
        a, b = int(first[t]), int(first[t]) + pulses[t]
        fields = {
            f"{det}:image.data": put(images[a:b]),
            f"{det}:image.pulseId": put(np.arange(a, b, dtype="u8").reshape(-1, 1)),
            f"{xgm}:pulseEnergy.photonFlux.value": put(np.float64(t * 0.5)),
        }
        if t != 2:
            fields[f"{det}:header.pulseCount"] = put(np.uint64(t * 2))
        events.append({"stamp": int(train) * 10**8, "fields": fields})
    case("xfel", f"hdf5:{path}", events, held={f"RUN:{xgm.replace('/', ':')}:gasdosing:value": put(np.float64(1.5))})
    other = OUT / "RAW-R0034-DA01-S00000.h5"
    laser = "SPB_LAS_SYS/ADC/UTC1-1"
    with h5py.File(other, "w") as f:
        f["INDEX/trainId"] = trains[1:] + np.array([0, 0, 0, 0, 1], "u8")
        f[f"INDEX/{laser}/first"] = np.arange(5, dtype="u8")
        f[f"INDEX/{laser}/count"] = np.ones(5, "u8")
        f[f"CONTROL/{laser}/position/value"] = np.arange(5, dtype="i4")
    joined = [dict(e, fields=dict(e["fields"])) for e in events]
    for i in range(4):
        joined[i + 1]["fields"][f"{laser}:position.value"] = put(np.int32(i))
    joined.append({"stamp": int(trains[-1] + 1) * 10**8, "fields": {f"{laser}:position.value": put(np.int32(4))}})
    case("xfel_joined", f"hdf5:{path},{other}?join=id", joined)


def neutrons():
    pulses = [4, 0, 7, 1, 0]
    n = sum(pulses)
    times = T0 + np.arange(5, dtype="i8") * 71_428_571
    path = OUT / "neutrons.nxs"
    banks = {}
    with h5py.File(path, "w") as f:
        f.create_group("entry").attrs["NX_class"] = "NXentry"
        for bank in ("bank1", "bank2"):
            g = f.create_group(f"entry/{bank}_events")
            g.attrs["NX_class"] = "NXevent_data"
            g["event_id"] = RNG.integers(0, 1000, n).astype("i4")
            g["event_time_offset"] = RNG.integers(0, 71_000_000, n).astype("i4")
            g["event_time_offset"].attrs["units"] = "ns"
            g["event_time_zero"] = times
            g["event_time_zero"].attrs["units"] = "ns"
            g["event_index"] = np.concatenate([[0], np.cumsum(pulses)[:-1]]).astype("i8")
            banks[bank] = (g["event_id"][()], g["event_time_offset"][()])
        f["entry/proton_charge"] = 1.25
    events, at = [], 0
    for t, k in zip(times, pulses):
        fields = {}
        for bank, (ids, offsets) in banks.items():
            fields[f"entry:{bank}_events:event_id"] = put(ids[at : at + k])
            fields[f"entry:{bank}_events:event_time_offset"] = put(offsets[at : at + k])
        events.append({"stamp": int(t), "fields": fields})
        at += k
    case("neutrons", f"hdf5:{path}", events, held={"entry:proton_charge": put(np.float64(1.25))})


def joined():
    ids = [np.array([1, 2, 3, 5, 8]), np.array([2, 3, 4, 8])]
    frames = []
    for i, own in enumerate(ids):
        with h5py.File(OUT / f"detector{i}.h5", "w") as f:
            f["entry/data"] = RNG.integers(0, 9, (len(own), 3)).astype("i4")
            f["entry/pulse_id"] = own
            frames.append(f["entry/data"][()])
    events = []
    for pulse in (1, 2, 3, 4, 5, 8):
        fields = {}
        for i, own in enumerate(ids):
            at = np.flatnonzero(own == pulse)
            if len(at):
                fields[f"detector{i}:entry:data"] = put(frames[i][at[0]])
                fields[f"detector{i}:entry:pulse_id"] = put(np.int64(pulse))
        events.append({"stamp": pulse, "fields": fields})
    case("joined", f"hdf5:{OUT}/detector0.h5,{OUT}/detector1.h5?join=id&epoch=counter", events)
    runs = []
    for i, own in enumerate(ids):
        runs += rows({"entry:data": frames[i], "entry:pulse_id": own}, own)
    case("runs", f"hdf5:{OUT}/detector0.h5,{OUT}/detector1.h5?epoch=counter", runs)


def refused():
    def write(f):
        f["x"] = np.arange(5)
        f["compound"] = np.zeros(5, [("a", "f4"), ("b", "i4")])
        f["complex"] = np.zeros(5, "c8")
        f["deep"] = np.zeros((5, 1, 1, 1, 1, 1, 1))
        f.create_dataset("zfp", data=np.zeros((5, 8, 8), "f4"), chunks=(1, 8, 8), **hdf5plugin.Zfp(accuracy=0.1))
        f["opaque"] = np.zeros(5, "V3")

    plain("refused", write, ["x"], 5, url="?axis=x")
    CASES[-1]["counters"] = {"fields_left_out": 5}


for make in (dtypes, filters, indices, holes, many, stamps, links, virtual, dectris_master, cxi, xfel, neutrons, joined, refused):
    make()
BIN.close()
(OUT / "cases.json").write_text(json.dumps(CASES))
