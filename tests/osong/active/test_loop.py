"""The loop: what it asks for, what it keeps, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from osong.active import (
    Acquisition,
    ActiveLoop,
    ActiveSettings,
    FeatureStore,
    Prediction,
    RecallTally,
    Request,
    StoppingRule,
    SurrogateOptions,
    run_active,
    write_features,
)
from osong.active import loop as loop_module
from osong.active.state import Round
from osong.errors import CampaignError, InputError

pytest.importorskip("torch", reason="needs osong[ml]")

Scores = npt.NDArray[np.float64]


class LookUp:
    """Docks by looking up; takes down what it is asked; fails where it is told to."""

    def __init__(self, scores: Scores, dies_in_round: int | None = None) -> None:
        self.scores = scores
        self.dies_in_round = dies_in_round
        self.asked: list[Request] = []

    def score(self, request: Request) -> Scores:
        self.asked.append(request)
        if request.round == self.dies_in_round:
            raise KeyboardInterrupt
        return self.scores[request.index]


def settings(**more: Any) -> ActiveSettings:
    few = SurrogateOptions(n_members=2)
    return ActiveSettings(**{"budget": 90, "batch": 30, "n_top": 20, "surrogate": few, **more})


def test_it_finds_more_than_chance(
    tmp_path: Path, store: FeatureStore, known_scores: Scores
) -> None:
    oracle = LookUp(known_scores)
    result = run_active(store, oracle, tmp_path / "run", settings(budget=210, batch=70))
    assert [len(request.index) for request in oracle.asked] == [70, 70, 70]
    assert len(np.unique(result.index)) == 210
    np.testing.assert_array_equal(result.scores, known_scores[result.index])
    assert result.reason == "the budget of 210 molecules is spent"
    best = np.argsort(known_scores)[:20]
    assert np.isin(best, result.index).sum() >= 9  # 3 by chance
    assert result.recall is not None
    assert 0.0 <= result.recall.low <= result.recall.value <= result.recall.high <= 1.0
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_the_same_seed_picks_the_same_also_after_a_crash(
    tmp_path: Path, store: FeatureStore, known_scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(seed=4, acquisition=Acquisition("thompson"))
    whole = run_active(store, LookUp(known_scores), tmp_path / "a", asked)
    with pytest.raises(KeyboardInterrupt):
        run_active(store, LookUp(known_scores, dies_in_round=1), tmp_path / "b", asked)
    trainings: list[int] = []
    fit = loop_module.fit_surrogate

    def counted(*args: Any, **kwargs: Any) -> Any:
        trainings.append(len(args[1]))
        return fit(*args, **kwargs)

    monkeypatch.setattr(loop_module, "fit_surrogate", counted)
    oracle = LookUp(known_scores)
    resumed = run_active(store, oracle, tmp_path / "b", asked)
    assert [request.round for request in oracle.asked] == [1, 2]  # round 0 is not docked again
    assert trainings == [60, 90]  # and what chose round 1 not trained again
    np.testing.assert_array_equal(resumed.index, whole.index)
    again = run_active(store, LookUp(known_scores), tmp_path / "b", asked)
    assert again.reason == whole.reason
    assert trainings == [60, 90]
    other = settings(seed=5, acquisition=Acquisition("thompson"))
    assert ActiveLoop(store, tmp_path / "c", other).next_request() is not None


def test_a_surrogate_that_was_trained_is_taken_from_its_file(
    tmp_path: Path, store: FeatureStore, known_scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = ActiveLoop(store, tmp_path / "run", settings())
    first = loop.next_request()
    assert first is not None
    loop.answer(first, known_scores[first.index])
    trained = loop.surrogate(loop.files.rounds())

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(loop_module, "fit_surrogate", never)
    (batch,) = store.batches()
    kept = ActiveLoop(store, tmp_path / "run", settings()).surrogate(loop.files.rounds())
    np.testing.assert_array_equal(kept.predict(batch).members, trained.predict(batch).members)
    second = loop.next_request()
    assert second is not None
    assert second.round == 1
    assert not np.isin(second.index, first.index).any()


def test_failures_are_kept_and_never_asked_again(
    tmp_path: Path, store: FeatureStore, known_scores: Scores
) -> None:
    scores = known_scores.copy()
    scores[::3] = np.nan
    result = run_active(store, LookUp(scores), tmp_path / "run", settings())
    failed = np.isnan(result.scores)
    assert failed.any()
    np.testing.assert_array_equal(failed, result.index % 3 == 0)
    assert len(np.unique(result.index)) == len(result.index) == 90


def test_too_few_scores_to_learn_from_are_followed_by_others_at_random(
    tmp_path: Path, store: FeatureStore, known_scores: Scores
) -> None:
    few = known_scores.copy()
    request = ActiveLoop(store, tmp_path / "few", settings()).next_request()
    assert request is not None
    few[request.index[3:]] = np.nan
    result = run_active(store, LookUp(few), tmp_path / "few", settings())
    assert result.reason == "the budget of 90 molecules is spent"
    first, second, third = result.rounds
    assert np.isfinite(first.scores).sum() == 3  # type: ignore[arg-type]
    assert second.mean is None
    assert third.mean is not None
    assert len(np.unique(result.index)) == 90


def test_final_failures_are_no_fault_of_what_docks(tmp_path: Path, store: FeatureStore) -> None:
    """Where going on would fail again, the run goes on with others until its budget is spent."""
    loop = ActiveLoop(store, tmp_path / "run", settings())
    while (request := loop.next_request()) is not None:
        loop.answer(request, np.full(len(request.index), np.nan), are_final=True)
    assert loop.result().reason == "the budget of 90 molecules is spent"
    assert loop.result().recall is None


def test_what_is_known_is_not_predicted_again(
    tmp_path: Path, store: FeatureStore, known_scores: Scores
) -> None:
    seen: list[int] = []
    run_active(store, LookUp(known_scores), tmp_path / "run", settings(budget=60))
    loop = ActiveLoop(store, tmp_path / "run", settings(budget=40), step=seen.append)
    assert loop.next_request() is None
    assert loop.result().reason == "the budget of 40 molecules is spent"
    assert loop.result().recall is not None
    assert seen == []


@pytest.mark.parametrize("n_good", [0, 1])
def test_a_round_in_which_all_fails_is_no_result(
    tmp_path: Path, store: FeatureStore, known_scores: Scores, n_good: int
) -> None:
    """What docks is broken: the run waits until it is mended."""
    scores = np.full(1400, np.nan)
    for _ in range(n_good):
        request = ActiveLoop(store, tmp_path / "run", settings()).next_request()
        assert request is not None
        scores[request.index] = known_scores[request.index]
    with pytest.raises(CampaignError, match=f"none of the 30 molecules of round {n_good} has"):
        run_active(store, LookUp(scores), tmp_path / "run", settings())
    mended = run_active(store, LookUp(known_scores), tmp_path / "run", settings())
    whole = run_active(store, LookUp(known_scores), tmp_path / "whole", settings())
    np.testing.assert_array_equal(mended.index, whole.index)


def test_another_library_or_other_settings_are_refused(tmp_path: Path, store: FeatureStore) -> None:
    ActiveLoop(store, tmp_path / "run", settings())
    with pytest.raises(CampaignError, match=r"begun with other settings \(settings.batch\):"):
        ActiveLoop(store, tmp_path / "run", settings(batch=40))
    ActiveLoop(
        store, tmp_path / "run", settings(surrogate=SurrogateOptions(n_members=2, threads=7))
    )
    other = write_features([f"{'C' * k}O" for k in range(1, 60)], tmp_path / "other")
    with pytest.raises(CampaignError, match="the library has changed since this run began"):
        ActiveLoop(other, tmp_path / "run", settings())
    with pytest.raises(InputError, match="59 molecules have a fingerprint, fewer than a batch of"):
        ActiveLoop(other, tmp_path / "small", settings(batch=60))


def test_answers_are_checked(tmp_path: Path, store: FeatureStore) -> None:
    loop = ActiveLoop(store, tmp_path / "run", settings())
    request = loop.next_request()
    assert request is not None
    with pytest.raises(InputError, match="round 0: 29 scores for 30 molecules"):
        loop.answer(request, np.zeros(29))
    with pytest.raises(CampaignError, match="round 3 is not waited for"):
        loop.answer(Request(3, request.index), np.zeros(30))
    loop.answer(request, np.zeros(30))
    with pytest.raises(CampaignError, match="round 0 is not waited for"):
        loop.answer(request, np.zeros(30))


def test_damaged_files_are_named(tmp_path: Path, store: FeatureStore) -> None:
    loop = ActiveLoop(store, tmp_path / "run", settings())
    request = loop.next_request()
    assert request is not None
    path = tmp_path / "run" / "round-000" / "request.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CampaignError, match=r"request\.parquet: is damaged"):
        loop.next_request()
    path.write_bytes(content)
    assert loop.next_request() is not None
    (tmp_path / "run" / "active.json").write_text("{")
    with pytest.raises(CampaignError, match=r"active\.json: is damaged"):
        ActiveLoop(store, tmp_path / "run", settings())


@pytest.mark.parametrize("initial", ["random", "diverse", "large"])
def test_first_batches(tmp_path: Path, store: FeatureStore, initial: str) -> None:
    loop = ActiveLoop(store, tmp_path / "run", settings(initial=initial))
    request = loop.next_request()
    assert request is not None
    assert len(np.unique(request.index)) == 30
    again = ActiveLoop(store, tmp_path / "again", settings(initial=initial)).next_request()
    assert again is not None
    np.testing.assert_array_equal(again.index, request.index)
    (everything,) = store.batches()
    n_bits = np.bitwise_count(everything.bits).sum(axis=1)
    is_large = n_bits[request.index].mean() > n_bits.mean() + 0.4 * n_bits.std()
    assert is_large == (initial == "large")


def test_a_small_library_is_docked_whole(tmp_path: Path) -> None:
    store = write_features([f"{'C' * k}O" for k in range(1, 60)], tmp_path / "f")
    scores = -np.arange(59.0)
    result = run_active(store, LookUp(scores), tmp_path / "run", settings(budget=1000, batch=25))
    assert sorted(result.index.tolist()) == list(range(59))
    assert result.reason == "the whole library is docked"
    notes = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert notes["recall"]["value"] == 1.0


def test_a_round_without_scores_says_nothing_of_the_top() -> None:
    nothing, better = np.full(8, np.nan), np.full(8, -9.0)
    rounds = [
        Round(number, np.arange(8), scores, {})
        for number, scores in enumerate([better + 1.0, nothing, better, nothing])
    ]
    assert loop_module._new_in_top(rounds, 4) == [8]


def test_reasons_to_stop() -> None:
    rule = StoppingRule(budget=100, patience=2, recall=0.9)
    assert rule.reason(50, 50, [3, 0], None) == ""
    assert rule.reason(50, 50, [3, 0, 0], None) == "the top has not moved for 2 rounds"
    assert rule.reason(100, 50, [3], None) == "the budget of 100 molecules is spent"
    assert rule.reason(50, 0, [3], None) == "the whole library is docked"
    tally = RecallTally(np.arange(50.0), 10)
    tally.add(Prediction(np.full((500, 3), 40.0, np.float32), 0.5))
    assert tally.recall().value == 1.0
    assert "100 % of the best 10" in rule.reason(50, 500, [3], tally.recall())


def test_recall_is_estimated_where_the_surrogate_is_right() -> None:
    rng = np.random.default_rng(3)
    inside = []
    for seed in range(20):
        mean = rng.normal(0.0, 1.0, 20_000)
        true = mean + rng.normal(0.0, 0.4, 20_000)
        docked = np.argsort(mean)[:1000]  # greedy
        rest = np.setdiff1d(np.arange(20_000), docked)
        tally = RecallTally(true[docked], 200)
        members = np.repeat(mean[rest, None], 4, axis=1).astype(np.float32)
        for part in np.array_split(members, 7):
            tally.add(Prediction(part, 0.4))
        recall = tally.recall(seed, n_known=1000)
        found = np.isin(np.argsort(true)[:200], docked).mean()
        assert abs(recall.value - found) < 0.08
        inside.append(recall.low <= found <= recall.high)
    assert sum(inside) >= 16


def test_a_top_of_more_than_is_docked_has_no_recall() -> None:
    with pytest.raises(InputError, match="the best 10 of 9 docked molecules"):
        RecallTally(np.append(np.arange(9.0), np.nan), 10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": 7}, "batch is 7"),
        ({"budget": 20}, "a budget of 20 is less than one batch of 30"),
        ({"initial": "best"}, "initial is 'best'"),
        ({"n_top": 0}, "n_top and patience"),
        ({"seed": -5}, "seed is -5"),
        ({"recall": 1.5}, "recall is 1.5"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings(**options)


def test_a_run_goes_on_with_a_larger_budget(
    tmp_path: Path, store: FeatureStore, known_scores: Scores
) -> None:
    """What two budgets pick in turn is what the larger one picks at once."""
    small = run_active(store, LookUp(known_scores), tmp_path / "run", settings(budget=60))
    oracle = LookUp(known_scores)
    larger = run_active(store, oracle, tmp_path / "run", settings(budget=120))
    assert [request.round for request in oracle.asked] == [2, 3]
    at_once = run_active(store, LookUp(known_scores), tmp_path / "once", settings(budget=120))
    np.testing.assert_array_equal(larger.index[:60], small.index)
    np.testing.assert_array_equal(larger.index, at_once.index)
    assert larger.reason == "the budget of 120 molecules is spent"


def test_rounds_tell_what_was_expected_of_them(
    tmp_path: Path, store: FeatureStore, known_scores: Scores
) -> None:
    seen: list[int] = []
    loop = ActiveLoop(store, tmp_path / "run", settings(budget=60), step=seen.append)
    while (request := loop.next_request()) is not None:
        loop.answer(request, known_scores[request.index])
    first, second = loop.result().rounds
    assert first.mean is None
    assert first.deviation is None
    assert second.mean is not None
    assert second.deviation is not None
    assert np.all(np.diff(second.mean) >= -1e-5)  # greedy, the most promising first
    assert np.all(second.deviation > 0.0)
    error = np.abs(second.mean - known_scores[second.index]).mean()
    assert error < 3 * second.deviation.mean()
    n_usable = store.n_records - store.n_failed
    assert sum(seen) == 2 * n_usable  # to choose the second round, and to see what may be missing
