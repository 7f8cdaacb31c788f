"""Surrogates: they learn, know how sure they are, and are the same whoever trains them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from osong.active import (
    FeatureBatch,
    FeatureStore,
    Prediction,
    Surrogate,
    SurrogateOptions,
    TopCandidates,
    fit_surrogate,
    load_surrogate,
    predictions,
    save_surrogate,
)
from osong.active import graph as graph_module
from osong.active import mlp as mlp_module
from osong.active.calibration import calibrate, folds
from osong.active.fingerprints import unpack
from osong.active.surrogate import score_scale
from osong.errors import InputError, MissingExtraError, ResourceError

torch = pytest.importorskip("torch", reason="needs osong[ml]")

Scores = npt.NDArray[np.float64]
FEW = SurrogateOptions(n_members=4, seed=1)


@pytest.fixture(scope="module")
def trained_on() -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(2).permutation(1400)[:400])


@pytest.fixture(scope="module")
def ensemble(
    store: FeatureStore, known_scores: Scores, trained_on: npt.NDArray[np.int64]
) -> Surrogate:
    return fit_surrogate(store.take(trained_on), known_scores[trained_on], FEW)


def rest_of(store: FeatureStore, trained_on: npt.NDArray[np.int64]) -> FeatureBatch:
    return store.take(np.setdiff1d(np.arange(1400), trained_on), with_smiles=True)


def test_it_learns(
    store: FeatureStore,
    known_scores: Scores,
    ensemble: Surrogate,
    trained_on: npt.NDArray[np.int64],
) -> None:
    rest = rest_of(store, trained_on)
    true = known_scores[rest.index]
    said = ensemble.predict(rest)
    assert np.corrcoef(said.mean, true)[0, 1] > 0.9
    shuffled = np.random.default_rng(0).permutation(known_scores[trained_on])
    guess = fit_surrogate(store.take(trained_on), shuffled, FEW).predict(rest)
    assert abs(np.corrcoef(guess.mean, true)[0, 1]) < 0.4


def test_its_uncertainty_covers_what_it_should(
    store: FeatureStore,
    known_scores: Scores,
    ensemble: Surrogate,
    trained_on: npt.NDArray[np.int64],
) -> None:
    rest = rest_of(store, trained_on)
    said = ensemble.predict(rest)
    width = np.sqrt(said.deviation.astype(np.float64) ** 2 + said.noise**2)
    off = np.abs(known_scores[rest.index] - said.mean) / width
    for limit, share in ((0.674, 0.5), (1.0, 0.683), (1.645, 0.9)):
        assert (off < limit).mean() == pytest.approx(share, abs=0.07)


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(
    store: FeatureStore,
    known_scores: Scores,
    ensemble: Surrogate,
    trained_on: npt.NDArray[np.int64],
) -> None:
    before = torch.get_num_threads()
    batch, scores = store.take(trained_on), known_scores[trained_on]
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            options = SurrogateOptions(n_members=4, seed=1, threads=threads)
            again = fit_surrogate(batch, scores, options)
            assert again.calibration == ensemble.calibration
            for name, array in ensemble.state().items():
                assert array.tobytes() == again.state()[name].tobytes()
        assert torch.get_num_threads() == 4
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)
    other = fit_surrogate(batch, scores, SurrogateOptions(n_members=4, seed=2))
    assert (other.state()["w2"] != ensemble.state()["w2"]).any()


def test_networks_on_bits_are_those_that_were_trained(
    store: FeatureStore, ensemble: Surrogate, trained_on: npt.NDArray[np.int64]
) -> None:
    batch = rest_of(store, trained_on)
    state = ensemble.state()
    hidden = np.einsum("nb,mbh->nmh", unpack(batch.bits).astype(np.float64), state["w1"])
    raw = (np.maximum(hidden + state["b1"], 0.0) * state["w2"]).sum(axis=2) + state["b2"]
    centre = raw.mean(axis=1, keepdims=True)
    calibration = ensemble.calibration
    weighed = unpack(batch.bits) @ state["novelty"].astype(np.float64)
    new = np.maximum(weighed, 0.0) / unpack(batch.bits).sum(axis=1)
    added = (calibration.reach * new[:, None]) ** 2 / raw.var(axis=1, ddof=1, keepdims=True)
    expected = centre + np.sqrt(calibration.spread**2 + added) * (raw - centre)
    np.testing.assert_allclose(ensemble.predict(batch).members, expected, atol=2e-4)


def test_bits_of_no_docked_molecule_say_nothing(
    store: FeatureStore, ensemble: Surrogate, trained_on: npt.NDArray[np.int64]
) -> None:
    unseen = ~unpack(store.take(trained_on).bits).any(axis=0)
    assert unseen.sum() > 100
    assert np.abs(ensemble.state()["w1"][:, unseen]).max() < 1e-6


def test_many_molecules_take_minibatches(
    store: FeatureStore, known_scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlp_module, "_BATCH", 100)
    rows = np.arange(0, 1400, 3)
    trained = fit_surrogate(store.take(rows), known_scores[rows], FEW)
    rest = rest_of(store, rows)
    assert np.corrcoef(trained.predict(rest).mean, known_scores[rest.index])[0, 1] > 0.85


def test_coordinates_of_many_are_those_of_few(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = store.take(np.arange(0, 1400, 7)).bits
    x, axes = mlp_module._coordinates(torch, bits, "cpu")
    monkeypatch.setattr(mlp_module, "_FEW", 64)
    y, others = mlp_module._coordinates(torch, bits, "cpu")
    np.testing.assert_allclose((x @ x.T).numpy(), (y @ y.T).numpy(), atol=2e-3)
    np.testing.assert_allclose((axes.T @ axes).numpy(), np.eye(axes.shape[1]), atol=1e-3)
    np.testing.assert_allclose((others.T @ others).numpy(), np.eye(others.shape[1]), atol=1e-3)


def test_state_is_saved_with_its_checksum(
    tmp_path: Path, store: FeatureStore, ensemble: Surrogate, trained_on: npt.NDArray[np.int64]
) -> None:
    path = tmp_path / "surrogate.pt"
    save_surrogate(ensemble, path, inputs="these")
    again = load_surrogate(path, inputs="these")
    batch = rest_of(store, trained_on)
    np.testing.assert_array_equal(again.predict(batch).members, ensemble.predict(batch).members)
    with pytest.raises(InputError, match="trained on other molecules or scores"):
        load_surrogate(path, inputs="those")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="does not match its checksum"):
        load_surrogate(path)
    path.unlink()
    with pytest.raises(InputError, match="is no state dict or damaged"):
        load_surrogate(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        load_surrogate(path)
    with pytest.raises(InputError, match="there is no surrogate here"):
        load_surrogate(tmp_path / "other.pt")


def test_a_state_of_other_shapes_is_refused(tmp_path: Path, ensemble: Surrogate) -> None:
    path = tmp_path / "surrogate.pt"
    save_surrogate(ensemble, path)
    small = {name: array[:, :1] for name, array in ensemble.state().items() if array.ndim > 1}
    from osong.active.calibration import Calibration

    with pytest.raises(InputError, match="holds arrays"):
        mlp_module.MlpEnsemble.from_state(small, Calibration(1.0, 1.0, 1), path)


def test_what_was_trained_is_not_trained_again(
    tmp_path: Path, store: FeatureStore, known_scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(0, 1400, 10)
    batch, scores = store.take(rows), known_scores[rows]
    calls: list[int] = []
    train = mlp_module._fit_networks
    options = SurrogateOptions(n_members=3, threads=1)

    def dies_at_the_third(*args: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(mlp_module, "_fit_networks", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        fit_surrogate(batch, scores, options, checkpoint=tmp_path)
    monkeypatch.setattr(mlp_module, "_fit_networks", train)
    whole = fit_surrogate(batch, scores, options)
    monkeypatch.setattr(mlp_module, "_fit_networks", dies_at_the_third)
    resumed = fit_surrogate(batch, scores, options, checkpoint=tmp_path)
    assert len(calls) == 5  # two were there, of four
    np.testing.assert_array_equal(resumed.state()["w1"], whole.state()["w1"])


@pytest.mark.parametrize("kind", ["mlp", "graph"])
def test_networks_of_other_scores_are_not_taken_for_these(
    tmp_path: Path,
    store: FeatureStore,
    known_scores: Scores,
    monkeypatch: pytest.MonkeyPatch,
    kind: Literal["mlp", "graph"],
) -> None:
    """Scores of another unit are the same once they are standardised."""
    monkeypatch.setattr(graph_module, "_FEWEST_STEPS", 5)
    monkeypatch.setattr(graph_module, "_EPOCHS", 1)
    rows = np.arange(0, 1400, 40)
    batch, scores = store.take(rows, with_smiles=True), known_scores[rows]
    options = SurrogateOptions(kind, n_members=2, threads=1)
    fit_surrogate(batch, scores, options, checkpoint=tmp_path)
    kept = fit_surrogate(batch, 4.0 * scores, options, checkpoint=tmp_path).predict(batch)
    anew = fit_surrogate(batch, 4.0 * scores, options).predict(batch)
    np.testing.assert_array_equal(kept.members, anew.members)


def test_graph_networks_learn_and_are_reproducible(
    tmp_path: Path, store: FeatureStore, known_scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "_FEWEST_STEPS", 150)
    rows = np.arange(0, 1400, 5)
    batch = store.take(rows, with_smiles=True)
    options = SurrogateOptions(kind="graph", n_members=2, seed=3, threads=1)
    one = fit_surrogate(batch, known_scores[rows], options)
    rest = store.take(np.setdiff1d(np.arange(1400), rows)[::4], with_smiles=True)
    said = one.predict(rest)
    assert np.corrcoef(said.mean, known_scores[rest.index])[0, 1] > 0.6  # 0.73; none by chance
    again = fit_surrogate(
        batch, known_scores[rows], SurrogateOptions("graph", n_members=2, seed=3, threads=2)
    )
    np.testing.assert_array_equal(again.predict(rest).members, said.members)
    save_surrogate(one, tmp_path / "g.pt")
    kept = load_surrogate(tmp_path / "g.pt")
    np.testing.assert_array_equal(kept.predict(rest).members, said.members)
    with pytest.raises(InputError, match="reads SMILES"):
        fit_surrogate(store.take(rows), known_scores[rows], options)


def test_a_molecule_of_odd_valence_has_a_graph_too() -> None:
    graphs = graph_module._graphs(["CC(C)(C)(C)C", "CCO"])
    assert graphs.n == 2
    assert len(graphs.atoms) == 6 + 3


def test_calibration_finds_what_was_put_in() -> None:
    rng = np.random.default_rng(0)
    deviations = rng.gamma(2.0, 0.2, 20_000)
    errors = rng.normal(0.0, np.sqrt((1.7 * deviations) ** 2 + 0.4**2))
    found = calibrate(errors, deviations)
    assert found.spread == pytest.approx(1.7, rel=0.05)
    assert found.noise == pytest.approx(0.4, rel=0.05)


def test_folds_hold_out_everyone_once_or_a_tenth() -> None:
    few = folds(101, 0)
    assert np.sort(np.concatenate(few)).tolist() == list(range(101))
    assert [len(part) for part in folds(50_000, 0)] == [5000]


def test_hopeless_scores_do_not_stretch_the_scale() -> None:
    scores = np.append(np.random.default_rng(0).normal(-8.0, 0.5, 999), 1e6)
    z, mean, deviation = score_scale(scores)
    assert mean == pytest.approx(-8.0, abs=0.05)
    assert deviation == pytest.approx(0.5, abs=0.05)
    assert z.max() < 4.0
    z, _, deviation = score_scale(np.full(10, -7.0))
    assert deviation == 1.0
    assert not z.any()


@pytest.mark.parametrize(
    ("rows", "scores", "said"),
    [
        (np.arange(5), np.zeros(5), "5 docked molecules are too few to train on: dock at least 8"),
        (np.arange(9), np.array([np.nan] + [0.0] * 8), "1 of 9 scores are no numbers"),
        (np.arange(9), np.zeros(3), "9 molecules and 3 scores"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    store: FeatureStore, rows: npt.NDArray[np.int64], scores: Scores, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fit_surrogate(store.take(rows), scores)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InputError, match="surrogate is 'forest'"):
        SurrogateOptions(kind="forest")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="n_members is 1"):
        SurrogateOptions(n_members=1)
    if not torch.cuda.is_available():
        from osong.active.torch_use import usable_device

        with pytest.raises(ResourceError, match="sees no CUDA device"):
            usable_device("cuda")


def test_a_missing_extra_is_one_line(
    store: FeatureStore, known_scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    rows = np.arange(20)
    with pytest.raises(MissingExtraError, match=r"pip install 'osong\[ml\]'"):
        fit_surrogate(store.take(rows), known_scores[rows])


def test_a_stream_of_predictions_keeps_its_order(store: FeatureStore, ensemble: Surrogate) -> None:
    (whole,) = store.batches()
    parts = [
        FeatureBatch(whole.index[k : k + 90], whole.bits[k : k + 90]) for k in range(0, 1400, 90)
    ]
    one = [said.members for _, said in predictions(ensemble, parts, threads=1)]
    for threads in (2, 5):
        seen = list(predictions(ensemble, iter(parts), threads=threads))
        assert [batch.index[0] for batch, _ in seen] == [part.index[0] for part in parts]
        np.testing.assert_array_equal(
            np.concatenate([said.members for _, said in seen]), np.concatenate(one)
        )
    assert isinstance(seen[0][1], Prediction)
    assert TopCandidates(3).best().index.shape == (0,)
