"""The search: from a prepared ligand to ranked poses."""

from osong.search.docking import dock
from osong.search.effort import EFFORTS, Effort
from osong.search.given_pose import PoseScorer
from osong.search.minimize import minimize
from osong.search.pose import Pose
from osong.search.session import DockingSession

__all__ = ["EFFORTS", "DockingSession", "Effort", "Pose", "PoseScorer", "dock", "minimize"]
