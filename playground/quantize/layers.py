"""The linear layers of a checkpoint, by the names and shapes of its tensors: what a recipe can target, keep or ignore.

No weight is read and torch is not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from playground.errors import InvalidRecipe
from playground.metrics.weights import Tensor

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
