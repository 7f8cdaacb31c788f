"""Files of poses: SDF with everything, PDBQT for other programs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from osong.errors import InputError

if TYPE_CHECKING:
    from osong.search import Pose

__all__ = ["check_output", "write_poses"]

_SUFFIXES = (".sdf", ".sdf.gz", ".pdbqt")


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written, before time is spent on it."""
    if not path.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{path}: poses are written as {', '.join(_SUFFIXES)}")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; give another --output, or --overwrite")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")


def write_poses(poses: "Sequence[Pose]", path: Path) -> None:
    """Write poses in the format that the suffix names; the file appears whole or not at all."""
    if not path.name.lower().endswith(".pdbqt"):
        from osong.library import write_sdf

        write_sdf((pose.mol for pose in poses), path)
        return
    from osong.whole_files import write_whole

    write_whole(path, "".join(_pdbqt(poses)))


def _pdbqt(poses: "Sequence[Pose]") -> Iterator[str]:
    """Yield each pose as a model, as programs that read Vina's output expect."""
    from osong.ligands import pdbqt_string

    for number, pose in enumerate(poses, start=1):
        yield f"MODEL {number}\nREMARK OSONG {pose.scoring} {pose.energy:.3f} kcal/mol\n"
        yield pdbqt_string(pose.ligand, pose.coords)
        yield "ENDMDL\n"
