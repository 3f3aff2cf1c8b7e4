"""Records what a slow, straightforward peakfinder8 finds: float32 scalars, step by step.

Written from the description of the algorithm, not from ami's code: the quirk is the list that is
read one entry past its end.
"""

import numpy as np

from recording import case, named, save

F = np.float32
NEIGHBOURS = [(0, 0), (-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)]


def background(image, good, bins, snr, adc):
    count = int(np.ceil(np.max(bins))) + 1
    upper, lower = np.full(count, F(1e9)), np.full(count, F(-1e9))
    bins = np.rint(bins).astype(int)
    offset = np.zeros(count, F)
    for _ in range(5):
        total, squares, n = np.zeros(count, F), np.zeros(count, F), np.zeros(count, int)
        for y, x in np.ndindex(image.shape):
            b, v = bins[y, x], image[y, x]
            if good[y, x] and lower[b] < v < upper[b]:
                total[b] += v
                squares[b] += v * v
                n[b] += 1
        for b in range(count):
            if n[b] == 0:
                offset[b], upper[b], lower[b] = 0, np.finfo(F).max, np.finfo(F).tiny
                continue
            offset[b] = total[b] / F(n[b])
            variance = squares[b] / F(n[b]) - offset[b] * offset[b]
            sigma = np.sqrt(variance) if variance >= 0 else variance
            upper[b], lower[b] = offset[b] + snr * sigma, offset[b] - snr * sigma
            upper[b] = max(upper[b], adc)
    return bins, offset, upper


class Finder:
    def __init__(self, image, good, radius, panel, adc, snr, fewest, most, reach, exact):
        self.image, self.good, self.panel = image, good, panel
        self.snr, self.fewest, self.most, self.exact = F(snr), fewest, most, exact
        self.reach = 2 * reach
        self.bins, self.offset, self.upper = background(image, good, radius, F(snr), F(adc))
        self.visited = np.zeros(image.shape, bool)
        self.list = [(0, 0)] * (image.size + 1)
        self.peaks = []

    def bright(self, y, x):
        return self.image[y, x] > self.upper[self.bins[y, x]] and self.good[y, x] and not self.visited[y, x]

    def run(self):
        height, width = self.panel
        for oy in range(0, self.image.shape[0], height):
            for ox in range(0, self.image.shape[1], width):
                for y in range(1, height - 1):
                    for x in range(1, width - 1):
                        if self.bright(oy + y, ox + x):
                            self.peak(oy, ox, y, x)
        return self.peaks

    def fill(self, oy, ox, y, x):
        self.list[0] = (x, y)
        n, total, sx, sy, pixels = 0, F(0), F(0), F(0), []
        while True:
            before, p = n, 0
            while p <= n if self.exact else p < max(n, 1):
                for dx, dy in NEIGHBOURS:
                    px, py = self.list[p][0] + dx, self.list[p][1] + dy
                    if not (0 <= px < self.panel[1] and 0 <= py < self.panel[0]):
                        continue
                    ay, ax = oy + py, ox + px
                    if self.bright(ay, ax):
                        e = self.image[ay, ax] - self.offset[self.bins[ay, ax]]
                        total, sx, sy = total + e, sx + e * F(ax), sy + e * F(ay)
                        self.list[n] = (px, py)
                        self.visited[ay, ax] = True
                        if n < self.most:
                            pixels.append((ay, ax))
                        n += 1
                p += 1
            if n == before:
                return n, total, sx, sy, pixels

    def local(self, oy, ox, cy, cx):
        n, s, s2, most = 0, F(0), F(0), F(0)
        for dy in range(-self.reach, self.reach):
            for dx in range(-self.reach, self.reach):
                y, x = cy + dy, cx + dx
                inside = 0 <= y < self.panel[0] and 0 <= x < self.panel[1]
                if not inside or np.sqrt(dx * dx + dy * dy) > self.reach:
                    continue
                y, x = y + oy, x + ox
                v = self.image[y, x]
                if v < self.upper[self.bins[y, x]] and not self.visited[y, x] and self.good[y, x]:
                    n, s, s2, most = n + 1, s + v, s2 + v * v, max(most, v)
        if n == 0:
            return self.offset[self.bins[cy + oy, cx + ox]], F(0.01), most
        offset = s / F(n)
        variance = s2 / F(n) - offset * offset
        return offset, np.sqrt(variance) if variance >= 0 else F(0.01), most

    def peak(self, oy, ox, y, x):
        n, total, sx, sy, pixels = self.fill(oy, ox, y, x)
        if n < self.fewest or n > self.most or abs(total) < F(1e-10):
            return
        cx, cy = int(np.rint(sx / abs(total))) - ox, int(np.rint(sy / abs(total))) - oy
        offset, sigma, around = self.local(oy, ox, cy, cx)
        total, raw, most, sx, sy = F(0), F(0), F(0), F(0), F(0)
        for y, x in pixels:
            v = self.image[y, x]
            total, raw, most = total + (v - offset), raw + v, max(most, v - offset)
            sx, sy = sx + v * F(x), sy + v * F(y)
        if abs(raw) < F(1e-10):
            return
        fs, ss = sx / abs(raw), sy / abs(raw)
        snr = total / sigma if abs(sigma) > F(1e-10) else F(0)
        if snr < self.snr or most < around - offset:
            return
        if not (ox <= fs <= ox + self.panel[1] - 1 and oy <= ss <= oy + self.panel[0] - 1):
            return
        index = int(np.rint(fs)) + int(np.rint(ss)) * self.image.shape[1]
        self.peaks.append((ss, fs, total, n, most, snr, index, sigma))


