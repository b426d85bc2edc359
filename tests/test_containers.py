"""The Dockerfile and the compose files, read as a container engine would: nothing here can run one."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

from playground.settings import Settings
from playground.ui import health

ROOT = Path(__file__).parents[1]
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


def test_every_choice_of_vllm_is_one_that_the_script_and_the_docs_know() -> None:
    (choices,) = [
        re.findall(r"(\w+)\) (?:exit|set)", value) for name, value in STAGES[""] if name == "RUN" and "case" in value
    ]
    assert choices == ["none", "cuda", "cpu"]
    assert ("ARG", "VLLM=none") in STAGES["before"] and ("ARG", "VLLM") in STAGES["vllm"] + STAGES[""]
    script, docs = (ROOT / "scripts/vllm.sh").read_text(), (ROOT / "docs/deploy.md").read_text()
    assert all(f"BUILD={choice}" in script and f"`{choice}`" in docs for choice in choices[1:])


def test_the_last_stage_is_a_users_and_says_how_it_is_looked_after() -> None:
    last = STAGES[""]
    of = {name: [value for instruction, value in last if instruction == name] for name, _ in last}
    assert of["USER"] == ["1000"] and last[-1][0] == "CMD"
    assert of["EXPOSE"] == ["7860"] and of["VOLUME"] == ["/home/user/playground"]
    assert f"http://127.0.0.1:7860{health.ADDRESS}'" in of["HEALTHCHECK"][0]
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


def test_packages_are_pinned_and_everything_lies_in_the_users_home() -> None:
    runs = [value for steps in STAGES.values() for name, value in steps if name == "RUN"]
    assert [run for run in runs if "install -r" in run] == [run for run in runs if "-c constraints.txt" in run]
    assert any("--uid 1000" in run for run in runs) and "GRADIO_SERVER_NAME=0.0.0.0" in TEXT
    settled = dict(re.findall(r"([A-Z_]+)=(\S+)", TEXT))
    assert all(settled[name].startswith("/home/user") for name in ("HOME", "HF_HOME", "PLAYGROUND_HOME"))


def test_settings_in_the_image_exist() -> None:
    known = {f"PLAYGROUND_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"PLAYGROUND_[A-Z_]+", TEXT)) <= known


def compose(*names: str) -> dict[str, Any]:
    """The files laid over each other, as far as ours need it."""
    found: dict[str, Any] = {}
    for name in names:
        found = _over(found, yaml.safe_load((ROOT / name).read_text()))
    return found


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {name: _over(below.get(name), value) for name, value in above.items()}
    return above


def test_compose_waits_for_a_healthy_database_and_publishes_only_the_page_on_this_machine() -> None:
    services = compose("compose.yaml")["services"]
    assert set(services) == {"playground", "database"}
    assert services["playground"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "pg_isready" in services["database"]["healthcheck"]["test"][1]
    assert "ports" not in services["database"]
    assert services["playground"]["ports"] == ["127.0.0.1:${PUBLISHED_PORT:-7860}:7860"]


def test_compose_has_no_password_and_does_not_start_without_one() -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert len(re.findall(r"\$\{DATABASE_PASSWORD:\?[^}]+\}", text)) == text.count("${DATABASE_PASSWORD") == 2
    services = compose("compose.yaml")["services"]
    page, database = services["playground"]["environment"], services["database"]["environment"]
    user = f"{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
    assert page["PLAYGROUND_DATABASE_URL"] == f"postgresql://{user}@database:5432/{database['POSTGRES_DB']}"
    handed_on = {name for name, value in page.items() if value is None}
    assert handed_on == {name for name in page if name != "PLAYGROUND_DATABASE_URL"}, "as they are, or not at all"
    docs = (ROOT / "docs/deploy.md").read_text()
    assert all(f"`{name}`" in docs for name in handed_on)


def test_every_volume_is_named_and_used() -> None:
    whole = compose("compose.yaml")
    mounted = [one for service in whole["services"].values() for one in service["volumes"]]
    assert {one.split(":")[0] for one in mounted} == set(whole["volumes"])
    (home,) = (one.split(":")[1] for one in mounted if one.startswith("home:"))
    assert ("VOLUME", home) in STAGES[""]


def test_the_gpu_file_only_adds() -> None:
    plain, gpu = compose("compose.yaml"), compose("compose.yaml", "compose.gpu.yaml")
    page = gpu["services"]["playground"]
    assert gpu["services"]["database"] == plain["services"]["database"]
    assert page["build"]["args"] == {"VLLM": "cuda"} and page["shm_size"] == "2gb"
    (device,) = page["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert page["environment"] == plain["services"]["playground"]["environment"]


def test_the_deploy_page_names_every_build_argument() -> None:
    arguments = {value.split("=")[0] for steps in STAGES.values() for name, value in steps if name == "ARG"}
    docs = (ROOT / "docs/deploy.md").read_text()
    assert arguments and all(f"`{name}`" in docs for name in arguments)
