"""Benchmark the host's decode loop against `model.generate`: same process, threads and weights, alternating.

`python -m playground.engines.host.bench --spec JSON` prints a JSON object. The comparison favours `generate`: it
neither streams nor returns log-probabilities, while the host's loop computes the top five alternatives of each token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import torch

from playground.core import LoadSpec, Sampling
from playground.engines.host.decode import Step, decode
from playground.engines.host.loading import DeviceMemory, device_of_choice, load

PROMPT = "What is gravity?"


def compare(spec: LoadSpec, tokens: int = 64, runs: int = 5) -> dict[str, Any]:
    """Return the paired ratios of tokens per second, host loop over `generate`, and whether the ids agree."""
    memory = DeviceMemory(device_of_choice())
    resident = load(spec, memory, lambda _progress: None)
    tokenizer, model = resident.tokenizer, resident.model
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": PROMPT}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)
    else:
        ids = tokenizer.encode(PROMPT)
    inputs = torch.tensor([ids], device=model.device)

    def stock() -> tuple[float, list[int]]:
        began = time.perf_counter()
        output = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
        )
        memory.synchronize()
        return time.perf_counter() - began, output[0, len(ids) :].tolist()

    def ours() -> tuple[float, list[int]]:
        began = time.perf_counter()
        steps = decode(model, ids, Sampling(max_tokens=tokens, ignore_eos=True))
        ids_of_loop = [step.token_id for step in steps if isinstance(step, Step)]
        memory.synchronize()
        return time.perf_counter() - began, ids_of_loop

    stock()
    ours()
    pairs = [(stock(), ours()) for _ in range(runs)]
    ratios = [a[0] / b[0] for a, b in pairs]
    return {
        "variant": spec.id,
        "tokens": tokens,
        "runs": runs,
        "threads": torch.get_num_threads(),
        "generate_tok_s": tokens / statistics.median(a[0] for a, _ in pairs),
        "host_tok_s": tokens / statistics.median(b[0] for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "same_ids": all(a[1] == b[1] for a, b in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m playground.engines.host.bench")
    parser.add_argument("--spec", required=True, help="a load specification as JSON")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    result = compare(LoadSpec(**json.loads(options.spec)), options.tokens, options.runs)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
