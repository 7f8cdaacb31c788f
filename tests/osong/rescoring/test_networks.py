"""Networks against gninatorch's own, and against GNINA 1.3's TorchScript run by PyTorch."""
# ruff: noqa: E402

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grids_of_balls import ball_grids

torch = pytest.importorskip("torch", reason="needs osong[ml]")

from peer_networks import N_POSES, RECORDED, peer_folder, peer_network, said, torchscript

from osong.cli.network_options import print_networks
from osong.errors import InputError
from osong.rescoring import rescorer
from osong.rescoring.inference import arrange, occupied, pool
from osong.rescoring.loading import ScriptedNetwork, load_network
from osong.rescoring.networks import Default2018, Dense, Network, build_network, pose_probability
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.weights import SHIPPED, WeightsFile, find_weights

TOLERANCE = 3e-5
"""Of probabilities and pK; promised is 1e-4, and 1e-5 is what one processor gives."""

recorded: dict[str, dict[str, list[float]]] = json.loads(RECORDED.read_text())["networks"]

needs_gninatorch = pytest.mark.skipif(peer_folder() is None, reason="needs osong[ml]")


@pytest.fixture(scope="module")
def grids() -> Any:
    return ball_grids(N_POSES)


@pytest.fixture(scope="module")
def gnina_13(shared_data: Path) -> Path:
    folder = shared_data / "weights" / "gnina"
    if not folder.is_dir():
        pytest.skip(f"GNINA 1.3's weights are not here: {folder}")
    return folder


def differences(ours: tuple[Any, Any], theirs: dict[str, list[float]]) -> tuple[float, float]:
    score, affinity = (np.asarray(values, dtype=float) for values in ours)
    return (
        float(np.abs(score - theirs["score"]).max()),
        float(np.abs(affinity - theirs["affinity"]).max()),
    )


def as_defined(network: Network | ScriptedNetwork, grids: Any) -> tuple[Any, Any]:
    with torch.inference_mode():
        logits, affinity = network(torch.from_numpy(grids))
        return pose_probability(logits), affinity


def test_every_shipped_network_is_recorded() -> None:
    assert set(SHIPPED) <= set(recorded)


@needs_gninatorch
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_recorded_gninatorch(name: str, grids: Any) -> None:
    """What gninatorch said when its file was recorded, by our network as defined."""
    if name == "default2017":
        grids = ball_grids(N_POSES, 35)
    network = load_network(find_weights(name)[0])
    assert max(differences(as_defined(network, grids), recorded[name])) < TOLERANCE


@needs_gninatorch
@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"default2017"}))
def test_arranged_for_speed(name: str, grids: Any) -> None:
    scores = Rescorer(name, device="cpu").scores(grids)
    assert max(differences((scores.score, scores.affinity), recorded[name])) < TOLERANCE


@needs_gninatorch
@pytest.mark.parametrize("name", ["default2017", "redock_default2018_4", "dense_2"])
def test_live_gninatorch(name: str) -> None:
    """Beside gninatorch's own module, on grids that are recorded nowhere."""
    other = ball_grids(2, 35 if name == "default2017" else 28, seed=7)
    theirs = said(peer_network(name), other)
    network = load_network(find_weights(name)[0])
    assert max(differences(as_defined(network, other), theirs)) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("all_default_to_default_1.3_1", Default2018),
        ("crossdock_default2018_KD_4", Default2018),
        ("dense_1.3_PT_KD_3", Dense),
    ],
)
def test_torchscript_of_gnina_13(name: str, kind: type, gnina_13: Path, grids: Any) -> None:
    """TorchScript's weights in our network are what PyTorch says of the program itself."""
    network = load_network(find_weights(name, gnina_13)[0])
    assert isinstance(network, kind)
    theirs = said(torchscript(gnina_13 / f"{name}.pt"), grids)
    assert max(differences((theirs["score"], theirs["affinity"]), recorded[name])) < TOLERANCE
    ours = Rescorer(name, device="cpu", weights=gnina_13).scores(grids)
    assert max(differences((ours.score, ours.affinity), theirs)) < TOLERANCE


def fresh(kind: type[Network], seed: int = 0) -> Network:
    """Return a network of random weights, its normalisations too."""
    torch.manual_seed(seed)
    network = kind().eval()
    for name, values in network.state_dict().items():
        if "batchnorm" in name and values.is_floating_point():
            values.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("kind", [Default2018, Dense])
