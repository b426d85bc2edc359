"""Text to measure on: what is bundled, what a file may hold, and what is shared with calibration."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path

import pytest

from playground.errors import EvaluationError, HubUnreachable
from playground.models import bundled as bundled_model
from playground.texts import overlap, prose
from playground.texts.calibration import bundled as bundled_calibration

PARAGRAPH = "The bridge over the river was closed for a week, and nobody could say when it would be open again."


def test_the_bundled_prose_is_enough_and_varied() -> None:
    found = prose.bundled()
    assert len(found) >= 24 and len({one.id for one in found}) == len(found)
    domains = Counter(one.domain for one in found)
    assert len(domains) >= 8 and domains["code"] >= 4 and domains["dialogue"] >= 3 and domains["german"] >= 3
    assert len({one.domain for one in found[: len(domains)]}) == len(domains), "the beginning is as mixed as the whole"
    assert {one.language for one in found if one.domain == "german"} == {"de"}
    assert len(found) == sum(len(path.read_text().splitlines()) for path in prose.PROSE.glob("*.jsonl"))


def test_the_bundled_prose_has_the_tokens_that_the_documentation_says() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundled_model.restore(), local_files_only=True)
    count = sum(len(tokenizer(one.text)["input_ids"]) for one in prose.bundled())
    assert 15_800 <= count <= 16_000


def test_the_bundled_python_is_python() -> None:
    (source,) = [one.text for one in prose.bundled() if "from __future__ import annotations" in one.text]
    assert ast.parse(source)


def test_the_bundled_prose_is_apart_from_calibration() -> None:
    found = prose.text("bundled")
    assert overlap((one.plain for one in bundled_calibration()), found.documents) == []
    assert found.notes == () and found.name == "bundled prose"
    assert found == prose.text("bundled")


def test_text_that_is_calibration_text_too_is_said(tmp_path: Path) -> None:
    used = next(one.plain for one in bundled_calibration() if one.text)
    (tmp_path / "mixed.jsonl").write_text(json.dumps({"text": used}) + "\n" + json.dumps({"text": PARAGRAPH}) + "\n")
    found = prose.text(str(tmp_path / "mixed.jsonl"))
    assert found.notes == ("1 of the 2 documents of mixed.jsonl share text with the bundled calibration samples.",)


def test_a_text_file_is_cut_into_documents(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\n\n".join(f"{n}. {PARAGRAPH}" for n in range(200)))
    found = prose.text(str(tmp_path / "book.txt"))
    assert all(len(one) <= prose.BLOCK for one in found.documents) and len(found.documents) > 8
    assert "".join("".join(found.documents).split()) == "".join((tmp_path / "book.txt").read_text().split())
    (tmp_path / "book.txt").write_text("another " * 20)
    assert prose.text(str(tmp_path / "book.txt")).hash != found.hash


def test_markup_is_text(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)> [red]</script> is what the visitor wrote into the form."
    (tmp_path / "evil.txt").write_text(evil)
    assert prose.text(str(tmp_path / "evil.txt")).documents == [evil]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "empty.txt is empty"),
        ("blank.txt", b"\n \n", "empty|at least 32 characters"),
        ("word.txt", b"Hello", "at least 32 characters"),
        ("binary.txt", bytes(range(256)) * 8, "binary.txt is not UTF-8 text"),
        ("zeros.txt", b"\0" * 4096, "zeros.txt is not UTF-8 text"),
        ("broken.jsonl", b'{"text": "x', "Line 1 of broken.jsonl is not valid JSON"),
        ("fields.jsonl", b'{"label": 3}\n', "no text that can be used"),
        ("weights.bin", b"\0\1", "no text file by its name"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvaluationError, match=said) as caught:
        prose.text(str(tmp_path / name))
    assert caught.value.hint


def test_what_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluationError, match="does not exist"):
        prose.text(str(tmp_path / "none.txt"))
    with pytest.raises(EvaluationError, match="no text to measure on"):
        prose.text("no source")
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    with pytest.raises(HubUnreachable, match="owner/name is on the hub"):
        prose.text("owner/name:test")
    assert prose.on_hub("owner/name:test") and not prose.on_hub("bundled") and not prose.on_hub("owner/name.txt")


def test_a_long_text_is_cut_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "MAX_CHARACTERS", 250)
    rows = [{"text": f"{n} {PARAGRAPH}"} for n in range(5)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = prose.text(str(tmp_path / "long.jsonl"))
    assert len(found.documents) == 2 and "Only the first" in found.notes[0]
