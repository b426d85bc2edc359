"""Draw the verdict as a PNG of 1200 × 630 pixels, the preview of a link in chats and social networks."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from playground import formatting
from playground.report.parts import Caveats, Cell, Picture, Report, Sentence, Table

WIDTH, HEIGHT, MARGIN = 1200, 630, 56
BOTTOM = HEIGHT - 72  # y of the table's end
MAX_ROWS = 6  # variants in the table; below it stands the number of the others
ROW_HEIGHT, HEAD_HEIGHT = 44, 58  # minimum, pixels
GAP, MIN_SIZE = 16, 18  # between columns; text of a cell, pixels
BACKGROUND, INK, MUTE, LINE, SOFT = "#ffffff", "#15181d", "#5f6774", "#e1e4ea", "#f1f3f6"
ACCENT, BAD, GREY = "#4f46e5", "#b42318", "#737b88"
COLOURS = {"worse": BAD, "better": ACCENT, "same": MUTE, "withheld": MUTE}
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png(report: Report) -> bytes:
    """Return a PNG with the sentences of the verdict and the table of the report's `Picture`."""
    (picture,) = report.all(Picture)
    image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((0, 0, 12, HEIGHT), fill=ACCENT)
    y = _head(drawing, report)
    count = min(MAX_ROWS, len(picture.table.rows))
    y = _verdict(drawing, report.all(Sentence), y, BOTTOM - (HEAD_HEIGHT + ROW_HEIGHT * count if count else 0) - y)
    _table(drawing, picture.table, y + 12, count)
    _foot(drawing, report)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


@cache
def font(size: int, *, bold: bool = False) -> Font:
    """Return IBM Plex Sans, which gradio brings; without gradio Pillow's font, which has fewer characters."""
    spec = importlib.util.find_spec("gradio")
    folders = spec.submodule_search_locations if spec else None
    for root in folders or ():
        folder = Path(root) / "templates/frontend/static/fonts/IBMPlexSans"
        if (file := folder / f"IBMPlexSans-{'Bold' if bold else 'Regular'}.woff2").exists():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)


def wrap(text: str, face: Font, width: float, lines: int) -> list[str]:
    """Return the text in at most `lines` lines of `width` pixels; text that does not fit ends in an ellipsis."""
    wrapped_lines: list[str] = []
    words = formatting.whole(text).split(" ")
    while words and len(wrapped_lines) < lines:
        line = fit(words.pop(0), face, width)
        while words and face.getlength(f"{line} {words[0]}") <= width:
            line = f"{line} {words.pop(0)}"
        wrapped_lines.append(line)
    if words and wrapped_lines:
        last = wrapped_lines[-1]
        wrapped_lines[-1] = (
            fit(f"{last} {words[0]}…", face, width) if face.getlength(f"{last}…") > width else f"{last}…"
        )
    return wrapped_lines


