"""Convert Vega-Lite specifications to SVG, in the subprocess that `playground.report.svg` starts.

The conversion holds the GIL, and a specification may name files and URLs. vl-convert is configured to load nothing, but
it would still write the URL of an image into the picture, so a specification with one is refused.

Standard input: `[[specification, alternative text], …]`. The last line of standard output: a list of SVG elements, null
where drawing failed; the errors go to standard error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

LOADING_FIELDS = {"url", "href", "image"}  # fields and marks with which Vega loads or links
GEOMETRY = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "stroke-width"}
DROPPED = {"class", "role", "aria-hidden", "aria-roledescription", "aria-label", "font-family", "pointer-events"}
DEFAULTS = {("opacity", "1"), ("transform", "translate(0,0)"), ("stroke-miterlimit", "10")}
_LONG_NUMBER = re.compile(r"-?\d*\.\d{2,}(?:e-?\d+)?")


def draw(spec: dict[str, Any], words: str) -> str:
    """Return the SVG. Raises ValueError if Vega cannot draw it, and for a specification that would load something."""
    import vl_convert

    _refuse_loading(spec)
    return compact(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), words)


def compact(svg: str, words: str) -> str:
    """Return the SVG as an element of an HTML page: in its width and font, with a title on each mark that has a tip.

    Vega's frames, roles and defaults are dropped, and numbers rounded to a tenth of a pixel, which halves the bytes.
    """
    root = fromstring(svg)  # noqa: S314  the input is Vega's output
    picture = Element("svg", {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": words})
    picture.extend(part for child in root for part in _compact_nodes(child, marks=False))
    return tostring(picture, encoding="unicode")


def _compact_nodes(node: Element, *, marks: bool) -> Iterator[Element]:
    tag, classes = node.tag.rpartition("}")[2], node.get("class", "").split()
    if "background" in classes or "foreground" in classes:
        return
    marks = marks or "role-mark" in classes
    attributes = {
        name: _LONG_NUMBER.sub(lambda digits: f"{round(float(digits[0]), 1) + 0.0:g}", value)
        if name in GEOMETRY
        else value
        for name, value in node.attrib.items()
        if name not in DROPPED and (name, value) not in DEFAULTS
    }
    parts = [part for child in node for part in _compact_nodes(child, marks=marks)]
    if tag == "g" and (not parts or not attributes):
        yield from parts
        return
    if tag == "text" and marks:
        attributes["class"] = "label"
    compacted = Element(tag, attributes)
    compacted.text = node.text
    if marks and node.get("aria-label"):
        SubElement(compacted, "title").text = node.get("aria-label")
    compacted.extend(parts)
    yield compacted


def _refuse_loading(value: Any) -> None:
    """Raise ValueError for a field or mark that loads something. Data values are not checked: Vega only draws them."""
    if isinstance(value, dict):
        marks = (mark for mark in (value.get("mark"), value.get("type")) if isinstance(mark, str))
        if refused := LOADING_FIELDS & {*value, *marks}:
            raise ValueError(f"A plot has no {refused.pop()}.")
        for name, part in value.items():
            if name != "values":
                _refuse_loading(part)
    if isinstance(value, list):
        for part in value:
            _refuse_loading(part)


def main() -> None:
    """Read specifications from standard input and print their SVG."""
    svgs: list[str | None] = []
    for spec, words in json.load(sys.stdin):
        try:
            svgs.append(draw(spec, words))
        except ValueError as error:
            print(error, file=sys.stderr)
            svgs.append(None)
    print(json.dumps(svgs))


if __name__ == "__main__":
    main()
