"""A child process ends when its parent does, however that went. Standard library only: vLLM's interpreter runs this."""

from __future__ import annotations

import os
import signal
import threading


def end_with_parent(group: bool = False) -> None:
    """End this process, with `group` its whole group, when standard input closes: the parent holds the other end.

    By SIGKILL from a thread: a process that computes, imports or waits for a lock would notice nothing gentler, and
    there is nothing to tidy up.
    """
    if group and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # never the group of a shell
    threading.Thread(target=_wait, args=(group,), name="parent-watch", daemon=True).start()


def _wait(group: bool) -> None:
    while os.read(0, 4096):
        continue
    if group:
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
