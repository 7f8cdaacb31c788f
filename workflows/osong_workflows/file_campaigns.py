"""From a campaign file to its campaign folders, and back from what a user names to folders."""

from __future__ import annotations

import tomllib
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError
from osong.library.prepared import INDEX_FILE
from osong.library.reader import library_files
from osong_workflows.campaign_file import OF_A_FOLDER, CampaignFile, read_campaign_file
from osong_workflows.create import check_folder, create_campaign, update_strategy
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.folder import CampaignFolder
from osong_workflows.outputs import Wishes, read_wishes, store_wishes
from osong_workflows.settings import CampaignSettings, dump_ligand_options, make_settings

if TYPE_CHECKING:
    import os

    from osong_workflows.create import TargetLike

__all__ = ["campaign_folders", "create_campaigns", "settings_of"]

_NAME: Final = "campaign.toml"


def create_campaigns(
    path: str | os.PathLike[str], *, workers: int | None = None, docker: str = DEFAULT_DOCKER
) -> list[CampaignFolder]:
    """Make the campaign folders that a file asks for, one a target; nothing runs.

    The same call again finds them as they are. All targets are made ready before anything is
    written.

    Parameters
    ----------
    path
        The campaign file.
    workers
        Molecules docked at a time, for the size of the chunks; None: as many as this job may use.
    docker
        "module:function" that builds what docks one record; for tests and other engines.

    Raises
    ------
    InputError
        The file, its library or its targets cannot be used; one line names the place.
    CampaignError
        A folder holds another campaign, such as that of the file before it was changed; the
        message says what differs. It is left as it is.
    ResourceError
        The disk is too small.
    """
    file = read_campaign_file(path)
    made = file.load_targets()
    wishes = Wishes(
        file=str(file.path),
        outputs=file.tables.outputs,
        run=file.tables.run,
        budget=file.tables.budget,
        library=_fingerprint(file),
    )
    folders = []
    for asked, target in zip(file.targets, made, strict=True):
        settings = settings_of(file, target, docker=docker)
        folder = CampaignFolder.at(asked.folder)
        if folder.plan.exists() and read_wishes(folder).library == wishes.library:
            # Reading a large library again, to see that it is the same, would take hours.
            check_folder(folder, settings)
            update_strategy(folder, settings)
        else:
            create_campaign(target, file.library, asked.folder, settings, workers=workers)
        store_wishes(folder, wishes)
        folders.append(folder)
    return folders


def _fingerprint(file: CampaignFile) -> str:
    """Return a hash of the names, sizes and times of a library's files, in hexadecimal."""
    files = [file.library / INDEX_FILE] if file.is_prepared else library_files(file.library)
    described = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return blake2b(repr(described).encode(), digest_size=16).hexdigest()


def settings_of(
    file: CampaignFile, target: TargetLike, *, docker: str = DEFAULT_DOCKER
) -> CampaignSettings:
    """Return the settings of a file's campaign for one of its targets."""
    tables = file.tables
    return make_settings(
        target_name=target.name,
        target_key=target.key.hex(),
        library=str(file.library),
        scoring=tables.search.scoring,
        effort=tables.search.effort,
        n_poses=tables.search.n_poses,
        seed=tables.search.seed,
        molecule_timeout_s=tables.budget.molecule_timeout_s,
        docker=docker,
        # A prepared library is ready: there they have no effect.
        ligands={} if file.is_prepared else dump_ligand_options(tables.ligands),
        reading=tables.reading.given(),
        rescore=tables.search.rescore or "",
        rescore_models=tables.search.rescore_models,
        strategy=tables.strategy,
    )


def campaign_folders(path: str | os.PathLike[str]) -> list[Path]:
    """Return the campaign folders that a user means: those that have begun.

    Parameters
    ----------
    path
        A campaign file, a campaign folder, or a folder of campaign folders.

    Raises
    ------
    InputError
        The campaign file cannot be used.
    CampaignError
        There is no campaign.
    """
    place = Path(path).expanduser()
    if place.name == _NAME and _is_campaign(place.parent):
        place = place.parent
    if place.is_file() or (place.is_dir() and _is_asked_for(place / _NAME)):
        return _of_file(place if place.is_file() else place / _NAME)
    if _is_campaign(place):
        return [place]
    inner = sorted(place.iterdir()) if place.is_dir() else []
    folders = [folder for folder in inner if _is_campaign(folder)]
    if not folders:
        what = "is no campaign folder" if place.is_dir() else "there is no such file or folder"
        raise CampaignError(
            f"{place}: {what}; give a campaign file, a campaign folder, or a folder of such folders"
        )
    return folders


def _of_file(path: Path) -> list[Path]:
    """Return the folders of a file's campaigns that have begun."""
    file = read_campaign_file(path, check_inputs=False)
    folders = [target.folder for target in file.targets if _is_campaign(target.folder)]
    if not folders:
        raise CampaignError(f"{path}: its campaign has not begun; begin with: osong submit {path}")
    return folders


def _is_campaign(folder: Path) -> bool:
    """Return whether a folder is a campaign's, however far it has come."""
    return (folder / _NAME).is_file() and not _is_asked_for(folder / _NAME)


def _is_asked_for(path: Path) -> bool:
    """Return whether a file called campaign.toml is a user's, not a campaign folder's own."""
    if not path.is_file() or (path.parent / "plan.json").exists():
        return False
    try:
        return OF_A_FOLDER not in tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Whoever reads it next says what is wrong with it.
        return True
