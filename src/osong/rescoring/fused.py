"""One score of a pose from the energy that docking gave it and what networks say of it.

Weights hold for one scoring function and one set of networks, as they were when `fit_fusion` saw
them: for the same weights (SHA-256), without rotations, in float32. For all else there is no score,
and a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from osong.errors import InputError
from osong.rescoring.fusion import Fusion, shipped_fusion
from osong.rescoring.weights import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdkit import Chem

    from osong.rescoring.rescorer import Rescorer

__all__ = ["DockedEnergy", "PoseFuser", "docked_energy"]

_OTHERS: Final = {
    "all_default_to_default_1_3_1": (
        "1339832d25efa65a33fd26d420afaeaa977ea76ba792055383a9cdb9e69213f7"
    ),
}
"""SHA-256 of networks that weights were fitted for, and that gninatorch does not ship."""

_NO_ENERGY: Final = (
    "the energy is not known (poses of osong.dock, and files of osong dock and osong top with "
    "the data items osong_energy and osong_scoring, have one)"
)


class DockedEnergy(NamedTuple):
    """What docking said of a pose: kcal/mol, and by which scoring function."""

    energy: float
    scoring: str


def docked_energy(mol: Chem.Mol) -> DockedEnergy | str:
    """Return the energy that a molecule carries as data items, or why there is none.

    Examples
    --------
    >>> from rdkit import Chem
    >>> mol = Chem.MolFromSmiles("C")
    >>> mol.SetProp("osong_energy", "-1.5")
    >>> mol.SetProp("osong_scoring", "vina")
    >>> docked_energy(mol)
    DockedEnergy(energy=-1.5, scoring='vina')
    """
    if not (mol.HasProp("osong_energy") and mol.HasProp("osong_scoring")):
        return _NO_ENERGY
    text = mol.GetProp("osong_energy")
    try:
        energy = float(text)
    except ValueError:
        energy = math.nan
    if not math.isfinite(energy):
        return f"osong_energy is {text!r}, no number of kcal/mol"
    return DockedEnergy(energy, mol.GetProp("osong_scoring").strip())


class PoseFuser:
    """Joins energies and networks, pose by pose.

    Parameters
    ----------
    rescorer
        The networks.

    Attributes
    ----------
    without
        Why poses so far have no fused score, and how many.
    """

    def __init__(self, rescorer: Rescorer) -> None:
        self._says = rescorer.describe()
        self._fusions: dict[str, Fusion | str] = {}
        self.without: Counter[str] = Counter()

    def fused(self, docked: DockedEnergy | str, cnn_score: float, cnn_affinity: float) -> float:
        """Return the score of a pose, highest best; NaN where there is none.

        Scores of one ligand's poses in one receptor are to be compared, not those of several.
        It depends on nothing but the pose.
        """
        found = docked if isinstance(docked, str) else self._fusion(docked.scoring)
        if isinstance(docked, str) or isinstance(found, str):
            self.without[str(found)] += 1
            return math.nan
        return float(found.score([docked.energy], [cnn_score], [cnn_affinity])[0])

    def describe(self) -> dict[str, Any]:
        """Return the weights by scoring function, and why how many poses have no score."""
        used = {name: one for name, one in self._fusions.items() if isinstance(one, Fusion)}
        return {
            "fusion": {name: asdict(used[name]) for name in sorted(used)},
            "not_fused": {reason: self.without[reason] for reason in sorted(self.without)},
        }

    def _fusion(self, scoring: str) -> Fusion | str:
        if scoring not in self._fusions:
            try:
                self._fusions[scoring] = _fusion_of(scoring, self._says)
            except InputError as error:
                self._fusions[scoring] = str(error)
        return self._fusions[scoring]


def _fusion_of(scoring: str, says: Mapping[str, Any]) -> Fusion:
    """Return the weights for energies of a function and networks as they ran.

    Parameters
    ----------
    says
        What ``Rescorer.describe`` returned.

    Raises
    ------
    InputError
        None were fitted for these.
    """
    names = [network["name"] for network in says["networks"]]
    fusion = shipped_fusion(scoring, names)
    if says["rotations"] != 1 or says["dtype"] != "float32":
        raise InputError(
            "weights of energy and networks were fitted without rotations and in float32, not for "
            f"{says['rotations']} rotations in {says['dtype']}"
        )
    known = SHIPPED | _OTHERS
    for network in says["networks"]:
        key = network["name"].replace(".", "_")
        if known.get(key) != network["sha256"]:
            raise InputError(
                f"weights of energy and networks were fitted for GNINA's {network['name']}, not "
                f"for the file of that name with the SHA-256 {network['sha256']}"
            )
    return fusion
