"""``python -m benchmarks active_screen``: active learning with Osong's own docking as the oracle.

A shared enrichment target is screened whole, which tells the truth; then with
``strategy="active"``, as a user would. That campaign's energies must be those of the whole screen.
Mean and deviation over seeds come from runs that look energies up in the whole screen: docking is
deterministic, so that they are what campaigns with these seeds would find.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import osong
from osong.active import Acquisition, ActiveSettings, FeatureStore, run_active
from osong_benchmarks.results import provenance
from osong_benchmarks.size_bias import molecules_of, target_of
from osong_benchmarks.tables import markdown_table, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from osong.active import ActiveResult, Request

__all__ = ["Truth", "add_arguments", "main", "share_found", "table_of"]

_DOCUMENT: Final = Path("docs/active-learning.md")
_ACQUISITIONS: Final = ("greedy", "ucb", "thompson")
_N_ROUNDS: Final = 6


@dataclass(frozen=True, eq=False)
class Truth:
    """A whole screen.

    Attributes
    ----------
    energies
        (n,) kcal/mol, NaN where docking failed.
    is_active
        (n,) bool.
    """

    energies: npt.NDArray[np.float64]
    is_active: npt.NDArray[np.bool_]

    @property
    def n_top(self) -> int:
        """One in a hundred."""
        return max(1, round(len(self.energies) / 100))


class _LookUp:
    def __init__(self, energies: npt.NDArray[np.float64]) -> None:
        self._energies = energies

    def score(self, request: Request) -> npt.NDArray[np.float64]:
        """Return energies that are known."""
        return self._energies[request.index]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--target", default="dud_ache")
    parser.add_argument("--budget", default="6%")
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int)


def main(args: argparse.Namespace) -> None:
    """Screen, screen actively, look up; print the table, and with ``--write`` write it."""
    place = args.out / "active_screen" / args.target
    place.mkdir(parents=True, exist_ok=True)
    molecules = molecules_of(
        argparse.Namespace(data=args.data, n_actives=10**9, n_decoys=10**9), args.target
    )
    library = place / "library.smi"
    lines = [f"{smiles} {'_'.join(name.split())}\n" for name, smiles, _ in molecules]
    library.write_text("".join(lines), encoding="utf-8")
    target = target_of(args.data, args.target)
    options: dict[str, Any] = {"effort": args.effort, "n_poses": 1, "workers": args.workers}
    whole = osong.screen(target, library, out=place / "whole", **options)
    truth = Truth(_energies(whole, len(molecules)), np.array([one[2] for one in molecules]))
    strategy = {"kind": "active", "initial": "random", "top": truth.n_top}
    active = osong.screen(
        target, library, out=place / "active", strategy=strategy, budget=args.budget, **options
    )
    found = _energies(active, len(molecules))
    _check_same(found, truth.energies)
    rows = [_row("greedy, campaign", [_in_rounds(place / "active", truth)])]
    store = FeatureStore.open(place / "active" / "features")
    for kind in _ACQUISITIONS:
        runs = [_run(args, place, store, truth, kind, seed) for seed in range(args.seeds)]
        rows.append(_row(f"{kind}, {args.seeds} seeds", [_shares(run, truth) for run in runs]))
    told = active.status().recall
    text = table_of(rows, truth, np.isfinite(found), told)
    print(text)
    if args.write:
        words = ["active_screen", "--target", args.target, "--budget", args.budget, "--write"]
        write_table(_DOCUMENT, "active-screen", text, provenance(words))


def _energies(campaign: Any, n: int) -> npt.NDArray[np.float64]:
    """Return the energies of a campaign's molecules by position in the library."""
    ledger = campaign.ledger()
    energies = np.full(n, np.nan)
    energies[ledger["index"].to_numpy()] = ledger["energy"].to_numpy(zero_copy_only=False)
    return energies


def _check_same(found: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> None:
    """Check that what rounds docked has the energies of the whole screen."""
    docked = np.isfinite(found)
    if not np.array_equal(found[docked], true[docked]):
        raise AssertionError("a round's energies are not those of the whole screen")


def _run(
    args: argparse.Namespace, place: Path, store: FeatureStore, truth: Truth, kind: Any, seed: int
) -> ActiveResult:
    budget = round(float(args.budget.removesuffix("%")) * len(truth.energies) / 100)
    settings = ActiveSettings(
        budget=budget,
        batch=-(-budget // _N_ROUNDS),
        n_top=truth.n_top,
        patience=_N_ROUNDS,
        acquisition=Acquisition(kind),
        seed=seed,
    )
    folder = place / f"lookup-{kind}-{seed}"
    return run_active(store, _LookUp(truth.energies), folder, settings)


def _in_rounds(campaign: Path, truth: Truth) -> list[float]:
    from osong.active.state import ActiveFolder

    rounds = ActiveFolder(campaign / "active").rounds()
    return share_found([one.index for one in rounds if one.scores is not None], truth)


def _shares(result: ActiveResult, truth: Truth) -> list[float]:
    return share_found([one.index for one in result.rounds], truth)


def share_found(batches: Sequence[npt.NDArray[np.int64]], truth: Truth) -> list[float]:
    """Return which share of the true best is docked after each batch."""
    order = np.argsort(np.where(np.isfinite(truth.energies), truth.energies, np.inf), kind="stable")
    best = order[: truth.n_top]
    docked = np.empty(0, np.int64)
    shares = []
    for batch in batches:
        docked = np.concatenate([docked, batch])
        shares.append(float(np.isin(best, docked).mean()))
    return shares


def _row(name: str, runs: Sequence[Sequence[float]]) -> list[str]:
    shares = 100 * np.array(runs)
    means, deviations = shares.mean(axis=0), shares.std(axis=0)
    if len(runs) == 1:
        return [name, *(f"{mean:.1f}" for mean in means)]
    return [name, *(f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True))]


def table_of(
    rows: Sequence[Sequence[str]], truth: Truth, docked: npt.NDArray[np.bool_], told: str
) -> str:
    """Return the table, what the campaign said of itself, and what of the actives came with it.

    Parameters
    ----------
    rows
        Names and shares found.
    docked
        (n,) what the campaign has energies of.
    told
        Its last estimate of the recall, in words.
    """
    n = len(truth.energies)
    n_rounds = len(rows[0]) - 1
    per_round = 100 * docked.sum() / n / n_rounds
    header = ["found, % of the best", *(f"{per_round * (k + 1):.1f} %" for k in range(n_rounds))]
    random = ["at random, expected", *(f"{per_round * (k + 1):.1f}" for k in range(n_rounds))]
    mine = _n_actives(truth, np.where(docked, truth.energies, np.nan))
    whole = _n_actives(truth, truth.energies)
    lines = [
        f"{n:,} molecules, {int(truth.is_active.sum())} of them actives; the best {truth.n_top}.",
        f"The campaign docked {int(docked.sum())} and said of itself: {told}.",
        f"Actives among its best {truth.n_top}: {mine}; among those of the whole screen: {whole}.",
    ]
    return f"{markdown_table(header, [*rows, random])}\n\n{' '.join(lines)}"


def _n_actives(truth: Truth, energies: npt.NDArray[np.float64]) -> int:
    order = np.argsort(np.where(np.isfinite(energies), energies, np.inf), kind="stable")
    return int(truth.is_active[order[: truth.n_top]].sum())
