"""Draws a terminal's screen as SVG, with nothing but Python.

    tmux capture-pane -pe | python3 docs/pictures/terminal.py > docs/pictures/terminal.svg

Reads text with ANSI colours. Braille, half blocks and frames are drawn, so that the picture needs no
font that has them.
"""

import html
import re
import sys

WIDE, HIGH = 8, 16
PAPER, INK = "#1e1e1e", "#d4d4d4"
NAMED = ["#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5",
         "#808080", "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff"]
#: Which of right, left, down, up a frame's character reaches.
FRAMES = {"─": "rl", "│": "du", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu", "├": "rdu", "┤": "ldu",
          "┬": "rld", "┴": "rlu", "┼": "rldu"}
#: Bits of a braille character by column and row of the dot.
DOTS = {(0, 0): 1, (0, 1): 2, (0, 2): 4, (1, 0): 8, (1, 1): 16, (1, 2): 32, (0, 3): 64, (1, 3): 128}


class Style:
    """Colours and weight in force."""

    def __init__(self):
        self.ink, self.paper, self.bold = INK, PAPER, False

    def colour(self, codes):
        if codes.pop(0) == 5:
            return NAMED[codes.pop(0) % 16]
        red, green, blue = codes[:3]
        del codes[:3]
        return f"#{red:02x}{green:02x}{blue:02x}"

    def apply(self, text):
        codes = [int(code or 0) for code in text.split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code == 1:
                self.bold = True
            elif code == 38:
                self.ink = self.colour(codes)
            elif code == 48:
                self.paper = self.colour(codes)
            elif code == 39:
                self.ink = INK
            elif code == 49:
                self.paper = PAPER
            elif 30 <= code <= 37:
                self.ink = NAMED[code - 30]
            elif 90 <= code <= 97:
                self.ink = NAMED[code - 82]


def cells(line, style):
    """The characters of a line, each with its colours and weight."""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            style.apply(part[2:-1])
        else:
            yield from ((char, style.ink, style.paper, style.bold) for char in part)


def box(x, y, wide, high, colour):
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" fill="{colour}"/>'


def drawn(char, x, y, ink):
    """Shapes of a character that is drawn; None for those that are written."""
    across, down = x + WIDE / 2, y + HIGH / 2
    if char == "▀":
        return [box(x, y, WIDE, HIGH / 2, ink)]
    if char in FRAMES:
        ends = {"r": (x + WIDE, down), "l": (x, down), "d": (across, y + HIGH), "u": (across, y)}
        ways = "".join(f"M{across:g} {down:g}L{ends[way][0]:g} {ends[way][1]:g}" for way in FRAMES[char])
        return [f'<path d="{ways}" stroke="{ink}" stroke-opacity=".6"/>']
    if 0x2800 <= ord(char) < 0x2900:
        bits = ord(char) - 0x2800
        places = [place for place, bit in DOTS.items() if bits & bit]
        return [box(x + 1.2 + 4 * a, y + 1.2 + 4 * d, 1.8, 1.8, ink) for a, d in places]
    return None


def picture(lines):
    style, shapes, columns = Style(), [], 0
    for row, line in enumerate(lines):
        words = []
        for column, (char, ink, paper, bold) in enumerate(cells(line, style)):
            x, y = column * WIDE, row * HIGH
            columns = max(columns, column + 1)
            if paper != PAPER:
                shapes.append(box(x, y, WIDE, HIGH, paper))
            shape = drawn(char, x, y, ink)
            if shape is not None:
                shapes += shape
            elif char != " ":
                # A word goes on where it stopped, in the same style.
                if words and words[-1][:3] == [x, ink, bold]:
                    words[-1][0] += WIDE
                    words[-1][3] += char
                else:
                    words.append([x + WIDE, ink, bold, char])
        for end, ink, bold, text in words:
            x = end - WIDE * len(text)
            weight = ' font-weight="bold"' if bold else ""
            place = f'x="{x:g}" y="{row * HIGH + 12.5:g}"'
            shapes.append(f'<text {place} fill="{ink}"{weight}>{html.escape(text)}</text>')
    size = f'width="{columns * WIDE}" height="{len(lines) * HIGH}"'
    font = 'font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="13"'
    body = "\n".join(shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n{box(0, 0, columns * WIDE, len(lines) * HIGH, PAPER)}\n{body}\n</svg>'


if __name__ == "__main__":
    print(picture(sys.stdin.read().rstrip("\n").split("\n")))
