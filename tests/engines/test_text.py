"""Streamed text equals decoded text, whatever the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.engines.host.decode import Detokenizer, StopStrings


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(tiny), local_files_only=True)


def stream(tokenizer: Any, ids: list[int], prompt: tuple[int, ...] = ()) -> list[str]:
    detokenizer = Detokenizer(tokenizer, prompt)
    return [detokenizer.add(i) for i in ids] + [detokenizer.flush()]


def test_a_character_of_several_tokens_appears_with_its_last_one(tokenizer: Any) -> None:
    ids = tokenizer.encode("é", add_special_tokens=False)
    smile = tokenizer.encode("\U0001f9ee", add_special_tokens=False)
    assert len(smile) > 1, "the test needs a character that the tokenizer splits"
    assert stream(tokenizer, smile) == [""] * (len(smile) - 1) + ["\U0001f9ee", ""]
    assert "".join(stream(tokenizer, ids)) == "é"


@given(text=st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_text_survives_the_round_trip_token_by_token(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(stream(tokenizer, ids)) == text


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_ids_stream_to_what_one_decode_gives(tokenizer: Any, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=40))
    whole = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert "".join(stream(tokenizer, ids)) == whole


def test_half_a_character_at_the_end_is_flushed_as_a_replacement(tokenizer: Any) -> None:
    ids = tokenizer.encode("\U0001f9ee", add_special_tokens=False)[:-1]
    assert "".join(stream(tokenizer, ids)) == "�"


def test_special_tokens_have_no_text(tokenizer: Any) -> None:
    assert stream(tokenizer, [tokenizer.eos_token_id, tokenizer.bos_token_id]) == ["", "", ""]


def test_stop_string_split_over_pieces_is_cut_before_it() -> None:
    stops = StopStrings(["END"])
    assert [stops.add(piece) for piece in ("one E", "N", "D two")] == ["one ", "", ""]
    assert stops.matched == "END"
    assert stops.add("more") == "" and stops.flush() == ""


def test_a_beginning_that_leads_nowhere_is_given_back() -> None:
    stops = StopStrings(["END"])
    assert [stops.add("an E"), stops.add("N"), stops.add("T"), stops.flush()] == ["an ", "", "ENT", ""]
    assert stops.matched is None


@given(
    pieces=st.lists(st.text(alphabet="abc", max_size=4), max_size=12),
    stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=3), max_size=3),
)
def test_stop_strings_agree_with_a_search_in_the_whole_text(pieces: list[str], stops: list[str]) -> None:
    found = StopStrings(stops)
    out = "".join(found.add(piece) for piece in pieces)
    whole, seen = "".join(pieces), ""
    # The stream stops at the first piece after which any stop string is contained, at its earliest position.
    expected = whole
    for piece in pieces:
        seen += piece
        hits = [seen.index(stop) for stop in stops if stop in seen]
        if hits:
            expected = seen[: min(hits)]
            break
    assert out + found.flush() == expected
