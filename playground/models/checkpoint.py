"""Describe a checkpoint on a disk or on the hub: config, tensors and path. No weight is read.

Remote code, pickle weights, adapters and models that do not generate text are refused from file names and JSON alone,
so that the same checks run on a hub repository before the first weight is downloaded and on a local folder before an
engine loads it.

`cached_content_hash` caches a checkpoint's content hash by the sizes and times of its files. It is used for the record
of every comparison; evaluations, which take hours, hash the bytes again.

`FORMATS` are the quantized formats that transformers loads. The conditions are those of `validate_environment` in
transformers' quantizers; a test compares them.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from packaging.specifiers import SpecifierSet

from playground.errors import BrokenCheckpoint, UnknownModel, UnsafeModel, UnsupportedModel
from playground.files import write_whole
from playground.metrics import weights
from playground.metrics.weights import Tensor, content_hash
from playground.models import bundled, gguf, restore, scheme
from playground.models.gguf import literal
from playground.settings import settings

GENERATION = "generation_config.json"
_NO_SETTINGS = (
    *("bos_token_id", "eos_token_id", "pad_token_id"),
    *("transformers_version", "_from_model_config", "use_cache"),
)
_ENCODERS = frozenset({"t5", "t5encoder", "bert", "nomic-bert", "clip"})
MAX_JSON = 64 << 20  # bytes of a config file; real ones are much smaller (tokenizers are not read here)
SCREENED = ("config.json", "tokenizer_config.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".npz", ".joblib")
_GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
# Their prediction for a token does not depend on the preceding tokens alone: BERT's and RoBERTa's kind, XLNet's
# permutation, XLM's mask token, CPM-Ant's prompt, and Doge's, which transformers 5.17 reads without a causal mask.
_NOT_CAUSAL = frozenset(
    {"big_bird", "camembert", "cpmant", "data2vec-text", "doge", "megatron-bert", "rembert", "roberta", "xlm", "xlnet"}
    | {"roberta-prelayernorm", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)
_SHARD_INDEX = "model.safetensors.index.json"
State = Literal["runs", "unpacks", "missing"]
Capability = tuple[int, int] | None
Versions = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The description of a checkpoint.

    path        local folder or file, or the hub repository
    config      config.json; empty of a GGUF file
    form        method, scheme and compute type
    parameters  logical parameters
    end_ids     end-of-text token ids: of generation_config.json and config.json, or of the header of a GGUF file
    generation  generation_config.json; {} if there is none
    tied        the output head is the input embedding
    """

    path: str
    config: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    form: scheme.Scheme
    parameters: int
    source: str
    revision: str | None = None
    end_ids: tuple[int, ...] = ()
    generation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tied(self) -> bool:
        return bool(self.config.get("tie_word_embeddings"))

    @property
    def generation_settings(self) -> dict[str, Any]:
        """Return the settings of generation_config.json without token ids: sampling, penalties, suppressed tokens."""
        return {
            name: value
            for name, value in self.generation.items()
            if name not in _NO_SETTINGS and value not in (None, False)
        }

    @property
    def bytes(self) -> int:
        return weights.size_bytes(self.tensors)

    @property
    def loaded_bytes(self) -> int:
        """Return the bytes of the weights in memory; unpacked if transformers unpacks this format."""
        if self.form.expands:
            return max(self.bytes, self.parameters * weights.TORCH_BYTES[self.form.dtype])
        return self.bytes


