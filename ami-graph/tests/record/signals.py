"""Records numpy's and scipy's answers for filters, rotation, transforms, fits and timing."""

import warnings

import numpy as np
import scipy.ndimage as ndi
from scipy.optimize import curve_fit

from recording import case, named, save

rng = np.random.default_rng(20261121)
MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]
DTYPES = [np.float64, np.float32, np.uint16, np.int32, np.uint8, np.int64]


def some(shape, dtype):
    """Two events of this shape; the last is the one that is compared."""
    values = rng.normal(size=(2, *shape)) * 20 + 60
    return values.astype(dtype)


def one(node, values, outputs, **options):
    case(node, {"array": values}, outputs, **options)


def filters():
    for dtype in DTYPES:
        for shape in [(17,), (6, 9)]:
            values = some(shape, dtype)
            wide = values[-1].astype(np.float64)
            for mode in MODES if dtype == np.float64 else ["reflect"]:
                node = {"op": "gaussian_filter", "sigma": 1.3, "mode": mode}
                one(node, values, {"value": ndi.gaussian_filter(wide, 1.3, mode=mode)}, exact=False)
                for size in 3, 4:
                    node = {"op": "median_filter", "size": size, "mode": mode}
                    one(node, values, {"value": ndi.median_filter(values[-1], size, mode=mode)})
    image = some((5, 8), np.float64)
    for sigma, truncate in [([2.0, 0.5], 4.0), ([0, 1.5], 2.0), (30.0, 4.0), (0, 4.0)]:
        node = {"op": "gaussian_filter", "sigma": sigma, "truncate": truncate}
        expected = ndi.gaussian_filter(image[-1], sigma, truncate=truncate)
        one(node, image, {"value": expected}, exact=False)
    node = {"op": "median_filter", "size": [1, 5]}
    one(node, image, {"value": ndi.median_filter(image[-1], (1, 5))})
    holes = image.copy()
    holes[1, 2, 3] = np.nan
    one({"op": "gaussian_filter", "sigma": 0.4}, holes, {"value": ndi.gaussian_filter(holes[1], 0.4)}, exact=False)
    first = ndi.gaussian_filter(image[0], 1)
    one({"op": "gaussian_filter", "sigma": 1}, image, {"value": first}, exact=False, present={"array": [1, 0]})
    one({"op": "gaussian_filter", "sigma": 1}, image, {"value": None}, present={"array": [0, 0]})
    for shape in [(0,), (0, 3), (3, 0)]:
        empty = np.zeros((1, *shape))
        one({"op": "gaussian_filter", "sigma": 1}, empty, {"value": np.zeros(shape)})
        one({"op": "median_filter", "size": 3}, empty, {"value": np.zeros(shape)})


def rotations():
    for shape in [(7, 7), (6, 11)]:
        values = some(shape, np.float64 if shape[0] == 7 else np.uint16)
        wide = values[-1].astype(np.float64)
        for angle in 0, 30, -12.5, 44, 90, 180, 270, 400.25:
            for order in 0, 1:
                for reshape in False, True:
                    node = {"op": "rotate", "angle": angle, "order": order, "reshape": reshape}
                    expected = ndi.rotate(wide, angle, reshape=reshape, order=order)
                    one(node, values, {"value": expected}, exact=False)


def parts(spectrum):
    return {"re": spectrum.real, "im": spectrum.imag, "abs": np.abs(spectrum)}


def transforms():
    for n in 1, 2, 7, 16, 45:
        for dtype in DTYPES if n == 7 else [np.float64]:
            values = some((n,), dtype)
            wide = values[-1].astype(np.float64)
            one({"op": "fft"}, values, parts(np.fft.fft(wide)), exact=False)
            one({"op": "rfft"}, values, parts(np.fft.rfft(wide)), exact=False)
            one({"op": "ifft"}, values, parts(np.fft.ifft(wide)), exact=False)
    for shape in [(1, 1), (4, 6), (5, 3), (2, 9)]:
        re, im = some(shape, np.float64), some(shape, np.float64)
        both = {"re": re, "im": im}
        complexes = re[-1] + 1j * im[-1]
        case({"op": "fft"}, both, parts(np.fft.fft2(complexes)), exact=False, tolerance=1e-9)
        case({"op": "ifft"}, both, parts(np.fft.ifft2(complexes)), exact=False)
        one({"op": "rfft"}, re, parts(np.fft.rfft2(re[-1])), exact=False)
        if shape[1] > 1:
            case({"op": "irfft"}, both, {"value": np.fft.irfft2(complexes)}, exact=False)
    re, im = some((6,), np.float64), some((6,), np.float64)
    for n in None, 9, 11, 4, 20:
        node = {"op": "irfft"} if n is None else {"op": "irfft", "n": n}
        expected = np.fft.irfft(re[-1] + 1j * im[-1], n=n)
        case(node, {"re": re, "im": im}, {"value": expected}, exact=False)


