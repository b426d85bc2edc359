"""Parse a model's name: `smollm2`, a folder, a `.gguf` file, `owner/repo[/file.gguf][@revision]`, with `:variant`.

`@endpoint[/model]` is a model of an endpoint that the owner added; the model's id there follows the first slash.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from playground.errors import (
    InvalidRequest,
    InvalidSettings,
    StoreUnavailable,
    UnknownModel,
    UnknownVariant,
    UnsupportedModel,
)
from playground.methods import did_you_mean, on_load_names
from playground.models.address import Address, exists, is_path_like, is_whole, valid_file, valid_repository
from playground.models.bundled import WEIGHT_TYPE
from playground.store import database, variants

log = logging.getLogger(__name__)

BUNDLED = "smollm2"
BUNDLED_FILE = WEIGHT_TYPE.lower()  # the variant that is the bundled file itself
BUNDLED_REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
HUB_MODELS = (
    BUNDLED_REPO,
    "Qwen/Qwen2.5-0.5B-Instruct",
    "Qwen/Qwen3-0.6B",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
)
MAX_NAME = 1024
MAX_VARIANT_NAME = 80

_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
_SUFFIX = re.compile(r"[\w.-]+")
_REMOTE = re.compile(r"@([a-z0-9-]{1,32})(?:/(\S+))?")


@dataclass(frozen=True, slots=True)
class Model:
    """A parsed model name; nothing is looked up. `path` is local; `repo`, `file` and `revision` are on the hub.

    Of a remote model, `endpoint` is the name of the endpoint and `repo` the model's id there ("": the endpoint's own).
    """

    name: str
    kind: Literal["bundled", "local", "hub", "remote"]
    path: Path | None = None
    repo: str = ""
    file: str = ""
    revision: str | None = None
    endpoint: str = ""


def parse(model: str) -> Model:
    """Parse a model name without a variant. Raises UnknownModel, which names the allowed forms."""
    if not model or len(model) > MAX_NAME or not model.isprintable():
        raise _unknown(model)
    if model == BUNDLED:
        return Model(model, "bundled")
    if model.startswith("@"):
        return _remote(model)
    path = Path(model).expanduser() if not model.startswith("~") or "/" in model else None
    if is_path_like(model) or exists(model):
        return Model(model, "local", path=path)
    name, at, revision = model.partition("@")
    if at and (not _REVISION.fullmatch(revision) or ".." in revision or revision.endswith("/")):
        raise UnknownModel(
            f"{revision[:80]!r} is not a revision.", hint="Use a branch, a tag or a commit hash after '@'."
        )
    owner_repo = "/".join(name.split("/")[:2])
    file = name[len(owner_repo) + 1 :]
    if not valid_repository(owner_repo) or (file and not valid_file(file)):
        raise _unknown(model)
    return Model(model, "hub", repo=owner_repo, file=file, revision=revision or None)


def _remote(model: str) -> Model:
    match = _REMOTE.fullmatch(model)
    if match is None:
        raise UnknownModel(
            f"{model[:80]!r} is not a model of an endpoint.", hint="Write @NAME/MODEL, or @NAME for its own model."
        )
    return Model(model, "remote", endpoint=match[1], repo=match[2] or "")


def _unknown(model: str) -> UnknownModel:
    text = model[:80] + ("…" if len(model) > 80 else "")
    suggestion = did_you_mean(model[:80], [BUNDLED, *HUB_MODELS])
    hint = f"{suggestion} Or give a hub repository (owner/name) or the path of a folder."
    return UnknownModel(f"There is no model {text!r}.", hint=hint)


def variant_names(model: str) -> tuple[str, ...]:
    """Return the variant names of a model: those made while loading, then those that are stored."""
    return (*built_in(model), *stored(model))


def built_in(model: str) -> tuple[str, ...]:
    """Return the names of the variants that need no job."""
    return (*on_load_names(), BUNDLED_FILE) if model == BUNDLED else on_load_names()


def stored(model: str) -> tuple[str, ...]:
    """Return the names of the stored variants; () with a warning in the log if the store cannot be read."""
    try:
        return tuple(variants.names(key(model))) if database.exists() else ()
    except (SQLAlchemyError, InvalidSettings, StoreUnavailable) as error:
        log.warning("%s", error)
        return ()


def key(model: str) -> str:
    """Return the store's name of a model: for a local one its resolved path, so that two spellings are one model."""
    try:
        parsed = parse(model)
    except UnknownModel:
        return model
    return str(parsed.path.resolve()) if parsed.kind == "local" and parsed.path else model


def absolute(text: str) -> Address:
    """Return an address whose model does not depend on the working directory, for a worker. Raises CatalogError."""
    address = Address.parse(text)
    model, suffix = split(address.variant)
    return Address(model=f"{key(model)}:{suffix}" if suffix else key(model), engine=address.engine)


def check_variant_name(model: str, name: str) -> None:
    """Raise InvalidRequest for a name that a new variant of `model` cannot have."""
    if not _SUFFIX.fullmatch(name) or len(name) > MAX_VARIANT_NAME or name.startswith((".", "-")):
        raise InvalidRequest(
            f"{name[:80]!r} cannot be the name of a variant.",
            hint=f"Use up to {MAX_VARIANT_NAME} letters, digits, '.', '_' and '-'.",
        )
    if name in built_in(model):
        raise InvalidRequest(f"{model}:{name} is made while loading.", hint="Choose another name.")


def _is_model(text: str) -> bool:
    try:
        parsed = parse(text)
    except UnknownModel:
        return False
    return parsed.kind != "local" or exists(text)


def _refuse_parts(address: Address) -> None:
    """Raise UnsupportedModel for parts of the grammar that no engine supports: adapters and KV forms."""
    if address.adapter:
        whole = " A path with + in it is taken whole where it exists." if is_path_like(address.model) else ""
        raise UnsupportedModel(
            f"{address.adapter[:80]} is an adapter, and adapters cannot be loaded here.",
            hint=f"Use {address.model[:80]}.{whole}",
        )
    if address.kv:
        raise UnsupportedModel(
            f"?{address.kv} asks for a form of the KV cache, which cannot be chosen here.",
            hint=f"Use {address.model[:80]}: each engine keeps its cache in its own form.",
        )
    form = address.model.rpartition("?kv=")[2]
    if form != address.model and not is_whole(address.model):
        raise UnsupportedModel(
            f"{form[:80]!r} is no form of the KV cache, and none can be chosen here.",
            hint=f"Use {address.model.rpartition('?kv=')[0][:80]}: each engine keeps its cache in its own form.",
        )


def split(name: str) -> tuple[str, str]:
    """Separate model and variant: "owner/repo:nf4" → ("owner/repo", "nf4"); the reference has the variant "".

    A path that exists and the id of a remote model may contain colons. Raises UnknownModel, UnknownVariant, and
    UnsupportedModel for an adapter or a KV form, which no engine runs.
    """
    name = name.strip()
    _refuse_parts(Address.parse(name))
    model, colon, suffix = name.rpartition(":")
    if not colon or name.startswith("@") or (is_path_like(name) and exists(name)):
        parse(name)
        return name, ""
    if suffix in variant_names(model):
        parse(model)
        return model, suffix
    if _is_model(model) and not _is_model(name):
        raise UnknownVariant(
            f"{model} has no variant {suffix[:80]!r}.", hint=did_you_mean(suffix[:80], variant_names(model))
        )
    parse(name)
    return name, ""
