"""Draws the pictures of docs/operations.md: one SVG per operation, with nothing but Python.

    python3 docs/pictures/make.py

The curves are computed as the operations define them, so a picture shows what its text says.
"""

import math
import pathlib
import random

HERE = pathlib.Path(__file__).parent
INK, BLUE, RED, GREY, PALE = "#333", "#1f6fb4", "#c8442c", "#999", "#cfe0ee"


class Picture:
    """A drawing with one pair of axes."""

    def __init__(self, name, x, y, width=560, height=200):
        self.name, self.x, self.y = name, x, y
        self.width, self.height = width, height
        self.parts = []

    def at(self, x, y):
        (x0, x1), (y0, y1) = self.x, self.y
        across = 10 + (x - x0) / (x1 - x0) * (self.width - 20)
        down = self.height - 22 - (y - y0) / (y1 - y0) * (self.height - 40)
        return round(across, 1), round(down, 1)

    def line(self, points, colour=INK, dash="", width=1.5):
        places = " ".join(f"{a},{b}" for a, b in (self.at(x, y) for x, y in points))
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')

    def level(self, y, text, colour=GREY):
        self.line([(self.x[0], y), (self.x[1], y)], colour, "4 3", 1)
        self.text(self.x[1], y, text, colour, anchor="end", up=3)

    def mark(self, x, text, colour=RED, top=None):
        top = self.y[1] if top is None else top
        self.line([(x, self.y[0]), (x, top)], colour, "", 1)
        self.text(x, top, text, colour, up=3)

    def box(self, x0, x1, y0, y1, colour=PALE, edge="none"):
        (a, b), (c, d) = self.at(x0, y1), self.at(x1, y0)
        self.parts.append(f'<rect x="{a}" y="{b}" width="{round(c - a, 1)}" height="{round(d - b, 1)}" fill="{colour}" stroke="{edge}"/>')

    def text(self, x, y, text, colour=INK, anchor="middle", up=0):
        a, b = self.at(x, y)
        self.parts.append(f'<text x="{a}" y="{b - up}" fill="{colour}" text-anchor="{anchor}">{text}</text>')

    def save(self):
        style = 'font-family="sans-serif" font-size="11"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" {style}>'
        body = "\n".join(['<rect width="100%" height="100%" fill="white"/>', *self.parts])
        (HERE / f"{self.name}.svg").write_text(f"{head}\n{body}\n</svg>\n")


def hist():
    p = Picture("hist", (-1.6, 6.6), (0, 9))
    counts = [2, 5, 8, 6, 3]
    for i, n in enumerate(counts):
        p.box(i, i + 1, 0, n, PALE, BLUE)
        p.text(i + 0.5, 0, f"[{i}, {i + 1}{']' if i == 4 else ')'}", up=-14)
        p.text(i + 0.5, n, f"{n}", BLUE, up=4)
    p.text(2.5, 8.6, "counts", BLUE)
    p.text(-0.9, 3, "underflow", GREY)
    p.text(5.9, 3, "overflow", GREY)
    p.line([(-1.6, 0), (6.6, 0)])
    p.save()


def windows():
    rows = ["heartbeat", "step", "{heartbeats: 5}", "run"]
    p = Picture("windows", (-4.2, 20.6), (-0.9, 4.6), height=190)
    for i in range(20):
        p.box(i + 0.08, i + 0.92, 3.9, 4.4, PALE if i != 19 else BLUE)
    p.text(-0.2, 4.0, "heartbeats", anchor="end")
    for x, text in [(2, "BeginRun"), (12, "BeginStep")]:
        p.line([(x, -0.5), (x, 4.5)], RED, "3 3", 1)
        p.text(x, -0.9, text, RED)
    first = {"heartbeat": 19, "step": 12, "{heartbeats: 5}": 15, "run": 2}
    for k, name in enumerate(rows):
        y = 3 - k
        p.text(-0.2, y, name, anchor="end")
        p.box(first[name] + 0.08, 19.92, y - 0.1, y + 0.4, BLUE)
    p.text(19.5, -0.9, "this value", BLUE)
    p.save()


def gauss(x, centre, sigma):
    return math.exp(-0.5 * ((x - centre) / sigma) ** 2)


