"""One structure through ``Target.from_file``; the outcome is the last line of standard output."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from osong import Box, Target
from osong.errors import BoxError, OsongError

__all__ = ["main"]

_EDGE = 30.0


def main(path: Path) -> None:
    """Prepare a structure with a box around its middle and say what became of it."""
    try:
        target = Target.from_file(path, box=_box_in_the_middle(path))
    except OsongError as error:
        answer = {"outcome": "refused", "text": f"{type(error).__name__}: {error}"}
    else:
        kinds = Counter(change.kind for change in target.report.changes)
        text = f"{int(target.receptor.is_scored.sum())} heavy atoms; {dict(kinds)}"
        answer = {"outcome": "ok", "text": text}
    print("\n" + json.dumps(answer))


def _box_in_the_middle(path: Path) -> Box:
    """Return a box that reaches the structure; anywhere for files that cannot be read."""
    try:
        around = Box.around(path, padding=4.0)
    except BoxError:
        return Box(center=(0.0, 0.0, 0.0), size=(_EDGE,) * 3)
    return Box(around.center, around.size)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
