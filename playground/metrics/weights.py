"""Size of a checkpoint (parameters, bytes, MBU), its content hash, and relative errors of layers.

Computed from the names, types and shapes in the headers of safetensors files; imports nothing heavy. Headers are
untrusted input: every number is checked before it is used.

`content_hash` does not depend on how tensors are split into files or ordered in them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from playground.errors import BrokenCheckpoint

if TYPE_CHECKING:
    from playground.methods import OnLoad

TORCH_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
FLOATS = frozenset({"BF16", "F16", "F32", "F64"})

_AUXILIARY = re.compile(
    r"(^|[._])("
    r"weight_scale|weight_zero_point|weight_g_idx|weight_shape|weight_global_scale|weight_scale_inv|weight_scale_2"
    r"|(input|output|q|k|v)_(scale|zero_point|global_scale)"
    r"|activation_scale|qzeros|scales|g_idx|zeros|scale_inv"
    r"|absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+|SCB|weight_format"
    r")$|_scales$"
)
_NOT_LINEAR = re.compile(r"(^|[._])(embed\w*|\w*embeddings?|wte|wpe|token_embd|lm_head|experts)([._]|$)|^output\.")
_QUANT_STATE = ".quant_state."
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors library itself
MAX_RANK = 16
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
CHUNK = 1 << 22
EQUAL_RATIO = 1.15  # ratio of the errors of two kinds of layers below which they count as equal
ERROR_NAME = "relative weight error"


def size_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of all tensors: weights, scales, zero points."""
    return sum(tensor.bytes for tensor in tensors)


def parameters(tensors: Sequence[Tensor], quantization_config: Mapping[str, Any] | None = None) -> int:
    """Return the number of parameters: packed values count unpacked; scales, zero points and codebooks do not count."""
    names = {tensor.name: tensor for tensor in tensors}
    quantized = quantization_config or {}
    four_bit = {tensor.name.split(_QUANT_STATE)[0] for tensor in tensors if _QUANT_STATE in tensor.name}
    return sum(_logical(tensor, names, quantized, four_bit) for tensor in tensors)


