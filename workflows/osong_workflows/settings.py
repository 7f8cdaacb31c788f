"""`CampaignSettings`: what was asked for, as it stands in ``campaign.toml``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Set
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osong.errors import CampaignError, InputError
from osong_workflows.pose_rescoring import network_hashes
from osong_workflows.strategy import ActiveStrategy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "DEFAULT_MODELS",
    "SCORE",
    "CampaignSettings",
    "dump_ligand_options",
    "make_settings",
    "read_settings",
]

SCORE: Final = "score"
"""The effort without any search: poses are scored as they stand in the library."""
DEFAULT_MODELS: Final = "crossdock_default2018"
"""Networks of a campaign that rescores: the fastest that is shipped (docs/rescoring.md)."""
_WITHOUT_SEARCH: Final = {"n_poses": 1, "seed": 0, "ligands": {}}
"""What then decides nothing, and so is no difference between two requests."""

_NONE: Final = "none"
"""How None stands in TOML, which has no word for it."""

_NOT_COMPARED: Final = frozenset({"target_name", "library", "reading"})
"""Fields that may differ between two requests for the same campaign: they change no result."""

_TABLES: Final = ("ligands", "reading", "networks", "strategy")

_HEADER: Final = """\
# An Osong campaign: what was asked for. Written once; changing it makes another campaign.
# Continue with: osong resume FOLDER
"""


class CampaignSettings(BaseModel):
    """Everything that decides the results of a campaign, apart from target and library themselves.

    Attributes
    ----------
    osong
        Version of Osong that made the campaign.
    target_name
        What the target is called.
    target_key
        ``Target.key`` in hexadecimal: what affects scores.
    library
        The library's file, or a word for an iterable.
    scoring, effort, n_poses, seed
        As for ``osong.dock``.
    molecule_timeout_s
        Seconds after which a molecule is given up.
    docker
        "module:function" that builds what docks one record.
    ligands
        Fields of ``osong.ligands.LigandOptions``.
    reading
        How to read the library, where that was said: options of ``osong.library.read_records``.
    rescore
        "gnina": networks score the poses that are kept; "": none do.
    networks
        Name and SHA-256 of the networks.
    strategy
        Which molecules are docked; None: all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    osong: str = Field(default_factory=lambda: version("osong"))
    target_name: str
    target_key: str
    library: str = ""
    scoring: str
    effort: str
    n_poses: int = Field(ge=1, le=1000)
    seed: int = Field(ge=0, lt=2**63)
    molecule_timeout_s: float = Field(gt=0)
    docker: str
    ligands: dict[str, Any] = Field(default_factory=dict)
    reading: dict[str, str | int] = Field(default_factory=dict)
    rescore: Literal["", "gnina"] = ""
    networks: dict[str, str] = Field(default_factory=dict)
    strategy: ActiveStrategy | None = None

    def digest(self) -> str:
        """Return a hash of all that decides results, in hexadecimal."""
        asked = self._dump(_NOT_COMPARED)
        if self.strategy:
            asked["strategy"] = self.strategy.picks
        text = json.dumps(asked, sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def _dump(self, without: Set[str] = frozenset()) -> dict[str, Any]:
        """Return the fields; those of a stage that there is not are left out, as they once were."""
        of_rescoring = () if self.rescore else ("rescore", "networks")
        of_strategy = () if self.strategy else ("strategy",)
        return self.model_dump(exclude={*without, *of_rescoring, *of_strategy})

    def differences(self, other: CampaignSettings) -> list[str]:
        """Return what differs in ``other``, each as "field is A there, B here"."""
        mine, theirs = self.model_dump(), other.model_dump()
        for values, settings in ((mine, self), (theirs, other)):
            values |= {f"ligands.{k}": v for k, v in values.pop("ligands").items()}
            # When to stop is no difference: a campaign goes on with a larger budget.
            chosen = {"kind": "all"} if settings.strategy is None else settings.strategy.picks
            del values["strategy"]
            values |= {f"strategy.{k}": v for k, v in chosen.items()}
        fields = sorted((mine.keys() | theirs.keys()) - _NOT_COMPARED)
        return [
            f"{field} is {mine.get(field)!r} there and {theirs.get(field)!r} here"
            for field in fields
            if mine.get(field) != theirs.get(field)
        ]

    def to_toml(self) -> str:
        """Return the text of ``campaign.toml``."""
        values = self._dump()
        tables = {name: values.pop(name) for name in _TABLES if name in values}
        lines = [f"{key} = {_toml_value(value)}" for key, value in values.items()]
        for name, table in tables.items():
            lines += ["", f"[{name}]", *_notes_on(name)]
            lines += [
                f"{key} = {_toml_value(value)}"
                for key, value in table.items()
                if value is not None or name != "strategy"
            ]
        return _HEADER + "\n".join(lines) + "\n"


def _notes_on(table: str) -> list[str]:
    """Return comments on a table: whose weights networks have, what may be changed."""
    if table == "strategy":
        return ["# Of this table budget, patience and recall may change: osong screen does it."]
    if table != "networks":
        return []
    from osong.rescoring.weights import LICENCE

    return [f"# {LICENCE}"]


def make_settings(*, rescore_models: str = DEFAULT_MODELS, **fields: Any) -> CampaignSettings:
    """Return checked settings.

    Parameters
    ----------
    rescore_models
        Name of the networks, where there is ``rescore``.

    Raises
    ------
    InputError
        A value is out of range; one line names it.
    """
    networks = network_hashes(rescore_models) if fields.get("rescore") else {}
    try:
        settings = CampaignSettings(**fields, networks=networks)
    except ValidationError as error:
        raise InputError(f"campaign: {_first_problem(error)}") from error
    if settings.effort != SCORE:
        return settings
    if settings.strategy is not None:
        raise InputError(
            "effort 'score' searches nothing and takes all molecules: leave out the strategy"
        )
    return settings.model_copy(update=_WITHOUT_SEARCH)


def read_settings(path: Path) -> CampaignSettings:
    """Read ``campaign.toml``.

    Raises
    ------
    CampaignError
        The file is missing, no TOML, or has unknown or bad fields.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        ligands = values.get("ligands", {})
        values["ligands"] = {k: None if v == _NONE else v for k, v in ligands.items()}
        return CampaignSettings(**values)
    except FileNotFoundError as error:
        raise CampaignError(
            f"{path.parent}: no campaign folder (it has no {path.name}); check the path, or start "
            "a campaign with: osong screen"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CampaignError(f"{path}: cannot be read ({error}); restore the file") from error
    except ValidationError as error:
        raise CampaignError(
            f"{path}: {_first_problem(error)}; restore the file or use the version of Osong that "
            "made it"
        ) from error


def dump_ligand_options(options: Any | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return ligand options (a pydantic model, its fields, or None) as checked, plain values."""
    from osong.ligands import LigandOptions

    if isinstance(options, LigandOptions):
        model = options
    elif options is None or isinstance(options, Mapping):
        try:
            model = LigandOptions(**(options or {}))
        except ValidationError as error:
            raise InputError(f"ligand options: {_first_problem(error)}") from error
    else:
        raise InputError(
            f"ligand_options must be LigandOptions or a mapping, got {type(options).__name__}"
        )
    return dict(model.model_dump(mode="json"))


def _first_problem(error: ValidationError) -> str:
    """Return the first problem that pydantic found, on one line."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" + (
        f", got {problem['input']!r}" if problem["type"] != "missing" else ""
    )


def _toml_value(value: Any) -> str:
    """Return a plain value in TOML; JSON's strings, numbers and lists are TOML's."""
    if value is None:
        return json.dumps(_NONE)
    if isinstance(value, (bool, int, float, str, list, tuple)):
        # TOML allows no bare DEL in a string, JSON does.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise InputError(f"campaign.toml cannot hold a {type(value).__name__}: {value!r}")
