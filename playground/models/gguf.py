"""Read the header of a GGUF file; every count is checked before it is used.

The `gguf` package's reader takes seconds on a large vocabulary and trusts the counts.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

`unread` says what transformers' GGUF reader loses of a file. It builds the configuration from the header's keys in its
table and silently ignores all others (scaled rotary positions, windows, experts), so the tensors can be right and the
model wrong.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import mmap
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from playground.errors import BrokenCheckpoint
from playground.metrics.weights import Tensor

MAGIC = b"GGUF"
MAX_TENSORS = 1 << 17
MAX_FIELDS = 1 << 16
MAX_ARRAY = 1 << 22
MAX_TEXT = 1 << 24  # bytes of one string
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# Model types whose GGUF file, read with the original's configuration, gives the original's logits in every variant that
# scripts/prove/gguf_reader.py tries. Not Mistral and Mixtral, which the reader refuses with it, nor Falcon, whose
# grouped heads it reads in another order.
WITH_CONFIG = frozenset(
    {
        *("bloom", "gemma2", "gemma3_text", "gpt2", "llama", "mamba", "phi3"),
        *("qwen2", "qwen3", "qwen3_moe", "stablelm", "starcoder2"),
    }
)
# Name in a file: name in the reader's table. The reader fails on other names that differ.
_READER_NAMES = {"qwen3moe": "qwen3_moe"}
_TEXT_PART = {"gemma3": "gemma3_text", "gemma4": "gemma4_text"}  # name in a file: name in its table of tokenizers
# The tokenizer.ggml.model that each of the reader's converters needs: it reads merges or scores.
_TOKENIZER = {"GGUFQwen2Converter": "gpt2", "GGUFGPTConverter": "gpt2", "GGUFGemmaConverter": "llama"}
_IGNORED_WINDOW = ("phi3",)  # llama.cpp ignores the key and attends to everything
# Keys that do not matter, that the reader derives from the tensors, or that would contradict the tensors if wrong.
_IGNORABLE = frozenset(
    {
        *("attention.value_length", "context_length", "expert_feed_forward_length"),
        *("expert_shared_feed_forward_length", "feed_forward_length", "rope.scaling.original_context_length"),
        *("rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "tensor_data_layout", "use_parallel_residual"),
        "vocab_size",
    }
)
# Defaults of transformers' configuration classes.
CLASS_VALUES: Mapping[str, Mapping[str, float]] = {
    "falcon": {"attention.head_count_kv": 1, "attention.layer_norm_epsilon": 1e-5},
    "gemma2": {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3": {"rope.freq_base": 1e6, "rope.freq_base_swa": 1e4},
    "nemotron": {"attention.layer_norm_epsilon": 1e-5},
    "qwen3": {"attention.key_length": 128},
    "stablelm": {"rope.freq_base": 1e4},
    "starcoder2": {"rope.freq_base": 1e4},
}
ROTARY = {"nemotron": 0.5, "stablelm": 0.25}  # share of each head that is rotated, if not 1
QUERY_SCALE = 256  # query_pre_attn_scalar of Gemma 2 and 3, which no file contains
_WIDE_LAYERS = {"gemma2": 46, "gemma3": 62}  # layers of the 27B models, which llama.cpp scales by width / heads
MISTRAL_WINDOW = 4096  # default of the configuration class, which a config.json may omit
_PARSING = threading.Lock()  # CPython 3.11 counts the depth of all threads' parsers together: SystemError


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata, tensors (logical shapes, outermost first) and the offset of each tensor in the file."""

    fields: dict[str, Any]
    tensors: tuple[Tensor, ...]
    offsets: dict[str, int]

    @property
    def architecture(self) -> str:
        return str(self.fields.get("general.architecture", ""))

    @property
    def weight_type(self) -> str:
        """The block type of most values of the matrices: "Q4_1"."""
        count: Counter[str] = Counter()
        for tensor in self.tensors:
            if len(tensor.shape) > 1 and not tensor.name.startswith(("token_embd", "output.")):
                count[tensor.dtype] += tensor.numel
        return count.most_common(1)[0][0] if count else "F32"


