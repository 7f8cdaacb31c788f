"""The table of ranks of molecules, with made-up energies and scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_benchmarks.rank_enrichment import rank_text


def _rows(*, energy_knows: bool) -> list[dict[str, Any]]:
    """Return molecules of which energy or networks know the actives, and one without a pose."""
    rng = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for k in range(200):
        is_active = k < 20
        apart = 3.0 * is_active
        energy = sorted(-7.0 - apart * energy_knows + rng.normal(0.0, 0.5, 2))
        odds = apart * (not energy_knows) + rng.normal(-1.0, 0.5, 2)
        said = [[1.0 / (1.0 + np.exp(-x)), 5.0 + x] for x in odds]
        cnn = {"crossdock_default2018": said, "default": said}
        rows.append({"target": "made_up", "active": is_active, "energy": energy, "cnn": cnn})
    rows.append({"target": "made_up", "active": False, "energy": [], "cnn": {}})
    return rows


def test_table_shows_which_rank_finds_actives() -> None:
    for energy_knows in (True, False):
        text = rank_text([_rows(energy_knows=energy_knows)])
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
        areas = {tuple(row[1:3]): row[-1] for row in rows if row and row[0] == "made_up"}
        assert len(areas) == 9
        area = {name: float(cell.split()[0]) for name, cell in areas.items()}
        by_networks = area["default", "CNNscore"]
        assert (area["-", "energy"] > 0.95) == energy_knows
        assert (by_networks > 0.95) != energy_knows
        assert area["default", "fused"] > 0.95
        means = [row for row in rows if row and row[0] == "mean"]
        assert [row[2] for row in means][:2] == ["energy", "CNNscore"]
        assert "could not be docked: 1" in text
