"""``python -m benchmarks active``: the tables of docs/active-learning.md.

Runs `osong bench active` on MolPAL's 10,449 scores with two kinds of first batches, measures what
fingerprints and predictions cost on one core, and plans a library of a billion from that.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.active import (
    Acquisition,
    FeatureStore,
    RecallTally,
    SurrogateOptions,
    choose_batch,
    fit_surrogate,
    write_features,
)
from osong.library import read_records
from osong_benchmarks.active import command_of, measure_active
from osong_benchmarks.active_report import recall_text, table_text, write_report
from osong_benchmarks.active_scores import read_scores
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import markdown_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osong.active import FeatureBatch, Surrogate
    from osong_benchmarks.active import ActiveTable

__all__ = ["Rates", "add_arguments", "main", "measure_rates", "plan_text"]

_DOCUMENT: Final = Path("docs/active-learning.md")
_SCORES: Final = Path("active_learning/Enamine10k_scores.csv.gz")
_LIBRARY: Final = Path("library/moses_100k.smi.gz")
_BILLION: Final = 1e9
_TRAINED_ON: Final = 600


@dataclass(frozen=True)
class Rates:
    """What one core does, and what a molecule takes.

    Attributes
    ----------
    n
        Molecules measured.
    fingerprints, predictions
        Molecules a second of CPU time; predictions from stored fingerprints: reading, ensemble,
        estimate of the recall, acquisition, and the best kept.
    networks
        The ensemble alone, from memory.
    bytes_stored
        A molecule on disk.
    seconds_to_train
        CPU time for 600 molecules, calibration included.
    peak_megabytes
        Of the process that did all this.
    """

    n: int
    fingerprints: float
    predictions: float
    networks: float
    bytes_stored: float
    seconds_to_train: float
    peak_megabytes: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only-rates", action="store_true", help="no runs: what it costs only")
    parser.add_argument("--molecules", type=int, default=100_000, help="for the rates, at most")


def main(args: argparse.Namespace) -> None:
    """Run, print, and with ``--write`` put the tables into the document."""
    texts = {}
    for initial in () if args.only_rates else ("random", "large"):
        table = measure_active(
            args.data / _SCORES, out=args.out / f"active-{initial}", n_seeds=args.seeds, top=100,
            initial=initial, say=print,
        )  # fmt: skip
        write_report(table, args.out / f"active-{initial}", command_of(table))
        texts[f"active-{initial}"] = _both(table)
    rates = measure_rates(args.data, args.out / "active-rates", args.molecules)
    texts["active-plan"] = plan_text(rates)
    for name, text in texts.items():
        print(f"{text}\n")
        if args.write:
            write_table(_DOCUMENT, name, text, provenance(_command(args)))


def _command(args: argparse.Namespace) -> list[str]:
    """Return the words of the command that decide what was measured."""
    only = ["--only-rates"] if args.only_rates else ["--seeds", str(args.seeds)]
    return ["active", *only, "--molecules", str(args.molecules), "--write"]


def _both(table: ActiveTable) -> str:
    return f"{table_text(table)}\n\n{recall_text(table)}"


def measure_rates(data: Path, out: Path, n_most: int) -> Rates:
    """Measure on one core; CPU time counts, so that others on the machine do not."""
    smiles = [record.data for record in read_records(data / _LIBRARY, stop=n_most)]
    known = read_scores(data / _SCORES)
    begun = _cpu_seconds()
    store = write_features(smiles, out / f"features-{len(smiles)}", workers=1)
    spent = _cpu_seconds() - begun
    kept = out / "fingerprint-seconds"
    if spent > 1e-4 * len(smiles) or not kept.exists():  # less: they were there from before
        kept.write_text(f"{spent}", encoding="utf-8")
    docked = write_features(known.smiles[:_TRAINED_ON], out / "features-docked")
    (batch,) = docked.batches()
    options = SurrogateOptions(threads=1)
    begun = time.process_time()
    surrogate = fit_surrogate(batch, known.scores[batch.index], options)
    seconds = time.process_time() - begun
    size = sum((store.folder / shard.file).stat().st_size for shard in store.shards)
    return Rates(
        n=store.n_records,
        fingerprints=len(smiles) / float(kept.read_text(encoding="utf-8")),
        predictions=_prediction_rate(store, surrogate, known.scores[batch.index]),
        networks=_network_rate(store, surrogate),
        bytes_stored=size / store.n_records,
        seconds_to_train=seconds,
        peak_megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of those it started that have ended."""
    return sum(os.times()[:4])


def _prediction_rate(store: FeatureStore, surrogate: Surrogate, scores: Any) -> float:
    """Return molecules a second through the stream that chooses a batch; the best of three."""
    best = 0.0
    for _ in range(3):
        tally = RecallTally(scores, 100)
        begun = time.process_time()
        choose_batch(
            surrogate, store.batches, np.empty(0, np.int64), store.n_records // 100,
            Acquisition("ucb"), tally=tally, threads=1,
        )  # fmt: skip
        best = max(best, store.n_records / (time.process_time() - begun))
    return best


def _network_rate(store: FeatureStore, surrogate: Surrogate) -> float:
    batches = list(_some(store.batches()))
    best = 0.0
    for _ in range(3):
        begun = time.process_time()
        for batch in batches:
            surrogate.predict(batch)
        n = sum(len(batch.index) for batch in batches)
        best = max(best, n / (time.process_time() - begun))
    return best


def _some(batches: Iterator[FeatureBatch]) -> Iterator[FeatureBatch]:
    for _, batch in zip(range(4), batches, strict=False):
        yield batch


def plan_text(rates: Rates) -> str:
    """Return the measured rates and what follows for a billion molecules."""
    hours = _BILLION / 3600
    rows = [
        ["fingerprints, once", f"{rates.fingerprints:,.0f}", f"{hours / rates.fingerprints:,.0f}"],
        [
            "one round of predictions, from disk to the chosen batch",
            f"{rates.predictions:,.0f}",
            f"{hours / rates.predictions:,.1f}",
        ],
        ["of it the networks", f"{rates.networks:,.0f}", f"{hours / rates.networks:,.1f}"],
    ]
    table = markdown_table(["", "molecules a second and core", "core hours for 1e9"], rows)
    five = 5 * hours / rates.predictions
    disk_rate = 64 * rates.predictions * rates.bytes_stored / 1e6
    lines = [
        f"On disk {rates.bytes_stored:.0f} bytes a molecule, so many GB for 1e9. Five rounds of",
        f"predictions are {five:,.0f} core hours: {60 * five / 64:,.0f} minutes on a node of 64",
        f"cores, if its disk gives {disk_rate:,.0f} MB/s. Training on {_TRAINED_ON} molecules,",
        f"calibration included: {rates.seconds_to_train:.1f} s of CPU time. The process that",
        f"measured this, PyTorch in it, held at most {rates.peak_megabytes:,.0f} MB. Candidates",
        "are 524 bytes each, held three times at most: 1.6 GB for a batch of 1e6, "
        "ten times that with `most_similar`.",
        f"({rates.n:,} molecules of MOSES, CPU time.)",
    ]
    return f"{table}\n\n{' '.join(lines)}"
