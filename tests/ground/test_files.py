"""Files that are complete or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from playground.files import sync, write_whole


def test_what_was_there_stays_until_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.json"
    write_whole(path, "é")
    assert path.read_bytes() == "é".encode()
    write_whole(path, b"second")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"third")
    assert path.read_bytes() == b"second" and list(path.parent.iterdir()) == [path]


def test_it_is_made_with_the_mode_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "public", "")
        write_whole(tmp_path / "own", "", mode=0o600)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("public", "own")] == [0o644, 0o600]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "a").exists()))
    write_whole(tmp_path / "a", "text")
    assert seen == [False] and (tmp_path / "a").read_text() == "text"


def test_a_folder_and_a_file_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    (tmp_path / "a").write_text("text")
    for path in (tmp_path, tmp_path / "a"):
        sync(path)
    assert synced == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]
