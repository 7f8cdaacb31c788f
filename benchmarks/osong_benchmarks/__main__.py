"""``python -m benchmarks WHAT``: run a benchmark, or write its table from what has been run."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from osong_benchmarks.results import DEFAULT_OUT

_COMMANDS = {
    "parity": "scores of crystal poses against Vina 1.2.7",
    "redock": "docking of the shared complexes against Vina 1.2.7: accuracy, energies, CPU time",
    "nasty": "awkward and broken inputs: what becomes of each",
    "memory": "memory and files over many molecules",
    "screen": "ligands per second from end to end, and where the time goes",
}


def main(argv: list[str] | None = None) -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--data", type=Path, default=Path("../shared/data"))
        command.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the results")
        command.add_argument(
            "--write", action="store_true", help="write the tables into README.md and docs"
        )
        importlib.import_module(f"osong_benchmarks.{name}").add_arguments(command)
    args = parser.parse_args(argv)
    importlib.import_module(f"osong_benchmarks.{args.command}").main(args)


if __name__ == "__main__":
    main()
