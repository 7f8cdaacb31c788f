"""`Site`: what Osong has to know of a cluster, read from a profile in TOML and checked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

import osong_slurm
from osong.errors import InputError
from osong_workflows.toml_lines import TomlLines, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Mpi", "Site", "known_sites", "load_site", "slurm_seconds"]

Place: TypeAlias = tuple[Path, TomlLines]
"""The file in which a key stands, and its lines."""

_LIKE: Final = "like"
"""Key that names the profile whose values hold where this one says nothing."""

_TIME: Final = re.compile(
    r"(?:(?P<days>\d+)-(?P<h1>\d+)(?::(?P<m1>\d+)(?::(?P<s1>\d+))?)?)"
    r"|(?:(?P<h2>\d+):(?P<m2>\d+):(?P<s2>\d+))|(?:(?P<m3>\d+)(?::(?P<s3>\d+))?)"
)
"""What Slurm takes for a time."""

_GPUS: Final = re.compile(
    r"--(?:gpus-per-node[= ]|gres[= ]gpu:|tres-per-node[= ]gres/gpu:)(?:[a-z][\w.-]*:)?(\d+)", re.I
)
"""An option of ``sbatch`` that asks for GPUs by the node: with what they are called, or without."""

# None of these may hold what ends a line of a batch script or a word of it.
Word = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\"'\\#]*$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x08\x0a-\x1f]*$")]
Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00\n\r]+$")]
Option = Annotated[str, StringConstraints(pattern=r"^-[^\x00\n\r]+$")]


class Mpi(BaseModel):
    """How MPI ranks are started where ``launch = "mpi"``.

    Attributes
    ----------
    launcher
        Who starts them.
    plugin
        Slurm's MPI plugin (``srun --mpi=``): "pmi2" suits MPICH, "pmix" Open MPI, "cray_shasta" an
        HPE Cray; "" for the site's default. Not for mpiexec.
    ranks_per_node
        Two ranks of a pilot do no docking (Dask's scheduler and the one that hands out tasks); the
        others share the node's cores.
    flags
        Further arguments of the launcher.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    launcher: Literal["srun", "mpiexec"] = "srun"
    plugin: Word = ""
    ranks_per_node: int = Field(default=4, ge=1)
    flags: tuple[Argument, ...] = ()


class Site(BaseModel):
    """A cluster's profile.

    Attributes
    ----------
    name
        How it was asked for.
    description
        One line for people.
    tested
        Whether anybody has run Osong with it.
    partition, account, qos, constraint
        As for ``sbatch``; "" for the cluster's default.
    cores_per_node
        What a job asks of each node; None: the whole node (``--exclusive``). What the job then may
        use is read from its allocation.
    gpus_per_node
        As for ``sbatch``.
    memory_per_node
        As for ``sbatch --mem``, such as "200G"; "" for the cluster's default.
    nodes_per_pilot
        Nodes of one element of the job array: one pilot with a Dask cluster of its own.
    max_array
        Elements of a job array at most.
    time_limit
        Of a pilot, as Slurm writes it.
    warning_s
        Seconds before the limit at which a pilot is told to come to an end; None: a tenth of the
        limit, ten minutes at most.
    lease_s
        Seconds without a sign of life after which a pilot's shards go to others; None: as always.
    launch
        "srun": one Dask worker a node, without MPI; "mpi": ranks; "local": one node, no ``srun``.
    srun_flags
        Further arguments of ``srun`` where ``launch`` is "srun".
    interface
        The network that workers talk over, such as "ib0"; "" for the default.
    mpi
        How ranks are started.
    modules
        Loaded, in this order, before anything else.
    setup
        Lines of shell that run after that.
    container
        What stands before the command in the job, such as ("apptainer", "exec", "osong.sif"); not
        where ``launch`` is "srun", which a pilot calls itself.
    osong
        The command ``osong`` in the job; (): the one that submits, or "osong" in a container.
    scratch
        A folder on each node's own disk; may name environment variables as $NAME or ${NAME}.
    extra
        Further options of ``sbatch``.
    finish_partition, finish_qos, finish_time
        Of the job of one core that ends the campaign; "" for what the pilots have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    description: str = ""
    tested: bool = True
    partition: Word = ""
    account: Word = ""
    qos: Word = ""
    constraint: Word = ""
    cores_per_node: int | None = Field(default=None, ge=1)
    gpus_per_node: int = Field(default=0, ge=0)
    memory_per_node: Word = ""
    nodes_per_pilot: int = Field(default=1, ge=1)
    max_array: int = Field(default=1000, ge=1)
    time_limit: str = "12:00:00"
    warning_s: int | None = Field(default=None, ge=1, le=65535)
    lease_s: int | None = Field(default=None, ge=1)
    launch: Literal["srun", "mpi", "local"] = "srun"
    srun_flags: tuple[Argument, ...] = ()
    interface: Word = ""
    mpi: Mpi = Mpi()
    modules: tuple[Argument, ...] = ()
    setup: tuple[Line, ...] = ()
    container: tuple[Argument, ...] = ()
    osong: tuple[Argument, ...] = ()
    scratch: Line = ""
    extra: tuple[Option, ...] = ()
    finish_partition: Word = ""
    finish_qos: Word = ""
    finish_time: str = "01:00:00"

    @field_validator("time_limit", "finish_time")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        slurm_seconds(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Site:
        if self.warning >= slurm_seconds(self.time_limit):
            raise ValueError(
                f"warning_s ({self.warning} s) must be less than time_limit ({self.time_limit})"
            )
        if self.launch == "local" and self.nodes_per_pilot > 1:
            raise ValueError('launch "local" is for one node: nodes_per_pilot must be 1')
        if self.launch == "srun" and self.container:
            raise ValueError(
                'in a container there is no srun to call: launch must be "mpi" or "local"'
            )
        if self.launch == "mpi":
            self._check_ranks()
        return self

    def _check_ranks(self) -> None:
        per_node = self.mpi.ranks_per_node
        if per_node * self.nodes_per_pilot < 3:
            raise ValueError(
                f'launch "mpi" needs 3 ranks or more and a pilot has '
                f"{per_node * self.nodes_per_pilot}: raise mpi.ranks_per_node"
            )
        if self.cores_per_node and self.cores_per_node < per_node:
            raise ValueError(
                f"{per_node} ranks cannot share {self.cores_per_node} cores: lower "
                "mpi.ranks_per_node"
            )

    @property
    def asks_for_devices(self) -> bool:
        """Whether a job gets GPUs, as far as the profile tells."""
        return self.gpus_per_node > 0 or any("gpu" in option for option in self.extra)

    @property
    def n_gpus(self) -> int | None:
        """GPUs that a job gets on each node; None where the profile does not tell how many."""
        counts = [int(found[1]) for option in self.extra if (found := _GPUS.match(option))]
        if self.asks_for_devices and not self.gpus_per_node and not counts:
            return None
        return max([self.gpus_per_node, *counts])

    @property
    def warning(self) -> int:
        """Seconds before the limit at which a pilot is told to come to an end."""
        return self.warning_s or min(600, slurm_seconds(self.time_limit) // 10)

    @property
    def grace_s(self) -> int:
        """Seconds that a pilot may take to come to an end; the rest is for writing and leaving."""
        return self.warning - min(60, self.warning // 4)


def slurm_seconds(text: str) -> int:
    """Return the seconds of a time as Slurm writes it.

    Examples
    --------
    >>> slurm_seconds("30"), slurm_seconds("12:00:00"), slurm_seconds("2-12")
    (1800, 43200, 216000)

    Raises
    ------
    ValueError
        It is no such time, or zero.
    """
    match = _TIME.fullmatch(text)
    found = match.groupdict("0") if match else {}
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    seconds = sum(units[key[0]] * int(value) for key, value in found.items())
    if not seconds:
        raise ValueError(
            f"{text!r} is no time for a job; write minutes, hours:minutes:seconds, or days-hours, "
            'such as "90", "12:00:00", "2-00"'
        )
    return seconds


def known_sites() -> list[str]:
    """Return the names of the profiles that can be asked for: the user's own and Osong's."""
    own = [path.stem for path in _own_sites().glob("*.toml")]
    return sorted({*own, *osong_slurm.site_names()})


def load_site(name: str, **changes: Any) -> Site:
    """Read a site's profile.

    Parameters
    ----------
    name
        A profile of ``~/.config/osong/sites``, one that comes with Osong, or the path of a file.
    changes
        Fields to set besides; None leaves what the profile says.

    Raises
    ------
    InputError
        There is no such profile, or it is not right; one line says what and where.
    """
    path = _find(name)
    values, places = _read(path, ())
    wanted = {key: value for key, value in changes.items() if value is not None}
    try:
        return Site(**{**values, **wanted, "name": path.stem})
    except ValidationError as error:
        raise InputError(_problem(error, path, places, wanted)) from error


def _own_sites() -> Path:
    """Return the folder of the user's own profiles."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "osong" / "sites"


def _find(name: str) -> Path:
    """Return the file of a profile."""
    if os.sep in name or name.endswith(".toml"):
        path = Path(name).expanduser()
        if path.is_file():
            return path
    elif name:
        own = _own_sites() / f"{name}.toml"
        found = own if own.is_file() else osong_slurm.site_file(name)
        if found is not None:
            return found
    what = f"site {name!r} is unknown" if name else "no site is named (--site NAME)"
    raise InputError(
        f"{what}; choose one of {', '.join(known_sites())}, or write {_own_sites() / 'NAME.toml'}"
    )


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, Place]]:
    """Return the values of a profile and of those that it is like, and where each key stands."""
    if path in seen:
        raise InputError(f"{path}: is like itself; change its key '{_LIKE}'")
    try:
        values, lines = read_toml(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend that") from error
    if "name" in values:
        raise InputError(
            f"{path}:{lines.of(('name',))}: a site is called like its file; remove name"
        )
    places: dict[str, Place] = dict.fromkeys(values, (path, lines))
    like = values.pop(_LIKE, None)
    if like is None:
        return values, places
    if not isinstance(like, str):
        raise InputError(
            f"{path}:{lines.of((_LIKE,))}: {_LIKE} must be the name of a site, in quotes"
        )
    # A profile of the user's may be called like the one of Osong's that it is like.
    base = osong_slurm.site_file(like) if like == path.stem else None
    below, places_below = _read(base or _find(like), (*seen, path))
    return {**below, **values}, {**places_below, **places}


def _problem(
    error: ValidationError, path: Path, places: Mapping[str, Place], changed: Mapping[str, Any]
) -> str:
    """Return the first thing that is wrong with a profile: file, line, key, why, remedy."""
    problem = error.errors()[0]
    keys = [part for part in problem["loc"] if isinstance(part, str) and "[" not in part]
    why = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "string_pattern_mismatch":
        why = "is not what can stand there in a batch script (an option begins with -)"
    if not keys:
        return f"{path}: {why}"
    if keys[0] in changed:
        return f"{keys[0]} {problem['input']!r}: {why}"
    file, lines = places[keys[0]]
    where = f"{file}:{lines.of(tuple(problem['loc']))}: {'.'.join(keys)}"
    if problem["type"] == "extra_forbidden":
        fields = Mpi.model_fields if len(keys) > 1 else ({_LIKE, *Site.model_fields} - {"name"})
        return f"{where} is no key of a site's profile; the keys are {', '.join(sorted(fields))}"
    return f"{where}: {why}, got {problem['input']!r}"
