"""`HitTable`: a table of hits that shows structures in Jupyter."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HitTable", "draw_svg"]

_WIDTH: Final = 220
_HEIGHT: Final = 140
_MAX_DRAWN: Final = 200
"""Rows drawn; a notebook with thousands of drawings does not scroll."""


@dataclass(frozen=True, eq=False)
class HitTable:
    """Hits, best first.

    Attributes
    ----------
    frame
        One row a molecule, with the columns ``name`` and ``smiles`` and any others.
    """

    frame: pd.DataFrame

    def __len__(self) -> int:
        """Return how many hits there are."""
        return len(self.frame)

    def __repr__(self) -> str:
        """Return the table as text."""
        return repr(self.frame)

    def _repr_html_(self) -> str:
        """Return the table as HTML with drawn structures."""
        shown = self.frame.head(_MAX_DRAWN)
        head = "".join(f"<th>{escape(str(name))}</th>" for name in ("structure", *shown.columns))
        rows = []
        for values in shown.itertuples(index=False):
            row = dict(zip(shown.columns, values, strict=True))
            cells = [draw_svg(row["smiles"]), *(escape(_text(value)) for value in values)]
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        more = len(self.frame) - len(shown)
        note = f"<p>and {more} more</p>" if more else ""
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>{note}"


def draw_svg(smiles: str) -> str:
    """Return the drawing of a molecule as SVG; its SMILES where it cannot be drawn.

    Examples
    --------
    >>> "<svg" in draw_svg("CCO")
    True
    """
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return escape(smiles)
    drawer = rdMolDraw2D.MolDraw2DSVG(_WIDTH, _HEIGHT)
    # Molecules from PDBQT have no bond orders; they are drawn as they are.
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    prepared = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=_can_kekulize(mol))
    drawer.drawOptions().prepareMolsBeforeDrawing = False
    drawer.DrawMolecule(prepared)
    drawer.FinishDrawing()
    svg = str(drawer.GetDrawingText())
    return svg[svg.index("<svg") :]


def _can_kekulize(mol: Chem.Mol) -> bool:
    """Return whether aromatic bonds can be drawn as single and double ones."""
    return not Chem.DetectChemistryProblems(mol)


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
