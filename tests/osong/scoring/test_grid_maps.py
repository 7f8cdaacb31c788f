"""Grid maps: size, sharing, values, laziness, and the memory they ask for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from osong import Box
from osong.atom_types import ATOM_TYPES, TYPE_INDEX
from osong.errors import ResourceError
from osong.receptor import Receptor
from osong.scoring import scoring_function
from osong.scoring.grid import SPACING_ANGSTROM, GridMaps
from osong_kernels.reference.maps import build_maps as reference_maps


@pytest.fixture(scope="module")
def receptor() -> Receptor:
    rng = np.random.default_rng(8)
    n = 60
    text = np.array(["X"] * n)
    return Receptor(
        rng.uniform(-8, 8, (n, 3)).astype(np.float32), rng.integers(-1, 19, n).astype(np.int8),
        np.zeros(n, np.float32), text, text, text, text, text, text,
    )  # fmt: skip


def test_lattice_covers_the_box(receptor: Receptor) -> None:
    box = Box((1.0, 2.0, -3.0), (7.0, 3.75, 0.2))
    maps = GridMaps(receptor, box, scoring_function("vina"))
    last = maps.origin + SPACING_ANGSTROM * (np.array(maps.shape) - 1)
    assert (maps.origin <= box.low + 1e-5).all()
    assert (last >= box.high - 1e-5).all()
    assert (last - maps.origin < np.array(box.size) + SPACING_ANGSTROM).all()
    assert maps.shape == box.n_points(SPACING_ANGSTROM)
    assert min(maps.shape) == 2


@pytest.mark.parametrize("name", ["vina", "vinardo"])
def test_values_are_those_of_the_reference(receptor: Receptor, name: str) -> None:
    f = scoring_function(name)
    maps = GridMaps(receptor, Box((0, 0, 0), (1.5, 1.5, 1.5)), f)
    scored = receptor.is_scored
    for kind in ("C_H", "O_DA", "Met_D"):
        t = TYPE_INDEX[kind]
        expected = np.zeros((1, *maps.shape))
        reference_maps(
            receptor.coords[scored], receptor.atom_type[scored].astype(np.int32),
            f.r0[t : t + 1], f.is_hydrophobic[t : t + 1], f.is_hydrogen_bond[t : t + 1], f.weights,
            maps.origin, SPACING_ANGSTROM, 0, expected,
        )  # fmt: skip
        np.testing.assert_allclose(maps.values(t), expected[0], rtol=1e-5, atol=2e-4)


def test_types_that_nothing_tells_apart_share_a_map(receptor: Receptor) -> None:
    maps = GridMaps(receptor, Box((0, 0, 0), (2, 2, 2)), scoring_function("vina"))
    at, index = TYPE_INDEX, maps.map_of_type
    assert index[at["S_P"]] != index[at["Br_H"]]  # equal radius, but hydrophobic
    assert index[at["O_D"]] != index[at["O_A"]]
    assert len(index) == len(ATOM_TYPES)
    for a in range(len(ATOM_TYPES)):
        for b in range(a):
            if index[a] == index[b]:
                np.testing.assert_array_equal(maps.values(a), maps.values(b))


def test_maps_do_not_depend_on_what_was_built_before(receptor: Receptor) -> None:
    box, f = Box((0, 0, 0), (3, 3, 3)), scoring_function("vina")
    one, other = GridMaps(receptor, box, f), GridMaps(receptor, box, f)
    one.ensure(range(len(ATOM_TYPES)))
    for t in (5, 0, 12):
        other.ensure([t])
        assert one.values(t).tobytes() == other.values(t).tobytes()


def test_maps_do_not_depend_on_threads(receptor: Receptor, monkeypatch: pytest.MonkeyPatch) -> None:
    box, f = Box((0, 0, 0), (15, 3, 3)), scoring_function("vina")
    one, other = GridMaps(receptor, box, f), GridMaps(receptor, box, f)
    one.ensure(range(len(ATOM_TYPES)))
    monkeypatch.setattr("osong.scoring.grid._PLANES", 7)
    other.ensure(range(len(ATOM_TYPES)), threads=3)
    assert one.field().maps.tobytes() == other.field().maps.tobytes()


def test_box_too_large_for_memory(receptor: Receptor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20, total=2**40)
    )
    with pytest.raises(ResourceError, match=r"20 x 20 x 20 A need .* GiB .* free.*smaller"):
        GridMaps(receptor, Box((0, 0, 0), (20, 20, 20)), scoring_function("vina"))


def test_box_too_large_for_the_jobs_share(
    receptor: Receptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osong.scoring.grid.usable_memory", lambda: 2**20)
    with pytest.raises(ResourceError, match=r"20 x 20 x 20 A need"):
        GridMaps(receptor, Box((0, 0, 0), (20, 20, 20)), scoring_function("vina"))


def test_box_with_more_points_than_can_be_addressed(receptor: Receptor) -> None:
    with pytest.raises(ResourceError, match=r"lattice points.*several smaller boxes"):
        GridMaps(receptor, Box((0, 0, 0), (500, 500, 500)), scoring_function("vina"))
