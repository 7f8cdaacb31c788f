"""How many workers memory allows."""

from __future__ import annotations

import pytest

from osong.errors import ResourceError
from osong_workflows.memory import affordable_workers

GIB = 2**30


def test_fewer_workers_where_memory_is_short(monkeypatch):
    monkeypatch.setattr("osong_workflows.memory.allocated_cores", lambda: 8)
    monkeypatch.setattr("osong_workflows.memory.allocated_memory", lambda: 4 * GIB)
    assert [affordable_workers(n * GIB) for n in (1, 2, 3)] == [3, 1, 1]


def test_a_worker_that_cannot_fit_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr("osong_workflows.memory.allocated_memory", lambda: 2 * GIB)
    with pytest.raises(ResourceError, match=r"needs about 2\.5 GiB .* may use 2\.0 GiB: take a"):
        affordable_workers(2 * GIB)
