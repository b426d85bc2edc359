"""Tables of numbers: columns move below where a window has no room, and no number is cut."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from playground.console import PIPE_WIDTH, Figures, output

NAMES = ("smollm2", "smollm2:rtn-w4a16_asym-g64", "noise-floor")


def printed(table: Figures, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@given(width=st.integers(48, 220), columns=st.integers(1, 9))
def test_no_number_and_no_name_is_cut_in_any_window(width: int, columns: int) -> None:
    headings = [f"number {column}" for column in range(columns)]
    table = Figures(("variant",), headings, title="bundled prose")
    for row, name in enumerate(NAMES):
        table.add(name, *(f"{row}.{column}00123" for column in range(columns)))
    lines = printed(table, width)
    assert all(len(line) <= width for line in lines) and lines[0].strip() == "bundled prose"
    for row, name in enumerate(NAMES):
        cells = [cell for line in lines if line.split()[:1] == [name] for cell in line.split()[1:]]
        assert cells == [f"{row}.{column}00123" for column in range(columns)], "in their order, beside their name"
    said = " ".join(" ".join(lines).split())
    assert all(said.count(heading) == 1 for heading in headings)


def test_a_name_longer_than_the_window_goes_on_below_and_brackets_are_words() -> None:
    table = Figures(("variant",), ("size",))
    table.add("a" * 30 + "[bold]", "7 MB")
    lines = printed(table, 24)
    assert "".join("".join(lines).replace("7 MB", "").split()) == "variantsize" + "a" * 30 + "[bold]"
    assert "7 MB" in lines[1] and all(len(line) <= 24 for line in lines)


def test_words_begin_and_numbers_end_below_each_other() -> None:
    table = Figures(("variant", "engine"), ("size", "tokens"))
    table.add("smollm2", "vllm", "269.0 MB", "7")
    table.add("smollm2:nf4", "transformers", "9.1 MB", "1,024")
    lines = [line.ljust(80) for line in printed(table, 80)]
    for column in (("variant", "smollm2", "smollm2:nf4"), ("engine", "vllm", "transformers")):
        assert len({line.index(word) for line, word in zip(lines, column, strict=True)}) == 1
    for column in (("size", "269.0 MB", "9.1 MB"), ("tokens", "7", "1,024")):
        assert len({line.index(f"{word} ") + len(word) for line, word in zip(lines, column, strict=True)}) == 1


def test_a_pipe_has_room_and_a_window_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    assert output().width == PIPE_WIDTH
    monkeypatch.setenv("COLUMNS", "91")
    assert output().width == 91