def peaks_of(v, lo, hi):
    found = []
    labels, _ = ndi.label(v > lo)
    for where in ndi.find_objects(labels):
        part = v[where].astype(np.float64)
        if part.max() >= hi:
            i = np.arange(where[0].start, where[0].stop)
            found.append(((part * i).sum() / part.sum(), len(part)))
    return np.array([f[0] for f in found], float), np.array([f[1] for f in found], int)


def timing():
    for lo, hi in [(0, 1), (0.3, 0.9), (1, 1), (5, 6)]:
        for dtype in np.float64, np.float32, np.int16:
            values = (rng.normal(size=(2, 60)) * 3).astype(dtype)
            centroid, width = peaks_of(values[-1], lo, hi)
            outputs = {"centroid": centroid, "width": width, "count": np.int64(len(width))}
            one({"op": "peaks", "lo": lo, "hi": hi}, values, outputs, exact=False)
    for kernel_of in "step", "file":
        step = np.concatenate([-np.ones(4), np.ones(4)]) / 4
        shape = rng.normal(size=7)
        for background in False, True:
            waveform, other = rng.normal(size=(2, 2, 50))
            waveform[-1, 25:] += 6
            clean = waveform[-1] - other[-1] if background else waveform[-1]
            c = np.correlate(clean, step if kernel_of == "step" else shape, mode="valid")
            k = int(c.argmax())
            offset = 0.0
            if 0 < k < len(c) - 1:
                left, middle, right = c[k - 1 : k + 2]
                offset = 0.5 * (left - right) / (left - 2 * middle + right)
            length = 8 if kernel_of == "step" else 7
            outputs = {"position": k + offset + (length - 1) / 2, "amplitude": c[k]}
            files, kernel = None, 4
            if kernel_of == "file":
                kernel, files = named("/kernels/edge.npy", shape)
            inputs = {"array": waveform, "subtract": other} if background else {"array": waveform}
            case({"op": "edge", "kernel": kernel}, inputs, outputs, exact=False, files=files, tolerance=1e-10)


def gauss(x, a, c, w, o):
    return a * np.exp(-4 * np.log(2) * (x - c) ** 2 / w**2) + o


def lorentz(x, a, c, w, o):
    return a / (1 + 4 * (x - c) ** 2 / w**2) + o


def fits():
    x = np.linspace(-3, 8, 60)
    for name, model in [("gaussian", gauss), ("lorentzian", lorentz)]:
        for truth in [(5, 2.2, 1.7, 1), (-1.5, 0.5, 3, 10), (300, 4, 0.9, -20)]:
            if truth[0] < 0:
                continue
            y = model(x, *truth) + rng.normal(size=60) * 0.02 * truth[0]
            both = np.stack([y, y])
            best, _ = curve_fit(model, x, y, p0=truth, xtol=1e-14, ftol=1e-14)
            outputs = dict(zip(["amplitude", "center", "fwhm", "offset"], best))
            outputs["fit"] = model(x, *best)
            outputs["chi2"] = ((y - outputs["fit"]) ** 2).sum()
            case({"op": "fit_peak", "model": name}, {"y": both, "x": np.stack([x, x])}, outputs, exact=False, tolerance=2e-5 * abs(truth[0]))
    y = gauss(np.arange(40), 7, 17.3, 6, 0)
    best, _ = curve_fit(lambda x, a, c, w: gauss(x, a, c, w, 0), np.arange(40), y, p0=(5, 15, 4))
    outputs = dict(zip(["amplitude", "center", "fwhm"], best)) | {"offset": 0.0}
    case({"op": "fit_peak", "offset": False}, {"y": np.stack([y, y])}, outputs, exact=False, tolerance=1e-6)
    weights = y - y.min()
    center = (weights * np.arange(40)).sum() / weights.sum()
    sigma = np.sqrt((weights * (np.arange(40) - center) ** 2).sum() / weights.sum())
    outputs = {"amplitude": weights.max(), "center": center, "fwhm": 2 * np.sqrt(2 * np.log(2)) * sigma, "offset": y.min()}
    case({"op": "fit_peak", "model": "moments"}, {"y": np.stack([y, y])}, outputs, exact=False)
    for n, degree in [(2, 1), (30, 1), (30, 0), (30, 3), (12, 5)]:
        for dtype in np.float64, np.int32:
            points = (rng.normal(size=(2, n)) * 10).astype(dtype)
            points[-1] = np.sort(points[-1])
            if len(set(points[-1])) <= degree:
                continue
            y = rng.normal(size=(2, n)) + points
            wide = points[-1].astype(np.float64)
            coefficients = np.polyfit(wide, y[-1], degree)
            fit = np.polyval(coefficients, wide)
            outputs = {"coefficients": coefficients, "fit": fit}
            if degree:
                outputs["r"] = np.corrcoef(fit, y[-1])[0, 1]
            case({"op": "polyfit", "degree": degree}, {"x": points, "y": y}, outputs, exact=False, tolerance=1e-8)
            if degree == 1:
                outputs["r"] = np.corrcoef(wide, y[-1])[0, 1]
                case({"op": "fit_line"}, {"x": points, "y": y}, outputs, exact=False, tolerance=1e-8)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", np.exceptions.RankWarning)
    filters()
    rotations()
    transforms()
    timing()
    fits()
save("signals")
