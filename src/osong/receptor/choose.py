"""`choose_target`: the target that a user asked for, on the command line or in a campaign file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from osong.box import Box
from osong.errors import InputError
from osong.receptor.archive import is_archive
from osong.receptor.options import ReceptorOptions
from osong.receptor.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TargetRequest", "TargetRequestError", "choose_target"]

_DEFAULTS = ReceptorOptions()


class TargetRequestError(InputError):
    """What was asked of a target cannot be; ``field`` says which wish is at fault."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class TargetRequest:
    """A receptor and its box as a user asks for them.

    Attributes
    ----------
    receptor
        A PDB, mmCIF or PDBQT file, or a saved target.
    name
        A receptor that comes with its box, by name; instead of ``receptor``.
    ligand_box
        A ligand to put the box around: a file, or a residue of the structure.
    residues
        Residues to put the box around.
    padding
        Angstrom around ligand or residues.
    center, size
        The box itself, angstrom.
    ph, keep_waters, hydrogens, keep, remove
        As for :meth:`osong.Target.from_file`.
    label
        What results call the target; its own name if not given.
    """

    receptor: Path | None = None
    name: str | None = None
    ligand_box: str | None = None
    residues: tuple[str, ...] = ()
    padding: float = 4.0
    center: tuple[float, float, float] | None = None
    size: tuple[float, float, float] | None = None
    ph: float = _DEFAULTS.ph
    keep_waters: bool = _DEFAULTS.keep_waters
    hydrogens: Literal["auto", "keep", "replace"] = _DEFAULTS.hydrogens
    keep: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    label: str | None = None

    def check(self, spell: Callable[[str], str] = str) -> None:
        """Refuse wishes that contradict each other or lack something, before anything is read.

        Parameters
        ----------
        spell
            How those who asked write a field: "ligand_box" may be "--ligand-box" to them.

        Raises
        ------
        TargetRequestError
            Naming the field at fault, as ``spell`` writes it, and the remedy.
        """
        if self.name is not None and self.receptor is not None:
            raise TargetRequestError(
                f"give either {spell('receptor')} FILE or {spell('name')} NAME, not both",
                field="name",
            )
        if self.name is None and self.receptor is None:
            raise TargetRequestError(
                f"nothing to dock to: give {spell('receptor')} FILE (with {spell('ligand_box')}, "
                f"{spell('residues')} or {spell('center')} and {spell('size')}), or "
                f"{spell('name')} NAME",
                field="receptor",
            )
        if self.receptor is not None and not self.receptor.is_file():
            raise TargetRequestError(
                f"{self.receptor}: there is no such file; check {spell('receptor')}",
                field="receptor",
            )
        if (self.center is None) != (self.size is None):
            missing = "center" if self.center is None else "size"
            example = "X Y Z" if self.center is None else "A B C"
            raise TargetRequestError(
                f"a box needs both centre and size: add {spell(missing)} {example}",
                field="size" if missing == "center" else "center",
            )
        if self._is_ready:
            self._refuse_changes(spell)

    @property
    def _is_ready(self) -> bool:
        """Whether the receptor is taken as it is."""
        if self.receptor is None:
            return True
        suffixes = [suffix.lower() for suffix in self.receptor.suffixes]
        return ".pdbqt" in suffixes or is_archive(self.receptor)

    def _refuse_changes(self, spell: Callable[[str], str]) -> None:
        """Refuse to change a receptor that is taken as it is, rather than not do it."""
        changes = ("hydrogens", "keep", "remove")
        asked = [field for field in changes if getattr(self, field) != getattr(_PLAIN, field)]
        if asked:
            names = ", ".join(map(spell, changes[:-1])) + f" and {spell(changes[-1])}"
            raise TargetRequestError(
                f"{self.receptor or self.name}: is ready and taken as it is; {names} need "
                f"the structure itself as {spell('receptor')} FILE (PDB or mmCIF)",
                field=asked[0],
            )

    @property
    def box(self) -> Box | None:
        """The box itself, where it was given."""
        if self.center is None or self.size is None:
            return None
        return Box(center=self.center, size=self.size)


_PLAIN = TargetRequest()


def choose_target(request: TargetRequest, spell: Callable[[str], str] = str) -> Target:
    """Return the target that a user asked for.

    Parameters
    ----------
    request
        The wishes.
    spell
        How those who asked write a field, for messages.

    Raises
    ------
    TargetRequestError
        The wishes cannot be.
    ReceptorError, BoxError, InputError
        As :meth:`osong.Target.from_file` and :meth:`osong.Target.named` say.
    """
    request.check(spell)
    if request.name is not None:
        return _relabelled(_with_box(Target.named(request.name), request, spell), request)
    if request.receptor is None:
        raise AssertionError("check comes first")
    if is_archive(request.receptor):
        return _relabelled(_with_box(Target.load(request.receptor), request, spell), request)
    return Target.from_file(
        request.receptor,
        box=request.box,
        ligand=request.ligand_box,
        residues=request.residues or None,
        padding=request.padding,
        ph=request.ph,
        keep_waters=request.keep_waters,
        hydrogens=request.hydrogens,
        keep=request.keep,
        remove=request.remove,
        name=request.label,
    )


def _relabelled(target: Target, request: TargetRequest) -> Target:
    return target if request.label is None else replace(target, name=request.label)


def _with_box(target: Target, request: TargetRequest, spell: Callable[[str], str]) -> Target:
    """Return a target that has a box already, with another one where one was asked for."""
    box = request.box
    asked = [box is not None, request.ligand_box is not None, bool(request.residues)]
    if sum(asked) > 1:
        raise TargetRequestError(
            f"give one box: {spell('ligand_box')}, {spell('residues')}, or {spell('center')} and "
            f"{spell('size')}",
            field="ligand_box" if request.ligand_box is not None else "residues",
        )
    if request.ligand_box is not None:
        if not Path(request.ligand_box).is_file():
            raise TargetRequestError(
                f"{spell('ligand_box')} {request.ligand_box}: there is no such file, and a "
                "prepared receptor holds no ligands; give a ligand file",
                field="ligand_box",
            )
        box = Box.around(request.ligand_box, request.padding)
    elif request.residues:
        raise TargetRequestError(
            f"{spell('residues')} needs the structure itself: give it as {spell('receptor')} FILE "
            "(PDB, mmCIF or PDBQT)",
            field="residues",
        )
    return target if box is None else replace(target, box=box)
