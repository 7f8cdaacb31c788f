from __future__ import annotations

from pathlib import Path

import pytest

from osong_benchmarks.results import ResultFile, provenance


def test_rows_come_back_and_the_last_of_a_name_counts(tmp_path: Path) -> None:
    results = ResultFile(tmp_path / "deep" / "r.jsonl", ("complex", "program"))
    assert results.rows() == []
    results.add({"complex": "1abc", "program": "vina", "energy": -7.0})
    results.add({"complex": "1abc", "program": "osong", "energy": -7.1})
    results.add({"complex": "1abc", "program": "vina", "energy": -7.2})
    assert [row["energy"] for row in results.rows()] == [-7.2, -7.1]
    assert results.has(complex="1abc", program="vina")
    assert not results.has(complex="2xyz", program="vina")


def test_the_line_of_a_killed_run_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    results = ResultFile(path, ("n",))
    results.add({"n": 1})
    path.write_text(path.read_text() + '{"n": 2, "ener')
    assert results.rows() == [{"n": 1}]


def test_a_row_without_its_name_is_refused(tmp_path: Path) -> None:
    results = ResultFile(tmp_path / "r.jsonl", ("complex",))
    with pytest.raises(KeyError):
        results.add({"energy": -7.0})
    assert not results.path.exists()


def test_provenance_says_how() -> None:
    text = provenance(["redock", "--n", "64"])
    assert "`python -m benchmarks redock --n 64`" in text
    assert "numba" in text
    assert "cores" in text
