"""Enrichment, and the table of size corrections, with made-up energies."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit.ML.Scoring import Scoring

from osong_benchmarks.enrichment import auc, bedroc, enrichment_factor, ranked_flags
from osong_benchmarks.results import ResultFile
from osong_benchmarks.size_bias import Docked, main, size_bias_text


@given(st.lists(st.booleans(), min_size=5, max_size=200).filter(lambda f: 0 < sum(f) < len(f)))
def test_measures_are_those_of_rdkit(flags: list[bool]) -> None:
    rows = [[flag] for flag in flags]
    assert auc(flags) == pytest.approx(Scoring.CalcAUC(rows, 0))
    assert bedroc(flags) == pytest.approx(Scoring.CalcBEDROC(rows, 0, 20.0))
    wanted = Scoring.CalcEnrichment(rows, 0, [0.05])[0]
    assert enrichment_factor(flags, 0.05) == pytest.approx(wanted)


def test_ranking_puts_what_has_no_score_last_and_ties_by_lot() -> None:
    flags = ranked_flags([np.nan, -9.0, -8.0], [True, False, True])
    assert flags.tolist() == [False, True, True]
    tied = ranked_flags(np.zeros(1000), np.arange(1000) < 500)
    assert auc(tied) == pytest.approx(0.5, abs=0.05)


def _biased() -> Docked:
    """Return molecules whose energy is size and whether they bind, actives being small."""
    rng = np.random.default_rng(2)
    is_active = np.arange(400) < 40
    sizes = np.where(is_active, rng.integers(12, 30, 400), rng.integers(15, 50, 400)).astype(float)
    energy = -2.0 - 0.15 * sizes - 2.0 * is_active + rng.normal(0.0, 0.3, 400)
    energy[399] = np.nan
    return Docked("made_up", energy, sizes, is_active)


def test_table_shows_what_a_correction_does() -> None:
    text = size_bias_text([_biased()], None)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:7]]
    assert [row[1] for row in rows] == [
        "none", "power, alpha 1/3", "power, alpha 1/2", "power, alpha 1", "residual",
    ]  # fmt: skip
    areas = {row[1]: float(row[-1].split()[0]) for row in rows}
    assert areas["residual"] > 0.95 > areas["none"]
    correlation = {row[1]: float(row[3]) for row in rows}
    assert correlation["none"] > 0.8
    assert abs(correlation["residual"]) < 0.3
    assert "could not be docked: 1" in text


def test_nothing_is_shown_of_a_target_that_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data" / "enrichment" / "t"
    folder.mkdir(parents=True)
    (folder / "actives.smi").write_text("CCO\ta1\nCCCO\ta2\n")
    (folder / "decoys.smi.gz").write_bytes(gzip.compress(b"CCN\td1\nCCCN\td2\nCCCCN\td3\n"))
    (folder / "box.json").write_text(json.dumps({"center": [0, 0, 0], "size": [20, 20, 20]}))
    args = argparse.Namespace(
        data=tmp_path / "data", out=tmp_path / "out", targets=["t"], n_actives=1, n_decoys=2,
        effort="fast", summary=True, write=False,
    )  # fmt: skip
    results = ResultFile(args.out / "size_bias.jsonl", ("target", "ligand"))
    row = {"target": "t", "energy": -3.0, "n_heavy": 3, "smiles": "", "problem": ""}
    for ligand in ("active a1", "decoy d1"):
        results.add(row | {"ligand": ligand, "active": ligand.startswith("active")})
    main(args)
    assert "nothing to summarise" in capsys.readouterr().out
    results.add(row | {"ligand": "decoy d2", "active": False, "energy": float("nan")})
    main(args)
    assert "| t | residual | 1 : 2 |" in capsys.readouterr().out
