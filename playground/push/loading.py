"""How a pushed variant is loaded: one block of code for each engine that the methods table names for it."""

from __future__ import annotations

from collections.abc import Sequence

from playground.methods.base import Method
from playground.report.card import code, fence
from playground.store.schema import StoredVariant

PLACE = "OWNER/NAME"  # in a preview without a name yet
_PACKAGE = {"bitsandbytes": "bitsandbytes", "gguf": "gguf"}  # what transformers needs beside itself, by method


def loading(variant: StoredVariant, row: Method, files: Sequence[str], repository: str) -> str:
    """Markdown; engines in the order of the methods table."""
    place = repository or PLACE
    gguf = next((name for name in files if name.endswith(".gguf")), "")
    blocks = {
        "transformers": f"### transformers\n\n{_transformers(row, place, gguf)}",
        "vllm": f"### vLLM\n\n{fence(f'vllm serve {place}', 'bash')}\n\n"
        f"Whether vLLM has a kernel for {code(variant.scheme)} depends on the device; it says so when it starts.",
        "llamacpp": f"### llama.cpp\n\n{fence(f'llama-server --hf-repo {place} --hf-file {gguf}', 'bash')}",
    }
    return "\n\n".join([*(blocks[engine] for engine in row.engines), row.hardware])


def _transformers(row: Method, place: str, gguf: str) -> str:
    package = _PACKAGE.get(row.name, "compressed-tensors")
    more = f", gguf_file={gguf!r}" if gguf else ""
    return fence(
        f"# pip install transformers accelerate {package}\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{place}"{more})\n'
        f'model = AutoModelForCausalLM.from_pretrained("{place}"{more}, dtype="auto")\n'
        'messages = [{"role": "user", "content": "What is gravity?"}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True\n'
        ").to(model.device)\n"
        "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=128)[0]))",
        "python",
    )
