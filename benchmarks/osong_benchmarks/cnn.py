"""Rescoring with GNINA's networks: poses a second on one core, and what bfloat16 changes.

Each number is CPU time of one thread, for poses of shared complexes: the crystal pose and others
made from it by moving and turning. Networks are loaded and every shape has been seen before the
clock starts; the fastest of several passes counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from scipy.spatial.transform import Rotation

from osong import Target, pack_pose, pdbqt_string
from osong.errors import InputError, MissingExtraError
from osong.rescoring.grids import GridMaker
from osong.rescoring.rescorer import PoseScores, Rescorer
from osong.rescoring.weights import ENSEMBLES
from osong_benchmarks.cnn_peer import peer_network, peer_scores
from osong_benchmarks.complexes import Complex, read_complexes, receptor_pdbqt
from osong_benchmarks.cpu_clock import cpu_seconds
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.rustina_peer import rustina_module
from osong_benchmarks.tables import markdown_table, write_table

__all__ = ["add_arguments", "main", "moved_poses"]

MODELS: Final = ("fast", "crossdock_default2018", "dense", "default")
PEER_BATCHES: Final = (1, 16)
_REPEATS: Final = 3
_CHILD: Final = Path(__file__).with_name("cnn_molgrid_child.py")
_FAR: Final = 3.0
"""Angstrom: how far the worst pose is moved, at most, along each axis."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--only", nargs="*", default=[], help="names of complexes")
    parser.add_argument("--n", type=int, default=4, help="first so many complexes")
    parser.add_argument("--poses", type=int, default=8, help="poses of each complex")
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="ensembles, by name")
    parser.add_argument("--no-peers", action="store_true", help="Osong alone")
    parser.add_argument(
        "--molgrid-python",
        type=Path,
        help="a Python that has molgrid 0.5.5 and NumPy 1, to time its grids",
    )
    parser.add_argument("--summary", action="store_true", help="run nothing, show the tables")


def main(args: argparse.Namespace) -> None:
    """Measure what is not measured yet, then print the tables."""
    import torch

    torch.set_num_threads(1)
    results = ResultFile(args.out / "cnn.jsonl", ("complex", "program", "models"))
    if not args.summary:
        complexes = read_complexes(args.data, args.only)[: None if args.only else args.n]
        for complex_ in complexes:
            for row in _measure(complex_, args):
                results.add({"complex": complex_.name, **row})
                print(_line(complex_.name, row), flush=True)
    rows = results.rows()
    tables = {"cnn-speed": _speed_table(rows), "cnn-bfloat16": _bfloat16_table(rows)}
    print("\n\n".join(tables.values()))
    if args.write:
        note = provenance(["cnn", "--data", str(args.data), "--n", str(args.n)])
        note += "".join(f"; {name} {version(name)}" for name in ("torch", "gninatorch"))
        for name, table in tables.items():
            write_table(Path("docs/rescoring.md"), name, table, note)


def _line(name: str, row: dict[str, Any]) -> str:
    return f"{name:12} {row['program']:24} {row['models']:24} {1e3 * row['seconds']:8.2f} ms a pose"


def moved_poses(mol: Chem.Mol, n_poses: int, seed: int = 6) -> list[Chem.Mol]:
    """Return a molecule's pose and others: turned about its middle and moved, ever farther."""
    random = np.random.default_rng(seed)
    place = mol.GetConformer().GetPositions()
    middle = place.mean(axis=0)
    poses = []
    for number in range(n_poses):
        share = number / max(1, n_poses - 1)
        turn = Rotation.from_rotvec(share * random.uniform(-np.pi / 2, np.pi / 2, 3))
        moved = Chem.Mol(mol)
        step = share * random.uniform(-_FAR, _FAR, 3)
        moved.GetConformer().SetPositions(turn.apply(place - middle) + middle + step)
        poses.append(moved)
    return poses


