"""`CampaignFile`: the one file that a user writes, checked, with all that it names found."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from osong.errors import InputError, OsongError
from osong.library import is_prepared
from osong.library.reader import library_files
from osong.quickstart import DRUGS
from osong.receptor.choose import TargetRequest, TargetRequestError, choose_target
from osong.receptor.load import BoxRequest
from osong_workflows.file_problems import CampaignFileError, Place, non_finite, problems_of
from osong_workflows.file_tables import CampaignTables
from osong_workflows.toml_lines import read_toml

if TYPE_CHECKING:
    from osong.receptor import Target
    from osong_workflows.file_tables import TargetTable
    from osong_workflows.strategy import ActiveStrategy
    from osong_workflows.toml_lines import KeyPath

__all__ = ["OF_A_FOLDER", "CampaignFile", "FileTarget", "read_campaign_file"]

_MAX_BYTES: Final = 1 << 20
"""What a user writes is no megabyte: who gives a library instead should not wait for it."""
_LABEL_LENGTH: Final = 64
OF_A_FOLDER: Final = "target_key"
"""A key of the file of the same name that a campaign folder has."""


@dataclass(frozen=True)
class FileTarget:
    """One of the targets that a campaign file asks for.

    Attributes
    ----------
    label
        What tells it from the others.
    request
        The receptor and its box as they were asked for, with absolute paths.
    folder
        The campaign folder, absolute.
    """

    label: str
    request: TargetRequest
    folder: Path


@dataclass(frozen=True)
class CampaignFile:
    """What a campaign file asks for.

    Attributes
    ----------
    path
        The file, absolute.
    library
        A file, a folder or a prepared library, absolute.
    out
        The folder for results, absolute: a campaign folder, or with several targets the folder of
        theirs.
    targets
        What to dock to.
    tables
        All else: ``search``, ``ligands``, ``reading``, ``run``, ``budget``, ``outputs``.
    place
        Where each key stands.
    """

    path: Path
    library: Path
    out: Path
    targets: tuple[FileTarget, ...]
    tables: CampaignTables
    place: Place

    @property
    def is_prepared(self) -> bool:
        """Whether the library is a prepared one."""
        return is_prepared(self.library)

    def load_targets(self) -> list[Target]:
        """Return the targets, made ready.

        Raises
        ------
        CampaignFileError
            With a line for each that cannot be made.
        """
        targets, problems = [], []
        for index, target in enumerate(self.targets):
            try:
                targets.append(choose_target(target.request))
            except TargetRequestError as error:
                problems.append(self.place.problem(("target", index, error.field), str(error)))
            except OsongError as error:
                problems.append(self.place.problem(("target", index), str(error)))
        if problems:
            raise CampaignFileError(problems)
        return targets


def read_campaign_file(path: str | os.PathLike[str], *, check_inputs: bool = True) -> CampaignFile:
    """Read and check a campaign file; nothing is written, and no molecule or structure is read.

    Parameters
    ----------
    path
        The file. Paths in it are relative to its folder.
    check_inputs
        Whether library and receptors must be there, as for all but a look at the results.

    Raises
    ------
    InputError
        The file cannot be read, or is no TOML.
    CampaignFileError
        With one line for everything that is wrong with it: file, line, key, what, remedy.
    """
    name = os.fspath(path)
    values, lines = read_toml(_read(Path(path).expanduser()), name)
    if OF_A_FOLDER in values:
        raise InputError(
            f"{name}: is what a campaign folder says of itself, not a file that asks for a "
            f"campaign; look at the folder with: osong status {Path(name).parent}"
        )
    has_one_target = not isinstance(values.get("target"), list)
    place = Place(name, lines, has_one_target)
    tables = _checked(values, place)
    file = _Finder(Path(path).expanduser().absolute(), tables, place).find()
    if check_inputs:
        _check_inputs(file)
    return file


def _read(path: Path) -> bytes:
    """Return the bytes of a file that is no larger than a campaign file can be."""
    if not path.exists():
        raise InputError(f"{path}: there is no such campaign file; check the path")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the campaign file itself (such as egfr.toml)")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from (
            error
        )
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path}: is larger than a campaign file can be; give the TOML file")
    return data


def _checked(values: dict[str, Any], place: Place) -> CampaignTables:
    """Return the tables, or everything that is wrong with them."""
    infinite = [place.problem(path, "should be a finite number") for path in non_finite(values)]
    if infinite:
        raise CampaignFileError(infinite)
    if isinstance(values.get("target"), dict):
        values = values | {"target": [values["target"]]}
    try:
        # Strict as JSON is strict: true is no number and "3" is none either, lists are tuples.
        return CampaignTables.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise CampaignFileError(problems_of(error, place)) from error


@dataclass(frozen=True)
class _Finder:
    """Finds what the keys of a file mean: paths, labels, folders."""

    path: Path
    tables: CampaignTables
    place: Place

    def find(self) -> CampaignFile:
        """Return the campaign file.

        Raises
        ------
        CampaignFileError
            Keys contradict each other.
        """
        if self.tables.outputs.n_poses > self.tables.search.n_poses:
            raise self.place.error(
                ("outputs", "n_poses"),
                f"{self.tables.outputs.n_poses} poses of each hit are to be written and the search "
                f"keeps {self.tables.search.n_poses}; make n_poses of [search] as large",
            )
        library = self._library()
        out = self._out()
        labels = self._labels()
        several = len(labels) > 1
        targets = tuple(
            FileTarget(label, self._request(table), out / label if several else out)
            for label, table in zip(labels, self.tables.target, strict=True)
        )
        tables = self.tables.model_copy(update={"strategy": self._strategy(out, several=several)})
        return CampaignFile(self.path, library, out, targets, tables, self.place)

    def _strategy(self, out: Path, *, several: bool) -> ActiveStrategy | None:
        """Return the strategy; several targets share the fingerprints of their library."""
        strategy = self.tables.strategy
        if strategy is None or (strategy.features is None and not several):
            return strategy
        written = strategy.features
        features = out / "features" if written is None else self._beside(written)
        return strategy.model_copy(update={"features": str(features)})

    def _beside(self, written: str) -> Path:
        """Return a path of the file, absolute."""
        # Not resolved: a link to a library is named as the user names it.
        return Path(os.path.normpath(self.path.parent / Path(written).expanduser()))

    def _library(self) -> Path:
        written = self.tables.library
        if not written.strip():
            raise self.place.error(("library",), "is empty; give a file or folder of molecules")
        path = self._beside(written)
        return DRUGS if written == "drugs" and not path.exists() else path

    def _out(self) -> Path:
        if self.tables.out is not None and not self.tables.out.strip():
            raise self.place.error(("out",), "is empty; give the folder for results")
        out = self._beside(self.path.stem if self.tables.out is None else self.tables.out)
        if out.resolve() in self.path.resolve().parents:
            raise self.place.error(
                ("out",), f"{out} is a folder of this very file; give a folder of its own"
            )
        if out.exists() and not out.is_dir():
            what = "this file itself" if out == self.path else "a file"
            raise self.place.error(("out",), f"{out} is {what}; give a folder for the results")
        return out

    def _request(self, table: TargetTable) -> TargetRequest:
        wishes = table.model_dump()
        if table.receptor is not None:
            wishes["receptor"] = self._beside(table.receptor)
        if table.ligand_box is not None:
            beside = self._beside(table.ligand_box)
            is_file = BoxRequest(None, table.ligand_box, None, 0.0).ligand_file is not None
            # Otherwise it is a residue of the structure.
            if is_file or beside.is_file():
                wishes["ligand_box"] = str(beside)
        return TargetRequest(**wishes)

    def _labels(self) -> list[str]:
        """Return what tells the targets apart, each fit for a folder's name."""
        labels: list[str] = []
        for index, table in enumerate(self.tables.target):
            label = table.label or _label(table.name or Path(table.receptor or "target").name)
            # Some file systems do not tell "abl" from "ABL".
            if label.casefold() in (other.casefold() for other in labels):
                raise self.place.error(
                    ("target", index, "label"),
                    f"another target is called '{label}' too; give each a label of its own",
                )
            labels.append(label)
        return labels


