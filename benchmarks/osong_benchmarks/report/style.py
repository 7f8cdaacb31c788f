"""How every figure of the suite looks: on white, on black and on paper.

Figures are SVG text whose colours are names of the page (`var(--series-1, #2463b8)`), so that one
figure suits light and dark; each name carries a colour to fall back on, for a figure on its own.
The same figure gives the same bytes.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Any, Final

from osong.errors import MissingExtraError

__all__ = ["GRID", "INK", "MUTED", "PAPER", "PROGRAM_COLOURS", "SERIES", "new_figure", "to_svg"]

INK: Final = "#1c2330"
"""Text and axes; becomes the page's own text colour."""
MUTED: Final = "#5b6472"
"""Tick labels, notes, reference lines."""
GRID: Final = "#e1e5ea"
"""Lines of the grid."""
PAPER: Final = "#ffffff"
"""Behind everything: for the edges of markers and boxes that lie on lines."""
SERIES: Final = (
    "#2463b8",
    "#d9771c",
    "#1f9a79",
    "#8a5bc7",
    "#c8453b",
    "#6d7785",
    "#b8920f",
    "#3d9bd1",
)
"""Colours of data in their order; also the colour cycle of `new_figure`."""
PROGRAM_COLOURS: Final = {"osong": SERIES[0], "vina": SERIES[1], "rustina": SERIES[2]}
"""One colour a program on every figure."""

_NAMES: Final = {
    INK: "currentColor",
    "#000000": "currentColor",
    "#cccccc": f"var(--grid, {GRID})",  # edges of legends
    MUTED: f"var(--muted, {MUTED})",
    GRID: f"var(--grid, {GRID})",
    PAPER: f"var(--paper, {PAPER})",
    **{colour: f"var(--series-{k}, {colour})" for k, colour in enumerate(SERIES, 1)},
}
_FONTS: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_POINTS: Final = 9.5
_ROOT_STYLE: Final = "fill: currentColor; stroke-linejoin: round; stroke-linecap: butt"
"""Black is written by leaving the colour out, so the root's own is the ink of the page."""


def new_figure(width: float = 6.4, height: float = 4.0) -> tuple[Any, Any]:
    """Return a figure of the house style and its axes.

    Parameters
    ----------
    width, height
        Inches; 6.4 is half the width of the page.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed.
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_settings()):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.set_axisbelow(True)
    return figure, axes


def to_svg(figure: Any) -> str:
    """Return a figure as one SVG element, text as text; the same figure, the same bytes.

    Logarithmic axes without a formatter of their own get plain numbers (1,000 and not 10 to the 3).
    """
    matplotlib = _matplotlib()
    text = StringIO()
    with matplotlib.rc_context(_settings()):
        for axes in figure.axes:
            _label_plainly(axes.xaxis)
            _label_plainly(axes.yaxis)
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=no_metadata, transparent=True)
    return _as_element(text.getvalue())


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "matplotlib", extra="bench", purpose="drawing the page of results"
        ) from error
    return matplotlib


def _settings() -> dict[str, Any]:
    """Return what differs from Matplotlib's own defaults, whatever the user's files say."""
    from cycler import cycler
    from matplotlib import rcParamsDefault

    own_way = {"backend", "interactive", "toolbar", "date.epoch"}  # not of figures, or set once
    settings = {name: value for name, value in rcParamsDefault.items() if name not in own_way}
    return settings | {
        "svg.fonttype": "none",
        "svg.hashsalt": "osong",
        "font.family": "DejaVu Sans",
        "font.size": _POINTS,
        "text.color": INK,
        "axes.prop_cycle": cycler(color=SERIES),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.8,
        "axes.titlesize": _POINTS + 1,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": _POINTS - 1,
        "ytick.labelsize": _POINTS - 1,
        "legend.frameon": False,
        "legend.fontsize": _POINTS - 0.5,
        "lines.linewidth": 1.8,
        "lines.markersize": 5.5,
        "patch.linewidth": 0.0,
    }


def _label_plainly(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers unless its maker chose otherwise."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """Labels where Matplotlib would, as plain numbers."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            shown = super().__call__(x, pos)
            if not shown:
                return ""
            return f"{x:,.0f}" if 1 <= x < 1e7 and float(x).is_integer() else f"{x:g}"

    if axis.get_scale() != "log":
        return
    if axis.isDefault_majfmt:
        axis.set_major_formatter(Plain())
    if axis.isDefault_minfmt:
        axis.set_minor_formatter(Plain(labelOnlyBase=False))


def _as_element(document: str) -> str:
    """Return the SVG element of a document: no prologue, colours and fonts those of the page."""
    element = document[document.index("<svg") :].strip()
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r"<!--.*?-->\s*", "", element, flags=re.DOTALL)
    # A style element would hold for the whole page.
    element = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", element, flags=re.DOTALL)
    element = element.replace("<svg ", f'<svg style="{_ROOT_STYLE}" ', 1)
    for colour, name in _NAMES.items():
        element = element.replace(f": {colour}", f": {name}")
    element = element.replace("'DejaVu Sans'", _FONTS)
    element = element.replace("xlink:href", "href").replace(
        ' xmlns:xlink="http://www.w3.org/1999/xlink"', ""
    )
    return re.sub(r"\n\s*", "\n", element)
