"""Preparation of ligands: milliseconds of every stage, beside RDKit's bare pace.

Bare means that RDKit makes one conformer (``EmbedMolecule``, ETKDGv3) of every state and relaxes
it (``MMFFOptimizeMolecule``), each with its defaults: the same states as Osong prepares, whose
hydrogens stand already.
"""

from __future__ import annotations

import argparse
import importlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from osong import LigandOptions, prepare_ligand, read_records
from osong.errors import LigandError
from osong_benchmarks.results import provenance
from osong_benchmarks.screen import StageClock
from osong_benchmarks.tables import markdown_table, write_table

__all__ = ["add_arguments", "main", "summary", "time_preparation"]

_STAGES = {
    "read": "osong.ligands.prepare:read_molecule",
    "standardize": "osong.ligands.prepare:standardize",
    "protonate": "osong.ligands.variants:protonation_states",
    "stereo": "osong.ligands.variants:_stereoisomers",
    "embed": "osong.ligands.embedding:_embed_distinct",
    "clean up": "osong.ligands.embedding:clean_up",
    "choose conformers": "osong.ligands.prepare:embed",
    "type and pack": "osong.ligands.prepare:pack_molecule",
}
"""Stage: function, under the name by which its caller finds it."""
_REST = "other"
_BARE = "RDKit: one conformer a state, MMFF"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--n", type=int, default=200, help="molecules")
    parser.add_argument("--library", default="moses_1k.smi", help="file of the library folder")


def main(args: argparse.Namespace) -> None:
    """Prepare, print the table."""
    records = read_records(args.data / "library" / args.library, stop=args.n)
    result = time_preparation([record.data for record in records])
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"prepare_{args.n}.json").write_text(json.dumps(result), encoding="utf-8")
    table = summary(result)
    print(table)
    if args.write:
        command = ["prepare", "--data", str(args.data), "--n", str(args.n)]
        write_table(Path("docs/ligands.md"), "prepare", table, provenance(command))


def time_preparation(smiles: list[str], options: LigandOptions | None = None) -> dict[str, Any]:
    """Return CPU seconds of every stage over the molecules, and RDKit's over the same states."""
    prepare_ligand("CC(N)C1CCOCC1")  # what is read and compiled once
    clock = StageClock()
    states: list[Chem.Mol] = []
    n_failed = n_conformers = 0
    with ExitStack() as stack:
        for stage, name in _STAGES.items():
            module, _, attribute = name.partition(":")
            found = getattr(importlib.import_module(module), attribute)
            stack.enter_context(mock.patch(f"{module}.{attribute}", clock.wrap(stage, found)))
        prepare = clock.wrap(_REST, prepare_ligand)
        for text in smiles:
            try:
                ligands = prepare(text, options=options)
            except LigandError:
                n_failed += 1
                continue
            n_conformers += sum(ligand.packed.n_conformers for ligand in ligands)
            states += [ligand.mol() for ligand in ligands]
    with rdBase.BlockLogs():
        for mol in states:
            with clock.counting(_BARE):
                bare_pace(mol)
    return {"stages": dict(clock.seconds), "n": len(smiles), "n_failed": n_failed,
            "n_states": len(states), "n_conformers": n_conformers}  # fmt: skip


def bare_pace(mol: Chem.Mol) -> None:
    """Make and relax one conformer as RDKit does by default."""
    work = Chem.Mol(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = 1
    if rdDistGeom.EmbedMolecule(work, parameters) >= 0:
        rdForceFieldHelpers.MMFFOptimizeMolecule(work)


def summary(result: dict[str, Any]) -> str:
    """Return the table of stages."""
    seconds, n = result["stages"], result["n"]
    stages = [stage for stage in (*_STAGES, _REST) if stage in seconds]
    total = sum(seconds[stage] for stage in stages)
    lines = [
        [stage, f"{1e3 * seconds[stage] / n:.2f}", f"{100 * seconds[stage] / total:.1f} %"]
        for stage in stages
    ]
    lines.append(["together", f"{1e3 * total / n:.2f}", "100.0 %"])
    bare = seconds.get(_BARE, 0.0)
    lines.append([_BARE, f"{1e3 * bare / n:.2f}", f"{100 * bare / total:.1f} %"])
    table = markdown_table(["stage", "CPU ms a molecule", "share"], lines)
    return (
        f"{table}\n\n{n} molecules, {result['n_failed']} failed; "
        f"{result['n_states'] / n:.2f} states and "
        f"{result['n_conformers'] / n:.2f} conformers a molecule."
    )
