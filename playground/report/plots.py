"""The plots of a run as Vega-Lite specifications: data, marks and scales, without a width and without colours.

A colour is the name of a role, as in the style sheets (`{"expr": "acc"}`). `static/plot.json`, which the page also
reads, maps each role to a variable of the style sheet, so that one picture serves the light and the dark theme.
`Plot.rows` are the data of a specification. Expressions never contain text of a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground import formatting
from playground.report.parts import Cell, Heading, Plot, Table

MAX_ROWS = 5000
MAX_TABLE_ROWS = 200  # rows of the table that stands in for a plot
# fields that only place a mark
PLACING = {"look", "from", "least", "most", "base", "top", "at", "after", "area", "tip"}
LABEL_PX = 6.7  # mean width of a character of a label
PHONE = (240, 250)  # pixels inside the axes of the narrowest plot: labels that do not overlap there overlap nowhere
VARIANT_COLOURS = 6  # of the page's style sheet; `variantColour` in parts.js
LOOKS = {  # of a series or a bar: its colour, and the dashes of its line
    "ref": ("grey", [1, 0]), "v1": ("acc", [1, 0]), "v2": ("acc", [6, 3]), "v3": ("acc", [2, 3]),
    "same": ("grey", [1, 0]), "worse": ("bad", [1, 0]), "better": ("acc", [1, 0]), "withheld": ("soft", [1, 0]),
    "reference": ("grey", [1, 0]), "": ("acc", [1, 0]),
    **{f"variant{number}": (f"variant{number}", [1, 0]) for number in range(1, VARIANT_COLOURS + 1)},
}  # fmt: skip
Column = tuple[float | None, str]  # value, tip
NUMBER_FORMAT = ",.3~r"  # three digits, no needless zeros
LOOK: dict[str, Any] = json.loads(Path(__file__).with_name("static").joinpath("plot.json").read_text(encoding="utf-8"))


def theme(place: int) -> dict[str, Any]:
    """Return the `config` of a specification that is drawn `place` pixels wide."""
    # vl-convert brings and measures this font, on every machine alike; the page draws its own.
    return LOOK | {"font": "Liberation Sans", "params": [*LOOK["params"], {"name": "place", "value": place}]}


def variant_look(place: int) -> str:
    """Return the look of a variant on the page, by its place in a run: the reference is 0."""
    return "ref" if place == 0 else f"variant{(place - 1) % VARIANT_COLOURS + 1}"


@dataclass(frozen=True, slots=True)
class Series:
    """Values in order. `look`: a key of `LOOKS`."""

    label: str
    values: tuple[float, ...]
    look: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar. `error` is a whisker to both sides, `limit` a bar behind it, `text` stands at the end."""

    label: str
    value: float
    text: str
    look: str = ""
    error: float = 0.0
    tip: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A variant in the plane. `speed` is the area of the mark; None where it was not measured."""

    label: str
    x: float
    y: float
    error: float
    speed: float | None
    look: str
    tip: str


def lines(title: str, series: Sequence[Series], unit: str, across: str, caption: str = "") -> Plot:
    """Return lines over the number of the token; above `MAX_ROWS` points each is the maximum of several tokens."""
    longest = max((len(line.values) for line in series), default=0)
    high = max((max(line.values) for line in series if line.values), default=0.0) * 1.06 or 1.0
    step = math.ceil(sum(len(line.values) for line in series) / (MAX_ROWS - len(series)))
    rows = [
        {"token": start + 1, "value": max(line.values[start : start + step]), "label": label, "look": line.look}
        for line, label in zip(series, _distinct(line.label for line in series), strict=True)
        for start in range(0, len(line.values), step)
    ]
    encoding = {
        "x": _x("token", across, scale={"domain": [1, max(2, longest)]}, ticks=(5, 9), grid=False, tickMinStep=1),
        "y": _y("value", unit, scale={"domain": [0, high]}),
        "detail": {"field": "label"},
        "color": _colours(rows),
        "strokeDash": _dashes(rows),
    }
    spec = _spec(rows, 146, encoding=encoding, mark=_mark("line", strokeWidth=1.7, strokeJoin="round"))
    more = f"each point is the highest of {step} tokens" if step > 1 else ""
    return _plot(
        title, spec, f"{unit} over {across}", (caption, more), keys=[(line.look, line.label) for line in series]
    )


def bars(
    title: str, rows: Sequence[Bar], unit: str, caption: str = "", *, low: float = 0.0, reference: float | None = None,
    keys: Sequence[tuple[str, str]] = (),
) -> Plot:  # fmt: skip
    """Return horizontal bars; `reference` is a line across all of them."""
    ends = [end for row in rows for end in (row.value + row.error, row.limit or 0.0)]
    high = max([*ends, reference or 0.0]) * 1.03 or 1.0
    data = [
        asdict(row)
        | {"label": label, "tip": row.tip or f"{row.label}: {row.text}", "from": low}
        | {end: row.value + sign * row.error if row.error else None for end, sign in (("least", -1), ("most", 1))}
        for row, label in zip(rows, _distinct(row.label for row in rows), strict=True)
    ]
    axis = {"labelColor": {"expr": "fg"}, "labelFontSize": 12.5, "labelLimit": 150, "domain": False}
    order = {"domain": [row["label"] for row in data]}
    y = {"field": "label", "type": "nominal", "scale": order, "title": None, "axis": axis}
    x = _x("value", unit, scale={"domain": [low, high], "clamp": True}, ticks=(3, 5), domain=False)
    tip = {"field": "tip"}
    layers: list[dict[str, Any]] = [
        {
            "mark": _mark(
                "bar", tip=True, height=14, opacity=0.75, stroke={"expr": "datum.look == 'withheld' ? bad : null"}
            ),
            "encoding": {"x": x, "x2": {"field": "from"}, "y": y, "color": _colours(data), "description": tip},
        },
        {
            "mark": _mark("text", align="left", fontWeight=600, dx=8),
            "encoding": {"x": {"value": {"expr": "width"}}, "y": y, "text": {"field": "text"}},
        },
    ]
    if any(row.limit for row in rows):
        room = _mark("bar", height=14, color={"expr": "soft"}, stroke={"expr": "line"})
        layers.insert(0, {"mark": room, "encoding": {"x": x | {"field": "limit"}, "x2": {"field": "from"}, "y": y}})
    if any(row.error for row in rows):
        layers += _whiskers("x", x, {"y": y})
    if reference is not None:
        rule = _mark("rule", strokeDash=[3, 3], color={"expr": "grey"})
        layers.append({"data": {"values": [{}]}, "mark": rule, "encoding": {"x": {"datum": reference}}})
    return _plot(title, _spec(data, {"step": 28}, layer=layers), unit, (caption,), keys=keys, wide=False)


def tradeoff(title: str, marks: Sequence[Mark], unit: str, caption: str = "", *, log: bool = True) -> Plot:
    """Return quality over size on disk; the area of a mark grows with its speed. `log`: the scale of the quality.

    Where labels would collide and the looks tell the marks apart, a legend says which is which.
    """
    x0, x1 = min(mark.x for mark in marks) * 0.78, max(mark.x for mark in marks) * 1.12
    y0, y1 = _ends(marks, log)
    tens = [10.0**power for power in range(-9, 4) if y0 <= 10.0**power <= y1]
    width, height = PHONE
    fastest = max((mark.speed or 0 for mark in marks), default=0) or 1.0
    points: list[tuple[float, float, float]] = []
    for mark in marks:
        share = math.log(mark.y / y0) / math.log(y1 / y0) if log else (mark.y - y0) / (y1 - y0)
        points.append((width * (mark.x - x0) / (x1 - x0), height * (1 - share), LABEL_PX * len(mark.label)))
    rows = []
    occupied = [(x - 10, y, 20.0) for x, y, _ in points]
    collides = False
    for mark, (x, y, label_width), label in zip(marks, points, _distinct(mark.label for mark in marks), strict=True):
        is_right = x + 14 + label_width < width
        label_x = x + 12 if is_right else x - 12 - label_width
        label_y = _free_y(occupied, label_x, y, label_width)
        collides |= label_y > height or label_x < 0 or _overlaps(occupied, label_x, label_y, label_width)
        occupied.append((label_x, label_y, label_width))
        at = y1 * (y0 / y1) ** (label_y / height) if log else y1 + (y0 - y1) * label_y / height
        rows.append(
            {
                **asdict(mark), "label": label, "after": is_right, "at": at,
                "least": (max(y0, mark.y - mark.error) if log else mark.y - mark.error) if mark.error else None,
                "most": mark.y + mark.error if mark.error else None,
                "area": 80.0 if mark.speed is None else math.pi * (3.5 + 9 * math.sqrt(mark.speed / fastest)) ** 2,
            }
        )  # fmt: skip
    size = "replace(format(datum.value, '.3~s'), regexp('([kMGT]?)$'), ' $1B')"
    across = _x("x", "on disk", scale={"domain": [x0, x1]}, ticks=(3, 6), grid=False, labelExpr=size)
    ticks = {"values": tens} if log and len(tens) > 1 else {}
    up = _y("y", unit, scale={**({"type": "log"} if log else {}), "domain": [y0, y1]}, **ticks)
    area = {"field": "area", "type": "quantitative", "scale": None}
    point = _mark("point", tip=True, filled=True, shape="circle", opacity=0.75)
    name = _mark("text", align={"expr": "datum.after ? 'left' : 'right'"}, dx={"expr": "datum.after ? 14 : -14"})
    layers = _whiskers("y", up, {"x": across}) if any(mark.error for mark in marks) else []
    layers.append(
        {
            "mark": point,
            "encoding": {
                **{"x": across, "y": up, "size": area, "color": _colours(rows)},
                "description": {"field": "tip"},
            },
        }
    )
    keys: list[tuple[str, str]] = []
    if collides and len({mark.look for mark in marks}) == len(marks):
        keys = [(mark.look, mark.label) for mark in marks]
    else:
        layers.append({"mark": name, "encoding": {"x": across, "y": up | {"field": "at"}, "text": {"field": "label"}}})
    words = f"{unit} over size on disk"
    return _plot(title, _spec(rows, height, layer=layers), words, (caption,), keys=keys, wide=False)


def _ends(marks: Sequence[Mark], log: bool) -> tuple[float, float]:
    """Return the ends of the scale of quality."""
    high = max(mark.y + mark.error for mark in marks)
    if log:
        return min(max(mark.y - mark.error, mark.y / 3) for mark in marks) / 1.5, high * 1.5
    low = min(mark.y - mark.error for mark in marks)
    room = 0.08 * (high - low or 1.0)
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


@dataclass(frozen=True, slots=True)
class Reading:
    """A decode speed, tokens per second, and the bytes that one token reads. `deep`: after tokens in the context."""

    label: str
    read: float
    speed: float
    look: str
    tip: str
    deep: bool = False


def roofline(title: str, readings: Sequence[Reading], bandwidths: Sequence[float]) -> Plot:
    """Return decode speed over the bytes that a token reads, both logarithmic, with a line for each bandwidth.

    bandwidths  bytes per second; speed cannot exceed bandwidth / bytes
    """
    reads, speeds = [mark.read for mark in readings], [mark.speed for mark in readings]
    limits = [bandwidth / read for bandwidth in bandwidths for read in reads]
    x0, x1 = min(reads) / 1.7, max(reads) * 2
    y0, y1 = min(speeds) / 1.8, max([*speeds, *limits]) * 1.5
    width, height = PHONE
    occupied: list[tuple[float, float, float]] = []
    rows: list[dict[str, Any]] = []
    for mark in sorted(readings, key=lambda mark: mark.deep):
        x = width * math.log(mark.read / x0) / math.log(x1 / x0)
        y = height * (1 - math.log(mark.speed / y0) / math.log(y1 / y0))
        label_width = LABEL_PX * len(mark.label)
        is_right = x + 14 + label_width < width
        label_x = x + 12 if is_right else x - 12 - label_width
        label_y = _free_y(occupied, label_x, y, label_width)
        if not mark.deep:
            occupied.append((label_x, label_y, label_width))
        rows.append(asdict(mark) | {"after": is_right, "at": y1 * (y0 / y1) ** (label_y / height)})
    size = "replace(format(datum.value, '.3~s'), regexp('([kMGT]?)$'), ' $1B')"
    across = _x(
        "read", "read per token", scale={"type": "log", "domain": [x0, x1]}, ticks=(2, 5), grid=False, labelExpr=size
    )
    up = _y("speed", "tok/s", scale={"type": "log", "domain": [y0, y1]})
    layers: list[dict[str, Any]] = []
    for bandwidth in bandwidths:
        left, right = max(x0, bandwidth / y1), min(x1, bandwidth / y0)
        ends = [{"read": read, "speed": bandwidth / read} for read in (left, right)]
        layers.append(
            {
                "data": {"values": ends},
                "mark": _mark("line", strokeDash=[6, 4], strokeWidth=1.4, color={"expr": "grey"}),
                "encoding": {"x": across, "y": up},
            }
        )
    shape = {
        "field": "deep",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": [False, True], "range": ["circle", "diamond"]},
    }
    point = _mark("point", tip=True, filled=True, size=110, opacity=0.8)
    encoding = {"x": across, "y": up, "color": _colours(rows), "shape": shape, "description": {"field": "tip"}}
    layers.append({"mark": point, "encoding": encoding})
    name = _mark("text", align={"expr": "datum.after ? 'left' : 'right'"}, dx={"expr": "datum.after ? 13 : -13"})
    layers.append(
        {
            "transform": [{"filter": "!datum.deep"}],
            "mark": name,
            "encoding": {"x": across, "y": up | {"field": "at"}, "text": {"field": "label"}},
        }
    )
    limit = ", ".join(f"{formatting.size(bandwidth)}/s" for bandwidth in bandwidths)
    keys = [("limit", f"limit of this memory, {limit}")] if limit else []
    words = "Decode speed over the bytes that one token reads, both logarithmic"
    caption = "each token must read all weights once: no speed can lie above the line" if limit else ""
    return _plot(title, _spec(rows, 300, layer=layers), words, (caption,), keys=keys, wide=False)


def _free_y(occupied: Sequence[tuple[float, float, float]], x: float, y: float, width: float) -> float:
    """Return the next y from `y` downwards, pixels, at which a label overlaps no other."""
    for _ in range(40):
        if not _overlaps(occupied, x, y, width):
            break
        y += 2
    return y


def _overlaps(occupied: Sequence[tuple[float, float, float]], x: float, y: float, width: float) -> bool:
    return any(x < bx + bw and bx < x + width and abs(y - by) < 14 for bx, by, bw in occupied)


def columns(
    title: str, groups: Sequence[tuple[str, str]], series: Sequence[tuple[str, str, Sequence[Column]]],
    floor: Sequence[float | None], unit: str, across: str, caption: str = "",
) -> Plot:  # fmt: skip
    """Return columns side by side in groups, on a logarithmic scale.

    groups  name of each group, and the line below it
    series  label, look, and (value, tip) in each group; a value of None or 0 has no column
    floor   of each group a value that is drawn as a line across it; [] for none
    """
    values = [value for *_, cells in series for value, _ in cells if value] + [value for value in floor if value]
    y0, y1 = 10 ** math.floor(math.log10(min(values))), max(values) * 1.3
    names = [f"{name}|{below}" for name, below in groups]
    labels = _distinct(label for label, *_ in series)
    rows = [
        {"group": name, "label": label, "look": look, "value": value, "from": y0, "tip": tip, "kind": "column"}
        for label, (_, look, cells) in zip(labels, series, strict=True)
        for name, (value, tip) in zip(names, cells, strict=True)
        if value
    ]
    rows += [
        {"group": name, "label": "floor", "look": "ref", "value": value, "from": y0, "tip": "", "kind": "floor"}
        for name, value in zip(names, floor, strict=False)
        if value
    ]
    axis = {
        "labelAngle": 0,
        "labelExpr": "place < 480 ? split(datum.label, '|')[0] : split(datum.label, '|')",
        "domain": True,
        "titleAnchor": "end",
    }
    x = {"field": "group", "type": "ordinal", "sort": None, "title": across, "axis": axis}
    scale = {"type": "log", "domain": [y0, y1]}
    tens = [10.0**power for power in range(-9, 4) if y0 <= 10.0**power <= y1]
    y = _y("value", unit, scale=scale, values=tens)
    offset = {"field": "label", "type": "nominal", "scale": {"domain": labels}}
    layers: list[dict[str, Any]] = [
        {
            "transform": [{"filter": "datum.kind == 'column'"}],
            "mark": _mark("bar", tip=True, opacity=0.85),
            "encoding": {
                **{"x": x, "y": y, "y2": {"field": "from"}, "xOffset": offset, "color": _colours(rows)},
                "description": {"field": "tip"},
            },
        }
    ]
    if any(floor):
        layers.append(
            {
                "transform": [{"filter": "datum.kind == 'floor'"}],
                "mark": _mark("rule", strokeWidth=2, color={"expr": "grey"}),
                "encoding": {
                    "x": x | {"bandPosition": 0},
                    "x2": {"field": "group", "bandPosition": 1},
                    "y": y,
                },
            }
        )
    keys = [(look, label) for label, look, _ in series] + ([("ref", "noise floor")] if any(floor) else [])
    return _plot(title, _spec(rows, 240, layer=layers), f"{unit} by {across}", (caption,), keys=keys)


def hills(
    title: str, rows: Sequence[tuple[str, Mapping[str, Sequence[float]], float]],
    floor: Mapping[str, Sequence[float]] | None, caption: str = "",
) -> Plot:  # fmt: skip
    """Return the distributions of the KLD of single tokens over a logarithmic axis, the noise floor behind each.

    `rows`: label, histogram and mean of each variant.
    """
    all_steps = [_steps(histogram) for _, histogram, _ in rows] + ([_steps(floor)] if floor else [])
    edges = [edge for steps in all_steps for edge, _ in steps]
    first, last = max(-9, math.floor(min(edges, default=-8))), math.ceil(max(edges, default=2))
    most = max((share for steps in all_steps for _, share in steps), default=1.0)
    data: list[dict[str, Any]] = []
    names = _distinct(label for label, *_ in rows)
    for number, (label, (_, histogram, mean)) in enumerate(zip(names, rows, strict=True)):
        base = len(rows) - 1 - number
        for kind, steps in (("floor", _steps(floor) if floor else []), ("hill", _steps(histogram))):
            data += [
                {"label": label, "kind": kind, "power": edge, "share": share, "base": base}
                | {"top": base + round(0.85 * share / most, 4)}
                for edge, share in steps
            ]
        if mean > 0:
            at = {"power": min(max(math.log10(mean), first), last), "mean": mean}
            data.append({"label": label, "kind": "mean", **at, "base": base, "top": base + 0.85})
    power = "abs(datum.value) <= 2 ? format(pow(10, datum.value), '~g') : '1e' + datum.value"
    scale = {"domain": [first, last], "clamp": True}
    x = _x("power", "KLD of a token, nats", scale=scale, ticks=(5, 10), labelExpr=power, tickMinStep=1, domain=False)
    y = {"type": "quantitative", "axis": None, "scale": {"domain": [0, len(rows)]}}
    up = {"x": x, "y": {"field": "base", **y}, "y2": {"field": "top"}, "detail": {"field": "label"}}
    axis = {"labelColor": {"expr": "fg"}, "labelFontSize": 12.5, "labelLimit": 150, "domain": False}
    named = {"field": "label", "type": "nominal", "scale": {"domain": names}, "title": None, "axis": axis}
    layers = [
        {
            "transform": [{"filter": f"datum.kind == '{kind}'"}],
            "mark": _mark("area", interpolate="step-after", color={"expr": colour}, opacity=opacity),
            "encoding": up,
        }
        for kind, colour, opacity in (("floor", "grey", 0.22), ("hill", "warm", 0.62))
    ]
    layers += [
        {
            "transform": [{"filter": "datum.kind == 'mean'"}],
            "mark": _mark("rule", strokeWidth=1.6, color={"expr": "fg"}),
            "encoding": up,
        },
        {"mark": _mark("rule", color={"expr": "grey"}, strokeOpacity=0.6), "encoding": {"y": up["y"]}},
        {"mark": _mark("tick", opacity=0, color={"expr": "line"}), "encoding": {"y": named}},
    ]
    for layer in layers[-2:]:
        layer["transform"] = [{"aggregate": [], "groupby": ["label", "base"]}]
    cell = max(48.0, min(84.0, 320.0 / max(1, len(rows))))
    resolved = {"scale": {"y": "independent"}}
    spec = _spec(data, round(cell * len(rows)), layer=layers, resolve=resolved)
    keys = [("hill", "share of the tokens"), ("meanline", "mean"), *([("floor", "noise floor")] if floor else [])]
    return _plot(title, spec, "Distribution of the KLD of single tokens", (caption,), keys=keys, wide=False)


def _steps(histogram: Mapping[str, Sequence[float]]) -> list[tuple[float, float]]:
    """Return (lower edge, share of the tokens) of the bins; of empty bins only the first after a filled one."""
    total = sum(histogram["counts"]) or 1
    shares = [*(count / total for count in histogram["counts"]), 0.0]
    return [
        (edge, share)
        for number, (edge, share) in enumerate(zip(histogram["edges"], shares, strict=True))
        if share or (number and shares[number - 1])
    ]


def levels(
    title: str, series: Sequence[tuple[str, str, Sequence[tuple[int, float]]]], unit: str, caption: str = ""
) -> Plot:
    """Return values over the number of concurrent requests. `series`: label, look, (level, value) of each line."""
    rows: list[dict[str, Any]] = [
        {"label": name, "look": look, "level": level, "value": value}
        | {"tip": f"{label}, {level} at once: {formatting.figure(value)} {unit}"}
        for (label, look, points), name in zip(series, _distinct(label for label, *_ in series), strict=True)
        for level, value in sorted(points)
    ]
    counts = sorted({row["level"] for row in rows})
    high = max((value for *_, points in series for _, value in points), default=1) * 1.1 or 1
    ends = [counts[0] / 1.1, counts[-1] * 1.1] if len(counts) > 1 else [counts[0] / 2, counts[0] * 2]
    scale = {"type": "log", "base": 2, "domain": ends}
    encoding = {
        "x": _x("level", "requests at once", scale=scale, grid=False, values=counts, format="d"),
        "y": _y("value", unit, scale={"domain": [0, high]}),
        "color": _colours(rows),
        "detail": {"field": "label"},
    }
    layers = [
        {"mark": _mark("line", strokeWidth=1.7), "encoding": {"strokeDash": _dashes(rows)}},
        {"mark": _mark("point", tip=True, filled=True, size=64), "encoding": {"description": {"field": "tip"}}},
    ]
    keys = [(look, label) for label, look, _ in series]
    spec = _spec(rows, 160, encoding=encoding, layer=layers)
    return _plot(title, spec, f"{unit} over requests at once", (caption,), keys=keys, wide=False)


def heat(
    title: str, layers: Sequence[tuple[int, str, float, str]], caption: str = "", high: float | None = None
) -> Plot:
    """Return a heat map with a row per kind of projection and a column per layer; darker is a larger error.

    `layers`: number, kind, relative error and tip of each projection. The colours span at least a factor of two, so
    that equal errors look equal; with `high` they span 0 to that, so that several maps share one scale. Above
    `MAX_ROWS` projections, as with experts, a cell is the maximum of those with the same name in a layer.
    """
    more = ""
    if len(layers) > MAX_ROWS:
        worst: dict[tuple[int, str], tuple[int, str, float, str]] = {}
        for number, kind, error, tip in layers:
            key = (number, kind.rpartition(".")[2])
            worst[key] = max(worst.get(key, (number, key[1], error, tip)), (number, key[1], error, tip), key=_error)
        layers, more = list(worst.values()), "of projections of one name in one layer the one that lost most"
    kinds = list(dict.fromkeys(kind for _, kind, *_ in layers))
    names = dict(zip(kinds, _distinct(kind.rpartition(".")[2] for kind in kinds), strict=True))
    means = {kind: _mean([error for _, layer_kind, error, _ in layers if layer_kind == kind]) for kind in kinds}
    rows = [
        {"layer": number, "projection": names[kind], "kind": kind, "error": error, "tip": tip}
        | {"mean": f"mean {formatting.percent(means[kind])}"}
        for number, kind, error, tip in layers
    ]
    if high is None:
        high = max(error for *_, error, _ in layers)
        low = min(*(error for *_, error, _ in layers), high / 2)
    else:
        low = 0.0
    count = max(number for number, *_ in layers) + 1
    axis = {"labelColor": {"expr": "mute"}, "labelLimit": 150, "domain": False}
    y = {"field": "projection", "type": "nominal", "sort": None, "title": None, "axis": axis}
    across = {"labelAngle": 0, "labelOverlap": "greedy", "domain": False, "titleAnchor": "start"}
    strength = {"domain": [low, high], "range": [0.06, 1.0]} if high > low else {"domain": [0, high], "range": [0, 1]}
    gap = {"expr": f"place > {6 * count} ? 1.5 : 0.3"}
    heat_layers = [
        {
            "mark": _mark("rect", tip=True, color={"expr": "warm"}, stroke={"expr": "card"}, strokeWidth=gap),
            "encoding": {
                "x": {"field": "layer", "type": "ordinal", "title": "layer", "axis": across}, "y": y,
                "opacity": {"field": "error", "type": "quantitative", "scale": strength, "legend": None},
                "description": {"field": "tip"},
            },
        },
        {
            "transform": [{"aggregate": [], "groupby": ["projection", "mean"]}],
            "mark": _mark("text", align="left", dx=8, fontSize=12, color={"expr": "mute"}),
            "encoding": {
                "x": {"value": {"expr": "width"}}, "y": y,
                "text": {"condition": {"test": "place < 480", "value": ""}, "field": "mean"},
            },
        },
    ]  # fmt: skip
    spec = _spec(rows, {"step": 16 if len(kinds) > 12 else 24}, layer=heat_layers)
    return _plot(title, spec, "Relative error by layer and kind of projection", (caption, more))


def _error(cell: tuple[int, str, float, str]) -> float:
    return cell[2]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def figures(plot: Plot) -> Table:
    """Return the data of a plot as a table, without the fields that only place marks."""
    rows = plot.rows
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in PLACING]
    headings = [Heading(name, words=any(isinstance(row.get(name), str) for row in rows)) for name in names]
    cells = [tuple(Cell(_to_text(row.get(name))) for name in names) for row in rows[:MAX_TABLE_ROWS]]
    more = f"the first {MAX_TABLE_ROWS:,} of {len(rows):,} rows" if len(rows) > MAX_TABLE_ROWS else ""
    return Table(plot.title, tuple(headings), tuple(cells), more)


def _to_text(value: Any) -> str:
    return formatting.UNKNOWN if value is None else value if isinstance(value, str) else f"{value:.4g}"


# What the plots share.


def _spec(rows: Sequence[Mapping[str, Any]], height: int | Mapping[str, int], **marks: Any) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": [{name: _clean(value) for name, value in row.items()} for row in rows[:MAX_ROWS]]},
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        **marks,
    }


def _plot(
    title: str, spec: dict[str, Any], words: str, captions: Iterable[str], *, keys: Sequence[tuple[str, str]] = (),
    wide: bool = True,
) -> Plot:  # fmt: skip
    return Plot(title, spec, "; ".join(filter(None, captions)), _clean(words), tuple(keys), wide)


def _clean(value: Any) -> Any:
    """Return text without surrogates and control characters, which JSON and XML do not allow."""
    if not isinstance(value, str):
        return value
    whole = value.encode("utf-8", "replace").decode()
    return "".join(char for char in whole if char >= " " and char not in "\ufffe\uffff")


def _distinct(labels: Iterable[str]) -> list[str]:
    """Return the labels; equal ones get zero-width characters, so that each keeps its own row."""
    seen: dict[str, int] = {}
    names = []
    for label in map(_clean, labels):
        names.append(label + "\u200b" * seen.get(label, 0))
        seen[label] = seen.get(label, 0) + 1
    return names


def _mark(kind: str, *, tip: bool = False, **more: Any) -> dict[str, Any]:
    """Return a mark. `tip`: its encoding has a description, which becomes a title; others have no description."""
    return {"type": kind, **({} if tip else {"aria": False}), **more}


def _x(
    field: str, title: str, *, scale: Mapping[str, Any], ticks: tuple[int, int] = (5, 5), **axis: Any
) -> dict[str, Any]:
    """Return a horizontal scale with its title at the end. `ticks`: number on a phone, on a desk."""
    count = {"expr": f"place < 400 ? {ticks[0]} : {ticks[1]}"}
    axis_look = {
        "titleAnchor": "end",
        "format": NUMBER_FORMAT,
        **({} if "values" in axis else {"tickCount": count}),
        **axis,
    }
    return _number_scale(field, title, scale, axis_look)


def _y(field: str, title: str, *, scale: Mapping[str, Any], **axis: Any) -> dict[str, Any]:
    """Return a vertical scale with a horizontal title above it."""
    title_look = {"titleAngle": 0, "titleAnchor": "end", "titleAlign": "left", "titleX": -34, "titleY": -10}
    axis_look = {**title_look, "tickCount": 4, "format": NUMBER_FORMAT, **axis}
    return _number_scale(field, title, scale, axis_look)


def _number_scale(field: str, title: str, scale: Mapping[str, Any], axis: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "quantitative",
        "title": _clean(title),
        "scale": {"nice": False, **scale},
        "axis": axis,
    }


def _colours(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    looks = list(dict.fromkeys(row["look"] for row in rows))
    scale = {"domain": looks, "range": [{"expr": LOOKS[look][0]} for look in looks]}
    return {"field": "look", "type": "nominal", "scale": scale, "legend": None}


def _dashes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    looks = list(dict.fromkeys(row["look"] for row in rows))
    scale = {"domain": looks, "range": [LOOKS[look][1] for look in looks]}
    return {"field": "look", "type": "nominal", "scale": scale, "legend": None}


def _whiskers(along: str, scale: Mapping[str, Any], across: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return layers of lines from `least` to `most` with a short stroke at each end."""
    look: dict[str, Any] = {"color": {"expr": "fg"}, "opacity": 0.6}
    line = {"mark": _mark("rule", strokeWidth=1.4, **look)}
    line["encoding"] = {along: {**scale, "field": "least"}, f"{along}2": {"field": "most"}, **across}
    ends = [
        {"mark": _mark("tick", thickness=1.4, size=8, **look), "encoding": {along: {**scale, "field": end}, **across}}
        for end in ("least", "most")
    ]
    return [line, *ends]
