"""The report of a run: a title and a list of parts. Each export format walks over them.

Text in parts is plain: each format escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Kind = Literal["", "reference", "worse", "withheld", "better", "same"]
MAX_PHONE_COLUMNS = 4  # of a table


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the verdict. `rest`: details; `note`: what the variant gains; `why`: the cause."""

    text: str
    kind: Kind = ""
    rest: str = ""
    note: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Caveats:
    """Short phrases that hold for the whole verdict. Every report has this part, also without a phrase."""

    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A large figure beside the verdict: "0.42×", "decode speed"."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """Large figures beside the verdict, if the run has one variant beside the reference."""

    numbers: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a column. `words`: its cells hold text and are aligned left."""

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
    """A table cell. `note` is small text below it, `share` (0 to 1) a thin bar."""

    text: str
    note: str = ""
    kind: Kind = ""
    share: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table. A row with a single cell is the title of the rows below it."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    @property
    def wide(self) -> bool:
        """Return whether it has too many columns for a phone, where its rows become lists."""
        return len(self.headings) > MAX_PHONE_COLUMNS


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot as a Vega-Lite specification, for any width and both themes.

    alt   alternative text
    keys  legend: (look of a mark, its meaning)
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
        """Return its data, at most 5,000 rows."""
        return list(self.spec["data"]["values"])


@dataclass(frozen=True, slots=True)
class Note:
    """A warning about a number. `withholds`: there is no verdict because of it."""

    texts: tuple[str, ...]
    withholds: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """The most important numbers, the reference first, for the picture of the verdict."""

    table: Table


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of the measurement as (name, text)."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer; `time`, `unlikely` and `moved` are its values on the colour scales, 0 to 1.

    at_s   seconds from the accepted request to the token
    facts  lines of its tooltip
    parts  whether the texts differ from this token on
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
    """The answer of a pane. `rest` is text after the last token, `failure` the error."""

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
    """The values of the weakest and the strongest colour of a token."""

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
    """The report of a run, its parts in the order in which they are shown.

    kind  title of the kind of run: "Comparison"
    note  written by the owner
    """

    kind: str
    title: str
    model: str
    run_id: str
    created_at: float
    parts: tuple[Part, ...]
    note: str = ""

    def all(self, kind: type[P]) -> list[P]:
        """Return the parts of one type."""
        return [part for part in self.parts if isinstance(part, kind)]


def plain_table(title: str, words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of texts: columns called `words` are aligned left, those called `numbers` right."""
    headings = [*(Heading(name, words=True) for name in words), *map(Heading, numbers)]
    return Table(title, tuple(headings), tuple(tuple(map(Cell, row)) for row in rows))


def labels(variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return distinct names of the variants: the label, with the engine or else the id where labels are equal."""
    plain_labels = [str(variant.get("label") or variant["id"]) for variant in variants]
    engines = [(label, variant.get("engine")) for label, variant in zip(plain_labels, variants, strict=True)]
    distinct = []
    for label, engine, variant in zip(plain_labels, engines, variants, strict=True):
        if plain_labels.count(label) > 1:
            label = f"{label} in {engine[1]}" if engines.count(engine) == 1 else str(variant["id"])
        distinct.append(label)
    return distinct
