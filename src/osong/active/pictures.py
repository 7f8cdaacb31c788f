"""How a run went, for people: three pictures and a table, drawn from its folder."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osong.errors import MissingExtraError, ResourceError
from osong.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from osong.active.state import ActiveFolder, Round

__all__ = ["RoundFacts", "round_facts", "write_pictures"]

_BLUE: Final = "#2463b8"
_ORANGE: Final = "#d9771c"
_GREEN: Final = "#1f9a79"
_GREY: Final = "#5b6472"
_MOST_POINTS: Final = 4000
"""Of a round in a scatter plot, spread over its batch; more are a blot."""
_DPI: Final = 150


@dataclass(frozen=True)
class RoundFacts:
    """What a round brought.

    Attributes
    ----------
    round, n_asked, n_docked, n_failed
        Its number; molecules asked for so far; of this round's, how many have scores and failed.
    best, median
        Of its scores; NaN where none has any.
    top_mean, top_worst
        Mean and worst of the best so far.
    new_in_top
        How many of the best so far came with it.
    rmse, correlation
        Of its scores and what the surrogate expected of them; NaN where there was none.
    recall, recall_low, recall_high
        Share of the true top docked after it, as estimated then; NaN where it was not.
    """

    round: int
    n_asked: int
    n_docked: int
    n_failed: int
    best: float
    median: float
    top_mean: float
    top_worst: float
    new_in_top: int
    rmse: float
    correlation: float
    recall: float
    recall_low: float
    recall_high: float


def round_facts(folder: ActiveFolder, n_top: int) -> list[RoundFacts]:
    """Return the facts of the rounds that have scores."""
    rounds = [one for one in folder.rounds() if one.scores is not None]
    # what is known after a round stands with what was chosen after it
    later = [one.notes for one in folder.rounds()[1:]] + [folder.finished() or {}]
    facts: list[RoundFacts] = []
    top = np.empty(0)
    n_asked = 0
    for one, notes in zip(rounds, later, strict=False):
        assert one.scores is not None
        scores = one.scores[np.isfinite(one.scores)]
        worst = top[-1] if len(top) == n_top else np.inf
        new_in_top = min(int((scores < worst).sum()), n_top)
        top = np.sort(np.concatenate([top, scores]))[:n_top]
        n_asked += len(one.index)
        recall = notes.get("recall") or {}
        facts.append(
            RoundFacts(
                one.number,
                n_asked,
                len(scores),
                len(one.index) - len(scores),
                float(scores.min()) if len(scores) else np.nan,
                float(np.median(scores)) if len(scores) else np.nan,
                float(top.mean()) if len(top) else np.nan,
                float(top[-1]) if len(top) else np.nan,
                new_in_top,
                *_skill(one),
                *(float(recall.get(name, np.nan)) for name in ("value", "low", "high")),
            )
        )
    return facts


def write_pictures(folder: ActiveFolder, out: str | Path, n_top: int) -> list[Path]:
    """Draw recall, learning and parity, and write ``rounds.csv`` with their figures.

    Parameters
    ----------
    folder
        A run, finished or not; nothing is drawn before its first round has scores.
    out
        Folder for the files, which are replaced.
    n_top
        Size of the top.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    ResourceError
        The files cannot be written.
    """
    out = Path(out)
    facts = round_facts(folder, n_top)
    if not facts:
        return []
    with _told(out):
        out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "rounds.csv", _table(facts))
    rounds = [one for one in folder.rounds() if one.scores is not None]
    drawn = {
        "recall.png": _draw_recall(facts, n_top),
        "learning.png": _draw_learning(facts, n_top),
        "parity.png": _draw_parity(rounds),
    }
    for name, figure in drawn.items():
        _save(figure, out / name)
    return [out / "rounds.csv", *(out / name for name in drawn)]


def _skill(one: Round) -> tuple[float, float]:
    """Return root mean square error and correlation of what was expected of a round."""
    if one.mean is None or one.scores is None:
        return np.nan, np.nan
    good = np.isfinite(one.scores)
    said, true = one.mean[good], one.scores[good]
    if len(true) < 3 or said.std() == 0 or true.std() == 0:
        return np.nan, np.nan
    rmse = float(np.sqrt(((said - true) ** 2).mean()))
    return rmse, float(np.corrcoef(said, true)[0, 1])


def _table(facts: Sequence[RoundFacts]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(RoundFacts.__annotations__)
    for fact in facts:
        values = vars(fact).values()
        writer.writerow(["" if value != value else f"{value:.6g}" for value in values])
    return text.getvalue()


def _figure(width: float, n_panels: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", extra="ml", purpose="pictures of a run") from error
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    panels = figure.subplots(1, n_panels)
    for axes in np.atleast_1d(panels):
        axes.grid(True, color="#e1e5ea", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _draw_recall(facts: Sequence[RoundFacts], n_top: int) -> Any:
    """Draw how much of the top is docked, as far as the surrogate could tell at each point."""
    figure, axes = _figure(6.4)
    known = [fact for fact in facts if np.isfinite(fact.recall)]
    x = [fact.n_asked for fact in known]
    low, high = (
        [100 * getattr(fact, f"recall_{end}") for fact in known] for end in ("low", "high")
    )
    axes.fill_between(x, low, high, color=_BLUE, alpha=0.18, linewidth=0, label="90 % interval")
    axes.plot(x, [100 * fact.recall for fact in known], "o-", color=_BLUE, label="estimate")
    axes.set_ylim(0, 102)
    axes.set_xlim(0, facts[-1].n_asked * 1.03)
    axes.set_xlabel("molecules docked")
    axes.set_ylabel(f"of the library's best {n_top}, % docked")
    axes.set_title("Recall against budget, as estimated", loc="left", fontsize=11)
    if known:
        axes.legend(frameon=False, loc="lower right")
    else:
        axes.text(0.5, 0.5, f"fewer than {n_top} molecules are docked", color=_GREY,
                  transform=axes.transAxes, ha="center")  # fmt: skip
    return figure


def _draw_learning(facts: Sequence[RoundFacts], n_top: int) -> Any:
    """Draw what each round brought, and how well it was foreseen."""
    figure, (left, right) = _figure(10.0, 2)
    x = [fact.n_asked for fact in facts]
    left.plot(x, [f.median for f in facts], "o-", color=_GREY, label="median of the round")
    left.plot(x, [f.top_mean for f in facts], "o-", color=_BLUE, label=f"mean of the best {n_top}")
    left.plot(x, np.fmin.accumulate([f.best for f in facts]), "o-", color=_GREEN, label="best")
    left.set_ylabel("docking score, kcal/mol")
    left.set_title("What was found", loc="left", fontsize=11)
    trained = [fact.n_asked - fact.n_docked - fact.n_failed for fact in facts]
    right.plot(trained, [f.rmse for f in facts], "o-", color=_ORANGE)
    right.set_ylim(bottom=0)
    right.set_ylabel("root mean square error, kcal/mol", color=_ORANGE)
    other = right.twinx()
    other.plot(trained, [f.correlation for f in facts], "s--", color=_BLUE)
    other.set_ylim(min(0.0, *(f.correlation for f in facts if np.isfinite(f.correlation)), 0.0), 1)
    other.set_ylabel("correlation", color=_BLUE)
    other.spines["top"].set_visible(False)
    right.set_title("How well each round was foreseen", loc="left", fontsize=11)
    left.set_xlabel("molecules docked")
    right.set_xlabel("molecules trained on")
    left.legend(frameon=False)
    return figure


def _draw_parity(rounds: Sequence[Round]) -> Any:
    """Draw docked scores against what was expected of them, a colour a round."""
    from matplotlib import colormaps

    figure, axes = _figure(5.4)
    figure.set_figheight(5.0)
    foreseen = [one for one in rounds if one.mean is not None]
    ends: list[float] = []
    for k, one in enumerate(foreseen):
        assert one.mean is not None
        assert one.scores is not None
        said, true = _some(one.mean, one.scores)
        if len(true):
            ends += [float(min(said.min(), true.min())), float(max(said.max(), true.max()))]
        colour = colormaps["viridis"](0.9 * k / max(len(foreseen) - 1, 1))
        axes.plot(
            said, true, ".", color=colour, markersize=4, alpha=0.6, label=f"round {one.number}"
        )
    if ends:
        line = [min(ends), max(ends)]
        axes.plot(line, line, color=_GREY, linewidth=1)
        axes.legend(frameon=False, markerscale=2, fontsize=8, ncols=1 + len(foreseen) // 9)
    axes.set_xlabel("predicted before docking, kcal/mol")
    axes.set_ylabel("docked, kcal/mol")
    axes.set_title("Predicted and docked scores", loc="left", fontsize=11)
    return figure


def _some(
    said: npt.NDArray[np.float64], true: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return molecules with scores, not more than can be told apart; hopeless scores are left out.

    A molecule that fits nowhere can score anything above zero.
    """
    good = np.flatnonzero(np.isfinite(true) & (true < 0.0))
    good = good[:: max(1, -(-len(good) // _MOST_POINTS))]
    return said[good], true[good]


def _save(figure: Any, path: Path) -> None:
    """Write a picture, whole or not at all."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.png")
    with _told(path.parent):
        try:
            figure.savefig(temporary, dpi=_DPI, metadata={"Software": None})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what a file system says into one line."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}): free some space"
        ) from error
