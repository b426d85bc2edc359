"""Find calibration text in evaluation text by shared runs of 13 words.

The check of GPT-3 (Brown et al. 2020, appendix C), which lm-eval's decontamination follows. Words are compared after
Unicode normalisation, without case and punctuation; scripts that put no spaces between words are compared character by
character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WORDS = 13

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """A calibration text and an evaluation text that share runs of words.

    calibration, evaluation  positions of the two texts in the arguments of `overlap`
    words                    the first shared run, normalised
    shared                   number of the evaluation text's runs that are in the calibration text
    share                    the same as a share of all its runs, 0 to 1
    """

    calibration: int
    evaluation: int
    words: str
    shared: int
    share: float


def normalised(text: str) -> list[str]:
    """The normalised words of a text."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def runs(text: str, length: int = WORDS) -> Iterator[str]:
    """Every run of `length` words. A shorter text is one run, so that it matches itself; an empty one has none."""
    words = normalised(text)
    for start in range(max(1, len(words) - length + 1) if words else 0):
        yield " ".join(words[start : start + length])


def overlap(calibration: Iterable[str], evaluation: Iterable[str], length: int = WORDS) -> list[Overlap]:
    """Every pair of texts that shares a run of words, in the order of the evaluation texts.

    Memory grows with the calibration text only, so `evaluation` may be a long stream.
    """
    holders: dict[str, list[int]] = {}
    for position, text in enumerate(calibration):
        for run in dict.fromkeys(runs(text, length)):
            holders.setdefault(run, []).append(position)
    overlaps: list[Overlap] = []
    for position, text in enumerate(evaluation):
        evaluation_runs = dict.fromkeys(runs(text, length))
        hits: dict[int, list[str]] = {}
        for run in evaluation_runs:
            for holder in holders.get(run, ()):
                hits.setdefault(holder, []).append(run)
        for holder, shared in sorted(hits.items()):
            overlaps.append(Overlap(holder, position, shared[0], len(shared), len(shared) / len(evaluation_runs)))
    return overlaps
