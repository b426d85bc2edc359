"""GGUF: the block formats of llama.cpp.

Legacy formats (Q4_0, Q4_1 …): blocks of 32 values with a scale each; K-quants: super-blocks of 256 whose scales are
quantized too, https://github.com/ggml-org/llama.cpp/pull/1684

Uses llama.cpp's converter and kernels (`gguf_convert`) and its mixtures; tensors are converted and written one by one.

The "M" and "S" schemes give more bits to the most sensitive tensors: value projections, down projections, the output
matrix. Rules: llama_tensor_get_type in https://github.com/ggml-org/llama.cpp (src/llama-quant.cpp), for files without
an importance matrix.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.core import Progress
from playground.errors import Cancelled, InvalidRecipe, QuantizeFailed
from playground.methods import gguf
from playground.methods.gguf import BASE, ROW
from playground.methods.recipe import Recipe
from playground.metrics.weights import LayerError
from playground.quantize import gguf_convert
from playground.settings import settings

if TYPE_CHECKING:
    from playground.models.gguf import GgufHeader

MAX_ERROR = 1.0  # relative error of a tensor of zeros; every type is below it, Q2_K of noise has 0.3
TYPES = tuple(dict.fromkeys((*gguf.BASE.values(), *gguf.FLOATS)))  # what `keep` may name
SUPER_BLOCK, BLOCK = 256, 32  # values per block of the K-quants, and of all other types
# Types with blocks of 32, for rows whose length is no multiple of 256.
FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_EIGHT_EXPERTS = 8
_BLOCK_NAME = re.compile(r"blk\.(\d+)\.")
# Never quantized: routing, norms, convolutions, relative positions. All are small, and their kernels need floats.
_KEPT = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid|altup|laurel|per_layer_model_proj|ssm_conv1d"
    r"|shortconv\.conv\.weight|indexer\.[kq]_proj|time_mix_(first|[wvag]\d|decay_w\d|lerp_fused)\.weight"
    r"|attn_rel_b\.weight|position_embd|token_types"
)
_VALUES = ("attn_v", "attn_qkv", "attn_kv_b")


def file_name(scheme: str) -> str:
    """Return the file name in the variant's folder."""
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

    `recipe.ignore` and `recipe.keep` name GGUF tensors ("output", "re:blk\\.0\\..*"): ignored ones keep the type of the
    original, `keep` sets another ggml type ("Q8_0"). `lost` is called with the error of every tensor whose type
    changed, measured from the file. Raises InvalidRecipe, UnsupportedModel, BrokenCheckpoint, QuantizeFailed,
    EngineUnavailable, Cancelled.
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

    def on_error(error: LayerError) -> None:
        if kinds[error.name] != stored:
            lost(LayerError(error.name.removesuffix(".weight"), error.relative_error))

    _write(model.gguf_writer, path, kinds, report, is_cancelled, on_error)


def check(recipe: Recipe) -> None:
    """Raise InvalidRecipe for unknown tensor types and invalid patterns."""
    for _, kind in recipe.keep:
        if kind not in TYPES:
            raise InvalidRecipe(f"GGUF has no tensor type {kind[:40]!r}.", hint=f"Known: {', '.join(TYPES)}.")
    for pattern in (*recipe.ignore, *(pattern for pattern, _ in recipe.keep)):
        _regex(pattern)


def notes(folder: Path, recipe: Recipe) -> tuple[str, ...]:
    """Return sentences for the card of a finished variant: tensors per type, and which fell back to another type."""
    from playground.models.gguf import read_header

    return type_notes(read_header(folder / file_name(recipe.scheme)), recipe.scheme)


def _kinds(writer: Any, recipe: Recipe, stored: str) -> dict[str, str]:
    """Return the new type of every tensor whose type changes. `stored`: the original's type, for ignored tensors."""
    tensors = writer.tensors[0]
    matrices = {
        name: int(info.shape[-1])
        for name, info in tensors.items()
        if quantizable(name, len(info.shape)) and info.dtype.name in (*gguf.FLOATS, "F32")
    }
    kinds: dict[str, str] = {}
    if recipe.scheme in gguf.BASE:
        fields = {name: value.value for name, value in writer.kv_data[0].items()}
        choices = choose(recipe.scheme, Shape.of(fields, tensors), list(matrices.items()))
        kinds = {name: choice.kind for name, choice in choices.items()}
    for pattern, kind in recipe.keep:
        kinds |= {name: fits(kind, matrices[name]) for name in matching(pattern, matrices)}
    for pattern in recipe.ignore:
        kinds |= dict.fromkeys(matching(pattern, matrices), stored)
    return {name: kind for name, kind in kinds.items() if kind != tensors[name].dtype.name}


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else re.escape(pattern))
    except re.error as error:
        raise InvalidRecipe(
            f"{pattern[:80]!r} is not a regular expression: {error}.", hint=r"For example re:blk\.0\..*"
        ) from None


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that a recipe's pattern matches, compared without ".weight". Raises InvalidRecipe if none."""
    regex = _regex(pattern)
    matches = [name for name in names if regex.fullmatch(name.removesuffix(".weight"))]
    if not matches:
        raise InvalidRecipe(
            f"No tensor of this model is called {pattern[:80]!r}.",
            hint="GGUF's names are token_embd, output and blk.0.attn_q, blk.0.ffn_down …, without '.weight'.",
        )
    return matches


