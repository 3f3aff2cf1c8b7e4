"""Records numpy's and scipy's answers for the ops of detector images."""

import numpy as np
from scipy import ndimage

from recording import case, named, save

rng = np.random.default_rng(77)
TYPES = [np.bool_, np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64]


def masks():
    flags = rng.integers(0, 2, (3, 4)).astype(np.uint8)
    file, files = named("/mask.npy", flags)
    for dtype in TYPES:
        image = rng.integers(0, 100, (2, 3, 4)).astype(dtype)
        node = {"op": "mask", "file": file, "fill": 1}
        case(node, {"array": image}, {"value": np.where(flags, image[1], dtype(1))}, files=files)
    image = rng.normal(size=(1, 3, 4))
    image[0, 1, 1] = np.nan
    other = rng.integers(0, 2, (3, 4)).astype(np.float32)
    other[0, 0] = np.nan
    case({"op": "mask"}, {"array": image, "mask": other[None]}, {"value": np.where(other != 0, image[0], 0)})
    cut = image[0].copy()
    cut[0:2, 1:3] = np.nan
    cut[2, :] = np.nan
    rectangles = [{"x": [1, 3], "y": [0, 2]}, {"y": [2, 9]}]
    case({"op": "mask", "rectangles": rectangles, "fill": "NaN"}, {"array": image}, {"value": cut})
    both = np.where((flags != 0) & (other != 0), np.nan_to_num(cut, nan=7.0), 7.0)
    both[1, 1] = 7.0
    node = {"op": "mask", "rectangles": rectangles, "file": file, "fill": 7}
    case(node, {"array": image, "mask": other[None]}, {"value": both}, files=files)
    segments = rng.integers(0, 9, (1, 2, 3, 4)).astype(np.int16)
    cut = segments[0].copy()
    cut[:, 1:3, :2] = -1
    node = {"op": "mask", "rectangles": [{"x": [0, 2], "y": [1, 3]}], "fill": -1}
    case(node, {"array": segments}, {"value": cut})
    case({"op": "mask"}, {"array": np.zeros((1, 0, 4)), "mask": np.zeros((1, 0, 4))}, {"value": np.zeros((0, 4))})


def calibrated(raw, pedestal, gain, mask, common, bank):
    """numpy on one image, in the type of the answer."""
    real = np.float64 if raw.dtype == np.float64 else np.float32
    a = raw.astype(real) - pedestal.astype(real)
    height, width = a.shape
    size = {"none": None, "rows": (1, width), "cols": (height, 1), "banks": bank}[common]
    if size:
        seen = np.where(mask != 0, a, real(np.nan))
        for y in range(0, height, size[0]):
            for x in range(0, width, size[1]):
                part = np.s_[y : y + size[0], x : x + size[1]]
                if not np.all(np.isnan(seen[part])):
                    a[part] -= np.nanmedian(seen[part])
    return np.where(mask != 0, a * gain.astype(real), real(0))


def calibrations():
    shape = (6, 9)
    mask = (rng.uniform(size=shape) > 0.2).astype(np.int8)
    mask[2] = 0
    pedestal, gain = rng.normal(50, 3, shape), rng.uniform(0.5, 2, shape).astype(np.float32)
    given = [named(f"/{n}.npy", a) for n, a in [("pedestal", pedestal), ("gain", gain), ("mask", mask)]]
    node = {"op": "calibrate", "pedestal": given[0][0], "gain": given[1][0], "mask": given[2][0]}
    files = given[0][1] | given[1][1] | given[2][1]
    for dtype in [np.uint8, np.uint16, np.int32, np.uint64, np.float32, np.float64]:
        for common in ["none", "rows", "cols", "banks"]:
            raw = rng.integers(40, 200, (1, *shape)).astype(dtype)
            if dtype in (np.float32, np.float64):
                raw[0, 1, 1] = np.nan
            bank = {"bank": [4, 5]} if common == "banks" else {}
            answer = calibrated(raw[0], pedestal, gain, mask, common, (4, 5))
            case({**node, "common_mode": common, **bank}, {"array": raw}, {"value": answer}, files=files)
    raw = rng.integers(0, 9, (1, 2, 3, 4)).astype(np.uint16)
    ones, zeros = np.ones((3, 4)), np.zeros((3, 4))
    answer = np.stack([calibrated(a, zeros, ones * 0.25, ones, "banks", (3, 4)) for a in raw[0]])
    case({"op": "calibrate", "gain": 0.25, "common_mode": "banks"}, {"array": raw}, {"value": answer})
    wave = rng.normal(size=(1, 7))
    case({"op": "calibrate", "common_mode": "rows"}, {"array": wave}, {"value": wave[0] - np.median(wave[0])})
    case({"op": "calibrate", "common_mode": "cols"}, {"array": np.zeros((1, 0, 3), np.uint8)}, {"value": np.zeros((0, 3), np.float32)})


def blobs(image, threshold, least=None):
    labels, count = ndimage.label(image > threshold, structure=np.ones((3, 3)))
    index = np.arange(1, count + 1)
    sums = np.asarray(ndimage.sum(image, labels, index), np.float64)
    npix = np.asarray(ndimage.sum(np.ones(image.shape), labels, index), np.int64)
    centres = np.array(ndimage.center_of_mass(image, labels, index), np.float64).reshape(-1, 2)
    keep = np.ones(count, bool) if least is None else sums >= least
    node = {"op": "blobs", "threshold": threshold} | ({} if least is None else {"min_sum": least})
    outputs = {"y": centres[keep, 0], "x": centres[keep, 1], "sum": sums[keep], "npix": npix[keep], "count": np.int64(np.sum(keep))}
    case(node, {"array": image[None]}, outputs, exact=False)


