"""The rows that a pane is drawn from."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground import formatting
from playground.compare import encode
from playground.compare.answer import Answer
from playground.compare.outcome import Divergence
from playground.core import Alternative, Finish, Progress, Reported, Sampling, Token, Variant
from playground.engines import base
from playground.errors import EngineDied
from playground.web import values
from playground.web.stream import Rows
from tests.fakes.catalog import fake_variant
from tests.fakes.engine import FakeEngine


def token(index: int, piece: str = "a", logprob: float | None = log(0.5), id_: int = 7) -> Token:
    top = (Alternative(7, "a", log(0.5)), Alternative(8, "b", log(0.25)))
    return Token(id_, piece, piece, time_s=0.5 + 0.04 * index, step_s=0.03, logprob=logprob, top=top)


def test_a_token_carries_its_step_its_gap_and_its_log_probability() -> None:
    assert encode.token(token(1), token(0)) == ["tok", 7, "a", 30, 40, -0.6931]
    half = replace(token(1), text="", piece="\ufffd")
    assert encode.token(half, token(0)) == ["tok", 7, "", 30, 40, -0.6931, "\ufffd"]
    assert encode.alternatives(half.top) == [["a", 0.5], ["b", 0.25]]


@given(st.floats(0, 1e6))
def test_a_figure_is_rounded_once_as_in_every_table(value: float) -> None:
    assert formatting.figure(formatting.rounded(value)) == formatting.figure(value)


def test_the_page_shows_the_digits_of_the_table() -> None:
    """23.4519 was 23.4 in the pane and 23.5 in table, CSV and card: it was rounded to 23.45 first."""
    result = Answer("fake")
    for index in range(3):
        result.add(Token(7, "a", "a", time_s=index / 23.4519, step_s=0.03))
    assert encode.numbers(result)[1]["decode"] == 23.5
    assert formatting.figure(result.timing().decode_tok_s) == "23.5"


def test_a_lone_surrogate_of_a_prompt_reaches_the_page() -> None:
    rows = Rows()
    rows.append(["user", "a\ud800b\n<b>"])
    assert rows.after(0)[0].text.encode(errors="replace") == b'["user","a?b\\n<b>"]'


def test_what_is_unknown_is_null_not_zero() -> None:
    kind, *_, gap, share = encode.token(token(0, logprob=None), None)
    assert (kind, gap, share) == ("tok", None, None)
    numbers = encode.numbers(Answer("fake"))[1]
    assert set(numbers) == {"decode", "ttft", "prefill", "tpot", "tokens", "memory", "p50", "p99"}
    assert set(numbers.values()) == {None}


def test_numbers_are_those_of_the_timing_module() -> None:
    result = Answer("fake")
    for index in range(5):
        result.add(token(index))
    result.add(Finish("stop", 10, 5, peak_memory_bytes=123))
    numbers = encode.numbers(result)[1]
    assert (
        numbers["decode"] == pytest.approx(25.0) and numbers["ttft"] == 500.0 and numbers["tpot"] == pytest.approx(40)
    )
    assert numbers["prefill"] == 333 and numbers["memory"] == 123 and numbers["tokens"] == 5


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "–"), (12, "12 bytes"), (269_060_552, "269 MB"), (1_540_000_000, "1.54 GB"), (999_900_000, "1000 MB")],
)
def test_sizes(count: int | None, words: str) -> None:
    assert values.megabytes(count) == words


def test_an_estimated_size_says_so() -> None:
    assert values.size(fake_variant("fake:nf4")) == "≈ 110 MB" and values.size(fake_variant("fake")) == "269 MB"
    facts = dict(encode.head(fake_variant("fake:nf4"), "fake:nf4", False)[1]["facts"])
    assert facts["≈ 110 MB"].startswith("Estimated")


def test_the_head_does_not_repeat_the_origin_and_works_without_facts() -> None:
    head = encode.head(fake_variant("fake:nf4"), "fake:nf4", False, origin="made up")[1]
    assert head["source"] == "4-bit NormalFloat" and head["role"] == ""
    bare = encode.head(None, "<b>", True)[1]
    assert bare["label"] == "<b>" and bare["role"] == "reference" and bare["facts"] == []


@pytest.mark.parametrize(
    ("finish", "state", "words"),
    [
        (Finish("stop", 3, 1), "done", "1 token · finished (end-of-text token)"),
        (Finish("length", 3, 1), "done", "1 token · reached the limit of 9 tokens"),
        (Finish("abort", 3, 1), "stopped", "1 token · stopped"),
        (
            Finish("stop", 3, 1, waited_s=1.25),
            "done",
            "1 token · finished (end-of-text token) · 1.2 s paused while other answers ran",
        ),
        (
            Finish("stop", 3, 1, contended=True),
            "done",
            "1 token · finished (end-of-text token) · contended: ran at the same time as another pane",
        ),
    ],
)
def test_how_it_ended(finish: Finish, state: str, words: str) -> None:
    result = Answer("fake")
    result.add(token(0))
    assert encode.end(result, finish, Sampling(max_tokens=9)) == ["end", state, words, ""]


def test_what_the_engine_itself_reports_stands_beside_the_measured_numbers() -> None:
    reported = Reported("vLLM /metrics", ttft_s=0.1234, decode_tok_s=14.5)
    ended = encode.end(Answer("fake"), Finish("stop", 3, 0, reported=reported), Sampling())
    assert ended[3] == "vLLM /metrics: TTFT 123 ms, 14.50 tok/s decode"
    nothing = encode.end(Answer("fake"), Finish("stop", 3, 0, reported=Reported("vLLM")), Sampling())
    assert nothing[3] == ""


def test_what_computed_an_answer_is_said_with_its_kernel() -> None:
    loaded = FakeEngine().load("fake", lambda _: None, lambda: False)
    _, chip, where, kernel = encode.made(Sampling(), False, replace(loaded, clock="client"), "chat")
    assert where == "fake on cpu, bfloat16" and kernel == "fake kernel" and chip.endswith("timed at arrival")


def test_a_note_about_an_engine_stands_in_its_own_panes() -> None:
    notes = ("mixed: W4A16, W8A16", "transformers unpacks these weights to BF16")
    variant = replace(fake_variant("fake:nf4"), notes=notes)

    def shown(engine: str) -> list[str]:
        return list(encode.head(variant, "fake:nf4", False, "", engine)[1]["notes"])

    assert shown("transformers") == shown("") == list(notes)
    assert shown("vllm") == list(notes[:1])


def test_the_head_offers_every_engine_with_its_reason() -> None:
    head = encode.head(fake_variant("fake"), "fake", True, "", "transformers", base.options(fake_variant("fake")))
    found = {option["engine"]: option for option in head[1]["engines"]}
    assert head[1]["engine"] == "transformers" and found["transformers"]["runs"]
    assert not found["llamacpp"]["runs"] and "GGUF" in found["llamacpp"]["why"]


def test_where_texts_part_says_what_each_wanted() -> None:
    split = Divergence(3, token(3, " b", id_=8), token(3, " a"))
    kind, index, words, label = encode.part(split, "nf4", "BF16", reference=False)
    assert (kind, index, label) == ("part", 3, "nf4")
    assert words == ("Token 4: BF16 wrote “b” (50%); nf4 chose “a” (50%), 25 points ahead of “b”.")
    same = encode.part(split, "BF16", "BF16", reference=True)
    assert same[2].startswith("Token 4: the reference wrote") and same[3] == ""


def test_loading_says_how_much() -> None:
    wire = encode.state("loading", Progress("Reading weights", 5, 10, "bytes"))
    assert wire == ["state", "loading", "Reading weights", 5, 10, "bytes"]


def test_a_failure_carries_what_to_do_and_the_log() -> None:
    error = EngineDied("It died.", hint="Run again.", log_tail="a\nb")
    assert encode.fail(error) == ["fail", "It died.", "Run again.", "a\nb"]


def test_the_chip_says_when_there_is_no_chat_template() -> None:
    chip = encode.made(Sampling(), raw=False, loaded=None, template="raw")[1]
    assert chip == "greedy · 128 tokens · seed 0 · no chat template: raw completion"


def test_a_variant_of_unknown_size_shows_none() -> None:
    bare = Variant("x", "x", "reference", "X", "cast", "BF16", "bfloat16", "/x")
    assert values.size(bare) == "" and encode.head(bare, "x", True)[1]["facts"] == []