class NeedMore(Exception):
    """The header is longer than the given bytes; at least `size` are needed."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the first {size:,} bytes are needed")
        self.size = size


class _Cursor:
    """A read position in the first bytes of a file. Raises BrokenCheckpoint past the file's end, NeedMore past them."""

    def __init__(self, data: mmap.mmap | bytes, file_bytes: int, where: str) -> None:
        self.data, self.file_bytes, self.where, self.at = data, file_bytes, where, 0

    def take(self, size: int) -> bytes:
        if self.at + size > self.file_bytes:
            _broken(self.where, f"it ends inside its header, after {self.file_bytes:,} bytes")
        if self.at + size > len(self.data):
            raise NeedMore(self.at + size)
        chunk = self.data[self.at : self.at + size]
        self.at += size
        return chunk

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        length = self.number("Q")
        if length > MAX_TEXT:
            _broken(self.where, f"a string claims {length:,} bytes")
        return self.take(length).decode("utf-8", errors="replace")

    def _texts(self, count: int) -> list[str]:
        """Return `count` strings. Faster than calling `text`: a vocabulary has hundreds of thousands."""
        data, at, end = self.data, self.at, min(self.file_bytes, len(self.data))
        length_at, texts = struct.Struct("<Q").unpack_from, []
        for _ in range(count):
            begin = at + 8
            stop = begin + length_at(data, at)[0] if begin <= end else end + 1
            if stop > end or stop - begin > MAX_TEXT:
                self.at = at
                texts.append(self.text())  # raises the right error
                at = self.at
                continue
            texts.append(data[begin:stop].decode("utf-8", errors="replace"))
            at = stop
        self.at = at
        return texts

    def value(self, kind: int, *, nested: bool = False) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY and not nested:
            inner, length = self.number("I"), self.number("Q")
            if length > MAX_ARRAY:
                _broken(self.where, f"an array claims {length:,} entries")
            if inner in _SCALARS:
                code = _SCALARS[inner]
                return list(struct.unpack(f"<{length}{code}", self.take(length * struct.calcsize("<" + code))))
            if inner == _STRING:
                return self._texts(length)
            return [self.value(inner, nested=True) for _ in range(length)]
        if kind not in _SCALARS:
            _broken(self.where, f"it holds a value of the unknown type {kind}")
        return self.number(_SCALARS[kind])


def _broken(where: str, problem: str) -> NoReturn:
    raise BrokenCheckpoint(f"{where} is not a complete GGUF file: {problem}.", hint="Download or copy it again.")


def is_gguf(path: Path) -> bool:
    """Return whether the file starts with GGUF's magic bytes."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_header(path: Path) -> GgufHeader:
    """Return the header of a local file. Raises BrokenCheckpoint."""
    where = path.name
    try:
        size = path.stat().st_size
        if size < 24 or not is_gguf(path):
            _broken(where, "it does not start with 'GGUF'" if size >= 4 else f"it has {size} bytes")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return parse_header(data, size, where)
    except OSError as error:
        raise BrokenCheckpoint(f"{where} cannot be read: {error.strerror}.", hint="Check the file.") from error


def parse_header(data: mmap.mmap | bytes, file_bytes: int, where: str) -> GgufHeader:
    """Return the header from the first bytes of a file of `file_bytes`. Raises NeedMore, BrokenCheckpoint."""
    cursor = _Cursor(data, file_bytes, where)
    if cursor.take(4) != MAGIC:
        _broken(where, "it does not start with 'GGUF'")
    version, tensor_count, field_count = cursor.number("I"), cursor.number("Q"), cursor.number("Q")
    if version not in (2, 3):
        _broken(where, f"version {version} is unknown")
    if tensor_count > MAX_TENSORS or field_count > MAX_FIELDS:
        _broken(where, f"its header claims {tensor_count:,} tensors and {field_count:,} fields")
    fields: dict[str, Any] = {}
    for _ in range(field_count):
        key = cursor.text()
        if key in fields:
            _broken(where, f"the field {key[:80]!r} occurs twice")
        fields[key] = cursor.value(cursor.number("I"))
    infos = [_tensor(cursor) for _ in range(tensor_count)]
    alignment = fields.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment % 8 or alignment > 1 << 16:
        _broken(where, f"its alignment is {alignment!r}")
    start = -(-cursor.at // alignment) * alignment
    return _with_offsets(where, fields, infos, start, file_bytes)


def _tensor(cursor: _Cursor) -> tuple[Tensor, int]:
    name, rank = cursor.text(), cursor.number("I")
    if rank > 8:
        _broken(cursor.where, f"tensor {name[:80]!r} has {rank} dimensions")
    shape = tuple(reversed([cursor.number("Q") for _ in range(rank)]))
    kind, offset = cursor.number("I"), cursor.number("Q")
    dtype, block, block_bytes = _block(cursor.where, kind)
    values = math.prod(shape)
    if values > 1 << 48 or (shape and shape[-1] % block):
        _broken(cursor.where, f"tensor {name[:80]!r} has the shape {shape}, which {dtype} cannot hold")
    return Tensor(name, dtype, shape, stored=values // block * block_bytes), offset


def _block(where: str, kind: int) -> tuple[str, int, int]:
    """Return name, values per block and bytes per block of a GGML type."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        ggml_type = GGMLQuantizationType(kind)
        block, block_bytes = GGML_QUANT_SIZES[ggml_type]
    except (ValueError, KeyError):
        _broken(where, f"it uses the unknown tensor type {kind}")
    return str(ggml_type.name), int(block), int(block_bytes)