def peaks():
    random.seed(3)
    wave = [2.2 * gauss(i, 30, 5) + 0.8 * gauss(i, 62, 3) + 1.5 * gauss(i, 92, 6) + random.gauss(0, 0.03) for i in range(120)]
    p = Picture("peaks", (0, 119), (-0.15, 2.6))
    lo, hi, start = 0.3, 1.0, None
    for i, v in enumerate(wave + [-1]):
        if v > lo and start is None:
            start = i
        elif v <= lo and start is not None:
            part = wave[start:i]
            if max(part) >= hi:
                p.box(start, i - 1, 0, 0.14, PALE)
                centroid = sum(v * j for j, v in enumerate(part, start)) / sum(part)
                p.mark(centroid, f"{centroid:.1f}", top=2.4)
            else:
                p.text((start + i) / 2, 1.1, "does not reach hi", GREY)
            start = None
    p.level(lo, "lo")
    p.level(hi, "hi")
    p.line(list(enumerate(wave)), BLUE)
    p.save()


def cfd():
    p = Picture("cfd", (0, 60), (-0.6, 1.15))
    delay, fraction = 5, 0.5
    for height, colour in [(1.0, BLUE), (0.5, GREY)]:
        v = [height * gauss(i, 25, 5) for i in range(61)]
        c = [(i, v[i - delay] - fraction * v[i]) for i in range(delay, 61)]
        p.line(list(enumerate(v)), colour, "4 3", 1)
        p.line(c, colour)
    p.level(0, "walk")
    p.mark(25 + (25 - 50 * math.log(2)) / 10, "time", top=1.05)
    p.text(45, 0.8, "dashed: two pulses; full: v[i - delay] - fraction v[i]")
    p.save()


def edge():
    random.seed(5)
    n, place, half = 160, 85, 25
    wave = [0.5 + 0.4 * math.erf((i - place) / 12) + random.gauss(0, 0.03) for i in range(n)]
    p = Picture("edge", (0, n - 1), (-0.1, 1.15))
    p.line(list(enumerate(wave)), GREY, "", 1)
    kernel = [-1 / half] * half + [1 / half] * half
    c = [sum(k * v for k, v in zip(kernel, wave[i:])) for i in range(n - 2 * half + 1)]
    p.line([(i + half - 0.5, v) for i, v in enumerate(c)], BLUE)
    peak = max(range(len(c)), key=c.__getitem__)
    left, middle, right = c[peak - 1 : peak + 2]
    position = peak + 0.5 * (left - right) / (left - 2 * middle + right) + half - 0.5
    p.mark(position, "position", top=1.05)
    p.text(20, 0.95, "grey: waveform; blue: correlation with a step", anchor="start")
    p.save()


def roi():
    p = Picture("roi", (-3, 12), (-1.5, 7), width=360, height=220)
    for row in range(6):
        for column in range(10):
            inside = 2 <= column < 6 and 1 <= row < 4
            p.box(column, column + 0.94, 5 - row, 5.94 - row, BLUE if inside else PALE)
    p.text(4, 6.2, "x: [2, 6]  (last axis)", BLUE)
    p.text(-0.2, 3.3, "y: [1, 4]", BLUE, anchor="end")
    p.text(0.5, -0.6, "0")
    p.text(9.5, -0.6, "9")
    p.text(5, -1.2, "half-open, as numpy: image[1:4, 2:6]")
    p.save()


def azimuthal():
    p = Picture("azimuthal", (-2.4, 6), (-2.2, 2.2), width=520, height=300)
    scale = (p.width - 20) / 8.4
    a, b = p.at(0, 0)
    for r in (1, 1.25, 1.5, 1.75, 2):
        p.parts.append(f'<circle cx="{a}" cy="{b}" r="{round(r * scale, 1)}" fill="none" stroke="{BLUE}"/>')
    for sector in range(4):
        angle = sector * math.pi / 2
        p.line([(0, 0), (2.1 * math.cos(angle), 2.1 * math.sin(angle))], RED, "4 3", 1)
    p.text(0.1, 0.05, "center", anchor="start")
    p.text(2.3, 1.2, "bins of radius (r, q or 2theta):", BLUE, anchor="start")
    p.text(2.3, 0.9, "mean of their pixels", BLUE, anchor="start")
    p.text(2.3, -0.4, "sectors: each its own curve", RED, anchor="start")
    p.save()


for draw in (hist, windows, peaks, cfd, edge, roi, azimuthal):
    draw()
