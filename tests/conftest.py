"""What tests of all three packages share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from osong.receptor import Target
    from osong.rescoring.rescorer import Rescorer

ROOT = Path(__file__).parents[1]

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real complexes, libraries and broken inputs, which lie beside the checkout and not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data are not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def egfr() -> Target:
    """EGFR with its box, from the dockstring package: about 2,000 heavy atoms."""
    if importlib.util.find_spec("dockstring") is None:
        pytest.skip("needs osong[dockstring]")
    from osong.receptor import Target

    return Target.named("EGFR")


@pytest.fixture(scope="session")
def rescorer() -> Rescorer:
    """The cheapest of GNINA's networks that come with a package, on the CPU."""
    from osong import MissingExtraError
    from osong.rescoring.rescorer import Rescorer
    from osong.rescoring.weights import shipped_folder

    try:
        shipped_folder()
    except MissingExtraError:
        pytest.skip("needs osong[ml]")
    return Rescorer("crossdock_default2018", device="cpu")
