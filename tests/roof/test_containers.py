"""The Dockerfile and the compose files, read as a container engine would: nothing here can run one."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from playground import app
from playground.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
STEPS = DockerfileParser(fileobj=io.BytesIO(TEXT.encode())).structure
SECRET = re.compile(r"(token|secret|password|key)", re.IGNORECASE)


def stages() -> dict[str, list[tuple[str, str]]]:
    """Name → its instructions, the first of which is FROM; the last stage's name is ""."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = "before"
    for step in STEPS:
        if step["instruction"] == "FROM":
            source, _, name = (*step["value"].split(" "), "", "")[:3]
            found[name] = [("FROM", source)]
        elif step["instruction"] != "COMMENT":
            found.setdefault(name, []).append((step["instruction"], step["value"]))
    return found


STAGES = stages()


def test_every_choice_of_vllm_is_one_that_the_script_knows() -> None:
    (choices,) = [
        re.findall(r"(\w+)\) (?:exit|set)", value) for name, value in STAGES[""] if name == "RUN" and "case" in value
    ]
    script = (ROOT / "scripts/vllm.sh").read_text()
    assert choices and all(f"BUILD={choice}" in script for choice in choices if choice != "none")


def test_the_program_runs_as_a_user_and_its_health_is_asked_where_the_page_tells_it() -> None:
    last = STAGES[""]
    of = {name: [value for instruction, value in last if instruction == name] for name, _ in last}
    assert of["USER"] == ["1000"]
    assert f":{of['EXPOSE'][0]}{app.HEALTH_PATH}'" in of["HEALTHCHECK"][0]
    assert all("--chown=user" in value for value in of["COPY"])
    for name, steps in STAGES.items():
        user = steps.index(("USER", "1000")) if ("USER", "1000") in steps else len(steps)
        as_root = [value for instruction, value in steps[:user] if instruction in ("RUN", "COPY")]
        assert all(value.startswith(("useradd", "case")) for value in as_root), f"{name} does as root {as_root}"


def test_no_secret_is_baked_in() -> None:
    for steps in STAGES.values():
        for instruction, value in steps:
            if instruction in ("ENV", "ARG"):
                names = [part.split("=")[0] for part in shlex.split(value)]
                assert not [name for name in names if SECRET.search(name)]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", ".venv", ".venv-vllm"} <= set(ignored)
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_what_is_copied_is_there_and_not_left_out_of_the_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for steps in STAGES.values():
        for instruction, value in steps:
            if instruction == "COPY" and "--from" not in value:
                sources = [part for part in value.split()[:-1] if not part.startswith("--")]
                assert all((ROOT / s).exists() and s not in ignored for s in sources), value


def test_packages_are_pinned() -> None:
    runs = [value for steps in STAGES.values() for name, value in steps if name == "RUN"]
    assert [run for run in runs if "install -r" in run] == [run for run in runs if "-c constraints.txt" in run]


def test_settings_in_the_image_exist() -> None:
    known = {f"PLAYGROUND_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"PLAYGROUND_[A-Z_]+", TEXT)) <= known


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_compose_publishes_only_the_page_on_this_machine(compose: dict[str, Any]) -> None:
    assert "ports" not in compose["services"]["database"]
    (port,) = compose["services"]["playground"]["ports"]
    assert port.startswith("127.0.0.1:")


def test_compose_has_no_password_and_does_not_start_without_one(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert len(re.findall(r"\$\{DATABASE_PASSWORD:\?[^}]+\}", text)) == text.count("${DATABASE_PASSWORD") == 2
    services = compose["services"]
    page, database = services["playground"]["environment"], services["database"]["environment"]
    user = f"{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
    assert page["PLAYGROUND_DATABASE_URL"] == f"postgresql://{user}@database:5432/{database['POSTGRES_DB']}"
    handed_on = {name for name, value in page.items() if value is None}
    assert handed_on == {name for name in page if name != "PLAYGROUND_DATABASE_URL"}, "as they are, or not at all"


def test_every_volume_is_named_and_used(compose: dict[str, Any]) -> None:
    mounted = [one for service in compose["services"].values() for one in service["volumes"]]
    assert {one.split(":")[0] for one in mounted} == set(compose["volumes"])
    (home,) = (one.split(":")[1] for one in mounted if one.startswith("home:"))
    assert ("VOLUME", home) in STAGES[""]
