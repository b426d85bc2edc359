"""The colours of variants: told apart by everybody, on both backgrounds."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path

import pytest

from playground.web import shell

CSS = (shell.ROOMS / "web/static/page.css").read_text(encoding="utf-8")
# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as seen without red and without green cones
SIGHTS = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
}


def variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", block))


def linear(colour: str) -> list[float]:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lab(colour: str, sight: str) -> tuple[float, float, float]:
    rgb = linear(colour)
    r, g, b = (max(0.0, min(1.0, sum(k * v for k, v in zip(row, rgb, strict=True)))) for row in SIGHTS[sight])
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("dark", [False, True])
def test_six_variants_are_told_apart_by_every_eye(dark: bool) -> None:
    names = variables(CSS.split("body.dark {")[0])
    if dark:
        names |= variables(CSS.split("body.dark {")[1].split("}")[0])
    colours = [names[f"v{number}"] for number in range(1, 7)]
    for colour in colours:
        light, low = sorted((luminance(colour), luminance(names["card"])), reverse=True)
        assert (light + 0.05) / (low + 0.05) >= 3, f"{colour} on the card"
    for sight in SIGHTS:
        for one, other in combinations(colours, 2):
            assert math.dist(lab(one, sight), lab(other, sight)) > 25, f"{one} and {other} with {sight}"


def test_the_script_uses_what_the_style_sheet_defines() -> None:
    script = Path(shell.ROOMS / "web/static/parts.js").read_text(encoding="utf-8")
    assert "`var(--v${((index - 1) % 6) + 1})`" in script and "'var(--grey)'" in script
    assert {f"--v{number}" for number in range(1, 7)} <= set(re.findall(r"--v\d", CSS))
