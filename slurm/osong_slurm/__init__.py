"""Batch templates and site profiles for Slurm: where they are; what is in them is data.

``pilot.sbatch.jinja`` and ``finish.sbatch.jinja`` are rendered by ``osong_workflows.batch``;
``sites/*.toml`` are read by ``osong_workflows.sites``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SITES", "TEMPLATES", "site_file", "site_names"]

TEMPLATES: Final = Path(__file__).parent
"""The folder of the batch templates."""
SITES: Final = TEMPLATES / "sites"
"""The folder of the site profiles that come with Osong."""


def site_names() -> list[str]:
    """Return the names of the profiles that come with Osong, sorted.

    Examples
    --------
    >>> "generic" in site_names()
    True
    """
    return sorted(path.stem for path in SITES.glob("*.toml"))


def site_file(name: str) -> Path | None:
    """Return the file of a profile that comes with Osong; None: there is none of that name.

    Examples
    --------
    >>> site_file("generic").name, site_file("../generic")
    ('generic.toml', None)
    """
    return SITES / f"{name}.toml" if name in site_names() else None
