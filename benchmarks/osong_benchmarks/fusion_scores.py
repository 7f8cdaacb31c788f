"""What each of GNINA's networks says of docked poses, kept beside them, network by network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from osong import Target
from osong.rescoring.fusion import RIGHT_ANGSTROM, LabelledPoses
from osong.rescoring.grids import GridMaker
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.weights import ENSEMBLES
from osong.whole_files import write_whole
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.fusion_poses import DockedComplex, folder_of, poses_of, read_docked

__all__ = ["Case", "member_names", "read_cases", "score_poses"]

_SCORES: Final = "cnn.json"


@dataclass(frozen=True, eq=False)
class Case:
    """One docked complex with what an ensemble says of its poses.

    Attributes
    ----------
    name, source, cluster
        As in the index.
    poses
        Energies, networks' scores, and which poses are right, best energy first.
    """

    name: str
    source: str
    cluster: str
    poses: LabelledPoses

    def first(self, n: int) -> Case:
        """Return it with its ``n`` poses of lowest energy only."""
        whole = self.poses
        parts = (whole.energy, whole.cnn_score, whole.cnn_affinity, whole.is_right)
        return Case(
            self.name, self.source, self.cluster, LabelledPoses(*(np.asarray(p)[:n] for p in parts))
        )


def member_names(models: str) -> tuple[str, ...]:
    """Return the networks of an ensemble, or the one network."""
    return ENSEMBLES.get(models, (models,))


def score_poses(
    data: Path,
    out: Path,
    networks: Sequence[str],
    *,
    scoring: str,
    effort: str,
    say: Callable[[str], None] = print,
) -> None:
    """Score what the networks have not scored yet.

    Parameters
    ----------
    data
        The shared data; its folder of weights is looked into too.
    out
        Folder of the poses.
    networks
        Names of single networks: any ensemble is a mean of theirs.
    """
    weights = data / "weights" / "gnina"
    rescorers: dict[str, Rescorer] = {}
    complexes = {complex_.name: complex_ for complex_ in read_complexes(data)}
    for docked in read_docked(out, scoring, effort):
        known = _read_scores(out, docked)
        missing = [name for name in networks if name not in known]
        if not (docked.energy and missing):
            continue
        complex_ = complexes[docked.name]
        receptor = receptor_pdbqt(complex_, out / "receptors")
        target = Target.from_file(receptor, box=complex_.box)
        grids = GridMaker(target.receptor).grids(poses_of(out, docked))
        for name in missing:
            if name not in rescorers:
                rescorers[name] = Rescorer(name, device="cpu", weights=_if_there(weights))
            found = rescorers[name].scores(grids)
            known[name] = {
                "score": [round(float(value), 6) for value in found.score],
                "affinity": [round(float(value), 4) for value in found.affinity],
            }
        write_whole(folder_of(out, docked) / _SCORES, json.dumps(known))
        say(f"{docked.name}: {len(docked.energy)} poses scored by {len(missing)} networks")


def read_cases(out: Path, models: str, *, scoring: str, effort: str) -> list[Case]:
    """Return the docked complexes that all networks of an ensemble have scored."""
    members = member_names(models)
    cases = []
    for docked in read_docked(out, scoring, effort):
        known = _read_scores(out, docked)
        if docked.energy and all(name in known for name in members):
            cases.append(
                Case(
                    docked.name,
                    docked.source,
                    docked.cluster,
                    LabelledPoses(
                        energy=np.array(docked.energy),
                        cnn_score=_mean(known, members, "score"),
                        cnn_affinity=_mean(known, members, "affinity"),
                        is_right=np.array(docked.rmsd) < RIGHT_ANGSTROM,
                    ),
                )
            )
    return cases


def _mean(
    known: dict[str, dict[str, list[float]]], members: Sequence[str], what: str
) -> npt.NDArray[np.float64]:
    return np.asarray(np.mean([known[name][what] for name in members], axis=0))


def _read_scores(out: Path, docked: DockedComplex) -> dict[str, dict[str, list[float]]]:
    path = folder_of(out, docked) / _SCORES
    if not path.exists():
        return {}
    found: dict[str, dict[str, list[float]]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _if_there(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None
