"""What `osong bench active` leaves: a table, pictures, and the figures as JSON."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.whole_files import write_whole
from osong_benchmarks.active_published import ENAMINE_10K, ENAMINE_50K, Published, best_published
from osong_benchmarks.report.style import MUTED, SERIES, new_figure, to_svg
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong_benchmarks.active import ActiveTable

__all__ = ["published_for", "recall_text", "table_text", "write_report"]

_N_BUDGETS: Final = 6
_CITED: Final = {
    10_449: (ENAMINE_10K, 100, "10,449 Enamine molecules, the best 100"),
    50_240: (ENAMINE_50K, 500, "50,240 Enamine molecules, the best 500"),
}


def published_for(table: ActiveTable) -> tuple[Published, ...] | None:
    """Return MolPAL's rows if these are the molecules, the top and the rounds that they are of."""
    rows, k, _ = _CITED.get(table.n, (None, 0, ""))
    asked = table.settings
    same = table.k == k and asked.get("batch") == 0.01 and asked.get("budget") == 0.06
    return rows if same else None


def table_text(table: ActiveTable) -> str:
    """Return the share found at each budget as a Markdown table, beside what is published."""
    n_rounds = table.found(table.acquisitions()[0]).shape[1]
    share = table.settings["batch"]
    header = ["found, % of the best", *(f"{100 * share * (k + 1):g} %" for k in range(n_rounds))]
    rows: list[list[str]] = []
    for name in table.acquisitions():
        found = 100 * table.found(name)
        rows.append([f"Osong, {name}", *_cells(found.mean(axis=0), found.std(axis=0))])
    rows.append(["at random, expected", *(f"{100 * share * (k + 1):.1f}" for k in range(n_rounds))])
    published = published_for(table)
    if published is not None:
        rows += _published_rows(published, table.acquisitions())
    return markdown_table(header, rows)


def _published_rows(published: tuple[Published, ...], names: Sequence[str]) -> list[list[str]]:
    rows = [
        [f"MolPAL, {row.model}, {row.acquisition}", *_cells(row.means, row.deviations)]
        for row in published
        if row.acquisition in ("greedy", "ucb")
    ]
    means, _ = best_published(published)
    rows.append(["MolPAL, best of all its rows", *(f"{mean:.1f}" for mean in means)])
    return rows


def _cells(means: Any, deviations: Any) -> list[str]:
    return [f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True)]


def recall_text(table: ActiveTable) -> str:
    """Return how well the recall was estimated, as a Markdown table."""
    rows = []
    for name in table.acquisitions():
        runs = [run for run in table.runs if run.acquisition == name]
        found, said, low, high = (
            np.array([getattr(run, field) for run in runs])
            for field in ("found", "expected", "low", "high")
        )
        known = np.isfinite(said)
        if known.any():
            inside = ((found >= low) & (found <= high))[known].mean()
            rows.append(
                [
                    name,
                    f"{100 * (said - found)[known].mean():+.1f}",
                    f"{100 * np.abs(said - found)[known].mean():.1f}",
                    f"{100 * inside:.0f} % of {int(known.sum())}",
                ]
            )
    header = ["", "estimate less truth, points", "absolute", "truth within the 90 % interval"]
    return markdown_table(header, rows)


def provenance_text(table: ActiveTable, command: str) -> str:
    """Return file, machine, versions and command in one line."""
    machine_and_versions = provenance([]).rpartition(";")[0]
    return f"{table.source}; {machine_and_versions}, torch {version('torch')}; `{command}`"


def write_report(table: ActiveTable, out: Path, command: str) -> list[Path]:
    """Write table, pictures and figures into a folder; return the files."""
    out.mkdir(parents=True, exist_ok=True)
    note = provenance_text(table, command)
    blocks = [table_text(table), recall_text(table), f"{_sources(table)}{note}"]
    written = [out / "active.md", out / "active.json"]
    write_whole(written[0], "\n\n".join(blocks) + "\n")
    write_whole(written[1], json.dumps(_figures(table, note), indent=1) + "\n")
    for name, figure in (
        ("recall.svg", _recall_picture(table, note)),
        ("estimated.svg", _estimate_picture(table, note)),
        ("parity.svg", _parity_picture(table, note)),
    ):
        if figure is not None:
            write_whole(out / name, to_svg(figure) + "\n")
            written.append(out / name)
    return written


