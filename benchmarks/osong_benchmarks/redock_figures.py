"""Figures of the redocking benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from osong_benchmarks.part import Figure
from osong_benchmarks.redock_rows import (
    ENERGY_MARGIN,
    Docking,
    Standing,
    energies_against,
    programs_of,
    standings,
)
from osong_benchmarks.statistics import percent

__all__ = ["energy_scatter", "pareto_energy", "pareto_success"]

_CPU_LABEL = "CPU seconds a ligand (maps and docking, one thread, mean)"
_OFFSETS = ((7, 7), (7, -13))


def pareto_success(dockings: Sequence[Docking]) -> Figure:
    """Return success against CPU seconds, a line for each family of settings."""
    found = standings(dockings)
    fig, ax = _pareto(found, lambda s: 100 * s.success)
    for s in found:
        low, high = s.interval
        ax.plot([s.cpu_mean] * 2, [100 * low, 100 * high], color=_colour(s), alpha=0.25, lw=1.5,
                zorder=1)  # fmt: skip
    ax.set_ylabel("top pose within 2 A of the crystal, %")
    ax.set_ylim(0, 100)
    caption = (
        f"Success against CPU time over {found[0].n} complexes; left and up is better. Light bars: "
        "95 % intervals (Wilson). A line joins the settings of one program."
    )
    return _figure(fig, caption)


def pareto_energy(dockings: Sequence[Docking]) -> Figure:
    """Return the mean best energy against CPU seconds, a line for each family of settings."""
    found = [s for s in standings(dockings) if "vinardo" not in s.family] or standings(dockings)
    fig, ax = _pareto(found, lambda s: s.energy_mean)
    ax.set_ylabel("mean best energy, rescored, kcal/mol")
    ax.invert_yaxis()
    caption = (
        "Mean energy of the best pose, all rescored with one typing, against CPU time; left and up "
        "is better. Programs that search Vinardo's energy are left out. With its own conformers "
        "Osong docks other bond lengths and ring shapes than the peers, hence `same conformer`."
    )
    return _figure(fig, caption)


def energy_scatter(dockings: Sequence[Docking]) -> Figure | None:
    """Return Osong's best energies less Vina's, complex by complex; None without the pair."""
    done = programs_of(dockings)
    own = [
        p for p in ("osong balanced same conformer", "osong balanced", "osong fast") if p in done
    ]
    peer = next((p for p in ("vina 8", "vina 1") if p in done), None)
    if not own or peer is None:
        return None
    from osong_benchmarks.report.style import MUTED, SERIES, new_figure

    fig, ax = new_figure()
    ax.axhspan(-ENERGY_MARGIN, ENERGY_MARGIN, color=MUTED, alpha=0.15, lw=0)
    ax.axhline(0.0, color=MUTED, lw=0.8)
    shares = []
    for program, marker, colour in zip(own[:2], "ox", SERIES, strict=False):
        found = energies_against(dockings, program, peer)
        ax.plot(found.other, found.rescored, marker, color=colour, label=program, alpha=0.8)
        shares.append(f"{program}: {percent(found.rescored <= ENERGY_MARGIN)}")
    ax.set_yscale("symlog", linthresh=ENERGY_MARGIN)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(f"best energy of {peer}, rescored, kcal/mol")
    ax.set_ylabel(f"Osong's less that of {peer}, kcal/mol")
    ax.legend(loc="best")
    caption = (
        "Best energies of the same complexes; below the line Osong's is better. The band is "
        f"0.1 kcal/mol either way. No worse than that: {'; '.join(shares)}."
    )
    return _figure(fig, caption)


def _pareto(found: Sequence[Standing], value: Callable[[Standing], float]) -> tuple[Any, Any]:
    """Return a figure with a line for each family, its settings named beside their points."""
    from osong_benchmarks.report.style import new_figure

    fig, ax = new_figure(7.2, 4.6)
    ordered = sorted(found, key=lambda s: (s.engine, s.family, s.cpu_mean))
    for number, (family, group) in enumerate(groupby(ordered, key=lambda s: s.family)):
        members = list(group)
        x, y = [s.cpu_mean for s in members], [value(s) for s in members]
        is_plain = family in {"osong", "vina", "rustina vinardo"}
        ax.plot(x, y, "o-" if is_plain else "s--", color=_colour(members[0]),
                alpha=1.0 if is_plain else 0.6, zorder=3)  # fmt: skip
        for s, at in zip(members, zip(x, y, strict=True), strict=True):
            ax.annotate(s.program, at, xytext=_OFFSETS[number % 2], textcoords="offset points",
                        fontsize=7.5, color=_colour(s), zorder=4)  # fmt: skip
    ax.set_xscale("log")
    low, high = min(s.cpu_mean for s in found), max(s.cpu_mean for s in found)
    ax.set_xlim(low / 1.5, high * 3.0)  # room for the last name
    ax.set_xlabel(_CPU_LABEL)
    return fig, ax


def _colour(standing: Standing) -> str:
    from osong_benchmarks.report.style import PROGRAM_COLOURS

    return str(PROGRAM_COLOURS[standing.engine])


def _figure(fig: Any, caption: str) -> Figure:
    from osong_benchmarks.report.style import to_svg

    return Figure(to_svg(fig), caption)
