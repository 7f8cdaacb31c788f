"""Fusion of energy and networks: folds, comparisons, tables, with made-up poses."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from osong.rescoring.fusion import ENERGY_ALONE, Fusion, LabelledPoses, fit_fusion
from osong_benchmarks import fusion
from osong_benchmarks.fusion import weights_text
from osong_benchmarks.fusion_poses import DockedComplex, read_docked
from osong_benchmarks.fusion_scores import Case, member_names, read_cases
from osong_benchmarks.fusion_tables import Fitted, failure_lines, fusion_text
from osong_benchmarks.fusion_validation import compare, cross_validate, folds, successes


def _cases(n: int = 60, *, informative: bool = True) -> list[Case]:
    """Return complexes where the networks know which pose is right, or where energy does."""
    rng = np.random.default_rng(1)
    cases = []
    for k in range(n):
        right = int(rng.integers(4))
        is_right = np.arange(4) == right
        score = np.where(is_right, 0.8, 0.2) if informative else np.full(4, 0.5)
        energy = np.sort(rng.normal(-8.0, 0.5, 4))
        source = "posebusters" if k % 2 else "adgpu42"
        poses = LabelledPoses(energy, score, np.full(4, 6.0), is_right)
        cases.append(Case(f"c{k}", source, f"{source}{k // 6}", poses))
    return cases


def test_folds_part_no_cluster_and_are_even() -> None:
    clusters = [f"c{k // 4}" for k in range(83)]
    fold = folds(clusters, 5, seed=3)
    assert set(fold.tolist()) == set(range(5))
    for cluster in set(clusters):
        members = fold[[k for k, c in enumerate(clusters) if c == cluster]]
        assert len(set(members.tolist())) == 1
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 4
    assert folds(clusters, 5, seed=3).tolist() == fold.tolist()
    assert folds(clusters, 5, seed=4).tolist() != fold.tolist()


def test_informative_networks_are_followed() -> None:
    cases = _cases()
    fused = cross_validate(cases, repeats=2)
    result = compare(cases, fused)
    assert (result.fusion, result.cnn, result.ceiling) == (1.0, 1.0, 1.0)
    assert result.energy == successes(cases, ENERGY_ALONE).mean()
    assert result.only_energy == 0
    assert result.only_fusion == round((1.0 - result.energy) * len(cases))
    assert result.p < 0.001
    assert 0.0 < result.low < result.fusion - result.energy < result.high
    assert (result.n, result.n_clusters) == (60, 20)


def test_held_out_complexes_do_not_reach_the_fit() -> None:
    """Where right and wrong is drawn by lot, fusion is no better than lot on what it never saw."""
    rng = np.random.default_rng(5)
    cases = []
    for k in range(300):
        poses = LabelledPoses(
            np.sort(rng.normal(-8.0, 1.0, 4)),
            rng.uniform(0.05, 0.95, 4),
            rng.normal(6.0, 1.0, 4),
            np.arange(4) == rng.integers(4),
        )
        cases.append(Case(f"c{k}", "posebusters", f"cluster{k}", poses))
    assert compare(cases, cross_validate(cases, repeats=2)).fusion == pytest.approx(0.25, abs=0.08)


def test_networks_that_know_nothing_leave_energy_alone() -> None:
    cases = []
    for case in _cases(informative=False):
        poses = case.poses
        right = np.arange(4) == 0  # the lowest energy
        cases.append(
            Case(
                case.name,
                case.source,
                case.cluster,
                LabelledPoses(poses.energy, poses.cnn_score, poses.cnn_affinity, right),
            )
        )
    result = compare(cases, cross_validate(cases, repeats=1))
    assert (result.energy, result.fusion, result.low, result.high) == (1.0, 1.0, 0.0, 0.0)


def test_fewer_poses_to_choose_from() -> None:
    cases = _cases()
    result = compare(cases, cross_validate(cases, 2, repeats=1), 2)
    kept = np.mean([np.asarray(case.poses.is_right)[:2].any() for case in cases])
    assert result.ceiling == result.fusion == pytest.approx(kept)


def test_tables_have_all_rows(tmp_path: Path) -> None:
    cases = _cases()
    fitted = [Fitted("vina", "default", cases, fit_fusion([c.poses for c in cases]))]
    text = fusion_text(fitted)
    assert text.count("| vina | default |") == 5  # four tables of success, one of weights
    assert "posebusters -> adgpu42" in text
    assert "30 (10)" in text
    assert "60 (20)" in text


def test_weights_are_a_file_that_can_be_read() -> None:
    cases = _cases()
    fitted = [Fitted("vina", "default", cases, Fusion(1.0, 0.5, -0.25))]
    read = tomllib.loads(weights_text(fitted, "made today"))["fusion"]
    assert [read[0][key] for key in ("energy", "log_odds", "affinity")] == [1.0, 0.5, -0.25]
    assert (read[0]["scoring"], read[0]["models"]) == ("vina", "default")
    assert read[0]["complexes"] == 60


def _asked(folder: Path, **more: object) -> argparse.Namespace:
    """Return what the command asks for by default, with ``--write``."""
    parser = argparse.ArgumentParser()
    fusion.add_arguments(parser)
    args = parser.parse_args([])
    wishes = {"data": folder, "out": folder, "write": True} | more
    return argparse.Namespace(**{**vars(args), **wishes})


@pytest.mark.parametrize(
    "more",
    [{"only": ["1abc"]}, {"effort": "fast"}, {"scorings": ["vina"]}, {"models": ["dense"]}],
)
def test_weights_of_some_are_refused_before_anything_is_docked(
    more: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "_prepare", lambda *_: pytest.fail("it has begun"))
    with pytest.raises(SystemExit, match="--write wants all scorings, models and complexes"):
        fusion.main(_asked(tmp_path, **more))


def test_weights_of_some_complexes_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With Vina's energies one is ranked, one failed, one is left; none of Vinardo's is done."""
    names = ("1abc", "2xyz", "3def")
    monkeypatch.setattr(
        fusion,
        "read_complexes",
        lambda data, only=(): [SimpleNamespace(name=n) for n in names if not only or n in only],
    )
    written: list[str] = []
    monkeypatch.setattr(fusion, "write_table", lambda *_: written.append("table"))
    monkeypatch.setattr(fusion, "write_whole", lambda *_: written.append("weights"))
    monkeypatch.setattr(fusion, "fusion_text", lambda fitted: "tables")
    out = tmp_path / "fusion" / "poses"
    known = {name: [0.6, 0.5] for models in fusion.ENSEMBLES for name in member_names(models)}
    _stored(out, "1abc", known)
    _stored(out, "2xyz", {}, problem="no state of it could be made")
    args = _asked(tmp_path, summary=True)
    with pytest.raises(SystemExit, match="wants all complexes done"):
        fusion.main(args)
    assert not written
    printed = capsys.readouterr().out
    assert "vina, default: 3 in = 1 ranked + 1 failed + 1 not done" in printed
    assert "vinardo, default: 3 in = 0 ranked + 0 failed + 3 not done" in printed
    names = ("1abc", "2xyz")
    with pytest.raises(SystemExit, match="wants all complexes done"):
        fusion.main(args)
    assert not written, "none of Vinardo's are there"
    for name, problem in (("1abc", ""), ("2xyz", "no")):
        _stored(out, name, {} if problem else known, problem, scoring="vinardo")
    fusion.main(args)
    assert written == ["table", "weights"]


