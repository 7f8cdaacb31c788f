"""Ranks of poses from energy and networks: weights, ties, and what is no number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong.errors import InputError
from osong.rescoring.fusion import (
    CNN_ALONE,
    ENERGY_ALONE,
    Fusion,
    LabelledPoses,
    fit_fusion,
    shipped_fusion,
)

TRUE = Fusion(energy=1.3, log_odds=0.7, affinity=0.4)


def _drawn(n: int, truth: Fusion, seed: int = 0, n_poses: int = 9) -> list[LabelledPoses]:
    """Return complexes whose one right pose was drawn with the probabilities of ``truth``."""
    rng = np.random.default_rng(seed)
    complexes = []
    for _ in range(n):
        energy = np.sort(rng.normal(-7.0, 1.0, n_poses))
        score = 1.0 / (1.0 + np.exp(-rng.normal(0.0, 1.5, n_poses)))
        affinity = rng.normal(6.0, 1.0, n_poses)
        chosen = rng.choice(n_poses, p=truth.probability(energy, score, affinity))
        complexes.append(LabelledPoses(energy, score, affinity, np.arange(n_poses) == chosen))
    return complexes


def test_fit_finds_the_weights_that_drew_the_poses() -> None:
    found = fit_fusion(_drawn(4000, TRUE))
    assert found.energy == pytest.approx(TRUE.energy, abs=0.08)
    assert found.log_odds == pytest.approx(TRUE.log_odds, abs=0.06)
    assert found.affinity == pytest.approx(TRUE.affinity, abs=0.08)


def test_fit_is_where_the_likelihood_is_flat() -> None:
    """Its gradient, by differences, is that of the ridge alone; several right poses at once."""
    complexes = [
        LabelledPoses(c.energy, c.cnn_score, c.cnn_affinity, np.asarray(c.is_right) | (k % 9 == p))
        for k, c in enumerate(_drawn(60, TRUE))
        for p in [np.arange(9)]
    ]
    weak = fit_fusion(complexes, ridge=1e-6)
    best = _log_likelihood(weak, complexes)
    for change in np.eye(3):
        for sign in (-1.0, 1.0):
            step = sign * 1e-3 * change
            moved = Fusion(weak.energy + step[0], weak.log_odds + step[1], weak.affinity + step[2])
            assert _log_likelihood(moved, complexes) < best


def _log_likelihood(fusion: Fusion, complexes: list[LabelledPoses]) -> float:
    return sum(
        float(
            np.log(
                fusion.probability(c.energy, c.cnn_score, c.cnn_affinity)[
                    np.asarray(c.is_right)
                ].sum()
            )
        )
        for c in complexes
    )


def test_more_ridge_makes_smaller_weights() -> None:
    complexes = _drawn(50, TRUE)
    sizes = [
        np.linalg.norm([w.energy, w.log_odds, w.affinity])
        for w in (fit_fusion(complexes, ridge=ridge) for ridge in (0.01, 1.0, 100.0))
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_same_complexes_same_weights() -> None:
    complexes = _drawn(50, TRUE)
    assert fit_fusion(complexes) == fit_fusion(complexes)
    turned = fit_fusion(complexes[::-1])
    assert turned.energy == pytest.approx(fit_fusion(complexes).energy, rel=1e-6)


def test_units_and_offsets_do_not_matter() -> None:
    """Energies in kJ/mol and shifted by ligand: the same ranks."""
    complexes = _drawn(50, TRUE)
    moved = [
        LabelledPoses(4.184 * np.asarray(c.energy) + k, c.cnn_score, c.cnn_affinity, c.is_right)
        for k, c in enumerate(complexes)
    ]
    first, second = fit_fusion(complexes), fit_fusion(moved)
    assert second.energy == pytest.approx(first.energy / 4.184, rel=1e-6)
    assert second.log_odds == pytest.approx(first.log_odds, rel=1e-6)


def test_a_feature_that_is_the_same_everywhere_gets_no_weight() -> None:
    complexes = [
        LabelledPoses(c.energy, c.cnn_score, np.full(9, 6.0), c.is_right) for c in _drawn(50, TRUE)
    ]
    assert fit_fusion(complexes).affinity == 0.0


def test_separable_poses_still_have_finite_weights() -> None:
    poses = LabelledPoses([-9.0, -8.0], [0.9, 0.1], [7.0, 6.0], [True, False])
    found = fit_fusion([poses] * 5)
    assert np.isfinite([found.energy, found.log_odds, found.affinity]).all()
    assert found.order(poses.energy, poses.cnn_score, poses.cnn_affinity)[0] == 0


def test_complexes_without_a_choice_say_nothing() -> None:
    complexes = _drawn(30, TRUE)
    known = complexes[0]
    idle = [
        LabelledPoses(known.energy, known.cnn_score, known.cnn_affinity, np.full(9, flag))
        for flag in (True, False)
    ]
    assert fit_fusion([*complexes, *idle]) == fit_fusion(complexes)
    with pytest.raises(InputError, match="nothing to fit"):
        fit_fusion(idle)


@given(shift=st.floats(-100.0, 100.0), seed=st.integers(0, 20))
def test_shift_of_all_energies_changes_no_probability(shift: float, seed: int) -> None:
    poses = _drawn(1, TRUE, seed)[0]
    first = TRUE.probability(poses.energy, poses.cnn_score, poses.cnn_affinity)
    moved = np.asarray(poses.energy) + shift
    second = TRUE.probability(moved, poses.cnn_score, poses.cnn_affinity)
    assert second == pytest.approx(first, rel=1e-9, abs=1e-12)
    assert first.sum() == pytest.approx(1.0)


@given(seed=st.integers(0, 50))
def test_order_follows_the_poses_not_their_places(seed: int) -> None:
    poses = _drawn(1, TRUE, seed)[0]
    columns = [np.asarray(c) for c in (poses.energy, poses.cnn_score, poses.cnn_affinity)]
    turned = np.random.default_rng(seed).permutation(9)
    first = TRUE.order(*columns)
    second = TRUE.order(*(column[turned] for column in columns))
    assert turned[second].tolist() == first.tolist()


def test_one_kind_alone() -> None:
    energy, score, affinity = [-8.0, -9.0, -7.0], [0.5, 0.1, 0.9], [6.0, 6.0, 6.0]
    assert ENERGY_ALONE.order(energy, score, affinity).tolist() == [1, 0, 2]
    assert CNN_ALONE.order(energy, score, affinity).tolist() == [2, 0, 1]


def test_ties_go_by_energy_then_by_place() -> None:
    assert CNN_ALONE.order([-7.0, -8.0, -8.0], [0.5] * 3, [6.0] * 3).tolist() == [1, 2, 0]


def test_certain_networks_do_not_make_infinite_scores() -> None:
    score = TRUE.score([-7.0, -8.0], [1.0, 0.0], [6.0, 6.0])
    assert np.isfinite(score).all()


def test_no_poses() -> None:
    assert TRUE.score([], [], []).shape == (0,)
    assert TRUE.order([], [], []).shape == (0,)
    assert TRUE.probability([], [], []).shape == (0,)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([-7.0, np.nan], [0.5, 0.5], [6.0, 6.0]), "pose 1 of 2"),
        (([-7.0], [np.nan], [6.0]), "without numbers"),
        (([-7.0], [0.5], [np.inf]), "without numbers"),
        (([-7.0], [1.5], [6.0]), "wanted 0 to 1"),
        (([-7.0, -6.0], [0.5], [6.0]), "shapes"),
    ],
)
def test_what_is_no_pose_is_told(columns: tuple[list[float], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TRUE.score(*columns)
    with pytest.raises(InputError, match=message):
        fit_fusion([LabelledPoses(*columns, np.ones(len(columns[0]), np.bool_))])


def test_labels_must_fit() -> None:
    with pytest.raises(InputError, match="labels"):
        fit_fusion([LabelledPoses([-7.0, -6.0], [0.5, 0.4], [6.0, 6.0], [True])])
    with pytest.raises(InputError, match="ridge"):
        fit_fusion(_drawn(3, TRUE), ridge=0.0)


@pytest.mark.parametrize(
    ("scoring", "models"),
    [
        ("vina", "default"),
        ("vina", "default1.0"),
        ("vina", "crossdock_default2018"),
        ("vina", "fast"),
        ("vinardo", "default"),
        ("vinardo", "crossdock_default2018"),
        ("vinardo", "fast"),
    ],
)
def test_shipped_weights_prefer_better_poses(scoring: str, models: str) -> None:
    fusion = shipped_fusion(scoring, models)
    assert fusion.energy > 0.0
    assert fusion.log_odds > 0.0


def test_members_of_an_ensemble_by_name_are_the_ensemble() -> None:
    members = (
        "dense_3",
        "dense",
        "general_default2018_3",
        "crossdock_default2018",
        "redock_default2018_2",
    )
    assert shipped_fusion("vina", members) == shipped_fusion("vina", "default")


def test_what_was_not_fitted_is_told() -> None:
    with pytest.raises(InputError, match="vinardo with default"):
        shipped_fusion("ad4", "default")
    with pytest.raises(InputError, match="dense_2"):
        shipped_fusion("vina", "dense_2")