def _write(
    writer: Any,
    path: Path,
    kinds: dict[str, str],
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
    lost: Callable[[LayerError], None],
) -> None:
    """Write the file: metadata, the list of tensors with their new types, then each tensor, read and quantized.

    The error of a tensor is measured from the bytes in the file. Raises QuantizeFailed if it was not written correctly,
    BrokenCheckpoint for NaN and infinite values, Cancelled.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LazyNumpyTensor, dequantize

    from playground.models.gguf import read_header
    from playground.models.load import not_finite

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
                if not error <= MAX_ERROR:
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


# Mixtures: the block type of each tensor, as in llama.cpp, so that a Q4_K_M here is a Q4_K_M there.


@dataclass(frozen=True, slots=True)
class Shape:
    """What the mixtures depend on beside the tensors' names.

    tied: the output head is the input embedding
    """

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    experts: int = 0
    tied: bool = False

    @property
    def grouped(self) -> int:
        """Query heads for each key/value head; 0 if unknown."""
        return self.heads // self.kv_heads if self.kv_heads else 0

    @property
    def is_70b(self) -> bool:
        """Llama 70B (80 layers, grouped heads), whose small value matrices get more bits."""
        return self.layers == 80 and self.grouped > 1

    @classmethod
    def of(cls, fields: Mapping[str, Any], names: Iterable[str]) -> Shape:
        """Return the shape from a file's metadata. Of counts that differ between layers, the largest."""
        architecture = str(fields.get("general.architecture", ""))

        def number(key: str) -> int:
            value = fields.get(f"{architecture}.{key}", 0)
            return max((int(count) for count in value), default=0) if isinstance(value, list | tuple) else int(value)

        heads = number("attention.head_count")
        kv_heads = number("attention.head_count_kv") or heads
        tied = "output.weight" not in set(names)
        return cls(architecture, number("block_count"), heads, kv_heads, number("expert_count"), tied)


def quantizable(name: str, dimensions: int) -> bool:
    """Return whether a tensor is quantized: matrices named `.weight`, except those whose kernels need floats."""
    return dimensions >= 2 and name.endswith("weight") and not _KEPT.search(name)


def _layer(name: str) -> int:
    match = _BLOCK_NAME.match(name)
    return int(match[1]) if match else -1


def _category(name: str) -> str:
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    for part in ("attn_qkv", "attn_kv_b", "attn_v", "attn_k", "attn_q", "attn_output"):
        if f"{part}.weight" in name:
            return part
    return "ffn_down" if "ffn_down" in name else ""


def _more_bits(at: int, count: int) -> bool:
    """Return whether layer `at` of `count` is in the first or last eighth, or a third one between."""
    return at < count // 8 or at >= 7 * count // 8 or (at - count // 8) % 3 == 2


