"""Receptors: read a structure, make it ready, say what was changed."""

from osong.receptor.model import Receptor
from osong.receptor.report import Change, PreparationReport
from osong.receptor.target import Target

__all__ = ["Change", "PreparationReport", "Receptor", "Target"]