def _with_offsets(
    where: str, fields: dict[str, Any], infos: list[tuple[Tensor, int]], start: int, size: int
) -> GgufHeader:
    position = 0
    offsets: dict[str, int] = {}
    for tensor, offset in sorted(infos, key=lambda info: info[1]):
        if tensor.name in offsets:
            _broken(where, f"tensor {tensor.name[:80]!r} occurs twice")
        if offset < position:
            _broken(where, f"tensor {tensor.name[:80]!r} overlaps the one before it")
        if start + offset + tensor.bytes > size:
            _broken(where, f"tensor {tensor.name[:80]!r} ends after the file's {size:,} bytes")
        offsets[tensor.name] = start + offset
        position = offset + tensor.bytes
    return GgufHeader(fields, tuple(tensor for tensor, _ in infos), offsets)


# What transformers' GGUF reader loses.


@lru_cache(maxsize=1)
def architectures() -> frozenset[str]:
    """Return the GGUF architectures that the installed transformers reads; empty if its source has no such table."""
    fast = literal("transformers.integrations.gguf.gguf_conversion_mapping", "GGUF_ARCHS")
    keys = fast.keys if isinstance(fast, ast.Dict) else ()
    renamed = (name for name, reader_name in _READER_NAMES.items() if reader_name in _table())
    return frozenset({*_table(), *renamed, *(str(key.value) for key in keys if isinstance(key, ast.Constant))})


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str | None]]:
    """Return the reader's table: architecture → header key without it → field of the configuration, None if ignored."""
    table = literal("transformers.integrations.ggml", "GGUF_CONFIG_MAPPING")
    return ast.literal_eval(table) if isinstance(table, ast.Dict) else {}


@lru_cache(maxsize=1)
def _converters() -> dict[str, str]:
    """Return the reader's tokenizer converters: architecture → class name."""
    table = literal("transformers.integrations.ggml", "GGUF_TO_FAST_CONVERTERS")
    pairs = zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
    return {
        str(key.value): value.id
        for key, value in pairs
        if isinstance(key, ast.Constant) and isinstance(value, ast.Name)
    }


def _reads_tokenizer(header: GgufHeader) -> bool:
    architecture = _READER_NAMES.get(header.architecture, header.architecture)
    kind, converters = header.fields.get("tokenizer.ggml.model"), _converters()
    if not converters or kind is None or architecture not in _table():  # outside the table each has its own reader
        return True
    converter = converters.get(_TEXT_PART.get(architecture, architecture))
    return converter is not None and _TOKENIZER.get(converter, kind) == kind


def unread(header: GgufHeader, original: Mapping[str, Any] | None = None) -> str:
    """Return why transformers cannot read this file correctly, as the end of a sentence; "" if it can.

    original  config.json of the model that the file was made from, if known
    """
    supported = architectures()
    if supported and header.architecture not in supported:
        return f"its GGUF reader does not know the architecture {header.architecture[:40]}"
    if not _reads_tokenizer(header):
        kind = str(header.fields["tokenizer.ggml.model"])
        return f"its GGUF reader does not know the tokenizer ({kind[:40]}) of {header.architecture}"
    if original is not None and original.get("model_type") in WITH_CONFIG:
        return ""
    if lost := next(_ignored_keys(header), None):
        return f"its GGUF reader ignores {lost[:80]}"
    if original is not None and (tokens := lost_window(header, original)):
        return f"the file does not carry the original's sliding window of {tokens:,} tokens"
    return ""


