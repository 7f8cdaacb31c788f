"""Grid maps that the sessions of one process share: a loop of docks builds them once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from osong.receptor.target import Target
from osong.scoring.functions import ScoringFunction
from osong.scoring.grid import GridMaps

__all__ = ["forget_maps", "shared_maps"]

_MAX_BYTES: Final = 256 * 2**20
"""Room for six targets with boxes of 30 A, all types built; larger boxes are never kept."""

_lock = threading.Lock()
_kept: OrderedDict[tuple[bytes, ScoringFunction], GridMaps] = OrderedDict()


def shared_maps(target: Target, scoring: ScoringFunction) -> GridMaps:
    """Return the maps of a target, those of an earlier call if they are still kept.

    The least recently used go first.

    Raises
    ------
    ResourceError
        If they have to be made and there is no room for them.
    """
    key = target.key, scoring
    with _lock:
        maps = _kept.pop(key, None) or GridMaps(target.receptor, target.box, scoring)
        if maps.n_bytes <= _MAX_BYTES:
            _kept[key] = maps
        while sum(kept.n_bytes for kept in _kept.values()) > _MAX_BYTES:
            _kept.popitem(last=False)
    return maps


def forget_maps() -> None:
    """Keep no maps any longer: for what times how they are built."""
    with _lock:
        _kept.clear()
