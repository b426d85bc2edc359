"""From what a person asked for to a recipe that can run: what was left open is filled in, what cannot work is refused.

Everything is decided from the names and shapes of a checkpoint's linear layers, before a weight is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.errors import InvalidRecipe, InvalidRequest
from playground.formatting import did_you_mean
from playground.methods.base import Method, Option
from playground.methods.recipe import Recipe
from playground.methods.schemes import GROUP_SIZES, SCHEMES, UNQUANTIZED, Scheme, scheme
from playground.methods.table import method
from playground.metrics.weights import Tensor
from playground.models import split
from playground.models.checkpoint import Checkpoint
from playground.models.variants import open_checkpoint
from playground.quantize.writers import writer
from playground.texts import Calibration

HEAD = "lm_head"  # always ignored: tied to the embedding in small models, and no engine runs it packed
# What rounding hurts most for the bytes it saves, or what llm-compressor's text calibration never reaches.
IGNORED = (
    r"re:.*mlp\.gate$",
    r"re:.*block_sparse_moe\.gate$",
    r"re:.*shared_expert_gate$",
    r"re:.*router(\.\w+)?$",
    r"re:.*(vision_tower|vision_model|visual|audio_tower|multi_modal_projector)\..*",
)
CONV1D = ("gpt2", "openai-gpt")  # model types whose projections are transformers' Conv1D: transposed, and no Linear
# Mixtures whose quantized experts transformers 5.17 does not find again: llm-compressor saves experts.N.gate_proj,
# up_proj and down_proj, and from there these have no way back. They are fused in the file, or have other names.
_LOST_EXPERTS = (
    *("gpt_oss", "granitemoe", "granitemoehybrid", "granitemoeshared", "granitemoe_swa"),
    *("hy_v4", "inkling_text", "longcat_flash", "zaya"),
)
_LOST_NAMES = re.compile(r"\.experts\.\d+\.w[123]\.weight$")  # Mixtral's, also of MiniMax, LFM2-MoE, PhiMoE
_EXPERT = re.compile(r"\.experts\.(\d+\.)?(gate_up_proj|gate_proj|up_proj|down_proj)$")
_NOT_LINEAR = re.compile(r"(^|[._])(embed\w*|\w*embeddings?|wte|wpe|token_embd)([._]|$)")
_FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


@dataclass(frozen=True, slots=True)
class Completed:
    """A recipe with nothing left open, and why each open thing was decided so: one sentence each."""

    recipe: Recipe
    reasons: tuple[str, ...] = ()


def complete(checkpoint: Checkpoint, recipe: Recipe) -> Completed:
    """Fill in scheme spelling, ignore list, group size and calibration; refuse what cannot work on this checkpoint.

    Completing a completed recipe changes nothing. Raises InvalidRecipe, UnknownVariant (no such method).
    """
    row = method(recipe.method)
    _refuse_source(checkpoint, row)
    named = next((name for name in row.schemes if name.lower() == recipe.scheme.lower()), None)
    if named is None:
        raise InvalidRecipe(
            f"{row.title} has no scheme {recipe.scheme[:40]!r}.", hint=did_you_mean(recipe.scheme[:40], row.schemes)
        )
    _refuse_options(row, recipe)
    recipe = recipe.changed(method=row.name, scheme=named)
    reasons: list[str] = []
    if row.modifiers:
        recipe = _layers(checkpoint, row, recipe, reasons)
    elif recipe.kv_cache:
        raise InvalidRecipe(
            f"{row.title} has no KV-cache scheme.", hint="Leave it out, or use a method of llm-compressor: RTN, FP8 …"
        )
    else:
        writer(row.name).check(recipe)
    return Completed(_calibration(row, recipe, reasons), tuple(reasons))


def open_original(model: str) -> Checkpoint:
    """What a variant of `model` is made from. Raises CatalogError; InvalidRequest where `model` is a variant itself."""
    original, suffix = split(model)
    if suffix:
        raise InvalidRequest(
            f"{original}:{suffix} is a variant.", hint=f"Start from the model it was made from: {original}."
        )
    return open_checkpoint(original)


def _refuse_source(checkpoint: Checkpoint, row: Method) -> None:
    name = checkpoint.path.rstrip("/").rpartition("/")[2]
    if not row.job:
        raise InvalidRecipe(
            f"{row.title} is applied while a model loads: there is nothing to make beforehand.",
            hint="Load the model with its variant name instead, for example MODEL:nf4.",
        )
    if checkpoint.form.quantized or checkpoint.path.endswith(".gguf"):
        raise InvalidRecipe(
            f"{name} is already quantized ({checkpoint.form.label}).",
            hint="Start from the original checkpoint it was made from.",
        )
    built = [str(one) for one in checkpoint.config.get("architectures") or ()]
    if row.architectures and not set(built) & set(row.architectures):
        raise InvalidRecipe(
            f"{row.title} does not know how to rotate {', '.join(built) or 'this architecture'}.",
            hint=f"It works on {', '.join(row.architectures)}; GPTQ and AWQ work on more.",
        )


def _refuse_options(row: Method, recipe: Recipe) -> None:
    known = {option.name: option for option in row.options}
    for name, value in recipe.options.items():
        if name not in known:
            hint = did_you_mean(name[:40], list(known)) if known else f"{row.title} has no options."
            raise InvalidRecipe(f"{row.title} has no option {name[:40]!r}.", hint=hint)
        if problem := _problem(known[name], value):
            raise InvalidRecipe(
                f"{name} of {row.title} cannot be {str(value)[:40]!r}: {problem}.",
                hint=f"The default is {known[name].default}.",
            )


def _problem(option: Option, value: Any) -> str:
    """What is wrong with the value of an option, or ""."""
    if option.choices:
        chosen = list(value) if isinstance(option.default, tuple) and isinstance(value, list | tuple) else [value]
        wrong = [one for one in chosen if one not in option.choices]
        return f"it must be of {', '.join(option.choices)}" if wrong or not chosen else ""
    if isinstance(option.default, bool):
        return "" if isinstance(value, bool) else "it must be true or false"
    whole = isinstance(option.default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return "it must be a whole number" if whole else "it must be a number"
    if (option.low is not None and value < option.low) or (option.high is not None and value > option.high):
        return f"it must be at least {option.low}" + ("" if option.high is None else f" and at most {option.high}")
    return ""


def _layers(checkpoint: Checkpoint, row: Method, recipe: Recipe, reasons: list[str]) -> Recipe:
    """The ignore list, the layers that are kept, and the group size that fits all that are left."""
    if (kind := checkpoint.config.get("model_type")) in CONV1D:
        raise InvalidRecipe(
            f"Models of type {kind} keep their projections in Conv1D, where llm-compressor finds no linear layer.",
            hint="Use bitsandbytes; for GPT-2 GGUF works too.",
        )
    if loses_experts(kind, checkpoint.tensors):
        raise InvalidRecipe(
            f"transformers does not find the experts of a {kind} model again once llm-compressor has saved them.",
            hint="Use GGUF, or bitsandbytes, which leaves the experts as they are.",
        )
    found = linear_layers(checkpoint.tensors)
    recipe = recipe.changed(ignore=_ignore(found, recipe, reasons))
    targets = [layer for layer in found if not matching([layer], recipe.ignore)]
    if not targets:
        raise InvalidRecipe(
            f"No linear layer of this model is left to quantize with {row.title}.",
            hint="Shorten the ignore list.",
        )
    assigned = _assign(targets, recipe)
    _refuse_experts([layer for layer in found if is_expert(layer)], dict(assigned), recipe)
    chosen = [layer for layer, one in assigned if one.chooses_group]
    if recipe.group_size is not None and not chosen:
        fixed = f" ({row.group_size})" if row.group_size else ""
        raise InvalidRecipe(f"{recipe.scheme} has no group size to choose{fixed}.", hint="Leave the group size out.")
    size = _group_size(checkpoint, chosen, recipe, reasons) if chosen else None
    for layer, one in assigned:
        if one.divides and layer.columns % one.divides:
            raise InvalidRecipe(
                f"{one.name} needs input dimensions divisible by {one.divides}, and {layer.name} has {layer.columns}.",
                hint=_alternative(one),
            )
    _warn_of_split_fusions(assigned, reasons)
    return recipe.changed(group_size=size)


def _ignore(found: Sequence[Layer], recipe: Recipe, reasons: list[str]) -> tuple[str, ...]:
    """lm_head, then of the usual patterns those that match something, then what was asked for."""
    for pattern in recipe.ignore:
        if pattern != HEAD and not matching(found, [pattern]):
            raise _no_such_layer(pattern, found)
    usual = [HEAD, *(pattern for pattern in IGNORED if matching(found, [pattern]))]
    if len(usual) > 1:
        left = len(matching(found, usual[1:]))
        reasons.append(f"{left} routers, gates or vision layers stay as they are, as does the output head.")
    else:
        reasons.append("The output head (lm_head) stays as it is.")
    return tuple(dict.fromkeys([*usual, *recipe.ignore]))


def _no_such_layer(pattern: str, found: Sequence[Layer]) -> InvalidRecipe:
    example = found[0].name if found else "model.layers.0.mlp.down_proj"
    return InvalidRecipe(
        f"No layer matches {pattern[:80]!r}.",
        hint=f"Give a name like {example}, or a pattern like re:.*{example.rpartition('.')[2]}$",
    )


def _assign(targets: Sequence[Layer], recipe: Recipe) -> list[tuple[Layer, Scheme]]:
    """Each layer that will be quantized, with its scheme. The first pattern that names a layer decides."""
    for pattern, kept in recipe.keep:
        if kept.upper() not in UNQUANTIZED:
            scheme(kept)
        if not matching(targets, [pattern]):
            raise _no_such_layer(pattern, targets)
    assigned = []
    for layer in targets:
        named = [kept.upper() for pattern, kept in recipe.keep if matches(layer.name, pattern)]
        # what stays unquantized goes to the ignore list, which wins over every target
        if not set(named) & set(UNQUANTIZED):
            assigned.append((layer, SCHEMES[named[0] if named else recipe.scheme]))
    if not assigned:
        raise InvalidRecipe("Every layer is kept as it is: nothing is left to quantize.", hint="Keep fewer layers.")
    return assigned


def _refuse_experts(experts: Sequence[Layer], of: Mapping[Layer, Scheme], recipe: Recipe) -> None:
    """What transformers 5.17 cannot load again of a mixture, until its loader is mended (issue "What people bring").

    It reads all experts in one scheme: that of the first pattern with "experts" in it, else that of the whole recipe.
    """
    kept = [one for pattern, one in recipe.keep if pattern.startswith("re:") and "experts" in pattern]
    read_as = SCHEMES[next((one.upper() for one in kept if one.upper() not in UNQUANTIZED), recipe.scheme)]
    for layer in experts:
        stored = of.get(layer)
        if stored is None and read_as.stored_as_weight:
            continue
        if stored is not None and not stored.loads_in_experts:
            raise InvalidRecipe(
                f"transformers cannot load the experts of a mixture in {stored.name} ({layer.name}).",
                hint="W4A16, W8A16, MXFP4A16 and FP8_DYNAMIC work; or keep re:.*experts.* in one of these.",
            )
        if stored != read_as:
            raise InvalidRecipe(
                f"transformers reads all experts as {read_as.name}, and {layer.name} would be "
                f"{stored.name if stored else 'left as it is'}.",
                hint="Give all experts one scheme: keep re:.*experts.* in it, and ignore none of them.",
            )


def _group_size(checkpoint: Checkpoint, chosen: Sequence[Layer], recipe: Recipe, reasons: list[str]) -> int:
    best = next((size for size in GROUP_SIZES if not _indivisible(chosen, size)), None)
    if recipe.group_size is not None:
        if recipe.group_size < 1 or (bad := _indivisible(chosen, recipe.group_size)):
            where = f": {bad.name} has {bad.columns} inputs" if recipe.group_size >= 1 and bad else ""
            hint = f"Use {best}, or leave it out." if best else "Ignore that layer, or use a scheme without groups."
            raise InvalidRecipe(f"Group size {recipe.group_size} does not fit this model{where}.", hint=hint)
        return recipe.group_size
    if best is None:
        bad = _indivisible(chosen, GROUP_SIZES[-1])
        assert bad is not None  # noqa: S101  32 was tried and did not divide
        raise InvalidRecipe(
            f"None of {', '.join(map(str, GROUP_SIZES))} divides the {bad.columns} inputs of {bad.name}.",
            hint="Ignore that layer, or use a scheme without groups: W8A8, FP8_DYNAMIC.",
        )
    refused = _indivisible(chosen, GROUP_SIZES[0])
    if refused is None:
        reasons.append(f"Group size {best}: it divides every layer's input dimension.")
    else:
        sizes = ("hidden_size", "intermediate_size")
        named = next((key for key in sizes if checkpoint.config.get(key) == refused.columns), "")
        which = named or f"the input dimension of {refused.name},"
        larger = " or ".join(str(size) for size in GROUP_SIZES if size > best)
        reasons.append(
            f"Group size {best}: {which} {refused.columns} is not divisible by {larger}; {best} divides every layer."
        )
    return best


def _indivisible(found: Sequence[Layer], size: int) -> Layer | None:
    return next((layer for layer in found if layer.columns % size), None)


def _alternative(refused: Scheme) -> str:
    if refused.name == "FP8_BLOCK":
        return "Use FP8_DYNAMIC, which has a scale for each channel."
    return "Ignore that layer, or use W4A16."


def _warn_of_split_fusions(assigned: Sequence[tuple[Layer, Scheme]], reasons: list[str]) -> None:
    """vLLM multiplies q, k and v as one matrix, and gate and up too: they need one scheme."""
    of = {layer.name: one.name for layer, one in assigned}
    for name in of:
        stem, _, leaf = name.rpartition(".")
        parts = next((parts for parts in _FUSED if leaf == parts[0]), ())
        if len({of.get(f"{stem}.{part}", "") for part in parts}) > 1:
            reasons.append(f"vLLM fuses {', '.join(parts)} into one matrix and will refuse their different schemes.")
            return


def needs_text(recipe: Recipe) -> bool:
    """Whether making this reads calibration text. Raises UnknownVariant: no such method."""
    row = method(recipe.method)
    return bool(recipe.kv_cache) or any(
        row.calibrates(one) for one in (recipe.scheme, *(kept for _, kept in recipe.keep))
    )


def _calibration(row: Method, recipe: Recipe, reasons: list[str]) -> Recipe:
    if not needs_text(recipe):
        if recipe.calibration:
            reasons.append(f"{row.title} {recipe.scheme} needs no calibration text: none is read.")
        return recipe.changed(calibration={})
    if recipe.calibration:
        return recipe
    asked = Calibration()
    reasons.append(f"Calibrated on {asked.samples} bundled samples of {asked.max_length} tokens at most.")
    return recipe.changed(calibration=asked.model_dump(mode="json"))


# The linear layers of a checkpoint: what a recipe can target, keep or ignore.


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer: `rows` outputs, `columns` inputs, `copies` of it in one tensor (the experts of a mixture)."""

    name: str
    rows: int
    columns: int
    copies: int = 1

    @property
    def weights(self) -> int:
        return self.rows * self.columns * self.copies


