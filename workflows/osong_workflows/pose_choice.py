"""Which pose of a molecule comes first: by its energy, by networks, or by both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from osong.errors import CampaignError, InputError
from osong_workflows.export import row_molecules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pyarrow as pa

__all__ = ["PoseBy", "check_pose_by", "chosen_poses"]

PoseBy: TypeAlias = Literal["energy", "cnn_score", "fused"]
"""What poses of one molecule are ordered by: lowest energy, highest CNNscore, or highest score of
both (``osong.rescoring.fusion``)."""
_KNOWN: Final[tuple[str, ...]] = get_args(PoseBy)
_SAID: Final = ("cnn_poses", "fused_poses")


def check_pose_by(pose_by: str | None) -> None:
    """Check that poses can be ordered so; None is as molecules are ranked."""
    if pose_by is not None and pose_by not in _KNOWN:
        raise InputError(f"pose_by is {pose_by!r}; it may be {', '.join(_KNOWN)}")


def chosen_poses(
    folder: Path, scores: pa.Table | None, n_poses: int, pose_by: PoseBy, scoring: str
) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Return what makes the first poses of a part's row, with what networks say of them.

    Parameters
    ----------
    folder
        The campaign's, for messages.
    scores
        Rows with what networks say; None: the part's own have it.
    n_poses
        How many of each molecule.
    scoring
        The campaign's scoring function.
    """
    said: dict[int, Mapping[str, Any]] = {}
    if scores is not None:
        columns = ["index", *(name for name in _SAID if name in scores.column_names)]
        said = {row["index"]: row for row in scores.select(columns).to_pylist()}

    def make(row: Mapping[str, Any]) -> list[Any]:
        found = row if scores is None else said.get(row["index"], {})
        whole = {**row, **{name: found.get(name) for name in _SAID}}
        order = _order(whole, pose_by, folder)
        mols = row_molecules(whole, scoring=scoring)
        return [mols[pose] for pose in order[:n_poses]]

    return make


def _order(row: Mapping[str, Any], pose_by: PoseBy, folder: Path) -> list[int]:
    """Return a molecule's poses, best first; ties go to the lower energy."""
    places = range(len(row["poses"]))
    if pose_by == "energy":
        return list(places)
    if not row["cnn_poses"]:
        raise CampaignError(
            f"molecule {row['name']!r}: its poses are not rescored, so networks cannot choose one; "
            f"run: osong rescore {folder} --top N, with N large enough"
        )
    if pose_by == "cnn_score":
        return sorted(places, key=lambda pose: -row["cnn_poses"][pose]["score"])
    if not row["fused_poses"]:
        from osong.rescoring.fusion import known_fusions

        raise CampaignError(
            f"molecule {row['name']!r}: no fused score, since no weights of energy and networks "
            f"were fitted for what docked and rescored it; there are: {known_fusions()}"
        )
    return sorted(places, key=lambda pose: -row["fused_poses"][pose])
