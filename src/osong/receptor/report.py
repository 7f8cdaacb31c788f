"""What was done to a receptor: one line for every change, nothing silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Change", "PreparationReport"]


@dataclass(frozen=True)
class Change:
    """One thing that preparation did or noticed.

    Attributes
    ----------
    kind
        A short class to group by, such as ``"removed"``, ``"protonation"``, ``"missing atoms"``.
    residue
        Where, as ``chain:name number`` (``"A:HIS 57"``); empty for the whole structure.
    text
        What happened, in words.
    """

    kind: str
    residue: str
    text: str

    def __str__(self) -> str:
        """Return the line as it is printed."""
        where = f"{self.residue}: " if self.residue else ""
        return f"[{self.kind}] {where}{self.text}"


@dataclass(frozen=True)
class PreparationReport:
    """Every change between the file that was read and the receptor that is docked to.

    Attributes
    ----------
    source
        The file, as it was named.
    changes
        In the order in which they were made.
    """

    source: str
    changes: tuple[Change, ...] = ()

    def __len__(self) -> int:
        """Return the number of changes."""
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        """Iterate over the changes."""
        return iter(self.changes)

    def __str__(self) -> str:
        """Return all lines, headed by the source and the number of changes of each kind."""
        if not self.changes:
            return f"{self.source}: read as it is, nothing changed"
        lines = [f"{self.source}: {self.summary()}", *(f"  {change}" for change in self.changes)]
        return "\n".join(lines)

    def counts(self) -> dict[str, int]:
        """Return how many changes there are of each kind."""
        return dict(Counter(change.kind for change in self.changes))

    def summary(self) -> str:
        """Return one line: the number of changes of each kind."""
        return ", ".join(f"{count} {kind}" for kind, count in self.counts().items())

    def of_kind(self, kind: str) -> tuple[Change, ...]:
        """Return the changes of one kind."""
        return tuple(change for change in self.changes if change.kind == kind)

    def rows(self) -> list[dict[str, str]]:
        """Return one dictionary a change (``kind``, ``residue``, ``text``), for a table."""
        return [{"kind": c.kind, "residue": c.residue, "text": c.text} for c in self.changes]

    def _repr_html_(self) -> str:
        """Return a table for Jupyter."""
        from html import escape

        body = "".join(
            f"<tr><td>{escape(c.kind)}</td><td>{escape(c.residue)}</td><td>{escape(c.text)}</td></tr>"
            for c in self.changes
        )
        head = "<tr><th>kind</th><th>residue</th><th>what</th></tr>"
        return f"<table><caption>{escape(self.source)}</caption>{head}{body}</table>"
