"""Size bias: what correcting energies for the ligands' sizes does to enrichment.

Actives and decoys of a few shared targets are docked (the first actives of the file, decoys evenly
spaced in theirs), one state each, and ranked by energy as it is and corrected. The targets are the
three of DUD-E whose decoys' sizes vary most, and ACHE of the MLSF collection, whose inactives were
measured; chosen by sizes, before anything was docked.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong import Box, Target
from osong.errors import OsongError
from osong.ligands import LigandOptions, prepare_ligand
from osong.rescoring.size_bias import size_corrected
from osong.search.session import DockingSession
from osong_benchmarks.enrichment import auc, bedroc, enrichment_factor, ranked_flags
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.tables import markdown_table, write_table

__all__ = [
    "CORRECTIONS", "TARGETS", "Docked", "add_arguments", "enrichment_cells", "main", "molecules_of",
    "size_bias_text", "target_of",
]  # fmt: skip

TARGETS: Final = ("dude_fabp4", "dude_nos1", "dude_glcm", "mlsf_ache")
_DOCUMENT: Final = Path("docs/rescoring.md")
_N_RESAMPLED: Final = 500

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Docked:
    """Docked actives and decoys of one target: n molecules.

    Attributes
    ----------
    name
        The target.
    energy
        (n,) kcal/mol, NaN where docking failed.
    n_heavy
        (n,) heavy atoms.
    is_active
        (n,) bool.
    """

    name: str
    energy: Float64
    n_heavy: Float64
    is_active: npt.NDArray[np.bool_]


def _power(alpha: float) -> Any:
    return lambda energy, n_heavy: size_corrected(energy, n_heavy, method="power", alpha=alpha)


CORRECTIONS: Final[dict[str, Any]] = {
    "none": lambda energy, n_heavy: energy,
    "power, alpha 1/3": _power(1.0 / 3.0),
    "power, alpha 1/2": _power(0.5),
    "power, alpha 1": _power(1.0),
    "residual": lambda energy, n_heavy: size_corrected(energy, n_heavy, method="residual"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--n-actives", type=int, default=40)
    parser.add_argument("--n-decoys", type=int, default=360)
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--summary", action="store_true", help="dock nothing")


def main(args: argparse.Namespace) -> None:
    """Dock what is not docked yet, then print the tables."""
    results = ResultFile(args.out / "size_bias.jsonl", ("target", "ligand"))
    for name in [] if args.summary else args.targets:
        _dock(args, name, results)
    docked = [found for name in args.targets if (found := _complete(args, name, results))]
    if not docked:
        print("nothing to summarise yet: no target of which all molecules are docked")
        return
    library = args.data / "library" / "enamine_docked_scores.csv.gz"
    text = size_bias_text(docked, _library_sizes(library) if library.exists() else None)
    print(text)
    if args.write:
        write_table(_DOCUMENT, "size_bias", text, provenance(_command(args, docked)))


def _command(args: argparse.Namespace, docked: Sequence[Docked]) -> list[str]:
    words = ["size_bias", "--data", str(args.data), "--targets", *(d.name for d in docked)]
    numbers = ["--n-actives", str(args.n_actives), "--n-decoys", str(args.n_decoys)]
    return [*words, *numbers, "--effort", args.effort, "--write"]


def molecules_of(args: argparse.Namespace, name: str) -> list[tuple[str, str, bool]]:
    """Return identifier, SMILES, and whether it is active, actives spread among the decoys."""
    folder = args.data / "enrichment" / name
    actives = _read_smiles((folder / "actives.smi").read_text(encoding="utf-8"))
    decoys = _read_smiles(gzip.decompress((folder / "decoys.smi.gz").read_bytes()).decode())
    chosen = [decoys[k] for k in _even(len(decoys), args.n_decoys)]
    return [
        *((f"active {ident}", smiles, True) for smiles, ident in actives[: args.n_actives]),
        *((f"decoy {ident}", smiles, False) for smiles, ident in chosen),
    ]


def _even(n: int, wanted: int) -> list[int]:
    """Return ``wanted`` evenly spaced indices of ``n``.

    >>> _even(10, 3)
    [0, 3, 6]
    """
    return list(range(n)) if n <= wanted else [k * n // wanted for k in range(wanted)]


def _read_smiles(text: str) -> list[tuple[str, str]]:
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(words[0], words[-1].strip()) for words in lines]


def _dock(args: argparse.Namespace, name: str, results: ResultFile) -> None:
    known = {(row["target"], row["ligand"]) for row in results.rows()}
    left = [m for m in molecules_of(args, name) if (name, m[0]) not in known]
    if not left:
        return
    session = DockingSession(target_of(args.data, name), effort=args.effort, n_poses=1)
    for ident, smiles, is_active in left:
        row = {"target": name, "ligand": ident, "active": is_active, "smiles": smiles}
        results.add(row | _outcome(session, smiles))
        print(f"{name} {ident}", flush=True)


def target_of(data: Path, name: str) -> Target:
    """Return a shared target of the enrichment sets, with its box."""
    folder = data / "enrichment" / name
    read = json.loads((folder / "box.json").read_text(encoding="utf-8"))
    box = Box(center=tuple(read["center"]), size=tuple(read["size"]))
    (receptor,) = folder.glob("receptor.*.gz")
    return Target.from_file(receptor, box=box)


def _outcome(session: DockingSession, smiles: str) -> dict[str, Any]:
    try:
        ligands = prepare_ligand(smiles, options=LigandOptions(max_stereoisomers=1))
        (pose,) = session.dock(ligands)[:1]
    except OsongError as error:
        n_heavy = Chem.MolFromSmiles(smiles).GetNumHeavyAtoms()
        return {"energy": float("nan"), "n_heavy": n_heavy, "problem": " ".join(str(error).split())}
    n_heavy = pose.ligand.packed.n_scored
    return {"energy": round(float(pose.energy), 4), "n_heavy": n_heavy, "problem": ""}


def _complete(args: argparse.Namespace, name: str, results: ResultFile) -> Docked | None:
    """Return a target's molecules if all of them are there."""
    found = {row["ligand"]: row for row in results.rows() if row["target"] == name}
    rows = [found.get(ident) for ident, _, _ in molecules_of(args, name)]
    there = [row for row in rows if row is not None]
    if len(there) < len(rows):
        return None
    return Docked(
        name,
        np.array([row["energy"] for row in there], np.float64),
        np.array([row["n_heavy"] for row in there], np.float64),
        np.array([row["active"] for row in there], np.bool_),
    )


