"""Records what numpy and scipy make of NaN and of arrays without elements, for ops whose other recordings lack them."""

import warnings

import numpy as np
import scipy.ndimage as ndi

from recording import case, save

warnings.simplefilter("ignore")
NAN = float("nan")
HOLES = np.array([[1.0, NAN, 3, 4], [5, 6, 7, 8], [9, 10, 11, 2]])
WAVE = np.array([0.0, 0, 5, 0, NAN, 0, 0, 0])


def one(node, array, outputs, **options):
    case(node, {"array": array[None]}, outputs, **options)


def statistics():
    empty = np.zeros((0, 3))
    answers = {
        "sum": np.sum,
        "mean": np.mean,
        "std": np.std,
        "var": np.var,
        "rms": lambda a, axis=None: np.sqrt(np.mean(a * a, axis=axis)),
        "median": np.median,
        "norm": lambda a, axis=None: np.sqrt(np.sum(a * a, axis=axis)),
    }
    for stat, function in answers.items():
        one({"op": "array_stat", "stat": stat}, empty, {"value": function(empty)})
        one({"op": "array_stat", "stat": stat, "axis": 0}, empty, {"value": function(empty, axis=0)})
        one({"op": "array_stat", "stat": stat, "axis": 1}, empty, {"value": function(empty, axis=1)})
        one({"op": "project", "stat": stat}, empty, {"value": function(empty, axis=0)})
    # numpy raises where there is no element to choose.
    for stat in ["min", "max", "argmin", "argmax"]:
        one({"op": "array_stat", "stat": stat}, empty, {"value": None})
        one({"op": "project", "stat": stat}, empty, {"value": None})


def parts_of_arrays():
    empty = np.zeros((0, 4), np.uint16)
    one({"op": "roi", "x": [1, 3], "y": [0, 2]}, HOLES, {"value": HOLES[:2, 1:3]})
    one({"op": "pixel", "at": [0, 1]}, HOLES, {"value": np.float64(NAN)})
    one({"op": "threshold", "below": 3}, empty, {"value": empty})
    one({"op": "threshold", "below": 3}, HOLES, {"value": np.where(HOLES < 3, 0, HOLES)})
    segments = np.stack([HOLES, HOLES + 1])
    one({"op": "assemble"}, segments, {"image": segments.reshape(6, 4)})
    one({"op": "assemble"}, segments[:0], {"image": np.zeros((0, 4))})


def images():
    one({"op": "centroid"}, HOLES, {"sum": np.sum(HOLES)})
    one({"op": "centroid"}, np.zeros((0, 4)), {"sum": np.float64(0)})
    labels, count = ndi.label(HOLES > 6.5, np.ones((3, 3)))
    sizes = ndi.sum_labels(np.ones_like(HOLES), labels, range(1, count + 1)).astype(np.int64)
    one({"op": "blobs", "threshold": 6.5}, HOLES, {"count": np.int64(count), "npix": sizes})
    big = np.arange(42.0).reshape(6, 7)
    big[2, 3] = NAN
    for order in [0, 1]:
        answer = ndi.rotate(big, 30, order=order, reshape=False)
        one({"op": "rotate", "angle": 30, "order": order}, big, {"value": answer}, exact=False, tolerance=1e-9)


def transforms():
    for array, name in [(WAVE, ""), (HOLES, "2")]:
        for op in ["fft", "ifft", "rfft"]:
            # Which of both parts is NaN depends on the order of additions; the magnitude is.
            one({"op": op}, array, {"abs": np.abs(getattr(np.fft, op + name)(array))})
    answer = np.fft.irfft(np.array([1, NAN, 2]))
    case({"op": "irfft"}, {"re": np.array([[1, NAN, 2]]), "im": np.zeros((1, 3))}, {"value": answer})
    # numpy raises.
    for op in ["fft", "ifft", "rfft"]:
        one({"op": op}, np.zeros(0), {"re": None, "im": None, "abs": None})


def pulses():
    one({"op": "peaks", "lo": 1, "hi": 2}, WAVE, {"centroid": np.array([2.0]), "count": np.int64(1)})
    one({"op": "peaks", "lo": 1, "hi": 2}, np.zeros(0), {"centroid": np.zeros(0), "count": np.int64(0)})
    line = np.arange(8.0)
    for op in [{"op": "fit_line"}, {"op": "polyfit", "degree": 2}]:
        case(op, {"x": line[None], "y": WAVE[None]}, {"coefficients": None})
        case(op, {"x": line[None, :0], "y": WAVE[None, :0]}, {"coefficients": None})
    # scipy.optimize.curve_fit refuses NaN.
    one({"op": "fit_peak"}, WAVE, {"center": None})
    one({"op": "fit_peak"}, WAVE[:0], {"center": None})


statistics()
parts_of_arrays()
images()
transforms()
pulses()
save("corners")
