"""Active campaigns without chemistry: small libraries whose energies can be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from campaign_helpers import fake_screen
from osong_fake_docker import learnable_energy

from osong.active.state import ActiveFolder
from osong_workflows.active_campaign import ActiveCampaign

DOCKER = "osong_fake_docker:build_learnable"
N = 240
BATCH = 12
BUDGET = 36
FAILS = range(0, N, 24)
UNREADABLE = (5, 77)


def learnable(n: int = N) -> list[tuple[str, str]]:
    """Return SMILES and names: chains of carbon, nitrogen and oxygen, all different.

    Some fail when they are docked, and two are no molecules at all.
    """
    generator = np.random.default_rng(3)
    found: dict[str, None] = {}
    while len(found) < n:
        found["C" + "".join(generator.choice(list("CCCNO"), generator.integers(3, 14)))] = None
    rows = [(smiles, f"fail{i}" if i in FAILS else f"m{i}") for i, smiles in enumerate(found)]
    for i in (i for i in UNREADABLE if i < n):
        rows[i] = ("C1CC", f"m{i}")
    return rows


def write_library(path: Path, n: int = N) -> Path:
    path.write_text("".join(f"{smiles} {name}\n" for smiles, name in learnable(n)))
    return path


def active_screen(library: Any, out: Path, budget: int | str = BUDGET, **more: Any) -> Any:
    """Screen with a small strategy; what is not of the strategy goes to the campaign."""
    fields = {"kind": "active", "batch": BATCH, "top": 10, "patience": 9, "initial": "random"}
    for name in ("batch", "acquisition", "initial", "recall", "surrogate", "patience", "top"):
        if name in more:
            fields[name] = more.pop(name)
    return fake_screen(
        library, out, strategy=fields, budget=budget, docker=more.pop("docker", DOCKER), **more
    )


def open_active(campaign: Any) -> ActiveCampaign:
    return ActiveCampaign(getattr(campaign, "folder", campaign), docker=DOCKER)


def picks_of(campaign: Any) -> list[list[int]]:
    """Return which molecules each round asked for, in order."""
    folder = ActiveFolder(Path(getattr(campaign, "folder", campaign)) / "active")
    return [one.index.tolist() for one in folder.rounds()]


def true_energies() -> dict[int, float]:
    """Return the energy of every molecule that docks, by position."""
    rows = enumerate(learnable())
    bad = {*FAILS, *UNREADABLE}
    return {i: learnable_energy(smiles) for i, (smiles, _) in rows if i not in bad}