def test_folding_changes_nothing(kind: type[Network], grids: Any) -> None:
    """Scale and shift of each normalisation, at the edges of the grid too, for any weights."""
    network = fresh(kind)
    fast = arrange(network)
    values, channels = occupied(pool(torch.from_numpy(grids), fast.pooling))
    with torch.inference_mode():
        expected = network(torch.from_numpy(grids))
        found = fast(values, channels)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_pooling_by_halves() -> None:
    values = torch.rand(2, 3, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    functional = torch.nn.functional
    torch.testing.assert_close(pool(values, "sum") / 8, functional.avg_pool3d(values, 2))
    assert torch.equal(pool(values, "maximum"), functional.max_pool3d(values, 2))


def test_occupied_channels() -> None:
    values = torch.zeros(2, 5, 4, 4, 4)
    values[0, 1, 2, 3, 0] = 1.0
    values[1, 3, 0, 0, 0] = -2.0
    kept, channels = occupied(values)
    assert channels.tolist() == [1, 3]
    assert torch.equal(kept, values[:, [1, 3]])


def test_nothing_is_occupied() -> None:
    kept, channels = occupied(torch.zeros(1, 5, 4, 4, 4))
    assert kept.shape == (1, 1, 4, 4, 4)
    assert channels.tolist() == [0]


def file_of(path: Path) -> WeightsFile:
    return WeightsFile(path.stem, path, "0" * 64, "ours")


def test_torchscript_that_computes_something_else_runs_as_it_is(tmp_path: Path, grids: Any) -> None:
    """Same names and shapes, other sums: our network must not take its place."""

    class Doubled(Default2018):
        def forward(self, grids: Any) -> Any:
            logits, affinity = super().forward(grids)
            return logits, affinity * 2.0

    torch.manual_seed(3)
    network = Doubled().eval()
    path = tmp_path / "doubled.pt"
    save_script(network, path)
    loaded = load_network(file_of(path))
    assert isinstance(loaded, ScriptedNetwork)
    scores = Rescorer("doubled", device="cpu", weights=tmp_path).scores(grids)
    expected = as_defined(network, grids)
    assert np.abs(scores.affinity - expected[1].numpy()).max() < TOLERANCE


def test_results_say_in_which_numbers_each_network_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TorchScript that runs as it is knows float32 only, whatever was asked for."""

    class Doubled(Default2018):
        def forward(self, grids: Any) -> Any:
            logits, affinity = super().forward(grids)
            return logits, affinity * 2.0

    monkeypatch.setattr(rescorer, "_checked_dtype", lambda name, device: name)
    torch.manual_seed(3)
    save_script(Doubled().eval(), tmp_path / "doubled.pt")
    torch.save(fresh(Default2018).state_dict(), tmp_path / "plain.pt")
    said_of = {}
    for models in ("doubled", "plain", "all"):
        asked = Rescorer(models, device="cpu", dtype="bfloat16", weights=tmp_path)
        says = asked.describe()
        assert says["dtype_asked"] == "bfloat16"
        for network in says["networks"]:
            is_script = network["name"] == "doubled"
            assert network["program"] == ("TorchScript" if is_script else "Osong")
        said_of[models] = (says["dtype"], [network["dtype"] for network in says["networks"]])
    print_networks(asked)
    assert "doubled ran in float32, not bfloat16: TorchScript" in capsys.readouterr().out
    assert said_of == {
        "doubled": ("float32", ["float32"]),
        "plain": ("bfloat16", ["bfloat16"]),
        "all": ("bfloat16+float32", ["float32", "bfloat16"]),
    }


def save_script(network: Any, path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 28, 48, 48, 48)), str(path))


def test_torchscript_of_another_grid(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "other.pt"
    save_script(fresh(Default2018), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/extra/metadata", '{"dimension": 47.5, "resolution": 0.5}')
    with pytest.raises(InputError, match=r"grid of 47\.5 angstrom"):
        load_network(file_of(path))


class Triples(torch.nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, grids: Any) -> Any:
        return grids.sum((1, 2, 3)), grids.sum((1, 2, 3, 4))


def test_torchscript_with_other_outputs(tmp_path: Path) -> None:
    save_script(Triples(), tmp_path / "triples.pt")
    network = load_network(file_of(tmp_path / "triples.pt"))
    with pytest.raises(InputError, match=r"triples\.pt: .*does not return pose logits"):
        network(torch.zeros(1, 28, 48, 48, 48))


@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"PK\x03\x04 cut off", b"\x80\x05."]
)
def test_file_that_is_no_weights(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.pt: no weights that torch can read") as caught:
        load_network(file_of(path))
    assert "\n" not in str(caught.value)


def test_pickles_that_would_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"unit1_conv.weight": Path("/")}, path)
    with pytest.raises(InputError, match="no weights that torch can read"):
        load_network(file_of(path))


def test_state_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "list.pt"
    torch.save([torch.zeros(3)], path)
    with pytest.raises(InputError, match="holds no state dict"):
        load_network(file_of(path))


def altered(change: str) -> dict[str, Any]:
    state = dict(fresh(Dense).state_dict())
    match change:
        case "missing":
            del state["pose_output.bias"]
        case "unknown":
            state["pose_output.more"] = torch.zeros(2)
        case "shape":
            state["affinity_output.weight"] = torch.zeros(1, 7)
        case "nan":
            state["affinity_output.weight"] = torch.full((1, 224), float("nan"))
        case _:
            state = {f"net.{name}": values for name, values in state.items()}
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"mine: weights of dense that lack pose_output\.bias"),
        ("unknown", r"mine: weights of dense with names unknown there: pose_output\.more"),
        ("shape", r"mine: affinity_output\.weight has shape \(1, 7\), dense has \(1, 224\)"),
        ("nan", r"mine: affinity_output\.weight holds numbers that are not finite"),
        ("other names", r"mine: not the weights of a GNINA network: it holds net\."),
    ],
)
def test_weights_that_do_not_match(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_network(altered(change), "mine")
    assert "\n" not in str(caught.value)