def test_command_says_all_that_was_asked(tmp_path: Path) -> None:
    plain = _asked(tmp_path)
    assert fusion._command(plain) == ["fusion", "--data", str(tmp_path), "--write"]
    more = {"effort": "fast", "only": ["1abc", "2xyz"], "shard": "1/4", "summary": True}
    words = " ".join(fusion._command(_asked(tmp_path, **more)))
    assert words.endswith("--effort fast --only 1abc 2xyz --shard 1/4 --summary --write")


def _stored(
    folder: Path,
    name: str,
    scores: dict[str, list[float]],
    problem: str = "",
    scoring: str = "vina",
) -> None:
    here = folder / f"{scoring}_balanced" / name
    here.mkdir(parents=True)
    n = 0 if problem else 2
    row = {
        "name": name, "source": "posebusters", "cluster": name, "scoring": scoring,
        "effort": "balanced", "n_heavy": 20, "energy": [-8.0, -7.0][:n], "rmsd": [3.0, 1.0][:n],
        "problem": problem,
    }  # fmt: skip
    (here / "poses.json").write_text(json.dumps(row))
    known = {key: {"score": values, "affinity": [6.0, 7.0]} for key, values in scores.items()}
    (here / "cnn.json").write_text(json.dumps(known))


def test_ensembles_are_means_of_what_is_kept(tmp_path: Path) -> None:
    one = {member: [0.1, 0.9] for member in member_names("default")}
    _stored(tmp_path, "whole", {**one, "dense": [0.6, 0.4]})
    _stored(tmp_path, "half", {"dense": [0.5, 0.5]})
    _stored(tmp_path, "failed", {}, problem="no such element")
    (case,) = read_cases(tmp_path, "default", scoring="vina", effort="balanced")
    assert case.name == "whole"
    assert np.asarray(case.poses.cnn_score) == pytest.approx([0.2, 0.8])
    assert np.asarray(case.poses.is_right).tolist() == [False, True]
    assert len(read_cases(tmp_path, "dense", scoring="vina", effort="balanced")) == 2
    assert case.first(1).poses.energy.tolist() == [-8.0]
    docked: list[DockedComplex] = list(read_docked(tmp_path, "vina", "balanced"))
    assert "failed (vina): no such element" in failure_lines(docked)
