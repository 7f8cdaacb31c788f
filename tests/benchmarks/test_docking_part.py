"""The docking and the screen part, smallest size, and what they say without data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from osong.errors import MissingExtraError
from osong_benchmarks.part import Section, Settings
from osong_benchmarks.parts import docking, screen
from osong_benchmarks.parts.docking import DockingResult
from osong_benchmarks.parts.screen import ScreenResult
from osong_benchmarks.screen import STAGES, CampaignTime, StageClock, StageTimes
from osong_benchmarks.screen_peers import Screened, peers_table, screen_first


def installed_peers() -> tuple[str, ...]:
    if importlib.util.find_spec("meeko") is None:
        return ()
    return tuple(name for name in ("vina", "rustina") if importlib.util.find_spec(name))


def check_section(shown: Section, n_figures: int) -> None:
    assert len(shown.figures) == n_figures
    assert all(figure.svg.startswith("<svg") for figure in shown.figures)
    assert all(len(row) == len(table.header) for table in shown.tables for row in table.rows)


@pytest.mark.slow
def test_docking_smallest(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs osong[bench]")
    peers = installed_peers()
    settings = Settings(size="smallest", data=shared_data, peers=peers, out=tmp_path)
    said: list[str] = []
    result = docking.run(settings, said.append)
    assert len(result.dockings) == len(said) == 1 + len(peers)
    assert {gap.what for gap in result.gaps} == {
        f"docking with {peer}" for peer in ("vina", "rustina") if peer not in peers
    }
    assert DockingResult.model_validate_json(result.model_dump_json()) == result
    check_section(docking.section(result), 3 if "vina" in peers else 2)
    found = docking.merits(result)
    assert found["docking.fast.cpu_s_per_ligand"].value > 0


def test_docking_without_data_is_a_gap(tmp_path: Path) -> None:
    result = docking.run(Settings(size="smallest", out=tmp_path), print)
    assert "--data" in result.gaps[0].reason
    assert docking.section(result).gaps == result.gaps
    assert docking.merits(result) == {}


@pytest.mark.slow
def test_screen_smallest(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs osong[bench]")
    peers = installed_peers()
    settings = Settings(size="smallest", data=shared_data, peers=peers, out=tmp_path)
    result = screen.run(settings, lambda line: None)
    (times,), (campaign,) = result.stages, result.campaigns
    assert times.unknown == ()
    assert set(times.stages) <= set(STAGES)
    assert times.n == campaign.n == 4
    assert times.start_s > 0
    assert all(not screened.error for screened in result.peers)
    assert ScreenResult.model_validate_json(result.model_dump_json()) == result
    check_section(screen.section(result), 2 if peers else 1)
    assert screen.merits(result)["screen.fast.ligands_per_cpu_s"].value > 0


def test_screen_without_data_or_targets_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_target(name: str) -> None:
        raise MissingExtraError("dockstring", extra="dockstring", purpose="named targets")

    monkeypatch.setattr("osong.Target.named", no_target)
    result = screen.run(Settings(size="smallest", out=tmp_path), print)
    assert "osong[dockstring]" in result.gaps[0].reason
    assert screen.merits(result) == {}
    assert screen.section(result).figures == ()


def test_screen_of_made_up_numbers() -> None:
    pytest.importorskip("matplotlib", reason="needs osong[bench]")
    peers = (
        Screened(program="osong fast", engine="osong", n=10, prepare_s=0.5, dock_s=0.5),
        Screened(program="vina 8", engine="vina", n=10, maps_s=2.0, prepare_s=0.5, dock_s=99.5),
        Screened(program="rustina vinardo", engine="rustina", n=10, error="killed"),
    )
    result = ScreenResult(
        target="1opk", library="moses_1k.smi", peers=peers,
        stages=(StageTimes(effort="fast", n=10, n_failed=1, start_s=3.0,
                           stages={"prepare: embed": 0.5, "search": 1.5}),),
        campaigns=(CampaignTime(effort="fast", n=10, wall_s=12.0, cpu_s=8.0),),
    )  # fmt: skip
    found = screen.merits(result)
    assert found["screen.fast.ligands_per_cpu_s"].value == pytest.approx(5.0)
    assert found["screen.fast.prepare_ms_per_ligand"].value == pytest.approx(50.0)
    assert found["screen.fast.times_faster_than_vina"].value == pytest.approx(100.0)
    assert "screen.fast.times_faster_than_rustina" not in found
    assert peers_table(peers).rows[1][-1] == "100.0"
    shown = screen.section(result)
    check_section(shown, 2)
    assert "5.0 at effort fast" in shown.summary
    shares = {row[0]: row[3] for row in shown.tables[1].rows}
    assert shares["search"] == "75.0 %"
    assert shares["start and compilation, once a process"] == "-"


def test_a_stage_whose_function_moved_is_unknown_and_the_others_are_timed() -> None:
    clock = StageClock()
    functions = {
        "module": ("osong.no_such_module:parse",),
        "class": ("osong.library:NoSuchClass.parse",),
        "function": ("osong.library:no_such_function",),
        "there": ("osong.library:parse_record",),
    }
    with clock.watching(functions) as unknown:
        assert unknown == ["module", "class", "function"]


def test_peers_without_a_molecule_to_dock_say_so(tmp_path: Path) -> None:
    library = tmp_path / "library.smi"
    library.write_text("Cl[Pt]Cl\tplatinum\n")
    target: Any = SimpleNamespace(to_pdbqt=lambda path: None)
    (screened,) = screen_first(target, library, 3, ["vina 1"], tmp_path, lambda line: None)
    assert screened.n == 0
    assert "can be prepared" in screened.error
    assert peers_table([screened]).rows == []
