"""`python -m playground.engines.vllm.host ARGUMENTS`: vLLM's OpenAI server, which ends when stdin closes.

vLLM has processes of its own (engine core, workers), so the whole group goes.

Each of those processes imports this module before anything of vLLM's, as `__mp_main__`; that is why it is no package,
whose `__main__` multiprocessing leaves out. Runs in vLLM's interpreter: standard library and torch only.
"""

from __future__ import annotations

import os
import runpy
import sys

from playground.parent import end_with_parent

SERVER = "vllm.entrypoints.openai.api_server"


def _convert_fp8() -> None:
    """Take FP8 products from oneDNN on a processor where it has nothing but its reference loop for them.

    torch hands them to oneDNN wherever there is AMX, and oneDNN has kernels for them from AMX-FP16 (Granite Rapids) on.
    In between, a product of 17 x 576 x 1536 took 884 ms on one core, and 12 ms as torch converts it to float32 itself.
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
    # Not altering sys leaves this module what multiprocessing takes for the main one, and imports in every child.
    runpy.run_module(SERVER, run_name="__main__")


if os.environ.get("PLAYGROUND_VLLM_FP8"):
    _convert_fp8()
if __name__ == "__main__":
    main()
