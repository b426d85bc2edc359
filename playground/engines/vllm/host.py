"""`python -m playground.engines.vllm.host ARGUMENTS`: vLLM's OpenAI server, which ends when stdin closes.

vLLM starts processes of its own (engine core, workers), so the whole process group is ended.

Each of those processes imports this module before anything of vLLM's, as `__mp_main__`. It is not a package, because
multiprocessing does not import the `__main__` of one. Runs in vLLM's interpreter: standard library and torch only.
"""

from __future__ import annotations

import os
import runpy
import sys

from playground.parent import end_with_parent

SERVER = "vllm.entrypoints.openai.api_server"


def _convert_fp8() -> None:
    """Keep FP8 products away from oneDNN on processors where it only has a reference loop for them.

    torch uses oneDNN for them on every processor with AMX, but oneDNN only has kernels from AMX-FP16 (Granite Rapids)
    on. In between, a product of 17 x 576 x 1536 took 884 ms on one core, and 12 ms if torch converts it to float32.
    """
    import torch  # of vLLM's environment, and before anything of vLLM's

    able = torch.cpu.get_capabilities()
    if able.get("amx_tile") and not able.get("amx_fp16"):
        torch.backends.mkldnn.set_flags(False)


def main() -> None:
    end_with_parent(group=True)
    # Not on the command line, where every user of this machine could read it.
    os.environ["VLLM_API_KEY"] = os.environ.pop("PLAYGROUND_ENGINE_KEY", "")
    sys.argv[0] = SERVER
    # Without changes to sys this module stays the main module, which multiprocessing imports in every child.
    runpy.run_module(SERVER, run_name="__main__")


if os.environ.get("PLAYGROUND_VLLM_FP8"):
    _convert_fp8()
if __name__ == "__main__":
    main()
