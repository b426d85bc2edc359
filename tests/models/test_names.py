"""What a name means, and which names are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground import models
from playground.errors import UnknownModel, UnknownVariant
from playground.models import names
from tests.models.conftest import make_folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smollm2", ("smollm2", "")),
        ("smollm2:nf4", ("smollm2", "nf4")),
        ("smollm2:q4_1", ("smollm2", "q4_1")),
        (" smollm2:fp32 ", ("smollm2", "fp32")),
        ("owner/repo", ("owner/repo", "")),
        ("owner/repo:nf4-single", ("owner/repo", "nf4-single")),
        ("owner/repo@main", ("owner/repo@main", "")),
        ("owner/repo@refs/pr/1:int8", ("owner/repo@refs/pr/1", "int8")),
        ("owner/repo/sub/file.Q4_K_M.gguf", ("owner/repo/sub/file.Q4_K_M.gguf", "")),
        ("/nowhere/model:nf4", ("/nowhere/model", "nf4")),
        ("/nowhere/a:b", ("/nowhere/a:b", "")),
        ("./m:int8", ("./m", "int8")),
    ],
)
def test_split(name: str, expected: tuple[str, str]) -> None:
    assert models.split(name) == expected


def test_a_path_may_hold_colons_and_even_look_like_a_variant(tmp_path: Path) -> None:
    plain = make_folder(tmp_path / "a:b")
    assert models.split(str(plain)) == (str(plain), "")
    assert models.split(f"{plain}:nf4") == (str(plain), "nf4")
    assert models.variant(f"{plain}:nf4").id == f"{plain}:nf4"
    confusing = make_folder(tmp_path / "m:nf4")
    assert models.split(str(confusing)) == (str(confusing), "")
    with pytest.raises(UnknownVariant, match="no variant 'nf5'"):
        models.split(f"{plain}:nf5")


@pytest.mark.parametrize("name", ["smollm2:nf5", "owner/repo:nf44", "owner/repo@v1:int9"])
def test_an_unknown_variant_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(UnknownVariant) as caught:
        models.split(name)
    assert "Did you mean" in caught.value.hint and "nf4-single" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "", ":", ":nf4", "smolm2", "a/b/c", "owner/re..po", "owner/../repo", "../../etc/passwd\x00", "owner/repo@../x",
        "owner/repo@", "owner/repo.git", "-owner/repo", "owner/-repo", "owner\\repo", "http://host/repo",
        "owner/repo/../x.gguf", "owner/repo/x.bin", "owner/repo\n", "o" * 2000, "owner/repo?x=1", "owner/repo#x",
        "owner/" + "r" * 96, "owner/repo@main/..", "owner/re--po", "ｏwner/repo",
    ],
)  # fmt: skip
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        names.parse(name)
    assert len(str(caught.value)) < 500


def test_the_nearest_model_is_suggested() -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'smollm2'"):
        models.variant("smollm")


def test_the_picker_is_short_and_offline_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAYGROUND_OFFLINE", raising=False)
    assert models.models()[:2] == ["smollm2", names.BUNDLED_REPO]
    assert all(models.describe(model) for model in models.models())
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    assert models.models() == ["smollm2"]
