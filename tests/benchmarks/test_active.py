"""`osong bench active`: reading scores, counting what is found, and what is written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import InputError
from osong_benchmarks.active_published import ENAMINE_10K, ENAMINE_50K, best_published
from osong_benchmarks.active_scores import read_scores, top_found
from osong_benchmarks.active_tables import Rates, plan_text


def test_scores_are_read_and_failures_kept(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("id,SMILES,score\n1,CCO,-5.5\n2,CCN,\n3,CCC,nan\n4,CCCC,inf\n5,CO,-4\n6,CN\n")
    known = read_scores(path)
    assert known.smiles == ("CCO", "CCN", "CCC", "CCCC", "CO", "CN")
    np.testing.assert_array_equal(known.scores, [-5.5, np.nan, np.nan, np.nan, -4.0, np.nan])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "smiles,energy\nC,1\n",
            "has no column 'score' .it has: smiles, energy.: name it with --sc",
        ),
        ("mol,score\nC,1\n", "has no column 'smiles'"),
        ("", "it has: nothing"),
        ("smiles,score\nC,\nCC,x\n", "no row has a score in column 'score'"),
    ],
)
def test_files_without_scores_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)


def test_the_top_is_counted_with_its_ties() -> None:
    scores = np.array([-9.0, -8.0, np.nan, -8.0, -8.0, -1.0])
    assert top_found(scores, [0, 1, 2], 3) == pytest.approx(2 / 3)
    assert top_found(scores, [0, 1, 3, 4], 3) == 1.0  # no more than there are places
    assert top_found(scores, [5], 3) == 0.0
    assert top_found(scores, [5], 5) == pytest.approx(1 / 5)
    with pytest.raises(InputError, match="the best 6 of 5 scores"):
        top_found(scores, [0], 6)


def test_what_is_published() -> None:
    means, whose = best_published(ENAMINE_10K)
    assert means == (2.0, 20.6, 34.4, 46.8, 58.4, 67.0)
    assert whose[1:] == ("NN greedy", "NN greedy", "NN greedy", "MPN greedy", "MPN greedy")
    assert best_published(ENAMINE_50K, "ucb")[0][5] == 74.4


def test_the_command_from_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs osong[ml]")
    pytest.importorskip("matplotlib", reason="needs osong[bench]")
    rng = np.random.default_rng(0)
    smiles = [
        f"{a}{'C' * n}{b}" for a in ("c1ccccc1", "c1ccncc1", "C1CCNCC1", "F") for n in range(1, 21)
        for b in ("O", "N", "Cl", "C#N", "C(=O)O")
    ]  # fmt: skip
    scores = [
        -len(text) / 5 + noise for text, noise in zip(smiles, rng.normal(0, 0.2, 400), strict=True)
    ]
    rows = [f"{text},{score:.2f}\n" for text, score in zip(smiles, scores, strict=True)]
    path = tmp_path / "scores.csv"
    path.write_text("smiles,score\n" + "".join(rows) + "C1CC,-99\nCCO,\n")
    words = ["bench", "active", "--scores", str(path), "--budget", "15%", "--batch", "5%"]
    words += ["--seeds", "1", "--acquisition", "greedy,random", "--top", "10"]
    words += ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "| Osong, greedy |" in done.output
    written = json.loads((tmp_path / "out" / "active.json").read_text())
    assert [run["acquisition"] for run in written["runs"]] == ["greedy", "random"]
    greedy, chance = (run["found"] for run in written["runs"])
    assert len(greedy) == 3
    assert greedy[-1] > chance[-1]
    assert written["n_failed"] == 1
    assert "osong bench active --scores scores.csv" in written["provenance"]
    for name in ("recall.svg", "estimated.svg", "parity.svg"):
        assert (tmp_path / "out" / name).read_text().startswith("<svg")
    again = CliRunner().invoke(app, words)
    assert json.loads((tmp_path / "out" / "active.json").read_text())["runs"][0]["found"] == greedy
    assert again.exit_code == 0
    path.write_text(
        "smiles,score\n"
        + "".join(f"{text},{-score:.2f}\n" for text, score in zip(smiles, scores, strict=True))
        + "C1CC,-99\nCCO,\n"
    )
    CliRunner().invoke(app, words)
    other = json.loads((tmp_path / "out" / "active.json").read_text())["runs"][0]["found"]
    fresh = [*words[:-1], str(tmp_path / "fresh")]
    CliRunner().invoke(app, fresh)
    assert other == json.loads((tmp_path / "fresh" / "active.json").read_text())["runs"][0]["found"]
    assert other != greedy, "scores that changed are no older run's"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "much"], "--budget much: give a share, as 6% or 0.06"),
        (["--acquisition", "best"], "acquisition is 'best': choose greedy, ucb, thompson, random"),
        (["--batch", "50%", "--budget", "20%"], "a batch is no more than"),
        (["--score-column", "energy"], "has no column 'energy'"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("smiles,score\n" + "".join(f"{'C' * k},{-k}\n" for k in range(1, 40)))
    out = ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["bench", "active", "--scores", str(path), *out, *words])
    assert done.exit_code == 1
    assert said in done.output
    assert done.output.strip().splitlines()[-1].startswith("osong: error: ")


def test_the_plan_follows_from_the_rates() -> None:
    text = plan_text(Rates(1000, 2000.0, 100_000.0, 200_000.0, 160.0, 5.0, 700.0))
    assert "| one round of predictions, from disk to the chosen batch | 100,000 | 2.8 |" in text
    assert "160 bytes a molecule" in text
