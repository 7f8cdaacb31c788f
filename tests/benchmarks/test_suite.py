"""The frame of the suite, tried with parts that take no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import suite_fakes
from suite_fakes import Notes

from osong.errors import InputError, OsongError
from osong_benchmarks import registry, suite
from osong_benchmarks.__main__ import main
from osong_benchmarks.child import ChildError
from osong_benchmarks.part import Gap
from osong_benchmarks.report import style
from osong_benchmarks.report.schema import read_run

pytestmark = pytest.mark.usefixtures("fake_parts")


def measure(out: Path, **options: Any) -> suite.Finished:
    return suite.measure(Notes(), out=out, **{"size": "smallest", "cores": 1} | options)


def test_a_part_that_cannot_run_is_a_gap_and_the_others_go_on(tmp_path: Path) -> None:
    notes = Notes()
    finished = suite.measure(notes, size="smallest", out=tmp_path, cores=1)
    assert notes.lines == [
        "begin count", "counting", "end count ok", "begin broken", "end broken gap",
    ]  # fmt: skip
    reason = "needs a folder of complexes: give --data FOLDER"
    assert finished.run.parts["broken"].gap == Gap(what="broken", reason=reason)
    assert finished.run.parts["broken"].result is None
    assert finished.run.parts["count"].result == suite_fakes.CountResult(
        rate=1234.5, seconds=0.5, gaps=(suite_fakes.FULL_GAP,)
    )
    assert set(finished.run.merits) == {"count.rate", "count.seconds"}


def test_a_mistake_in_a_part_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def divide(settings: Any, say: Any) -> suite_fakes.CountResult:
        return suite_fakes.CountResult(rate=1 / 0, seconds=1.0)

    monkeypatch.setattr(registry.load("count"), "run", divide)
    with pytest.raises(ZeroDivisionError):
        measure(tmp_path)


def test_a_child_process_that_fails_is_a_gap_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Any, say: Any) -> suite_fakes.BrokenResult:
        raise ChildError("exit status -9")

    monkeypatch.setattr(registry.load("broken"), "run", fail)
    monkeypatch.setattr(registry, "PARTS", ("broken", "count"))
    parts = measure(tmp_path).run.parts
    assert issubclass(ChildError, OsongError)
    assert parts["broken"].gap == Gap(what="broken", reason="exit status -9")
    assert parts["count"].result is not None


@pytest.mark.parametrize("error", [MemoryError(), FileNotFoundError(2, "No such file", "x.tsv")])
def test_what_the_machine_lacks_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(settings: Any, say: Any) -> suite_fakes.CountResult:
        raise error

    monkeypatch.setattr(registry.load("count"), "run", fail)
    gap = measure(tmp_path).run.parts["count"].gap
    assert gap is not None
    assert ("x.tsv" in gap.reason) or gap.reason == "MemoryError"


def test_files_tell_machine_and_time_and_nothing_is_left_over(tmp_path: Path) -> None:
    finished = measure(tmp_path)
    assert finished.results.name.startswith("osong-bench-")
    assert finished.page == finished.results.with_suffix(".html")
    assert {path.name for path in tmp_path.iterdir()} == {
        finished.results.name, finished.page.name,
    }  # fmt: skip
    assert read_run(finished.results) == finished.run


def test_only_the_parts_that_were_asked_for(tmp_path: Path) -> None:
    finished = measure(tmp_path, parts=["count"])
    assert list(finished.run.parts) == ["count"]
    assert "--parts count" in finished.run.command


def test_unknown_parts_peers_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no part 'docing': choose among count, broken"):
        measure(tmp_path, parts=["docing"])
    with pytest.raises(InputError, match="no peer 'smina': choose among vina, rustina"):
        measure(tmp_path, peers=["smina"])
    with pytest.raises(InputError, match=r"--data .*nowhere: there is no such folder"):
        measure(tmp_path, data=tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_peer_that_is_not_installed_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "find_spec", lambda name: None if name == "rustina" else object())
    run = measure(tmp_path, peers=["rustina", "vina"]).run
    (gap,) = run.gaps
    assert gap.what == "peer rustina"
    assert "osong[peers]" in gap.reason
    assert run.parts["count"].result.peers == ("vina",)  # type: ignore[union-attr]


def test_a_full_run_goes_on_after_its_finished_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(settings: Any, say: Any) -> suite_fakes.BrokenResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.load("broken"), "run", stop)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, size="full")
    monkeypatch.setattr(registry.load("broken"), "run", suite_fakes.broken_run)
    again = Notes()
    finished = suite.measure(again, size="full", out=tmp_path, cores=1)
    assert "counting" not in again.lines
    assert finished.run.parts["count"].merits["count.rate"].value == 1234.5
    # Done: the same command measures anew.
    suite.measure(again, size="full", out=tmp_path, cores=1)
    assert "counting" in again.lines


@pytest.mark.parametrize("options", [{"seed": 2}, {"cores": 2}, {"size": "quick"}])
def test_parts_are_kept_for_the_same_run_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    def stop(settings: Any, say: Any) -> suite_fakes.BrokenResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.load("broken"), "run", stop)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, size="full")
    notes = Notes()
    asked = {"size": "full", "cores": 1} | options
    with pytest.raises(KeyboardInterrupt):
        suite.measure(notes, out=tmp_path, **asked)
    assert "counting" in notes.lines


@pytest.mark.parametrize("changed", ["processor_name", "_library_hash", "sources_hash"])
def test_parts_are_kept_for_the_same_machine_and_code_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    def stop(settings: Any, say: Any) -> suite_fakes.BrokenResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.load("broken"), "run", stop)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, size="full")
    monkeypatch.setattr(suite, changed, lambda: "another")
    notes = Notes()
    with pytest.raises(KeyboardInterrupt):
        suite.measure(notes, size="full", out=tmp_path, cores=1)
    assert "counting" in notes.lines


def test_quick_runs_side_by_side_keep_out_of_each_others_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def run(settings: Any, say: Any) -> suite_fakes.CountResult:
        folders.append(settings.out)
        assert len(folders) < 2 or folders[0].is_dir()
        if len(folders) == 1:
            monkeypatch.setattr("os.getpid", lambda: -1)
            measure(tmp_path, size="quick", parts=["count"])
            assert settings.out.is_dir()
        return suite_fakes.CountResult(rate=1.0, seconds=1.0)

    monkeypatch.setattr(registry.load("count"), "run", run)
    measure(tmp_path, size="quick", parts=["count"])
    assert len(set(folders)) == 2


def test_without_matplotlib_there_are_results_and_the_way_to_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise style.MissingExtraError("matplotlib", extra="bench", purpose="drawing the page")

    monkeypatch.setattr(style, "_matplotlib", missing)
    finished = measure(tmp_path)
    assert finished.page is None
    assert "pip install 'osong[bench]'" in finished.no_page
    assert json.loads(finished.results.read_text())["parts"]["count"]["result"]["rate"] == 1234.5


def test_in_a_checkout_the_suite_runs_without_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["compare", "--help"])
    assert done.value.code == 0
    assert "osong bench compare" in capsys.readouterr().out


def test_data_come_from_the_variable_or_from_beside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    (tmp_path / "shared/data").mkdir(parents=True)
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    monkeypatch.delenv(suite.DATA_VARIABLE, raising=False)
    assert suite._data_folder(None) is None
    (checkout / "benchmarks/osong_benchmarks").mkdir(parents=True)
    assert suite._data_folder(None) == Path("../shared/data")
    monkeypatch.setenv(suite.DATA_VARIABLE, str(tmp_path))
    assert suite._data_folder(None) == tmp_path
    assert suite._data_folder(checkout) == checkout
    monkeypatch.setenv(suite.DATA_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"OSONG_BENCH_DATA=.*nowhere"):
        suite._data_folder(None)
