from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.errors import InputError
from osong_benchmarks.complexes import Complex, in_shard
from osong_benchmarks.parts import docking
from osong_benchmarks.parts.docking import DockingResult
from osong_benchmarks.pose_distance import heavy_atom_rmsd
from osong_benchmarks.redock import choose
from osong_benchmarks.redock_programs import PROGRAMS, chosen_programs, program_named
from osong_benchmarks.redock_rows import (
    Docking,
    Rescored,
    complexes_of_all,
    discordant,
    energies_against,
    ratio,
    standings,
)
from osong_benchmarks.redock_summary import (
    accuracy_table,
    complex_table,
    energy_table,
    failures,
    pareto_table,
    ratio_table,
    speed_table,
    write_summary,
)
from osong_benchmarks.statistics import wilson_interval


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


def moved(mol: Chem.Mol, shift: list[float]) -> Chem.Mol:
    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(copy.GetConformer().GetPositions() + np.array(shift))
    return copy


def test_rmsd_moves_nothing() -> None:
    mol = embedded("CCOc1ccccc1")
    assert heavy_atom_rmsd(moved(mol, [3.0, 4.0, 0.0]), mol) == pytest.approx(5.0, abs=1e-4)


def test_rmsd_knows_symmetry() -> None:
    mol = embedded("FC(F)(F)c1ccc(O)cc1")
    ring = list(mol.GetSubstructMatch(Chem.MolFromSmarts("FC(F)(F)c1ccccc1")))
    turned = Chem.Mol(mol)
    positions = turned.GetConformer().GetPositions()
    f1, f2, f3 = ring[0], ring[2], ring[3]
    positions[[f1, f2, f3]] = positions[[f2, f3, f1]]
    turned.GetConformer().SetPositions(positions)
    assert heavy_atom_rmsd(turned, mol) == pytest.approx(0.0, abs=1e-4)


def test_rmsd_with_other_protonation() -> None:
    neutral = embedded("OC(=O)CCc1c[nH]cn1")
    charged = Chem.AddHs(Chem.MolFromSmiles("[O-]C(=O)CCc1c[nH+]c[nH]1"))
    match = neutral.GetSubstructMatch(Chem.MolFromSmarts("OC(=O)CCc1cncn1"))
    same = charged.GetSubstructMatch(Chem.MolFromSmarts("OC(=O)CCc1cncn1"))
    positions = np.zeros((charged.GetNumAtoms(), 3))
    positions[list(same)] = neutral.GetConformer().GetPositions()[list(match)]
    conformer = Chem.Conformer(charged.GetNumAtoms())
    conformer.SetPositions(positions + np.array([0.0, 0.0, 1.5]))
    charged.AddConformer(conformer)
    assert heavy_atom_rmsd(charged, neutral) == pytest.approx(1.5, abs=1e-4)


def test_rmsd_refuses_another_molecule() -> None:
    with pytest.raises(ValueError, match="not the same molecule"):
        heavy_atom_rmsd(embedded("CCO"), embedded("CCN"))


def test_the_rule_of_the_set() -> None:
    def one(name: str, source: str, torsions: int = 3, *flags: str) -> Complex:
        return Complex(name, Path(name), source, torsions, flags)

    everything = [
        one("p1", "posebusters"),
        one("a1", "adgpu42", 20, "very_flexible"),
        one("p2", "posebusters", 13),
        one("p3", "posebusters", 4, "fragment"),
        one("r1", "rawpdb"),
        one("p4", "posebusters", 12),
        one("a2", "adgpu42"),
        one("a3", "adgpu42", 5, "fragment"),
    ]
    assert [c.name for c in choose(everything, 64)] == ["a2", "a3", "p1", "p4"]
    assert [c.name for c in choose(everything, 3)] == ["a2", "a3", "p1"]


