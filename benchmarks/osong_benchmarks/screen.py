"""From a file of molecules to poses: ligands per second and core, and where the time goes.

The stages are timed in one process, with the campaign's own functions; then a campaign with one
worker runs from end to end, and what its clock shows beyond the stages is its own cost.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import osong
from osong.errors import LigandError
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import markdown_table, write_table
from osong_workflows.docking import build_docker
from osong_workflows.settings import make_settings

__all__ = ["StageClock", "add_arguments", "main", "summary"]

_STAGES = {
    "read": ("osong_workflows.preparing:parse_record",),
    "prepare: states": (
        "osong.ligands.prepare:standardize",
        "osong.ligands.prepare:enumerate_variants",
    ),
    "prepare: embed": ("osong.ligands.prepare:embed",),
    "prepare: type and pack": ("osong.ligands.prepare:pack_molecule",),
    "prepare: other": ("osong_workflows.preparing:prepare_ligand",),
    "search": ("osong.search.session:find_minima",),
    "refine": ("osong.search.session:refine",),
}
"""Stage: functions, under the names by which their callers find them. A stage's own time is that
of its functions less that of the stages inside them."""
_REST = "poses: score, select"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--n", type=int, default=1000, help="molecules")
    parser.add_argument("--library", default="moses_1k.smi", help="file of the library folder")
    parser.add_argument("--complex", default="1opk", help="receptor and box")
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--no-campaign", action="store_true", help="time the stages alone")


def main(args: argparse.Namespace) -> None:
    """Time the stages and a campaign, then print the table."""
    (complex_,) = read_complexes(args.data, [args.complex])
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    target = osong.Target.from_file(receptor, box=complex_.box, name=args.complex)
    result = time_stages(target, args)
    if not args.no_campaign:
        result["campaign_s"] = time_campaign(target, args)
    (args.out / f"screen_{args.effort}_{args.n}.json").write_text(json.dumps(result))
    table = summary(result)
    print(table)
    if args.write:
        command = ["screen", "--data", "../shared/data", "--n", str(args.n), "--effort",
                   args.effort]  # fmt: skip
        write_table(Path("docs/accuracy.md"), "screen", table, provenance(command))


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


def time_stages(target: osong.Target, args: argparse.Namespace) -> dict[str, Any]:
    """Return CPU seconds of every stage over the first molecules of the library."""
    settings = make_settings(
        target_name=target.name, target_key=target.key.hex(), scoring="vina", effort=args.effort,
        n_poses=3, seed=0, molecule_timeout_s=600.0, docker="-", ligands={},
    )  # fmt: skip
    saved = args.out / "screen_target.osong"
    target.save(saved)
    started = time.process_time()
    dock = build_docker(str(saved), settings)
    compiled = time.process_time() - started
    clock = StageClock()
    n_failed = 0
    dock = clock.wrap(_REST, dock)  # what no inner stage takes
    with ExitStack() as stack:
        for stage, names in _STAGES.items():
            for name in names:
                module, _, attribute = name.partition(":")
                found = getattr(importlib.import_module(module), attribute)
                stack.enter_context(mock.patch(f"{module}.{attribute}", clock.wrap(stage, found)))
        grid = importlib.import_module("osong.scoring.grid").GridMaps
        stack.enter_context(mock.patch.object(grid, "ensure", clock.wrap("maps", grid.ensure)))
        records = osong.read_records(args.data / "library" / args.library, stop=args.n)
        while True:
            with clock.counting("read"):
                record = next(records, None)
            if record is None:
                break
            try:
                dock(record)
            except LigandError:
                n_failed += 1
    return {"stages": dict(clock.seconds), "n": args.n, "n_failed": n_failed,
            "start_s": compiled, "effort": args.effort}  # fmt: skip


def time_campaign(target: osong.Target, args: argparse.Namespace) -> float:
    """Return the wall seconds of a campaign with one worker, start included."""
    folder = args.out / f"screen_{args.effort}_{args.n}"
    shutil.rmtree(folder, ignore_errors=True)
    records = osong.read_records(args.data / "library" / args.library, stop=args.n)
    molecules = [(record.data, record.name) for record in records]
    started = time.perf_counter()
    osong.screen(target, molecules, out=folder, effort=args.effort, workers=1)
    return time.perf_counter() - started


def summary(result: dict[str, Any]) -> str:
    """Return the table of stages and the rates."""
    total = sum(result["stages"].values())
    order = [
        "read",
        *(s for s in _STAGES if s.startswith("prepare")),
        "maps",
        "search",
        "refine",
        _REST,
    ]
    lines = []
    for stage in (stage for stage in order if stage in result["stages"]):
        seconds = result["stages"][stage]
        lines.append(
            [stage, f"{seconds:.2f}", f"{1e3 * seconds / result['n']:.1f}",
             f"{100 * seconds / total:.1f} %"]
        )  # fmt: skip
    table = markdown_table(["stage", "CPU s", "ms a ligand", "share"], lines)
    text = (
        f"{result['n']} molecules, effort {result['effort']}, {result['n_failed']} failed: "
        f"{result['n'] / total:.2f} ligands a second and core "
        f"(start and compilation, {result['start_s']:.1f} s, not counted)."
    )
    if "campaign_s" in result:
        rate = result["n"] / result["campaign_s"]
        text += (
            f" As a campaign with one worker, start, parts and ledger included: "
            f"{result['campaign_s']:.0f} s by the clock, {rate:.2f} a second."
        )
    return f"{table}\n\n{text}"
