"""The 58 receptors and boxes of the ``dockstring`` package."""

from __future__ import annotations

import importlib.util
import re
from difflib import get_close_matches
from pathlib import Path

from osong.box import Box
from osong.errors import InputError, MissingExtraError, ReceptorError

__all__ = ["named_names", "named_receptor"]


def _folder() -> Path:
    """Return the folder of the package's receptors, without importing its code (some seconds)."""
    spec = importlib.util.find_spec("dockstring")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("dockstring", extra="dockstring", purpose="a receptor by its name")
    return Path(spec.submodule_search_locations[0]) / "resources" / "targets"


def named_names() -> list[str]:
    """Return the names that :meth:`osong.Target.named` knows, sorted."""
    return sorted(p.name.removesuffix("_target.pdbqt") for p in _folder().glob("*_target.pdbqt"))


def named_receptor(name: str) -> tuple[str, Path, Box]:
    """Return a receptor's name as it is spelt, its PDBQT file and its box.

    Raises
    ------
    InputError
        There is no receptor of that name; the message lists those that there are.
    """
    names = named_names()
    spelt = {n.upper(): n for n in names}.get(name.strip().upper())
    if spelt is None:
        close = get_close_matches(name.upper(), names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"no receptor named '{name}'; {hint}there are: {', '.join(names)}")
    folder = _folder()
    return spelt, folder / f"{spelt}_target.pdbqt", _read_conf(folder / f"{spelt}_conf.txt")


def _read_conf(path: Path) -> Box:
    """Return the box that a Vina configuration file describes."""
    text = path.read_text(encoding="utf-8")
    values = dict(re.findall(r"^\s*((?:center|size)_[xyz])\s*=\s*([-+.\deE]+)", text, re.MULTILINE))
    try:
        center, size = ([float(values[f"{k}_{a}"]) for a in "xyz"] for k in ("center", "size"))
    except KeyError as error:
        raise ReceptorError(f"{path}: no line for {error}; reinstall dockstring") from error
    return Box((center[0], center[1], center[2]), (size[0], size[1], size[2]))
