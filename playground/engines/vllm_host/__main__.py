"""`python -m playground.engines.vllm_host ARGUMENTS`: vLLM's OpenAI server, which ends when stdin closes.

vLLM has processes of its own (engine core, workers), so the whole group goes. A process cannot be asked to do that for
itself while it imports for half a minute; a thread that does nothing but wait for the end of stdin can.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

SERVER = "vllm.entrypoints.openai.api_server"


def _end_with_stdin() -> None:
    """Wait for the app to close its end of the pipe, or to die; then end this process group, nobody left out."""
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # never the group of a shell
    threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    # Not on the command line, where every user of this machine could read it.
    os.environ["VLLM_API_KEY"] = os.environ.pop("PLAYGROUND_ENGINE_KEY", "")
    sys.argv[0] = SERVER
    runpy.run_module(SERVER, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
