from __future__ import annotations

import dataclasses
import importlib.util
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from osong.box import Box
from osong.errors import BoxError, InputError, MissingExtraError, ReceptorError
from osong.receptor import Change, PreparationReport, Receptor, Target, named


@pytest.fixture
def receptor() -> Receptor:
    text = np.array(["x", "y", "z"])
    return Receptor(
        coords=np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]], dtype=np.float32),
        atom_type=np.array([9, -1, 0], dtype=np.int8),
        charge=np.zeros(3, dtype=np.float32),
        element=np.array(["O", "H", "C"]),
        ad_type=np.array(["OA", "HD", "C"]),
        atom_name=text,
        residue_name=text,
        chain=text,
        residue_number=text,
    )


@pytest.fixture
def target(receptor: Receptor) -> Target:
    report = PreparationReport("r.pdb", (Change("removed", "A:GOL 1", "additive <b>"),))
    return Target(receptor, Box((0, 0, 0), (20, 20, 20)), "mine", report)


def test_types_that_are_none_are_refused(receptor: Receptor) -> None:
    with pytest.raises(ReceptorError, match="no row of ATOM_TYPES"):
        dataclasses.replace(receptor, atom_type=np.array([9, -1, 100], dtype=np.int8))


def test_a_saved_target_loads_as_it_was(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "mine.target"
    target.save(path)
    for again in (Target.load(path), Target.from_file(path)):
        assert again.key == target.key
        assert (again.box, again.name, again.report) == (target.box, "mine", target.report)
        for field in dataclasses.fields(Receptor):
            left = getattr(again.receptor, field.name)
            right = getattr(target.receptor, field.name)
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.target"]
    assert pickle.loads(pickle.dumps(target)).key == target.key


def test_a_box_given_with_a_saved_target_replaces_its_own(target: Target, tmp_path: Path) -> None:
    target.save(tmp_path / "t")
    box = Box((1, 1, 1), (12, 12, 12))
    assert Target.from_file(tmp_path / "t", box=box).box == box


def test_damaged_and_foreign_archives_are_named(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "t.osong"
    target.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ReceptorError, match=r"t\.osong: not a saved target, or damaged"):
        Target.load(path)
    with zipfile.ZipFile(tmp_path / "foreign", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ReceptorError, match="not a saved target"):
        Target.load(tmp_path / "foreign")
    with pytest.raises(ReceptorError, match="no such file"):
        Target.load(tmp_path / "lost")
    with pytest.raises(InputError, match="cannot be written"):
        target.save(tmp_path / "no" / "folder")


def test_the_key_covers_what_scores_and_nothing_else(target: Target) -> None:
    receptor = target.receptor
    moved = receptor.coords.copy()
    moved[0, 0] += 0.001
    hydrogen = receptor.coords.copy()
    hydrogen[1, 0] += 0.1
    types = receptor.atom_type.copy()
    types[2] = 1

    def key(**changed: object) -> bytes:
        return dataclasses.replace(
            target, receptor=dataclasses.replace(receptor, **changed)
        ).key  # fmt: skip

    assert len(target.key) == 16
    assert key(coords=moved) != target.key
    assert key(atom_type=types) != target.key
    assert dataclasses.replace(target, box=Box((0, 0, 0), (20, 20, 21))).key != target.key
    assert key(coords=hydrogen) == target.key
    assert key(charge=receptor.charge + 1, chain=receptor.atom_name) == target.key
    assert dataclasses.replace(target, name="other").key == target.key


def test_a_box_that_misses_the_receptor_is_refused(receptor: Receptor) -> None:
    Target(receptor, Box((15.0, 0.0, 0.0), (13.0, 4.0, 4.0)))
    with pytest.raises(BoxError, match=r"mine: .*misses the receptor by 5\.0 A"):
        Target(receptor, Box((15.0, 0.0, 0.0), (10.0, 4.0, 4.0)), "mine")


def test_coordinates_must_be_numbers(receptor: Receptor) -> None:
    coords = receptor.coords.copy()
    coords[1, 1] = np.nan
    with pytest.raises(ReceptorError, match="atom 2"):
        dataclasses.replace(receptor, coords=coords)


def test_the_report_prints_every_change(target: Target) -> None:
    report = target.report
    assert str(report) == "r.pdb: 1 removed\n  [removed] A:GOL 1: additive <b>"
    assert report.rows() == [{"kind": "removed", "residue": "A:GOL 1", "text": "additive <b>"}]
    assert "additive &lt;b&gt;" in report._repr_html_()
    assert len(report) == 1


def test_named_targets_come_with_their_boxes() -> None:
    if importlib.util.find_spec("dockstring") is None:
        pytest.skip("needs osong[dockstring]")
    assert len(Target.names()) == 58
    target = Target.named("egfr")
    assert target.name == "EGFR"
    assert target.box == Box((16.837, 35.647, 91.071), (30.0, 30.0, 30.0))
    assert target.receptor.n_atoms > 2000
    with pytest.raises(InputError, match=r"no receptor named 'EGFRR'; did you mean EGFR\?.*ABL1"):
        Target.named("EGFRR")


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'osong\[dockstring\]'"):
        Target.named("EGFR")