def _library_sizes(path: Path) -> tuple[Float64, Float64]:
    """Return energies and heavy atoms of a library that others have docked, every tenth."""
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        rows = list(itertools.islice(csv.DictReader(handle), 0, None, 10))
    scored = [row for row in rows if row["score"]]
    sizes = [Chem.MolFromSmiles(row["smiles"]).GetNumHeavyAtoms() for row in scored]
    energies = [float(row["score"]) for row in scored]
    return np.array(energies), np.array(sizes, np.float64)


def size_bias_text(docked: Sequence[Docked], library: tuple[Float64, Float64] | None) -> str:
    """Return the tables as Markdown."""
    header = (
        "target", "correction", "actives : inactives", "correlation with size",
        "heavy atoms, top 5 %", "heavy atoms, all", "EF 1 %", "EF 5 %", "BEDROC (alpha 20)", "AUC",
    )  # fmt: skip
    rows = [
        _row(found, name, corrected(found.energy, found.n_heavy))
        for found in docked
        for name, corrected in CORRECTIONS.items()
    ]
    if library is not None:
        rows += _library_rows(*library)
    failed = sum(int(np.isnan(found.energy).sum()) for found in docked)
    return (
        f"{markdown_table(header, rows)}\n\n"
        "The deviation is over resampled actives and inactives. The correlation is Spearman's, of "
        "heavy atoms with goodness of score, so that a preference for large ligands is above 0. "
        f"Molecules that could not be docked: {failed}; they come last."
    )


def _row(found: Docked, correction: str, scores: Float64) -> list[str]:
    counts = f"{found.is_active.sum()} : {(~found.is_active).sum()}"
    shown = enrichment_cells(scores, found.is_active)
    return [found.name, correction, counts, *_sizes(scores, found.n_heavy), *shown]


def enrichment_cells(scores: Float64, is_active: npt.NDArray[np.bool_]) -> list[str]:
    """Return EF 1 %, EF 5 %, BEDROC and AUC, each with its deviation over resampled molecules.

    Parameters
    ----------
    scores
        (n,), lowest best; NaN comes last.
    is_active
        (n,).
    """
    values = [_measures(scores, is_active)]
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(is_active), np.flatnonzero(~is_active)]
    for _ in range(_N_RESAMPLED):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(_measures(scores[drawn], is_active[drawn]))
    table = np.array(values)
    spread = table[1:].std(axis=0)
    digits = (1, 1, 3, 3)
    return [f"{v:.{d}f} ± {s:.{d}f}" for v, s, d in zip(table[0], spread, digits, strict=True)]


def _library_rows(energy: Float64, n_heavy: Float64) -> list[list[str]]:
    rows = []
    for name, corrected in CORRECTIONS.items():
        cells = _sizes(corrected(energy, n_heavy), n_heavy)
        label = f"Enamine, as MolPAL's authors docked it ({len(energy)} molecules)"
        rows.append([label, name, "-", *cells, "-", "-", "-", "-"])
    return rows


def _measures(scores: Float64, is_active: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    ranked = ranked_flags(scores, is_active)
    return (
        enrichment_factor(ranked, 0.01),
        enrichment_factor(ranked, 0.05),
        bedroc(ranked),
        auc(ranked),
    )


def _sizes(scores: Float64, n_heavy: Float64) -> list[str]:
    """Return the correlation of score and size, and sizes of the top and of all."""
    there = np.isfinite(scores)
    kept, sizes = scores[there], n_heavy[there]
    top = np.argsort(kept, kind="stable")[: max(1, round(0.05 * len(kept)))]
    return [_correlation(-kept, sizes), f"{sizes[top].mean():.1f}", f"{n_heavy.mean():.1f}"]


def _correlation(first: Float64, second: Float64) -> str:
    """Return Spearman's correlation; "-" where one of both is the same for all."""
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return "-"
    return f"{np.corrcoef(_ranks(first), _ranks(second))[0, 1]:+.2f}"


def _ranks(values: Float64) -> Float64:
    """Return ranks, ties sharing their mean."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2.0)[which], np.float64)
