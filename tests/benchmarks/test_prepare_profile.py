"""Preparation is timed by stage, with nothing left out."""

from __future__ import annotations

from osong_benchmarks.prepare_profile import summary, time_preparation


def test_every_stage_is_timed_and_failures_are_counted() -> None:
    result = time_preparation(["CC1CCNCC1", "CC(O)C(F)Cl", "C1CC"])
    assert result["n_failed"] == 1
    assert result["n_states"] == 5
    assert result["n_conformers"] >= 6
    assert all(seconds > 0 for seconds in result["stages"].values())
    table = summary(result)
    for stage in ("protonate", "embed", "clean up", "type and pack", "together", "RDKit"):
        assert f"| {stage}" in table
