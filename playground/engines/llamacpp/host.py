"""Run llama.cpp's server on loopback: `python -m playground.engines.llamacpp.host --port N --model FILE.gguf`.

The parent passes the key in PLAYGROUND_ENGINE_KEY and holds the other end of standard input: when the parent ends, the
pipe closes and this process exits.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
from typing import Any

from playground.engines.llamacpp import READY
from playground.parent import end_with_parent

TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")  # of llama-server's --cache-type-k/-v
CPU_BATCH, GPU_BATCH = 256, 512  # prompt tokens per step: an abort waits for one


def main() -> None:
    options = _options()
    _end_while_loading()
    end_with_parent()
    import xllamacpp

    try:
        server = xllamacpp.Server(_parameters(xllamacpp, options))
    except RuntimeError:
        sys.exit(1)  # llama.cpp has logged the reason
    facts = {
        "address": server.listening_address,
        "system_info": xllamacpp.get_system_info().strip(),
        "gpus": [{key: str(gpu[key]) for key in ("name", "description")} for gpu in _gpus(xllamacpp)],
        "version": xllamacpp.__version__,
    }
    # One write with its end of line: print makes two, and llama.cpp's threads write between them.
    sys.stdout.write(f"{READY}{json.dumps(facts)}\n")
    sys.stdout.flush()
    while True:
        signal.pause()  # llama.cpp serves from threads of its own


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground.engines.llamacpp.host")
    parser.add_argument("--port", type=int, required=True, help="loopback port to listen on")
    parser.add_argument("--model", required=True, help="a .gguf file")
    parser.add_argument("--context", type=int, required=True, help="tokens of KV cache")
    parser.add_argument("--flash-attention", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--cache-k", choices=TYPES, default="f16")
    parser.add_argument("--cache-v", choices=TYPES, default="f16")
    parser.add_argument("--gpu-layers", type=int, default=-1, help="-1: as many as there are")
    return parser.parse_args()


def _end_while_loading() -> None:
    """Request SIGIO, which ends the process, when the pipe closes: loading holds the GIL, so no thread could notice.

    Where SIGIO is ignored (macOS), the end of the parent is only noticed after the load.
    """
    stdin = sys.stdin.fileno()
    fcntl.fcntl(stdin, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(stdin, fcntl.F_SETFL, fcntl.fcntl(stdin, fcntl.F_GETFL) | os.O_ASYNC)


def _parameters(xllamacpp: Any, options: argparse.Namespace) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames, params.port = ["127.0.0.1"], options.port
    params.api_keys = [os.environ.pop("PLAYGROUND_ENGINE_KEY", "")]
    params.ui, params.offline = False, True
    params.cors_origins, params.cors_headers, params.cors_credentials = f"http://127.0.0.1:{options.port}", "", False
    params.endpoint_props = False  # no changes of settings by POST
    params.n_parallel, params.n_ctx, params.ctx_shift = 1, options.context, False
    params.n_threads_http = 4
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(os.environ["OMP_NUM_THREADS"])
    params.cache_prompt, params.cache_ram_mib = False, 0
    params.n_batch = params.n_ubatch = GPU_BATCH if _gpus(xllamacpp) and options.gpu_layers else CPU_BATCH
    params.n_gpu_layers = options.gpu_layers
    flash = xllamacpp.llama_flash_attn_type
    params.flash_attn_type = getattr(flash, f"LLAMA_FLASH_ATTN_TYPE_{_FLASH[options.flash_attention]}")
    params.cache_type_k = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{options.cache_k.upper()}")
    params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{options.cache_v.upper()}")
    params.verbosity = 4  # tensor types, buffers, kernels; no prompts
    return params


_FLASH = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}


def _gpus(xllamacpp: Any) -> list[dict[str, Any]]:
    """Return the devices that are neither CPU nor an accelerator of the CPU like BLAS."""
    kinds = xllamacpp.ggml_backend_dev_type
    gpu = (kinds.GGML_BACKEND_DEVICE_TYPE_GPU, kinds.GGML_BACKEND_DEVICE_TYPE_IGPU)
    return [device for device in xllamacpp.get_device_info() if device["type"] in gpu]


if __name__ == "__main__":
    main()
