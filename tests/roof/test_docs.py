"""What README.md and docs/ say of settings, methods, files and commands is what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from playground.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs/commands.md").read_text()
PAGES = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))]
GUIDES = {name: (ROOT / name).read_text() for name in PAGES if name != "CHANGELOG.md"}


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def test_every_setting_is_named_with_its_default() -> None:
    said = {
        cells[1].strip(): cells[2].strip()
        for cells in (line.split("|") for line in table((ROOT / "docs/settings.md").read_text()))
    }
    assert said == {
        f"`PLAYGROUND_{name.upper()}`": "" if (default := field.default) is None else f"`{str(default).lower()}`"
        for name, field in Settings.model_fields.items()
    }


def test_methods_table() -> None:
    spec = importlib.util.spec_from_file_location("methods_table", ROOT / "scripts/methods_table.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs/methods.md").read_text()
    assert script.between(page, script.methods()) == page, 'run `make methods ARGS="--list"`'


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_relative_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", text)
    targets += [(source, "") for source in re.findall(r'<img src="([^"]+)"', text)]
    for target, anchor in targets:
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/structure.md"])
def test_named_files_exist(name: str) -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+|[a-z_/]*[a-z_]\.(?:py|js|css))`", (ROOT / name).read_text()))
    tops = [ROOT / top for top in ("playground", "tests", "scripts", "docs")]
    files = [path.as_posix() for top in tops for path in (top, *top.rglob("*"))]
    named -= {"bench/"}  # written by `make bench`
    assert not {one for one in named if not any(file.endswith(f"/{one.rstrip('/')}") for file in files)}


def test_commands_exist() -> None:
    import typer

    from playground.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    form = re.compile(r"python -m playground (\w+)([^`\n]*)")
    assert {name for name, _ in form.findall(COMMANDS)} == set(commands)
    for name, rest in (line for text in GUIDES.values() for line in form.findall(text)):
        command = commands[name]
        if subcommands := getattr(command, "commands", None):
            command = subcommands[rest.split()[0]]
        known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
        used = set(re.findall(r"(?<= )--?[a-z][a-z-]*", rest))
        assert used <= known, f"{name} has no {used - known}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", "\n".join(GUIDES.values()), re.MULTILINE))
    assert named <= targets, named - targets


# The hub's Spaces Configuration Reference; an unknown field is not an error there, it just does nothing.
SPACE_FIELDS = {
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware"),
    *("suggested_storage", "app_file", "app_port", "base_path", "fullWidth", "header", "short_description", "models"),
    *("datasets", "tags", "thumbnail", "pinned", "hf_oauth", "hf_oauth_scopes", "hf_oauth_expiration_minutes"),
    *("hf_oauth_authorized_org", "disable_embedding", "startup_duration_timeout", "custom_headers"),
    *("preload_from_hub", "license"),
}


def test_front_matter_of_a_space() -> None:
    _, front, _ = README.split("---\n", 2)
    space = yaml.safe_load(front)
    pins = (ROOT / "constraints.txt").read_text()
    assert space["sdk"] == "gradio"
    assert f"gradio=={space['sdk_version']}\n" in pins
    assert space["python_version"] == "3.12"  # a string: YAML reads 3.10 as 3.1
    assert (ROOT / space["app_file"]).is_file()
    assert space["license"] == "apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
    assert {space["colorFrom"], space["colorTo"]} <= {
        *("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"),
    }
    assert len(space["short_description"]) <= 60
    assert set(space) <= SPACE_FIELDS
    (preloaded,) = space["preload_from_hub"]
    repository, files = preloaded.split()
    assert [repository] == space["models"]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(files.split(","))
    assert len((ROOT / space["app_file"]).read_text().splitlines()) < 15