def frame(rng, shape, panel, spots):
    """Noise around 20 with spots of all sizes, also across borders of panels and touching each other."""
    image = rng.poisson(20, shape).astype(F)
    for _ in range(spots):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        size = rng.integers(1, 5)
        image[y : y + size, x : x + size] += F(rng.uniform(100, 900))
    image += rng.uniform(0, 1, shape).astype(F)
    return image


def record(seed, shape, panel, spots, exact, dtype=np.float32, **limits):
    rng = np.random.default_rng(seed)
    image = frame(rng, shape, panel, spots).astype(dtype)
    radius = np.hypot(*(np.indices(shape) - np.array([[[shape[0] / 2]], [[shape[1] / 3]]]))).astype(F)
    mask = (rng.uniform(size=shape) > 0.02).astype(np.int8)
    adc, snr, fewest, most, reach = 60.0, 2.0, 2, 20, 3
    good = mask.astype(bool)
    if "min_res" in limits:
        good &= radius >= F(limits["min_res"])
    if "max_res" in limits:
        good &= radius <= F(limits["max_res"])
    with np.errstate(all="ignore"):
        finder = Finder(image.astype(F), good, radius, panel, adc, snr, fewest, most, reach, exact)
        peaks = finder.run()
    mask_file, one = named("/mask.npy", mask)
    radius_file, two = named("/radius.npy", radius)
    node = {
        "op": "peakfinder8", "exact": exact, "mask": mask_file, "radius": radius_file, **limits,
        "asic_nx": panel[1], "asic_ny": panel[0], "nasics_x": shape[1] // panel[1], "nasics_y": shape[0] // panel[0],
        "adc_threshold": adc, "min_snr": snr, "min_pixel_count": fewest, "max_pixel_count": most,
        "local_bg_radius": reach,
    }
    names = ["ss", "fs", "intensity", "npix", "max", "snr", "index", "sigma"]
    columns = zip(*peaks) if peaks else [[]] * len(names)
    whole = {"npix", "index"}
    outputs = {n: np.array(c, np.int64 if n in whole else F) for n, c in zip(names, columns)}
    outputs["count"] = np.int64(len(peaks))
    case(node, {"array": image[None]}, outputs, files=one | two)
    return [p[6] for p in peaks]


record(1, (32, 48), (32, 48), 20, True)
lists = [record(8, (40, 40), (20, 20), 40, exact) for exact in (True, False)]
assert lists[0] != lists[1], "no case shows the defect"
record(4, (32, 48), (16, 24), 25, True, dtype=np.uint16)
record(5, (32, 48), (16, 24), 25, True, min_res=5, max_res=20)
save("peakfinder8")
