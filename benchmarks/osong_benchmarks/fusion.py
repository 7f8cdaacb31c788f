"""Fusion of energy and networks: its weights, and what they bring on complexes not seen.

The shared complexes are docked (20 poses kept), the poses scored by each network, and the weights
fitted and tested by cross-validation over clusters of proteins, and by collection. All of it is
kept in ``OUT/fusion/poses`` and goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from osong.rescoring import fusion as shipped
from osong.rescoring.fusion import Fusion, fit_fusion
from osong.whole_files import write_whole
from osong_benchmarks.complexes import in_shard, read_complexes
from osong_benchmarks.fusion_poses import DockedComplex, dock_complexes, read_docked
from osong_benchmarks.fusion_scores import Case, member_names, read_cases, score_poses
from osong_benchmarks.fusion_tables import Fitted, failure_lines, fusion_text
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import write_table

__all__ = ["add_arguments", "main"]

ENSEMBLES: Final = ("crossdock_default2018", "all_default_to_default_1.3_1", "default")
"""The cheapest network of gninatorch's, GNINA 1.3's fast one, and the default ensemble."""
SCORINGS: Final = ("vina", "vinardo")
_DOCUMENT: Final = Path("docs/rescoring.md")
_EFFORT: Final = "balanced"
_ALL: Final = "1/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--scorings", nargs="*", choices=SCORINGS, default=list(SCORINGS))
    parser.add_argument("--models", nargs="*", default=list(ENSEMBLES), help="networks, ensembles")
    parser.add_argument("--effort", default=_EFFORT, help="of the docking")
    parser.add_argument("--only", nargs="*", default=[], help="names of complexes")
    parser.add_argument("--shard", default=_ALL, help="i/n: every n-th complex")
    parser.add_argument("--summary", action="store_true", help="dock and score nothing")


def main(args: argparse.Namespace) -> None:
    """Dock and score what is not yet, fit, then print the tables."""
    if args.write:
        _check_asked(args)
    out = args.out / "fusion" / "poses"
    if not args.summary:
        _prepare(args, out)
    fitted = [
        Fitted(scoring, models, cases, fit_fusion([case.poses for case in cases]))
        for scoring in args.scorings
        for models in args.models
        if (cases := _cases(args, out, scoring, models))
    ]
    if not fitted:
        print("nothing to summarise yet: no docked poses that networks have scored")
        return
    docked = [d for scoring in args.scorings for d in read_docked(out, scoring, args.effort)]
    text = f"{fusion_text(fitted)}\n\n{failure_lines(docked)}"
    print(text)
    counts = _counts(args, fitted, docked)
    print("\n".join(["", *map(str, counts)]))
    if args.write:
        if any(count.n_left for count in counts):
            raise SystemExit("--write wants all complexes done: run it again, without --shard")
        note = provenance(_command(args))
        write_table(_DOCUMENT, "fusion", text, note)
        write_whole(_weights_file(), weights_text(fitted, note))


@dataclass(frozen=True)
class _Count:
    """What became of the complexes that were asked for, with one scoring function and ensemble."""

    scoring: str
    models: str
    n_in: int
    n_ranked: int
    n_failed: int

    @property
    def n_left(self) -> int:
        """Complexes that are not docked, or that not all networks have scored."""
        return self.n_in - self.n_ranked - self.n_failed

    def __str__(self) -> str:
        """Return the counts in one line."""
        return (
            f"{self.scoring}, {self.models}: {self.n_in} in = {self.n_ranked} ranked + "
            f"{self.n_failed} failed + {self.n_left} not done"
        )


def _counts(
    args: argparse.Namespace, fitted: Sequence[Fitted], docked: Sequence[DockedComplex]
) -> list[_Count]:
    """Count the index's complexes for every pair, also where nothing of it is done."""
    names = {complex_.name for complex_ in read_complexes(args.data, args.only)}
    ranked = {(fit.scoring, fit.models): {case.name for case in fit.cases} for fit in fitted}
    return [
        _Count(
            scoring,
            models,
            len(names),
            len(names & ranked.get((scoring, models), set())),
            len(names & {d.name for d in docked if d.scoring == scoring and d.problem}),
        )
        for scoring in args.scorings
        for models in args.models
    ]


def _check_asked(args: argparse.Namespace) -> None:
    """End where what would be written were of some complexes only: weights are shipped."""
    asked = (args.scorings, args.models, args.effort, args.only)
    if asked != (list(SCORINGS), list(ENSEMBLES), _EFFORT, []):
        raise SystemExit("--write wants all scorings, models and complexes, and the default effort")


def _prepare(args: argparse.Namespace, out: Path) -> None:
    everything = read_complexes(args.data, args.only)
    names = [complex_.name for complex_ in in_shard(everything, args.shard)]
    networks = list(dict.fromkeys(name for m in args.models for name in member_names(m)))
    for scoring in args.scorings:
        dock_complexes(
            args.data, out, scoring=scoring, effort=args.effort, names=names, say=_print_now
        )
        score_poses(args.data, out, networks, scoring=scoring, effort=args.effort, say=_print_now)


def _cases(args: argparse.Namespace, out: Path, scoring: str, models: str) -> list[Case]:
    cases = read_cases(out, models, scoring=scoring, effort=args.effort)
    return [case for case in cases if not args.only or case.name in args.only]


def weights_text(fitted: Sequence[Fitted], note: str) -> str:
    """Return the file of weights that is shipped, fitted to all complexes."""
    lines = [
        "# Weights of energy and networks (src/osong/rescoring/fusion.py): written by",
        "# `python -m benchmarks fusion --write`, never by hand.",
        f"# {note}",
    ]
    for fit in fitted:
        lines += ["", "[[fusion]]", *_entry(fit)]
    return "\n".join(lines) + "\n"


def _entry(fit: Fitted) -> list[str]:
    names = "\n".join(sorted(case.name for case in fit.cases))
    digest = hashlib.blake2b(names.encode(), digest_size=8).hexdigest()
    weights: Fusion = fit.fusion
    return [
        f'scoring = "{fit.scoring}"',
        f'models = "{fit.models}"',
        f"energy = {weights.energy:.4f}",
        f"log_odds = {weights.log_odds:.4f}",
        f"affinity = {weights.affinity:.4f}",
        f"complexes = {len(fit.cases)}  # blake2b of their names: {digest}",
        f"ridge = {shipped.RIDGE}",
        f"date = {datetime.now(UTC).date()}",
    ]


def _weights_file() -> Path:
    return Path(shipped.__file__).with_name("fusion_weights.toml")


def _command(args: argparse.Namespace) -> list[str]:
    words = ["fusion", "--data", str(args.data)]
    if args.scorings != list(SCORINGS):
        words += ["--scorings", *args.scorings]
    if args.models != list(ENSEMBLES):
        words += ["--models", *args.models]
    if args.effort != _EFFORT:
        words += ["--effort", args.effort]
    if args.only:
        words += ["--only", *args.only]
    if args.shard != _ALL:
        words += ["--shard", args.shard]
    return [*words, *(["--summary"] if args.summary else []), "--write"]


def _print_now(line: str) -> None:
    print(line, flush=True)