def fit(text: str, face: Font, width: float) -> str:
    """Return the text, shortened by an ellipsis to `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _head(drawing: ImageDraw.ImageDraw, report: Report) -> int:
    drawing.text((MARGIN, 40), report.kind, font=font(26, bold=True), fill=ACCENT)
    title_x = MARGIN + font(26, bold=True).getlength(report.kind) + 16
    title = report.title if report.model in report.title else f"{report.model} · {report.title}"
    drawing.text((title_x, 40), fit(title, font(26), WIDTH - MARGIN - title_x), font=font(26), fill=MUTE)
    return 92


def _verdict(drawing: ImageDraw.ImageDraw, sentences: Sequence[Sentence], y: int, room: int) -> int:
    """Draw the first sentence large, the others if there is room; return the y below them."""
    for number, sentence in enumerate(sentences):
        face = font(44 if number == 0 else 26, bold=number == 0)
        step = 54 if number == 0 else 36
        lines_left = room // step
        if lines_left < 1:
            break
        lines = wrap(sentence.text, face, WIDTH - 2 * MARGIN, min(lines_left, 3 if number == 0 else 1))
        for line in lines:
            drawing.text((MARGIN, y), line, font=face, fill=INK)
            y, room = y + step, room - step
        y, room = y + 8, room - 8
        detail = sentence.rest or sentence.note
        if number == 0 and detail and room >= 36:
            for line in wrap(detail, font(26), WIDTH - 2 * MARGIN, min(2, room // 36)):
                drawing.text((MARGIN, y), line, font=font(26), fill=MUTE)
                y, room = y + 36, room - 36
            y, room = y + 8, room - 8
    return y


def _table(drawing: ImageDraw.ImageDraw, table: Table, y: float, count: int) -> None:
    """Draw the table as large as fits: a row is 44 to 76 pixels high, and its text grows with it."""
    if not count:
        return
    row_height = max(ROW_HEIGHT, min(76, (BOTTOM - y - HEAD_HEIGHT) / count))
    size, widths = _fitting(table, round(27 * min(1.4, row_height / ROW_HEIGHT)))
    y = max(y, BOTTOM - HEAD_HEIGHT - row_height * count)
    ends = [MARGIN + sum(widths[: number + 1]) for number in range(len(widths))]
    for heading, end, width in list(zip(table.headings, ends, widths, strict=True))[1:]:
        for text, largest, down in ((heading.name, 21, 0), (heading.unit, 17, 27)):
            face = _largest_font(text, largest, width - GAP)
            drawing.text((end, y + down + 20), fit(text, face, width - GAP), font=face, fill=MUTE, anchor="rs")
    y += HEAD_HEIGHT
    for row in table.rows[:count]:
        if row[0].kind == "reference":
            drawing.rectangle((MARGIN - 14, y, WIDTH - MARGIN + 14, y + row_height), fill=SOFT)
        drawing.line((MARGIN, y, WIDTH - MARGIN, y), fill=LINE)
        middle, bold = y + row_height / 2, font(size, bold=True)
        drawing.text((MARGIN, middle), fit(row[0].text, bold, widths[0] - GAP), font=bold, fill=INK, anchor="lm")
        for cell, end, width in list(zip(row, ends, widths, strict=True))[1:]:
            _value(drawing, cell, end, middle, width - GAP, size)
        y += row_height
    left_out = len(table.rows) - count
    more = " · ".join(filter(None, [f"and {left_out} more" if left_out else "", table.caption]))
    if more:
        drawing.text(
            (WIDTH - MARGIN, y + 3), fit(more, font(17), WIDTH - 2 * MARGIN), font=font(17), fill=MUTE, anchor="ra"
        )


def _largest_font(text: str, largest: int, width: float) -> Font:
    """Return the largest font in which the text fits; at least 15 pixels."""
    return next((font(size) for size in range(largest, 14, -1) if font(size).getlength(text) <= width), font(15))


def _fitting(table: Table, largest: int) -> tuple[int, list[float]]:
    """Return the largest size of text with which every value is whole, and the widths of the columns.

    The first column gives way: a name may be shortened, a figure loses neither its unit nor its change.
    """
    size, widths = MIN_SIZE, list[float]()
    for size in range(largest, MIN_SIZE - 1, -1):
        needed = [_needed(table, number, size) for number in range(1, len(table.headings))]
        names = max(font(size, bold=True).getlength(row[0].text) for row in table.rows) + GAP
        first = max(min(names, 430.0), 150.0)
        spare = WIDTH - 2 * MARGIN - sum(needed) - first
        widths = [first, *(width + max(0.0, spare) / max(1, len(needed)) for width in needed)]
        if spare >= 0:
            break
    if sum(widths) > WIDTH - 2 * MARGIN:
        widths[0] = max(110.0, widths[0] + WIDTH - 2 * MARGIN - sum(widths))
    return size, widths


def _needed(table: Table, number: int, size: int) -> float:
    """Return the width of a column at a size of text: of its values with their changes, and of its heading."""
    heading = table.headings[number]
    values = [_face(row[number], size).getlength(row[number].text) + _change_width(row[number]) for row in table.rows]
    return max([*values, font(15).getlength(heading.name), font(15).getlength(heading.unit)]) + GAP


def _face(cell: Cell, size: int) -> Font:
    return font(size, bold=cell.kind in ("worse", "better"))


def _change(cell: Cell) -> str:
    """Return the change of a value that is worse or better: "−3.1 points"."""
    return cell.note.partition(",")[0] if cell.kind in ("worse", "better") else ""


def _change_width(cell: Cell) -> float:
    return font(19).getlength(change) + 9 if (change := _change(cell)) else 0.0


def _value(drawing: ImageDraw.ImageDraw, cell: Cell, end: float, y: float, width: float, size: int) -> None:
    """Draw the value of a cell, and before it the change where it is worse or better."""
    colour, face = COLOURS.get(cell.kind, INK), _face(cell, size)
    drawing.text((end, y), fit(cell.text, face, width), font=face, fill=colour, anchor="rm")
    change_end = face.getlength(cell.text) + 9
    if _change(cell) and face.getlength(cell.text) + _change_width(cell) <= width + 1:
        drawing.text((end - change_end, y + 2), _change(cell), font=font(19), fill=colour, anchor="rm")


def _foot(drawing: ImageDraw.ImageDraw, report: Report) -> None:
    y = HEIGHT - 46
    name = "Quantization Playground"
    drawing.text((WIDTH - MARGIN, y), name, font=font(20, bold=True), fill=GREY, anchor="ra")
    room = WIDTH - 2 * MARGIN - font(20, bold=True).getlength(name) - 30
    caveats = [text for part in report.all(Caveats) for text in part.texts]
    words = " · ".join([formatting.when(report.created_at).partition(",")[0], *caveats[:2]])
    if font(20).getlength(words) <= room:
        drawing.text((MARGIN, y), words, font=font(20), fill=MUTE)
        return
    for number, line in enumerate(wrap(words, font(15), room, 2)):  # what holds for all figures is not cut
        drawing.text((MARGIN, y - 4 + 19 * number), line, font=font(15), fill=MUTE)
