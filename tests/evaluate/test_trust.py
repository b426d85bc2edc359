"""Every doubt that a table can raise: made to fire once, and silent where nothing is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from playground.evaluate.items import Item, Measured, TaskFacts, TrustWarning
from playground.evaluate.trust import trust_checks
from tests.fakes.evaluation import FACTS, MATH, NF4, REFERENCE, chosen, generated, item, measured, scores

BASE = measured("m", generated("m", scores(60, 40)))
GOOD = measured("m:nf4", generated("nf4", scores(55, 45)), NF4)
GPTQ = {"method": "gptq", "scheme": "W4A16", "bytes": 113_000_000, "bits_per_weight": 6.7, "loaded_bytes": 113_000_000}


def found(
    *others: Measured, base: Measured = BASE, task: TaskFacts = MATH, rows: Sequence[dict[str, Any]] = ()
) -> list[TrustWarning]:
    return trust_checks(base, others, {task.name: task}, rows)


def codes(*others: Measured, **how: Any) -> list[str]:
    return [warned.code for warned in found(*others, **how)]


def only(*others: Measured, **how: Any) -> TrustWarning:
    (warned,) = found(*others, **how)
    assert warned.text[-1] == "." and len(warned.text) > 40
    assert any(one.variant in warned.text for one in others) or warned.code == "sample"
    return warned


def nf4(**facts: Any) -> Measured:
    return replace(GOOD, facts=NF4 | facts)


def answers(items: Sequence[Item], who: str = "m:nf4", facts: dict[str, Any] = NF4, task: str = "math") -> Measured:
    return measured(who, items, facts, task)


def divergence(variant: str, kld: float, agreement: float) -> dict[str, Any]:
    return {"variant": variant, "kld_mean": kld, "top1_agreement": agreement}


def test_a_good_comparison_raises_no_doubt() -> None:
    rows = [divergence("m", 0, 1), divergence("noise-floor", 2e-5, 0.999), divergence("m:nf4", 0.11, 0.85)]
    assert found(GOOD, answers(generated("gptq", scores(58, 42)), "m:gptq", NF4 | GPTQ), rows=rows) == []
    base, other = (measured(name, chosen(who, scores(60, 40)), task="facts") for who, name in enumerate(("m", "m:a")))
    assert found(other, base=base, task=FACTS) == []


def test_one_model_under_two_names_gets_no_verdict() -> None:
    copied = replace(GOOD, content_hash=BASE.content_hash, tasks=BASE.tasks)
    warned = only(copied)
    assert (warned.code, warned.variants, warned.task, warned.withholds) == ("same-weights", ("m:nf4",), None, True)


def test_two_variants_that_are_one_are_named_both_and_keep_their_verdicts() -> None:
    warned = only(GOOD, replace(GOOD, variant="m:fp4"))
    assert (warned.code, warned.variants, warned.withholds) == ("same-weights", ("m:nf4", "m:fp4"), False)


def test_weights_without_a_hash_are_not_taken_for_the_same() -> None:
    assert codes(replace(GOOD, content_hash=""), base=replace(BASE, content_hash="")) == []


def test_the_same_weights_on_another_engine_are_a_comparison_of_engines() -> None:
    served = replace(BASE, variant="m@vllm", facts=REFERENCE | {"engine": "vllm"})
    warned = only(served)
    assert (warned.code, warned.withholds) == ("same-weights-other-engine", False)


def test_a_variant_on_another_engine_shares_its_difference_with_it() -> None:
    warned = only(nf4(engine="vllm"))
    assert (warned.code, warned.variants, warned.withholds) == ("other-engine", ("m:nf4",), False)


def test_a_variant_in_another_type_shares_its_difference_with_it() -> None:
    assert only(nf4(dtype="float16")).code == "other-dtype"
    assert codes(nf4(dtype="?", scheme="?", method="remote")) == []


def test_a_cast_is_its_type_and_no_other() -> None:
    cast = REFERENCE | {"scheme": "FP16", "dtype": "float16"}
    half = measured("m:fp16", generated("fp16", scores(59, 41)), cast)
    assert codes(half) == []
    warned = only(replace(half, facts=cast | {"dtype": "bfloat16"}))
    assert (warned.code, warned.variants, warned.withholds) == ("not-as-named", ("m:fp16",), True)


def test_a_reference_that_is_not_as_named_takes_all_verdicts_with_it() -> None:
    warned = found(GOOD, base=replace(BASE, facts=REFERENCE | {"dtype": "float32"}))
    assert [(one.code, one.withholds) for one in warned] == [("not-as-named", True), ("other-dtype", False)]
    assert warned[0].variants == ("m", "m:nf4")


def test_weights_that_stayed_wide_were_not_quantized() -> None:
    warned = only(nf4(loaded_bytes=269_000_000))
    assert (warned.code, warned.withholds) == ("not-quantized", True)
    assert codes(nf4(loaded_bytes=130_000_000)) == [] == codes(nf4(loaded_bytes=None))


def test_a_checkpoint_that_is_held_unpacked_keeps_its_verdict() -> None:
    warned = only(nf4(**GPTQ | {"loaded_bytes": 269_000_000}))
    assert (warned.code, warned.withholds) == ("unpacked", False)


@pytest.mark.parametrize(("kld", "agreement"), [(0.0004, 0.99), (0.01, 0.998)])
@pytest.mark.parametrize("scheme", ["nf4", "W4A16_ASYM", "Q4_1", "NVFP4", "MXFP4A16", "fp4"])
def test_four_bits_that_change_nothing_are_not_believed(scheme: str, kld: float, agreement: float) -> None:
    warned = only(nf4(scheme=scheme), rows=[divergence("m:nf4", kld, agreement)])
    assert (warned.code, warned.withholds) == ("barely-diverges", True)
    assert "4 bits" in warned.text


@pytest.mark.parametrize("scheme", ["W8A8", "FP8_DYNAMIC", "int8"])
def test_eight_bits_may_be_as_near(scheme: str) -> None:
    assert codes(nf4(scheme=scheme), rows=[divergence("m:nf4", 0.0004, 0.998)]) == []


def test_bits_of_a_scheme_without_a_name_are_those_of_the_checkpoint() -> None:
    rows = [divergence("m:nf4", 0.0001, 0.999)]
    assert codes(nf4(scheme="QuIP#", bits_per_weight=2.3), rows=rows) == ["barely-diverges"]
    assert codes(nf4(scheme="QuIP#", bits_per_weight=9.0), rows=rows) == []
    assert codes(nf4(scheme="QuIP#", bits_per_weight=None), rows=rows) == []


def test_a_divergence_inside_the_noise_ranks_nobody() -> None:
    rows = [divergence("noise-floor", 0.0012, 0.98), divergence("m:nf4", 0.0011, 0.97)]
    warned = only(nf4(scheme="int8"), rows=rows)
    assert (warned.code, warned.withholds) == ("noise-floor", False)


def test_identical_generations_get_no_verdict() -> None:
    warned = only(answers(generated("m", scores(60, 40))))
    assert (warned.code, warned.task, warned.withholds) == ("same-answers", "math", True)
    one_differs = [*generated("m", scores(60, 39)), item(99, 0.0, "nf4")]
    assert codes(answers(one_differs)) == []


def test_a_handful_of_identical_generations_may_be_coincidence() -> None:
    base = measured("m", generated("m", scores(6, 4)))
    warned = only(answers(generated("m", scores(6, 4))), base=base)
    assert (warned.code, warned.withholds) == ("same-answers", False)


def test_identical_loglikelihoods_are_none() -> None:
    base = measured("m", chosen(0, scores(3, 2)), task="facts")
    same, near = (answers(chosen(who, scores(3, 2)), task="facts") for who in (0, 1))
    warned = found(same, base=base, task=FACTS)
    assert [(one.code, one.withholds) for one in warned if one.code != "chance"] == [("same-answers", True)]
    assert "same-answers" not in codes(near, base=base, task=FACTS)


def test_other_prompts_get_no_verdict() -> None:
    asked = [item(n, score, "nf4", prompt_hash="p" if n == 7 else f"p{n}") for n, score in enumerate(scores(55, 45))]
    warned = only(answers(asked))
    assert (warned.code, warned.task, warned.withholds) == ("other-prompts", "math", True)
    assert "1 of 100" in warned.text and "template" in warned.text.split("Use")[1]
    assert "chat templates differ" in only(answers(asked, facts=NF4 | {"template_hash": "t2"})).text


def test_another_template_that_no_prompt_used_is_no_matter() -> None:
    assert codes(nf4(template_hash="t2")) == []


def test_items_of_one_side_alone_are_left_out_and_said() -> None:
    warned = only(answers(generated("nf4", scores(55, 35))))
    assert (warned.code, warned.withholds) == ("other-items", False)
    assert "90 items" in warned.text
    elsewhere = [item(n, score, "nf4", doc_hash=f"e{n}") for n, score in enumerate(scores(55, 45))]
    warned = only(answers(elsewhere))
    assert (warned.code, warned.withholds) == ("other-items", True)


def test_a_reference_that_guesses_has_nothing_to_lose() -> None:
    base = measured("m", chosen(0, scores(25, 75)), task="facts")
    other = answers(chosen(1, scores(60, 40)), task="facts")
    warned = only(other, base=replace(base, variant="m:nf4 reference"), task=FACTS)
    assert (warned.code, warned.withholds) == ("chance", True)
    assert warned.variants == ("m:nf4 reference", "m:nf4")


def test_a_variant_that_guesses_lost_what_it_lost() -> None:
    base, other = measured("m", chosen(0, scores(60, 40)), task="facts"), chosen(1, scores(25, 75))
    warned = only(answers(other, task="facts"), base=base, task=FACTS)
    assert (warned.code, warned.variants, warned.withholds) == ("chance", ("m:nf4",), False)
    hardly = only(answers(chosen(1, scores(30, 70)), task="facts"), base=base, task=FACTS)
    assert (hardly.code, hardly.withholds) == ("chance", False) and "hardly" in hardly.text
    assert codes(answers(chosen(1, scores(35, 65)), task="facts"), base=base, task=FACTS) == []


def test_scores_far_below_guessing_are_read_wrongly() -> None:
    base, other = measured("m", chosen(0, scores(60, 40)), task="facts"), chosen(1, scores(10, 90))
    warned = only(answers(other, task="facts"), base=base, task=FACTS)
    assert (warned.code, warned.withholds) == ("below-chance", False)


def test_a_score_of_nothing_is_a_floor() -> None:
    warned = only(answers(generated("nf4", scores(0, 100))))
    assert (warned.code, warned.variants, warned.withholds) == ("floor", ("m:nf4",), False)
    both = found(answers(generated("nf4", scores(3, 97))), base=measured("m", generated("m", scores(0, 100))))
    assert [(one.code, one.variants, one.withholds) for one in both] == [("floor", ("m", "m:nf4"), True)]


def test_lower_is_better_has_no_floor() -> None:
    assert codes(answers(generated("nf4", scores(0, 100))), task=replace(MATH, higher_is_better=False)) == []


def test_cut_answers_are_counted_on_both_sides() -> None:
    cut = [item(n, score, "nf4", truncated=n % 4 == 0) for n, score in enumerate(scores(55, 45))]
    warned = only(answers(cut))
    assert (warned.code, warned.withholds) == ("cut-answers", False)
    assert "25%" in warned.text and "0% of m's" in warned.text and "length, not knowledge" in warned.text
    base = measured("m", [replace(one, truncated=n % 4 == 0) for n, one in enumerate(BASE.tasks["math"])])
    even = found(answers(cut), base=base)
    assert [(one.code, one.variants) for one in even] == [("cut-answers", ("m",)), ("cut-answers", ("m:nf4",))]
    assert "length, not knowledge" not in even[1].text


def test_a_few_cut_answers_are_no_matter() -> None:
    assert codes(answers([item(n, s, "nf4", truncated=n < 4) for n, s in enumerate(scores(55, 45))])) == []


def test_cut_prompts_are_counted() -> None:
    lengths = [(966, 160), (958, 160)]
    cut = [item(n, s, "nf4", cut_prompt=lengths[n] if n < 2 else None) for n, s in enumerate(scores(55, 45))]
    warned = only(answers(cut))
    assert (warned.code, warned.variants, warned.task, warned.withholds) == ("cut-prompts", ("m:nf4",), "math", False)
    assert "2 of 100 prompts of Sums" in warned.text and "of 958 to 966 tokens the last 160" in warned.text


@pytest.mark.parametrize(("answer", "why"), [("The sum is two.", "not in the expected form"), (" \n", "stop string")])
def test_answers_that_nothing_was_read_from_are_said(answer: str, why: str) -> None:
    def unread(share: int) -> Measured:
        return answers(
            [
                item(n, score, "nf4", **({"answer": answer, "extracted": "[invalid]"} if n >= 100 - share else {}))
                for n, score in enumerate(scores(55, 45))
            ]
        )

    warned = only(unread(30))
    assert (warned.code, warned.withholds) == ("unread-answers", False)
    assert why in warned.text
    assert codes(unread(10)) == []


def test_a_limit_makes_a_sample_and_says_so() -> None:
    warned = only(GOOD, task=replace(MATH, sample=True, n_full=1319, bundled=False, title="GSM8K"))
    assert (warned.code, warned.variants, warned.withholds) == ("sample", ("m", "m:nf4"), False)
    assert "100 of its 1,319 items" in warned.text and "benchmark" in warned.text


def test_a_task_that_a_variant_lacks_raises_nothing_but_that() -> None:
    assert codes(replace(GOOD, tasks={})) == ["other-items"]


def test_the_published_table_with_two_columns_of_one_model_would_have_been_refused() -> None:
    """Identical scores to four digits on both tasks, from a cache that forgot the model."""
    tasks = {"math": MATH, "gsm8k": replace(MATH, name="gsm8k", title="GSM8K")}
    base = replace(BASE, tasks={name: generated(name, scores(40, 60)) for name in tasks})
    other = replace(GOOD, tasks=base.tasks)
    warned = trust_checks(base, [other], tasks, None)
    assert [(one.code, one.task, one.withholds) for one in warned] == [
        ("same-answers", "math", True),
        ("same-answers", "gsm8k", True),
    ]
