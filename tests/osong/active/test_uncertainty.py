"""Uncertainty: it follows the errors, cannot vanish by chance, and changes what is picked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from osong.active import (
    Acquisition,
    Calibration,
    FeatureBatch,
    FeatureStore,
    Prediction,
    RecallTally,
    Surrogate,
    SurrogateOptions,
    fit_surrogate,
)
from osong.active.calibration import calibrate
from osong.active.fingerprints import unpack
from osong.active.mlp import MlpEnsemble
from osong.active.surrogate import spread_out

pytest.importorskip("torch", reason="needs osong[ml]")

Scores = npt.NDArray[np.float64]
N_OF_A_HEAD = 100


@pytest.fixture(scope="module")
def uneven_rows() -> npt.NDArray[np.int64]:
    """Molecules to train on: 40 each of seven heads, 3 each of the others."""
    rng = np.random.default_rng(4)
    rows = [
        head * N_OF_A_HEAD + rng.permutation(N_OF_A_HEAD)[: 40 if head % 2 else 3]
        for head in range(14)
    ]
    return np.sort(np.concatenate(rows))


@pytest.fixture(scope="module")
def uneven(
    store: FeatureStore, known_scores: Scores, uneven_rows: npt.NDArray[np.int64]
) -> Surrogate:
    batch = store.take(uneven_rows)
    return fit_surrogate(batch, known_scores[uneven_rows], SurrogateOptions(seed=1))


@pytest.fixture(scope="module")
def rest(store: FeatureStore, uneven_rows: npt.NDArray[np.int64]) -> FeatureBatch:
    return store.take(np.setdiff1d(np.arange(1400), uneven_rows))


def test_errors_grow_as_said_from_where_much_to_where_little_is_docked(
    uneven: Surrogate, rest: FeatureBatch, known_scores: Scores
) -> None:
    """Squared errors differ twofold; divided by what was said of each, by less than 1.5 fold."""
    said = uneven.predict(rest)
    expected = said.deviation.astype(np.float64) ** 2 + said.noise**2
    squares = (known_scores[rest.index] - said.mean) ** 2
    thirds = np.array_split(np.argsort(said.deviation), 3)
    actual = np.array([squares[third].mean() for third in thirds])
    standardised = np.array([(squares / expected)[third].mean() for third in thirds])
    assert actual[2] > 2.0 * actual[0]  # it tells the molecules apart
    assert standardised.max() < 1.5 * standardised.min(), standardised
    # most are of families of which three in a hundred were docked and still fewer held out
    assert standardised.mean() < 2.0, standardised


def test_ucb_picks_what_greedy_does_not(uneven: Surrogate, rest: FeatureBatch) -> None:
    said = uneven.predict(rest)
    greedy, ucb = (
        np.argsort(-Acquisition(kind).utility(said, rest.index, 0))[:100]
        for kind in ("greedy", "ucb")
    )
    assert len(np.intersect1d(greedy, ucb)) <= 95
    assert said.deviation[ucb].mean() > said.deviation[greedy].mean()


def test_novelty_is_about_what_a_gaussian_process_says(
    store: FeatureStore, uneven: Surrogate, uneven_rows: npt.NDArray[np.int64], rest: FeatureBatch
) -> None:
    assert isinstance(uneven, MlpEnsemble)
    one, other = (
        bits / np.sqrt(bits.sum(axis=1, keepdims=True))
        for bits in (unpack(batch.bits) * 1.0 for batch in (store.take(uneven_rows), rest))
    )
    k = other @ one.T
    exact = 1.0 - (k @ np.linalg.inv(one @ one.T + 0.3 * np.eye(len(one))) * k).sum(axis=1)
    _, told = uneven.raw(rest.bits)
    assert np.corrcoef(told, exact)[0, 1] > 0.7
    nothing = np.zeros((1, rest.bits.shape[1]), np.uint8)
    assert uneven.raw(nothing)[1] == 0.0
    assert np.isfinite(uneven.predict_bits(nothing).members).all()


def test_the_deviation_is_that_of_a_sample() -> None:
    rng = np.random.default_rng(0)
    members = rng.normal(0.0, 2.0, (50_000, 3)).astype(np.float32)
    assert (Prediction(members, 0.1).deviation ** 2).mean() == pytest.approx(4.0, rel=0.02)
    novelty = rng.uniform(0.0, 1.0, len(members)).astype(np.float32)
    said = spread_out(members, Calibration(0.7, 0.1, 100, reach=1.5), novelty)
    expected = 0.7**2 * members.var(axis=1, ddof=1) + (1.5 * novelty) ** 2
    np.testing.assert_allclose(said.deviation**2, expected, rtol=1e-3)
    np.testing.assert_allclose(said.mean, members.mean(axis=1), atol=1e-3)


def test_calibration_tells_disagreement_from_rarity() -> None:
    rng = np.random.default_rng(0)
    deviations, novelty = rng.gamma(2.0, 0.2, 20_000), rng.uniform(0.0, 1.0, 20_000)
    variance = (1.7 * deviations) ** 2 + (0.9 * novelty) ** 2 + 0.4**2
    found = calibrate(rng.normal(0.0, np.sqrt(variance)), deviations, novelty)
    assert found.spread == pytest.approx(1.7, rel=0.1)
    assert found.reach == pytest.approx(0.9, rel=0.1)
    assert found.noise == pytest.approx(0.4, rel=0.1)
    assert found.note == ""


@pytest.mark.parametrize("seed", range(8))
def test_few_errors_that_follow_nothing_leave_some_uncertainty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    deviations, novelty = rng.gamma(9.0, 0.03, n), rng.uniform(0.2, 0.6, n)
    errors = rng.normal(0.0, 0.5, n)
    found = calibrate(errors, deviations, novelty)
    parts = (found.spread * deviations) ** 2 + (found.reach * novelty) ** 2
    total = (parts + found.noise**2).mean()
    assert 0.1 < parts.mean() / total < 0.6
    assert total == pytest.approx((errors**2).mean(), rel=0.15)


def test_calibration_says_what_the_errors_do_not_follow() -> None:
    rng = np.random.default_rng(1)
    deviations, novelty = rng.gamma(2.0, 0.2, 3000), rng.uniform(0.0, 0.4, 3000)
    against = rng.normal(0.0, 0.5 / (1.0 + deviations))
    assert "the networks' disagreement" in calibrate(against, deviations, novelty).note
    along = rng.normal(0.0, np.hypot(deviations, 0.2))
    assert "disagreement" not in calibrate(along, deviations).note


def test_the_bias_is_that_of_the_best_guesses() -> None:
    rng = np.random.default_rng(2)
    guesses = rng.normal(0.0, 1.0, 900)
    errors = rng.normal(0.0, 0.3, 900)
    errors[np.argsort(guesses)[:300]] -= 0.5
    found = calibrate(errors, np.full(900, 0.1), guesses=guesses)
    assert found.bias == pytest.approx(-0.5, abs=0.06)
    assert found.bias_error == pytest.approx(0.3 / np.sqrt(300), rel=0.15)


@pytest.mark.parametrize("common", [0.0, 0.08])
def test_the_interval_of_the_recall_holds_the_truth_nine_times_in_ten(common: float) -> None:
    """Also where all guesses of a library are off by the same, as no two libraries are alike."""
    rng = np.random.default_rng(3)
    inside, widths = [], []
    n, k = 20_000, 200
    for seed in range(20):
        mean = rng.normal(0.0, 1.0, n)
        deviation = rng.uniform(0.1, 0.3, n)
        true = mean + rng.normal(0.0, np.hypot(deviation, 0.35)) + common * rng.standard_normal()
        docked = np.argsort(mean)[:1000]
        rest = np.setdiff1d(np.arange(n), docked)
        opinions = rng.normal(size=(len(rest), 8)) * deviation[rest, None]
        members = (mean[rest, None] + opinions).astype(np.float32)
        tally = RecallTally(true[docked], k)
        for part in np.array_split(members, 7):
            tally.add(Prediction(part, 0.35, bias_error=0.02))
        recall = tally.recall(seed, n_known=1000)
        found = np.isin(np.argsort(true)[:k], docked).mean()
        inside.append(recall.low <= found <= recall.high)
        widths.append(recall.high - recall.low)
    assert sum(inside) >= 16
    assert np.mean(widths) < 0.25  # an interval of everything would hold it, too
