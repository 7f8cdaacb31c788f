"""The page of a run: one file, everything on it, the same bytes each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from suite_fakes import Notes

from osong_benchmarks import suite
from osong_benchmarks.report.page import draw_page
from osong_benchmarks.report.schema import Run
from osong_benchmarks.report.style import GRID, SERIES, new_figure, to_svg

pytestmark = pytest.mark.usefixtures("fake_parts")
_VOID = {"meta", "br", "hr", "img", "input", "link"}


@pytest.fixture
def run(fake_parts: None, tmp_path: Path) -> Run:
    return suite.measure(Notes(), size="smallest", out=tmp_path, cores=1).run


class Checker(HTMLParser):
    """Notes elements, ids and what they refer to; refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.ids: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert value is not None or name in {"open"}, (tag, name)
            text = value or ""
            if name == "id":
                self.ids.append(text)
            if name == "href" or name.endswith(":href"):
                self.references.append(text)
            self.references += [f"#{r}" for r in re.findall(r"url\(#([^)]+)\)", text)]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_needs_nothing_from_outside(run: Run) -> None:
    page = draw_page(run)
    assert not re.search(r"https?:|//[a-z]|@import|<script|<link|<img|src=", page)
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert checker.references
    assert all(ref[0] == "#" and ref[1:] in checker.ids for ref in checker.references)


def test_page_shows_every_figure_table_and_gap(run: Run) -> None:
    page = draw_page(run)
    checker = Checker()
    checker.feed(page)
    assert checker.counts["svg"] == checker.counts["figure"] == 2
    assert checker.counts["table"] == 2
    assert checker.counts["details"] == 1  # the long table
    assert "Figure that shows the second &amp; more." in page
    assert "Rates of &lt;cases&gt;" in page
    assert '<td>1iep</td><td class="n">1,234</td><td class="n">12 %</td>' in page
    gaps = re.findall(r"<b>(.*?)</b> <i>not measured:</i> (.*?)</li>", page)
    assert gaps == [
        ("GPU column", "no GPU &lt;here&gt;"),
        ("broken", "needs a folder of complexes: give --data FOLDER"),
    ]


def test_page_is_the_same_from_the_file(run: Run, tmp_path: Path) -> None:
    (results,) = tmp_path.glob("*.json")
    assert suite.write_page(results).read_text() == draw_page(run)
    elsewhere = suite.write_page(results, tmp_path / "other.html")
    assert elsewhere.read_text() == draw_page(run)


def test_figures_are_deterministic_and_take_their_colours_from_the_page() -> None:
    def draw() -> str:
        figure, axes = new_figure()
        axes.plot([1, 1000], [1, 2], label="a")
        axes.set(xscale="log", ylabel="energy")
        return to_svg(figure)

    svg = draw()
    assert svg == draw()
    assert f"var(--series-1, {SERIES[0]})" in svg
    assert f"var(--grid, {GRID})" in svg
    assert "currentColor" in svg
    assert ">1,000</text>" in svg
    assert ">energy</text>" in svg
    assert "<style" not in svg


def test_what_is_drawn_black_takes_the_ink_of_the_page() -> None:
    figure, axes = new_figure()
    axes.plot([1, 2], [1, 2], "k-", label="reference")
    axes.legend(title="programs")  # made with Matplotlib's own settings, not those of the house
    svg = to_svg(figure)
    assert "#000000" not in svg
    assert "#cccccc" not in svg
    assert svg.startswith('<svg style="fill: currentColor;')
