"""The header of a GGUF file, read with every count checked before it is believed.

The `gguf` package's own reader takes seconds on a large vocabulary and trusts the counts; this one takes what is
asked for. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata, tensors (logical shapes, outermost first) and where each tensor's bytes start in the file."""

    fields: dict[str, Any]
    tensors: tuple[Tensor, ...]
    offsets: dict[str, int]

    @property
    def architecture(self) -> str:
        return str(self.fields.get("general.architecture", ""))

    @property
    def weight_type(self) -> str:
        """The block type that holds most of the values of the matrices: "Q4_1"."""
        count: Counter[str] = Counter()
        for tensor in self.tensors:
            if len(tensor.shape) > 1 and not tensor.name.startswith(("token_embd", "output.")):
                count[tensor.dtype] += tensor.numel
        return count.most_common(1)[0][0] if count else "F32"


class NeedMore(Exception):
    """The header goes on after the bytes that were given; `size` says how many are needed at least."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the first {size:,} bytes are needed")
        self.size = size


class _Cursor:
    """A position in the first bytes of a file that refuses to run past the file's end."""

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
        """`text` so many times: a vocabulary has some hundred thousand, and a page may open many files at once."""
        data, at, end = self.data, self.at, min(self.file_bytes, len(self.data))
        length_at, found = struct.Struct("<Q").unpack_from, []
        for _ in range(count):
            begin = at + 8
            stop = begin + length_at(data, at)[0] if begin <= end else end + 1
            if stop > end or stop - begin > MAX_TEXT:
                self.at = at
                found.append(self.text())  # says what is wrong, or that more is needed
                at = self.at
                continue
            found.append(data[begin:stop].decode("utf-8", errors="replace"))
            at = stop
        self.at = at
        return found

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


def _broken(where: str, what: str) -> NoReturn:
    raise BrokenCheckpoint(f"{where} is not a complete GGUF file: {what}.", hint="Download or copy it again.")


def is_gguf(path: Path) -> bool:
    """Whether the file says so itself, by its first four bytes."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_header(path: Path) -> GgufHeader:
    """Metadata and tensor list of a local file. Raises BrokenCheckpoint."""
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
    """The same from the first bytes of a file of `file_bytes`. Raises NeedMore, BrokenCheckpoint."""
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
    return _placed(where, fields, infos, start, file_bytes)


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
    """Name, values per block and bytes per block of a GGML type."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        found = GGMLQuantizationType(kind)
        block, block_bytes = GGML_QUANT_SIZES[found]
    except (ValueError, KeyError):
        _broken(where, f"it uses the unknown tensor type {kind}")
    return str(found.name), int(block), int(block_bytes)


def _placed(where: str, fields: dict[str, Any], infos: list[tuple[Tensor, int]], start: int, size: int) -> GgufHeader:
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
