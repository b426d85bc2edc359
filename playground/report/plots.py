"""The plots of a run, each drawn as SVG for a width in pixels.

Drawn by hand: a few marks, one scale, and nothing that could be markup. Colours are classes of the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

from playground import formatting

Format = Callable[[float], str]
GLYPH = 6.7  # pixels a character of a label takes, on average


@dataclass(frozen=True, slots=True)
class Series:
    """Values in order. `look` is a class: "ref", "v1", "v2", "v3"."""

    label: str
    values: tuple[float, ...]
    look: str


@dataclass(frozen=True, slots=True)
class Bar:
    """`error` is drawn to both sides; `text` stands at the end."""

    label: str
    value: float
    text: str
    look: str = ""
    error: float = 0.0
    tip: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A variant in the plane. `speed`: its size; None: not measured."""

    label: str
    x: float
    y: float
    error: float
    speed: float | None
    look: str
    tip: str


def plain(value: float) -> str:
    """Three digits, no needless zeros."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def lines(width: float, series: Sequence[Series], unit: str, across: str) -> str:
    """One line each over the number of the token."""
    height, left, right, top, bottom = 190.0, 44.0, 8.0, 10.0, 34.0
    drawing = Drawing(width, height, f"{unit} over {across}")
    count = max((len(one.values) for one in series), default=0)
    high = max((max(one.values) for one in series if one.values), default=0.0) * 1.06 or 1.0
    floor = height - bottom

    def x(at: float) -> float:
        return left + (width - left - right) * at / max(1, count - 1)

    def y(value: float) -> float:
        return top + (floor - top) * (1 - value / high)

    for value in ticks(0, high, 4):
        drawing.line(left, y(value), width - right, y(value), "grid" if value else "axis")
        drawing.text(left - 7, y(value) + 4, plain(value), anchor="end")
    for value in ticks(1, max(2, count), 5 if width < 500 else 9):
        if value == int(value):
            drawing.text(x(value - 1), floor + 17, plain(value), anchor="middle")
    drawing.text(0, height - 2, unit, "name")
    drawing.text(width - right, height - 2, across, "name", "end")
    for one in series:
        drawing.polyline(((x(at), y(value)) for at, value in enumerate(one.values)), f"series {one.look}")
    return str(drawing)


def bars(width: float, rows: Sequence[Bar], unit: str, low: float = 0.0, reference: float | None = None) -> str:
    """Horizontal bars; `reference` is a line across them all."""
    cell, top, bottom = 28.0, 4.0, 34.0
    left = label_width([row.label for row in rows], width * 0.34)
    right = 16 + GLYPH * max((len(row.text) for row in rows), default=0)
    height = top + cell * len(rows) + bottom
    drawing = Drawing(width, height, unit)
    ends = [value for row in rows for value in (row.value + row.error, row.limit or 0.0)]
    high = max([*ends, reference or 0.0]) * 1.03 or 1.0
    floor = height - bottom

    def x(value: float) -> float:
        return left + (width - left - right) * (min(max(value, low), high) - low) / (high - low)

    for value in ticks(low, high, 3 if width < 450 else 5):
        drawing.line(x(value), top, x(value), floor, "grid")
        drawing.text(x(value), floor + 16, plain(value), anchor="middle")
    drawing.text(width, height - 2, unit, "name", "end")
    for number, row in enumerate(rows):
        middle = top + cell * number + cell / 2
        group = drawing.group(row.tip or f"{row.label}: {row.text}")
        drawing.text(left - 8, middle + 4, clipped(row.label, left), "label", "end", group)
        if row.limit is not None:
            drawing.rect(x(low), middle - 7, max(1, x(row.limit) - x(low)), 14, "room", group)
        drawing.rect(x(low), middle - 7, max(1.5, x(row.value) - x(low)), 14, f"bar {row.look}", group)
        if row.error:
            first, last = x(row.value - row.error), x(row.value + row.error)
            drawing.line(first, middle, last, middle, "whisker", group)
            for end in (first, last):
                drawing.line(end, middle - 4, end, middle + 4, "whisker", group)
        drawing.text(width, middle + 4, row.text, "value", "end", group)
    if reference is not None:
        drawing.line(x(reference), top, x(reference), floor, "refline")
    return str(drawing)


def tradeoff(width: float, marks: Sequence[Mark], unit: str, *, log: bool) -> str:
    """Quality over size on disk; the area of a mark grows with its speed."""
    height, left, right, top, bottom = 310.0, 52.0, 20.0, 16.0, 42.0
    drawing = Drawing(width, height, f"{unit} over size on disk")
    x1, x0 = max(mark.x for mark in marks) * 1.12, min(mark.x for mark in marks) * 0.78
    lows = [max(mark.y - mark.error, mark.y / 3) if log else mark.y - mark.error for mark in marks]
    y0, y1 = min(lows), max(mark.y + mark.error for mark in marks)
    if log:
        y0, y1 = y0 / 1.5, y1 * 1.5
    else:
        pad = 0.08 * (y1 - y0 or 1)
        y0, y1 = (0 if 0 <= y0 < pad else y0 - pad), y1 + pad
    floor = height - bottom

    def x(value: float) -> float:
        return left + (width - left - right) * (value - x0) / (x1 - x0)

    def y(value: float) -> float:
        share = math.log(max(value, y0) / y0) / math.log(y1 / y0) if log else (value - y0) / (y1 - y0)
        return top + (floor - top) * (1 - min(1, max(0, share)))

    tens = [10.0**power for power in range(-9, 4)]
    for value in [one for one in tens if y0 <= one <= y1] if log else ticks(y0, y1, 5):
        drawing.line(left, y(value), width - right, y(value), "grid")
        drawing.text(left - 8, y(value) + 4, f"{value:g}" if value >= 1e-3 else f"{value:.0e}", anchor="end")
    for value in ticks(x0, x1, 3 if width < 460 else 6):
        drawing.text(x(value), floor + 17, formatting.size(value), anchor="middle")
    drawing.line(left, floor, width - right, floor, "axis")
    drawing.text(0, height - 2, unit, "name")
    drawing.text(width - right, height - 2, "on disk", "name", "end")
    fastest = max((mark.speed or 0 for mark in marks), default=0) or 1.0
    radius = [5.0 if mark.speed is None else 3.5 + 9 * math.sqrt(mark.speed / fastest) for mark in marks]
    taken = [(x(mark.x) - r, y(mark.y), 2 * r) for mark, r in zip(marks, radius, strict=True)]
    for mark, r in sorted(zip(marks, radius, strict=True), key=lambda pair: -pair[1]):
        px, py = x(mark.x), y(mark.y)
        group = drawing.group(mark.tip)
        if mark.error:
            first, last = y(mark.y - mark.error), y(mark.y + mark.error)
            drawing.line(px, first, px, last, "whisker", group)
            for end in (first, last):
                drawing.line(px - 4, end, px + 4, end, "whisker", group)
        drawing.circle(px, py, r, f"mark {mark.look}", group)
        wide = GLYPH * len(mark.label)
        after = px + r + 8 + wide < width
        lx = px + r + 7 if after else px - r - 7 - wide
        ly = _free(taken, lx, py + 4, wide)
        taken.append((lx, ly, wide))
        drawing.text(lx if after else lx + wide, ly, mark.label, "label", "start" if after else "end", group)
    return str(drawing)


def _free(taken: Sequence[tuple[float, float, float]], x: float, y: float, wide: float) -> float:
    """The height nearest below `y` at which a label lies on no other."""
    for _ in range(40):
        if not any(x < bx + bw and bx < x + wide and abs(y - by) < 14 and by != y - 4 for bx, by, bw in taken):
            break
        y += 2
    return y


def hills(
    width: float, rows: Sequence[tuple[str, Mapping[str, Sequence[float]], float]],
    floor_of: Mapping[str, Sequence[float]] | None,
) -> str:  # fmt: skip
    """How the KLD of single tokens is spread, over a logarithmic axis: label, histogram and mean of each variant; the
    noise floor stands behind each.
    """
    top, bottom, right = 6.0, 36.0, 12.0
    left = label_width([label for label, *_ in rows], width * 0.3)
    cell = max(48.0, min(84.0, 320.0 / max(1, len(rows))))
    height = top + cell * len(rows) + bottom
    drawing = Drawing(width, height, "Distribution of the KLD of single tokens, logarithmic")
    every = [histogram for _, histogram, _ in rows] + ([floor_of] if floor_of else [])
    used = [
        edge
        for one in every
        for count, edges in zip(one["counts"], pairwise(one["edges"]), strict=True)
        if count
        for edge in edges
    ]
    e0, e1 = max(-9, math.floor(min(used, default=-8))), math.ceil(max(used, default=2))
    most = max((max(one["counts"]) / (sum(one["counts"]) or 1) for one in every), default=1) or 1

    def x(power: float) -> float:
        return left + (width - left - right) * (min(max(power, e0), e1) - e0) / (e1 - e0)

    def hill(one: Mapping[str, Sequence[float]], base: float) -> list[tuple[float, float]]:
        total = sum(one["counts"]) or 1
        points = [(x(one["edges"][0]), base)]
        for count, (first, last) in zip(one["counts"], pairwise(one["edges"]), strict=True):
            high = base - (cell - 12) * count / total / most
            points += [(x(first), high), (x(last), high)]
        return [*points, (x(one["edges"][-1]), base)]

    every_ = 2 if e1 - e0 > 7 or width < 420 else 1
    for power in range(e0, e1 + 1, every_):
        drawing.line(x(power), top, x(power), height - bottom, "grid")
        name = plain(10.0**power) if -2 <= power <= 2 else f"1e{power}"
        drawing.text(x(power), height - bottom + 16, name, anchor="middle")
    for number, (label, histogram, mean) in enumerate(rows):
        base = top + cell * (number + 1)
        if floor_of:
            drawing.polyline(hill(floor_of, base), "floor", filled=True)
        drawing.polyline(hill(histogram, base), "hill", filled=True)
        drawing.line(left, base, width - right, base, "axis")
        if mean > 0:
            at = x(math.log10(mean))
            drawing.line(at, base - cell + 14, at, base, "meanline")
        drawing.text(left - 8, base - 6, clipped(label, left), "label", "end")
    drawing.text(width - right, height - 2, "KLD of a token, nats", "name", "end")
    return str(drawing)


def levels(width: float, series: Sequence[tuple[str, str, Sequence[tuple[int, float]]]], unit: str) -> str:
    """Values over how many requests ran at once: label, look, (level, value)."""
    height, left, right, top, bottom = 210.0, 46.0, 14.0, 12.0, 38.0
    drawing = Drawing(width, height, f"{unit} over requests at once")
    counts = sorted({level for *_, points in series for level, _ in points})
    high = max((value for *_, points in series for _, value in points), default=1) * 1.1 or 1
    span = math.log2(counts[-1] / counts[0]) if len(counts) > 1 else 1
    floor = height - bottom

    def x(level: float) -> float:
        share = 0.5 if len(counts) == 1 else math.log2(level / counts[0]) / span
        return left + 10 + (width - left - right - 20) * share

    def y(value: float) -> float:
        return top + (floor - top) * (1 - value / high)

    for value in ticks(0, high, 4):
        drawing.line(left, y(value), width - right, y(value), "grid" if value else "axis")
        drawing.text(left - 8, y(value) + 4, plain(value), anchor="end")
    for level in counts:
        drawing.text(x(level), floor + 17, str(level), anchor="middle")
    drawing.text(0, height - 2, unit, "name")
    drawing.text(width - right, height - 2, "requests at once", "name", "end")
    for label, look, points in series:
        drawing.polyline(((x(level), y(value)) for level, value in sorted(points)), f"series {look}")
        for level, value in points:
            group = drawing.group(f"{label}, {level} at once: {formatting.figure(value)} {unit}")
            drawing.circle(x(level), y(value), 4.5, f"mark {look}", group)
    return str(drawing)


def heat(width: float, layers: Sequence[tuple[int, str, float, str]]) -> str:
    """A row per kind of projection, a column per layer: number, kind, relative error, tip. Darker lost more.

    The colours span a factor of two at least: where all layers lose the same, they look the same.
    """
    kinds = list(dict.fromkeys(kind for _, kind, *_ in layers))
    short = [kind.rpartition(".")[2] for kind in kinds]
    count = max(number for number, *_ in layers) + 1
    errors = [error for *_, error, _ in layers]
    high = max(errors)
    low = min(*errors, high / 2)
    left = label_width(short, 150)
    right = 0.0 if width < 480 else 96.0
    cell, top = (16.0 if len(kinds) > 12 else 24.0), 4.0
    height = top + cell * len(kinds) + 24
    drawing = Drawing(width, height, "Relative error by layer and kind of projection")
    wide = (width - left - right) / count
    for row, kind in enumerate(kinds):
        y = top + cell * row
        own = [one for one in layers if one[1] == kind]
        drawing.text(left - 8, y + cell / 2 + 4, clipped(short[row], left), "label", "end")
        for number, _, error, tip in own:
            share = (error - low) / (high - low) if high > low else 1.0
            group = drawing.group(tip)
            gap = 1.5 if wide > 5 else 0.3
            drawing.rect(
                left + number * wide, y + 1, max(1, wide - gap), cell - 2, "cell", group, 0.06 + 0.94 * max(0.0, share)
            )
        if right:
            mean = sum(one[2] for one in own) / len(own)
            drawing.text(width - right + 8, y + cell / 2 + 4, f"mean {formatting.percent(mean)}")
    drawing.text(left, height - 5, "layer 0")
    if count > 1:
        drawing.text(left + count * wide, height - 5, str(count - 1), anchor="end")
    return str(drawing)


# SVG.


class Drawing:
    """One picture; text and attributes are escaped when it is written."""

    def __init__(self, width: float, height: float, words: str) -> None:
        self.width, self.height = width, height
        self.root = Element("svg", {"viewBox": f"0 0 {_n(width)} {_n(height)}", "role": "img", "aria-label": words})

    def __str__(self) -> str:
        return tostring(self.root, encoding="unicode", short_empty_elements=False)

    def group(self, tip: str) -> Element:
        """Marks that say `tip` when pointed at."""
        group = SubElement(self.root, "g")
        SubElement(group, "title").text = _xml(tip)
        return group

    def line(self, x1: float, y1: float, x2: float, y2: float, cls: str, inside: Element | None = None) -> None:
        self._put("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": cls}, inside)

    def rect(
        self, x: float, y: float, width: float, height: float, cls: str, inside: Element | None = None,
        strength: float | None = None,
    ) -> None:  # fmt: skip
        said: dict[str, float | str] = {"x": x, "y": y, "width": width, "height": height, "class": cls}
        if strength is not None:
            said["style"] = f"--h:{strength:.3f}"
        self._put("rect", said, inside)

    def circle(self, x: float, y: float, r: float, cls: str, inside: Element | None = None) -> None:
        self._put("circle", {"cx": x, "cy": y, "r": r, "class": cls}, inside)

    def polyline(self, points: Iterable[tuple[float, float]], cls: str, *, filled: bool = False) -> None:
        joined = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._put("polygon" if filled else "polyline", {"points": joined, "class": cls}, None)

    def text(
        self, x: float, y: float, words: str, cls: str = "", anchor: str = "start", inside: Element | None = None
    ) -> None:
        self._put("text", {"x": x, "y": y, "text-anchor": anchor, "class": cls}, inside, words)

    def _put(
        self, tag: str, attributes: dict[str, float | str], inside: Element | None, words: str | None = None
    ) -> None:
        said = {name: value if isinstance(value, str) else _n(value) for name, value in attributes.items()}
        node = SubElement(self.root if inside is None else inside, tag, said)
        if words is not None:
            node.text = _xml(words)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _xml(text: str) -> str:
    """Without the control characters that no XML can hold."""
    return "".join(char for char in text if char >= " " or char in "\t\n")


def label_width(labels: Iterable[str], most: float) -> float:
    """Room for names at the left, in pixels."""
    return min(most, 14 + GLYPH * max(map(len, labels), default=0))


def clipped(label: str, room: float) -> str:
    most = max(4, int((room - 10) / GLYPH))
    return label if len(label) <= most else f"{label[: most - 1]}…"


def step(span: float, most: int) -> float:
    """The smallest round distance at which no more than `most` ticks lie in `span`."""
    base = 10 ** math.floor(math.log10(span / most)) if span > 0 else 1.0
    return next((m * base for m in (1, 2, 2.5, 5, 10) if span / (m * base) <= most), span or 1.0)


def ticks(low: float, high: float, most: int) -> list[float]:
    by = step(high - low, most)
    first = math.ceil(low / by - 1e-9)
    return [number * by for number in range(first, math.floor(high / by + 1e-9) + 1)]


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
