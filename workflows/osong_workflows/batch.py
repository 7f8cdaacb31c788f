"""Batch scripts and the lines that submit them; rendered in memory, nothing is run or written."""

from __future__ import annotations

import math
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import osong_slurm
from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osong_workflows.sites import Site

__all__ = ["Batch", "make_finish", "make_pilots"]

_MAX_ERRORS: Final = 5
"""So many errors in a row bring an element back into the queue; the next one does not."""
_NOT_IN_A_PATH: Final = re.compile(r"[\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Batch:
    """A batch script and the command that submits it; the script goes to the command's stdin.

    Attributes
    ----------
    script
        The script.
    command
        The command, word by word.
    n_pilots
        Elements of the job array; 0 for the finishing job.
    nodes
        Nodes of each element.
    """

    script: str
    command: tuple[str, ...]
    n_pilots: int
    nodes: int

    def __str__(self) -> str:
        """Return the command as one would type it, with the script as a here-document."""
        return f"{shlex.join(self.command)} <<'END'\n{self.script}END"


def make_pilots(folder: Path, site: Site, nodes: int) -> Batch:
    """Return the job array of a campaign's pilots.

    Parameters
    ----------
    folder
        The campaign folder, absolute.
    site
        The cluster.
    nodes
        In all; rounded up to elements of the same size.

    Raises
    ------
    InputError
        The site takes no such array, or Slurm no such folder.
    """
    if nodes < 1:
        raise InputError(f"nodes must be at least 1, got {nodes}")
    n_pilots = math.ceil(nodes / site.nodes_per_pilot)
    if n_pilots > site.max_array:
        raise InputError(
            f"{nodes} nodes are {n_pilots} jobs of {site.nodes_per_pilot} nodes and site "
            f"'{site.name}' takes {site.max_array}; ask for fewer nodes, or raise nodes_per_pilot "
            "in its profile"
        )
    size = math.ceil(nodes / n_pilots)
    script = _render(
        "pilot",
        folder,
        site,
        n_pilots=n_pilots,
        nodes=size,
        directives=_directives(site, size),
        time=site.time_limit,
        warning_s=site.warning,
        max_errors=_MAX_ERRORS,
        # What starts ranks ends with the worst of their codes, that of a lost rank too.
        status=_status_command(folder, site) if site.launch == "mpi" else "",
        command=_pilot_command(folder, site, size),
    )
    return Batch(script, _sbatch(folder, "slurm-%A_%a.out"), n_pilots, size)


def make_finish(folder: Path, site: Site, after: str) -> Batch:
    """Return the job of one core that ends a campaign when its pilots have ended.

    Parameters
    ----------
    folder
        The campaign folder, absolute.
    site
        The cluster.
    after
        Slurm's id of the pilots' job array.
    """
    common = {
        "--partition": site.finish_partition or site.partition,
        "--account": site.account,
        "--qos": site.finish_qos or ("" if site.finish_partition else site.qos),
        # A partition for serial jobs has nodes of its own, of another kind.
        "--constraint": "" if site.finish_partition or site.finish_qos else site.constraint,
    }
    script = _render(
        "finish",
        folder,
        site,
        directives=[*_options(common), *site.extra],
        time=site.finish_time,
        command=shlex.join([*_osong(site), "finish", str(folder)]),
    )
    command = _sbatch(folder, "slurm-%A-finish.out")
    return Batch(script, (*command, f"--dependency=afterany:{after}"), 0, 1)


def _directives(site: Site, nodes: int) -> list[str]:
    """Return what a pilot asks of Slurm, apart from what all ask."""
    ranks = site.mpi.ranks_per_node if site.launch == "mpi" else 1
    options: dict[str, str | int] = {
        "--partition": site.partition,
        "--account": site.account,
        "--qos": site.qos,
        "--constraint": site.constraint,
        "--ntasks-per-node": ranks,
        "--cpus-per-task": (site.cores_per_node or 0) // ranks,
        "--gpus-per-node": site.gpus_per_node,
        "--mem": site.memory_per_node,
    }
    whole = [] if site.cores_per_node else ["--exclusive"]
    return [*_options(options), *whole, *site.extra]


def _options(values: Mapping[str, str | int]) -> list[str]:
    """Return options of ``sbatch``, without those that say nothing."""
    return [f"{option}={value}" for option, value in values.items() if value]


def _sbatch(folder: Path, output: str) -> tuple[str, ...]:
    """Return the command that submits; paths stand here, where they need no quotes."""
    if _NOT_IN_A_PATH.search(str(folder)):
        raise InputError(
            f"{str(folder)!r}: Slurm writes no logs to a folder with a backslash or a control "
            "character in its path; rename it"
        )
    logs = str(folder / "logs").replace("%", "%%")
    return ("sbatch", "--parsable", f"--chdir={folder}", f"--output={logs}/{output}")


def _pilot_command(folder: Path, site: Site, nodes: int) -> str:
    """Return the line of shell that runs a pilot."""
    words = [*_osong(site), "resume", str(folder), "--runner", site.launch, "--quiet"]
    words += ["--grace", str(site.grace_s)]
    if site.lease_s:
        words += ["--lease", str(site.lease_s)]
    if site.scratch:
        words += ["--scratch", site.scratch]
    if site.launch != "local" and site.interface:
        words += ["--interface", site.interface]
    if site.launch == "srun" and site.srun_flags:
        words.append(f"--srun-flags={shlex.join(site.srun_flags)}")
    if site.launch == "srun" and site.osong:
        words.append(f"--osong-command={shlex.join(site.osong)}")
    return _launcher(site, nodes) + shlex.join(words)


def _status_command(folder: Path, site: Site) -> str:
    """Return the line of shell that tells how far the campaign is."""
    return shlex.join([*_osong(site), "status", str(folder), "--json"])


def _launcher(site: Site, nodes: int) -> str:
    """Return what starts the ranks of a pilot; nothing where the pilot is one process."""
    if site.launch != "mpi":
        return ""
    per_node = site.mpi.ranks_per_node
    if site.mpi.launcher == "mpiexec":
        return shlex.join(["mpiexec", "-n", str(nodes * per_node), *site.mpi.flags]) + " "
    plugin = [f"--mpi={site.mpi.plugin}"] if site.mpi.plugin else []
    # One lost rank must take neither the others nor the job with it. Ranks that dock share all
    # cores of their node, those of the two ranks that do not dock included.
    stay = ["--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--cpu-bind=none"]
    # Since Slurm 22.05 srun does not take this from the job; without it a rank has one core.
    cores = f'--cpus-per-task="$((SLURM_CPUS_ON_NODE / {per_node}))"'
    words = [*plugin, f"--ntasks={nodes * per_node}", *stay, *site.mpi.flags]
    return f"srun {cores} {shlex.join(words)} "


def _osong(site: Site) -> list[str]:
    """Return the command ``osong`` of the jobs."""
    if site.osong or site.container:
        return [*site.container, *(site.osong or ("osong",))]
    here = Path(sys.executable).with_name("osong")
    if here.is_file():
        return [str(here)]
    # -P: the job begins in the campaign folder, from which nothing must be imported.
    return [sys.executable, "-P", "-c", "from osong.cli.main import app; app()"]


def _setup(site: Site) -> list[str]:
    """Return the lines of shell that come before the command."""
    return [*(f"module load {shlex.quote(module)}" for module in site.modules), *site.setup]


def _directive(value: object) -> str:
    """Return a value as one word of an ``#SBATCH`` line, which Slurm reads by rules of its own.

    Examples
    --------
    >>> print(_directive("--comment=a b"), _directive("--qos=x"))
    "--comment=a b" --qos=x
    """
    text = str(value)
    if re.fullmatch(r"[\w@%+=:,./\[\]|&*()-]+", text):
        return text
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


def _render(name: str, folder: Path, site: Site, **values: Any) -> str:
    """Return a template with its values."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(osong_slurm.TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["directive"] = _directive
    title = _plain(folder.name) or "campaign"
    return environment.get_template(f"{name}.sbatch.jinja").render(
        campaign=title,
        site=_plain(site.name),
        job_name=f"osong-{title}",
        setup=_setup(site),
        **values,
    )


def _plain(text: str) -> str:
    """Return a name of people's as one that needs no quotes anywhere."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)[:40]
