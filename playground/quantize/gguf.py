"""GGUF: the block formats of llama.cpp, multiplied without being unpacked.

Legacy formats (Q4_0, Q4_1 …): blocks of 32 with a scale each; K-quants: super-blocks of 256 whose scales are quantized
too, https://github.com/ggml-org/llama.cpp/pull/1684

The parts are llama.cpp's own: its converter (`gguf_convert`), mixtures (`gguf_types`) and kernels (`gguf_kernels`),
joined here so that one tensor at a time goes from the checkpoint into the file.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from playground.core import Progress
from playground.errors import Cancelled, InvalidRecipe, QuantizeFailed
from playground.methods import gguf
from playground.methods.gguf import ROW
from playground.methods.recipe import Recipe
from playground.metrics.weights import LayerError
from playground.quantize import gguf_convert, gguf_types
from playground.settings import settings

LOST = 1.0  # a relative error that zeros would have: every type is nearer, two bits of noise 0.3
TYPES = tuple(dict.fromkeys((*gguf.BASE.values(), *gguf.FLOATS)))  # what `keep` may name


def file_name(scheme: str) -> str:
    """The name of the file in the variant's folder."""
    return f"model-{scheme}.gguf"


def make(
    source: Path,
    target: Path,
    recipe: Recipe,
    tokens: Sequence[Sequence[int]],  # noqa: ARG001 the same call for every method
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
    lost: Callable[[LayerError], None] = lambda _: None,
) -> None:
    """Write `target`/model-SCHEME.gguf from the checkpoint folder `source`. `tokens` are not used: no calibration.

    `recipe.ignore` and `recipe.keep` name GGUF tensors ("output", "re:blk\\.0\\..*"); what is ignored keeps the type of
    the original, `keep` gives another ggml type ("Q8_0"). `lost` hears of every tensor that got another type than the
    original's, read back from the file. Raises InvalidRecipe, UnsupportedModel, BrokenCheckpoint,
    QuantizeFailed, EngineUnavailable, Cancelled.
    """
    scheme = recipe.scheme
    if scheme not in ROW.schemes:
        raise InvalidRecipe(f"GGUF has no scheme {scheme!r}.", hint=f"Known: {', '.join(ROW.schemes)}.")
    check(recipe)
    gguf_convert.library()
    report(Progress("Reading the checkpoint"))
    path = target / file_name(scheme)
    # As FP32, which every source type fits in, the values go straight to the kernels.
    model = gguf_convert.load(source, path, scheme if scheme in gguf.FLOATS else "F32", f"MOSTLY_{scheme}")
    stored = gguf_convert.stored_type(source)
    kinds = _kinds(model.gguf_writer, recipe, stored)

    def told(error: LayerError) -> None:
        if kinds[error.name] != stored:
            lost(LayerError(error.name.removesuffix(".weight"), error.relative_error))

    _write(model.gguf_writer, path, kinds, report, is_cancelled, told)


def check(recipe: Recipe) -> None:
    """Refuse types and patterns that cannot be, before anything runs. Raises InvalidRecipe."""
    for _, wanted in recipe.keep:
        if wanted not in TYPES:
            raise InvalidRecipe(f"GGUF has no tensor type {wanted[:40]!r}.", hint=f"Known: {', '.join(TYPES)}.")
    for pattern in (*recipe.ignore, *(pattern for pattern, _ in recipe.keep)):
        _regex(pattern)


def notes(folder: Path, recipe: Recipe) -> tuple[str, ...]:
    """Sentences for the card of a finished variant: tensors per type, and which fell back to another type."""
    from playground.models.gguf import read_header

    return gguf_types.notes(read_header(folder / file_name(recipe.scheme)), recipe.scheme)