def _measure(complex_: Complex, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of one complex."""
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    poses = moved_poses(complex_.crystal, args.poses)
    maker = GridMaker(Target.from_file(receptor, box=complex_.box).receptor)
    grids = maker.grids(poses)
    rows = [_row("Osong", "grids", lambda: maker.grids(poses, out=grids), len(poses))]
    for models in args.models:
        rows += _networks(models, grids, args)
    if not args.no_peers:
        rows.append(_rustina(receptor, poses[0]))
    if args.molgrid_python is not None:
        rows.append(_molgrid(complex_, poses, args))
    return rows


def _row(
    program: str, models: str, work: Callable[[], object], n_poses: int, **more: Any
) -> dict[str, Any]:
    work()
    seconds = []
    for _ in range(_REPEATS):
        started = cpu_seconds()
        work()
        seconds.append(cpu_seconds() - started)
    return {"program": program, "models": models, "seconds": min(seconds) / n_poses, **more}


def _networks(
    models: str, grids: NDArray[np.float32], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return the rows of one ensemble, for grids that are there."""
    rows = []
    weights = args.data / "weights" / "gnina"
    said: dict[str, PoseScores] = {}
    for dtype in ("float32", "bfloat16"):
        try:
            rescorer = Rescorer(
                models, device="cpu", dtype=dtype, weights=weights if weights.is_dir() else None
            )
        except (InputError, MissingExtraError) as error:
            print(f"{models}, {dtype}: left out: {error}")
            continue
        said[dtype] = rescorer.scores(grids)
        rows.append(_row(f"Osong {dtype}", models, _scoring(rescorer, grids), len(grids)))
    if len(said) == 2:
        rows[-1] |= _changes(said["float32"], said["bfloat16"])
    names = ENSEMBLES.get(models, (models,))
    if args.no_peers or models == "fast" or not rows:
        return rows
    networks = [peer_network(name) for name in names]
    theirs = peer_scores(networks, grids)
    rows[0]["from_gninatorch"] = max(
        float(np.abs(said["float32"].score - theirs[0]).max()),
        float(np.abs(said["float32"].affinity - theirs[1]).max()),
    )
    for batch in PEER_BATCHES:
        some = np.concatenate([grids] * -(-batch // len(grids)))[:batch]
        work = _peer_scoring(networks, some)
        rows.append(_row(f"gninatorch, {batch} at a time", models, work, batch))
    return rows


def _scoring(rescorer: Rescorer, grids: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: rescorer.scores(grids)


def _peer_scoring(networks: list[Any], grids: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: peer_scores(networks, grids)


def _changes(fine: PoseScores, coarse: PoseScores) -> dict[str, Any]:
    """Return what bfloat16 does to the poses of a complex."""

    def order(values: NDArray[np.float64]) -> list[int]:
        return [int(k) for k in np.argsort(-values, kind="stable")]

    return {
        "n_poses": len(fine),
        "score_off": float(np.abs(fine.score - coarse.score).max()),
        "affinity_off": float(np.abs(fine.affinity - coarse.affinity).max()),
        "same_best": order(fine.score)[0] == order(coarse.score)[0],
        "same_order": order(fine.score) == order(coarse.score),
    }


def _rustina(receptor: Path, pose: Chem.Mol) -> dict[str, Any]:
    """Return Rustina's row: it reads both files and makes the grid in each call."""
    rustina = rustina_module()
    pdbqt = pdbqt_string(pack_pose(pose))
    work = lambda: rustina.score_cnn(str(receptor), pdbqt)  # noqa: E731
    return _row("Rustina score_cnn", "fast", work, 1, said=work())


def _molgrid(complex_: Complex, poses: list[Chem.Mol], args: argparse.Namespace) -> dict[str, Any]:
    """Return the row of molgrid's grids, made in another Python from files."""
    folder = args.out / "molgrid" / complex_.name
    folder.mkdir(parents=True, exist_ok=True)
    receptor = receptor_pdbqt(complex_, args.out / "receptors").read_text(encoding="utf-8")
    (folder / "receptor.pdbqt").write_text(receptor, encoding="utf-8")
    names = []
    for number, pose in enumerate(poses):
        names.append(f"pose{number}.sdf")
        (folder / names[-1]).write_text(Chem.MolToMolBlock(pose) + "$$$$\n", encoding="utf-8")
    lines = "".join(f"0 receptor.pdbqt {name}\n" for name in names)
    (folder / "examples.types").write_text(lines, encoding="utf-8")
    done = subprocess.run(
        [args.molgrid_python, _CHILD, folder, str(_REPEATS)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return {"program": f"molgrid {said['version']}", "models": "grids", "seconds": said["grids"]}


def _speed_table(rows: list[dict[str, Any]]) -> str:
    """Return medians over the complexes."""
    kinds = list(dict.fromkeys((row["models"], row["program"]) for row in rows))
    kinds.sort(key=lambda kind: ["grids", *MODELS].index(kind[0]))
    table = []
    for models, program in kinds:
        some = [r for r in rows if (r["models"], r["program"]) == (models, program)]
        seconds = float(np.median([row["seconds"] for row in some]))
        off = [row["from_gninatorch"] for row in some if "from_gninatorch" in row]
        shown = f"{max(off):.0e}" if off else ""
        table.append([models, program, f"{1e3 * seconds:.1f}", f"{1 / seconds:.1f}", shown])
    header = ["networks", "program", "ms a pose", "poses a second and core", "from gninatorch"]
    return markdown_table(header, table)


def _bfloat16_table(rows: list[dict[str, Any]]) -> str:
    table = []
    for models in dict.fromkeys(row["models"] for row in rows if "same_best" in row):
        some = [row for row in rows if row["models"] == models and "same_best" in row]
        table.append(
            [
                models,
                f"{max(row['score_off'] for row in some):.4f}",
                f"{max(row['affinity_off'] for row in some):.3f}",
                f"{sum(row['same_best'] for row in some)} of {len(some)}",
                f"{sum(row['same_order'] for row in some)} of {len(some)}",
            ]
        )
    header = [
        "networks",
        "largest change of CNNscore",
        "of CNNaffinity",
        "same best pose",
        "same order of poses",
    ]
    return markdown_table(header, table)
