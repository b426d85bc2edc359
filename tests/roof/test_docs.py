"""What the README says of settings, methods, files and commands is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from playground.methods import TABLE
from playground.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def test_every_setting_is_named_with_its_default() -> None:
    said = {cells[1].strip(): cells[2].strip() for cells in (line.split("|") for line in table(section("Settings")))}
    assert said == {
        f"`PLAYGROUND_{name.upper()}`": "" if (default := field.default) is None else f"`{str(default).lower()}`"
        for name, field in Settings.model_fields.items()
    }


def test_methods_table() -> None:
    expected = [
        f"| {row.title} | {', '.join(row.schemes)} | {'yes' if row.needs_calibration else 'no'} | {row.output_format} "
        f"| {', '.join(row.engines)}: {', '.join(row.devices)} "
        f"| [{'arXiv' if 'arxiv.org' in row.paper else 'source'}]({row.paper}) |"
        for row in TABLE
    ]
    assert table(section("Methods")) == expected, "the table should be:\n" + "\n".join(expected)


DOCS = ("api", "deploy", "measurements", "runs", "structure")


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in DOCS)]
)
def test_relative_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert not [target for target in targets if not ((ROOT / name).parent / target).exists()]


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
    lines = re.findall(r"python -m playground (\w+)(.*)", README)
    assert {name for name, _ in lines} == set(commands)
    for name, rest in lines:
        command = commands[name]
        if subcommands := getattr(command, "commands", None):
            command = subcommands[rest.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        used = set(re.findall(r"(?<= )--?[a-z][a-z-]*", rest))
        assert used <= known, f"{name} has no {used - known}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", README, re.MULTILINE))
    assert named <= targets


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
