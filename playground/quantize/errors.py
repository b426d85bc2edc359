"""What llm-compressor and transformers say when they give up, as one sentence with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playground.errors import PlaygroundError, QuantizeFailed
from playground.methods import method
from playground.methods.recipe import Recipe

_KNOWN: tuple[tuple[tuple[str, ...], str, str, tuple[str, ...]], ...] = (
    # words of the exception, the sentence, the hint, the methods or schemes that it recommends: not the one that failed
    (
        ("not divisible by group_size", "must be divisible by", "tensor column shape must be divisble"),
        "{title} {scheme} does not fit this model: a layer's size is not divisible by the group size.",
        "Choose a smaller group size, ignore that layer, or use {others}.",
        ("FP8_DYNAMIC", "W8A8"),
    ),
    (
        ("TraceError", "torch.fx", "symbolically traced", "could not be traced"),
        "llm-compressor cannot follow this model's layers one by one, which {title} needs.",
        "Use a method without calibration: {others}.",
        ("RTN", "FP8_DYNAMIC", "NVFP4A16"),
    ),
    (
        ("unable to find any modules to quantize", "match_modules_set", "Unable to match", "No layers to smooth"),
        "{title} does not know the layers of this architecture.",
        "Use {others}, which only need linear layers.",
        ("GPTQ", "RTN", "FP8_DYNAMIC"),
    ),
    (
        ("No finite loss", "Failed to invert hessian", "contains NaN", "NaN found"),
        "{title} met numbers that are not finite while it worked on this model.",
        "Take more or other calibration text, or use {others}.",
        ("RTN", "FP8_DYNAMIC"),
    ),
    (
        ("KeyError: 'model_type'", "does not recognize this architecture", "Unrecognized configuration class"),
        "transformers does not know this model's architecture as a language model.",
        "Update transformers, or choose another model.",
        (),
    ),
)


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
    """Every error leaves as one of ours; its cause stays named, so that a full disk or memory is still seen."""
    try:
        yield
    except PlaygroundError:
        raise
    except Exception as error:
        raise _sentence(error, recipe) from error


def _sentence(error: Exception, recipe: Recipe) -> QuantizeFailed:
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    title = method(recipe.method).title

    def others(names: tuple[str, ...]) -> str:
        return " or ".join(name for name in names if name not in (title, recipe.scheme))

    for words, sentence, hint, names in _KNOWN:
        if any(word in text for word in words):
            hint = hint.format(others=others(names))
            return QuantizeFailed(sentence.format(title=title, scheme=recipe.scheme), hint=hint)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    return QuantizeFailed(
        f"{title} {recipe.scheme} failed on this model: {first.rstrip('.')}.",
        hint=f"The log has the details. {others(('RTN', 'FP8_DYNAMIC', 'bitsandbytes'))} may still work.",
    )