@dataclass(slots=True)
class _Mixture:
    """Chooses types for tensors in layer order; counts the tensors of each kind."""

    scheme: str
    shape: Shape
    values: int  # how many value matrices there are
    seen: Counter[str] = field(default_factory=Counter)

    def choose(self, name: str, columns: int) -> str:
        """Return the type of one matrix by the scheme's rules, regardless of its row length."""
        base, kind = BASE[self.scheme], _category(name)
        if kind == "output" or (kind == "embedding" and self.shape.tied):
            aligned = columns % (SUPER_BLOCK if base.endswith("_K") else BLOCK) == 0
            return "Q8_0" if base == "Q8_0" or self.shape.architecture == "falcon" or not aligned else "Q6_K"
        at = self.seen[kind]
        if kind in _VALUES:
            at = sum(self.seen[value] for value in _VALUES)
        self.seen[kind] += 1
        if kind in _VALUES:
            return self._value(at, base)
        eight = self.shape.experts == _EIGHT_EXPERTS
        if kind == "attn_k" and eight:
            return "Q8_0"
        if kind == "ffn_down":
            return self._down(_layer(name) if self.shape.experts > 1 else at, base)
        if kind == "attn_output" and self.shape.architecture != "falcon":
            mixed = {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K"}
            if eight:
                mixed = dict.fromkeys(("Q2_K", "Q3_K_M", "Q4_K_S", "Q4_K_M"), "Q5_K")
            return mixed.get(self.scheme, base)
        return base

    def _value(self, at: int, base: str) -> str:
        kind = base
        match self.scheme:
            case "Q2_K":
                kind = "Q4_K" if self.shape.grouped >= 4 else "Q3_K"
            case "Q3_K_M":
                kind = "Q5_K" if at < 2 else "Q4_K"
            case "Q4_K_M" | "Q5_K_M" if _more_bits(at, self.values):
                kind = "Q6_K"
            case "Q4_K_S" if at < 4:
                kind = "Q5_K"
        if self.shape.is_70b and kind in ("Q3_K", "Q4_K"):
            kind = "Q5_K"
        return "Q8_0" if self.shape.experts == _EIGHT_EXPERTS else kind

    def _down(self, at: int, base: str) -> str:
        layers, falcon = self.shape.layers, self.shape.architecture == "falcon"
        more = _more_bits(at, layers)
        match self.scheme:
            case "Q2_K":
                return "Q3_K"
            case "Q3_K_M":
                return "Q5_K" if at < layers // 16 else "Q4_K" if more or not falcon else "Q3_K"
            case "Q4_K_M" if falcon:
                return "Q6_K" if at < layers // 16 else "Q5_K" if more else "Q4_K"
            case "Q4_K_M" | "Q5_K_M" if more:
                return "Q6_K"
            case "Q4_K_S" if at < layers // 8 and not falcon:
                return "Q5_K"
        return base


def fits(kind: str, columns: int) -> str:
    """Return the type for rows of `columns` values: `kind`, its fallback with blocks of 32, or F16."""
    if columns % (SUPER_BLOCK if kind.endswith("_K") else BLOCK) == 0:
        return kind
    fallback = FALLBACK.get(kind, "")
    return fallback if fallback and columns % BLOCK == 0 else "F16"


@dataclass(frozen=True, slots=True)
class Choice:
    """`wanted` by the scheme's mixture, `kind` what the row length allows."""

    wanted: str
    kind: str


def choose(scheme: str, shape: Shape, matrices: Sequence[tuple[str, int]]) -> dict[str, Choice]:
    """Return the type of every matrix (name, columns) under a quantized scheme. All must be `quantizable`."""
    ordered = sorted(matrices, key=lambda matrix: (_layer(matrix[0]), matrix[0]))
    mixture = _Mixture(scheme, shape, sum(_category(name) in _VALUES for name, _ in ordered))
    choices: dict[str, Choice] = {}
    for name, columns in ordered:
        wanted = mixture.choose(name, columns)
        choices[name] = Choice(wanted, fits(wanted, columns))
    return choices


def type_notes(header: GgufHeader, scheme: str) -> tuple[str, ...]:
    """Return sentences for the card of a file: tensors per type, and why some have a fallback type."""
    count = Counter(tensor.dtype for tensor in header.tensors if len(tensor.shape) > 1)
    notes = [f"{sum(count.values())} matrices: " + ", ".join(f"{n} in {kind}" for kind, n in count.most_common()) + "."]
    if scheme not in BASE:
        return tuple(notes)
    names = [tensor.name for tensor in header.tensors]
    matrices = [(t.name, t.shape[-1]) for t in header.tensors if quantizable(t.name, len(t.shape))]
    choices = choose(scheme, Shape.of(header.fields, names), matrices)
    actual = {tensor.name: tensor.dtype for tensor in header.tensors}
    columns = dict(matrices)
    fell = [name for name, choice in choices.items() if choice.wanted != choice.kind == actual[name]]
    if fell:
        kinds = Counter((choices[name].wanted, choices[name].kind) for name in fell)
        pairs = ", ".join(f"{n} from {wanted} to {kind}" for (wanted, kind), n in kinds.most_common())
        widths = ", ".join(str(width) for width in sorted({columns[name] for name in fell}))
        notes.append(
            f"{len(fell)} of {len(choices)} matrices fell back to blocks of {BLOCK} ({pairs}):"
            f" their rows of {widths} values are no multiple of {SUPER_BLOCK}."
        )
    return tuple(notes)
