"""``python -m benchmarks``: the suite, as ``osong bench``; or one benchmark by name."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from osong_benchmarks.results import DEFAULT_OUT

_COMMANDS = {
    "parity": ("parity", "scores of crystal poses against Vina 1.2.7"),
    "redock": ("redock", "docking of the shared complexes against Vina: accuracy and CPU time"),
    "nasty": ("nasty", "awkward and broken inputs: what becomes of each"),
    "memory": ("memory", "memory and files over many molecules"),
    "screen": ("screen", "ligands per second from end to end, and where the time goes"),
    "prepare": ("prepare_profile", "preparation of ligands by stage, beside RDKit's bare pace"),
    "simulate": ("campaign_simulation", "a campaign on ten thousand workers, simulated"),
    "faults": ("faults", "kills, lost nodes, full disks, poison: what becomes of campaigns"),
    "runners": ("runner_costs", "what each runner costs, and how it scales"),
    "big_campaign": ("big_campaign", "a campaign of 100,000 poses in Slurm, disturbed all along"),
    "cnn": ("cnn", "rescoring with GNINA's networks: poses a second and core, beside peers"),
    "cuda": ("cuda_report", "machine code of the CUDA kernels, and what it predicts"),
    "fusion": ("fusion", "poses ranked by energy, by networks and by both, cross-validated"),
    "size_bias": ("size_bias", "enrichment with energies corrected for the ligands' sizes"),
    "rank_enrichment": ("rank_enrichment", "molecules ranked by energy, networks and both"),
    "active": ("active_tables", "active learning: recall beside published figures, and its costs"),
    "active_screen": ("active_screen", "active learning with docking, beside a whole screen"),
    "tables": ("written_tables", "the tables of a run of the suite, for README.md and docs"),
}


def main(argv: list[str] | None = None) -> None:
    """Run one benchmark, or the suite where no benchmark is named."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in _COMMANDS:
        from osong.cli.main import app

        app(["bench", *argv], prog_name="osong")
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--data",
            type=Path,
            default=Path(os.environ.get("OSONG_BENCH_DATA") or "../shared/data"),
        )
        command.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the results")
        command.add_argument(
            "--write", action="store_true", help="write the tables into README.md and docs"
        )
        if name == argv[0]:
            importlib.import_module(f"osong_benchmarks.{module}").add_arguments(command)
    args = parser.parse_args(argv)
    importlib.import_module(f"osong_benchmarks.{_COMMANDS[args.command][0]}").main(args)


if __name__ == "__main__":
    main()
