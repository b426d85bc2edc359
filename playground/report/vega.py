"""Vega-Lite specifications as SVG, in a process of its own: `playground.report.svg` starts it.

The conversion holds the GIL, and a specification may name files and addresses. Data are loaded from nowhere: vl-convert
is told so. It would still write the address of an image into the picture, so a specification with one is refused.

Standard input: `[[specification, words for who cannot see it], …]`. The last line of standard output: a list of SVG
elements, null for one that could not be drawn; why goes to standard error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

LOADED = {"url", "href", "image"}  # names of what Vega loads or links to
GEOMETRY = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "stroke-width"}
LEFT_OUT = {"class", "role", "aria-hidden", "aria-roledescription", "aria-label", "font-family", "pointer-events"}
DEFAULTS = {("opacity", "1"), ("transform", "translate(0,0)"), ("stroke-miterlimit", "10")}
_LONG = re.compile(r"-?\d*\.\d{2,}(?:e-?\d+)?")


def draw(spec: dict[str, Any], words: str) -> str:
    """Raises ValueError for what Vega cannot draw, and for a specification that would load something."""
    import vl_convert

    _loads_nothing(spec)
    return compact(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), words)


def compact(svg: str, words: str) -> str:
    """An element of an HTML page: as wide as its place, in the page's font, with a title on each mark that has a tip.

    Vega's frames, roles and defaults are left out, and digits finer than a tenth of a pixel: half of the bytes.
    """
    root = fromstring(svg)  # noqa: S314  Vega wrote it a moment ago
    picture = Element("svg", {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": words})
    picture.extend(part for child in root for part in _kept(child, marks=False))
    return tostring(picture, encoding="unicode")


def _kept(node: Element, *, marks: bool) -> Iterator[Element]:
    tag, classes = node.tag.rpartition("}")[2], node.get("class", "").split()
    if "background" in classes or "foreground" in classes:
        return
    marks = marks or "role-mark" in classes
    attributes = {
        name: _LONG.sub(lambda digits: f"{round(float(digits[0]), 1) + 0.0:g}", value) if name in GEOMETRY else value
        for name, value in node.attrib.items()
        if name not in LEFT_OUT and (name, value) not in DEFAULTS
    }
    parts = [part for child in node for part in _kept(child, marks=marks)]
    if tag == "g" and (not parts or not attributes):
        yield from parts
        return
    if tag == "text" and marks:
        attributes["class"] = "label"
    kept = Element(tag, attributes)
    kept.text = node.text
    if marks and node.get("aria-label"):
        SubElement(kept, "title").text = node.get("aria-label")
    kept.extend(parts)
    yield kept


def _loads_nothing(value: Any) -> None:
    """Data are not looked at: a value is drawn as text and never followed."""
    if isinstance(value, dict):
        marks = (mark for mark in (value.get("mark"), value.get("type")) if isinstance(mark, str))
        if refused := LOADED & {*value, *marks}:
            raise ValueError(f"A plot has no {refused.pop()}.")
        for name, part in value.items():
            if name != "values":
                _loads_nothing(part)
    if isinstance(value, list):
        for part in value:
            _loads_nothing(part)


def main() -> None:
    drawn: list[str | None] = []
    for spec, words in json.load(sys.stdin):
        try:
            drawn.append(draw(spec, words))
        except ValueError as error:
            print(error, file=sys.stderr)
            drawn.append(None)
    print(json.dumps(drawn))


if __name__ == "__main__":
    main()
