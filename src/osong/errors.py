"""Every error Osong raises on purpose, each also the built-in that a caller would expect."""

from __future__ import annotations

__all__ = [
    "BoxError",
    "CampaignError",
    "CampaignStoppedError",
    "InputError",
    "LigandError",
    "MissingExtraError",
    "OsongError",
    "ReceptorError",
    "ResourceError",
]


class OsongError(Exception):
    """Base of all errors of Osong; its message names the thing at fault and the remedy."""


class InputError(OsongError, ValueError):
    """A file or an argument cannot be used as given."""


class ReceptorError(InputError):
    """A receptor structure cannot be read or made ready."""


class BoxError(InputError):
    """A search box is malformed, misses the receptor or does not fit into memory."""


class LigandError(InputError):
    """A molecule cannot be made ready for docking.

    ``stage`` says where it failed (one of ``osong.ligands.stages.STAGES``); in a campaign it
    becomes the ledger row of the molecule.
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        """Keep ``stage`` across process borders."""
        return _ligand_error, (str(self), self.stage)


def _ligand_error(message: str, stage: str) -> LigandError:
    return LigandError(message, stage=stage)


class CampaignError(OsongError, RuntimeError):
    """A campaign folder belongs to another campaign, is damaged, or cannot be continued."""


class CampaignStoppedError(CampaignError):
    """A run of a campaign was told to stop before it was finished; what is finished stays."""


class ResourceError(OsongError, RuntimeError):
    """Memory, disk or time does not suffice for what was asked."""


class MissingExtraError(OsongError, ImportError):
    """An optional dependency is not installed; the message gives the line that installs it."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: "
            f"pip install 'osong[{extra}]'"
        )
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple[object, tuple[str, str, str]]:
        """Keep the three fields across process borders."""
        return _missing_extra, (self.package, self.extra, self.purpose)


def _missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    return MissingExtraError(package, extra=extra, purpose=purpose)
