"""Molecules ranked by energy, by networks and by the fusion of both: how early actives come.

Fusion was fitted to poses of one ligand. Whether its score orders different ligands too is asked
here, of the actives and decoys of `size_bias`, docked in the same way but with three poses kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from osong.errors import OsongError
from osong.ligands import LigandOptions, prepare_ligand
from osong.receptor import Target
from osong.rescoring.fusion import shipped_fusion
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.stream import CnnScore, PoseRescorer
from osong.search.session import DockingSession
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.size_bias import add_arguments, enrichment_cells, molecules_of, target_of
from osong_benchmarks.tables import markdown_table, write_table

__all__ = ["add_arguments", "main", "rank_text"]

Rank: TypeAlias = Callable[[dict[str, Any]], float]

_NETWORKS: Final = ("crossdock_default2018", "default")
_N_POSES: Final = 3
_DOCUMENT: Final = Path("docs/rescoring.md")


def _cnn_rank(networks: str, factors: Sequence[int]) -> Rank:
    """Return a rank by a product of CNNscore (0) and CNNaffinity (1) of the best pose."""

    def rank(row: dict[str, Any]) -> float:
        said = np.array(row["cnn"][networks])
        return -float(said[said[:, 0].argmax(), list(factors)].prod())

    return rank


def _fused_rank(networks: str) -> Rank:
    fusion = shipped_fusion("vina", networks)

    def rank(row: dict[str, Any]) -> float:
        said = np.array(row["cnn"][networks])
        return -float(fusion.score(row["energy"], said[:, 0], said[:, 1]).max())

    return rank


_RANKS: Final[tuple[tuple[str, str, Rank], ...]] = (
    ("-", "energy", lambda row: min(row["energy"])),
    *(
        (networks, label, rank)
        for networks in _NETWORKS
        for label, rank in (
            ("CNNscore", _cnn_rank(networks, (0,))),
            ("CNNaffinity", _cnn_rank(networks, (1,))),
            ("CNN_VS", _cnn_rank(networks, (0, 1))),
            ("fused", _fused_rank(networks)),
        )
    ),
)
"""Networks, name and rank; the lowest comes first."""


def main(args: argparse.Namespace) -> None:
    """Dock and score what is not there yet, then print the table."""
    results = ResultFile(args.out / "rank_enrichment.jsonl", ("target", "ligand"))
    for name in [] if args.summary else args.targets:
        _dock(args, name, results)
    done = [rows for name in args.targets if (rows := _complete(args, name, results))]
    if not done:
        print("nothing to summarise yet: no target of which all molecules are docked")
        return
    text = rank_text(done)
    print(text)
    if args.write:
        targets = [rows[0]["target"] for rows in done]
        words = ["rank_enrichment", "--data", str(args.data), "--targets", *targets]
        numbers = ["--n-actives", str(args.n_actives), "--n-decoys", str(args.n_decoys)]
        note = provenance([*words, *numbers, "--effort", args.effort, "--write"])
        versions = f"torch {version('torch')}; gninatorch {version('gninatorch')}"
        write_table(_DOCUMENT, "rank_enrichment", text, f"{note}; {versions}")


def _complete(
    args: argparse.Namespace, name: str, results: ResultFile
) -> list[dict[str, Any]] | None:
    """Return a target's rows if all of them are there."""
    found = {row["ligand"]: row for row in results.rows() if row["target"] == name}
    rows = [found.get(ident) for ident, _, _ in molecules_of(args, name)]
    there = [row for row in rows if row is not None]
    return there if len(there) == len(rows) else None


def rank_text(targets: Sequence[list[dict[str, Any]]]) -> str:
    """Return the table as Markdown.

    Parameters
    ----------
    targets
        Rows of each target's molecules: ``energy`` of each pose, ``cnn`` by networks.
    """
    header = ("target", "networks", "ranked by", "EF 1 %", "EF 5 %", "BEDROC (alpha 20)", "AUC")
    cells, means = [], []
    for rows in targets:
        is_active = np.array([row["active"] for row in rows], np.bool_)
        for networks, label, rank in _RANKS:
            scores = np.array([rank(row) if row["energy"] else np.nan for row in rows])
            shown = enrichment_cells(scores, is_active)
            cells.append([rows[0]["target"], networks, label, *shown])
            means.append((networks, label, float(shown[2].split()[0])))
    for networks, label, _ in _RANKS:
        values = [value for *of, value in means if of == [networks, label]]
        cells.append(["mean", networks, label, "-", "-", f"{np.mean(values):.3f}", "-"])
    failed = sum(not row["energy"] for rows in targets for row in rows)
    return (
        f"{markdown_table(header, cells)}\n\nThe deviation is over resampled actives and "
        f"inactives. Of each molecule's poses ({_N_POSES} at most) that of lowest energy counts, "
        "that of highest CNNscore for what networks say, that of the highest score for fused. "
        f"Molecules that could not be docked: {failed}; they come last."
    )


def _dock(args: argparse.Namespace, name: str, results: ResultFile) -> None:
    known = {row["ligand"] for row in results.rows() if row["target"] == name}
    left = [molecule for molecule in molecules_of(args, name) if molecule[0] not in known]
    if not left:
        return
    target = target_of(args.data, name)
    work = _Work(target, args.effort)
    for ident, smiles, is_active in left:
        row = {"target": name, "ligand": ident, "active": is_active, "smiles": smiles}
        results.add(row | work.outcome(smiles))
        print(f"{name} {ident}", flush=True)


class _Work:
    """Docks molecules into one target and scores their poses."""

    def __init__(self, target: Target, effort: str) -> None:
        self._session = DockingSession(target, effort=effort, n_poses=_N_POSES)
        self._scorers = {
            name: PoseRescorer(target.receptor, Rescorer(name, device="cpu")) for name in _NETWORKS
        }

    def outcome(self, smiles: str) -> dict[str, Any]:
        """Return the energies of a molecule's poses, and scores of each by each set of networks."""
        try:
            ligands = prepare_ligand(smiles, options=LigandOptions(max_stereoisomers=1))
            poses = self._session.dock(ligands)
        except OsongError as error:
            return {"energy": [], "cnn": {}, "problem": " ".join(str(error).split())}
        mols = [pose.mol for pose in poses]
        said = {
            name: [[s.score, s.affinity] for s in scorer.score(mols) if isinstance(s, CnnScore)]
            for name, scorer in self._scorers.items()
        }
        return {"energy": [float(pose.energy) for pose in poses], "cnn": said, "problem": ""}
