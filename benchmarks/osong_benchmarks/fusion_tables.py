"""Tables of the fusion benchmark, for the document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from osong.rescoring.fusion import Fusion, fit_fusion
from osong_benchmarks.fusion_poses import DockedComplex
from osong_benchmarks.fusion_scores import Case
from osong_benchmarks.fusion_validation import (
    N_FOLDS,
    N_REPEATS,
    Comparison,
    compare,
    cross_validate,
    folds,
    successes,
)
from osong_benchmarks.tables import markdown_table

__all__ = ["Fitted", "failure_lines", "fusion_text"]

_NEW: Final = "posebusters"
"""Entries released from 2021 on (doi:10.1039/D3SC04185A): after all networks' training data."""
_DEFAULT_POSES: Final = 9
"""What docking reports by default."""
_HEADER: Final = (
    "docked with",
    "networks",
    "complexes (clusters)",
    "energy",
    "networks alone",
    "fusion",
    "fusion - energy, points (95 %)",
    "only fusion : only energy (p)",
    "any pose",
)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The complexes of a scoring function and an ensemble, and the weights fitted to all."""

    scoring: str
    models: str
    cases: list[Case]
    fusion: Fusion


def fusion_text(fitted: Sequence[Fitted]) -> str:
    """Return all tables as Markdown."""
    nine, twenty = _validated(fitted, _DEFAULT_POSES), _validated(fitted, None)
    parts = [
        (
            f"Complexes released from 2021 on (`{_NEW}`), {_DEFAULT_POSES} poses to choose from "
            f"(the default); weights by {N_FOLDS}-fold cross-validation over clusters of proteins, "
            f"{N_REPEATS} repeats (the deviation is over these):",
            _rows(nine, _is_new),
        ),
        ("The same, 20 poses to choose from:", _rows(twenty, _is_new)),
        (
            f"All complexes, {_DEFAULT_POSES} poses; many entries of the other collections are "
            "older, and may be among those that the networks have learned from:",
            _rows(nine, lambda case: True),
        ),
        ("All complexes, 20 poses:", _rows(twenty, lambda case: True)),
        (
            "Weights from one collection, tried on another (clusters that both have are left out "
            f"of the fit), {_DEFAULT_POSES} poses:",
            _collection_rows(fitted),
        ),
    ]
    tables = [f"{caption}\n\n{markdown_table(_HEADER, rows)}" for caption, rows in parts if rows]
    return "\n\n".join([*tables, _weights_table(fitted)])


def failure_lines(docked: Sequence[DockedComplex]) -> str:
    """Return which complexes have no poses, and are left out."""
    failed = [d for d in docked if d.problem]
    lines = [f"- {d.name} ({d.scoring}): {d.problem}" for d in failed]
    return "\n".join([f"Left out, since they could not be docked: {len(failed)}.", *lines])


@dataclass(frozen=True, eq=False)
class _Validated:
    fit: Fitted
    n_poses: int | None
    fused: np.ndarray


def _validated(fitted: Sequence[Fitted], n_poses: int | None) -> list[_Validated]:
    return [_Validated(fit, n_poses, cross_validate(fit.cases, n_poses)) for fit in fitted]


def _is_new(case: Case) -> bool:
    return case.source == _NEW


def _rows(validated: Sequence[_Validated], wanted: Callable[[Case], bool]) -> list[list[str]]:
    rows = []
    for found in validated:
        kept = [k for k, case in enumerate(found.fit.cases) if wanted(case)]
        if kept:
            cases = [found.fit.cases[k] for k in kept]
            result = compare(cases, found.fused[:, kept], found.n_poses)
            rows.append(_row(found.fit.scoring, found.fit.models, result))
    return rows


def _collection_rows(fitted: Sequence[Fitted]) -> list[list[str]]:
    rows = []
    for fit in fitted:
        for source, other in (("posebusters", "adgpu42"), ("adgpu42", "posebusters")):
            tested = [case for case in fit.cases if case.source == other]
            known = {case.cluster for case in tested}
            learned = [c.poses for c in fit.cases if c.source == source and c.cluster not in known]
            if tested and learned:
                fused = successes(tested, fit_fusion(learned), _DEFAULT_POSES)[None]
                result = compare(tested, fused, _DEFAULT_POSES)
                rows.append(_row(fit.scoring, f"{fit.models}, {source} -> {other}", result))
    return rows


def _row(scoring: str, models: str, result: Comparison) -> list[str]:
    spread = f" ± {100 * result.spread:.1f}" if result.spread else ""
    return [
        scoring,
        models,
        f"{result.n} ({result.n_clusters})",
        f"{100 * result.energy:.1f} %",
        f"{100 * result.cnn:.1f} %",
        f"{100 * result.fusion:.1f}{spread} %",
        f"{100 * (result.fusion - result.energy):+.1f} "
        f"({100 * result.low:+.1f} to {100 * result.high:+.1f})",
        f"{result.only_fusion} : {result.only_energy} ({_p(result.p)})",
        f"{100 * result.ceiling:.1f} %",
    ]


def _p(value: float) -> str:
    return f"p {value:.3f}" if value >= 0.001 else f"p {value:.0e}"


def _weights_table(fitted: Sequence[Fitted]) -> str:
    """Return the shipped weights, and how far the folds' weights lie from one another."""
    header = ("docked with", "networks", "per kcal/mol", "per log odds", "per pK", "complexes")
    rows = []
    for fit in fitted:
        fold = folds([case.cluster for case in fit.cases], N_FOLDS, 0)
        parts = [
            fit_fusion([c.poses for c, f in zip(fit.cases, fold, strict=True) if f != k])
            for k in range(N_FOLDS)
        ]
        spread = np.std([(w.energy, w.log_odds, w.affinity) for w in parts], axis=0)
        weights = (fit.fusion.energy, fit.fusion.log_odds, fit.fusion.affinity)
        shown = [f"{w:.3f} ± {s:.3f}" for w, s in zip(weights, spread, strict=True)]
        rows.append([fit.scoring, fit.models, *shown, str(len(fit.cases))])
    caption = "Weights that are shipped, fitted to all complexes (± over the folds):"
    return f"{caption}\n\n{markdown_table(header, rows)}"