def _label(name: str) -> str:
    """Return a name as that of a folder: without suffixes of files, and safe.

    Examples
    --------
    >>> _label("1iep.cif.gz"), _label("my protein (2).pdb"), _label("../..")
    ('1iep', 'my-protein-2', 'target')
    """
    stem = name.removesuffix(".gz").rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9._]+", "-", stem).strip("-._")[:_LABEL_LENGTH] or "target"


def _check_inputs(file: CampaignFile) -> None:
    """Check that library and receptors are there and do not lie where results go."""
    problems: list[tuple[KeyPath, str]] = []
    try:
        if not file.is_prepared:
            library_files(file.library)
    except InputError as error:
        problems.append((("library",), str(error)))
    if _overlap(file.library, file.out):
        problems.append(
            (
                ("out",),
                f"{file.out} and the library, {file.library}, lie in each other; give "
                "another folder",
            )
        )
    for index, target in enumerate(file.targets):
        try:
            target.request.check()
        except TargetRequestError as error:
            problems.append((("target", index, error.field), str(error)))
            continue
        box = target.request.ligand_box
        if box is not None and os.sep in box and not Path(box).is_file():
            what = f"{box}: there is no such file; give a ligand file or a residue's name"
            problems.append((("target", index, "ligand_box"), what))
    if problems:
        problems.sort(key=lambda problem: file.place.line(problem[0]))
        raise CampaignFileError(file.place.problem(path, what) for path, what in problems)


def _overlap(library: Path, out: Path) -> bool:
    """Return whether one lies in the other; results beside a file of molecules are fine."""
    library, out = library.resolve(), out.resolve()
    return library == out or out in library.parents or (library.is_dir() and library in out.parents)
