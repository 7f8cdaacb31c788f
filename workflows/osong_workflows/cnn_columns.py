"""Columns of what GNINA's networks say of a molecule: in ``rescored.parquet``, and in parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong.rescoring.stream import CnnScore

__all__ = ["CNN_COLUMNS", "CNN_FIELDS", "cnn_values"]

_SCORE: Final = pa.struct(
    [("score", pa.float64()), ("affinity", pa.float64()), ("variance", pa.float64())]
)
CNN_FIELDS: Final = (
    pa.field("cnn_pose", pa.int32()),  # the pose of the highest CNNscore, from 1
    pa.field("cnn_score", pa.float64()),
    pa.field("cnn_affinity", pa.float64()),
    pa.field("cnn_vs", pa.float64()),
    pa.field("cnn_variance", pa.float64()),
    pa.field("cnn_poses", pa.list_(_SCORE)),  # of all kept poses, lowest energy first
    pa.field("cnn_reason", pa.string()),  # why there are no scores
    pa.field("fused_pose", pa.int32()),  # the pose that energy and networks think right, from 1
    pa.field("fused_poses", pa.list_(pa.float64())),  # their score of all kept poses
)
CNN_COLUMNS: Final = tuple(field.name for field in CNN_FIELDS)


def cnn_values(results: Sequence[CnnScore | str]) -> dict[str, Any]:
    """Return the columns of a molecule, from those of its poses: scores, or why there are none.

    Its scores are those of the pose that networks think right. Where one pose has none, the
    molecule has none.
    """
    reasons = [result for result in results if isinstance(result, str)]
    if reasons:
        return {"cnn_reason": reasons[0]}
    scores = [result for result in results if not isinstance(result, str)]
    best = max(range(len(scores)), key=lambda i: scores[i].score)
    return _fused([s.fused for s in scores]) | {
        "cnn_pose": best + 1,
        "cnn_score": scores[best].score,
        "cnn_affinity": scores[best].affinity,
        "cnn_vs": scores[best].vs,
        "cnn_variance": scores[best].variance,
        "cnn_poses": [
            {"score": s.score, "affinity": s.affinity, "variance": s.variance} for s in scores
        ],
    }


def _fused(scores: Sequence[float]) -> dict[str, Any]:
    """Return the columns of the fused scores of a molecule's poses, lowest energy first."""
    if any(map(math.isnan, scores)):
        return {}
    first = max(range(len(scores)), key=scores.__getitem__)
    return {"fused_pose": first + 1, "fused_poses": list(scores)}
