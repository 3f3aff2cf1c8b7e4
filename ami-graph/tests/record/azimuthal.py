"""Records pyFAI's azimuthal integration (pip install pyFAI)."""

import logging

import numpy as np

from recording import case, named, save

logging.disable(logging.CRITICAL)
from pyFAI.detectors import Detector  # noqa: E402
from pyFAI.integrator.azimuthal import AzimuthalIntegrator  # noqa: E402

UNITS = {"r": "r_mm", "2theta": "2th_deg", "q": "q_A^-1"}
SHAPE = (24, 32)
SIZE, DISTANCE, WAVELENGTH = (0.1, 0.075), 50.0, 1.3


def record(image, center, bins, unit="r", split="none", mask=None, span=None, sectors=1):
    detector = Detector(pixel1=SIZE[0] * 1e-3, pixel2=SIZE[1] * 1e-3, max_shape=SHAPE)
    integrator = AzimuthalIntegrator(
        dist=DISTANCE * 1e-3,
        poni1=(center[0] + 0.5) * SIZE[0] * 1e-3,
        poni2=(center[1] + 0.5) * SIZE[1] * 1e-3,
        detector=detector,
        wavelength=WAVELENGTH * 1e-10,
    )
    options = {
        "unit": UNITS[unit], "correctSolidAngle": False, "error_model": "poisson",
        "mask": None if mask is None else mask == 0, "radial_range": span,
    }
    wanted = bins
    if span is not None:
        # pyFAI adds pixels outside the range to the outermost bins: record the bins within.
        step = (span[1] - span[0]) / bins
        bins += 2 if span[0] > 0 else 1
        options["radial_range"] = (max(0.0, span[0] - step), span[1] + step)
    splitting = "no" if split == "none" else "bbox"
    if sectors == 1:
        result = integrator.integrate1d(image, bins, method=(splitting, "csr", "cython"), **options)
    else:
        result = integrator.integrate2d(
            image, bins, sectors, method=(splitting, "csr", "cython"), azimuth_range=(-180, 180), **options
        )
    count = np.asarray(result.count, np.float64)
    empty = np.where(count > 0, 0.0, np.nan)
    node = {
        "op": "azimuthal", "center": center, "bins": bins, "unit": unit, "split": split,
        "pixel_size": list(SIZE), "distance": DISTANCE, "wavelength": WAVELENGTH, "sectors": sectors,
    }
    files = None
    node["bins"] = wanted
    if mask is not None:
        node["mask"], files = named("/mask.npy", mask)
    if span is not None:
        node["range"] = list(span)
    first = 1 if span is not None and span[0] > 0 else 0
    inner = slice(first, first + wanted)
    outputs = {
        "axis": np.asarray(result.radial, np.float64)[inner],
        "intensity": np.asarray(result.intensity, np.float64) + empty,
        "sigma": np.asarray(result.sigma, np.float64) + empty,
        "count": count,
    }
    for name in ["intensity", "sigma", "count"]:
        outputs[name] = outputs[name][..., inner]
    case(node, {"array": image[None]}, outputs, exact=False, files=files, tolerance=5e-6 * np.nanmax(outputs["intensity"]))


rng = np.random.default_rng(31)
counts = rng.poisson(20, SHAPE).astype(np.uint16)
floats = rng.poisson(300, SHAPE).astype(np.float32)
floats[5, 7], floats[12, 15], floats[20, 3] = np.nan, np.inf, 0.2
mask = (rng.uniform(size=SHAPE) > 0.1).astype(np.uint8)
for unit in UNITS:
    for split in ["none", "bbox"]:
        record(counts, [10.3, 14.7], 30, unit, split)
for split in ["none", "bbox"]:
    record(floats, [10.3, 14.7], 25, "r", split, mask=mask)
    record(counts, [-15.2, 40.1], 25, "q", split)
    record(counts, [10.3, 14.7], 100, "r", split)
    record(counts, [10.3, 14.7], 10, "r", split, span=(0.3, 0.8))
record(counts, [10.3, 14.7], 12, "r", sectors=4, span=(0.0, 1.5))
save("azimuthal")
