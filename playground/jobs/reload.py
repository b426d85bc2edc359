"""Load a checkpoint in a process of its own and compare it: `python -m playground.jobs.reload CHECKPOINT PROBE RESULT`.

A process that has quantized holds patched modules, hooks and caches that a user's process will not have; only a fresh
one shows what the files are worth. PROBE is what `quantize_probe.save` wrote, RESULT gets one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from playground.jobs import quantize_probe


def reload(checkpoint: Path, probe: Path) -> dict[str, object]:
    """The difference, and the seconds that loading took."""
    import torch
    from transformers import AutoModelForCausalLM

    began = time.monotonic()
    place = {"": str(torch.accelerator.current_accelerator())} if torch.accelerator.is_available() else None
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype="auto", device_map=place, trust_remote_code=False
    ).eval()
    loaded = time.monotonic()
    prompts, expected, original = quantize_probe.load(probe)
    difference = quantize_probe.compare(expected, quantize_probe.logits(model, prompts), original)
    return {**difference.as_dict(), "agrees": difference.agrees, "load_seconds": round(loaded - began, 3)}


def main(arguments: list[str]) -> int:
    checkpoint, probe, result = map(Path, arguments)
    found = reload(checkpoint, probe)
    result.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
