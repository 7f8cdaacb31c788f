"""Awkward and broken inputs: every record of every file is accounted for, with a reason.

Molecules go through the campaign's own watched process (a time limit, crashes noticed); structures
through ``Target.from_file``, each in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from osong import LigandOptions, Record, Target, read_records
from osong.errors import OsongError
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.preparing import DOCKER
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.tables import markdown_table, write_table
from osong_workflows.child import Job
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.events import Publisher
from osong_workflows.outcome import FailedMolecule
from osong_workflows.settings import CampaignSettings, dump_ligand_options
from osong_workflows.supervisor import StartGate, Supervisor

__all__ = ["add_arguments", "file_records", "main", "summary"]

Row = dict[str, Any]
_WITHOUT_SUFFIX = {"openbabel_random2": "smiles", "openbabel_random3": "smiles"}
_EXPECTATIONS = "handwritten_smiles.tsv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--kinds", nargs="+", choices=["smiles", "mol", "pdb"],
                        default=["smiles", "mol", "pdb"])  # fmt: skip
    parser.add_argument("--only", nargs="*", default=[], help="names of files")
    parser.add_argument("--limit-s", type=float, default=60.0, help="of one molecule")
    parser.add_argument("--structure-limit-s", type=float, default=300.0)
    parser.add_argument("--n", type=int, default=None, help="first so many records of a file")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the table")
    parser.add_argument("--dock", action="store_true", help="dock, too (effort fast, into 1yv3)")


def main(args: argparse.Namespace) -> None:
    """Run what has not been run, then print the table."""
    name = "nasty_docked" if args.dock else "nasty"
    results = ResultFile(args.out / f"{name}.jsonl", ("kind", "file"))
    if args.summary:
        args.kinds = []
    supervisor: Supervisor[Any] = Supervisor(
        _job(args), Publisher([]), threading.Event(), StartGate()
    )
    with contextlib.closing(supervisor):
        _run_all(args, results, supervisor)
    if not results.rows():
        return
    table = summary(results.rows())
    print(table)
    if args.write:
        command = ["nasty", "--data", str(args.data), *(["--dock"] if args.dock else [])]
        write_table(Path("docs/accuracy.md"), "nasty", table, provenance(command))


def _run_all(args: argparse.Namespace, results: ResultFile, supervisor: Supervisor[Any]) -> None:
    for kind in args.kinds:
        for path in sorted((args.data / "nasty" / kind).iterdir()):
            if args.only and path.name not in args.only:
                continue
            if not results.has(kind=kind, file=path.name):
                row = (
                    run_structure(path, args.structure_limit_s)
                    if kind == "pdb"
                    else run_file(path, kind, supervisor, args.n)
                )
                results.add(row)
                print(f"{kind}/{path.name}: {row['n']} in, {row['outcomes']}", flush=True)


def _job(args: argparse.Namespace) -> Job:
    """Return what the watched process is told; the target is docked into only with --dock."""
    (complex_,) = read_complexes(args.data, ["1yv3"])
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    target = Target.from_file(receptor, box=complex_.box, name="1yv3")
    path = args.out / "nasty_target.osong"
    target.save(path)
    settings = CampaignSettings(
        target_name=target.name,
        target_key=target.key.hex(),
        scoring="vina",
        effort="fast",
        n_poses=1,
        seed=0,
        molecule_timeout_s=args.limit_s,
        docker=DEFAULT_DOCKER if args.dock else DOCKER,
        ligands=dump_ligand_options(LigandOptions()),
    )
    return Job(str(path), settings)


def file_records(path: Path, n: int | None = None) -> Iterator[Record]:
    """Yield the records of a file of molecules."""
    if path.name == _EXPECTATIONS:
        return read_records(list(_expectations(path))[:n])
    return read_records(path, kind=_WITHOUT_SUFFIX.get(path.name), stop=n)


def _expectations(path: Path) -> Iterator[tuple[str, str]]:
    """Yield SMILES and what is expected of it; the file has blank ones on purpose."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[1:], start=2):
        columns = line.split("\t")
        if len(columns) >= 2:
            yield columns[0], f"{columns[1]}:{number}"


def run_file(path: Path, kind: str, supervisor: Supervisor[Any], n: int | None) -> Row:
    """Return one row: how many records a file has, and what became of them."""
    row: Row = {"kind": kind, "file": path.name}
    outcomes: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    surprises = []
    records = 0
    try:
        for record in file_records(path, n):
            records += 1
            outcome = supervisor.dock(record)
            stage = outcome.stage if isinstance(outcome, FailedMolecule) else "ok"
            outcomes[stage] += 1
            if isinstance(outcome, FailedMolecule):
                reasons.setdefault(stage, f"{record.name}: {outcome.reason}")
            expected = record.name.partition(":")[0] if path.name == _EXPECTATIONS else ""
            if (expected, stage == "ok") in {("reject", True), ("keep", False)}:
                surprises.append(f"{record.name} {record.data!r}: {stage}")
    except OsongError as error:
        outcomes["file refused"] += 1
        reasons["file refused"] = str(error)
        records += 1
    return row | {
        "n": records,
        "outcomes": dict(outcomes),
        "reasons": reasons,
        "surprises": surprises,
    }


def run_structure(path: Path, limit_s: float) -> Row:
    """Return one row for a structure: ready, or refused with a reason."""
    row: Row = {"kind": "pdb", "file": path.name, "n": 1, "surprises": []}
    command = [sys.executable, "-m", "osong_benchmarks.nasty_structure", str(path)]
    root = Path(__file__).parents[2]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, cwd=root, check=False
        )
    except subprocess.TimeoutExpired:
        return row | _outcome("time", f"took longer than {limit_s:g} s")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return row | _outcome("crash", f"exit code {done.returncode}: {last[:300]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return row | _outcome(answer["outcome"], answer["text"])


def _outcome(stage: str, reason: str) -> Row:
    return {"outcomes": {stage: 1}, "reasons": {stage: reason}}


def summary(rows: list[Row]) -> str:
    """Return the table of outcomes by kind of input, and every crash, time-out and surprise."""
    stages = sorted({stage for row in rows for stage in row["outcomes"]} - {"ok"})
    lines = []
    for kind in sorted({row["kind"] for row in rows}):
        chosen = [row for row in rows if row["kind"] == kind]
        total: Counter[str] = Counter()
        for row in chosen:
            total.update(row["outcomes"])
        n = sum(row["n"] for row in chosen)
        lines.append([kind, len(chosen), n, *(total[s] for s in ("ok", *stages)),
                      n - sum(total.values())])  # fmt: skip
    table = markdown_table(["kind", "files", "records", "ok", *stages, "unaccounted"], lines)
    noted = [
        f"- {row['file']}, {stage}: {row['reasons'][stage]}"
        for row in rows
        for stage in ("crash", "time", "memory")
        if stage in row["reasons"]
    ]
    noted += [f"- {row['file']}, unexpected: {text}" for row in rows for text in row["surprises"]]
    return "\n".join([table, "", *(noted or ["No crash, no time-out."])])
