"""Active learning: dock a few, learn, and dock what is most promising of the rest.

Everything here that learns needs ``pip install 'osong[ml]'``; importing it does not.
"""

from osong.active.acquisition import ACQUISITIONS, Acquisition
from osong.active.calibration import Calibration
from osong.active.feature_files import write_features
from osong.active.loop import (
    ActiveLoop,
    ActiveResult,
    Oracle,
    Request,
    run_active,
)
from osong.active.predict import TopCandidates, choose_batch, predictions
from osong.active.settings import ActiveSettings
from osong.active.stopping import Recall, RecallTally, StoppingRule
from osong.active.store import FeatureBatch, FeatureStore
from osong.active.surrogate import (
    Prediction,
    Surrogate,
    SurrogateOptions,
    fit_surrogate,
    load_surrogate,
    save_surrogate,
)

__all__ = [
    "ACQUISITIONS",
    "Acquisition",
    "ActiveLoop",
    "ActiveResult",
    "ActiveSettings",
    "Calibration",
    "FeatureBatch",
    "FeatureStore",
    "Oracle",
    "Prediction",
    "Recall",
    "RecallTally",
    "Request",
    "StoppingRule",
    "Surrogate",
    "SurrogateOptions",
    "TopCandidates",
    "choose_batch",
    "fit_surrogate",
    "load_surrogate",
    "predictions",
    "run_active",
    "save_surrogate",
    "write_features",
]
