"""Commands of Slurm, run so that a job may run them too."""

from __future__ import annotations

import os
import subprocess
from typing import Final

from osong.errors import CampaignError

__all__ = ["run_slurm"]

_TIMEOUT_S: Final = 120
"""A busy Slurm controller may let one wait for as long as its MessageTimeout, some ten seconds."""


def run_slurm(*command: str, text: str = "") -> str:
    """Run a command of Slurm and return what it prints.

    Parameters
    ----------
    command
        The command, word by word.
    text
        What it reads from stdin.

    Raises
    ------
    CampaignError
        It is not there, does not answer, or refuses; the message is Slurm's own.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env=_environment(),
        )
    except FileNotFoundError as error:
        raise CampaignError(
            f"{command[0]} is not on this machine: go to where jobs are submitted (a login node of "
            "a Slurm cluster), or work here with: osong resume"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CampaignError(
            f"{command[0]} gave no answer in {_TIMEOUT_S} s; try again when Slurm is well"
        ) from error
    if done.returncode:
        said = "; ".join(line for line in done.stderr.splitlines() if line.strip())
        raise CampaignError(
            f"Slurm refuses ({said or f'{command[0]} ended with code {done.returncode}'}); "
            "check the site's profile and what you asked for"
        )
    return done.stdout


def _environment() -> dict[str, str]:
    """Return this process's environment without what tells of the job that it may be part of.

    A job that submits a job would hand on its own cores, memory and MPI.
    """
    begins = ("SLURM_", "SLURMD_", "PMI_", "PMIX_", "PMI2_")
    keep = {"SLURM_CONF", "SLURM_CLUSTERS"}
    return {k: v for k, v in os.environ.items() if k in keep or not k.startswith(begins)}
