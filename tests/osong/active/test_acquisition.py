"""What is picked next: the most promising, ties by index, and not all alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osong.active import Acquisition, Prediction, TopCandidates
from osong.active.acquisition import keyed_uniform, pick_batch, pick_spread, similarities
from osong.active.similarity_kernel import bits_needed
from osong.errors import InputError

MEMBERS = np.array([[-8.0, -6.0], [-7.5, -7.5], [-5.0, -5.0]], np.float32)
SAID = Prediction(MEMBERS, 0.5)
INDEX = np.array([10, 11, 12])


def utility(kind: str, **more: float) -> np.ndarray:
    return Acquisition(kind, **more).utility(SAID, INDEX, 3)  # type: ignore[arg-type]


def test_greedy_and_ucb_by_hand() -> None:
    np.testing.assert_allclose(utility("greedy"), [7.0, 7.5, 5.0])
    # two networks, two units apart: a deviation of the root of two
    np.testing.assert_allclose(utility("ucb", beta=2.0), [7.0 + 2.0 * 2**0.5, 7.5, 5.0], rtol=1e-6)
    np.testing.assert_allclose(utility("ucb", beta=0.0), utility("greedy"))


def test_thompson_follows_one_network_a_molecule() -> None:
    index = np.arange(4000)
    many = Prediction(np.tile(np.array([[1.0, 2.0]], np.float32), (4000, 1)), 0.1)
    values = Acquisition("thompson").utility(many, index, 0)
    assert set(values.tolist()) == {-1.0, -2.0}
    assert 0.45 < (values == -1.0).mean() < 0.55
    other = Acquisition("thompson").utility(many, index, 1)
    assert (values != other).any()


def test_chance_depends_on_index_and_seed_alone() -> None:
    index = np.arange(10_000)
    values = keyed_uniform(index, 7)
    np.testing.assert_array_equal(values[[5, 99]], keyed_uniform(np.array([5, 99]), 7))
    assert len(np.unique(values)) == 10_000
    assert 0.0 <= values.min() < values.max() < 1.0
    np.testing.assert_allclose(np.histogram(values, 10)[0], 1000, atol=120)
    assert abs(np.corrcoef(values, keyed_uniform(index, 8))[0, 1]) < 0.05


def test_ties_go_to_the_lower_index() -> None:
    rows = pick_batch(np.array([1.0, 2.0, 2.0, 2.0], np.float32), np.array([4, 9, 3, 5]), None, 3)
    assert rows.tolist() == [2, 3, 1]


def test_a_batch_is_diverse_while_it_can_be() -> None:
    rng = np.random.default_rng(0)
    families = rng.integers(0, 256, (3, 64), dtype=np.uint8)
    bits = np.repeat(families, 4, axis=0)
    bits[:, 0] = np.arange(12)  # relatives differ a little
    value = np.arange(12, 0, -1).astype(np.float32)
    rows = pick_batch(value, np.arange(12), bits, 3, most_similar=0.8)
    assert rows.tolist() == [0, 4, 8]
    assert pick_batch(value, np.arange(12), bits, 3).tolist() == [0, 1, 2]
    # more than there are families: filled up with the best that were passed over
    assert pick_batch(value, np.arange(12), bits, 5, most_similar=0.8).tolist() == [0, 1, 2, 4, 8]


def _picked_one_by_one(
    order: np.ndarray, bits: np.ndarray, n: int, most_similar: float, n_compared: int
) -> list[int]:
    """The rule as it is told, in a plain loop."""
    picked: list[int] = []
    passed: list[int] = []
    for row in order:
        if len(picked) == n:
            break
        before = picked[-n_compared:]
        if before and similarities(bits[row], bits[before]).max() > most_similar:
            passed.append(row)
        else:
            picked.append(row)
    chosen = {*picked, *passed[: n - len(picked)]}
    return [row for row in order.tolist() if row in chosen]


@pytest.mark.parametrize("n_compared", [7, 64, 300, 4096])
@pytest.mark.parametrize("most_similar", [0.3, 0.5, 2 / 3, 0.9])
def test_diverse_picks_are_those_of_a_plain_loop(
    n_compared: int, most_similar: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Families of relatives of several sizes; similarities of exactly the limit are among them."""
    monkeypatch.setattr("osong.active.acquisition._MOST_COMPARED", n_compared)
    rng = np.random.default_rng(n_compared)
    families = rng.random((150, 256)) < rng.uniform(0.02, 0.6, (150, 1))
    members = families[rng.integers(0, 150, 1500)] ^ (rng.random((1500, 256)) < 0.04)
    bits = np.packbits(members, axis=1)
    bits[rng.integers(0, 1500, 20)] = 0  # no fragment at all
    value = rng.integers(0, 40, 1500).astype(np.float32)
    index = rng.permutation(1500)
    order = np.lexsort((index, -value))
    for n, threads in ((1, 1), (64, 2), (200, 1), (700, 3), (1500, 1), (2000, 2)):
        rows = pick_batch(value, index, bits, n, most_similar, threads=threads)
        assert rows.tolist() == _picked_one_by_one(order, bits, n, most_similar, n_compared)


@given(st.floats(0.0, 1.0, exclude_min=True, exclude_max=True))
def test_bits_needed_are_the_fewest_that_are_too_similar(most_similar: float) -> None:
    needed = bits_needed(most_similar, 300)
    for total, least in enumerate(needed.tolist()):
        shared = np.arange(total // 2 + 1)
        too_similar = shared / np.maximum(total - shared, 1) > most_similar
        np.testing.assert_array_equal(shared >= least, too_similar)


def test_spread_molecules_are_far_from_each_other() -> None:
    rng = np.random.default_rng(1)
    bits = (rng.random((60, 64)) < 0.3).astype(np.uint8) * 255
    bits[30:] = bits[:30]  # everything twice
    rows = pick_spread(bits, 20, seed=4)
    assert len(set(rows.tolist())) == 20
    chosen = bits[rows]
    for k, row in enumerate(chosen):
        assert (similarities(row, np.delete(chosen, k, axis=0)) < 1.0).all()
    assert pick_spread(bits, 20, seed=4).tolist() == rows.tolist()
    assert len(pick_spread(bits, 100, seed=0)) == 60


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=200), st.integers(1, 30), st.integers(1, 50)
)
def test_candidates_do_not_depend_on_blocks(values: list[int], n: int, block: int) -> None:
    utility = np.array(values, np.float32)
    index = np.random.default_rng(0).permutation(len(values)).astype(np.int64)
    bits = np.zeros((len(values), 512), np.uint8)
    top = TopCandidates(n)
    for begin in range(0, len(values), block):
        part = slice(begin, begin + block)
        top.add(utility[part], index[part], bits[part])
        assert top._n_held < 3 * n
    best = top.best()
    wanted = np.lexsort((index, -utility))[:n]
    assert sorted(best.index.tolist()) == sorted(index[wanted].tolist())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "best"}, "acquisition is 'best'"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"most_similar": 0.0}, "most_similar is 0.0"),
    ],
)
def test_wrong_options_are_refused(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Acquisition(**options)