def test_shards_are_a_partition() -> None:
    items = list(range(11))
    shards = [in_shard(items, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(item for shard in shards for item in shard) == items
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(ValueError, match="--shard"):
            in_shard(items, wrong)


def docked(
    name: str, program: str, rmsd: float, energy: float, dock_s: float, **more: Any
) -> Docking:
    setting = program_named(program)
    cpu = {"prepare": 0.5, "dock": dock_s}
    if setting.engine != "rustina":  # its grids are inside its docking
        cpu["maps"] = 0.5
    return Docking(
        complex=name, program=program, engine=setting.engine, family=setting.family, cpu=cpu,
        rmsd=(rmsd, 1.0), energies=(energy,), started="2026-01-01T00:00:00+00:00",
        rescored=Rescored(total=energy, inter=energy * 1.2, intra=-0.5),
        n_conformers=1 if name == "a" else 3, **more,
    )  # fmt: skip


DOCKINGS = [
    docked("a", "osong balanced", 0.5, -8.0, 0.5),
    docked("a", "vina 8", 2.5, -7.0, 9.5),
    docked("a", "rustina vinardo", 0.5, -7.0, 5.0),
    docked("b", "osong balanced", 3.0, -6.0, 1.5),
    docked("b", "vina 8", 1.0, -6.5, 19.5),
    docked("b", "rustina vinardo", 3.5, -6.2, 7.0),
    docked("c", "osong balanced", 0.1, -9.0, 1.0),  # Vina has not docked it yet
    docked("c", "rustina vinardo", 0.1, -9.0, 1.0),
]
FAILED = Docking(
    complex="d", program="vina 8", engine="vina", family="vina", error="more than 3600 s"
)


def test_only_complexes_of_all_programs_count() -> None:
    assert complexes_of_all([*DOCKINGS, FAILED]) == ["a", "b"]
    assert complexes_of_all([FAILED]) == []
    assert standings([]) == []
    table = accuracy_table([*DOCKINGS, FAILED])
    assert [row[:2] for row in table.rows] == [
        ["osong balanced", "50 % (1 of 2)"],
        ["vina 8", "50 % (1 of 2)"],
        ["rustina vinardo", "50 % (1 of 2)"],
    ]
    assert table.caption == (
        "Over the 2 complexes that all programs docked, of 4 that any of them docked."
    )
    assert failures([*DOCKINGS, FAILED]) == ["d vina 8: more than 3600 s"]


def test_standing_of_a_program() -> None:
    osong = standings(DOCKINGS)[0]
    assert (osong.program, osong.n, osong.n_top1, osong.n_top3) == ("osong balanced", 2, 1, 2)
    assert osong.cpu_mean == pytest.approx(1.5)  # maps 0.5, docking 0.5 and 1.5
    assert osong.cpu_all_mean == pytest.approx(2.0)
    assert osong.energy_mean == pytest.approx(-7.0)
    assert osong.interval == pytest.approx(wilson_interval(1, 2))


def test_pairs_that_differ_in_success() -> None:
    assert discordant(DOCKINGS, "osong balanced", "vina 8") == (1, 1, 1.0)
    assert discordant(DOCKINGS, "osong balanced", "rustina vinardo") == (0, 0, 1.0)


def test_energies_are_compared_pair_by_pair() -> None:
    rows = energy_table(DOCKINGS).rows
    assert rows[0][:4] == ["vina 8", "osong balanced", "50 % (1 of 2)", "50 % (1 of 2)"]
    assert len(rows) == len({(row[0], row[1]) for row in rows})
    assert all("vinardo" not in str(row[1]) for row in rows)
    found = energies_against(DOCKINGS, "osong balanced", "vina 8")
    assert found.rescored == pytest.approx([-1.0, 0.5])
    assert found.names == ("a", "b")


def test_ratios_are_of_totals_and_of_medians() -> None:
    # Docking: Vina 9.5 and 19.5 s, Osong 0.5 and 1.5 s; maps and preparation add 0.5 s each.
    vina = ratio(DOCKINGS, "osong balanced", "vina 8")
    assert (vina.of_totals, vina.median, vina.n) == pytest.approx((10.0, 10.0, 2))
    with_preparation = ratio(DOCKINGS, "osong balanced", "vina 8", "prepare + maps + dock")
    assert with_preparation.of_totals == pytest.approx(31.0 / 4.0)
    rustina = ratio(DOCKINGS, "osong balanced", "rustina vinardo")
    assert (rustina.of_totals, rustina.median) == pytest.approx((4.0, 4.25))
    rows = ratio_table(DOCKINGS).rows
    assert rows[0] == ["osong balanced", "maps + dock", "10.0 (10.0)", "4.0 (4.2)"]
    assert speed_table(DOCKINGS).rows[2] == [
        "rustina vinardo", "1.0", "-", "12.0", "12.0", "13.0"
    ]  # fmt: skip


def test_a_table_of_settings_and_one_of_complexes() -> None:
    assert pareto_table(DOCKINGS).rows[1][:4] == ["vina 8", "15.00", "15.00", "15.50"]
    rows = complex_table([*DOCKINGS, FAILED]).rows
    assert rows[0] == ["a", "0.5 / -8.00 / 1.0", "2.5 / -7.00 / 10.0", "0.5 / -7.00 / 5.0"]
    assert rows[2][2] == "-"
    assert rows[3] == ["d", "-", "-", "-"]


def test_summary_goes_between_the_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    documents = {"README.md": ("pareto",), "docs/performance.md": ("pareto",),
                 "docs/accuracy.md": ("redock", "speed", "complexes")}  # fmt: skip
    for path, names in documents.items():
        markers = (f"<!-- table: {name} -->\n<!-- end: {name} -->\n" for name in names)
        Path(path).write_text("".join(markers))
    args = Namespace(write=True, data="FOLDER", peers=["vina", "rustina"], n=62, programs=[])
    write_summary([*DOCKINGS, FAILED], args)
    assert "| rustina vinardo |" in Path("docs/performance.md").read_text()
    assert "- d vina 8: more than 3600 s" in Path("docs/accuracy.md").read_text()
    assert "--peers vina rustina --n 62" in Path("README.md").read_text()
    capsys.readouterr()
    write_summary([FAILED], args)
    assert "nothing to summarise yet" in capsys.readouterr().out


def test_programs_carry_their_setting() -> None:
    names = [program.name for program in PROGRAMS]
    assert len(set(names)) == len(names)
    assert [p.name for p in chosen_programs((), ())] == [
        "osong fast", "osong balanced", "osong thorough", "osong balanced same conformer"
    ]  # fmt: skip
    assert program_named("vina 32").options["exhaustiveness"] == 32
    with pytest.raises(InputError, match="choose among"):
        program_named("vina 9")


def test_section_and_merits_of_made_up_rows() -> None:
    pytest.importorskip("matplotlib", reason="needs osong[bench]")
    result = DockingResult(dockings=tuple(DOCKINGS))
    assert DockingResult.model_validate_json(result.model_dump_json()) == result
    shown = docking.section(result)
    assert len(shown.figures) == 3
    assert all(figure.svg.startswith("<svg") for figure in shown.figures)
    assert "2 complexes that every program docked (of 3" in shown.summary
    found = docking.merits(result)
    assert found["docking.balanced.times_faster_than_rustina"].value == pytest.approx(4.0)
    assert found["docking.balanced.success"].value == 0.5
    assert not found["docking.balanced.cpu_s_per_ligand"].is_higher_better
    nothing = DockingResult(dockings=(FAILED,))
    assert docking.merits(nothing) == {}
    assert docking.section(nothing).figures == ()