def _sources(table: ActiveTable) -> str:
    if published_for(table) is None:
        return ""
    return (
        "MolPAL: Graff, Shakhnovich, Coley, Chem. Sci. 2021, 12, 7866 (doi:10.1039/d0sc06805e), "
        "the authors' `results/full/*_scores_results_full.csv`, models trained anew each round.\n\n"
    )


def _figures(table: ActiveTable, note: str) -> dict[str, Any]:
    return {
        "provenance": note, "source": table.source, "n": table.n, "n_failed": table.n_failed,
        "k": table.k, "batch": table.batch, "settings": table.settings,
        "runs": [
            {
                "acquisition": run.acquisition, "seed": run.seed, "found": run.found,
                "expected": run.expected, "low": run.low, "high": run.high,
                "seconds": round(run.seconds, 1),
            }
            for run in table.runs
        ],
    }  # fmt: skip


def _budgets(table: ActiveTable) -> Any:
    n_rounds = table.found(table.acquisitions()[0]).shape[1]
    return 100 * table.settings["batch"] * np.arange(1, n_rounds + 1)


def _recall_picture(table: ActiveTable, note: str) -> Any:
    """Return recall against budget, with what is published."""
    figure, axes = new_figure()
    budgets = _budgets(table)
    for k, name in enumerate(table.acquisitions()):
        found = 100 * table.found(name)
        axes.errorbar(
            budgets, found.mean(axis=0), yerr=found.std(axis=0), marker="o", capsize=3,
            color=SERIES[k], label=f"Osong, {name}",
        )  # fmt: skip
    published = published_for(table)
    if published is not None:
        means, _ = best_published(published)
        axes.plot(budgets, means, "s--", color=SERIES[4], label="MolPAL, its best at each")
    axes.plot(budgets, budgets, ":", color=MUTED, label="at random")
    axes.set(
        xlabel="docked, % of the library", ylabel=f"found of the best {table.k}, %",
        title="Recall against budget", ylim=(0, 100),
    )  # fmt: skip
    axes.legend(loc="upper left")
    return _noted(figure, note)


def _estimate_picture(table: ActiveTable, note: str) -> Any:
    """Return the learning curve: the surrogate's own estimate of the recall beside the truth."""
    figure, axes = new_figure()
    budgets = _budgets(table)
    for k, name in enumerate(table.acquisitions()):
        run = next(run for run in table.runs if run.acquisition == name)
        axes.plot(budgets, 100 * np.array(run.found), "o-", color=SERIES[k], label=f"{name}: true")
        axes.plot(
            budgets, 100 * np.array(run.expected), "--", color=SERIES[k], label=f"{name}: estimated"
        )
        axes.fill_between(
            budgets, 100 * np.array(run.low), 100 * np.array(run.high), color=SERIES[k], alpha=0.15
        )
    axes.set(
        xlabel="docked, % of the library", ylabel=f"found of the best {table.k}, %",
        title="Recall as estimated and true, one seed", ylim=(0, 100),
    )  # fmt: skip
    axes.legend(loc="upper left")
    return _noted(figure, note)


def _parity_picture(table: ActiveTable, note: str) -> Any:
    """Return predicted against true scores of what was not docked; nothing for none."""
    run = next((run for run in table.runs if run.predicted is not None), None)
    if run is None or run.predicted is None:
        return None
    true, guess = run.predicted[:, 0], run.predicted[:, 1]
    figure, axes = new_figure(4.6, 4.4)
    axes.plot(true, guess, ".", markersize=1.6, alpha=0.4, color=SERIES[0], rasterized=True)
    ends = [float(min(true.min(), guess.min())), float(max(true.max(), guess.max()))]
    axes.plot(ends, ends, "-", color=MUTED, linewidth=1.0)
    r = float(np.corrcoef(true, guess)[0, 1])
    error = float(np.sqrt(((true - guess) ** 2).mean()))
    axes.set(
        xlabel="score", ylabel="predicted",
        title=f"{len(true):,} undocked: r = {r:.2f}, error {error:.2f} ({run.acquisition})",
    )  # fmt: skip
    return _noted(figure, note)


def _noted(figure: Any, note: str) -> Any:
    figure.supxlabel(_broken(note), fontsize=5, color=MUTED)
    return figure


def _broken(text: str, width: int = 130) -> str:
    """Return text in lines of about that many characters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
