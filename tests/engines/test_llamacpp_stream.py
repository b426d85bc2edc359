"""llama-server's chunks as tokens: counted right whatever the characters, timed by the server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.core import UNKNOWN_ID, Generation, Progress, Sampling, Token
from playground.engines.llamacpp.stream import Piece, Stream, body, finish, piece, refused
from playground.errors import EngineError

PREFILL_MS = 40.0


def timings(count: int, predicted_ms: float) -> dict[str, Any]:
    return {
        "prompt_n": 3,
        "prompt_ms": PREFILL_MS,
        "predicted_n": count,
        "predicted_ms": predicted_ms,
        "predicted_per_second": (count - 1) / predicted_ms * 1000 if count > 1 else 0.0,
    }


def chunk(content: str, ids: list[int], count: int, predicted_ms: float, logprobs: bool = True) -> dict[str, Any]:
    """As llama-server b11549 writes one."""
    found: dict[str, Any] = {
        "index": 0,
        "content": content,
        "tokens": ids,
        "stop": False,
        "id_slot": -1,
        "tokens_predicted": count,
        "tokens_evaluated": 3,
        "timings": timings(count, predicted_ms),
    }
    if logprobs and ids:
        entry = {"id": ids[-1], "token": content, "bytes": list(content.encode()), "logprob": -0.5}
        others = [{"id": ids[-1], "token": "x", "logprob": -0.5}, {"id": 9, "token": "", "logprob": -1.5}]
        found["completion_probabilities"] = [{**entry, "top_logprobs": others}]
    return found


def last(count: int, predicted_ms: float, stop_type: str = "limit", content: str = "") -> dict[str, Any]:
    return chunk(content, [], count, predicted_ms) | {"stop": True, "stop_type": stop_type, "stopping_word": ""}


def nothing(text: str) -> Sequence[Piece]:
    raise AssertionError(f"asked for the tokens of {text!r}")


def tokens(stream: Stream, chunks: Sequence[dict[str, Any]]) -> list[Token]:
    return [item for found in chunks for item in stream.read(found) if isinstance(item, Token)]


def test_plain_tokens_have_the_servers_times() -> None:
    found = tokens(Stream(nothing, 5), [chunk("Gra", [22], 1, 0.0), chunk("vity", [64], 2, 13.0), last(2, 13.0)])
    assert [(t.id, t.text, t.piece) for t in found] == [(22, "Gra", "x"), (64, "vity", "x")]
    assert [t.time_s for t in found] == pytest.approx([0.040, 0.053])
    assert [t.step_s for t in found] == pytest.approx([0.040, 0.013])
    assert found[0].logprob == -0.5 and [a.id for a in found[0].top] == [22, 9]


def test_no_alternatives_still_gives_the_log_probability() -> None:
    (found,) = tokens(Stream(nothing, 0), [chunk("a", [1], 1, 0.0)])
    assert (found.logprob, found.top) == (-0.5, ())
    assert body(Generation("v", (1,), top_logprobs=0), 512)["n_probs"] == 1


def test_a_token_without_a_text_is_named_by_the_vocabulary() -> None:
    end = chunk("", [2], 1, 0.0)
    end["completion_probabilities"][0]["top_logprobs"] = [{"id": 2, "token": "", "logprob": -0.1}]
    (found,) = tokens(Stream(nothing, 5, ["<unk>", "<s>", "</s>"]), [end])
    assert (found.text, found.piece, found.top[0].text) == ("", "</s>", "</s>")


def test_tokens_inside_a_character_are_given_back() -> None:
    pieces = {"🦊": [Piece(10, "\ufffd"), Piece(16, "\ufffd"), Piece(28, "\ufffd")]}
    chunks = [chunk("a", [1], 1, 0.0), chunk("🦊", [28], 4, 30.0), last(4, 30.0)]
    found = tokens(Stream(pieces.__getitem__, 5), chunks)
    assert [t.id for t in found] == [1, 10, 16, 28]
    assert [t.text for t in found] == ["a", "", "", "🦊"]
    assert [t.time_s for t in found] == pytest.approx([0.040, 0.050, 0.060, 0.070])
    assert [t.logprob for t in found] == [-0.5, None, None, -0.5]


@pytest.mark.parametrize(
    "pieces",
    [
        [Piece(16, ""), Piece(28, "")],  # too few
        [Piece(10, ""), Piece(16, ""), Piece(29, "")],  # another end
        [Piece(5, ""), Piece(10, ""), Piece(16, ""), Piece(28, "")],  # a leading space of its own
    ],
)
def test_ids_that_do_not_fit_are_not_made_up(pieces: list[Piece]) -> None:
    found = tokens(Stream(lambda _: pieces, 5), [chunk("🦊", [28], 3, 20.0)])
    assert [t.id for t in found] == [UNKNOWN_ID, UNKNOWN_ID, 28]
    assert [t.time_s for t in found] == pytest.approx([0.040, 0.050, 0.060]), "the first one ends the prefill"


def test_the_limit_inside_a_character_still_counts() -> None:
    stream = Stream(nothing, 5)
    found = tokens(stream, [chunk("a", [1], 1, 0.0), last(3, 20.0)])
    assert [(t.id, t.text) for t in found] == [(1, "a"), (UNKNOWN_ID, ""), (UNKNOWN_ID, "")]
    assert found[-1].time_s == pytest.approx(0.060) and stream.count == 3


def test_progress_of_the_prompt() -> None:
    reading = chunk("", [0], 0, 0.0) | {"prompt_progress": {"total": 900, "cache": 0, "processed": 256, "time_ms": 9}}
    assert Stream(nothing, 5).read(reading) == [Progress("Reading the prompt", 256, 900, "tokens")]


@pytest.mark.parametrize("error", [{"code": 500, "message": "Compute error."}, "Compute error."])
def test_an_error_in_mid_stream_is_its_own_sentence(error: object) -> None:
    said = refused(200, {}, json.dumps({"error": error}).encode())
    assert type(said) is EngineError and said.message == "llama.cpp stopped: Compute error.."


def test_more_tokens_than_counted_is_an_error_and_no_number() -> None:
    with pytest.raises(EngineError, match="sent 2 tokens and counted 1"):
        Stream(nothing, 5).read(chunk("ab", [1, 2], 1, 0.0))


@pytest.mark.parametrize(("stop_type", "reason"), [("eos", "stop"), ("word", "stop"), ("limit", "length")])
def test_the_end(stop_type: str, reason: str) -> None:
    found = finish(last(5, 40.0, stop_type, "z"), held="9", memory=7, waited_s=0.5)
    assert (found.reason, found.text, found.output_tokens, found.prompt_tokens) == (reason, "z9", 5, 3)
    assert found.reported is not None and found.reported.source == "llama.cpp timings"
    assert (found.reported.decode_tok_s, found.reported.prefill_s) == (pytest.approx(100.0), 0.040)
    assert (found.peak_memory_bytes, found.waited_s) == (7, 0.5)


def test_what_was_kept_back_is_known_by_its_ids() -> None:
    stream = Stream(nothing, 5)
    tokens(stream, [chunk("a", [1], 1, 0.0), chunk("", [41], 2, 9.0), chunk("", [42], 3, 18.0)])
    assert stream.unsent == [41, 42]
    tokens(stream, [chunk("9 1", [43], 4, 27.0)])
    assert stream.unsent == []


def test_pieces_may_be_text_or_bytes() -> None:
    assert piece({"id": 253, "piece": " a"}) == Piece(253, " a")
    assert piece({"id": 10813, "piece": [240, 159]}) == Piece(10813, "\ufffd")


def test_sampling_reaches_llamacpp_unchanged() -> None:
    sampling = Sampling(7, 0.8, 0.9, 40, 1.2, 2**40, ("x", "y"), True)
    sent = body(Generation("v", (5, 6), sampling, 3), 2048)
    assert sent["prompt"] == [5, 6] and sent["cache_prompt"] is False and sent["n_probs"] == 3
    assert (sent["n_predict"], sent["temperature"], sent["top_p"], sent["top_k"]) == (7, 0.8, 0.9, 40)
    assert (sent["repeat_penalty"], sent["repeat_last_n"], sent["stop"]) == (1.2, 2048, ["x", "y"])
    assert sent["min_p"] == 0 and sent["ignore_eos"] is True and 0 <= sent["seed"] < 2**32 - 1
    assert sent["samplers"] == ["penalties", "temperature", "top_k", "top_p"], "the order of transformers"


def test_greedy_is_an_argmax_after_the_penalties() -> None:
    sent = body(Generation("v", (5,), Sampling(temperature=0.0, top_k=40, top_p=0.5, repetition_penalty=1.1)), 512)
    assert (sent["samplers"], sent["top_k"], sent["temperature"]) == (["penalties", "top_k"], 1, 0.0)
    assert sent["repeat_penalty"] == 1.1


@st.composite
def generations(draw: st.DrawFn) -> tuple[list[bytes], list[float]]:
    """A text cut into tokens anywhere, also inside characters, and when each one came (ms after the first)."""
    data = draw(st.text(min_size=1, max_size=20)).encode()
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=len(data))) - {len(data)})
    cut = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if draw(st.booleans()):
        cut = cut[: draw(st.integers(1, len(cut)))]  # the limit may fall inside a character
    steps = draw(st.lists(st.floats(0.01, 100), min_size=len(cut) - 1, max_size=len(cut) - 1))
    return cut, [sum(steps[:n]) for n in range(len(cut))]


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(deadline=None)
@given(generations(), st.booleans())
def test_every_cut_of_every_text_is_counted_timed_and_joined(
    made: tuple[list[bytes], list[float]], honest: bool
) -> None:
    """A server that behaves as llama-server: silent until its bytes are text again."""
    cut, times = made
    chunks, held, sent, spans = [], b"", 0, {}
    for n, data in enumerate(cut):
        held += data
        if is_text(held):
            chunks.append(chunk(held.decode(), [100 + n], n + 1, times[n], logprobs=bool(n % 2)))
            spans[len(chunks) - 1] = [Piece(100 + i, "") for i in range(sent, n + 1)]
            held, sent = b"", n + 1
    asked = iter([spans[i] for i in spans if len(spans[i]) > 1])
    stream = Stream((lambda _: next(asked)) if honest else (lambda _: []), 5)
    found = tokens(stream, [*chunks, last(len(cut), times[-1])])
    assert len(found) == stream.count == len(cut)
    assert "".join(t.text for t in found).encode() == b"".join(cut[:sent])
    for n, token in enumerate(found):
        known = {100 + n} if n < sent and (honest or token.text) else {100 + n, UNKNOWN_ID}
        assert token.id in known
        assert token.text == "" or token.time_s == pytest.approx((PREFILL_MS + times[n]) / 1000)
    assert found[0].time_s >= PREFILL_MS / 1000 - 1e-9
    assert all(a.time_s <= b.time_s + 1e-12 for a, b in itertools.pairwise(found))
    assert sum(t.step_s for t in found) == pytest.approx(found[-1].time_s)
    assert found[-1].time_s == pytest.approx((PREFILL_MS + times[-1]) / 1000)
