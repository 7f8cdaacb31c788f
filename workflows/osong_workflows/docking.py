"""The docker of every real campaign: reads, prepares and docks one record with Osong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError
from osong.library import parse_record
from osong.ligands import LigandOptions
from osong_workflows.outcome import DockedMolecule, Docker
from osong_workflows.plain_poses import docked_molecule
from osong_workflows.pose_rescoring import pose_rescorer
from osong_workflows.prepared import PREPARED, PreparedReader
from osong_workflows.preparing import prepare_record, warm_up
from osong_workflows.settings import SCORE

if TYPE_CHECKING:
    from osong.library import Record
    from osong.receptor import Target
    from osong_workflows.settings import CampaignSettings

__all__ = ["DEFAULT_DOCKER", "build_docker", "load_target"]

DEFAULT_DOCKER: Final = "osong_workflows.docking:build_docker"


def build_docker(target_path: str, settings: CampaignSettings) -> Docker:
    """Load the target, and return what docks or scores one record.

    Runs once in each docking process; everything slow is done when it returns (grid maps,
    compilation), so that no molecule's time limit pays for it.
    """
    target = load_target(target_path, settings)
    is_score = settings.effort == SCORE
    docker = _build_scorer(target, settings) if is_score else _build_searcher(target, settings)
    if not settings.rescore:
        return docker
    add_scores = pose_rescorer(target, settings)
    return lambda record: add_scores(docker(record))


def load_target(target_path: str, settings: CampaignSettings) -> Target:
    """Return the target of a campaign.

    Raises
    ------
    CampaignError
        The file holds another one.
    """
    from osong.receptor import Target

    target = Target.load(target_path)
    if target.key.hex() != settings.target_key:
        raise CampaignError(
            f"{target_path}: is not the target that the campaign was made for; restore the file"
        )
    return target


def _build_scorer(target: Target, settings: CampaignSettings) -> Docker:
    """Return what scores a record's molecule as it stands there."""
    from osong.search import PoseScorer

    scorer = PoseScorer(target, settings.scoring)

    def score_record(record: Record) -> DockedMolecule:
        pose = scorer.score(parse_record(record), record.name)
        return docked_molecule([pose], [pose.ligand])

    return score_record


def _build_searcher(target: Target, settings: CampaignSettings) -> Docker:
    """Build grid maps, compile, and return what prepares and docks one record."""
    from osong.search import DockingSession

    session = DockingSession(
        target,
        scoring=settings.scoring,
        effort=settings.effort,
        n_poses=settings.n_poses,
        seed=settings.seed,
        threads=1,
    )
    options = LigandOptions(**settings.ligands)
    prepared = PreparedReader(settings.library)
    session.dock(warm_up(options))

    def dock_record(record: Record) -> DockedMolecule:
        variants = (
            prepared.read(record) if record.format == PREPARED else prepare_record(record, options)
        )
        return docked_molecule(session.dock(variants), variants)

    return dock_record
