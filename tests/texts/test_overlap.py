"""Shared runs of words are found, whatever the case, the punctuation and the script; and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from playground.texts import overlap
from playground.texts.overlap import WORDS, normalised, runs

PASSAGE = "The ferry leaves at nine, and nobody on the quay knows whether the captain has slept at all."
WORD = st.text(alphabet="abcdefghij", min_size=1, max_size=4)
WORDS_LIST = st.lists(WORD, min_size=1, max_size=40)


def test_a_passage_inside_a_longer_text_is_found_whatever_its_case_and_punctuation() -> None:
    inside = f"Before it. {PASSAGE.upper().replace(',', ' –')} After it, other words follow in another order."
    (found,) = overlap(["Unrelated words.", PASSAGE], ["Nothing shared.", inside])
    assert (found.calibration, found.evaluation) == (1, 1)
    assert found.words.startswith("the ferry leaves at nine and nobody") and len(found.words.split()) == WORDS
    assert found.shared == len(normalised(PASSAGE)) - WORDS + 1
    assert 0 < found.share < 1


def test_twelve_shared_words_are_not_an_overlap() -> None:
    words = normalised(PASSAGE)
    twelve, thirteen = " ".join(words[: WORDS - 1]), " ".join(words[:WORDS])
    assert overlap([PASSAGE], [f"x {twelve} y and then quite different words until the end"]) == []
    assert len(overlap([PASSAGE], [f"x {thirteen} y and then quite different words until the end"])) == 1


def test_a_short_text_overlaps_with_itself_only() -> None:
    assert len(overlap(["What is a quay?"], ["what is a QUAY"])) == 1
    assert overlap(["What is a quay?"], ["What is a quay for?"]) == []
    assert overlap(["", "…"], ["", "…"]) == []


def test_unspaced_scripts_are_compared_by_character() -> None:
    assert len(normalised("北京今天天气很好")) == 8
    text = "渡轮九点离开码头上没有人知道船长是否睡过觉"
    assert len(overlap([text], [f"他说{text}然后走了"])) == 1


def test_full_width_and_composed_letters_are_the_same() -> None:
    assert normalised("Ｃａｆé ﬁn") == normalised("cafe\u0301 fin")


@given(WORDS_LIST)
def test_every_text_with_words_overlaps_with_itself_completely(words: list[str]) -> None:
    (found,) = overlap([" ".join(words)], [" ".join(words)])
    assert found.share == 1


@given(st.lists(WORDS_LIST, max_size=4), st.lists(WORDS_LIST, max_size=4), st.integers(1, 4))
def test_it_finds_exactly_the_pairs_that_share_a_run(left: list[list[str]], right: list[list[str]], n: int) -> None:
    ours, theirs = [" ".join(words) for words in left], [" ".join(words) for words in right]
    expected = {
        (i, j)
        for i, one in enumerate(ours)
        for j, other in enumerate(theirs)
        if set(runs(one, n)) & set(runs(other, n))
    }
    assert {(pair.calibration, pair.evaluation) for pair in overlap(ours, theirs, n)} == expected
