"""What one run says: a report is a title and a list of parts, and every form of it is a walk over them.

Text in parts is plain: whoever writes a form escapes it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Kind = Literal["", "reference", "worse", "withheld", "better", "same"]
MANY = 4  # columns


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the verdict. `rest`: what else is to say; `note`: what the variant gains; `why`: the cause."""

    text: str
    kind: Kind = ""
    rest: str = ""
    note: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Caveats:
    """Short phrases that belong to every sentence. A verdict ends with them, also where there are none."""

    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A large figure beside the verdict: "0.42×", "decode speed"."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where there is one variant only."""

    shown: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a column. `words`: it holds text, so it stands to the left."""

    name: str
    unit: str = ""
    words: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference and its 95 % interval on a scale from -reach to reach."""

    low: float
    value: float
    high: float
    reach: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table. `note` stands small under it, `share` (0 to 1) is a thin bar."""

    text: str
    note: str = ""
    kind: Kind = ""
    share: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A row of one cell only begins a group of rows."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    @property
    def wide(self) -> bool:
        """Too many columns for a phone: there its rows become lists."""
        return len(self.headings) > MANY


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot as a Vega-Lite specification, for any width and both themes.

    alt   what it shows, for whoever cannot see it
    keys  a look of a mark, what it stands for
    wide  takes the whole width of a page
    """

    title: str
    spec: Mapping[str, Any]
    caption: str = ""
    alt: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    wide: bool = True

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The figures that it draws, at most 5,000 lines."""
        return list(self.spec["data"]["values"])


@dataclass(frozen=True, slots=True)
class Note:
    """Why a number may not mean what it seems to. `withholds`: no verdict is given."""

    texts: tuple[str, ...]
    withholds: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """The most important numbers, the reference first: what a picture of the verdict has room for."""

    table: Table


@dataclass(frozen=True, slots=True)
class Conditions:
    """What everything was measured under, as (name, words)."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer; `time`, `unlikely` and `moved` are its place on each colour scale, 0 to 1.

    at_s   when it came, seconds after the request was accepted
    facts  lines that say what is known of it
    """

    text: str
    at_s: float
    facts: tuple[str, ...]
    time: float | None = None
    unlikely: float | None = None
    moved: float | None = None
    parts: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One pane. `rest` is text after the last token, `failure` what went wrong."""

    label: str
    facts: str
    numbers: tuple[Number, ...]
    pieces: tuple[Piece, ...]
    ending: str
    rest: str = ""
    apart: str = ""
    failure: str = ""
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """What the weakest and the strongest colour of a token stand for."""

    key: Literal["time", "prob", "kld"]
    name: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt and its answers."""

    turns: tuple[tuple[str, str], ...]  # role, text
    answers: tuple[Answer, ...]
    scales: tuple[Scale, ...]


Part = Sentence | Caveats | Numbers | Note | Exchange | Plot | Table | Picture | Conditions
P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run says, in the order in which it is shown.

    kind  "Comparison": what was done, for people
    note  the owner's words
    """

    kind: str
    title: str
    model: str
    run_id: str
    created_at: float
    parts: tuple[Part, ...]
    note: str = ""

    def all(self, kind: type[P]) -> list[P]:
        """The parts of one kind."""
        return [part for part in self.parts if isinstance(part, kind)]


def plain_table(title: str, words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts: columns called `words` stand to the left, those called `numbers` to the right."""
    headings = [*(Heading(name, words=True) for name in words), *map(Heading, numbers)]
    return Table(title, tuple(headings), tuple(tuple(map(Cell, row)) for row in rows))


def labels(variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names that tell the variants apart: two of one label by their engines, or else by their ids."""
    named = [str(variant.get("label") or variant["id"]) for variant in variants]
    engines = [(label, variant.get("engine")) for label, variant in zip(named, variants, strict=True)]
    found = []
    for label, engine, variant in zip(named, engines, variants, strict=True):
        if named.count(label) > 1:
            label = f"{label} in {engine[1]}" if engines.count(engine) == 1 else str(variant["id"])
        found.append(label)
    return found
