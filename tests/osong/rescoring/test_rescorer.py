"""Ensembles over grids: means, rotations, determinism, memory, errors."""
# ruff: noqa: E402

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grids_of_balls import ball_grids

torch = pytest.importorskip("torch", reason="needs osong[ml]")

from peer_networks import peer_folder, peer_network, said

from osong.errors import InputError, MissingExtraError, ResourceError
from osong.rescoring import rescorer as rescorer_module
from osong.rescoring.networks import Default2018
from osong.rescoring.rescorer import GRID_SHAPE, PoseScores, Rescorer
from osong.rescoring.weights import ENSEMBLES

needs_gninatorch = pytest.mark.skipif(peer_folder() is None, reason="needs osong[ml]")


@pytest.fixture(scope="module")
def grids() -> Any:
    return ball_grids(3, seed=11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks of random weights."""
    made = tmp_path_factory.mktemp("weights")
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(Default2018().state_dict(), made / f"net{seed}.pt")
    return made


def on_cpu(folder: Path, models: Any = "all", **options: Any) -> Rescorer:
    return Rescorer(models, device="cpu", weights=folder, **options)


def as_bytes(scores: PoseScores) -> bytes:
    return scores.score.tobytes() + scores.affinity.tobytes() + scores.variance.tobytes()


@needs_gninatorch
def test_default_ensemble_means_what_gnina_means(grids: Any) -> None:
    """CNNscore and CNNaffinity are means of the members, CNNvariance is that of the affinities."""
    rows = [said(peer_network(name), grids[:2]) for name in ENSEMBLES["default"]]
    affinities = np.array([row["affinity"] for row in rows])
    scores = Rescorer(device="cpu").scores(grids[:2])
    np.testing.assert_allclose(scores.score, np.mean([r["score"] for r in rows], 0), atol=1e-5)
    np.testing.assert_allclose(scores.affinity, affinities.mean(0), atol=1e-5)
    np.testing.assert_allclose(scores.variance, affinities.var(0), atol=1e-4)
    np.testing.assert_array_equal(scores.vs, scores.score * scores.affinity)


def test_means_over_members(folder: Path, grids: Any) -> None:
    one, two, both = (on_cpu(folder, m).scores(grids) for m in ("net1", "net2", "all"))
    np.testing.assert_allclose(both.score, (one.score + two.score) / 2, rtol=1e-12)
    np.testing.assert_allclose(both.affinity, (one.affinity + two.affinity) / 2, rtol=1e-12)
    np.testing.assert_allclose(both.variance, (one.affinity - two.affinity) ** 2 / 4, rtol=1e-6)
    assert (one.variance == 0).all()


@pytest.mark.parametrize("options", [{}, {"threads": 3}, {"rotations": 4}])
def test_scores_depend_on_no_batch_and_no_thread(
    options: dict[str, Any], folder: Path, grids: Any
) -> None:
    together = on_cpu(folder, **options).scores(grids)
    plain = on_cpu(folder, **{**options, "threads": 1})
    alone = [plain.scores(grids[k : k + 1]) for k in (2, 0, 1)]
    assert b"".join(as_bytes(alone[k]) for k in (1, 2, 0)) == b"".join(
        as_bytes(PoseScores(*(v[k : k + 1] for v in (together.score, together.affinity,
                                                     together.variance))))
        for k in range(3)
    )  # fmt: skip


@pytest.mark.parametrize("count", [4, 12, 24])
def test_average_over_a_group_does_not_feel_its_rotations(
    count: int, folder: Path, grids: Any
) -> None:
    from osong.rescoring.rescorer import _turned
    from osong.rescoring.rotations import rotations

    averaged = on_cpu(folder, "net1", rotations=count)
    expected = averaged.scores(grids[:1])
    rotation = rotations(count)[-1]
    turned = (
        _turned(torch.from_numpy(grids[:1]), rotation.axes, rotation.flips).contiguous().numpy()
    )
    found = averaged.scores(turned)
    assert expected.affinity == pytest.approx(found.affinity, abs=1e-6)
    assert expected.score == pytest.approx(found.score, abs=1e-6)
    assert expected.variance[0] > 0
    once = on_cpu(folder, "net1")
    assert once.scores(turned).affinity != pytest.approx(once.scores(grids[:1]).affinity, abs=1e-6)


def test_average_is_that_of_turned_grids(folder: Path, grids: Any) -> None:
    from osong.rescoring.rescorer import _turned
    from osong.rescoring.rotations import rotations

    once = on_cpu(folder, "net1")
    each = [
        once.scores(_turned(torch.from_numpy(grids[:1]), r.axes, r.flips).contiguous().numpy())
        for r in rotations(4)
    ]
    averaged = on_cpu(folder, "net1", rotations=4).scores(grids[:1])
    np.testing.assert_allclose(averaged.affinity, np.mean([e.affinity for e in each]), atol=1e-6)
    np.testing.assert_allclose(averaged.score, np.mean([e.score for e in each]), atol=1e-6)


def test_torch_keeps_its_threads(folder: Path, grids: Any) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        on_cpu(folder, threads=2).scores(grids[:1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_torch_keeps_its_threads_where_two_score_at_once(
    folder: Path, grids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of threads is the process's: it is set and given back by one at a time."""
    both = [on_cpu(folder, "net1"), on_cpu(folder, "net2")]
    inside = [threading.Event(), threading.Event()]
    left = threading.Event()

    def run_of(mine: int) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            inside[mine].set()
            # The first leaves while the second is at work, where that can be.
            (left if mine else inside[1]).wait(0.3)
            return np.zeros((1, 1, 2))

        return run

    def score(mine: int) -> None:
        both[mine].scores(grids[:1])
        left.set()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for mine in (0, 1):
            monkeypatch.setattr(both[mine], "_run", run_of(mine))
        threads = [threading.Thread(target=score, args=(mine,)) for mine in (0, 1)]
        threads[0].start()
        inside[0].wait(5.0)
        threads[1].start()
        for thread in threads:
            thread.join(5.0)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_grids_are_left_as_they_were(folder: Path, grids: Any) -> None:
    frozen = grids[:1].copy()
    frozen.flags.writeable = False
    expected = on_cpu(folder).scores(grids[:1])
    assert as_bytes(on_cpu(folder).scores(frozen)) == as_bytes(expected)
    np.testing.assert_array_equal(frozen, grids[:1])


def test_no_poses(folder: Path) -> None:
    scores = on_cpu(folder).scores(np.zeros((0, *GRID_SHAPE), dtype=np.float32))
    assert len(scores) == 0
    assert scores.vs.shape == (0,)


def test_grid_without_atoms(folder: Path) -> None:
    scores = on_cpu(folder).scores(np.zeros((1, *GRID_SHAPE), dtype=np.float32))
    assert 0 < scores.score[0] < 1


class Shelf:
    """A grid source whose poses are indices."""

    def __init__(self, grids: Any) -> None:
        self.made = grids
        self.sizes: list[int] = []

    def grids(self, poses: Sequence[int], *, out: Any) -> Any:
        self.sizes.append(len(poses))
        out[:] = self.made[list(poses)]
        return out


def test_poses_go_in_batches_that_fit(folder: Path, grids: Any) -> None:
    small = on_cpu(folder, memory_bytes=(512 + 48 + 2 * 24) << 20)
    assert small.batch_poses == 2
    shelf = Shelf(grids)
    parts = list(small.iter_scores(shelf, [2, 1, 0]))
    assert shelf.sizes == [2, 1]
    found = np.concatenate([part.affinity for part in parts])
    np.testing.assert_array_equal(found[::-1], on_cpu(folder).scores(grids).affinity)


def test_no_room_for_a_pose(folder: Path) -> None:
    with pytest.raises(ResourceError, match=r"needs \d+ MiB on cpu, 100 MiB are there"):
        on_cpu(folder, memory_bytes=100 << 20)


def test_brain_floats(folder: Path, grids: Any) -> None:
    """bfloat16 keeps eight bits: near float32, and not the same."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    fine, coarse = on_cpu(folder).scores(grids), on_cpu(folder, dtype="bfloat16").scores(grids)
    np.testing.assert_allclose(coarse.affinity, fine.affinity, atol=0.1)
    assert (coarse.affinity != fine.affinity).all()


def test_processor_without_brain_floats(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(InputError, match="dtype is 'bfloat16', which cpu has not: take float32"):
        on_cpu(folder, dtype="bfloat16")


def test_auto_is_float32(folder: Path) -> None:
    assert on_cpu(folder).dtype == "float32"


def test_description_names_the_weights(folder: Path) -> None:
    facts = on_cpu(folder, rotations=4).describe()
    assert [row["name"] for row in facts["networks"]] == ["net1", "net2"]
    assert all(len(row["sha256"]) == 64 and row["licence"] for row in facts["networks"])
    assert (facts["rotations"], facts["dtype"], facts["device"]) == (4, "float32", "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotations": 2}, "rotations is 2; it may be 1, 4, 12, 24"),
        ({"dtype": "float16"}, "dtype is 'float16'; it may be auto, float32, bfloat16"),
        ({"threads": 0}, "threads is 0; at least 1"),
        ({"device": "gpu"}, "device is 'gpu'; it may be auto, cpu, cuda"),
        ({"device": "meta"}, "device is 'meta'; it may be auto, cpu, cuda"),
        ({"device": "cuda:99"}, "device is 'cuda:99', which torch cannot use here"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(InputError, match=message):
        Rescorer("all", weights=folder, **options)


@needs_gninatorch
def test_network_of_another_typing() -> None:
    with pytest.raises(InputError, match="default2017 reads 35 channels"):
        Rescorer("default2017", device="cpu")


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        (np.zeros((1, 28, 47, 48, 48), np.float32), r"shape \(1, 28, 47, 48, 48\)"),
        (np.zeros(GRID_SHAPE, np.float32), r"wanted \(n, 28, 48, 48, 48\)"),
        (np.zeros((1, *GRID_SHAPE), np.float64), "grids are float64"),
    ],
)
def test_wrong_grids(grids: Any, message: str, folder: Path) -> None:
    with pytest.raises(InputError, match=message):
        on_cpu(folder).scores(grids)


def test_grids_that_are_not_finite(folder: Path, grids: Any) -> None:
    broken = grids[:2].copy()
    broken[1, 3, 4, 5, 6] = np.nan
    with pytest.raises(InputError, match="grid 1 of 2 holds numbers that are not finite"):
        on_cpu(folder).scores(broken)


def test_torch_is_missing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(rescorer_module, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"torch.*pip install 'osong\[ml\]'"):
        Rescorer("all", weights=folder)


def test_scoring_imports_no_molgrid(folder: Path) -> None:
    """Nor gninatorch, which would import it."""
    code = (
        "import sys, numpy as np; from osong.rescoring.rescorer import Rescorer;"
        f"r = Rescorer('all', device='cpu', weights={str(folder)!r});"
        "r.scores(np.ones((1, 28, 48, 48, 48), np.float32));"
        "print(*{'torch', 'molgrid', 'gninatorch', 'openbabel'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch"]
