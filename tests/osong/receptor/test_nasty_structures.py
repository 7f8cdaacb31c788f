from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osong.box import Box
from osong.errors import OsongError
from osong.receptor import Target
from osong.receptor.structure import read_structure

FOLDER = Path(__file__).parents[3].parent / "shared" / "data" / "nasty" / "pdb"
FILES = sorted(FOLDER.iterdir()) if FOLDER.is_dir() else []


def test_the_files_are_there(shared_data: Path) -> None:
    assert len(list((shared_data / "nasty" / "pdb").iterdir())) == 47


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_awkward_structures_become_targets_or_clear_errors(path: Path, tmp_path: Path) -> None:
    target, message = prepare(path)
    if target is None:
        assert path.name in message
        assert "\n" not in message
        return
    assert np.isfinite(target.receptor.coords).all()
    assert len(target.report) > 0 or ".pdbqt" in path.name
    target.to_pdbqt(tmp_path / "written.pdbqt")
    again = Target.from_file(tmp_path / "written.pdbqt", box=target.box)
    assert again.key == target.key


def prepare(path: Path) -> tuple[Target | None, str]:
    try:
        return Target.from_file(path, box=whole_structure(path)), ""
    except OsongError as error:
        return None, str(error)


def whole_structure(path: Path) -> Box:
    if ".pdbqt" in path.name:
        return Box((0.0, 0.0, 0.0), (500.0, 500.0, 500.0))
    residues, _ = read_structure(path)
    coords = np.concatenate([residue.coords for residue in residues])
    return Box.around(coords, padding=10.0)
