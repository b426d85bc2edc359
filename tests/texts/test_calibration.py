"""What to calibrate on is checked, files are read as a stream, and a draw can be repeated."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.core import Progress
from playground.errors import Cancelled, InvalidCalibration, InvalidRequest
from playground.texts import Calibration, Sample, draw, files, samples
from playground.texts.calibration import choose
from playground.texts.files import blocks
from playground.texts.rows import MIN_CHARACTERS

LONG = "is long enough to say something about activations."


def jsonl(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentence(path: Path, **options: Any) -> InvalidCalibration:
    """The error that reading `path` gives."""
    with pytest.raises(InvalidCalibration) as caught:
        draw(Calibration(source=str(path), **options))
    assert caught.value.hint and str(caught.value).count("Traceback") == 0
    return caught.value


# --- the request


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"samples": 10_000}, "samples is 10000"),
        ({"samples": True}, "samples is True"),
        ({"samples": "32"}, "samples is '32'"),
        ({"max_length": 8}, "max length is 8"),
        ({"seed": -1}, "seed is -1"),
        ({"source": "pasted"}, "pasted calibration text is empty"),
        ({"source": "pasted", "text": " \n"}, "pasted calibration text is empty"),
        ({"text": "some"}, "another source is chosen"),
        ({"source": "what is this"}, "'what is this' is no calibration source"),
        ({"source": "photo.png"}, "'photo.png' is no calibration source"),
        ({"source": "../x/y"}, "is no calibration source"),
        ({"source": ""}, "'' is no calibration source"),
        ({"source": "a\0b.txt"}, "is no calibration source"),
        ({"source": 7}, "source is 7. Allowed: text"),
    ],
)
def test_a_wrong_request_is_a_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        Calibration(**options)
    assert caught.value.hint


def test_pasted_text_has_a_limit() -> None:
    with pytest.raises(InvalidRequest, match=r"4,194,305 characters; 4,194,304 are allowed"):
        Calibration(source="pasted", text="x" * (4 * 2**20 + 1))


@given(
    st.sampled_from(["bundled", "chats.jsonl", "owner/name", "owner/name:config:train_sft", "~/notes.txt"]),
    st.integers(1, 2048),
    st.integers(16, 32768),
    st.integers(0, 2**32 - 1),
)
def test_it_survives_its_dictionary(source: str, count: int, length: int, seed: int) -> None:
    made = Calibration(source=source, samples=count, max_length=length, seed=seed)
    assert Calibration.from_stored(json.loads(json.dumps(made.model_dump(mode="json")))) == made


def test_a_dictionary_with_another_field_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no field 'sample'"):
        Calibration(**{"sample": 3})
    assert Calibration.from_stored({"sample": 3}) == Calibration(), "a stored row may be of another version"


# --- the draw


def rows(count: int) -> list[Sample]:
    return [Sample(text=str(n)) for n in range(count)]


@given(st.integers(0, 60), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_a_draw_repeats_and_asking_for_more_keeps_the_rest_in_front(have: int, a: int, b: int, seed: int) -> None:
    few, many = sorted((a, b))
    small, seen, skipped = choose([*rows(have), None], few, seed)
    large, _, _ = choose(rows(have), many, seed)
    assert large[: len(small)] == small and (seen, skipped) == (have, 1)
    assert len(large) == min(have, many) == len({one.text for one in large})


def test_every_row_is_drawn_about_as_often() -> None:
    counts = [0] * 10
    for seed in range(2000):
        for one in choose(rows(10), 3, seed)[0]:
            counts[int(one.text)] += 1
    assert min(counts) > 500 and max(counts) < 700, "600 expected, 20 the standard deviation"


# --- the forms of a row


@pytest.mark.parametrize(
    ("row", "roles", "first"),
    [
        ({"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes."}]}, "ua", LONG),
        ({"conversations": [{"from": "human", "value": LONG}, {"from": "gpt", "value": "Yes."}]}, "ua", LONG),
        ({"messages": [{"role": "system", "content": LONG}, {"role": "user", "content": "Hm?"}]}, "su", LONG),
        ({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": LONG}]}]}, "u", LONG),
        ({"prompt": LONG, "response": "Yes."}, "ua", LONG),
        ({"instruction": "Shorten:", "input": LONG, "output": "It is long."}, "ua", f"Shorten:\n\n{LONG}"),
        ({"question": LONG, "answer": "Yes."}, "ua", LONG),
        ({"text": LONG}, "", LONG),
        (LONG, "", LONG),
    ],
)
def test_the_forms_that_data_sets_have(tmp_path: Path, row: object, roles: str, first: str) -> None:
    (found,) = samples(Calibration(source=str(jsonl(tmp_path / "rows.jsonl", [row])), samples=1))
    assert "".join(turn["role"][0] for turn in found.messages) == roles
    assert (found.messages[0]["content"] if roles else found.text) == first


def test_a_json_list_and_a_json_file_of_lines(tmp_path: Path) -> None:
    texts = [f"{n} {LONG}" for n in range(3)]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps([{"text": text} for text in texts], indent=2))
    lines = jsonl(tmp_path / "lines.json", [{"text": text} for text in texts])
    for path in (listed, lines):
        assert sorted(one.text for one in samples(Calibration(source=str(path), samples=3))) == texts


def test_a_byte_order_mark_and_half_a_surrogate_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"text": f"\ud83d {LONG}"}).encode())
    (found,) = samples(Calibration(source=str(path), samples=1))
    assert found.text == f"? {LONG}"


# --- files that cannot be used


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", "a.jsonl is empty."),
        ("a.jsonl", b"\n \n", "a.jsonl is empty."),
        ("a.txt", b"", "a.txt is empty."),
        ("a.json", b"[]", "a.json is empty."),
        ("a.jsonl", b'{"text": "x"}\n' * 2, "no usable sample: 2 rows"),
        ("a.jsonl", b'{"text": "x"}\n\n{"text": \n', "Line 3 of a.jsonl is not valid JSON"),
        ("a.jsonl", b"[" * 100_000, "Line 1 of a.jsonl is JSON that cannot be read"),
        ("a.json", b'[{"text": "x"},\n{"text" "y"}]', "Line 2 of a.json is not valid JSON"),
        (
            "a.jsonl",
            b'{"text": "x"}\n{"prose": "y", "n": 1}',
            "Line 2 of a.jsonl has no text",
        ),
        ("a.jsonl", b"17\n", "Line 1 of a.jsonl is not an object"),
        ("a.jsonl", b'{"messages": [{"role": "user"}]}', "Line 1 of a.jsonl has a turn without a role"),
        ("a.jsonl", b'{"messages": ["hello"]}', "Line 1 of a.jsonl has a turn that is not"),
        ("a.jsonl", b'{"text": "x"}\n\xff\xfe', "a.jsonl is not UTF-8 text \\(line 2\\)"),
        ("a.txt", b"fine\n\x89PNG\r\n", "a.txt is not UTF-8 text \\(line 2\\)"),
        ("a.txt", b"fine\nzero \0 byte\n", "a.txt is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert re.search(says, sentence(path, samples=1).message)


def test_three_lines_say_three_and_what_to_do(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "three.jsonl", [{"text": f"{n} {LONG}"} for n in range(3)] + [{"text": "short"}])
    error = sentence(path)
    assert all(fact in error.message for fact in ("three.jsonl", "3 usable samples", "1 too short", "32 were asked"))
    assert "Ask for 3 samples" in error.hint
    assert len(samples(Calibration(source=str(path), samples=3))) == 3


def test_a_short_text_says_how_much_a_sample_takes(tmp_path: Path) -> None:
    path = tmp_path / "three.txt"
    path.write_text(f"One {LONG}\nTwo {LONG}\nThree {LONG}\n")
    error = sentence(path)
    assert "three.txt has 1 usable sample," in error.message
    assert "256 tokens takes about 1,024 characters" in error.hint and "ask for 1 sample" in error.hint


def test_what_is_missing_or_a_folder_is_a_sentence(tmp_path: Path) -> None:
    assert "does not exist" in sentence(tmp_path / "none.jsonl").message
    (tmp_path / "folder.txt").mkdir()
    assert "is a folder" in sentence(tmp_path / "folder.txt").message
    os.mkfifo(tmp_path / "pipe.txt")
    assert "is no regular file" in sentence(tmp_path / "pipe.txt").message


def test_a_row_with_a_tool_is_left_out(tmp_path: Path) -> None:
    tool = {"messages": [{"role": "user", "content": LONG}, {"role": "tool", "content": LONG}]}
    found = draw(Calibration(source=str(jsonl(tmp_path / "a.jsonl", [tool, {"text": LONG}])), samples=1))
    assert (found.seen, found.skipped, found.samples[0].text) == (1, 1, LONG)


# --- large files


@pytest.mark.parametrize("suffix", [".jsonl", ".txt"])
def test_a_file_of_a_gigabyte_is_read_to_the_limit_only(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "READ_LIMIT", 2**20)
    path = tmp_path / f"large{suffix}"
    text = f"{'word ' * 60}{LONG}"
    line = json.dumps({"text": text}) if suffix == ".jsonl" else text
    with path.open("w") as file:
        for _ in range(2 * 2**20 // len(line)):
            file.write(line + "\n")
        file.truncate(2**30)  # sparse: the rest would be refused as no text, were it read
    heard: list[Progress] = []
    tracemalloc.start()
    found = draw(Calibration(source=str(path), max_length=64), heard.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.samples) == 32
    assert found.note.startswith(f"Only the first 1 MiB of large{suffix} were read (it has 1,024)")
    assert peak < 4 * 2**20
    assert heard[-1].done == heard[-1].total == 2**20 and heard[-1].unit == "bytes"


def test_a_gigabyte_in_one_line_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    with path.open("wb") as file:
        file.truncate(2**30)
    tracemalloc.start()
    assert "Line 1 of line.jsonl is longer than 4 MiB" in sentence(path).message
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()
    path = path.rename(tmp_path / "list.json")
    path.write_bytes(b"[" + bytes(files.READ_LIMIT))
    assert "a JSON list of more than 64 MiB" in sentence(path).message


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": LONG}] * 100)
    asked = iter([False] * 5 + [True] * 100)
    with pytest.raises(Cancelled):
        draw(Calibration(source=str(path)), is_cancelled=lambda: next(asked))
    assert sum(asked) == 99, "stopped at once"


# --- running text


@given(st.lists(st.text(alphabet="ab \nß", max_size=30), max_size=12), st.integers(4, 40))
def test_blocks_lose_nothing_and_are_never_too_long(pieces: list[str], size: int) -> None:
    found = list(blocks(pieces, size))
    assert "".join("".join(found).split()) == "".join("".join(pieces).split())
    assert all(0 < len(block) <= size for block in found)


@given(st.lists(st.text(alphabet="ab \n", max_size=20), max_size=8), st.integers(4, 40))
def test_blocks_do_not_depend_on_how_the_text_arrives(pieces: list[str], size: int) -> None:
    assert list(blocks(pieces, size)) == list(blocks(["".join(pieces)], size))


def test_a_block_ends_at_a_paragraph_before_a_line_before_a_word() -> None:
    assert list(blocks(["one two\nthree\n\nfour five six"], 20)) == ["one two\nthree", "four five six"]
    assert list(blocks(["one two three\nfour five"], 20)) == ["one two three", "four five"]
    assert list(blocks(["one two three four"], 12)) == ["one two", "three four"]


def test_pasted_text_becomes_samples_of_the_asked_length() -> None:
    text = "\n\n".join(f"Paragraph {n} {LONG} " * 6 for n in range(20))
    found = draw(Calibration(source="pasted", text=text, samples=8, max_length=128))
    assert len(found.samples) == 8
    assert all(MIN_CHARACTERS <= len(one.text) <= 512 for one in found.samples)
    assert all(one.text in text for one in found.samples)


def test_a_character_is_not_cut_where_a_read_ends(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("ä" * (files.PIECE + 1000))  # one line; two bytes a character
    found = samples(Calibration(source=str(path), samples=4, max_length=4096))
    assert all(set(one.text) == {"ä"} for one in found)
