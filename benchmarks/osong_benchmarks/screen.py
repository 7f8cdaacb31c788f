"""From a file of molecules to poses: ligands per second and core, and where the time goes.

The stages are timed in one process, with the campaign's own functions; then a campaign with one
worker runs from end to end, and what its clock shows beyond the stages is its own cost. Peers dock
the first molecules of the same library, one state each.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from unittest import mock

import osong
from osong.errors import LigandError
from osong.library import Record
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.cpu_clock import cpu_seconds
from osong_benchmarks.part import PartModel, Table
from osong_benchmarks.results import provenance
from osong_benchmarks.screen_peers import Screened, peers_table, screen_first
from osong_benchmarks.tables import markdown_table, write_table
from osong_workflows.docking import build_docker
from osong_workflows.settings import make_settings

__all__ = [
    "STAGES",
    "CampaignTime",
    "StageClock",
    "StageTimes",
    "add_arguments",
    "main",
    "stage_table",
    "time_campaign",
    "time_stages",
]

_FUNCTIONS: Final = {
    "read": ("osong_workflows.preparing:parse_record",),
    "prepare: states": (
        "osong.ligands.prepare:standardize",
        "osong.ligands.prepare:enumerate_variants",
    ),
    "prepare: embed": ("osong.ligands.prepare:embed",),
    "prepare: type and pack": ("osong.ligands.prepare:pack_molecule",),
    "prepare: other": ("osong_workflows.preparing:prepare_ligand",),
    "maps": ("osong.scoring.grid:GridMaps.ensure",),
    "search": ("osong.search.session:find_minima",),
    "refine": ("osong.search.session:refine",),
}
"""Stage: functions, under the names by which their callers find them. A stage's own time is that
of its functions less that of the stages inside them."""
_N_WARM_UP: Final = 2
_REST: Final = "poses: score, select"
STAGES: Final = (*_FUNCTIONS, _REST)
"""In the order in which a molecule passes them."""


class StageTimes(PartModel):
    """CPU seconds of every stage over some molecules in one process.

    Attributes
    ----------
    effort
        Of the search.
    n, n_failed
        Molecules, and those without a pose.
    stages
        CPU seconds of each.
    start_s
        Of reading the target, its first maps, compilation and what else is done once a process
        (the first molecules are docked once before): not in the stages.
    unknown
        Stages whose functions are no longer where they were; their time is in the stage around.
    """

    effort: str
    n: int
    n_failed: int
    stages: dict[str, float]
    start_s: float
    unknown: tuple[str, ...] = ()

    @property
    def total_s(self) -> float:
        """CPU seconds of all stages."""
        return sum(self.stages.values())

    @property
    def rate(self) -> float:
        """Ligands a CPU second."""
        return self.n / self.total_s

    def seconds(self, begins: str) -> float:
        """Return the CPU seconds of the stages whose names begin so."""
        return sum(s for stage, s in self.stages.items() if stage.startswith(begins))


class CampaignTime(PartModel):
    """A campaign with one worker from end to end, start and compilation included.

    Attributes
    ----------
    effort
        Of the search.
    n
        Molecules.
    wall_s, cpu_s
        Seconds by the clock, and CPU seconds of all its processes.
    """

    effort: str
    n: int
    wall_s: float
    cpu_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--n", type=int, default=1000, help="molecules")
    parser.add_argument("--library", default="moses_1k.smi", help="file of the library folder")
    parser.add_argument("--complex", default="1opk", help="receptor and box")
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--no-campaign", action="store_true", help="time the stages alone")
    parser.add_argument(
        "--programs", nargs="*", default=[], help="for the first molecules, such as 'vina 8'"
    )
    parser.add_argument("--n-peers", type=int, default=20, help="molecules that they dock")


def main(args: argparse.Namespace) -> None:
    """Time the stages and a campaign, then print the table."""
    (complex_,) = read_complexes(args.data, [args.complex])
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    target = osong.Target.from_file(receptor, box=complex_.box, name=args.complex)
    library = args.data / "library" / args.library
    times = time_stages(target, library, args.n, args.effort, args.out)
    campaign = None
    if not args.no_campaign:
        campaign = time_campaign(target, library, args.n, args.effort, args.out)
    peers = screen_first(target, library, args.n_peers, args.programs, args.out, print)
    result = times.model_dump() | {"campaign": campaign and campaign.model_dump(),
                                   "peers": [p.model_dump() for p in peers]}  # fmt: skip
    path = args.out / f"screen_{args.effort}_{args.n}.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    text = summary(times, campaign, peers)
    print(text)
    if args.write:
        command = ["screen", "--data", str(args.data), "--n", str(args.n), "--effort",
                   args.effort]  # fmt: skip
        write_table(Path("docs/performance.md"), "screen", text, provenance(command))


class StageClock:
    """CPU seconds of named stages; of nested stages each keeps what the inner ones leave.

    Attributes
    ----------
    seconds
        Own time of each stage.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted to a stage."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.counting(stage):
                return function(*args, **kwargs)

        return timed

    @contextmanager
    def counting(self, stage: str) -> Iterator[None]:
        """Count what runs inside to a stage."""
        self._inner.append(0.0)
        started = time.process_time()
        try:
            yield
        finally:
            elapsed = time.process_time() - started
            self.seconds[stage] += elapsed - self._inner.pop()
            self._inner[-1] += elapsed

    @contextmanager
    def watching(self, functions: dict[str, Sequence[str]]) -> Iterator[list[str]]:
        """Count the stages' functions wherever they are called; yield stages not found."""
        unknown = []
        with ExitStack() as stack:
            for stage, names in functions.items():
                for name in names:
                    try:
                        owner, attribute = _owner(name)
                        function = getattr(owner, attribute)
                    except (ImportError, AttributeError):
                        unknown.append(stage)
                        continue
                    wrapped = self.wrap(stage, function)
                    stack.enter_context(mock.patch.object(owner, attribute, wrapped))
            yield unknown


