"""The bundled libraries of the page are those that vendored.json names, and name no place to load from."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from playground import web

VENDOR = Path(web.__file__).parent / "static" / "vendor"
FACTS = json.loads((VENDOR / "vendored.json").read_text())
ASKED = json.loads((Path(__file__).parents[2] / "scripts" / "vendor" / "package.json").read_text())
# Namespaces, texts of errors and of comments in the DOM, and the target of a menu that plot.js switches off.
NAMES = {
    "http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg", "http://www.w3.org/2000/xmlns/",
    "https://github.com/vega/vega-lite/issues/2415", "https://vega.github.io/editor/",
    "https://vega.github.io/schema/vega/v6.json", "https://issues.chromium.org/issues/40062355",
    "https://webawesome.com/docs/components/",
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS["files"])
def test_a_file_is_the_one_that_was_bundled(name: str) -> None:
    content = (VENDOR / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == FACTS["files"][name]["sha256"]
    assert len(content) == FACTS["files"][name]["bytes"]


def test_nothing_else_lies_there() -> None:
    own = {"README.md", "LICENSES.txt", "vendored.json", *(f"icons/{path.name}" for path in VENDOR.glob("icons/*.svg"))}
    assert {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()} == own | {
        *FACTS["files"]
    }


def test_versions_are_those_that_were_asked_for() -> None:
    bundled = {name: fact["version"] for name, fact in FACTS["packages"].items()}
    asked = {name: version for name, version in ASKED["dependencies"].items() if name != "esbuild"}
    assert bundled.items() >= (asked | ASKED["overrides"]).items()


def test_every_package_has_its_licence_text() -> None:
    texts = (VENDOR / "LICENSES.txt").read_text()
    for name, fact in FACTS["packages"].items():
        assert f"{name} {fact['version']} ({fact['license']})\n" in texts
        assert fact["license"] in {"MIT", "ISC", "BSD-3-Clause", "0BSD", "Apache-2.0"}


@pytest.mark.parametrize("name", FACTS["files"])
def test_no_address_to_load_from(name: str) -> None:
    text = (VENDOR / name).read_text()
    assert set(re.findall(r"https?://[\w./-]+", text)) <= NAMES
    assert not re.search(r"\bimport\s*[\"'(]|\bfrom\s*[\"'][./@\w-]+[\"']|sourceMappingURL", text)


def test_versions_of_vega_are_those_that_draw_exports() -> None:
    import vl_convert

    packages = FACTS["packages"]
    assert vl_convert.get_vega_version() == packages["vega"]["version"]
    assert packages["vega-lite"]["version"].startswith(vl_convert.get_vegalite_versions()[-1] + ".")
