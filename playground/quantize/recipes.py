"""Complete a recipe for a checkpoint: fill in what is unset, and refuse what cannot work.

Only the names and shapes of the checkpoint's linear layers are read, no weight.
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
    """A recipe with every field set, and one sentence for each field that was filled in."""

    recipe: Recipe
    reasons: tuple[str, ...] = ()


def complete(checkpoint: Checkpoint, recipe: Recipe) -> Completed:
    """Return the recipe with scheme spelling, ignore list, group size and calibration filled in.

    Completing a completed recipe changes nothing. Raises InvalidRecipe for what cannot work on this checkpoint,
    UnknownVariant for an unknown method.
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
    """Return the checkpoint that variants of `model` are made from.

    Raises CatalogError, and InvalidRequest if `model` is a variant itself.
    """
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
    architectures = [str(architecture) for architecture in checkpoint.config.get("architectures") or ()]
    if row.architectures and not set(architectures) & set(row.architectures):
        raise InvalidRecipe(
            f"{row.title} does not know how to rotate {', '.join(architectures) or 'this architecture'}.",
            hint=f"It works on {', '.join(row.architectures)}; GPTQ and AWQ work on more.",
        )


def _refuse_options(row: Method, recipe: Recipe) -> None:
    options = {option.name: option for option in row.options}
    for name, value in recipe.options.items():
        if name not in options:
            hint = did_you_mean(name[:40], list(options)) if options else f"{row.title} has no options."
            raise InvalidRecipe(f"{row.title} has no option {name[:40]!r}.", hint=hint)
        if problem := _problem(options[name], value):
            raise InvalidRecipe(
                f"{name} of {row.title} cannot be {str(value)[:40]!r}: {problem}.",
                hint=f"The default is {options[name].default}.",
            )


