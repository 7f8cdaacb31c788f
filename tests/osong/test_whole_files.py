"""Files appear whole, and what stood there before stays when they cannot."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from osong.errors import ResourceError
from osong.whole_files import write_whole


def test_file_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.pdbqt"
    path.write_text("old")
    write_whole(path, "new\n")
    assert path.read_text() == "new\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.pdbqt"]


def test_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"a\.pdbqt: cannot be written \(No such file"):
        write_whole(tmp_path / "nowhere" / "a.pdbqt", "x")


def test_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pdbqt"
    path.write_text("old")

    def half(self: Path, text: str, encoding: str) -> int:
        with self.open("w") as file:
            file.write(text[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(ResourceError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.pdbqt"]
