"""Writes ``molgrid_reference.json``: channels and densities by molgrid 0.5.5, the oracle of grids.

molgrid imports with NumPy 1 only, so it gets an environment of its own, never the project's:

    python tests/osong/rescoring/make_molgrid_reference.py FOLDER

makes a virtual environment in FOLDER, installs what is in ``PACKAGES`` and runs itself there. What
molgrid is shown is made here: peptides and ligands that RDKit builds. The coordinates are part of
the file, so the tests do not depend on RDKit's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

PACKAGES = ("numpy==1.26.4", "molgrid==0.5.5", "rdkit==2026.9.1")
REFERENCE = Path(__file__).with_name("molgrid_reference.json")
N_VOXELS = 240

CASES: tuple[dict[str, Any], ...] = (
    {
        "name": "acids, halogens",
        "ligand": "OC(=O)c1ccc(Br)c(F)c1NCCc1ccncc1Cl",
        "peptides": ("ADEKR", "STNQG", "FWYP"),
        "ions": (("CA", "Ca"), ("MG", "Mg"), ("CL", "Cl")),
        "quaternion": None,
    },
    {
        "name": "histidines, phosphorus, sulfur, boron",
        "ligand": "OB(O)c1ccsc1CCOP(=O)([O-])OC",
        "peptides": ("AHG", "MhC", "VHIL"),
        "ions": (("ZN", "Zn"), ("FE", "Fe"), ("MN", "Mn"), ("BR", "Br")),
        "quaternion": (0.5, -0.5, 0.1, 0.7),
    },
    {
        "name": "odd elements, turned",
        "ligand": "C[Si](C)(C)CCc1ccc(I)cc1[Se]CN1C(=O)C(NC)=C(O)C1=O",
        "peptides": ("KDEF", "RWS"),
        "ions": (("NA", "Na"), ("CU", "Cu"), ("IOD", "I"), ("PO4", "P")),
        "quaternion": (0.2, 0.3, -0.9, 0.25),
    },
    {
        "name": "squaric amide, nitro, sulfone",
        "ligand": "O=C1C(=O)C(NC)=C1NCc1ccc([N+](=O)[O-])cc1S(=O)(=O)N",
        "peptides": ("EhD",),
        "ions": (),
        "quaternion": None,
    },
)
"""A small ``h`` is a histidine with its hydrogen on ND1; others have it on NE2."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="of the environment, made where it is not there")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        write_reference(args.folder)
        return
    python = args.folder / "bin" / "python"
    if not python.exists():
        venv.create(args.folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    subprocess.run([python, __file__, str(args.folder), "--inside"], check=True)


def write_reference(folder: Path) -> None:
    import molgrid
    import numpy as np

    cases = [reference_of(spec, number, folder) for number, spec in enumerate(CASES)]
    head = {"molgrid": molgrid.__version__, "made_by": Path(__file__).name}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    REFERENCE.write_text(f'{{"about":{json.dumps(head)},"cases":[\n{lines}\n]}}\n')
    seen = [{int(c) for case in cases for c in case[f"{part}_channel"]} for part in PARTS]
    print(f"{REFERENCE}: {REFERENCE.stat().st_size / 1e3:.0f} kB, NumPy {np.__version__}")
    print("channels of the receptor:", sorted(seen[0]), "of the ligand:", sorted(seen[1]))


PARTS = ("receptor", "ligand")


def reference_of(spec: dict[str, Any], number: int, folder: Path) -> dict[str, Any]:
    """Build a complex, show it to molgrid, return both."""
    import molgrid
    import numpy as np
    from rdkit import Chem

    rng = np.random.default_rng(100 + number)
    ligand = built_ligand(spec["ligand"])
    atoms = built_receptor(spec["peptides"], spec["ions"], rng)
    files = folder / f"case{number}.pdb", folder / f"case{number}.sdf"
    files[0].write_text(pdb_text(atoms))
    files[1].write_text(Chem.MolToMolBlock(ligand) + "$$$$\n")
    typers = molgrid.defaultGninaReceptorTyper, molgrid.defaultGninaLigandTyper
    sets = [
        molgrid.CoordCache(typer, molgrid.ExampleProviderSettings()).make_coords(str(file))
        for typer, file in zip(typers, files, strict=True)
    ]
    example = molgrid.Example()
    for one in sets:
        example.coord_sets.append(one)
    center = sets[1].center()
    quaternion = molgrid.Quaternion(*(unit(spec["quaternion"]) if spec["quaternion"] else IDENTITY))
    transform = molgrid.Transform(quaternion, center, molgrid.float3(0.0, 0.0, 0.0))
    grid = molgrid.MGrid4f(28, 48, 48, 48)
    molgrid.GridMaker().forward(example, transform, grid.cpu())
    values = grid.tonumpy().astype(np.float64)
    shown = np.concatenate(
        [
            rng.choice(np.flatnonzero(values > 1e-3), N_VOXELS * 3 // 4, replace=False),
            rng.choice(values.size, N_VOXELS // 4, replace=False),
        ]
    )
    return {
        "name": spec["name"],
        "receptor": atoms,
        "ligand": Chem.MolToMolBlock(ligand),
        "quaternion": unit(spec["quaternion"]) if spec["quaternion"] else None,
        "receptor_channel": sets[0].type_index.tonumpy().astype(int).tolist(),
        "receptor_radius": sets[0].radii.tonumpy().round(4).tolist(),
        "ligand_channel": sets[1].type_index.tonumpy().astype(int).tolist(),
        "ligand_radius": sets[1].radii.tonumpy().round(4).tolist(),
        "center": [center.x, center.y, center.z],
        "sum": values.sum(axis=(1, 2, 3)).round(4).tolist(),
        "sum_of_squares": (values**2).sum(axis=(1, 2, 3)).round(4).tolist(),
        "voxel": shown.tolist(),
        "value": values.reshape(-1)[shown].round(6).tolist(),
    }


IDENTITY = (1.0, 0.0, 0.0, 0.0)


def unit(quaternion: tuple[float, ...]) -> tuple[float, ...]:
    length = sum(x * x for x in quaternion) ** 0.5
    return tuple(x / length for x in quaternion)


def built_ligand(smiles: str) -> Any:
    """Return a ligand with all hydrogens at the origin."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


def built_receptor(peptides: tuple[str, ...], ions: Any, rng: Any) -> list[list[Any]]:
    """Return atoms (element, name, residue, chain, number, x, y, z), far enough apart."""
    import numpy as np

    placed: list[list[Any]] = []

    def add(rows: list[list[Any]], coords: Any, distance: float) -> None:
        while True:
            turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            turn *= np.linalg.det(turn)
            step = rng.normal(size=3)
            moved = (coords - coords.mean(axis=0)) @ turn.T + distance * step / np.linalg.norm(step)
            there = np.array([row[5:] for row in placed]).reshape(-1, 3)
            if np.linalg.norm(moved[:, None] - there, axis=-1).min(initial=9.0) > 4.0:
                break
        placed.extend([*row, *moved[i].round(3).tolist()] for i, row in enumerate(rows))

    for number, sequence in enumerate(peptides):
        rows, coords = peptide(sequence, "ABCDEF"[number])
        add(rows, coords, 9.0)
    for number, (residue, element) in enumerate(ions):
        rows = [[element, residue[:2], residue, "X", str(number + 1)]]
        coords = np.zeros((1, 3))
        if residue == "PO4":
            rows += [["O", f"O{k}", *rows[0][2:]] for k in range(1, 5)]
            ends = [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
            coords = np.concatenate([coords, 1.54 / 3**0.5 * np.array(ends)])
        add(rows, coords, 8.0)
    return placed


def peptide(sequence: str, chain: str) -> tuple[list[list[Any]], Any]:
    """Return heavy atoms and polar hydrogens of a peptide at neutral pH."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.MolFromSequence(sequence.upper())
    for atom in mol.GetAtoms():
        info = atom.GetPDBResidueInfo()
        name, number = info.GetName().strip(), info.GetResidueNumber()
        is_first = sequence[number - 1] == "h"
        if info.GetResidueName() == "HIS" and name in ("ND1", "NE2") and is_first:
            atom.SetNumExplicitHs(int(name == "ND1"))
            atom.SetNoImplicit(True)
        if atom.GetSymbol() == "O" and atom.GetTotalNumHs() and name in ("OD2", "OE2", "OXT"):
            atom.SetFormalCharge(-1)
        if name == "NZ":
            atom.SetFormalCharge(1)
    mol.UpdatePropertyCache()
    Chem.SanitizeMol(mol)
    mol = Chem.AddHs(mol, addResidueInfo=True)
    assert AllChem.EmbedMolecule(mol, randomSeed=3) == 0
    kept = [
        atom
        for atom in mol.GetAtoms()
        if atom.GetAtomicNum() > 1 or atom.GetNeighbors()[0].GetAtomicNum() != 6
    ]
    kept.sort(key=lambda atom: atom.GetPDBResidueInfo().GetResidueNumber())
    rows = []
    for atom in kept:
        info = atom.GetPDBResidueInfo()
        rows.append(
            [
                atom.GetSymbol(), info.GetName().strip(), info.GetResidueName().strip(), chain,
                str(info.GetResidueNumber()),
            ]
        )  # fmt: skip
    return rows, mol.GetConformer().GetPositions()[[atom.GetIdx() for atom in kept]]


def pdb_text(atoms: list[list[Any]]) -> str:
    lines = []
    for serial, (element, name, residue, chain, number, x, y, z) in enumerate(atoms, start=1):
        record = "HETATM" if chain == "X" else "ATOM  "
        shown = name if len(name) == 4 or len(element) == 2 else f" {name}"
        lines.append(
            f"{record}{serial:5d} {shown:<4s} {residue:>3s} {chain}{number:>4s}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element.upper():>2s}"
        )
    return "\n".join([*lines, "END", ""])


if __name__ == "__main__":
    sys.exit(main())
