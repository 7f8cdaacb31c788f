"""A small library to begin with: approved drugs, some of which are EGFR inhibitors.

``drugs.smi`` has one drug a line, SMILES and name. Each structure was written out by hand and kept
only where its full InChIKey (stereochemistry included) is that of the drug in ChEMBL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["DRUGS"]

DRUGS: Final = Path(__file__).with_name("drugs.smi")
"""The file of the drugs; any function that takes a library takes it."""
