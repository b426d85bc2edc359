"""SVG by hand: a few marks, one scale, and nothing that could be markup. Colours are classes of the style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

GLYPH = 6.7  # pixels a character of a label takes, on average


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