def _logical(
    tensor: Tensor, names: Mapping[str, Tensor], quantized: Mapping[str, Any], four_bit: frozenset[str] | set[str]
) -> int:
    name = tensor.name
    if not quantized:
        return tensor.numel
    if name in four_bit:
        return 2 * tensor.bytes
    module, _, leaf = name.rpartition(".")
    if leaf == "weight_packed":
        if tensor.dtype != "I32":
            return 2 * tensor.numel
        bits = weight_bits(quantized, module)
        words = tensor.shape[-1] if tensor.shape else 1
        rows, columns = tensor.numel // max(words, 1), words * 32 // bits
        scale, group = names.get(f"{module}.weight_scale"), _group(quantized, module)
        if group and scale is not None and scale.shape:
            exact = scale.shape[-1] * group
            # compressed-tensors packs densely; earlier versions did not split a value across words
            if words in (-(-exact * bits // 32), -(-exact // (32 // bits))):
                columns = exact
        return rows * columns
    if leaf == "qweight":
        return tensor.numel * 32 // weight_bits(quantized, module)
    if leaf.endswith("_blocks"):
        return 2 * tensor.numel
    return 0 if _AUXILIARY.search(name) else tensor.numel


def _groups(quantized: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = quantized.get("config_groups")
    entries = groups.values() if isinstance(groups, dict) else []
    return [group for group in entries if isinstance(group, dict) and isinstance(group.get("weights"), dict)]


def _group_of(quantized: Mapping[str, Any], module: str) -> Mapping[str, Any]:
    """Return the compressed-tensors group of `module`: by name or pattern, else the one for Linear, else the first."""
    groups = _groups(quantized)
    for group in groups:
        for target in group.get("targets") or ():
            pattern = str(target).removeprefix("re:")
            try:
                matches = re.match(pattern, module) if str(target).startswith("re:") else module == target
            except re.error:
                matches = None
            if matches:
                return group
    return next((group for group in groups if "Linear" in (group.get("targets") or ())), groups[0] if groups else {})


def weight_bits(quantized: Mapping[str, Any], module: str = "") -> int:
    """Return the bits per packed value of `module`; 4 if the config does not say."""
    raw = (_group_of(quantized, module).get("weights") or {}).get("num_bits") or quantized.get("bits")
    raw = raw or quantized.get("w_bit")
    return raw if isinstance(raw, int) and 1 <= raw <= 16 else 4


def _group(quantized: Mapping[str, Any], module: str) -> int | None:
    raw = (_group_of(quantized, module).get("weights") or {}).get("group_size")
    return raw if isinstance(raw, int) and raw > 0 else None


def is_linear_weight(tensor: Tensor) -> bool:
    """Return whether bitsandbytes quantizes a tensor: a 2-D `.weight` that is no embedding, output head or expert.

    transformers skips the output embedding, everything tied to it and the last module, and stores the experts of a
    mixture in one 3-D parameter, which is not a linear layer.
    """
    return tensor.name.endswith(".weight") and len(tensor.shape) == 2 and not _NOT_LINEAR.search(tensor.name)


def on_load_bytes(tensors: Sequence[Tensor], entry: OnLoad, dtype: str, *, tied: bool = False) -> int:
    """Return the bytes of a variant that is quantized or cast while loading, if it were saved.

    dtype  torch name of the compute type
    tied   the output head is the input embedding and is stored once
    """
    wide = TORCH_BYTES[entry.dtype or dtype]
    total = 0
    for tensor in tensors:
        if tied and tensor.name == "lm_head.weight":
            continue
        if tensor.dtype not in FLOATS:
            total += tensor.bytes
        elif entry.stored_bytes is None or not is_linear_weight(tensor):
            total += tensor.numel * wide
        elif entry.scheme == "int8":
            total += entry.stored_bytes(tensor.numel) + 4 * tensor.shape[0] + 1
        else:
            total += entry.stored_bytes(tensor.numel)
    return total


def mbu(
    weight_bytes_streamed: float, kv_bytes_per_token: float, mean_context: float, tok_s: float, bandwidth: float
) -> float:
    """Return the model bandwidth utilisation: bytes/s that decoding reads over the measured bandwidth (bytes/s).

    Raises ValueError if the bandwidth is not positive.

    https://www.databricks.com/blog/llm-inference-performance-engineering-best-practices
    """
    if bandwidth <= 0:
        raise ValueError("bandwidth must be positive")
    return (weight_bytes_streamed + kv_bytes_per_token * mean_context) * tok_s / bandwidth


# Headers of safetensors files. No weight is read.


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a checkpoint. `stored`: its bytes if dtype and shape do not determine them (GGUF blocks)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stored: int | None = None

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        if self.stored is not None:
            return self.stored
        return (self.numel * BITS[self.dtype] + 7) // 8


def _broken(where: str, problem: str) -> NoReturn:
    raise BrokenCheckpoint(f"{where} is not a complete safetensors file: {problem}.", hint="Download or copy it again.")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def header_length(prefix: bytes, file_bytes: int, where: str) -> int:
    """Return the length of the JSON header, from the first 8 bytes. Raises BrokenCheckpoint if it is invalid."""
    if file_bytes < 8 or len(prefix) < 8:
        _broken(where, f"it has {file_bytes} bytes")
    length = int.from_bytes(prefix[:8], "little")
    if length > MAX_HEADER:
        _broken(where, f"its header claims {length:,} bytes, more than the {MAX_HEADER:,} allowed")
    if length < 2 or 8 + length > file_bytes:
        _broken(where, f"its header claims {length:,} bytes and the file has {file_bytes:,}")
    return length


def parse_safetensors_header(header: bytes, file_bytes: int, where: str) -> list[Tensor]:
    """Return the tensors of a header, in file order. Raises BrokenCheckpoint if it is invalid.

    Offsets must start at 0, have no gaps or overlaps and end at `file_bytes`; every range must fit dtype and shape.
    """
    try:
        raw = json.loads(header, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        _broken(where, f"its header cannot be read ({str(error)[:80]})")
    if not isinstance(raw, dict):
        _broken(where, "its header is not a table")
    raw.pop("__metadata__", None)
    spans = sorted(((_span(where, name, entry), name, entry) for name, entry in raw.items()), key=lambda span: span[:2])
    tensors: list[Tensor] = []
    position = 0
    for (begin, end), name, entry in spans:
        if begin != position:
            _broken(where, f"tensor {name[:80]!r} starts at {begin:,} where {position:,} is expected")
        tensor = Tensor(name, entry["dtype"], tuple(entry["shape"]))
        if (tensor.numel * BITS[tensor.dtype]) % 8 or end - begin != tensor.bytes:
            _broken(where, f"tensor {name[:80]!r} has {end - begin:,} bytes, its shape needs {tensor.bytes:,}")
        tensors.append(tensor)
        position = end
    expected = 8 + len(header) + position
    if file_bytes != expected:
        _broken(where, f"it has {file_bytes:,} of {expected:,} bytes")
    return tensors


def _span(where: str, name: str, entry: object) -> tuple[int, int]:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str) or entry["dtype"] not in BITS:
        _broken(where, f"tensor {name[:80]!r} has no known type")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(_is_size(size) for size in shape):
        _broken(where, f"tensor {name[:80]!r} has no valid shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        _broken(where, f"tensor {name[:80]!r} has no valid offsets")
    return offsets[0], offsets[1]


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def read_safetensors_header(path: Path) -> list[Tensor]:
    """Return the tensors of one local file, in file order. Raises BrokenCheckpoint."""
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            length = header_length(file.read(8), file_bytes, path.name)
            header = file.read(length)
    except OSError as error:
        raise BrokenCheckpoint(f"{path.name} cannot be read: {error.strerror}.", hint="Check the file.") from error
    return parse_safetensors_header(header, file_bytes, path.name)


def parse_index(text: bytes, where: str) -> dict[str, str]:
    """Return `weight_map` of a model.safetensors.index.json: tensor name to shard name. Raises BrokenCheckpoint."""
    try:
        index = json.loads(text)
        weight_map = index["weight_map"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise BrokenCheckpoint(f"{where} has no readable weight map.", hint="Download it again.") from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise BrokenCheckpoint(f"{where} has no readable weight map.", hint="Download it again.")
    for shard in weight_map.values():
        if not isinstance(shard, str) or not re.fullmatch(r"[\w][\w.\-]*\.safetensors", shard) or ".." in shard:
            raise BrokenCheckpoint(
                f"{where} names {str(shard)[:80]!r} as a shard, which is not a file name of its own."
            )
    return weight_map


def merge_shards(weight_map: Mapping[str, str], shards: Mapping[str, Sequence[Tensor]], where: str) -> list[Tensor]:
    """Return all tensors of a sharded checkpoint. Raises BrokenCheckpoint if a shard lacks a tensor of the index."""
    tensors: list[Tensor] = []
    for shard, shard_tensors in shards.items():
        expected = {name for name, owner in weight_map.items() if owner == shard}
        names = {tensor.name for tensor in shard_tensors}
        if missing := sorted(expected - names):
            raise BrokenCheckpoint(
                f"{shard} lacks {missing[0]!r}, which {where} says it holds.",
                hint="The shards are of different versions.",
            )
        tensors += [tensor for tensor in shard_tensors if tensor.name in expected]
    return tensors


def read_tensors(folder: Path) -> list[Tensor]:
    """Return the tensors of a local checkpoint folder, one file or shards with an index. Raises BrokenCheckpoint."""
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.is_file():
        return read_safetensors_header(single)
    if not index.is_file():
        raise BrokenCheckpoint(f"{folder.name} has no model.safetensors.", hint="Download or copy it again.")
    weight_map = parse_index(index.read_bytes(), index.name)
    names = sorted(set(weight_map.values()))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BrokenCheckpoint(
            f"{len(missing)} of {len(names)} weight files are missing, {missing[0]} first.", hint="Download the rest."
        )
    return merge_shards(weight_map, {name: read_safetensors_header(folder / name) for name in names}, index.name)


# The content hash.


def content_hash(path: Path) -> str:
    """Return the sha256, hex, of a checkpoint folder's tensors, or of a file's bytes (a GGUF file, also in a folder).

    Tensors are hashed in the order of their names: name, type, shape, bytes. Raises BrokenCheckpoint.
    """
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if not files:
        return _of_file(path if path.is_file() else next(path.glob("*.gguf")))
    tensors = sorted(
        ((name, entry, file, start) for file in files for name, entry, start in _entries(file)),
        key=lambda row: row[0],
    )
    digest = hashlib.sha256()
    for name, entry, file, start in tensors:
        begin, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]], separators=(",", ":")).encode() + b"\n")
        with file.open("rb") as opened:
            opened.seek(start + begin)
            _feed(digest, opened, end - begin)
    return digest.hexdigest()


def _entries(file: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield name, header entry and offset of the data section, of every tensor. Raises BrokenCheckpoint."""
    read_safetensors_header(file)
    with file.open("rb") as opened:
        length = header_length(opened.read(8), file.stat().st_size, file.name)
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    yield from ((name, entry, 8 + length) for name, entry in header.items())


def _of_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _feed(digest: Any, opened: Any, count: int) -> None:
    while count > 0 and (chunk := opened.read(min(CHUNK, count))):
        digest.update(chunk)
        count -= len(chunk)


# Relative errors of layers.


@dataclass(frozen=True, slots=True)
class LayerError:
    """Error of one layer's weight: ‖stored - original‖ / ‖original‖ in the Frobenius norm."""

    name: str
    relative_error: float

    @property
    def snr_db(self) -> float | None:
        """The error as signal-to-noise ratio in decibels; None without an error."""
        return -20 * math.log10(self.relative_error) if self.relative_error > 0 else None

    def as_row(self) -> dict[str, Any]:
        snr = self.snr_db
        return {
            "name": self.name,
            "relative_error": float(f"{self.relative_error:.6g}"),
            "snr_db": None if snr is None else round(snr, 2),
        }


def relative_error(original: Any, stored: Any) -> float:
    """Return ‖stored - original‖ / ‖original‖ of two torch tensors of one shape; 0 for two zero tensors."""
    wide = original.float()
    difference = stored.float() - wide
    return error_of_parts([(float(difference.norm()) ** 2, float(wide.norm()) ** 2)])


def error_of_parts(parts: Iterable[tuple[float, float]]) -> float:
    """Return the relative error of a tensor from its parts: (squared error, squared norm) of each."""
    squared_error = squared_norm = 0.0
    for error, norm in parts:
        squared_error, squared_norm = squared_error + error, squared_norm + norm
    return math.sqrt(squared_error / squared_norm) if squared_norm else math.sqrt(squared_error)


def error_summary(layers: Sequence[Sequence[Any]]) -> str:
    """Return which layers and kinds of layers have the largest errors, in one or two sentences; "" without layers.

    layers  (name, relative error, …) of each
    """
    if not layers:
        return ""
    kinds: dict[str, list[float]] = {}
    for name, error, *_ in layers:
        kinds.setdefault(name.rpartition(".")[2], []).append(error)
    means = sorted(((sum(errors) / len(errors), kind) for kind, errors in kinds.items()), reverse=True)
    worst = max(layers, key=lambda layer: layer[1])
    text = f"Worst in {worst[0]}: {worst[1]:.1%} of the weight’s norm."
    if len(means) > 1:
        largest, smallest = means[0], means[-1]
        if largest[0] < EQUAL_RATIO * smallest[0]:
            return f"All kinds of layers lose about the same, {smallest[0]:.1%} to {largest[0]:.1%} on average. {text}"
        text = f"{largest[1]} loses most ({largest[0]:.1%} on average), {smallest[1]} least ({smallest[0]:.1%}). {text}"
    return text