def linear_layers(tensors: Iterable[Tensor]) -> list[Layer]:
    """Every layer that could be quantized, in the checkpoint's order; fused experts as one layer with copies."""
    found = []
    for tensor in tensors:
        name = tensor.name.removesuffix(".weight")
        if _NOT_LINEAR.search(name):
            continue
        if len(tensor.shape) == 2 and tensor.name.endswith(".weight"):
            found.append(Layer(name, *tensor.shape))
        elif len(tensor.shape) == 3 and ".experts." in name and "bias" not in name:
            copies, rows, columns = tensor.shape
            found.append(Layer(name, rows, columns, copies))
    return found


def loses_experts(kind: object, tensors: Iterable[Tensor]) -> bool:
    """Whether the experts of this model type are not found again once llm-compressor has saved them."""
    return kind in _LOST_EXPERTS or any(_LOST_NAMES.search(tensor.name) for tensor in tensors)


def is_expert(layer: Layer) -> bool:
    """Whether llm-compressor takes this layer for one of a mixture's experts, or for all of a block's."""
    return _EXPERT.search(layer.name) is not None


def matches(name: str, pattern: str) -> bool:
    """Whether compressed-tensors' `match_name` would take `pattern` for this module. Raises InvalidRecipe."""
    if not pattern.startswith("re:"):
        return name == pattern
    try:
        return re.match(pattern.removeprefix("re:"), name) is not None
    except re.error as error:
        raise InvalidRecipe(
            f"{pattern[:80]!r} is not a regular expression: {error}.", hint=r"For example re:.*down_proj$"
        ) from None


def matching(layers: Iterable[Layer], patterns: Sequence[str]) -> list[Layer]:
    """The layers that one of the patterns names."""
    return [layer for layer in layers if any(matches(layer.name, pattern) for pattern in patterns)]