def _owner(name: str) -> tuple[Any, str]:
    """Return the module or class that holds "module:function" or "module:Class.method"."""
    module, _, path = name.partition(":")
    *classes, attribute = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in classes:
        owner = getattr(owner, part)
    return owner, attribute


def time_stages(target: osong.Target, library: Path, n: int, effort: str, out: Path) -> StageTimes:
    """Return CPU seconds of every stage over the first molecules of a library.

    Parameters
    ----------
    target
        To dock into.
    library
        File of molecules.
    n
        How many.
    effort
        Of the search.
    out
        Folder for the target's file.
    """
    settings = make_settings(
        target_name=target.name, target_key=target.key.hex(), scoring="vina", effort=effort,
        n_poses=3, seed=0, molecule_timeout_s=600.0, docker="-", ligands={},
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    saved = out / "screen_target.osong"
    target.save(saved)
    started = time.process_time()
    dock = build_docker(str(saved), settings)
    for first in osong.read_records(library, stop=_N_WARM_UP):
        with suppress(LigandError):
            dock(first)
    start_s = time.process_time() - started
    clock = StageClock()
    n_failed = 0
    dock = clock.wrap(_REST, dock)  # what no inner stage takes
    with clock.watching(dict(_FUNCTIONS)) as unknown:
        records = osong.read_records(library, stop=n)
        n_read = 0
        while (record := _next(records, clock)) is not None:
            n_read += 1
            try:
                dock(record)
            except LigandError:
                n_failed += 1
    return StageTimes(
        effort=effort, n=n_read, n_failed=n_failed, stages=dict(clock.seconds), start_s=start_s,
        unknown=tuple(unknown),
    )  # fmt: skip


def _next(records: Iterator[Record], clock: StageClock) -> Record | None:
    with clock.counting("read"):
        return next(records, None)


def time_campaign(
    target: osong.Target, library: Path, n: int, effort: str, out: Path
) -> CampaignTime:
    """Return the seconds of a campaign with one worker, start, parts and ledger included."""
    folder = out / f"screen_{effort}_{n}"
    shutil.rmtree(folder, ignore_errors=True)
    molecules = [(record.data, record.name) for record in osong.read_records(library, stop=n)]
    started, cpu = time.perf_counter(), cpu_seconds()
    osong.screen(target, molecules, out=folder, effort=effort, workers=1, progress=False)
    return CampaignTime(
        effort=effort, n=len(molecules), wall_s=time.perf_counter() - started,
        cpu_s=cpu_seconds() - cpu,
    )  # fmt: skip


def stage_table(times: StageTimes) -> Table:
    """Return the stages of one effort, start and compilation in a row of their own."""
    rows = [
        [stage, f"{s:.2f}", f"{1e3 * s / times.n:.1f}", f"{100 * s / times.total_s:.1f} %"]
        for stage in STAGES
        if (s := times.stages.get(stage)) is not None
    ]
    rows.append(["all stages", f"{times.total_s:.2f}", f"{1e3 * times.total_s / times.n:.1f}",
                 "100.0 %"])  # fmt: skip
    rows.append(["start and compilation, once a process", f"{times.start_s:.2f}", "-", "-"])
    caption = (
        f"{times.n} molecules, effort {times.effort}, {times.n_failed} failed: {times.rate:.2f} "
        "ligands a second and core."
    )
    return Table(["stage", "CPU s", "ms a ligand", "share"], rows, caption)


def summary(
    times: StageTimes, campaign: CampaignTime | None = None, peers: Sequence[Screened] = ()
) -> str:
    """Return the table of stages, the rates, and the table of peers."""
    table = stage_table(times)
    text = f"{markdown_table(table.header, table.rows)}\n\n{table.caption}"
    if campaign is not None:
        text += (
            f" As a campaign with one worker, start, compilation, parts and ledger included: "
            f"{campaign.wall_s:.0f} s by the clock, {campaign.n / campaign.wall_s:.2f} a second."
        )
    if peers:
        beside = peers_table(peers)
        text += f"\n\n{markdown_table(beside.header, beside.rows)}\n\n{beside.caption}"
    return text
