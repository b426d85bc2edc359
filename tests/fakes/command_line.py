"""`python -m playground …` in this process, with standard output and standard error told apart."""

from __future__ import annotations

import logging
import subprocess
import sys
from unittest import mock

from typer.testing import CliRunner

from playground import cli


def playground(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """What the program returns and says, errors included, as `python -m playground` would."""
    words = ["playground", *arguments]
    with (
        mock.patch.object(sys, "argv", words),
        mock.patch.object(logging.root, "handlers", []),  # the log goes to standard error, as in a process
        CliRunner().isolation(input=text, env=environment) as (stdout, stderr, _),
    ):
        try:
            cli.main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        said = (stdout.getvalue().decode(), stderr.getvalue().decode())
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(words, code, *said)
