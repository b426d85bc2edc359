"""Samples become the exact ids a method sees: template, cut, count, hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.core import Message
from playground.errors import InvalidCalibration
from playground.quantize.tokens import MIN_TOKENS, content_hash, tokenize
from playground.texts import Sample

ASK: Message = {"role": "user", "content": "Why is the quay empty on a Tuesday in the middle of June?"}
ANSWER: Message = {"role": "assistant", "content": "The ferry is being repaired, so nobody has come down to wait."}
SYSTEM: Message = {"role": "system", "content": "Answer as a harbour master would."}
PROSE = Sample(text="one two three four five six seven eight nine ten eleven twelve")


class WordTokenizer:
    """An id for each word, in order of appearance. `chat_template` None: none; `refuses`: roles it raises on."""

    def __init__(self, chat_template: str | None = "yes", refuses: tuple[str, ...] = ()) -> None:
        self.chat_template, self.refuses = chat_template, refuses
        self.vocabulary: dict[str, int] = {}

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        words = [*(["<s>"] if add_special_tokens else []), *text.split()]
        return {"input_ids": [self.vocabulary.setdefault(word, len(self.vocabulary)) for word in words]}

    def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool) -> str:
        assert not tokenize
        if any(turn["role"] in self.refuses for turn in messages):
            raise jinja2.TemplateError("this role is not supported")
        return "<s> " + " ".join(f"<{turn['role']}> {turn['content']}" for turn in messages)

    def words(self, ids: tuple[int, ...]) -> str:
        back = {number: word for word, number in self.vocabulary.items()}
        return " ".join(back[number] for number in ids)


def test_a_conversation_goes_through_the_template_and_gets_no_second_begin_token() -> None:
    reads = WordTokenizer()
    found = tokenize([Sample(messages=(ASK, ANSWER)), PROSE], reads, 100, 2)
    assert reads.words(found.ids[0]) == f"<s> <user> {ASK['content']} <assistant> {ANSWER['content']}"
    assert reads.words(found.ids[1]) == f"<s> {PROSE.text}"
    assert (found.templated, found.truncated, found.tokens) == (1, 0, sum(map(len, found.ids)))


def test_without_a_template_a_conversation_is_prose() -> None:
    reads = WordTokenizer(chat_template=None)
    found = tokenize([Sample(messages=(ASK, ANSWER))], reads, 100, 1)
    assert reads.words(found.ids[0]) == f"<s> {ASK['content']} {ANSWER['content']}" and found.templated == 0


def test_a_system_turn_moves_into_the_first_question_where_the_template_knows_none() -> None:
    reads = WordTokenizer(refuses=("system",))
    found = tokenize([Sample(messages=(SYSTEM, ASK, ANSWER))], reads, 100, 1)
    assert reads.words(found.ids[0]).startswith(f"<s> <user> {SYSTEM['content']} {ASK['content']}")
    assert found.templated == 1


def test_what_the_template_refuses_altogether_is_prose() -> None:
    reads = WordTokenizer(refuses=("user",))
    found = tokenize([Sample(messages=(ASK, ANSWER))], reads, 100, 1)
    assert reads.words(found.ids[0]) == f"<s> {ASK['content']} {ANSWER['content']}" and found.templated == 0


def test_too_short_ones_are_left_out_and_the_count_still_holds() -> None:
    short = Sample(text="supercalifragilisticexpialidocious indeed")
    assert len(tokenize([short, PROSE, short, PROSE], WordTokenizer(), 100, 2).ids) == 2
    with pytest.raises(InvalidCalibration, match=rf"Only 1 .* {MIN_TOKENS} tokens or more; 2 were asked for"):
        tokenize([short, PROSE], WordTokenizer(), 100, 2)


@given(st.lists(st.integers(MIN_TOKENS, 60), min_size=1, max_size=6), st.integers(16, 50))
def test_lengths_are_cut_and_the_columns_agree(lengths: list[int], max_length: int) -> None:
    given_samples = [Sample(text=" ".join(f"w{n}" for n in range(length))) for length in lengths]
    found = tokenize(given_samples, WordTokenizer(), max_length, len(lengths))
    assert [len(row) for row in found.ids] == [min(length + 1, max_length) for length in lengths]
    assert found.truncated == sum(length + 1 > max_length for length in lengths)
    columns = found.columns()
    assert columns["input_ids"] == [list(row) for row in found.ids]
    assert [len(mask) for mask in columns["attention_mask"]] == [len(row) for row in found.ids]
    assert all(set(mask) == {1} for mask in columns["attention_mask"])


IDS = st.lists(st.lists(st.integers(0, 200_000), max_size=5).map(tuple), max_size=5)


@given(IDS, IDS)
def test_the_hash_tells_lists_apart_and_can_be_made_by_hand(one: list[tuple[int, ...]], two: list[Any]) -> None:
    assert (content_hash(one) == content_hash(two)) == (one == two)
    assert content_hash([(1, 2), (3,)]) == hashlib.sha256(b"[[1,2],[3]]").hexdigest()
    assert content_hash(one) == hashlib.sha256(json.dumps(one, separators=(",", ":")).encode()).hexdigest()


def test_the_real_template_is_what_transformers_renders(tokenizer: Any) -> None:
    found = tokenize([Sample(messages=(ASK, ANSWER))], tokenizer, 512, 1)
    expected = tokenizer.apply_chat_template([dict(ASK), dict(ANSWER)], tokenize=True, return_dict=True)["input_ids"]
    assert list(found.ids[0]) == expected


def test_the_columns_make_a_dataset(tokenizer: Any) -> None:
    import datasets

    found = tokenize([Sample(messages=(ASK, ANSWER)), PROSE], tokenizer, 16, 2)
    made = datasets.Dataset.from_dict(found.columns())
    assert made.column_names == ["input_ids", "attention_mask"]
    assert [row["input_ids"] for row in made] == [list(row) for row in found.ids]
