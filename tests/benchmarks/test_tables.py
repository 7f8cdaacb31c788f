from __future__ import annotations

from pathlib import Path

import pytest

from osong_benchmarks.tables import markdown_table, write_table


def test_numbers_are_aligned_right_and_pipes_escaped() -> None:
    table = markdown_table(["what", "n", "share"], [["a|b", 3, "1.5 %"], ["c", 12, "-0.2 %"]])
    assert table.splitlines() == [
        "| what | n | share |",
        "| :--- | ---: | ---: |",
        "| a\\|b | 3 | 1.5 % |",
        "| c | 12 | -0.2 % |",
    ]


def test_a_table_replaces_the_last_one_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- table: x -->\nold\n<!-- end: x -->\nafter\n")
    write_table(document, "x", "new", "how")
    write_table(document, "x", "newer", "how")
    assert document.read_text() == (
        "before\n<!-- table: x -->\nnewer\n\nhow\n<!-- end: x -->\nafter\n"
    )


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("no markers\n")
    with pytest.raises(ValueError, match="<!-- table: x -->"):
        write_table(document, "x", "new")
    assert document.read_text() == "no markers\n"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("README.md", ["scoring", "pareto"]),
        ("docs/performance.md", ["pareto", "screen", "bench-kernels", "bench-hardware"]),
        ("docs/accuracy.md", ["parity", "redock", "speed", "complexes", "nasty", "memory"]),
    ],
)
def test_documents_have_the_markers_that_benchmarks_write_to(
    root: Path, path: str, names: list[str]
) -> None:
    text = (root / path).read_text(encoding="utf-8")
    for name in names:
        assert text.index(f"<!-- table: {name} -->") < text.index(f"<!-- end: {name} -->")