def _ignored_keys(header: GgufHeader) -> Iterator[str]:
    """Yield keys of the header that the reader ignores and that differ from transformers' defaults."""
    architecture, fields = header.architecture, header.fields
    yield from (tensor.name for tensor in header.tensors if tensor.name.startswith(("rope_freqs", "rope_factors")))
    table = _table().get(_READER_NAMES.get(architecture, architecture))
    defaults = _defaults(header, table or {})
    for name, value in fields.items():
        prefix, _, key = name.partition(".")
        if prefix != architecture or key in _IGNORABLE or not value or value == "none" or isinstance(value, list):
            continue
        # An architecture outside the table has its own function, which reads every key but those of the scaling.
        read = table.get(key) is not None if table is not None else not key.startswith("rope.scaling.")
        if key in CLASS_VALUES.get(architecture, {}) or not read:
            default = defaults.get(key)
            if default is None or isinstance(value, str) or not math.isclose(value, default, rel_tol=1e-6):
                yield f"{key} ({value})"
    scale = _query_scale(header)
    if scale not in (None, QUERY_SCALE):
        yield f"the scale of the queries ({scale:g} instead of {QUERY_SCALE})"


def _defaults(header: GgufHeader, table: Mapping[str, str | None]) -> dict[str, float]:
    """Return the values that transformers uses for ignored keys, which can depend on keys that are read."""
    class_values = CLASS_VALUES.get(header.architecture, {})
    heads = _number(header, "attention.head_count", 1)
    size = class_values.get("attention.key_length", _number(header, "embedding_length") // heads)
    for key in ("attention.key_length", "rope.dimension_count"):
        if table.get(key) == "head_dim":
            size = _number(header, key, size)
    return {
        "attention.head_count_kv": heads,
        "attention.key_length": size,
        "rope.dimension_count": size * ROTARY.get(header.architecture, 1.0),
        "rope.scaling.attn_factor": 1.0,
        "rope.scaling.factor": 1.0,
        **class_values,
    }


def _query_scale(header: GgufHeader) -> float | None:
    """Return the square of llama.cpp's divisor of queries; None if transformers uses the same."""
    if header.architecture not in _WIDE_LAYERS:
        return None
    if _number(header, "block_count") == _WIDE_LAYERS[header.architecture]:
        return _number(header, "embedding_length") / _number(header, "attention.head_count", 1)
    return _number(header, "attention.key_length", QUERY_SCALE)


def _number(header: GgufHeader, key: str, default: float = 0) -> float:
    """Return the architecture's `key` of the header; `default` if it is not a positive number."""
    value = header.fields.get(f"{header.architecture}.{key}")
    return value if isinstance(value, int | float) and value > 0 else default


def lost_window(header: GgufHeader, original: Mapping[str, Any]) -> int | None:
    """Return the original's sliding window in tokens if llama.cpp ignores it with this file, else None."""
    tokens = _window(original)
    stated = f"{header.architecture}.attention.sliding_window" in header.fields
    return None if stated and header.architecture not in _IGNORED_WINDOW else tokens


def _window(config: Mapping[str, Any]) -> int | None:
    """Return the sliding window of a model in tokens; None if all layers attend to the whole context."""
    model_type = str(config.get("model_type", ""))
    kinds = config.get("layer_types")
    if not config.get("use_sliding_window", not model_type.startswith("qwen")):
        return None
    if isinstance(kinds, list) and "sliding_attention" not in kinds:
        return None
    tokens = config.get("sliding_window", MISTRAL_WINDOW if model_type == "mistral" else None)
    context = config.get("max_position_embeddings")
    if not isinstance(tokens, int) or (isinstance(context, int) and tokens >= context):
        return None
    return tokens or None


def literal(module: str, name: str) -> ast.expr | None:
    """Return the right-hand side of an assignment in a module's source, without importing it (it would load torch)."""
    package, *rest = module.split(".")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        source = Path(folder, *rest).with_suffix(".py")
        if source.is_file():
            with _PARSING:
                tree = ast.parse(source.read_text())
            for node in tree.body:
                targets = node.targets if isinstance(node, ast.Assign) else []
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return node.value if isinstance(node, ast.Assign) else None
    return None