def assemble(
    model: str,
    path: str,
    config: Mapping[str, Any],
    tensors: Sequence[Tensor],
    source: str,
    revision: str | None = None,
    generation: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Return a safetensors checkpoint from its parts. Raises UnsupportedModel."""
    form = scheme.read(model, config, tensors)
    count = weights.parameters(tensors, scheme.quantization(config))
    generation = generation or {}
    ends = _ids(generation.get("eos_token_id"), config.get("eos_token_id"))
    return Checkpoint(path, config, tuple(tensors), form, count, source, revision, ends, generation)


def _ids(*values: object) -> tuple[int, ...]:
    """Return the distinct token ids in values that may be an id, a list of ids or None, sorted."""
    ids = [token for value in values for token in (value if isinstance(value, list) else [value])]
    return tuple(sorted({token for token in ids if type(token) is int and token >= 0}))


def screen(model: str, files: Sequence[str], read: Callable[[str], bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check a model's file names and configs. Return config.json and generation_config.json ({} if there is none).

    Raises CatalogError for an unsafe, unsupported or broken model.
    """
    refuse_files(model, files)
    tables = {name: parse_json(read(name), name) for name in SCREENED if name in files}
    refuse_remote_code(model, tables)
    refuse_architecture(model, tables["config.json"])
    return tables["config.json"], parse_json(read(GENERATION), GENERATION) if GENERATION in files else {}


def from_folder(model: str, folder: Path, source: str = "local folder", revision: str | None = None) -> Checkpoint:
    """Describe a local folder. Raises CatalogError."""
    names = [entry.name for entry in folder.iterdir()]
    config, generation = screen(model, names, lambda name: _read_config(folder / name))
    return assemble(model, str(folder), config, weights.read_tensors(folder), source, revision, generation)


def _read_config(path: Path) -> bytes:
    if path.stat().st_size > MAX_JSON:
        raise BrokenCheckpoint(f"{path.name} is too large to be a config file.", hint="Download or copy it again.")
    return path.read_bytes()


def from_gguf(
    model: str, file: Path, source: str = "local file", revision: str | None = None, original: Path | None = None
) -> Checkpoint:
    """Describe a local GGUF file; `original` is the folder of the model it was made from. Raises CatalogError."""
    config = None if original is None else parse_json(_read_config(original / "config.json"), "config.json")
    return from_gguf_header(model, str(file), _header(file), source, revision, config)


def _header(file: Path) -> gguf.GgufHeader:
    """Return the header without its arrays (the vocabulary), cached until the file changes. Raises CatalogError."""
    try:
        now = file.stat()
    except OSError:
        return gguf.read_header(file)  # raises with a message
    with _reading:
        return _cached_header(file, now.st_ino, now.st_size, now.st_mtime_ns)


_reading = threading.Lock()  # opening a page requests the same files several times at once


@lru_cache(maxsize=64)
def _cached_header(file: Path, *_stamp: int) -> gguf.GgufHeader:
    header = gguf.read_header(file)
    return replace(header, fields={name: value for name, value in header.fields.items() if not isinstance(value, list)})


def from_gguf_header(
    model: str,
    path: str,
    header: gguf.GgufHeader,
    source: str,
    revision: str | None = None,
    original: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Describe a GGUF file by its header and the config.json of its original. Raises UnsupportedModel."""
    refuse_gguf(model, header)
    count = sum(tensor.numel for tensor in header.tensors)
    dtype = scheme.compute_dtype(original or {}, (), packed=True)
    unread = gguf.unread(header, original)
    form = scheme.gguf(header.weight_type, header.fields.get("general.file_type"), dtype, unread)
    ends = _ids(*(header.fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")))
    return Checkpoint(path, {}, header.tensors, form, count, source, revision, ends)


def refuse_gguf(model: str, header: gguf.GgufHeader) -> None:
    """Raise UnsupportedModel for a GGUF file that no engine here can run: a part of a split model, or an encoder."""
    split = header.fields.get("split.count")
    if isinstance(split, int) and split > 1:
        raise UnsupportedModel(
            f"{model} is one of {split} parts of a GGUF model.", hint="Join them with llama.cpp's gguf-split --merge."
        )
    name = header.architecture
    if name in _ENCODERS:
        raise UnsupportedModel(
            f"{model} is not a causal language model ({name}).", hint="Choose one that generates text."
        )


def from_path(model: str, path: Path) -> Checkpoint:
    """Describe a local folder or `.gguf` file. Raises CatalogError."""
    try:
        resolved = path.resolve(strict=True)
        if resolved.is_dir():
            return from_folder(model, resolved)
        if resolved.is_file() and path.suffix == ".gguf":
            return from_gguf(model, path.absolute())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnknownModel(f"There is no folder or file {model!r}.", hint="Check the path.") from error
    except PermissionError as error:
        raise UnknownModel(f"{model} cannot be read.", hint="Check its permissions.") from error
    except (OSError, RuntimeError) as error:
        raise UnknownModel(f"{model} is not a usable path.", hint="Check the path.") from error
    raise UnsupportedModel(
        f"{model} is a single file.", hint="Give the folder that holds config.json, or a .gguf file."
    )


def from_bundled(model: str) -> Checkpoint:
    """Describe the bundled model; before it is restored, from the header of its GGUF. Raises CatalogError."""
    folder, source = bundled.folder(), bundled.gguf()
    if source is None:
        raise UnknownModel("The bundled model is not installed.", hint=f"Run `{bundled.INSTALL}`.")
    provenance = f"bundled, restored from {bundled.WEIGHT_TYPE}"
    if bundled.already_restored():
        return from_folder(model, folder, provenance)
    config, tensors = _before_restoring(source)
    return assemble(model, str(folder), config, tensors, provenance)


@lru_cache(maxsize=1)
def _before_restoring(source: Path) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    """Return the config and tensors that restoring this file will produce."""
    header = gguf.read_header(source)
    tensors = tuple(Tensor(restore.original_name(tensor.name), "BF16", tensor.shape) for tensor in header.tensors)
    return restore.config(header.fields), tensors


# The content hash.


def cached_content_hash(path: Path) -> str:
    """Return `content_hash` of a folder or file, cached until one of its files changes. Raises BrokenCheckpoint."""
    file = settings().cache / "hashes" / _key(path)
    with contextlib.suppress(OSError):
        if len(digest := file.read_text()) == 64:
            return digest
    digest = content_hash(path)
    with contextlib.suppress(OSError):  # with a full or read-only disk the next call hashes again
        write_whole(file, digest)
    return digest


def _key(path: Path) -> str:
    """Return a cache key from the paths, sizes and modification times of the weight files."""
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("*.gguf")])
    stamps = [(os.path.realpath(file), stat.st_size, stat.st_mtime_ns) for file in files if (stat := file.stat())]
    return hashlib.sha256(json.dumps([str(path), stamps]).encode()).hexdigest()


# What is refused.


def parse_json(content: bytes, name: str) -> dict[str, Any]:
    """Return the JSON table of a config file. Raises BrokenCheckpoint."""
    try:
        if len(content) > MAX_JSON:
            raise ValueError("too large")
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BrokenCheckpoint(f"{name} is not valid JSON.", hint="Download or copy it again.") from error
    if not isinstance(table, dict):
        raise BrokenCheckpoint(f"{name} is not a table.", hint="Download or copy it again.")
    return table


def refuse_files(model: str, files: Iterable[str]) -> None:
    """Check the names of a model's top-level files.

    Raises UnsupportedModel (adapter, diffusion, GGUF repository, no config), UnsafeModel (pickle weights only),
    BrokenCheckpoint (no weights).
    """
    names = {name for name in files if "/" not in name}
    if "adapter_config.json" in names:
        raise UnsupportedModel(
            f"{model} is a PEFT adapter, which changes another model and cannot run alone.",
            hint="Merge it into its base model (peft: merge_and_unload), save that, and use the saved folder.",
        )
    if "model_index.json" in names:
        raise UnsupportedModel(f"{model} is a diffusion pipeline.", hint="Choose a causal language model.")
    if "config.json" not in names:
        if ggufs := sorted(name for name in files if name.endswith(".gguf")):
            raise UnsupportedModel(f"{model} holds GGUF files.", hint=f"Name one of them: {model}/{ggufs[0]}")
        raise UnsupportedModel(
            f"{model} has no config.json.", hint="Give a transformers model, or a .gguf file by name."
        )
    if "model.safetensors" in names or _SHARD_INDEX in names:
        return
    if pickles := sorted(name for name in names if name.endswith(PICKLES)):
        raise UnsafeModel(
            f"{model} has its weights only in {pickles[0]}, a format that can run code when it is opened.",
            hint="Use a revision with safetensors, or convert it on a machine you can lose.",
        )
    if stray := sorted(name for name in names if name.endswith(".safetensors")):
        raise BrokenCheckpoint(
            f"{model} has {stray[0]} but neither model.safetensors nor {_SHARD_INDEX}.", hint="Download the rest."
        )
    raise BrokenCheckpoint(f"{model} has no weights.", hint="model.safetensors is missing; download it.")


def _has_auto_map(table: object) -> bool:
    if isinstance(table, dict):
        return bool(table.get("auto_map")) or any(_has_auto_map(value) for value in table.values())
    return isinstance(table, list) and any(_has_auto_map(value) for value in table)


def refuse_remote_code(model: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UnsafeModel for an `auto_map` at any depth of any of the named config files."""
    for name, table in tables.items():
        if _has_auto_map(table):
            raise UnsafeModel(
                f"{model} wants to run Python code of its own (auto_map in {name}), which is never allowed here.",
                hint="Choose a model that transformers supports without remote code.",
            )


def refuse_architecture(model: str, config: Mapping[str, Any]) -> None:
    """Raise UnsupportedModel unless this is a causal language model that the installed transformers knows."""
    raw = config.get("architectures")
    names = [name for name in raw if isinstance(name, str)] if isinstance(raw, list) else []
    if not names:
        raise UnsupportedModel(
            f"The config.json of {model} names no architecture.", hint="Choose a causal language model."
        )
    architecture, supported = names[0], causal_architectures()
    generates = architecture in supported if supported else architecture.endswith(_GENERATING[:2])
    if config.get("model_type") in _NOT_CAUSAL:
        raise UnsupportedModel(
            f"{model} ({architecture[:80]}) does not predict each token of a text from those before it alone.",
            hint="Choose a causal language model.",
        )
    if generates and architecture.endswith(_GENERATING) and not config.get("is_encoder_decoder"):
        return
    if architecture.endswith("ForCausalLM") and not config.get("is_encoder_decoder"):
        raise UnsupportedModel(
            f"The installed transformers does not know {architecture[:80]}, the architecture of {model}.",
            hint="Choose another model, or update transformers.",
        )
    kind = "an encoder-decoder" if config.get("is_encoder_decoder") else "not a causal language model"
    raise UnsupportedModel(
        f"{model} is {kind} ({architecture[:80]}).", hint="Choose a model whose architecture ends in ForCausalLM."
    )


@lru_cache(maxsize=1)
def causal_architectures() -> frozenset[str]:
    """Return the names of all classes of transformers' AutoModelForCausalLM; empty if they cannot be read."""
    call = literal("transformers.models.auto.modeling_auto", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")
    if not isinstance(call, ast.Call) or not call.args:
        return frozenset()
    names: set[str] = set()
    for _, value in ast.literal_eval(call.args[0]):
        names.update([value] if isinstance(value, str) else value)
    return frozenset(names)


# Quantized formats.


@dataclass(frozen=True, slots=True)
class Format:
    """A quantized format of transformers.

    needs   required distributions and their version specifiers
    kernel  returns for (device, capability, versions) why packed weights cannot be multiplied and, after a "|", what to
            install; the weights then load as BF16. "" if they can
    """

    name: str
    title: str
    needs: Mapping[str, str]
    devices: tuple[str, ...] = ("cuda", "mps", "cpu")
    kernel: Callable[[str, Capability, Versions], str] = lambda *_: ""


@dataclass(frozen=True, slots=True)
class Support:
    """Whether this machine can load a format. `unpacks`: same output, but at the size and speed of BF16."""

    state: State
    why: str = ""
    do: str = ""


def satisfied(installed: str | None, wanted: str) -> bool:
    return installed is not None and SpecifierSet(wanted).contains(installed, prereleases=True)


def _fp8(device: str, capability: Capability, _: Versions) -> str:
    if device != "cuda":
        return "FP8 products need an NVIDIA GPU of compute capability 8.9 or newer"
    if capability is None or capability < (8, 9):
        return "FP8 products need compute capability 8.9, for example an RTX 4090 or an H100"
    return ""


def _mxfp4(device: str, capability: Capability, versions: Versions) -> str:
    if device == "mps" or (device == "cuda" and (capability is None or capability < (7, 5))):
        return "MXFP4 products need a CPU, or an NVIDIA GPU of compute capability 7.5 or newer"
    wanted = {"triton": ">=3.4.0" if device == "cuda" else ">=3.5.0", "kernels": ">=0.16.0,<0.17.0"}
    missing = [f"{name}{spec}" for name, spec in wanted.items() if not satisfied(versions.get(name), spec)]
    return f"{' and '.join(missing)} not installed|{_install(missing)}" if missing else ""


def _compressed_tensors(*_: object) -> str:
    return "transformers unpacks these weights in the first forward pass"


def _gguf(*_: object) -> str:
    return "this engine multiplies no GGUF blocks"


def _install(wanted: list[str]) -> str:
    return f"pip install {' '.join(map(shlex.quote, wanted))}"


FORMATS: tuple[Format, ...] = (
    Format("compressed-tensors", "compressed-tensors", {"compressed-tensors": ">=0.15.0"}, kernel=_compressed_tensors),
    Format("gptq", "GPTQ", {"optimum": ">=1.24.0", "gptqmodel": ">=1.4.3"}),
    Format("awq", "AWQ", {"gptqmodel": "", "accelerate": ">=1.1.0"}),
    Format("auto-round", "AutoRound", {"auto-round": ">=0.5.0"}),
    Format("fp8", "FP8", {"accelerate": ">=1.1.0"}, kernel=_fp8),
    Format("mxfp4", "MXFP4", {"accelerate": ">=1.1.0"}, kernel=_mxfp4),
    Format("bitsandbytes", "bitsandbytes", {"accelerate": ">=1.1.0", "bitsandbytes": ">=0.46.1"}),
    Format("gguf", "GGUF", {"gguf": ">=0.10.0"}, kernel=_gguf),
)
PACKAGES = tuple(sorted({name for row in FORMATS for name in row.needs} | {"triton", "kernels"}))


def support(row: Format, device: str, capability: Capability, versions: Versions) -> Support:
    """Return whether a checkpoint of this format loads on `device`, given the installed `versions`."""
    if device not in row.devices:
        return Support("missing", f"runs on {', '.join(row.devices)}; this device is {device}")
    missing = [f"{name}{wanted}" for name, wanted in row.needs.items() if not satisfied(versions.get(name), wanted)]
    if missing:
        return Support("missing", f"{' and '.join(missing)} not installed", _install(missing))
    reason, _, do = row.kernel(device, capability, versions).partition("|")
    if reason:
        return Support("unpacks", reason, do)
    return Support("runs")
