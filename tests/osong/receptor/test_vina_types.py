from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from osong.atom_types import ATOM_TYPES
from osong.box import Box
from osong.receptor import Target
from osong.receptor.vina_types import AD_TYPES, METALS, perceive_bonds, vina_atom_types

WEIGHTS = (-0.035579, -0.005156, 0.840245, -0.035069, -0.587439)


def type_names(coords: list[list[float]], ad_types: list[str]) -> list[str]:
    types = vina_atom_types(np.array(coords, dtype=float), np.array(ad_types))
    return ["-" if t < 0 else ATOM_TYPES[t].name for t in types]


@pytest.mark.parametrize(
    ("ad_types", "names"),
    [
        (["C", "C"], ["C_H", "C_H"]),
        (["C", "OA"], ["C_P", "O_A"]),
        (["A", "N"], ["C_P", "N_P"]),
        (["C", "H"], ["C_H", "-"]),
        (["N", "HD"], ["N_D", "-"]),
        (["NA", "HD"], ["N_DA", "-"]),
        (["OA", "HD"], ["O_DA", "-"]),
        (["OA", "H"], ["O_A", "-"]),
        (["O", "HD"], ["O_D", "-"]),
        (["C", "Cl"], ["C_P", "Cl_H"]),
        (["SA", "HD"], ["S_P", "-"]),
        (["N", "Zn"], ["N_P", "Met_D"]),  # a metal is a neighbour, not a hydrogen
        (["C", "Zn"], ["C_P", "Met_D"]),
    ],
)
def test_a_bonded_pair_gets_vinas_types(ad_types: list[str], names: list[str]) -> None:
    assert type_names([[0, 0, 0], [1.0, 0, 0]], ad_types) == names


def test_every_autodock_type_has_a_row_and_metals_are_alike() -> None:
    apart = [[20.0 * i, 0.0, 0.0] for i in range(len(AD_TYPES))]
    names = dict(zip(AD_TYPES, type_names(apart, list(AD_TYPES)), strict=True))
    assert {name for name, row in names.items() if row == "-"} == {"H", "HD"}
    assert {names[m] for m in METALS} == {"Met_D"}


def test_a_bond_ends_at_eleven_tenths_of_the_radii() -> None:
    limit = 1.1 * (0.77 + 0.73)
    assert type_names([[0, 0, 0], [limit - 1e-6, 0, 0]], ["C", "OA"])[0] == "C_P"
    assert type_names([[0, 0, 0], [limit + 1e-6, 0, 0]], ["C", "OA"])[0] == "C_H"


def test_a_third_atom_between_two_breaks_their_bond() -> None:
    coords = [[0, 0, 0], [1.5, 0, 0], [0.75, 0.3, 0]]
    assert type_names(coords, ["C", "OA", "C"]) == ["C_H", "O_A", "C_P"]


def test_bonds_agree_with_the_plain_definition() -> None:
    random = np.random.default_rng(5)
    coords = random.uniform(0, 8, size=(120, 3))
    radii = random.choice([0.37, 0.77, 1.02, 1.33, 1.75], size=120)
    d = np.linalg.norm(coords[:, None] - coords[None], axis=-1)
    expected = [
        (i, j)
        for i in range(120)
        for j in range(i + 1, 120)
        if d[i, j] < 1.1 * (radii[i] + radii[j])
        and not any(d[i, k] < d[i, j] and d[j, k] < d[i, j] for k in range(120) if k not in (i, j))
    ]
    assert len(expected) > 50
    assert [tuple(pair) for pair in perceive_bonds(coords, radii).tolist()] == expected


def intermolecular_energy(
    receptor_coords: npt.NDArray[np.float64],
    receptor_types: npt.NDArray[np.int8],
    ligand_coords: npt.NDArray[np.float64],
    ligand_types: npt.NDArray[np.int8],
) -> float:
    """Return Vina's intermolecular energy, kcal/mol, in plain float64."""
    total = 0.0
    r_keep, l_keep = receptor_types >= 0, ligand_types >= 0
    radius = np.array([t.vina_radius for t in ATOM_TYPES])
    hydrophobic = np.array([t.is_hydrophobic for t in ATOM_TYPES])
    donor = np.array([t.is_donor for t in ATOM_TYPES])
    acceptor = np.array([t.is_acceptor for t in ATOM_TYPES])
    b = receptor_types[r_keep].astype(int)
    for xyz, a in zip(ligand_coords[l_keep], ligand_types[l_keep].astype(int), strict=True):
        r = np.linalg.norm(receptor_coords[r_keep] - xyz, axis=1)
        d = r - (radius[a] + radius[b])
        terms = (
            np.exp(-((d / 0.5) ** 2)),
            np.exp(-(((d - 3.0) / 2.0) ** 2)),
            np.where(d < 0, d * d, 0.0),
            (hydrophobic[a] & hydrophobic[b]) * np.clip(1.5 - d, 0.0, 1.0),
            ((donor[a] & acceptor[b]) | (acceptor[a] & donor[b])) * np.clip(-d / 0.7, 0.0, 1.0),
        )
        pair = sum(w * t for w, t in zip(WEIGHTS, terms, strict=True))
        total += float(np.where(r < 8.0, pair, 0.0).sum())
    return total


def read_ligand(text: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    lines = [line for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]
    coords = [[float(line[i : i + 8]) for i in (30, 38, 46)] for line in lines]
    return np.array(coords), np.array([line[77:].strip() for line in lines])


@pytest.mark.parametrize("name", ["1hnn", "1jje"])
def test_energies_from_these_types_are_vinas(name: str, shared_data: Path, tmp_path: Path) -> None:
    """1jje has zinc in the site. Vina's tables in r squared allow 0.01 to 0.05 either way."""
    vina = pytest.importorskip("vina", reason="the oracle is not installed")
    folder = shared_data / "redock" / name
    box = json.loads((folder / "box.json").read_text())
    target = Target.from_file(folder / "receptor.pdbqt.gz", box=Box(box["center"], box["size"]))
    ligand = (folder / "ligand.pdbqt").read_text()
    coords, ad_types = read_ligand(ligand)
    receptor = target.receptor
    ours = intermolecular_energy(
        receptor.coords.astype(float),
        receptor.atom_type,
        coords,
        vina_atom_types(coords, ad_types),
    )
    original, written = tmp_path / "original.pdbqt", tmp_path / "written.pdbqt"
    original.write_bytes(gzip.decompress((folder / "receptor.pdbqt.gz").read_bytes()))
    target.to_pdbqt(written)
    energies = []
    for path in (original, written):
        engine = vina.Vina(cpu=1, verbosity=0)
        engine.set_receptor(str(path))
        engine.set_ligand_from_string(ligand)
        center = (coords.max(axis=0) + coords.min(axis=0)) / 2
        extent = coords.max(axis=0) - coords.min(axis=0) + 4
        engine.compute_vina_maps(center.tolist(), extent.tolist())
        energies.append(float(engine.score()[1]))
    assert ours == pytest.approx(energies[0], abs=0.05)
    assert energies[1] == energies[0]
