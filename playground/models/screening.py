"""What is refused before anything loads: remote code, pickle weights, adapters, models that do not generate text.

Works on file names and JSON alone, so the same checks run on a hub repository before the first weight is downloaded
and on a local folder before an engine sees it.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from playground.errors import BrokenCheckpoint, UnsafeModel, UnsupportedModel

MAX_JSON = 64 << 20  # bytes of a config file; the largest honest ones are tokenizers, which are not read here
SCREENED = ("config.json", "tokenizer_config.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".npz", ".joblib")
_GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
# Their prediction for a token is not made of the tokens before it alone: BERT's and RoBERTa's kind, XLNet's
# permutation, XLM's mask token, CPM-Ant's prompt, and Doge's, which transformers 5.17 reads without a causal mask.
_NOT_CAUSAL = frozenset(
    {"big_bird", "camembert", "cpmant", "data2vec-text", "doge", "megatron-bert", "rembert", "roberta", "xlm", "xlnet"}
    | {"roberta-prelayernorm", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)
_SHARD_INDEX = "model.safetensors.index.json"


def parse_json(text: bytes, where: str) -> dict[str, Any]:
    """A JSON table from a config file. Raises BrokenCheckpoint."""
    try:
        if len(text) > MAX_JSON:
            raise ValueError("too large")
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenCheckpoint(f"{where} is not valid JSON.", hint="Download or copy it again.") from error
    if not isinstance(found, dict):
        raise BrokenCheckpoint(f"{where} is not a table.", hint="Download or copy it again.")
    return found


def refuse_files(model: str, files: Iterable[str]) -> None:
    """Judge a model by the names of its top-level files.

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
    """Refuse `auto_map`, at any depth of any of the named config files. Raises UnsafeModel."""
    for name, table in tables.items():
        if _has_auto_map(table):
            raise UnsafeModel(
                f"{model} wants to run Python code of its own (auto_map in {name}), which is never allowed here.",
                hint="Choose a model that transformers supports without remote code.",
            )


def refuse_architecture(model: str, config: Mapping[str, Any]) -> None:
    """Refuse what is not a causal language model that the installed transformers knows. Raises UnsupportedModel."""
    raw = config.get("architectures")
    names = [name for name in raw if isinstance(name, str)] if isinstance(raw, list) else []
    if not names:
        raise UnsupportedModel(
            f"The config.json of {model} names no architecture.", hint="Choose a causal language model."
        )
    architecture, known = names[0], causal_architectures()
    generates = architecture in known if known else architecture.endswith(_GENERATING[:2])
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


_PARSING = threading.Lock()  # CPython 3.11 counts the depth of all threads' parsers in one place: SystemError


def literal(module: str, name: str) -> ast.expr | None:
    """The right-hand side of an assignment in an installed module's source, which is not imported: that loads torch."""
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


@lru_cache(maxsize=1)
def causal_architectures() -> frozenset[str]:
    """Every class that AutoModelForCausalLM of the installed transformers can make; empty if it cannot be read."""
    found = literal("transformers.models.auto.modeling_auto", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")
    if not isinstance(found, ast.Call) or not found.args:
        return frozenset()
    names: set[str] = set()
    for _, value in ast.literal_eval(found.args[0]):
        names.update([value] if isinstance(value, str) else value)
    return frozenset(names)