def polar(image, center, radius, angle, bins, mask=None):
    y, x = np.indices(image.shape)
    y, x = y - center[0], x - center[1]
    turned = np.mod(np.degrees(np.arctan2(y, x)) - angle[0], 360)
    use = np.isfinite(image) & (True if mask is None else mask != 0)
    ranges = [radius, (0, angle[1] - angle[0])]
    where = (np.hypot(y, x)[use], turned[use])
    count = np.histogram2d(*where, bins=bins, range=ranges)[0]
    total = np.histogram2d(*where, bins=bins, range=ranges, weights=image[use].astype(np.float64))[0]
    with np.errstate(invalid="ignore"):
        mean = total / count
    middle = lambda ends, n: ends[0] + (np.arange(n) + 0.5) * (ends[1] - ends[0]) / n
    node = {"op": "polar", "center": center, "radius": radius, "angle": angle, "bins": bins}
    files = None
    if mask is not None:
        node["mask"], files = named("/mask.npy", mask)
    outputs = {"map": mean, "count": count, "radial": middle(radius, bins[0]), "angular": middle(angle, bins[1])}
    case(node, {"array": image[None]}, outputs, exact=False, files=files, tolerance=1e-9)


def assembled(data, places, fill=0):
    """`places` are (row, column) of each pixel's centre, edges at whole numbers."""
    rows = np.floor(places[0]).astype(int).ravel()
    columns = np.floor(places[1]).astype(int).ravel()
    rows, columns = rows - rows.min(), columns - columns.min()
    image = np.full((rows.max() + 1, columns.max() + 1), fill, data.dtype)
    for row, column, value in zip(rows, columns, data.ravel()):
        image[row, column] = value
    return image


def geometries():
    data = rng.integers(1, 1000, (1, 2, 4, 5)).astype(np.uint16)
    places = np.array(np.meshgrid(np.arange(2) * 7, np.arange(4), np.arange(5), indexing="ij"), np.float64)
    y, x = places[0] + 0.8 * places[1] - 0.6 * places[2], 0.8 * places[2] + 0.6 * places[1] - 3.3
    file, files = named("/map.npy", np.stack([y, x]))
    node = {"op": "assemble", "geometry": file, "fill": 7}
    case(node, {"array": data}, {"image": assembled(data[0], (y + 0.5, x + 0.5), 7)}, files=files)
    case({"op": "assemble"}, {"array": data}, {"image": data[0].reshape(8, 5)})
    # Two panels of 4x5, the second turned by a quarter and a little.
    panels = [((-6.5, 1.25), (1.0, 0.0), (0.0, 1.0)), ((8.0, -2.0), (0.02, 0.9998), (-0.9998, 0.02))]
    for stacked in (True, False):
        text, ys, xs = "clen = 0.1\nmin_fs = 0 ; of all panels\nmax_fs = 4\n", [], []
        for n, (corner, fs, ss) in enumerate(panels):
            first = 4 * n if stacked else 0
            segment = "" if stacked else f"p{n}/dim0 = {n}\np{n}/dim1 = ss\n"
            text += (
                f"{segment}p{n}/min_ss = {first}\np{n}/max_ss = {first + 3}\n"
                f"p{n}/corner_x = {corner[0]}\np{n}/corner_y = {corner[1]}\n"
                f"p{n}/fs = {fs[0]:+}x {fs[1]:+}y\np{n}/ss = {ss[0]:+}x {ss[1]:+}y +0.0z\n"
            )
            down, along = np.indices((4, 5)) + 0.5
            xs.append(corner[0] + along * fs[0] + down * ss[0])
            ys.append(corner[1] + along * fs[1] + down * ss[1])
        file, files = named("/det.geom", text)
        image = assembled(data[0], (np.stack(ys), np.stack(xs)))
        case({"op": "assemble", "geometry": file}, {"array": data}, {"image": image}, files=files)
        if stacked:
            slab = data.reshape(1, 8, 5)
            case({"op": "assemble", "geometry": file}, {"array": slab}, {"image": image}, files=files)


masks()
calibrations()
image = ndimage.gaussian_filter(rng.normal(size=(20, 24)), 1.0) * 100
image[3, 4], image[5, 5] = np.nan, 200.0
blobs(np.nan_to_num(image, nan=-1e9), 15.0)
blobs(np.nan_to_num(image, nan=-1e9), 15.0, 60.0)
blobs(rng.poisson(0.3, (16, 16)).astype(np.uint16), 0)
blobs(np.zeros((3, 3), np.uint8), 0)
nothing = {"array": np.zeros((1, 0, 3), np.float32)}
case({"op": "blobs", "threshold": 0}, nothing, {"y": np.zeros(0), "npix": np.zeros(0, np.int64), "count": np.int64(0)})
counts = rng.poisson(20, (20, 24)).astype(np.uint16)
polar(counts, [9.3, 11.7], [2.0, 8.0], [-180.0, 180.0], [3, 8])
polar(counts, [9.3, 11.7], [0.0, 30.0], [150.0, 210.0], [5, 2], mask=(rng.uniform(size=counts.shape) > 0.3).astype(np.uint8))
polar(image, [-3.2, 11.3], [1.0, 20.0], [0.0, 90.0], [4, 3])
geometries()
save("images")