def _kinds(writer: Any, recipe: Recipe, stored: str) -> dict[str, str]:
    """The type of every tensor that changes its type. `stored` is the original's, for what the recipe ignores."""
    tensors = writer.tensors[0]
    matrices = {
        name: int(info.shape[-1])
        for name, info in tensors.items()
        if gguf_types.quantizable(name, len(info.shape)) and info.dtype.name in (*gguf.FLOATS, "F32")
    }
    found: dict[str, str] = {}
    if recipe.scheme in gguf.BASE:
        fields = {name: value.value for name, value in writer.kv_data[0].items()}
        choices = gguf_types.choose(recipe.scheme, gguf_types.Shape.of(fields, tensors), list(matrices.items()))
        found = {name: choice.kind for name, choice in choices.items()}
    for pattern, wanted in recipe.keep:
        found |= {name: gguf_types.fits(wanted, matrices[name]) for name in matching(pattern, matrices)}
    for pattern in recipe.ignore:
        found |= dict.fromkeys(matching(pattern, matrices), stored)
    return {name: kind for name, kind in found.items() if kind != tensors[name].dtype.name}


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else re.escape(pattern))
    except re.error as error:
        raise InvalidRecipe(
            f"{pattern[:80]!r} is not a regular expression: {error}.", hint=r"For example re:blk\.0\..*"
        ) from None


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The tensors that a recipe's pattern names, without ".weight". Raises InvalidRecipe."""
    regex = _regex(pattern)
    found = [name for name in names if regex.fullmatch(name.removesuffix(".weight"))]
    if not found:
        raise InvalidRecipe(
            f"No tensor of this model is called {pattern[:80]!r}.",
            hint="GGUF's names are token_embd, output and blk.0.attn_q, blk.0.ffn_down …, without '.weight'.",
        )
    return found


def _write(
    writer: Any,
    path: Path,
    kinds: dict[str, str],
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
    lost: Callable[[LayerError], None],
) -> None:
    """The file: metadata, the list of tensors with their new types, then each tensor as it is read and quantized.

    What a tensor lost is told from the bytes in the file; one that is not there at all ends it. Raises QuantizeFailed,
    BrokenCheckpoint for NaN and infinite values.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LazyNumpyTensor, dequantize

    from playground.models.gguf import read_header
    from playground.models.weights import not_finite

    tensors = writer.tensors[0]
    stored = {name: info.dtype for name, info in tensors.items()}
    for name, kind in kinds.items():
        info = tensors[name]
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
        info.dtype, info.nbytes = GGMLQuantizationType[kind], math.prod(info.shape) // block * block_bytes
    total = float(sum(info.nbytes for info in tensors.values()))
    threads = settings().threads or os.cpu_count() or 1
    done = 0.0
    try:
        writer.write_header_to_file(path=path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        (file,) = writer.fout
        writer.write_padding(file, file.tell())
        for name, info in tensors.items():
            if is_cancelled():
                raise Cancelled("Quantizing was stopped.")
            begin = file.tell()
            data = LazyNumpyTensor.to_eager(info.tensor)
            if name in kinds:
                values = dequantize(data, stored[name])
                try:
                    data = gguf_convert.quantize(values, kinds[name], threads, is_cancelled)
                except QuantizeFailed as refusal:
                    raise not_finite(name) from refusal
            data.tofile(file)
            writer.write_padding(file, info.nbytes)
            if name in kinds:
                file.flush()
                written = np.memmap(path, np.uint8, "r", begin, data.shape)
                error = gguf_convert.relative_error(values, written, kinds[name], threads)
                if not error <= LOST:
                    if not np.isfinite(values).all():
                        raise not_finite(name)
                    raise QuantizeFailed(
                        f"{name} is not in the file as it was written.", hint="Check the disk, then run the job again."
                    )
                lost(LayerError(name, error))
                del values, written
            info.tensor = None
            done += info.nbytes
            report(Progress("Quantizing", done, total, "B"))
        file.flush()
        os.fsync(file.fileno())
    finally:
        writer.close()
    read_header(path)
