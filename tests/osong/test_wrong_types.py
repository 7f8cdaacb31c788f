"""What is not a target or not a molecule is refused in one line that names the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rdkit import Chem

import osong

BAD_MOLECULE = Chem.MolFromSmiles("CCO")


@pytest.mark.parametrize(
    "call",
    [
        lambda: osong.dock("1iep.osong", "CCO"),
        lambda: osong.score("1iep.osong", BAD_MOLECULE),
        lambda: osong.minimize(None, BAD_MOLECULE),
        lambda: osong.DockingSession("1iep.osong"),
    ],
)
def test_not_a_target(call: Callable[[], object]) -> None:
    with pytest.raises(osong.InputError, match=r"osong\.Target\.from_file"):
        call()


def test_not_a_molecule() -> None:
    with pytest.raises(osong.LigandError, match="None, which is what RDKit gives") as caught:
        osong.prepare_ligand(None)
    assert caught.value.stage == "read"
    with pytest.raises(osong.LigandError, match="a str, not an RDKit molecule"):
        osong.write_pdbqt("CCO", "never_written.pdbqt")


def test_target_shows_itself_in_one_line() -> None:
    pytest.importorskip("dockstring")
    target = osong.Target.named("EGFR")
    assert repr(target).startswith("Target('EGFR', 2475 atoms, box 30 x 30 x 30 A at")
    assert "\n" not in repr(target)
