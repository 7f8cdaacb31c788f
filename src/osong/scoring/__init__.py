"""Scoring functions, grid maps, and the exact score of a pose with its breakdown."""

from osong.scoring.exact import Score, score, score_pose
from osong.scoring.functions import SCORING_FUNCTIONS, ScoringFunction, scoring_function

__all__ = [
    "SCORING_FUNCTIONS",
    "Score",
    "ScoringFunction",
    "score",
    "score_pose",
    "scoring_function",
]
