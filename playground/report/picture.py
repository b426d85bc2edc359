"""The verdict as a picture, 1200 × 630: what a chat or a social network shows of a link."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from playground import formatting
from playground.report.parts import Caveats, Cell, Picture, Report, Sentence, Table

WIDTH, HEIGHT, EDGE = 1200, 630, 56
BOTTOM = HEIGHT - 72  # of the table
ROWS = 6  # variants in the picture; the rest is counted
ROW, HEAD = 44, 58  # pixels, at least
BACK, INK, MUTE, LINE, SOFT = "#ffffff", "#15181d", "#5f6774", "#e1e4ea", "#f1f3f6"
ACCENT, BAD, GREY = "#4f46e5", "#b42318", "#737b88"
COLOURS = {"worse": BAD, "better": ACCENT, "same": MUTE, "withheld": MUTE}
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png(report: Report) -> bytes:
    """The picture: the verdict's sentences, and the table of the report's `Picture`."""
    (shown,) = report.all(Picture)
    image = Image.new("RGB", (WIDTH, HEIGHT), BACK)
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((0, 0, 12, HEIGHT), fill=ACCENT)
    y = _head(drawing, report)
    count = min(ROWS, len(shown.table.rows))
    y = _verdict(drawing, report.all(Sentence), y, BOTTOM - (HEAD + ROW * count if count else 0) - y)
    _table(drawing, shown.table, y + 12, count)
    _foot(drawing, report)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


@cache
def font(size: int, *, bold: bool = False) -> Font:
    """IBM Plex Sans, which comes with gradio; without it the font inside Pillow, which knows fewer characters."""
    found = importlib.util.find_spec("gradio")
    places = found.submodule_search_locations if found else None
    for place in places or ():
        folder = Path(place) / "templates/frontend/static/fonts/IBMPlexSans"
        if (file := folder / f"IBMPlexSans-{'Bold' if bold else 'Regular'}.woff2").exists():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)


def wrapped(text: str, shape: Font, width: float, lines: int) -> list[str]:
    """At most so many lines; what does not fit ends in an ellipsis. A word longer than a line is cut."""
    found: list[str] = []
    rest = formatting.whole(text).split(" ")
    while rest and len(found) < lines:
        line = fitted(rest.pop(0), shape, width)
        while rest and shape.getlength(f"{line} {rest[0]}") <= width:
            line = f"{line} {rest.pop(0)}"
        found.append(line)
    if rest and found:
        found[-1] = fitted(f"{found[-1]} {rest[0]}…", shape, width) if shape.getlength(f"{found[-1]}…") > width else (
            f"{found[-1]}…"
        )  # fmt: skip
    return found


def fitted(text: str, shape: Font, width: float) -> str:
    """One line that is no wider."""
    if shape.getlength(text) <= width:
        return text
    while text and shape.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _head(drawing: ImageDraw.ImageDraw, report: Report) -> int:
    drawing.text((EDGE, 40), report.kind, font=font(26, bold=True), fill=ACCENT)
    after = EDGE + font(26, bold=True).getlength(report.kind) + 16
    about = report.title if report.model in report.title else f"{report.model} · {report.title}"
    drawing.text((after, 40), fitted(about, font(26), WIDTH - EDGE - after), font=font(26), fill=MUTE)
    return 92


def _verdict(drawing: ImageDraw.ImageDraw, sentences: Sequence[Sentence], y: int, room: int) -> int:
    """The first sentence large, the others as there is room."""
    for number, one in enumerate(sentences):
        shape = font(44 if number == 0 else 26, bold=number == 0)
        step = 54 if number == 0 else 36
        left = room // step
        if left < 1:
            break
        lines = wrapped(one.text, shape, WIDTH - 2 * EDGE, min(left, 3 if number == 0 else 1))
        for line in lines:
            drawing.text((EDGE, y), line, font=shape, fill=INK)
            y, room = y + step, room - step
        y, room = y + 8, room - 8
        detail = one.rest or one.note
        if number == 0 and detail and room >= 36:
            for line in wrapped(detail, font(26), WIDTH - 2 * EDGE, min(2, room // 36)):
                drawing.text((EDGE, y), line, font=font(26), fill=MUTE)
                y, room = y + 36, room - 36
            y, room = y + 8, room - 8
    return y


def _table(drawing: ImageDraw.ImageDraw, table: Table, y: float, count: int) -> None:
    """As large as the room allows: a row is 44 to 76 pixels high, and its figures grow with it."""
    if not count:
        return
    row_height = max(ROW, min(76, (BOTTOM - y - HEAD) / count))
    size = round(27 * min(1.4, row_height / ROW))
    y = max(y, BOTTOM - HEAD - row_height * count)
    first = _first_column(table, size)
    step = (WIDTH - 2 * EDGE - first) / max(1, len(table.headings) - 1)
    for number, heading in enumerate(table.headings):
        if number:
            end = EDGE + first + step * number
            for text, largest, down in ((heading.name, 21, 0), (heading.unit, 17, 27)):
                shape = _shrunk(text, largest, step - 10)
                drawing.text((end, y + down + 20), fitted(text, shape, step - 10), font=shape, fill=MUTE, anchor="rs")
    y += HEAD
    for row in table.rows[:count]:
        if row[0].kind == "reference":
            drawing.rectangle((EDGE - 14, y, WIDTH - EDGE + 14, y + row_height), fill=SOFT)
        drawing.line((EDGE, y, WIDTH - EDGE, y), fill=LINE)
        middle, bold = y + row_height / 2, font(size, bold=True)
        drawing.text((EDGE, middle), fitted(row[0].text, bold, first - 16), font=bold, fill=INK, anchor="lm")
        for number, cell in enumerate(row[1:], 1):
            _value(drawing, cell, EDGE + first + step * number, middle, step - 12, size)
        y += row_height
    if len(table.rows) > count:
        more = f"and {len(table.rows) - count} more"
        drawing.text((WIDTH - EDGE, y + 4), more, font=font(17), fill=MUTE, anchor="ra")


def _shrunk(text: str, largest: int, width: float) -> Font:
    """The largest font in which the text fits, down to one that can still be read."""
    return next((font(size) for size in range(largest, 14, -1) if font(size).getlength(text) <= width), font(15))


def _value(drawing: ImageDraw.ImageDraw, cell: Cell, end: float, y: float, width: float, size: int) -> None:
    """The number, and before it how far it moved where it says something."""
    colour = COLOURS.get(cell.kind, INK)
    shape = font(size, bold=cell.kind in ("worse", "better"))
    drawing.text((end, y), fitted(cell.text, shape, width), font=shape, fill=colour, anchor="rm")
    moved = cell.note.partition(",")[0] if cell.kind in ("worse", "better") else ""
    before = shape.getlength(cell.text) + 9
    if moved and before + font(19).getlength(moved) <= width:
        drawing.text((end - before, y + 2), moved, font=font(19), fill=colour, anchor="rm")


def _first_column(table: Table, size: int) -> float:
    """As wide as its longest name, within reason."""
    widest = max(font(size, bold=True).getlength(row[0].text) for row in table.rows)
    return min(430.0, max(150.0, widest + 24))


def _foot(drawing: ImageDraw.ImageDraw, report: Report) -> None:
    y = HEIGHT - 46
    name = "Quantization Playground"
    drawing.text((WIDTH - EDGE, y), name, font=font(20, bold=True), fill=GREY, anchor="ra")
    room = WIDTH - 2 * EDGE - font(20, bold=True).getlength(name) - 30
    caveats = [text for part in report.all(Caveats) for text in part.texts]
    words = " · ".join([formatting.when(report.created_at).partition(",")[0], *caveats[:2]])
    drawing.text((EDGE, y), fitted(words, font(20), room), font=font(20), fill=MUTE)