def _problem(option: Option, value: Any) -> str:
    """Return what is wrong with the value of an option, or ""."""
    if option.choices:
        choices = list(value) if isinstance(option.default, tuple) and isinstance(value, list | tuple) else [value]
        wrong = [choice for choice in choices if choice not in option.choices]
        return f"it must be of {', '.join(option.choices)}" if wrong or not choices else ""
    if isinstance(option.default, bool):
        return "" if isinstance(value, bool) else "it must be true or false"
    whole = isinstance(option.default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return "it must be a whole number" if whole else "it must be a number"
    if (option.low is not None and value < option.low) or (option.high is not None and value > option.high):
        return f"it must be at least {option.low}" + ("" if option.high is None else f" and at most {option.high}")
    return ""


def _layers(checkpoint: Checkpoint, row: Method, recipe: Recipe, reasons: list[str]) -> Recipe:
    """Return the recipe with its ignore list and group size; check the schemes of its layers. Raises InvalidRecipe."""
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
    layers = linear_layers(checkpoint.tensors)
    recipe = recipe.changed(ignore=_ignore(layers, recipe, reasons))
    targets = [layer for layer in layers if not matching([layer], recipe.ignore)]
    if not targets:
        raise InvalidRecipe(
            f"No linear layer of this model is left to quantize with {row.title}.",
            hint="Shorten the ignore list.",
        )
    assigned = _assign(targets, recipe)
    _refuse_experts([layer for layer in layers if is_expert(layer)], dict(assigned), recipe)
    grouped = [layer for layer, layer_scheme in assigned if layer_scheme.chooses_group]
    if recipe.group_size is not None and not grouped:
        rule = f" ({row.group_size})" if row.group_size else ""
        raise InvalidRecipe(f"{recipe.scheme} has no group size to choose{rule}.", hint="Leave the group size out.")
    size = _group_size(checkpoint, grouped, recipe, reasons) if grouped else None
    for layer, layer_scheme in assigned:
        divisor = layer_scheme.divides
        if divisor and layer.columns % divisor:
            raise InvalidRecipe(
                f"{layer_scheme.name} needs input dimensions divisible by {divisor}, "
                f"and {layer.name} has {layer.columns}.",
                hint=_alternative(layer_scheme),
            )
    _warn_of_split_fusions(assigned, reasons)
    return recipe.changed(group_size=size)


def _ignore(layers: Sequence[Layer], recipe: Recipe, reasons: list[str]) -> tuple[str, ...]:
    """Return the ignore list: lm_head, the default patterns that match a layer, then the recipe's own patterns.

    Raises InvalidRecipe for a pattern of the recipe that matches no layer.
    """
    for pattern in recipe.ignore:
        if pattern != HEAD and not matching(layers, [pattern]):
            raise _no_such_layer(pattern, layers)
    usual = [HEAD, *(pattern for pattern in IGNORED if matching(layers, [pattern]))]
    if len(usual) > 1:
        count = len(matching(layers, usual[1:]))
        reasons.append(f"{count} routers, gates or vision layers stay as they are, as does the output head.")
    else:
        reasons.append("The output head (lm_head) stays as it is.")
    return tuple(dict.fromkeys([*usual, *recipe.ignore]))


def _no_such_layer(pattern: str, layers: Sequence[Layer]) -> InvalidRecipe:
    example = layers[0].name if layers else "model.layers.0.mlp.down_proj"
    return InvalidRecipe(
        f"No layer matches {pattern[:80]!r}.",
        hint=f"Give a name like {example}, or a pattern like re:.*{example.rpartition('.')[2]}$",
    )


def _assign(targets: Sequence[Layer], recipe: Recipe) -> list[tuple[Layer, Scheme]]:
    """Return each layer that is quantized, with its scheme: that of the first pattern that matches it.

    Raises InvalidRecipe for a pattern that matches no layer, and if no layer is left.
    """
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


def _refuse_experts(experts: Sequence[Layer], schemes: Mapping[Layer, Scheme], recipe: Recipe) -> None:
    """Raise InvalidRecipe for experts of a mixture that transformers 5.17 cannot load again.

    It reads all experts in one scheme: that of the first pattern with "experts" in it, else that of the whole recipe.
    """
    kept = [scheme for pattern, scheme in recipe.keep if pattern.startswith("re:") and "experts" in pattern]
    read_as = SCHEMES[next((scheme.upper() for scheme in kept if scheme.upper() not in UNQUANTIZED), recipe.scheme)]
    for layer in experts:
        stored = schemes.get(layer)
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
        if recipe.group_size < 1 or (layer := _indivisible(chosen, recipe.group_size)):
            where = f": {layer.name} has {layer.columns} inputs" if recipe.group_size >= 1 and layer else ""
            hint = f"Use {best}, or leave it out." if best else "Ignore that layer, or use a scheme without groups."
            raise InvalidRecipe(f"Group size {recipe.group_size} does not fit this model{where}.", hint=hint)
        return recipe.group_size
    if best is None:
        layer = _indivisible(chosen, GROUP_SIZES[-1])
        assert layer is not None  # noqa: S101  32 was tried and did not divide
        raise InvalidRecipe(
            f"None of {', '.join(map(str, GROUP_SIZES))} divides the {layer.columns} inputs of {layer.name}.",
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


def _indivisible(layers: Sequence[Layer], size: int) -> Layer | None:
    return next((layer for layer in layers if layer.columns % size), None)


def _alternative(refused: Scheme) -> str:
    if refused.name == "FP8_BLOCK":
        return "Use FP8_DYNAMIC, which has a scale for each channel."
    return "Ignore that layer, or use W4A16."


def _warn_of_split_fusions(assigned: Sequence[tuple[Layer, Scheme]], reasons: list[str]) -> None:
    """Add a reason if q, k and v, or gate and up, differ in scheme: vLLM fuses each of these into one matrix."""
    schemes = {layer.name: layer_scheme.name for layer, layer_scheme in assigned}
    for name in schemes:
        stem, _, leaf = name.rpartition(".")
        parts = next((parts for parts in _FUSED if leaf == parts[0]), ())
        if len({schemes.get(f"{stem}.{part}", "") for part in parts}) > 1:
            reasons.append(f"vLLM fuses {', '.join(parts)} into one matrix and will refuse their different schemes.")
            return


def needs_text(recipe: Recipe) -> bool:
    """Return whether making this variant reads calibration text. Raises UnknownVariant for an unknown method."""
    row = method(recipe.method)
    return bool(recipe.kv_cache) or any(
        row.calibrates(name) for name in (recipe.scheme, *(kept for _, kept in recipe.keep))
    )


def _calibration(row: Method, recipe: Recipe, reasons: list[str]) -> Recipe:
    if not needs_text(recipe):
        if recipe.calibration:
            reasons.append(f"{row.title} {recipe.scheme} needs no calibration text: none is read.")
        return recipe.changed(calibration={})
    if recipe.calibration:
        return recipe
    calibration = Calibration()
    reasons.append(f"Calibrated on {calibration.samples} bundled samples of {calibration.max_length} tokens at most.")
    return recipe.changed(calibration=calibration.model_dump(mode="json"))


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
    """Return every layer that can be quantized, in the checkpoint's order; fused experts are one layer with copies."""
    layers = []
    for tensor in tensors:
        name = tensor.name.removesuffix(".weight")
        if _NOT_LINEAR.search(name):
            continue
        if len(tensor.shape) == 2 and tensor.name.endswith(".weight"):
            layers.append(Layer(name, *tensor.shape))
        elif len(tensor.shape) == 3 and ".experts." in name and "bias" not in name:
            copies, rows, columns = tensor.shape
            layers.append(Layer(name, rows, columns, copies))
    return layers


def loses_experts(kind: object, tensors: Iterable[Tensor]) -> bool:
    """Return whether transformers cannot find this model type's experts in what llm-compressor saves."""
    return kind in _LOST_EXPERTS or any(_LOST_NAMES.search(tensor.name) for tensor in tensors)


def is_expert(layer: Layer) -> bool:
    """Return whether llm-compressor treats this layer as an expert of a mixture, or as all experts of a block."""
    return _EXPERT.search(layer.name) is not None


def matches(name: str, pattern: str) -> bool:
    """Return whether compressed-tensors' `match_name` matches `pattern` with this module.

    Raises InvalidRecipe for an invalid regular expression.
    """
    if not pattern.startswith("re:"):
        return name == pattern
    try:
        return re.match(pattern.removeprefix("re:"), name) is not None
    except re.error as error:
        raise InvalidRecipe(
            f"{pattern[:80]!r} is not a regular expression: {error}.", hint=r"For example re:.*down_proj$"
        ) from None


def matching(layers: Iterable[Layer], patterns: Sequence[str]) -> list[Layer]:
    """Return the layers that at least one pattern matches. Raises InvalidRecipe for an invalid regular expression."""
    return [layer for layer in layers if any(matches(layer.name, pattern) for pattern in patterns)]
