"""The grammar of an address: `MODEL[:VARIANT][+ADAPTER][?kv=K[/V][&tail=N]][@ENGINE]`, parsed from the right.

Paths and ids of endpoints' models may contain colons, so the grammar does not separate variant and model: `names.split`
looks up what exists. A model of an endpoint (`@lab/llama:free`) is a single id up to the engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

ENGINES = ("transformers", "vllm", "llamacpp", "remote")
# How keys or values of the cache are stored. `fp8` is E4M3, `int4` is `int4-g32`.
KV_FORMS = (
    "bf16", "f16", "int8", "int4", "int4-g32", "int4-g64", "fp8", "fp8_e5m2",
    "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl",
)  # fmt: skip

_FORM = "|".join(sorted(map(re.escape, KV_FORMS), key=len, reverse=True))
_KV = re.compile(rf"(.+)\?kv=({_FORM})(?:/({_FORM}))?(?:&tail=([0-9]{{1,9}}))?", re.DOTALL)
_ADAPTER = re.compile(r"[\w./~-][^+?:\s]*")
_VARIANT = re.compile(r"[\w.-]+")
_PATH_LIKE = re.compile(r"[~./\\]|[A-Za-z]:[\\/]")
_SEGMENT = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_SEGMENT}/{_SEGMENT}")
_FILE = re.compile(r"(?:[\w.+-][\w.+ -]*/)*[\w.+-][\w.+ -]*\.gguf", re.ASCII)


@dataclass(frozen=True, slots=True)
class KvForm:
    """The storage types of the KV cache's keys and values.

    tail  number of the last tokens that stay in 16 bits; None: the engine's default
    """

    k: str
    v: str
    tail: int | None = None

    def __str__(self) -> str:
        values = "" if self.v == self.k else f"/{self.v}"
        return f"kv={self.k}{values}" + ("" if self.tail is None else f"&tail={self.tail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A model or variant, and the engine to run it.

    model   MODEL[:VARIANT]
    engine  "" leaves the choice to `engines.base.default`

    `Address.parse(str(address)) == address`, unless a path has been created or removed in between.
    """

    model: str
    adapter: str = ""
    kv: KvForm | None = None
    engine: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse an address. Never raises: text outside the grammar belongs to the model.

        Only a known name after the last "@" is an engine: `owner/repo@main` has a revision. A revision with the name of
        an engine is written in full (`owner/repo@refs/heads/vllm`).
        """
        rest, engine = split_engine(text)
        if not ({"+", "?"} & set(rest)) or is_whole(rest):
            return cls(model=rest, engine=engine)
        kv = None
        if match := _KV.fullmatch(rest):
            rest, k, v, tail = match.groups()
            kv = KvForm(k, v or k, None if tail is None else int(tail))
        model, _, adapter = rest.rpartition("+")
        plus = model.endswith("+") and not is_whole(model)  # of "c++/m", which is not there
        if not model or plus or not _ADAPTER.fullmatch(adapter) or is_whole(rest):
            model, adapter = rest, ""
        return cls(model=model, adapter=adapter, kv=kv, engine=engine)

    @property
    def variant(self) -> str:
        """Return the address without its engine: the name that `models` looks up."""
        adapter = f"+{self.adapter}" if self.adapter else ""
        return self.model + adapter + (f"?{self.kv}" if self.kv else "")

    def on(self, engine: str) -> Address:
        """Return the address with another engine."""
        return replace(self, engine=engine)

    def __str__(self) -> str:
        return f"{self.variant}@{self.engine}" if self.engine else self.variant


def split_engine(text: str) -> tuple[str, str]:
    """Return the text without its engine, and the engine ("" without one). Looks up nothing."""
    text = text.strip()
    rest, at, engine = text.rpartition("@")
    return (rest, engine) if at and rest and engine in ENGINES else (text, "")


def is_whole(text: str) -> bool:
    """Return whether "+" and "?" belong to the model: an endpoint's, an existing path or a file of the hub."""
    model, _, variant = text.rpartition(":")
    names = (text, model) if _VARIANT.fullmatch(variant) else (text,)
    return text.startswith("@") or any(exists(name) or is_hub_file(name) for name in names if name)


def is_path_like(name: str) -> bool:
    """Return whether a name is written as a path: `./m`, `/models/m`, `~/m`."""
    return _PATH_LIKE.match(name) is not None


def exists(name: str) -> bool:
    """Return whether a file or folder of this name exists; "~" is the home folder."""
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def valid_repository(repo: str) -> bool:
    """Return whether `owner/name` follows the hub's rule: 96 characters, no '--' or '..', no '.git' at the end."""
    return (
        bool(_REPO.fullmatch(repo))
        and len(repo) <= 96
        and not re.search(r"--|\.\.", repo)
        and not repo.endswith(".git")
    )


def valid_file(file: str) -> bool:
    """Return whether this is a valid path of a GGUF file in a repository."""
    return _FILE.fullmatch(file) is not None and ".." not in file


def is_hub_file(name: str) -> bool:
    """Return whether a name has the form `owner/repo/file.gguf[@revision]`."""
    owner, _, rest = name.partition("@")[0].partition("/")
    repo, _, file = rest.partition("/")
    return valid_repository(f"{owner}/{repo}") and valid_file(file)
