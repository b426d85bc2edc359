"""Load a checkpoint in a fresh process and compare it with what was saved: `python -m playground.quantize.reload`.

A process that has quantized holds patched modules, hooks and caches that a user's process does not have.

A GGUF file is loaded in llama.cpp, also in its own process, and compared with the original in transformers. The
converter streams one tensor at a time, so there is no quantized model in memory to compare with. `quantize.gguf` reads
each tensor back from the file; this check finds wrong names, rotary order, hyperparameters and tokenizer size.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from playground import process
from playground.core import UNKNOWN_ID, Generation, Message, Prompt, Sampling, Token
from playground.engines.llamacpp.engine import LlamaCppEngine
from playground.errors import EngineError, PlaygroundError, ReloadMismatch, from_wire, to_wire
from playground.models import gguf
from playground.models.load import refuse_not_finite
from playground.quantize import compressor, probe
from playground.quantize import probe as quantize_probe

SHORTEST_PREFIX, PREFIXES = 4, 16  # shortest prefix in tokens, and number of prefixes; each is a request
NEARLY_LOSSLESS = ("Q8_0", "BF16", "F16")  # so near to the original that another model's answers are a fault
MAX_REGRET = 0.5  # of these; measured: 0.002 at most, 0.12 of the bundled model in Q2_K, over 1 of a broken file
MEMORY_FACTOR = 1.3  # memory for loading the original, as a multiple of its bytes


def in_fresh_process(checkpoint: Path, probe: Path) -> dict[str, object]:
    """Run `reload` in a fresh process and return its result. Removes `probe`, a file of `quantize.probe.save`.

    Raises ReloadMismatch if the checkpoint cannot be loaded. The process is killed if this call is interrupted.
    """
    answer = probe.with_suffix(".json")
    child = subprocess.run(
        process.command("playground.quantize.reload", str(checkpoint), str(probe), str(answer)), check=False
    )
    if child.returncode or not answer.exists():
        raise ReloadMismatch(
            "The saved checkpoint cannot be loaded again.",
            hint="The log has what transformers said; choose another scheme or method for this model.",
        )
    difference = dict(json.loads(answer.read_bytes()))
    if "error" in difference:
        raise ReloadMismatch(
            f"The saved checkpoint cannot be loaded again: {from_wire(difference).message}",
            hint="It is broken on the disk and was removed; choose another scheme or method for this model.",
        )
    probe.unlink()
    return difference


def reload(checkpoint: Path, probe: Path) -> dict[str, object]:
    """Load a checkpoint in this process. Return its difference from the probe and "load_seconds".

    Raises PlaygroundError if it cannot be loaded.
    """
    import torch

    from playground.models.load import load_model

    began = time.monotonic()
    place = {"": str(torch.accelerator.current_accelerator())} if torch.accelerator.is_available() else None
    model = load_model(checkpoint, dtype="auto", device_map=place)
    loaded = time.monotonic()
    prompts, expected, original = quantize_probe.load(probe)
    difference = quantize_probe.compare(expected, quantize_probe.logits(model, prompts), original)
    return {**difference.as_dict(), "agrees": difference.agrees, "load_seconds": round(loaded - began, 3)}


def main(arguments: Sequence[str]) -> int:
    """Reload and compare. `arguments`: paths of the checkpoint, the probe, and the JSON file for result or error."""
    checkpoint, probe, result = map(Path, arguments)
    try:
        answer = reload(checkpoint, probe)
    except PlaygroundError as error:
        answer = dict(to_wire(error))
    result.write_text(json.dumps(answer))
    return 0


# GGUF files.


def compare(file: Path, source: Path, scheme: str, original_bytes: int) -> dict[str, Any]:
    """Compare llama.cpp's next tokens with the original's; {} if both do not fit into memory.

    positions        prefixes of the fixed prompts after which llama.cpp returned its most probable token
    top1_agreement   share of them in which the original's most probable token is the same
    regret           the original's highest logit minus its logit of llama.cpp's token, in standard deviations of the
                     original's logits at that position, mean over all: 0 is the same token, about 3 is a random one.
                     Nearly equal candidates, which a flat distribution has, may swap without a fault

    Raises ReloadMismatch if llama.cpp cannot load the file, or if a file of 8 bits or more predicts other tokens;
    BrokenCheckpoint if the original holds numbers that are not finite.
    """
    if psutil.virtual_memory().available < MEMORY_FACTOR * original_bytes + file.stat().st_size:
        return {}
    prompts = [prompt[: SHORTEST_PREFIX + PREFIXES - 1] for prompt in probe.encode(compressor.tokenizer(source))]
    answers = _llamacpp(file, prompts)
    original = compressor.load(source)
    refuse_not_finite(original)
    logits = probe.finite_logits(original, prompts)[:, SHORTEST_PREFIX - 1 :].flatten(0, 1)
    spread = logits.std(-1).clamp_min(1e-9)
    same, regrets = 0, []
    for row, deviation, token in zip(logits, spread, answers, strict=True):
        if token is None or token.id == UNKNOWN_ID:
            continue  # the end of the text or a part of a character, which llama.cpp does not name
        same += token.id == int(row.argmax())
        regrets.append(float((row.max() - row[token.id]) / deviation))
    if not regrets:
        return {}
    result = {"positions": len(regrets), "top1_agreement": same / len(regrets), "regret": sum(regrets) / len(regrets)}
    if scheme in NEARLY_LOSSLESS and result["regret"] > MAX_REGRET:
        raise ReloadMismatch(
            f"llama.cpp does not answer from this file as the original does: the same top token in "
            f"{result['top1_agreement']:.0%} of {len(regrets)} positions.",
            hint="It is broken and was removed; llama.cpp may not know this architecture well.",
        )
    return result


def sentence(result: dict[str, Any]) -> str:
    """Return the result of `compare` as a sentence for the card."""
    if not result:
        return "Not held against the original in llama.cpp: both do not fit into memory. Each tensor was read back."
    return (
        f"llama.cpp loaded the file: its most probable token is the original's in {result['top1_agreement']:.0%} of "
        f"{result['positions']} positions of fixed prompts."
    )


def window_notes(file: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note for the card if llama.cpp ignores the sliding window in the original's config.json."""
    tokens = gguf.lost_window(gguf.read_header(file), config)
    if tokens is None:
        return ()
    return (
        f"llama.cpp answers otherwise past {tokens:,} tokens: layers of the original have a sliding window of so many, "
        "and with this file they attend to the whole text.",
    )


def _llamacpp(file: Path, prompts: Sequence[Sequence[int]]) -> list[Token | None]:
    """Return the most probable token after each prefix of at least SHORTEST_PREFIX tokens; None at the end of the text.

    Raises ReloadMismatch if llama.cpp cannot load or run the file.
    """
    engine = LlamaCppEngine(_no_text)
    variant = str(file)
    try:
        engine.load(variant, lambda _: None, lambda: False)
        return [
            _first_token(engine, Generation(variant, tuple(prompt[:length]), Sampling(max_tokens=1), 1))
            for prompt in prompts
            for length in range(SHORTEST_PREFIX, len(prompt) + 1)
        ]
    except EngineError as error:
        raise ReloadMismatch(f"llama.cpp cannot use the finished file: {error.message}", hint=error.hint) from error
    finally:
        engine.close()


def _first_token(engine: LlamaCppEngine, generation: Generation) -> Token | None:
    return next((item for item in engine.generate(generation) if isinstance(item, Token)), None)


def _no_text(_folder: str, _messages: Sequence[Message] | str) -> Prompt:
    raise NotImplementedError("ids are given")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
