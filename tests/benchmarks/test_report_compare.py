"""Files of results and their comparison."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import CountResult, Notes

from osong.errors import InputError
from osong_benchmarks import suite
from osong_benchmarks.part import Merit
from osong_benchmarks.report.compare import PEAK, Row, compare
from osong_benchmarks.report.schema import (
    SCHEMA_VERSION,
    PartRecord,
    Run,
    json_schema,
    read_run,
    write_run,
)
from osong_benchmarks.tables import markdown_table
from osong_benchmarks.written_tables import documents_with, part_text

pytestmark = pytest.mark.usefixtures("fake_parts")


TIMES = {"seconds": 2, "cpu_seconds": 1}


def make_run(merits: dict[str, Merit], **changes: Any) -> Run:
    given: dict[str, Any] = {
        "started": datetime(2026, 11, 22, tzinfo=UTC),
        "osong_version": "0.1.0",
        "machine": "One CPU",
        "command": "osong bench",
        "size": "quick",
        "cores": 2,
        "seed": 1,
    }
    result = CountResult(rate=1, seconds=1)
    parts = {"count": PartRecord(seconds=2, cpu_seconds=1, result=result, merits=merits)}
    return Run(**given | changes, parts=parts)


def rate(value: float, tolerance: float = 0.1) -> Merit:
    return Merit(value=value, unit="1/s", is_higher_better=True, tolerance=tolerance)


def seconds(value: float) -> Merit:
    return Merit(value=value, unit="s", is_higher_better=False)


def only_row(a: dict[str, Merit], b: dict[str, Merit], tolerance: float | None = None) -> Row:
    (row,) = compare(make_run(a), make_run(b), tolerance).rows
    return row


@pytest.mark.parametrize(
    ("a", "b", "gain", "verdict"),
    [
        (rate(100), rate(200), 2.0, "better"),
        (rate(200), rate(100), 0.5, "worse"),
        (seconds(1.0), seconds(4.0), 0.25, "worse"),
        (seconds(4.0), seconds(1.0), 4.0, "better"),
        (rate(100), rate(109), 1.09, "same"),
        (rate(109), rate(100), 100 / 109, "same"),
        (seconds(1.0), seconds(1.09), 1 / 1.09, "same"),
        (rate(100, tolerance=0.5), rate(140), 1.4, "same"),
        (rate(0), rate(0), 1.0, "same"),
        (rate(0), rate(5), float("inf"), "better"),
        (rate(5), rate(0), 0.0, "worse"),
        (rate(5), rate(float("nan")), None, "worse"),
    ],
)
def test_gain_and_verdict(a: Merit, b: Merit, gain: float | None, verdict: str) -> None:
    row = only_row({"x": a}, {"x": b})
    assert row.verdict == verdict
    if gain is not None:
        assert row.gain == pytest.approx(gain)


def test_another_tolerance_holds_for_all() -> None:
    assert only_row({"x": rate(100)}, {"x": rate(130)}, tolerance=0.5).verdict == "same"
    assert only_row({"x": rate(100)}, {"x": rate(103)}, tolerance=0.01).verdict == "better"


def test_times_and_rates_are_also_given_per_peak() -> None:
    mib = Merit(value=100, unit="MiB", is_higher_better=False)
    a = make_run({PEAK: rate(50), "x": rate(10), "s": seconds(6), "memory": mib})
    b = make_run({PEAK: rate(100), "x": rate(30), "s": seconds(3), "memory": mib})
    rows = {row.name: row for row in compare(a, b).rows}
    assert rows["x"].gain_per_peak == pytest.approx(1.5)
    assert rows["s"].gain_per_peak == pytest.approx(1.0)
    assert rows["memory"].gain_per_peak is None
    # The machine's own numbers are neither normalised nor anybody's regression.
    assert rows[PEAK].gain_per_peak is None
    assert rows[PEAK].verdict == "machine"


def test_numbers_of_one_run_only_are_shown() -> None:
    comparison = compare(make_run({"x": rate(1)}), make_run({"y": rate(2)}))
    assert [(row.name, row.a, row.b, row.verdict) for row in comparison.rows] == [
        ("x", 1.0, None, "only in one"),
        ("y", None, 2.0, "only in one"),
    ]
    assert comparison.regressions == []


def test_differences_begin_with_the_machine() -> None:
    a = make_run({"x": rate(1)})
    assert compare(a, a).differences == []
    b = make_run({"x": rate(1)}, machine="Other CPU", size="full", peers=("vina",))
    assert compare(a, b).differences == [
        ("machine", "One CPU", "Other CPU"),
        ("size", "quick", "full"),
        ("peers", "none", "vina"),
    ]


def test_file_reads_as_it_was_written(tmp_path: Path) -> None:
    run = make_run({"x": rate(1)})
    write_run(tmp_path / "run.json", run)
    assert read_run(tmp_path / "run.json") == run


def test_numbers_that_are_not_finite_survive_the_file(tmp_path: Path) -> None:
    run = make_run({"x": rate(float("inf")), "y": rate(float("nan"))})
    write_run(tmp_path / "run.json", run)
    json.loads((tmp_path / "run.json").read_text(), parse_constant=pytest.fail)
    merits = read_run(tmp_path / "run.json").merits
    assert merits["x"].value == float("inf")
    assert merits["y"].value != merits["y"].value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c | {"schema_version": 99}, "schema version 99, and this Osong reads version 1"),
        (lambda c: {"a": 1}, "has no schema_version"),
        (lambda c: c | {"more": 1}, "more: Extra inputs are not permitted"),
        (lambda c: c | {"cores": "many"}, "cores: Input should be a valid integer"),
        (
            lambda c: (
                c | {"parts": {"count": {"seconds": 2, "cpu_seconds": 1, "result": {"rate": 1}}}}
            ),
            "seconds: Field required",
        ),
        (
            lambda c: c | {"parts": {"gpu": {**TIMES, "result": {}}}},
            "no part 'gpu'",
        ),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "run.json"
    write_run(path, make_run({"x": rate(1)}))
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=message) as caught:
        read_run(path)
    assert "run.json" in str(caught.value)


def test_no_file_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_run(tmp_path / "none.json")
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(InputError, match="is no JSON file"):
        read_run(tmp_path / "page.html")


def test_schema_describes_every_part() -> None:
    schema = json_schema()
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Parts"]["properties"]) == {"count", "broken"}
    result = schema["$defs"]["CountResult"]
    assert {"rate", "seconds"} <= set(result["required"])
    json.dumps(schema)


def test_tables_of_a_part_for_documents(tmp_path: Path) -> None:
    run = suite.measure(Notes(), size="smallest", out=tmp_path, cores=1).run
    text = part_text(run, "count")
    assert text.startswith("It counted.\n\nRates of <cases>:\n\n| case | rate | share |")
    assert markdown_table(["n"], [["0"], ["1"]])[:10] in text
    assert text.endswith("Not measured: GPU column (no GPU <here>).")
    assert part_text(run, "broken") == ""


def test_documents_choose_what_they_show(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("text\n")
    shown = tmp_path / "docs" / "a.md"
    shown.write_text("<!-- table: bench-count -->\n<!-- end: bench-count -->\n")
    assert documents_with(tmp_path, "bench-count") == [shown]
